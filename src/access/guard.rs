//! Around every request: who asks is found out before routing ([`admit`]), and whether they may ask that is decided once the route is known
//! ([`permit`]), so that no way of writing an address is taken for another route than it leads to.

use std::sync::Arc;

use axum::extract::{MatchedPath, OriginalUri, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;

use super::address::{self, AddressCredentials};
use super::bounds;
use super::caller::Requester;
use super::denial::Denial;
use super::state::Access;
use super::table::AccessRole;
use super::token::is_token;

/// What was found out of who asks, until the route is known.
#[derive(Debug, Clone)]
struct Admission(Result<Requester, Denial>);

/// Takes credentials out of the address, looks at the host and the origin, and finds out who asks.
pub(crate) async fn admit(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    let mut uri = request.uri().clone();
    // Over HTTP/2 the host is a part of the address.
    let authority = uri.authority().map(|authority| authority.as_str().to_owned());
    let found = address::take(&mut uri);
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or("(no text)").to_owned());
    let path = uri.path().to_owned();
    *request.uri_mut() = uri.clone();
    request.extensions_mut().insert(OriginalUri(uri));
    let asked = authority.or(host);
    let decided = access
        .hosts
        .check(asked.as_deref())
        .and_then(|()| access.origins.check(request.method(), request.headers(), asked.as_deref()))
        .and_then(|()| identify(&access, request.method(), request.headers(), &path, found));
    // Whoever is behind this needs to know who asks, and not by what.
    if access.tokens().is_some() {
        request.headers_mut().remove(header::AUTHORIZATION);
    }
    request.extensions_mut().insert(Admission(decided));
    next.run(request).await
}

fn identify(access: &Access, method: &Method, headers: &HeaderMap, path: &str, found: AddressCredentials) -> Result<Requester, Denial> {
    let Some(tokens) = access.tokens() else { return Ok(Requester::Anyone) };
    let bearer = match headers.get(header::AUTHORIZATION) {
        None => None,
        Some(value) => {
            let text = value.to_str().unwrap_or_default();
            let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
            Some(token.ok_or_else(|| {
                Denial::unauthenticated("the header Authorization holds no bearer token; send `Authorization: Bearer TOKEN`")
            })?)
        }
    };
    let Some(token) = bearer.or(found.token.as_deref()) else {
        if let Some((expires, signature)) = &found.link
            && matches!(*method, Method::GET | Method::HEAD)
        {
            return access
                .links
                .verify(path, expires, signature, Timestamp::now())
                .map(|()| Requester::Link)
                .map_err(Denial::unauthenticated);
        }
        return Err(Denial::unauthenticated(
            "send a token as `Authorization: Bearer TOKEN`, or before the path as `/t/TOKEN/...` where no header can be sent",
        ));
    };
    let grant = Some(token).filter(|token| is_token(token)).and_then(|token| tokens.find(token));
    let grant = grant.ok_or_else(|| Denial::unauthenticated("the token is not known here; it may have been replaced"))?;
    if grant.expires.is_some_and(|expires| Timestamp::now() >= expires) {
        return Err(Denial::unauthenticated(format!("the token `{}` has ended; ask for another one", grant.name)));
    }
    Ok(Requester::Token(Arc::clone(grant)))
}

/// What a request needs, by its method and its route's pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RouteNeed {
    /// Nothing, whatever its host: says whether the process lives.
    Nothing,
    /// Nothing but that it means this service: says whether to send requests here.
    Host,
    /// A token with this role, if there are tokens.
    Role(AccessRole),
}

fn need(method: &Method, route: Option<&str>) -> RouteNeed {
    let route = route.unwrap_or_default();
    let below = |resource: &str| route.strip_prefix(resource).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let documents = ["/canaryConfig", "/metricSetPairList", "/metricSetList", "/canaryResultArchive"];
    match (method, route) {
        (&Method::GET | &Method::HEAD, "/health/live") => RouteNeed::Nothing,
        (&Method::GET | &Method::HEAD, "/health/ready" | "/health" | "/health/") => RouteNeed::Host,
        (&Method::GET | &Method::HEAD | &Method::OPTIONS, _) => RouteNeed::Role(AccessRole::Read),
        (&Method::POST, _) if !documents.into_iter().any(below) => RouteNeed::Role(AccessRole::Judge),
        (&Method::PUT, _) if below("/pipelines") => RouteNeed::Role(AccessRole::Judge),
        _ => RouteNeed::Role(AccessRole::Admin),
    }
}

/// Turns a request away that its caller may not send, and hands on to the others who asks.
pub(crate) async fn permit(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    match decide(&access, &mut request) {
        Ok(caller) => {
            if let Some(caller) = caller {
                if let Some(token) = caller.token_name() {
                    tracing::Span::current().record("token", token);
                }
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(denial) => {
            access.counts.denied(denial.slug);
            tracing::debug!(reason = denial.slug, detail = denial.detail, "a request was turned away");
            denial.into_response()
        }
    }
}

/// Who asks, where they may; nobody in particular where that does not matter.
fn decide(access: &Access, request: &mut Request) -> Result<Option<Requester>, Denial> {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let need = need(request.method(), route.as_deref());
    // Where nobody looked at who asks, as in a router that is not served, nobody gets past tokens.
    let admission = match request.extensions_mut().remove::<Admission>() {
        Some(Admission(admission)) => admission,
        None if access.tokens().is_none() => Ok(Requester::Anyone),
        None => Err(Denial::unauthenticated("nobody looked at who asks")),
    };
    let bound = |caller: &Requester| bounds::check(caller, request.method(), route.as_deref().unwrap_or_default(), request.uri());
    match (need, admission) {
        (RouteNeed::Nothing, admission) => Ok(admission.ok()),
        (RouteNeed::Host, Err(denial)) if denial.slug == "unauthenticated" => Ok(None),
        (RouteNeed::Host, admission) => admission.map(Some),
        (RouteNeed::Role(role), admission) => admission.and_then(|caller| {
            caller.has(role)?;
            bound(&caller)?;
            in_time(&caller)?;
            Ok(Some(caller))
        }),
    }
}

/// Whether the caller's token has requests left.
fn in_time(caller: &Requester) -> Result<(), Denial> {
    use governor::clock::{Clock as _, DefaultClock};
    let Requester::Token(grant) = caller else { return Ok(()) };
    let (Some(rate), Some(per_minute)) = (&grant.rate, grant.per_minute) else { return Ok(()) };
    rate.check().map_err(|not_until| {
        let wait = not_until.wait_time_from(DefaultClock::default().now());
        Denial::too_many(&grant.name, per_minute.get(), wait.as_secs() + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_route_needs_follows_from_its_method_and_pattern() {
        let role = RouteNeed::Role;
        for (method, route, expected) in [
            (Method::GET, "/health/live", RouteNeed::Nothing),
            (Method::GET, "/health/ready", RouteNeed::Host),
            (Method::POST, "/health/live", role(AccessRole::Judge)),
            (Method::GET, "/metrics", role(AccessRole::Read)),
            (Method::GET, "/v1/judgements/{id}", role(AccessRole::Read)),
            (Method::POST, "/v1/judgements", role(AccessRole::Judge)),
            (Method::POST, "/canary/{id}", role(AccessRole::Judge)),
            (Method::POST, "/judges/judge", role(AccessRole::Judge)),
            (Method::PUT, "/pipelines/{id}/cancel", role(AccessRole::Judge)),
            (Method::POST, "/canaryConfig", role(AccessRole::Admin)),
            (Method::POST, "/canaryConfig/", role(AccessRole::Admin)),
            (Method::PUT, "/canaryConfig/{id}", role(AccessRole::Admin)),
            (Method::DELETE, "/metricSetList/{id}", role(AccessRole::Admin)),
            (Method::POST, "/canaryResultArchive", role(AccessRole::Admin)),
            (Method::PATCH, "/anything", role(AccessRole::Admin)),
        ] {
            assert_eq!(need(&method, Some(route)), expected, "{method} {route}");
        }
        assert_eq!(need(&Method::GET, None), role(AccessRole::Read));
    }
}
