//! Reports to JSON.

use model::{
    BackendReport, CircuitReport, DiffReport, DrainReport, ExplainCandidate, ExplainEndpoint,
    ExplainReport, MaintenanceEntry, MaintenanceReport, RouteId, RouteListEntry, RouteStatus,
    SessionListEntry, SessionListing, SessionReport, SessionState, StatsReport, UnixMillis,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::json;

/// Ids shown where the whole list would not fit (SPEC 12).
pub(crate) const IDS_MAX: usize = 1000;
/// Warnings, candidates, endpoints and maintenance targets shown.
const SHOWN_MAX: usize = 100;

/// The first of them.
pub(crate) fn ids(routes: &[RouteId]) -> Vec<String> {
    first_ids(routes, IDS_MAX)
}

fn first_ids(routes: &[RouteId], count: usize) -> Vec<String> {
    routes.iter().take(count).map(RouteId::to_string).collect()
}

/// As many as fit, and whether some are left out.
fn first_within<T: Serialize>(items: impl Iterator<Item = T>, room: usize) -> (Vec<T>, bool) {
    first_of(items, SHOWN_MAX, room)
}

fn first_of<T: Serialize>(
    items: impl Iterator<Item = T>,
    count_max: usize,
    room: usize,
) -> (Vec<T>, bool) {
    let (mut shown, mut used) = (Vec::new(), 0);
    for item in items {
        used += json::text(&item).len() + ",".len();
        if used > room || shown.len() == count_max {
            return (shown, true);
        }
        shown.push(item);
    }
    (shown, false)
}

/// Lists fewer ids until the text fits; with none it is as short as it can be.
fn fitted(room: usize, text: impl Fn(usize) -> String) -> String {
    let mut count = IDS_MAX;
    loop {
        let text = text(count);
        if text.len() <= room || count == 0 {
            return text;
        }
        count /= 2;
    }
}

/// Stands for an array of objects that does not fit.
fn cut(routes: &[RouteId], room: usize) -> String {
    fitted(room, |count| {
        let route_ids = first_ids(routes, count);
        json::text(&json::Cut { count: routes.len(), route_ids, truncated: true })
    })
}

fn stamp(at: Option<UnixMillis>) -> Option<String> {
    at.map(|at| at.to_string())
}

pub(crate) fn bulk(routes: &[RouteId], room: usize) -> String {
    let entry = |route: &RouteId| json::BulkEntry { route_id: route.to_string(), status: "ok" };
    let text = json::text(&routes.iter().map(entry).collect::<Vec<_>>());
    if text.len() <= room { text } else { cut(routes, room) }
}

pub(crate) fn routes(entries: &[RouteListEntry]) -> String {
    json::text(&entries.iter().map(list_entry).collect::<Vec<_>>())
}

/// As many entries as fit, and at least one: an empty page says that there are no more.
pub(crate) fn page(entries: &[RouteListEntry], bytes_max: usize) -> String {
    let mut text = String::from("[");
    for entry in entries {
        let entry = json::text(&list_entry(entry));
        if text.len() > 1 {
            if text.len() + entry.len() + ",]".len() > bytes_max {
                break;
            }
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

pub(crate) fn diff(diff: &DiffReport, room: usize) -> String {
    let (warnings, warnings_cut) = first_within(diff.warnings.iter(), room / 2);
    fitted(room, |count| diff_of(diff, &warnings, warnings_cut, count))
}

fn diff_of(diff: &DiffReport, warnings: &[&String], warnings_cut: bool, count: usize) -> String {
    let lists = [&diff.routes_added, &diff.routes_removed, &diff.routes_modified];
    let cut = lists.iter().any(|list| list.len() > count);
    let [added, removed, modified] = lists.map(|list| first_ids(list, count));
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
        warnings: warnings.iter().copied().cloned().collect(),
        truncated: (cut || warnings_cut).then_some(true),
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

pub(crate) fn session(report: &SessionReport, room: usize) -> String {
    let text = session_with(report, report.metadata.as_deref());
    if text.len() <= room { text } else { session_with(report, None) }
}

fn session_with(report: &SessionReport, metadata: Option<&str>) -> String {
    // It was checked when it came; what is no JSON after all is shown as null.
    let metadata = metadata.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    json::text(&json::Session {
        session_id: report.session.as_str(),
        service_name: report.service.as_str(),
        instance_name: report.instance.as_str(),
        connected_at: report.connected_at.to_string(),
        uptime_seconds: report.uptime.as_secs(),
        routes_active: report.routes_active,
        routes_staged: report.routes_staged,
        last_apply: stamp(report.last_apply),
        metadata,
        last_activity: report.last_activity.to_string(),
        generation: report.generation.map(|generation| generation.0),
    })
}

/// All of them, or what stands for an array that does not fit: their count and the first.
pub(crate) fn sessions(listing: &SessionListing, room: usize) -> String {
    let entry = |entry: &SessionListEntry| json::SessionEntry {
        session_id: entry.session.as_str().to_owned(),
        service_name: entry.service.to_string(),
        instance_name: entry.instance.to_string(),
        state: match entry.state {
            SessionState::Connected => "connected",
            SessionState::Away => "away",
            SessionState::Pinned => "pinned",
        },
        routes_active: entry.routes_active,
        connected_at: stamp(entry.connected_at),
        draining: entry.draining,
        in_maintenance: entry.in_maintenance,
    };
    // What stands around the sessions takes less than this.
    let room = room.saturating_sub(100);
    let entries = listing.entries.iter().map(entry);
    let (sessions, cut) = first_of(entries, listing.entries.len(), room);
    if !cut && sessions.len() == listing.count {
        return json::text(&sessions);
    }
    json::text(&json::SessionsCut { count: listing.count, sessions, truncated: true })
}

pub(crate) fn drain(report: &DrainReport) -> String {
    json::text(&json::Drain {
        active: report.active,
        started_at: report.started_at.to_string(),
        duration_seconds: report.duration.as_secs(),
        elapsed_seconds: report.elapsed.as_secs(),
        remaining_seconds: report.remaining.as_secs(),
        traffic_percent: report.traffic_percent,
    })
}

pub(crate) fn maintenance(report: &MaintenanceReport, room: usize) -> String {
    let page = |entry: &MaintenanceEntry| entry.page.as_ref().map(ToString::to_string);
    let target = |entry: &MaintenanceEntry| json::MaintenanceTarget {
        target: entry.target.to_string(),
        maintenance_backend: page(entry),
        entered_at: entry.entered_at.to_string(),
    };
    let newest = report.targets.last();
    let (targets, targets_cut) = first_within(report.targets.iter().map(target), room / 2);
    fitted(room, |count| {
        let cut = report.in_maintenance.len() > count;
        json::text(&json::Maintenance {
            in_maintenance: first_ids(&report.in_maintenance, count),
            maintenance_backend: newest.and_then(page),
            entered_at: newest.map(|entry| entry.entered_at.to_string()),
            targets: &targets,
            count: cut.then_some(report.in_maintenance.len()),
            truncated: (cut || targets_cut).then_some(true),
        })
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

pub(crate) fn circuit(all: bool, reports: &[CircuitReport], room: usize) -> String {
    let one = |report: &CircuitReport| json::Circuit {
        state: report.state,
        failures: report.failures,
        last_failure: stamp(report.last_failure),
        next_attempt: stamp(report.next_attempt),
        route_id: report.route.to_string(),
        configured: report.configured,
    };
    if let (false, [report]) = (all, reports) {
        return json::text(&one(report));
    }
    let text = json::text(&reports.iter().map(one).collect::<Vec<_>>());
    if text.len() <= room {
        return text;
    }
    let routes: Vec<RouteId> = reports.iter().map(|report| report.route).collect();
    cut(&routes, room)
}

pub(crate) fn explain(report: &ExplainReport, room: usize) -> String {
    let candidate = |candidate: &ExplainCandidate| json::Candidate {
        route_id: candidate.route.to_string(),
        service: candidate.service.to_string(),
        domain: candidate.domain.to_string(),
        path: candidate.path.to_string(),
        priority: candidate.priority,
        lost: candidate.lost,
    };
    let endpoint = |endpoint: &ExplainEndpoint| json::Endpoint {
        route_id: endpoint.route.to_string(),
        instance: endpoint.instance.to_string(),
        backend: endpoint.backend.to_string(),
        weight: endpoint.weight,
        health: endpoint.health,
        breaker: endpoint.breaker,
        limiter: endpoint.limiter,
        drain_percent: endpoint.drain_percent,
        in_maintenance: endpoint.in_maintenance,
    };
    // The rest takes a hundred bytes or two.
    let share = room.saturating_sub(200) / 2;
    let (candidates, cut) = first_within(report.candidates.iter().map(candidate), share);
    let (endpoints, cut_too) = first_within(report.endpoints.iter().map(endpoint), share);
    json::text(&json::Explain {
        route_id: report.route.map(|route| route.to_string()),
        outcome: report.outcome,
        generation: report.generation.0,
        candidates,
        endpoints,
        truncated: (cut || cut_too).then_some(true),
    })
}
