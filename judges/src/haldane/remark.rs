//! What one examiner says beside the level, and which of all that is said stands.

use super::ladder::Rung;
use crate::scorecard::{Examiner, ExaminerFinding, MetricResult, Mode, Reason, Status};

/// What one examiner says beside the level.
pub(crate) struct ExaminerRemark {
    pub(crate) examiner: Examiner,
    pub(crate) rung: Rung,
    pub(crate) reason: Reason,
    pub(crate) mode: Mode,
    pub(crate) sentence: String,
}

/// How grave a status is: what an examiner may replace.
pub(super) fn gravity(status: Status) -> u8 {
    match status {
        Status::Regressed => 2,
        Status::Suspect => 1,
        Status::Pass | Status::Inconclusive | Status::NoData | Status::Error => 0,
    }
}

/// Lets an examiner's finding stand where it is graver than what was found before; what does not stand is listed beside.
pub(super) fn stand(result: &mut MetricResult, observation: ExaminerRemark) {
    let status = match observation.rung {
        Rung::Regressed => Status::Regressed,
        Rung::Suspect => Status::Suspect,
        Rung::Acquitted | Rung::Open => return,
    };
    let ExaminerRemark { examiner, reason, mode, sentence, .. } = observation;
    if gravity(status) <= gravity(result.status) {
        result.findings.push(ExaminerFinding { examiner, status, reason, sentence });
        return;
    }
    if gravity(result.status) > 0 {
        let sentence = std::mem::take(&mut result.sentence);
        result.findings.push(ExaminerFinding { examiner: result.examiner, status: result.status, reason: result.reason, sentence });
    }
    (result.status, result.examiner, result.reason, result.mode, result.sentence) = (status, examiner, reason, mode, sentence);
    result.guards.clear();
    result.remedies.clear();
}
