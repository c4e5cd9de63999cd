//! What a token that is bound to certain configs, sources or applications may ask through Kayenta's API, where the address says which it is
//! about. Through the native API the body says it, and its handler asks [`Requester`] itself.

use axum::http::{Method, Uri};
use percent_encoding::percent_decode_str;

use super::caller::Requester;
use super::denial::Denial;

/// What a route of Kayenta's API uses, and how its address names it.
struct RouteUse {
    method: Method,
    route: &'static str,
    config: ConfigUse,
    application: bool,
    source: bool,
}

#[derive(Clone, Copy)]
enum ConfigUse {
    None,
    /// It comes with the request.
    Inline,
    /// Its id is the end of the path.
    Path,
    /// Its id is the parameter `canaryConfigId`.
    Parameter,
}

const USES: [RouteUse; 14] = [
    RouteUse { method: Method::POST, route: "/canary", config: ConfigUse::Inline, application: true, source: true },
    RouteUse { method: Method::POST, route: "/canary/{id}", config: ConfigUse::Path, application: true, source: true },
    RouteUse { method: Method::GET, route: "/canary/executions", config: ConfigUse::None, application: true, source: false },
    RouteUse { method: Method::POST, route: "/standalone_canary_analysis", config: ConfigUse::Inline, application: true, source: true },
    RouteUse { method: Method::POST, route: "/standalone_canary_analysis/{id}", config: ConfigUse::Path, application: true, source: true },
    RouteUse { method: Method::GET, route: "/canaryConfig/{id}", config: ConfigUse::Path, application: false, source: false },
    // Of which applications a config is, it says itself: see `Requester::may_use_applications`.
    RouteUse { method: Method::POST, route: "/canaryConfig", config: ConfigUse::Inline, application: false, source: false },
    RouteUse { method: Method::PUT, route: "/canaryConfig/{id}", config: ConfigUse::Path, application: false, source: false },
    RouteUse { method: Method::DELETE, route: "/canaryConfig/{id}", config: ConfigUse::Path, application: false, source: false },
    RouteUse { method: Method::POST, route: "/judge", config: ConfigUse::Inline, application: false, source: false },
    RouteUse { method: Method::POST, route: "/judges/judge", config: ConfigUse::Parameter, application: false, source: false },
    RouteUse { method: Method::POST, route: "/fetch/prometheus/query", config: ConfigUse::Inline, application: false, source: true },
    RouteUse { method: Method::POST, route: "/fetch/datadog/query", config: ConfigUse::Inline, application: false, source: true },
    RouteUse { method: Method::GET, route: "/metadata/metricsService", config: ConfigUse::None, application: false, source: true },
];

/// Routes that show or change what is everybody's: lists of documents that do not say whose they are, documents whose ids a caller chooses,
/// and what the process counts, which names every source and config.
const SHARED: [(Method, &str); 11] = [
    (Method::GET, "/metrics"),
    (Method::GET, "/canaryResultArchive"),
    (Method::POST, "/canaryResultArchive"),
    (Method::PUT, "/canaryResultArchive/{id}"),
    (Method::DELETE, "/canaryResultArchive/{id}"),
    (Method::GET, "/metricSetList"),
    (Method::POST, "/metricSetList"),
    (Method::DELETE, "/metricSetList/{id}"),
    (Method::GET, "/metricSetPairList"),
    (Method::POST, "/metricSetPairList"),
    (Method::DELETE, "/metricSetPairList/{id}"),
];

/// Every value that the query gives a parameter, so that no repetition hides one.
fn values(uri: &Uri, name: &str) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.filter(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.into_owned()).collect()
}

/// Whether the caller may ask this, as far as the address says what it is about.
pub(super) fn check(caller: &Requester, method: &Method, route: &str, uri: &Uri) -> Result<(), Denial> {
    let route = if route.len() > 1 { route.trim_end_matches('/') } else { route };
    let asked = if *method == Method::HEAD { &Method::GET } else { method };
    if SHARED.iter().any(|(method, shared)| method == asked && *shared == route) {
        return caller.is_unbound();
    }
    let Some(used) = USES.iter().find(|used| used.method == *asked && used.route == route) else { return Ok(()) };
    match used.config {
        ConfigUse::None => {}
        ConfigUse::Inline => caller.may_use_config(None)?,
        ConfigUse::Path => {
            let last = uri.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            caller.may_use_config(Some(&percent_decode_str(last).decode_utf8_lossy()))?;
        }
        ConfigUse::Parameter => every(&values(uri, "canaryConfigId"), |name| caller.may_use_config(Some(name)))?,
    }
    if used.application {
        every(&values(uri, "application"), |name| caller.may_use_application(name))?;
    }
    if used.source {
        every(&values(uri, "metricsAccountName"), |name| caller.may_use_source(name))?;
    }
    Ok(())
}

/// All of them; and where none is given, what stands for it must be allowed, which nothing bound is.
fn every(names: &[String], check: impl Fn(&str) -> Result<(), Denial>) -> Result<(), Denial> {
    if names.is_empty() { check("") } else { names.iter().try_for_each(|name| check(name)) }
}
