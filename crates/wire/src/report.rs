//! Reports to JSON.

use model::{
    BackendReport, CircuitReport, DiffReport, DrainReport, ExplainReport, MaintenanceReport,
    RouteId, RouteListEntry, RouteStatus, SessionReport, StatsReport, UnixMillis,
};
use serde_json::value::RawValue;

use crate::{json, time};

/// Ids shown where the whole list would not fit (SPEC 12).
const IDS_MAX: usize = 1000;
/// Candidates that EXPLAIN shows.
const CANDIDATES_MAX: usize = 100;

fn ids(routes: &[RouteId]) -> Vec<String> {
    routes.iter().take(IDS_MAX).map(RouteId::to_string).collect()
}

fn stamp(at: Option<UnixMillis>) -> Option<String> {
    at.map(time::rfc3339)
}

pub(crate) fn bulk(routes: &[RouteId]) -> String {
    let entry = |route: &RouteId| json::BulkEntry { route_id: route.to_string(), status: "ok" };
    json::text(&routes.iter().map(entry).collect::<Vec<_>>())
}

pub(crate) fn routes(entries: &[RouteListEntry]) -> String {
    json::text(&entries.iter().map(list_entry).collect::<Vec<_>>())
}

/// As many entries as fit.
pub(crate) fn page(entries: &[RouteListEntry], bytes_max: usize) -> String {
    let mut text = String::from("[");
    for entry in entries {
        let entry = json::text(&list_entry(entry));
        if text.len() + entry.len() + "[],".len() > bytes_max {
            break;
        }
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&entry);
    }
    text.push(']');
    text
}

fn list_entry(entry: &RouteListEntry) -> json::ListEntry {
    json::ListEntry {
        route_id: entry.route.to_string(),
        domains: json::names(&entry.domains),
        path: entry.path.to_string(),
        backend: entry.backend.clone(),
        priority: entry.priority,
        status: match entry.status {
            RouteStatus::Active => "active",
            RouteStatus::Staged => "staged",
            RouteStatus::PendingRemoval => "pending_removal",
        },
        staged: entry.staged.as_ref().map(|staged| json::Staged {
            domains: staged.domains.as_deref().map(json::names),
            path: staged.path.as_ref().map(ToString::to_string),
            backend: staged.backend.as_ref().map(ToString::to_string),
            priority: staged.priority,
        }),
    }
}

pub(crate) fn diff(diff: &DiffReport) -> String {
    let lists = [&diff.routes_added, &diff.routes_removed, &diff.routes_modified];
    let cut = lists.iter().any(|list| list.len() > IDS_MAX);
    let [added, removed, modified] = lists.map(|list| ids(list));
    let modified_only = |modified| json::Counts { modified, ..json::Counts::default() };
    json::text(&json::Diff {
        routes: json::DiffRoutes {
            added,
            removed,
            modified,
            counts: cut.then_some(json::Counts {
                added: diff.routes_added.len(),
                removed: diff.routes_removed.len(),
                modified: diff.routes_modified.len(),
            }),
        },
        headers: json::Counts {
            added: diff.headers_added,
            removed: diff.headers_removed,
            modified: diff.headers_modified,
        },
        options: json::Counts {
            added: diff.options_added,
            removed: diff.options_removed,
            modified: diff.options_modified,
        },
        health: modified_only(diff.health_modified),
        ratelimit: modified_only(diff.ratelimit_modified),
        circuit: modified_only(diff.circuit_modified),
        warnings: diff.warnings.iter().take(CANDIDATES_MAX).cloned().collect(),
        truncated: cut.then_some(true),
    })
}

pub(crate) fn stats(all: bool, reports: &[StatsReport]) -> String {
    let millis =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let one = |report: &StatsReport| json::Stats {
        route_id: report.route.to_string(),
        requests: report.requests,
        errors: report.errors,
        avg_latency_ms: millis(report.latency_mean),
        p95_latency_ms: millis(report.latency_p95),
        p99_latency_ms: millis(report.latency_p99),
        bytes_sent: report.bytes_sent,
        bytes_received: report.bytes_received,
        status_codes: report.status_codes.clone(),
    };
    match (all, reports) {
        (false, [report]) => json::text(&one(report)),
        _ => json::text(&reports.iter().map(one).collect::<Vec<_>>()),
    }
}

pub(crate) fn session(report: &SessionReport) -> String {
    let metadata = report.metadata.as_deref();
    // It was checked when it came; what is no JSON after all is shown as null.
    let metadata = metadata.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    json::text(&json::Session {
        session_id: report.session.as_str(),
        service_name: report.service.as_str(),
        instance_name: report.instance.as_str(),
        connected_at: time::rfc3339(report.connected_at),
        uptime_seconds: report.uptime.as_secs(),
        routes_active: report.routes_active,
        routes_staged: report.routes_staged,
        last_apply: stamp(report.last_apply),
        metadata,
        last_activity: time::rfc3339(report.last_activity),
        generation: report.generation.map(|generation| generation.0),
    })
}

pub(crate) fn drain(report: &DrainReport) -> String {
    json::text(&json::Drain {
        active: report.active,
        started_at: time::rfc3339(report.started_at),
        duration_seconds: report.duration.as_secs(),
        elapsed_seconds: report.elapsed.as_secs(),
        remaining_seconds: report.remaining.as_secs(),
        traffic_percent: report.traffic_percent,
    })
}

pub(crate) fn maintenance(report: &MaintenanceReport) -> String {
    let newest = report.targets.last();
    let cut = report.in_maintenance.len() > IDS_MAX;
    let page = |entry: &model::MaintenanceEntry| entry.page.as_ref().map(ToString::to_string);
    json::text(&json::Maintenance {
        in_maintenance: ids(&report.in_maintenance),
        maintenance_backend: newest.and_then(page),
        entered_at: newest.map(|entry| time::rfc3339(entry.entered_at)),
        targets: report
            .targets
            .iter()
            .take(CANDIDATES_MAX)
            .map(|entry| json::MaintenanceTarget {
                target: entry.target.to_string(),
                maintenance_backend: page(entry),
                entered_at: time::rfc3339(entry.entered_at),
            })
            .collect(),
        count: cut.then_some(report.in_maintenance.len()),
        truncated: cut.then_some(true),
    })
}

pub(crate) fn backend(report: &BackendReport) -> String {
    match report {
        BackendReport::Reachable { response_time, status_code, tls_valid } => {
            json::text(&json::Reachable {
                reachable: true,
                response_time_ms: u64::try_from(response_time.as_millis()).unwrap_or(u64::MAX),
                status_code: *status_code,
                tls_valid: *tls_valid,
            })
        }
        BackendReport::Unreachable { error } => {
            json::text(&json::Unreachable { reachable: false, error })
        }
    }
}

pub(crate) fn circuit(all: bool, reports: &[CircuitReport]) -> String {
    let one = |report: &CircuitReport| json::Circuit {
        state: report.state,
        failures: report.failures,
        last_failure: stamp(report.last_failure),
        next_attempt: stamp(report.next_attempt),
        route_id: report.route.to_string(),
        configured: report.configured,
    };
    match (all, reports) {
        (false, [report]) => json::text(&one(report)),
        _ if reports.len() > IDS_MAX / 4 => {
            let routes: Vec<RouteId> = reports.iter().map(|report| report.route).collect();
            json::text(&json::Cut {
                count: reports.len(),
                route_ids: ids(&routes),
                truncated: true,
            })
        }
        _ => json::text(&reports.iter().map(one).collect::<Vec<_>>()),
    }
}

pub(crate) fn explain(report: &ExplainReport) -> String {
    json::text(&json::Explain {
        route_id: report.route.map(|route| route.to_string()),
        outcome: report.outcome,
        generation: report.generation.0,
        candidates: report
            .candidates
            .iter()
            .take(CANDIDATES_MAX)
            .map(|candidate| json::Candidate {
                route_id: candidate.route.to_string(),
                service: candidate.service.to_string(),
                domain: candidate.domain.to_string(),
                path: candidate.path.to_string(),
                priority: candidate.priority,
                lost: candidate.lost,
            })
            .collect(),
        endpoints: report
            .endpoints
            .iter()
            .take(CANDIDATES_MAX)
            .map(|endpoint| json::Endpoint {
                route_id: endpoint.route.to_string(),
                instance: endpoint.instance.to_string(),
                backend: endpoint.backend.to_string(),
                weight: endpoint.weight,
                health: endpoint.health,
                breaker: endpoint.breaker,
                limiter: endpoint.limiter,
                drain_percent: endpoint.drain_percent,
                in_maintenance: endpoint.in_maintenance,
            })
            .collect(),
    })
}
