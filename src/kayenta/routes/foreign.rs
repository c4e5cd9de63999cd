//! Whose an execution is: a token that is bound to applications, sources or configs reads and stops no others, even where it knows their id.

use serde_json::Value;

use crate::access::Requester;
use crate::kayenta::answering::execution::AD_HOC;
use crate::kayenta::answering::payload::{CanaryPayload, Execution, Payload, StandalonePayload};
use crate::kayenta::answering::reply::ErrorReply;

/// Refuses an execution that is none of the caller's.
pub(super) fn refuse_execution(caller: &Requester, execution: &Execution) -> Result<(), ErrorReply> {
    match &execution.payload {
        Payload::Canary(CanaryPayload { origin, .. }) | Payload::Standalone(StandalonePayload { origin, .. }) => {
            refuse(caller, &origin.application, origin.metrics_account.as_deref(), Some(&origin.canary_config_id))
        }
        Payload::Fetch(fetch) => Ok(caller.if_theirs(caller.may_use_source(&fetch.metrics_account))?),
    }
}

/// Refuses the kept status of an execution that is none of the caller's.
pub(super) fn refuse_status(caller: &Requester, status: &Value) -> Result<(), ErrorReply> {
    let field = |name: &str| status[name].as_str();
    refuse(caller, field("application").unwrap_or_default(), field("metricsAccountName"), field("canaryConfigId"))
}

fn refuse(caller: &Requester, application: &str, source: Option<&str>, config: Option<&str>) -> Result<(), ErrorReply> {
    let checked = caller
        .may_use_application(application)
        .and_then(|()| caller.may_use_source(source.unwrap_or_default()))
        .and_then(|()| caller.may_use_config(config.filter(|id| *id != AD_HOC)));
    Ok(caller.if_theirs(checked)?)
}
