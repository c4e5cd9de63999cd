//! One execution: who asked for it, how it stands, and the keeping of its end.

use std::time::Duration;

use serde_json::Value;

use super::payload::{CanaryPayload, Execution, Payload, RequestOrigin};
use super::prepare::{self, ExecutionPlan};
use super::reply::{ErrorReply, Parameters};
use super::state::{Edge, SharedEdge};
use super::status::{self, ExecutionProgress};
use crate::judgements::{Failure, Snapshot};

/// How much longer than a judgement may take its end is waited for, to keep its result.
const GRACE: Duration = Duration::from_secs(60);

/// The application of a request that names none.
pub(crate) const AD_HOC: &str = "ad-hoc";

/// Takes a body of `canaryConfig` and `executionRequest` apart.
pub(crate) fn config_and_request(body: Value) -> Result<(Value, Value), ErrorReply> {
    let Value::Object(mut body) = body else {
        return Err(ErrorReply::bad_request("the body is an object with `canaryConfig` and `executionRequest`"));
    };
    let mut part = |name: &str| {
        body.remove(name)
            .filter(|value| !value.is_null())
            .ok_or_else(|| ErrorReply::bad_request(format!("/{name}: is required and missing")))
    };
    Ok((part("canaryConfig")?, part("executionRequest")?))
}

/// Who asked and with which accounts, each of which must be known.
pub(crate) fn origin(
    edge: &Edge,
    parameters: &Parameters,
    default_application: &str,
    config_id: &str,
    kind: Option<&str>,
    stored: bool,
) -> Result<RequestOrigin, ErrorReply> {
    let metrics_account = edge.metrics_account(parameters.get("metricsAccountName"), kind)?.name().to_owned();
    let configuration_account = edge.other_account(parameters.get("configurationAccountName"))?;
    Ok(RequestOrigin {
        application: parameters.get("application").unwrap_or(default_application).to_owned(),
        parent_pipeline_execution_id: parameters.get("parentPipelineExecutionId").map(str::to_owned),
        metrics_account: Some(metrics_account),
        storage_account: edge.other_account(parameters.get("storageAccountName"))?,
        configuration_account: configuration_account.filter(|_| stored),
        canary_config_id: config_id.to_owned(),
    })
}

/// How one execution is known to stand.
pub(crate) struct ExecutionState {
    pub(crate) progress: ExecutionProgress,
    pub(crate) prepared: Option<ExecutionPlan>,
}

impl Edge {
    /// How an execution stands. It is run again where it is not known, so that any replica answers.
    pub(crate) async fn standing(&self, decoded: &Execution, payload: &CanaryPayload) -> Result<ExecutionState, ErrorReply> {
        let prepared = match prepare::canary(self, payload) {
            Ok(prepared) => prepared,
            // Accepted once; since then a setting has changed, or this replica has other ones.
            Err(refused) => {
                return Ok(ExecutionState { progress: ExecutionProgress::refused(decoded.created, refused.message()), prepared: None });
            }
        };
        let mut seen = self.executions.look(&decoded.identity, Duration::ZERO).await?;
        if seen.is_none() {
            match self.executions.follow(decoded.identity.clone(), prepared.request.clone(), true) {
                Ok(()) => seen = self.executions.look(&decoded.identity, Duration::ZERO).await?,
                // Argo Rollouts takes any answer but 200 for an error of the measurement.
                Err(Failure::Overloaded) => {}
                Err(failure) => {
                    let progress = ExecutionProgress::refused(decoded.created, failure.to_string());
                    return Ok(ExecutionState { progress, prepared: Some(prepared) });
                }
            }
        }
        let progress = match seen {
            None => ExecutionProgress::Running { started: self.now() },
            Some(Snapshot::Running { started }) => ExecutionProgress::Running { started },
            Some(Snapshot::Ended(run)) => ExecutionProgress::Ended(run),
        };
        Ok(ExecutionState { progress: progress.judged(&prepared), prepared: Some(prepared) })
    }

    /// The status of an execution, as Kayenta writes it.
    pub(crate) async fn canary_status(&self, decoded: &Execution, payload: &CanaryPayload) -> Result<Value, ErrorReply> {
        let standing = self.standing(decoded, payload).await?;
        Ok(status::canary(decoded, payload, &standing.progress, standing.prepared.as_ref()))
    }
}

/// Waits for the end of an execution and keeps its status, where there is a store.
pub(crate) fn keep_when_ended(edge: &SharedEdge, decoded: Execution) {
    if edge.store().is_none() {
        return;
    }
    let edge = SharedEdge::clone(edge);
    tokio::spawn(async move {
        let Payload::Canary(payload) = &decoded.payload else { return };
        let patience = edge.executions.options().background_deadline + GRACE;
        // What is not known or cannot be read shows in the status.
        let seen = edge.executions.look(&decoded.identity, patience).await;
        tracing::debug!(?seen, id = decoded.identity.id, "an execution has ended");
        match edge.canary_status(&decoded, payload).await {
            Ok(status) if status["complete"] == true => edge.keep(&decoded.identity.id, &status).await,
            Ok(_) => tracing::error!(id = decoded.identity.id, "an execution did not end in time, and its result was not kept"),
            Err(refused) => tracing::error!(refused.message, id = decoded.identity.id, "the result of an execution was not kept"),
        }
    });
}
