//! What the data plane would say to the machine's questions: always the same.

use std::time::Duration;

use model::{
    BackendReport, CircuitReport, Now, Refusal, Reply, RouteId, StatsReport, Target,
    normalize_authority, normalize_path,
};
use routing::{Head, explain};
use session::Query;

use crate::plane::Plane;

/// Answers one question. The numbers are those of the seed's examples; a backend whose name
/// begins with `nobody` is not there.
pub(crate) fn answer(query: &Query, plane: &Plane, now: Now) -> Reply {
    match query {
        Query::BackendTest(backend, _) => Reply::Backend(test(&backend.to_string())),
        Query::Explain { host, path, .. } => {
            let Some(host) = normalize_authority(host.as_bytes()) else {
                return Reply::Refused(Refusal::new("host must be a host name"));
            };
            let Ok(normal) = normalize_path(path.as_bytes()) else {
                return Reply::Refused(Refusal::new("path must begin with /"));
            };
            let head = Head { host: Some(&host), raw_path: path, path: &normal };
            Reply::Explain(Box::new(explain(&plane.table, plane, head, now.mono)))
        }
        Query::Stats { target, routes, compressed } => Reply::Stats {
            all: *target == Target::All,
            reports: routes.iter().copied().map(stats).collect(),
            compressed: *compressed,
        },
        Query::CircuitStatus { target, routes } => Reply::CircuitStatus {
            all: *target == Target::All,
            reports: routes.iter().copied().map(circuit).collect(),
        },
        Query::CircuitReset(_) => Reply::CircuitOk,
        Query::Catalog { .. } => Reply::Catalog("{}".into()),
    }
}

fn test(backend: &str) -> BackendReport {
    if backend.contains("://nobody") {
        return BackendReport::Unreachable { error: "connection refused".to_owned() };
    }
    BackendReport::Reachable {
        response_time: Duration::from_millis(45),
        status_code: 200,
        tls_valid: backend.starts_with("https://"),
    }
}

fn stats(route: RouteId) -> StatsReport {
    StatsReport {
        route,
        requests: 12_453,
        errors: 23,
        latency_mean: Duration::from_millis(45),
        latency_p95: Duration::from_millis(120),
        latency_p99: Duration::from_millis(250),
        bytes_sent: 5_242_880,
        bytes_received: 1_048_576,
        status_codes: [(200, 12_400), (404, 30), (500, 23)].into(),
    }
}

fn circuit(route: RouteId) -> CircuitReport {
    CircuitReport {
        route,
        state: "closed",
        failures: 0,
        last_failure: None,
        next_attempt: None,
        configured: true,
    }
}
