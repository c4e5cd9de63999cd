//! `/canaryConfig`: the canary configs in Kayenta's format. Those of the config folder are there always and cannot be written to; with a
//! store others can be added, changed and deleted.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::access::Requester;
use crate::archive::{Archive, ArchiveError, DocumentKind, Entry};
use crate::kayenta::answering::archive::absent;
use crate::kayenta::answering::payload::new_id;
use crate::kayenta::answering::reply::{ErrorReply, JsonDocument, Parameters, Path, written};
use crate::kayenta::answering::state::{Edge, SharedEdge};
use crate::kayenta::reading::model::CanaryConfig;
use crate::kayenta::wire::instant::java_text;
use crate::kayenta::wire::refusal::shown as shown_text;
use crate::kayenta::wire::values::without_nulls;

/// Longest id that a client may choose, in bytes.
const MAX_ID: usize = 150;
/// Configs of a store that are read at the same time.
const READ_AT_ONCE: usize = 32;
/// Time after which a config's time tells whether it has changed.
const SETTLED: SignedDuration = SignedDuration::from_secs(10);
/// Most configs of a store that are listed.
const MOST_LISTED: usize = 10_000;

/// A line of the list. All five fields are always there: one without them would spoil the whole list for Orca.
fn summary(id: &str, config: &Value, updated: Timestamp) -> Value {
    let applications: Vec<&Value> = config["applications"].as_array().into_iter().flatten().filter(|one| one.is_string()).collect();
    json!({
        "id": id,
        "name": config["name"].as_str().unwrap_or(id),
        "updatedTimestamp": updated.as_millisecond(),
        "updatedTimestampIso": java_text(updated),
        "applications": applications,
    })
}

/// The applications that a config, or its line in the list, says it is of.
fn applications(config: &Value) -> impl Iterator<Item = &str> {
    config["applications"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Whether the caller may know of a config: it is one of theirs, and of one of their applications, if it is of any.
fn may_see(caller: &Requester, id: &str, config: &Value) -> bool {
    let mut of = applications(config).peekable();
    let theirs = of.peek().is_none() || of.any(|application| caller.may_use_application(application).is_ok());
    caller.may_use_config(Some(id)).is_ok() && theirs
}

/// Refuses a config that the caller may not know of.
pub(super) fn refuse_foreign(caller: &Requester, id: &str, config: &Value) -> Result<(), ErrorReply> {
    let theirs = || caller.may_use_config(Some(id)).and_then(|()| caller.may_use_applications(applications(config)));
    if may_see(caller, id, config) { Ok(()) } else { Ok(caller.if_theirs(theirs())?) }
}

fn shares(summary: &Value, wanted: &[&str]) -> bool {
    wanted.is_empty() || applications(summary).any(|application| wanted.contains(&application))
}

impl Edge {
    /// The stored config of that id.
    pub(crate) async fn config(&self, id: &str) -> Result<Value, ErrorReply> {
        if let Some(fixed) = self.configs.fixed().get(id) {
            return Ok(fixed.document.clone());
        }
        if let Some(store) = &self.configs.store
            && let Some(found) = store.get::<Value>(DocumentKind::CanaryConfig, id).await.or_else(absent)?
        {
            return Ok(found.value);
        }
        Err(ErrorReply::not_found(format!(
            "there is no canary config with the id `{}`; GET /canaryConfig lists those there are",
            shown_text(id)
        )))
    }

    /// Every stored config as a line of the list, with the folder's first.
    async fn config_summaries(&self) -> Result<Vec<Value>, ErrorReply> {
        let fixed = self.configs.fixed();
        let mut found: Vec<Value> = fixed.iter().map(|(id, one)| summary(id, &one.document, one.updated)).collect();
        let Some(store) = &self.configs.store else { return Ok(found) };
        let mut after: Option<String> = None;
        loop {
            let page = store.list(DocumentKind::CanaryConfig, after.as_deref(), crate::archive::MAX_PAGE).await?;
            let last = page.len() < crate::archive::MAX_PAGE;
            after = page.last().map(|entry| entry.id.clone());
            let mut configs = Vec::with_capacity(page.len());
            for entry in page.into_iter().filter(|entry| !fixed.contains_key(&entry.id)) {
                configs.push(self.config_line(store, entry));
            }
            let mut configs = stream::iter(configs).buffered(READ_AT_ONCE);
            while let Some(line) = configs.next().await {
                found.extend(line);
            }
            if last || found.len() >= MOST_LISTED {
                return Ok(found);
            }
        }
    }

    /// A config of the store as a line of the list, which is remembered until it changes. `None` for one that was deleted since it was listed,
    /// or is unreadable: the rest of the list is still of use.
    async fn config_line(&self, store: &Archive, entry: Entry) -> Option<Value> {
        let Entry { id, updated: stored } = entry;
        if let Some((_, line)) = self.config_lines.get(&id).await.filter(|(of, _)| *of == stored) {
            return Some(line);
        }
        let read = store.get_of_many::<Value>(DocumentKind::CanaryConfig, &id).await;
        let error = |error: &ArchiveError| tracing::warn!(%error, id, "a canary config in the store cannot be read and is not listed");
        let config = read.inspect_err(error).ok()??;
        let updated = config.value["updatedTimestamp"].as_i64().and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let line = summary(&id, &config.value, updated.unwrap_or(config.updated));
        // Stores tell times to the second: one that was just written may be written once more in it.
        if self.now().duration_since(stored) > SETTLED {
            self.config_lines.insert(id, (stored, line.clone())).await;
        }
        Some(line)
    }

    fn writable(&self) -> Result<&Archive, ErrorReply> {
        self.configs.store.as_ref().ok_or_else(|| {
            ErrorReply::bad_request(
                "canary configs cannot be written here, for lack of a store; start the service with `--store URL`, or put the config into \
                 the folder given by `--configs` on every replica",
            )
        })
    }

    fn unfixed(&self, id: &str) -> Result<(), ErrorReply> {
        if self.configs.fixed().contains_key(id) {
            let message = format!("the canary config `{}` comes from the folder given by `--configs`; change it there", shown_text(id));
            return Err(ErrorReply::bad_request(message));
        }
        Ok(())
    }

    /// Another config with this name that shares an application.
    async fn refuse_collision(&self, id: &str, config: &CanaryConfig) -> Result<(), ErrorReply> {
        let wanted: Vec<&str> = config.applications.iter().map(String::as_str).collect();
        let same = |other: &&Value| other["name"] == config.name.as_str() && other["id"] != id && shares(other, &wanted);
        // Never closed.
        let turn = self.lists.acquire().await;
        let summaries = self.config_summaries().await?;
        drop(turn);
        match summaries.iter().find(same) {
            Some(other) => Err(ErrorReply::bad_request(format!(
                "the canary config {} has the name `{}` already, for an application of this one; choose another name",
                other["id"],
                shown_text(&config.name)
            ))),
            None => Ok(()),
        }
    }
}

/// `GET /canaryConfig`.
pub(crate) async fn list(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    parameters: Parameters,
) -> Result<Response, ErrorReply> {
    edge.other_account(parameters.get("configurationAccountName"))?;
    let wanted = parameters.all("application");
    // Never closed.
    let _turn = edge.lists.acquire().await;
    let summaries = edge.config_summaries().await?;
    let known = |summary: &Value| may_see(&caller, summary["id"].as_str().unwrap_or_default(), summary);
    Ok(written(summaries.into_iter().filter(|summary| shares(summary, &wanted) && known(summary)).collect(), None).await)
}

/// `GET /canaryConfig/{id}`.
pub(crate) async fn get(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Json<Value>, ErrorReply> {
    edge.other_account(parameters.get("configurationAccountName"))?;
    let config = edge.config(&id).await?;
    refuse_foreign(&caller, &id, &config)?;
    Ok(Json(shown(config)))
}

/// `POST /canaryConfig`.
pub(crate) async fn create(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    parameters: Parameters,
    body: JsonDocument,
) -> Result<Json<Value>, ErrorReply> {
    edge.other_account(parameters.get("configurationAccountName"))?;
    let config = CanaryConfig::from_value(body.0)?;
    config.check_for_storage()?;
    caller.may_use_applications(config.applications.iter().map(String::as_str))?;
    let store = edge.writable()?;
    let now = edge.now();
    let id = if config.id.is_empty() { new_id() } else { config.id.clone() };
    refuse_id(&id)?;
    edge.unfixed(&id)?;
    edge.refuse_collision(&id, &config).await?;
    let created = config.created_timestamp.unwrap_or(now.as_millisecond());
    let updated = config.updated_timestamp.unwrap_or(created);
    let document = stamped(&config, &id, Some(created), updated)?;
    store.create(DocumentKind::CanaryConfig, &id, &document).await?;
    Ok(Json(json!({ "canaryConfigId": id })))
}

/// `PUT /canaryConfig/{id}`.
pub(crate) async fn update(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    Path(id): Path<String>,
    parameters: Parameters,
    body: JsonDocument,
) -> Result<Json<Value>, ErrorReply> {
    edge.other_account(parameters.get("configurationAccountName"))?;
    let config = CanaryConfig::from_value(body.0)?;
    config.check_for_storage()?;
    let store = edge.writable()?;
    edge.unfixed(&id)?;
    caller.may_use_applications(config.applications.iter().map(String::as_str))?;
    if let Some(known) = store.get::<Value>(DocumentKind::CanaryConfig, &id).await? {
        caller.may_use_applications(applications(&known.value))?;
    } else {
        return Err(ErrorReply::bad_request(format!("there is no canary config `{}` to change; POST makes a new one", shown_text(&id))));
    }
    edge.refuse_collision(&id, &config).await?;
    let body_id = if config.id.is_empty() { id.clone() } else { config.id.clone() };
    let document = stamped(&config, &body_id, config.created_timestamp, edge.now().as_millisecond())?;
    store.put(DocumentKind::CanaryConfig, &id, &document).await?;
    Ok(Json(json!({ "canaryConfigId": id })))
}

/// `DELETE /canaryConfig/{id}`.
pub(crate) async fn delete(
    State(edge): State<SharedEdge>,
    Extension(caller): Extension<Requester>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<StatusCode, ErrorReply> {
    edge.other_account(parameters.get("configurationAccountName"))?;
    let store = edge.writable()?;
    edge.unfixed(&id)?;
    if caller.is_bound_to_applications()
        && let Some(known) = store.get::<Value>(DocumentKind::CanaryConfig, &id).await.or_else(absent)?
    {
        caller.may_use_applications(applications(&known.value))?;
    }
    if store.delete(DocumentKind::CanaryConfig, &id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ErrorReply::not_found(format!("there is no canary config `{}` to delete", shown_text(&id))))
    }
}

/// A stored config as Kayenta gives it out. One that is none, which somebody else put there, is as it is.
fn shown(config: Value) -> Value {
    CanaryConfig::from_value(config.clone()).map_or_else(|_| without_nulls(config), |config| config.shown())
}

/// The config with its id and times, and all else as it was sent.
fn stamped(config: &CanaryConfig, id: &str, created: Option<i64>, updated: i64) -> Result<Value, ErrorReply> {
    let mut document = match without_nulls(config.document().clone()) {
        Value::Object(document) => document,
        _ => Map::new(),
    };
    document.insert("id".to_owned(), id.into());
    for (name, millis) in [("createdTimestamp", created), ("updatedTimestamp", Some(updated))] {
        let Some(millis) = millis else { continue };
        let at = Timestamp::from_millisecond(millis)
            .map_err(|_| ErrorReply::bad_request(format!("/{name}: {millis} is no time in milliseconds since 1970")))?;
        document.insert(name.to_owned(), millis.into());
        document.insert(format!("{name}Iso"), java_text(at).into());
    }
    Ok(document.into())
}

/// Refuses ids by which a config could not be asked for again.
fn refuse_id(id: &str) -> Result<(), ErrorReply> {
    let plain = id.len() <= MAX_ID && id.chars().all(|c| !c.is_control() && !matches!(c, '/' | '\\' | '?' | '#' | '%'));
    if !plain || matches!(id, "." | ".." | "executions") {
        let id = shown_text(id);
        return Err(ErrorReply::bad_request(format!(
            "/id: `{id}` cannot stand in an address; leave it out, or give up to {MAX_ID} characters without `/`, `?`, `#`, `%` and `\\`"
        )));
    }
    Ok(())
}
