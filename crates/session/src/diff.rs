//! CONFIG_DIFF: what an apply would change, and what an operator should know before it.

use std::collections::BTreeMap;

use model::{DiffReport, Refusal, Reply, RouteId, StagedRoute};

use crate::Registry;
use crate::answering::Outcome;
use crate::plan::Checked;
use crate::state::{Session, Sid};

/// Warnings beyond this are counted.
const WARNINGS_MAX: usize = 100;

impl Registry {
    pub(crate) fn diff(&self, sid: Sid) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let checked = self.checked_draft(session);
        let mut report = counts(session);
        for (route, staged) in session.staging.routes() {
            match staged {
                StagedRoute::Added(_) | StagedRoute::TakenOver { .. } => {
                    report.routes_added.push(*route);
                }
                StagedRoute::Removed => report.routes_removed.push(*route),
                StagedRoute::Updated(_) => report.routes_modified.push(*route),
            }
        }
        report.warnings = self.warnings(session, &checked);
        Ok(Reply::Diff(report).into())
    }

    /// Everything that would make an apply fail, and every other service's route that would
    /// shadow one of these or be shadowed by it.
    fn warnings(&self, session: &Session, checked: &Checked) -> Vec<String> {
        let mut warnings = checked.faults.clone();
        let service = &session.identity.service;
        for (route, key) in &checked.plan.keys {
            for other in self.table.shadows(key, service) {
                let owner = self.table.pool(&other).map(|pool| pool.service.as_str());
                let verb = if key.priority > other.priority { "shadows" } else { "is shadowed by" };
                warnings.push(format!(
                    "route {route}: {key} at priority {} {verb} service {} at priority {}",
                    key.priority,
                    owner.unwrap_or("unknown"),
                    other.priority
                ));
            }
            if warnings.len() > WARNINGS_MAX {
                break;
            }
        }
        if warnings.len() > WARNINGS_MAX {
            warnings.truncate(WARNINGS_MAX);
            warnings.push("and more".to_owned());
        }
        warnings
    }
}

fn counts(session: &Session) -> DiffReport {
    let (now, edits) = (&session.settings, session.staging.settings());
    let headers = counted(&now.headers, &edits.headers);
    let options = counted(&now.options, &edits.options);
    DiffReport {
        headers_added: headers.added,
        headers_removed: headers.removed,
        headers_modified: headers.modified,
        options_added: options.added,
        options_removed: options.removed,
        options_modified: options.modified,
        health_modified: counted::<RouteId, _>(&now.health, &edits.health).all(),
        ratelimit_modified: counted(&now.limits, &edits.limits).all(),
        circuit_modified: counted(&now.breakers, &edits.breakers).all(),
        ..DiffReport::default()
    }
}

#[derive(Default)]
struct Counted {
    added: usize,
    removed: usize,
    modified: usize,
}

impl Counted {
    fn all(&self) -> usize {
        self.added + self.removed + self.modified
    }
}

fn counted<K: Ord, V: PartialEq>(now: &BTreeMap<K, V>, edits: &BTreeMap<K, Option<V>>) -> Counted {
    let mut counted = Counted::default();
    for (key, edit) in edits {
        match (now.get(key), edit) {
            (None, Some(_)) => counted.added += 1,
            (Some(_), None) => counted.removed += 1,
            (Some(before), Some(after)) if before != after => counted.modified += 1,
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    counted
}
