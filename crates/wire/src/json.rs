//! The JSON that goes out: the seed's keys in the seed's order, ours after (SPEC 12).
//!
//! Values that do not exist are `null`, keys never vanish; only CONFIG_DIFF leaves zero counts
//! out.

use std::collections::BTreeMap;

use model::{BackendUrl, HostPattern};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Serialises anything; a pipe can only stand in a string, where `\u007c` says the same.
pub(crate) fn text<T: Serialize>(value: &T) -> String {
    // Nothing here can fail to serialise: no maps with odd keys, no foreign implementations.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()).replace('|', "\\u007c")
}

pub(crate) fn display<T: std::fmt::Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(crate) fn names(domains: &[HostPattern]) -> Vec<String> {
    domains.iter().map(HostPattern::to_string).collect()
}

#[derive(Serialize)]
pub(crate) struct BulkEntry {
    pub(crate) route_id: String,
    pub(crate) status: &'static str,
}

#[derive(Serialize)]
pub(crate) struct ListEntry {
    pub(crate) route_id: String,
    pub(crate) domains: Vec<String>,
    pub(crate) path: String,
    #[serde(serialize_with = "display")]
    pub(crate) backend: BackendUrl,
    pub(crate) priority: i32,
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) staged: Option<Staged>,
}

/// Only what changes.
#[derive(Serialize)]
pub(crate) struct Staged {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) domains: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backend: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<i32>,
}

#[derive(Serialize)]
pub(crate) struct Diff {
    pub(crate) routes: DiffRoutes,
    pub(crate) headers: Counts,
    pub(crate) options: Counts,
    #[serde(skip_serializing_if = "Counts::is_zero")]
    pub(crate) health: Counts,
    #[serde(skip_serializing_if = "Counts::is_zero")]
    pub(crate) ratelimit: Counts,
    #[serde(skip_serializing_if = "Counts::is_zero")]
    pub(crate) circuit: Counts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) truncated: Option<bool>,
}

#[derive(Serialize)]
pub(crate) struct DiffRoutes {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) modified: Vec<String>,
    /// Only where the arrays are cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counts: Option<Counts>,
}

#[derive(Default, Serialize)]
pub(crate) struct Counts {
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) added: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) removed: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) modified: usize,
}

impl Counts {
    fn is_zero(&self) -> bool {
        self.added + self.removed + self.modified == 0
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[derive(Serialize)]
pub(crate) struct Stats {
    pub(crate) route_id: String,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) avg_latency_ms: u64,
    pub(crate) p95_latency_ms: u64,
    pub(crate) p99_latency_ms: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) status_codes: BTreeMap<u16, u64>,
}

#[derive(Serialize)]
pub(crate) struct Session<'r> {
    pub(crate) session_id: &'r str,
    pub(crate) service_name: &'r str,
    pub(crate) instance_name: &'r str,
    pub(crate) connected_at: String,
    pub(crate) uptime_seconds: u64,
    pub(crate) routes_active: usize,
    pub(crate) routes_staged: usize,
    pub(crate) last_apply: Option<String>,
    pub(crate) metadata: Option<&'r RawValue>,
    pub(crate) last_activity: String,
    pub(crate) generation: Option<u64>,
}

#[derive(Serialize)]
pub(crate) struct SessionEntry {
    pub(crate) session_id: String,
    pub(crate) service_name: String,
    pub(crate) instance_name: String,
    pub(crate) state: &'static str,
    pub(crate) routes_active: usize,
    pub(crate) connected_at: Option<String>,
    pub(crate) draining: bool,
    pub(crate) in_maintenance: bool,
}

/// What stands for the array of all sessions.
#[derive(Serialize)]
pub(crate) struct SessionsCut {
    pub(crate) count: usize,
    pub(crate) sessions: Vec<SessionEntry>,
    pub(crate) truncated: bool,
}

#[derive(Serialize)]
pub(crate) struct Drain {
    pub(crate) active: bool,
    pub(crate) started_at: String,
    pub(crate) duration_seconds: u64,
    pub(crate) elapsed_seconds: u64,
    pub(crate) remaining_seconds: u64,
    pub(crate) traffic_percent: u32,
}

#[derive(Serialize)]
pub(crate) struct Maintenance<'r> {
    pub(crate) in_maintenance: Vec<String>,
    pub(crate) maintenance_backend: Option<String>,
    pub(crate) entered_at: Option<String>,
    pub(crate) targets: &'r [MaintenanceTarget],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) truncated: Option<bool>,
}

#[derive(Serialize)]
pub(crate) struct MaintenanceTarget {
    pub(crate) target: String,
    pub(crate) maintenance_backend: Option<String>,
    pub(crate) entered_at: String,
}

#[derive(Serialize)]
pub(crate) struct Reachable {
    pub(crate) reachable: bool,
    pub(crate) response_time_ms: u64,
    pub(crate) status_code: u16,
    pub(crate) tls_valid: bool,
}

#[derive(Serialize)]
pub(crate) struct Unreachable<'r> {
    pub(crate) reachable: bool,
    pub(crate) error: &'r str,
}

#[derive(Serialize)]
pub(crate) struct Circuit {
    pub(crate) state: &'static str,
    pub(crate) failures: u64,
    pub(crate) last_failure: Option<String>,
    pub(crate) next_attempt: Option<String>,
    pub(crate) route_id: String,
    pub(crate) configured: bool,
}

/// What stands for an array that would not fit.
#[derive(Serialize)]
pub(crate) struct Cut {
    pub(crate) count: usize,
    pub(crate) route_ids: Vec<String>,
    pub(crate) truncated: bool,
}

#[derive(Serialize)]
pub(crate) struct Explain {
    pub(crate) route_id: Option<String>,
    pub(crate) outcome: &'static str,
    pub(crate) generation: u64,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) endpoints: Vec<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) truncated: Option<bool>,
}

#[derive(Serialize)]
pub(crate) struct Candidate {
    pub(crate) route_id: String,
    pub(crate) service: String,
    pub(crate) domain: String,
    pub(crate) path: String,
    pub(crate) priority: i32,
    pub(crate) lost: &'static str,
}

#[derive(Serialize)]
pub(crate) struct Endpoint {
    pub(crate) route_id: String,
    pub(crate) instance: String,
    pub(crate) backend: String,
    pub(crate) weight: u32,
    pub(crate) health: &'static str,
    pub(crate) breaker: &'static str,
    pub(crate) limiter: Option<u32>,
    pub(crate) drain_percent: u32,
    pub(crate) in_maintenance: bool,
}
