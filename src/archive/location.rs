//! From a URL to the store it names.

use std::path::Path as FilePath;
use std::sync::atomic::AtomicU64;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use url::Url;

use super::backend::{Backend, DiskThreads, MAX_MEMORY_BYTES, MemoryBound, PATIENCE};
use super::error::{InvalidArchive, reason};

const SCHEMES: &str = "`memory:`, `file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`";

pub(super) fn open(text: &str) -> Result<Backend, InvalidArchive> {
    // The URL itself is never repeated: somebody may have written a secret into it.
    let Ok(url) = Url::parse(text) else {
        return Err(invalid(format!("is no URL; give {SCHEMES}")));
    };
    if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        let message = "has a password, a query or a fragment; give the place alone, and credentials by the environment variables of \
                       its provider";
        return Err(invalid(format!("of scheme `{}` {message}", shown(url.scheme()))));
    }
    match url.scheme() {
        "memory" => memory(&url),
        "file" => folder(text, &url),
        "s3" | "s3a" | "gs" | "az" | "azure" | "abfs" | "abfss" => bucket(&url),
        other => Err(invalid(format!("has scheme `{}`, which is no store's; give {SCHEMES}", shown(other)))),
    }
}

fn invalid(message: impl AsRef<str>) -> InvalidArchive {
    InvalidArchive(format!("the store's URL {}", message.as_ref()))
}

fn shown(scheme: &str) -> String {
    scheme.chars().take(20).collect()
}

fn memory(url: &Url) -> Result<Backend, InvalidArchive> {
    if url.has_host() || !matches!(url.path(), "" | "/") {
        return Err(invalid("of scheme `memory` names a place, and memory has none; give `memory:`"));
    }
    Ok(Backend {
        objects: Box::new(InMemory::new()),
        prefix: Path::default(),
        place: "memory:".to_owned(),
        ordered: true,
        room: Some(MemoryBound { most: MAX_MEMORY_BYTES, written: AtomicU64::new(0) }),
        patience: PATIENCE,
        threads: None,
    })
}

fn folder(text: &str, url: &Url) -> Result<Backend, InvalidArchive> {
    // `file:data` and `file://data` are read as `/data` and as the machine `data`; neither is what was meant.
    let absolute = text.get(5..).is_some_and(|rest| rest.starts_with("///") || rest.starts_with('/') && !rest.starts_with("//"));
    let path = url.to_file_path().ok().filter(|path| absolute && path.parent().is_some());
    let path = path.ok_or_else(|| invalid("of scheme `file` has no absolute path to a folder; give `file:///absolute/path`"))?;
    let unusable = |what: &str, error: &dyn std::fmt::Display| {
        invalid(format!("names the folder {}, which cannot be {what}: {error}; give one that this process may write to", path.display()))
    };
    std::fs::create_dir_all(&path).map_err(|error| unusable("made", &error))?;
    writable(&path).map_err(|error| unusable("written to", &error))?;
    let objects = LocalFileSystem::new_with_prefix(&path).map_err(|error| unusable("opened", &error))?;
    let threads = DiskThreads::new().map_err(|error| unusable("worked on by threads of its own", &error))?;
    Ok(Backend {
        objects: Box::new(objects),
        prefix: Path::default(),
        place: url.to_string(),
        ordered: false,
        room: None,
        patience: PATIENCE,
        threads: Some(threads),
    })
}

/// Tells now, and not at the first execution, that a folder is read-only.
fn writable(folder: &FilePath) -> std::io::Result<()> {
    let probe = folder.join(format!(".haldane-{}", std::process::id()));
    std::fs::write(&probe, [])?;
    std::fs::remove_file(&probe)
}

fn bucket(url: &Url) -> Result<Backend, InvalidArchive> {
    // For Azure, `abfs://container@account.host/` is a form of the place; elsewhere a name before `@` would be a key.
    let azure = !matches!(url.scheme(), "s3" | "s3a" | "gs");
    if url.host_str().is_none_or(str::is_empty) || (!azure && !url.username().is_empty()) {
        let scheme = url.scheme();
        return Err(invalid(format!("of scheme `{scheme}` names no bucket; give `{scheme}://bucket/prefix`")));
    }
    let prefix = Path::from_url_path(url.path()).map_err(|_| {
        invalid(format!("of scheme `{}` has a prefix that is no path of a bucket; give `{}://bucket/prefix`", url.scheme(), url.scheme()))
    })?;
    // "Directory buckets" of S3 list keys in no order.
    let ordered = !url.host_str().is_some_and(|bucket| bucket.ends_with("--x-s3"));
    Ok(Backend { objects: cloud(url)?, prefix, place: url.to_string(), ordered, room: None, patience: PATIENCE, threads: None })
}

#[cfg(feature = "cloud-stores")]
fn cloud(url: &Url) -> Result<Box<dyn ObjectStore>, InvalidArchive> {
    use object_store::aws::AmazonS3Builder;
    use object_store::azure::MicrosoftAzureBuilder;
    use object_store::gcp::GoogleCloudStorageBuilder;
    use object_store::{Result, RetryConfig};

    fn boxed(store: Result<impl ObjectStore>) -> Result<Box<dyn ObjectStore>> {
        store.map(|store| Box::new(store) as Box<dyn ObjectStore>)
    }

    crate::tls::install_provider();
    // Callers wait meanwhile, so only a short outage is ridden out.
    let retry = || RetryConfig { max_retries: 3, retry_timeout: PATIENCE, ..RetryConfig::default() };
    let (opened, variables) = match url.scheme() {
        "s3" | "s3a" => (boxed(AmazonS3Builder::from_env().with_url(url.as_str()).with_retry(retry()).build()), "AWS_..."),
        "gs" => (boxed(GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).with_retry(retry()).build()), "GOOGLE_..."),
        _ => (boxed(MicrosoftAzureBuilder::from_env().with_url(url.as_str()).with_retry(retry()).build()), "AZURE_..."),
    };
    opened.map_err(|fault| {
        let reason = reason(&fault);
        invalid(format!("of scheme `{}` cannot be used: {reason}; check it and the environment variables {variables}", url.scheme()))
    })
}

#[cfg(not(feature = "cloud-stores"))]
fn cloud(url: &Url) -> Result<Box<dyn ObjectStore>, InvalidArchive> {
    Err(invalid(format!("has scheme `{}`, and this program was built without the feature `cloud-stores`", url.scheme())))
}
