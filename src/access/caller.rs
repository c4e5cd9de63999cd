//! Who asks, and what they may do.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::denial::Denial;
use super::table::{AccessRole, TokenGrant};

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Requester {
    /// Anybody: no tokens are configured.
    Anyone,
    /// The holder of a token.
    Token(Arc<TokenGrant>),
    /// Whoever has a signed link to what is asked for.
    Link,
}

fn allows(only: Option<&BTreeSet<String>>, what: &str, name: &str, token: &str) -> Result<(), Denial> {
    match only {
        Some(only) if !only.contains(name) => {
            let shown: String = name.chars().take(60).collect();
            let known: Vec<&str> = only.iter().map(String::as_str).collect();
            let named = if shown.is_empty() {
                format!("{what} that the request does not name")
            } else {
                format!("the {} `{shown}`", what.split(' ').next_back().unwrap_or(what))
            };
            Err(Denial::forbidden(format!("the token `{token}` may not use {named}, only: {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

impl Requester {
    fn grant(&self) -> Option<&TokenGrant> {
        match self {
            Self::Token(grant) => Some(grant),
            Self::Anyone | Self::Link => None,
        }
    }

    /// Whether they have a role, or one that includes it.
    pub(super) fn has(&self, role: AccessRole) -> Result<(), Denial> {
        let Some(grant) = self.grant() else { return Ok(()) };
        let enough = |own: &AccessRole| match role {
            AccessRole::Read => true,
            AccessRole::Judge => matches!(own, AccessRole::Judge | AccessRole::Admin),
            AccessRole::Admin => matches!(own, AccessRole::Admin),
        };
        if grant.roles.iter().any(enough) {
            return Ok(());
        }
        let own: Vec<String> = grant.roles.iter().map(AccessRole::to_string).collect();
        Err(Denial::forbidden(format!("the token `{}` has the role {}, and this needs `{role}`", grant.name, own.join(", "))))
    }

    /// Whether they may read from this source.
    ///
    /// # Errors
    /// [`Denial`] when not.
    pub(crate) fn may_use_source(&self, name: &str) -> Result<(), Denial> {
        self.grant().map_or(Ok(()), |grant| allows(grant.sources.as_ref(), "a source", name, &grant.name))
    }

    /// The only sources that they may read from; `None` for every one.
    pub(crate) fn sources(&self) -> Option<&BTreeSet<String>> {
        self.grant().and_then(|grant| grant.sources.as_ref())
    }

    /// Whether they may judge by this config on offer, or look at what was judged by it; `None` for one that comes with the request.
    ///
    /// # Errors
    /// [`Denial`] when not.
    pub(crate) fn may_use_config(&self, name: Option<&str>) -> Result<(), Denial> {
        let Some(grant) = self.grant() else { return Ok(()) };
        match name {
            Some(name) => allows(grant.configs.as_ref(), "a config", name, &grant.name),
            None if grant.configs.is_none() => Ok(()),
            None => Err(Denial::forbidden(format!(
                "the token `{}` may judge by certain configs on offer alone, and this one comes with the request",
                grant.name
            ))),
        }
    }

    /// Whether they may list the judgements by this config; `None` for those by every one. Of what they may list, those from sources that
    /// they may not read from are to be left out ([`Requester::sources`]).
    ///
    /// # Errors
    /// [`Denial`] when not.
    pub(crate) fn may_list(&self, config: Option<&str>) -> Result<(), Denial> {
        match (config, self.grant()) {
            (_, Some(grant)) if grant.applications.is_some() => Err(Denial::forbidden(format!(
                "the token `{}` may list the judgements of certain applications alone, and these do not say whose they are; ask \
                 `/canary/executions` for those",
                grant.name
            ))),
            (None, Some(grant)) if grant.configs.is_none() && grant.sources.is_some() => Err(Denial::forbidden(format!(
                "the token `{}` may read from certain sources alone, and a list of judgements is of all; give it `configs` too",
                grant.name
            ))),
            (None, Some(grant)) if grant.configs.is_some() => Err(Denial::forbidden(format!(
                "the token `{}` may list judgements by certain configs alone; say which as `config=NAME`",
                grant.name
            ))),
            (None, _) => Ok(()),
            (Some(_), _) => self.may_use_config(config),
        }
    }

    /// Whether they may speak of this application, as Kayenta's API has them.
    ///
    /// # Errors
    /// [`Denial`] when not.
    pub(crate) fn may_use_application(&self, name: &str) -> Result<(), Denial> {
        self.grant().map_or(Ok(()), |grant| allows(grant.applications.as_ref(), "an application", name, &grant.name))
    }

    /// Whether they may use what is of these applications, all of them; with none it is everybody's.
    ///
    /// # Errors
    /// [`Denial`] when not.
    pub(crate) fn may_use_applications<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<(), Denial> {
        let mut names = names.into_iter().peekable();
        if names.peek().is_none() { self.may_use_application("") } else { names.try_for_each(|name| self.may_use_application(name)) }
    }

    /// Whether it matters whose application something is.
    pub(crate) fn is_bound_to_applications(&self) -> bool {
        self.grant().is_some_and(|grant| grant.applications.is_some())
    }

    /// What `checked` says of something that is known by its id alone: a refusal does not tell whose it is.
    ///
    /// # Errors
    /// [`Denial`] when it is of others.
    pub(crate) fn if_theirs(&self, checked: Result<(), Denial>) -> Result<(), Denial> {
        let token = self.grant().map_or("", |grant| &grant.name);
        let bound = "is bound to certain configs, sources or applications, and this is of others";
        checked.map_err(|_| Denial::forbidden(format!("the token `{token}` {bound}")))
    }

    /// Whether nothing bounds what they may ask but their role.
    ///
    /// # Errors
    /// [`Denial`] when something does.
    pub(crate) fn is_unbound(&self) -> Result<(), Denial> {
        match self.grant() {
            Some(grant) if grant.configs.is_some() || grant.sources.is_some() || grant.applications.is_some() => Err(Denial::forbidden(
                format!("the token `{}` is bound to certain configs, sources or applications, and this is of all of them", grant.name),
            )),
            _ => Ok(()),
        }
    }

    /// The name of their token.
    pub(crate) fn token_name(&self) -> Option<&str> {
        self.grant().map(|grant| grant.name.as_str())
    }
}
