//! The names by which the service is asked for. A page on the internet can make a browser ask it under the page's own name (DNS rebinding);
//! its requests then count as the page's own, unless the name is looked at.

use std::net::{IpAddr, SocketAddr};

use super::denial::Denial;

/// The names by which the service may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostRule {
    /// Any.
    Any,
    /// These, at any port unless they name one.
    Only(Vec<String>),
}

/// A host and its port, if it has one; of an IPv6 address without the brackets.
fn parts(authority: &str) -> (&str, Option<&str>) {
    if let Some(rest) = authority.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((address, port)) => (address, port.strip_prefix(':')),
            None => (rest, None),
        };
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        _ => (authority, None),
    }
}

impl HostRule {
    /// Those that are stated, beside those by which a service is asked on its own machine; where none is stated, these alone if it
    /// listens for its own machine, and else any.
    pub(super) fn new(stated: &[String], listen: SocketAddr) -> Self {
        if stated.iter().any(|host| host == "*") || (stated.is_empty() && !listen.ip().to_canonical().is_loopback()) {
            return Self::Any;
        }
        let mut names: Vec<String> = stated.iter().map(|host| host.to_ascii_lowercase()).collect();
        for own in ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), listen.ip().to_string()] {
            if !names.contains(&own) {
                names.push(own);
            }
        }
        Self::Only(names)
    }

    /// Whether a request for this authority is one for this service. Who names none is no browser.
    pub(super) fn check(&self, authority: Option<&str>) -> Result<(), Denial> {
        let (Self::Only(allowed), Some(authority)) = (self, authority) else { return Ok(()) };
        let asked = authority.trim().to_ascii_lowercase();
        let (host, port) = parts(&asked);
        let host = host.trim_end_matches('.');
        let is_it = |allowed: &String| {
            let (name, own_port) = match allowed.parse::<IpAddr>() {
                Ok(_) => (allowed.as_str(), None),
                Err(_) => parts(allowed),
            };
            let names = match name.strip_prefix("*.") {
                Some(domain) => host.strip_suffix(domain).is_some_and(|before| before.len() > 1 && before.ends_with('.')),
                None => name == host,
            };
            names && own_port.is_none_or(|own| Some(own) == port)
        };
        if allowed.iter().any(is_it) {
            return Ok(());
        }
        let shown: String = asked.chars().filter(|c| !c.is_control()).take(100).collect();
        Err(Denial::unknown_host(format!(
            "`{shown}` is no name by which this service is known; if it is, start the service with `--allowed-host {shown}`, and else ask for \
             one of: {}",
            allowed.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(stated: &[&str], listen: &str) -> HostRule {
        HostRule::new(&stated.iter().map(|&host| host.to_owned()).collect::<Vec<_>>(), listen.parse().unwrap())
    }

    #[test]
    fn on_its_own_machine_it_has_the_machines_names_and_elsewhere_any() {
        let own = rule(&[], "127.0.0.1:8090");
        for fine in ["localhost:8090", "LOCALHOST", "127.0.0.1:1", "[::1]:8090", "[::1]", "localhost."] {
            assert!(own.check(Some(fine)).is_ok(), "{fine}");
        }
        for foreign in
            ["attacker.example", "attacker.example:8090", "127.0.0.1.attacker.example", "localhost.attacker.example", "", "[::2]"]
        {
            let denial = own.check(Some(foreign)).unwrap_err();
            assert!(denial.status.as_u16() == 421 && denial.detail.contains("--allowed-host"), "{foreign}");
        }
        assert!(own.check(None).is_ok());
        assert_eq!(rule(&[], "0.0.0.0:8090"), HostRule::Any);
        assert_eq!(rule(&["*"], "127.0.0.1:8090"), HostRule::Any);
    }

    #[test]
    fn names_may_have_a_port_or_stand_for_a_domain() {
        let rule = rule(&["haldane.example", "canary.example:8443", "*.svc.cluster.local"], "0.0.0.0:8090");
        for fine in ["haldane.example", "haldane.example:80", "canary.example:8443", "haldane.prod.svc.cluster.local:8090", "localhost"] {
            assert!(rule.check(Some(fine)).is_ok(), "{fine}");
        }
        for foreign in ["canary.example", "canary.example:80", "svc.cluster.local", "evilsvc.cluster.local", ".svc.cluster.local"] {
            assert!(rule.check(Some(foreign)).is_err(), "{foreign}");
        }
    }
}
