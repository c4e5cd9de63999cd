//! Every operation, over memory and over a folder.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::backend::{MemoryBound, PATIENCE};
use super::*;

/// One store of each kind that needs no network, and the folder of the second.
fn stores() -> ([Archive; 2], TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let stores = ["memory:".to_owned(), url(&folder)].map(|url| Archive::open(&url).unwrap());
    (stores, folder)
}

fn url(folder: &TempDir) -> String {
    format!("file://{}/store", folder.path().display())
}

async fn read(store: &Archive, kind: DocumentKind, id: &str) -> Option<Value> {
    store.get(kind, id).await.unwrap().map(|document| document.value)
}

#[tokio::test]
async fn a_document_is_written_read_overwritten_and_deleted() {
    let (stores, _folder) = stores();
    for store in &stores {
        store.check().await.unwrap();
        assert_eq!(read(store, DocumentKind::CanaryConfig, "a").await, None);
        let before = Timestamp::now().as_second() - 1;
        store.put(DocumentKind::CanaryConfig, "a", &json!({ "n": 1 })).await.unwrap();
        store.put(DocumentKind::CanaryConfig, "a", &json!({ "n": 2 })).await.unwrap();
        let document: Document<Value> = store.get(DocumentKind::CanaryConfig, "a").await.unwrap().unwrap();
        assert_eq!(document.value, json!({ "n": 2 }));
        assert!((before..=before + 60).contains(&document.updated.as_second()), "{document:?}");
        assert_eq!(read(store, DocumentKind::CanaryResult, "a").await, None, "kinds are apart");
        assert!(store.delete(DocumentKind::CanaryConfig, "a").await.unwrap());
        assert!(!store.delete(DocumentKind::CanaryConfig, "a").await.unwrap());
        assert_eq!(read(store, DocumentKind::CanaryConfig, "a").await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_creates_exactly_one_wins_and_its_document_stays() {
    let (stores, _folder) = stores();
    for store in &stores {
        let creates = (0..16).map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.create(DocumentKind::Execution, "x", &json!(n)).await.map(|()| n) })
        });
        let ended: Vec<_> = futures::future::join_all(creates).await.into_iter().map(Result::unwrap).collect();
        let won: Vec<i32> = ended.iter().filter_map(|created| created.as_ref().ok().copied()).collect();
        assert_eq!(won.len(), 1, "{ended:?}");
        let lost = ArchiveError::Exists { key: "executions/x".to_owned() };
        assert_eq!(ended.iter().filter(|created| created.as_ref() == Err(&lost)).count(), 15, "{ended:?}");
        assert_eq!(read(store, DocumentKind::Execution, "x").await, Some(json!(won[0])));
    }
}

const HOSTILE: [&str; 15] = [
    "..",
    ".",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "%2e%2e",
    "%",
    "a#1",
    "ünï💥",
    " ",
    ".hidden",
    "con?x=1&y",
];

#[tokio::test]
async fn whatever_an_id_says_it_stays_in_its_folder_and_is_itself() {
    let (stores, folder) = stores();
    for store in &stores {
        for (n, id) in HOSTILE.iter().enumerate() {
            store.create(DocumentKind::MetricSetList, id, &json!(n)).await.unwrap_or_else(|error| panic!("{id:?}: {error}"));
        }
        for (n, id) in HOSTILE.iter().enumerate() {
            assert_eq!(read(store, DocumentKind::MetricSetList, id).await, Some(json!(n)), "{id:?}");
        }
        let listed: BTreeSet<String> =
            store.list(DocumentKind::MetricSetList, None, 100).await.unwrap().into_iter().map(|e| e.id).collect();
        assert_eq!(listed, HOSTILE.iter().map(|id| (*id).to_owned()).collect());
        for id in HOSTILE {
            store.file_under(id, Timestamp::UNIX_EPOCH, id).await.unwrap();
            let filed = store.newest(id, 10, 0).await.unwrap();
            assert_eq!(filed.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), [id]);
        }
    }
    let names = |path: std::path::PathBuf| {
        let entries = std::fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names(folder.path().to_owned()), BTreeSet::from(["store".to_owned()]));
    assert_eq!(names(folder.path().join("store")), ["by-application", "metric-set-lists"].map(str::to_owned).into());
    let files = names(folder.path().join("store/metric-set-lists"));
    assert!(files.len() == HOSTILE.len() && files.contains("%2E%2E%2F%2E%2E%2Fetc%2Fpasswd"), "{files:?}");
}

#[tokio::test]
async fn ids_that_cannot_be_kept_are_refused_by_every_operation() {
    let (stores, _folder) = stores();
    for store in &stores {
        for id in ["", &"x".repeat(10_240)] {
            let refused = |error: ArchiveError| matches!(error, ArchiveError::InvalidId { .. });
            assert!(refused(store.put(DocumentKind::Execution, id, &json!(1)).await.unwrap_err()));
            assert!(refused(store.create(DocumentKind::Execution, id, &json!(1)).await.unwrap_err()));
            assert!(refused(store.get::<Value>(DocumentKind::Execution, id).await.unwrap_err()));
            assert!(refused(store.delete(DocumentKind::Execution, id).await.unwrap_err()));
            assert!(refused(store.list(DocumentKind::Execution, Some(id), 1).await.unwrap_err()));
            assert!(refused(store.file_under(id, Timestamp::UNIX_EPOCH, "x").await.unwrap_err()));
            assert!(refused(store.file_under("x", Timestamp::UNIX_EPOCH, id).await.unwrap_err()));
            assert!(refused(store.newest(id, 1, 0).await.unwrap_err()));
        }
        let longest = "x".repeat(MAX_ID_LENGTH);
        store.put(DocumentKind::Execution, &longest, &json!(1)).await.unwrap();
        store.file_under(&longest, Timestamp::UNIX_EPOCH, &longest).await.unwrap();
        assert_eq!(store.newest(&longest, 1, 0).await.unwrap()[0].id, longest);
    }
}

#[tokio::test]
async fn a_listing_comes_in_pages_in_the_order_of_the_ids() {
    let (stores, _folder) = stores();
    for store in &stores {
        for n in [3, 1, 4, 0, 2] {
            store.put(DocumentKind::CanaryConfig, &format!("c{n}"), &json!(n)).await.unwrap();
        }
        let ids = async |after: Option<&str>, limit| {
            let page = store.list(DocumentKind::CanaryConfig, after, limit).await.unwrap();
            page.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(None, 2).await, ["c0", "c1"]);
        assert_eq!(ids(Some("c1"), 2).await, ["c2", "c3"]);
        assert_eq!(ids(Some("c3"), 2).await, ["c4"]);
        assert_eq!(ids(Some("c2x"), 9).await, ["c3", "c4"]);
        assert_eq!(ids(None, usize::MAX).await.len(), 5);
        assert!(ids(None, 0).await.is_empty());
        assert!(store.list(DocumentKind::Scorecard, None, 9).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn executions_of_an_application_are_listed_newest_first() {
    let (stores, _folder) = stores();
    for store in &stores {
        for (second, id) in [(10, "b"), (30, "d"), (20, "c"), (0, "a")] {
            store.file_under("shop", Timestamp::from_second(second).unwrap(), id).await.unwrap();
        }
        store.file_under("shop2", Timestamp::from_second(40).unwrap(), "other").await.unwrap();
        let ids = async |limit, offset| {
            let page = store.newest("shop", limit, offset).await.unwrap();
            page.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(2, 0).await, ["d", "c"]);
        assert_eq!(ids(2, 2).await, ["b", "a"]);
        assert_eq!(ids(9, 3).await, ["a"]);
        assert!(ids(9, 4).await.is_empty());
        assert!(store.newest("unknown", 9, 0).await.unwrap().is_empty());
        assert_eq!(store.newest("shop", 1, MAX_OFFSET + 1).await, Err(ArchiveError::TooFar(MAX_OFFSET + 1)));
    }
}

#[tokio::test]
async fn a_document_beyond_the_bound_is_neither_written_nor_read() {
    let (stores, folder) = stores();
    let long = "x".repeat(MAX_DOCUMENT_BYTES);
    for store in &stores {
        let error = store.put(DocumentKind::Scorecard, "long", &long).await.unwrap_err();
        assert!(matches!(&error, ArchiveError::TooLarge { key, .. } if key == "scorecards/long"), "{error}");
        assert_eq!(read(store, DocumentKind::Scorecard, "long").await, None);
    }
    std::fs::create_dir_all(folder.path().join("store/scorecards")).unwrap();
    std::fs::write(folder.path().join("store/scorecards/long"), format!("{long:?}")).unwrap();
    let error = stores[1].get::<Value>(DocumentKind::Scorecard, "long").await.unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn memory_does_not_grow_without_bound_and_deleting_makes_room() {
    let (objects, room) = (Box::new(object_store::memory::InMemory::new()), MemoryBound { most: 40, written: AtomicU64::new(0) });
    let (prefix, place) = (Path::default(), String::new());
    let store = Archive(
        Arc::new(Backend { objects, prefix, place, ordered: true, room: Some(room), patience: PATIENCE, threads: None }),
        Intake::default(),
    );
    // Ten bytes each. What is written over counts once.
    let document = json!("eightlet");
    for id in ["a", "b", "c", "a", "b", "c", "d"] {
        store.put(DocumentKind::Scorecard, id, &document).await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(store.put(DocumentKind::Scorecard, "e", &document).await, Err(ArchiveError::Full));
    }
    assert!(store.delete(DocumentKind::Scorecard, "a").await.unwrap());
    store.put(DocumentKind::Scorecard, "e", &document).await.unwrap();
    assert!(Archive::open("memory:").unwrap().0.room.is_some());
}

#[tokio::test]
async fn a_corrupt_document_is_an_error_that_names_it() {
    let (stores, folder) = stores();
    std::fs::create_dir_all(folder.path().join("store/executions")).unwrap();
    std::fs::write(folder.path().join("store/executions/broken"), "{\"a\":").unwrap();
    let error = stores[1].get::<Value>(DocumentKind::Execution, "broken").await.unwrap_err();
    assert!(matches!(&error, ArchiveError::Corrupt { key, .. } if key == "executions/broken"), "{error}");
    for store in &stores {
        store.put(DocumentKind::Execution, "text", &json!("text")).await.unwrap();
        let error = store.get::<u64>(DocumentKind::Execution, "text").await.unwrap_err().to_string();
        assert!(error.contains("executions/text") && error.contains("delete it"), "{error}");
    }
}

#[tokio::test]
async fn what_is_not_ours_in_a_folder_is_not_listed() {
    let (stores, folder) = stores();
    let store = &stores[1];
    store.put(DocumentKind::CanaryConfig, "ours", &json!(1)).await.unwrap();
    let path = folder.path().join("store/canary-configs");
    std::fs::create_dir(path.join("nested")).unwrap();
    for name in ["README.txt", "nested/ours", ".DS_Store"] {
        std::fs::write(path.join(name), "x").unwrap();
    }
    let listed = store.list(DocumentKind::CanaryConfig, None, 9).await.unwrap();
    assert_eq!(listed.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["ours"]);
}

#[tokio::test]
async fn a_folder_survives_being_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Archive::open(&url(&folder)).unwrap();
    store.create(DocumentKind::Execution, "x", &json!({ "n": 1 })).await.unwrap();
    store.file_under("shop", Timestamp::UNIX_EPOCH, "x").await.unwrap();
    drop(store);
    let store = Archive::open(&url(&folder)).unwrap();
    assert_eq!(read(&store, DocumentKind::Execution, "x").await, Some(json!({ "n": 1 })));
    assert_eq!(store.newest("shop", 9, 0).await.unwrap()[0].id, "x");
    assert!(matches!(store.create(DocumentKind::Execution, "x", &json!(2)).await, Err(ArchiveError::Exists { .. })));
}

#[tokio::test]
async fn a_folder_that_went_away_is_an_error_and_no_silence() {
    let folder = tempfile::tempdir().unwrap();
    let store = Archive::open(&url(&folder)).unwrap();
    let path = folder.path().join("store");
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, "a file now").unwrap();
    for error in [
        store.put(DocumentKind::Execution, "x", &json!(1)).await.unwrap_err(),
        store.get::<Value>(DocumentKind::Execution, "x").await.unwrap_err(),
        store.delete(DocumentKind::Execution, "x").await.unwrap_err(),
    ] {
        assert!(matches!(error, ArchiveError::Unavailable(_)), "{error}");
    }
}

#[test]
fn a_url_that_opens_no_store_is_refused_with_the_remedy_and_not_repeated() {
    for (url, part) in [
        ("", "is no URL"),
        ("/var/lib/haldane", "`file:///path`"),
        ("file:data", "`file:///absolute/path`"),
        ("file://data/x", "`file:///absolute/path`"),
        ("file:///", "`file:///absolute/path`"),
        ("file:///proc/no/such/hunter2x", "cannot be made"),
        ("memory://host/x", "`memory:`"),
        ("redis://user:hunter2@host/0", "environment"),
        ("redis://host/0", "`redis`"),
        ("s3://key:hunter2@bucket/prefix", "environment"),
        ("s3://hunter2@bucket/prefix", "`s3://bucket/prefix`"),
        ("s3:///prefix", "`s3://bucket/prefix`"),
        ("az://container/prefix?sig=hunter2", "environment"),
        ("gs://bucket/a#hunter2", "environment"),
    ] {
        let error = Archive::open(url).unwrap_err().to_string();
        assert!(error.contains(part), "{url}: {error}");
        assert!(!error.contains("hunter2@") && !error.contains("hunter2\"") && !error.ends_with("hunter2"), "{error}");
        assert!(!error.starts_with(char::is_uppercase) && !error.ends_with('.'), "{error}");
    }
}

#[test]
fn memory_and_folders_open_in_every_usual_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    for url in ["memory:".to_owned(), "memory:///".to_owned(), format!("file://{path}/a b"), format!("file:{path}/c")] {
        let store = Archive::open(&url).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(url.starts_with(&store.to_string()) || store.to_string().starts_with("file:///"), "{store}");
    }
    assert!(folder.path().join("a b").is_dir() && folder.path().join("c").is_dir());
}

#[test]
fn a_signature_in_an_address_is_not_repeated() {
    let fault = Fault::Generic { store: "Azure", source: "PUT https://a.example/c/x?sig=hunter2&se=1 failed".into() };
    let text = reason(&fault);
    assert!(text.contains("https://a.example/c/x failed") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_store_that_is_silent_is_unavailable() {
    use object_store::throttle::{ThrottleConfig, ThrottledStore};
    let slow = ThrottleConfig { wait_get_per_call: Duration::from_secs(3600), ..ThrottleConfig::default() };
    let objects = Box::new(ThrottledStore::new(object_store::memory::InMemory::new(), slow));
    let patience = Duration::from_millis(20);
    let inner = Backend { objects, prefix: Path::default(), place: String::new(), ordered: true, room: None, patience, threads: None };
    let error = Archive(Arc::new(inner), Intake::default()).get::<Value>(DocumentKind::Execution, "x").await.unwrap_err();
    assert_eq!(error.to_string(), "the store does not answer: it took more than 20ms");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_hangs_is_given_up_at_once_until_it_answers_again() {
    let threads = backend::DiskThreads::new().unwrap();
    let patience = Duration::from_secs(10);
    for _ in 0..16 {
        assert!(!threads.all_hang(patience));
        threads.note(false);
    }
    assert!(threads.all_hang(patience));
    tokio::time::advance(patience).await;
    assert!(!threads.all_hang(patience), "one looks whether it is so still");
    assert!(threads.all_hang(patience), "and only one");
    threads.note(true);
    assert!(!threads.all_hang(patience));
}

#[tokio::test]
async fn long_documents_take_memory_until_they_have_been_worked_on() {
    let intake = Intake::new(crate::intake::IntakeLimits { memory_bytes: 4 << 20, ..Default::default() });
    let store = Archive::open("memory:").unwrap().within(intake.clone());
    for (id, bytes) in [("long", 250_000), ("short", 1_000)] {
        store.put(DocumentKind::MetricSetList, id, &"x".repeat(bytes)).await.unwrap();
    }
    let get = |id: &'static str| store.get::<String>(DocumentKind::MetricSetList, id);
    let first = get("long").await.unwrap().unwrap();
    assert!(intake.counts().bytes >= 2_000_000);
    assert!(matches!(get("long").await, Err(ArchiveError::Busy(_))));
    assert_eq!(get("short").await.unwrap().unwrap().value.len(), 1_000);
    drop(first);
    assert_eq!(get("long").await.unwrap().unwrap().value.len(), 250_000);
    assert_eq!(intake.counts().bytes, 0);
}

/// A bucket over a real socket, with the replies of S3: what is asked of it, and what its answers become.
#[cfg(feature = "cloud-stores")]
mod buckets {
    use wiremock::matchers::{header, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::backend::PATIENCE;
    use super::*;

    async fn bucket(server: &MockServer) -> Archive {
        use object_store::aws::AmazonS3Builder;
        drop(rustls::crypto::ring::default_provider().install_default());
        // As `location` opens it, but for the address and the keys, which it takes from the environment.
        let opened = AmazonS3Builder::new()
            .with_url("s3://bucket/team")
            .with_endpoint(server.uri())
            .with_allow_http(true)
            .with_region("eu-west-1")
            .with_access_key_id("key")
            .with_secret_access_key("hunter2")
            .with_retry(object_store::RetryConfig { max_retries: 0, ..Default::default() })
            .build()
            .unwrap();
        let (prefix, place) = (Path::from("team"), "s3://bucket/team".to_owned());
        Archive(
            Arc::new(Backend { objects: Box::new(opened), prefix, place, ordered: true, room: None, patience: PATIENCE, threads: None }),
            Intake::default(),
        )
    }

    #[tokio::test]
    async fn a_create_is_conditional_and_a_lost_one_exists() {
        let server = MockServer::start().await;
        let put = || Mock::given(method("PUT")).and(header("if-none-match", "*"));
        put()
            .and(path("/bucket/team/executions/new"))
            .respond_with(ResponseTemplate::new(200).insert_header("etag", "e"))
            .mount(&server)
            .await;
        put().and(path("/bucket/team/executions/old")).respond_with(ResponseTemplate::new(412)).mount(&server).await;
        let store = bucket(&server).await;
        store.create(DocumentKind::Execution, "new", &json!(1)).await.unwrap();
        let exists = ArchiveError::Exists { key: "executions/old".to_owned() };
        assert_eq!(store.create(DocumentKind::Execution, "old", &json!(1)).await, Err(exists));
    }

    #[tokio::test]
    async fn what_the_bucket_refuses_and_what_it_cannot_do_are_told_apart() {
        let server = MockServer::start().await;
        for (id, status) in [("denied", 403), ("broken", 500), ("nowhere", 404)] {
            let place = format!("/bucket/team/executions/{id}");
            Mock::given(path(place)).respond_with(ResponseTemplate::new(status).set_body_string("<Error/>")).mount(&server).await;
        }
        let store = bucket(&server).await;
        let create = async |id| store.create(DocumentKind::Execution, id, &json!(1)).await.unwrap_err();
        assert!(matches!(create("denied").await, ArchiveError::Refused(_)));
        assert!(matches!(create("broken").await, ArchiveError::Unavailable(_)));
        // The bucket itself is missing.
        assert!(matches!(create("nowhere").await, ArchiveError::Refused(_)));
        assert!(store.get::<Value>(DocumentKind::Execution, "nowhere").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_page_is_asked_for_below_its_folder() {
        let server = MockServer::start().await;
        let object = |key: &str| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>e</ETag><Size>2</Size></Contents>"
            )
        };
        let contents: String = ["a", "b%2Fc", "d"].map(|id| object(&format!("team/canary-configs/{id}"))).concat();
        let reply = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>");
        Mock::given(method("GET"))
            .and(path("/bucket"))
            .and(query_param("prefix", "team/canary-configs/"))
            .respond_with(ResponseTemplate::new(200).set_body_string(reply))
            .mount(&server)
            .await;
        let store = bucket(&server).await;
        let listed = store.list(DocumentKind::CanaryConfig, None, 2).await.unwrap();
        assert_eq!(listed.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["a", "b/c"]);
        assert_eq!(listed[0].updated.to_string(), "2026-01-02T03:04:05.678Z");
    }
}
