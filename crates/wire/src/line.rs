//! The client's side: commands to lines.

use model::{
    EventKind, Guard, HeaderAction, HeaderKey, HeaderRule, HeaderSide, HealthProbe, HostPattern,
    Line, Registration, Request, RouteSpec, RouteUpdate, Scope, Scopes, Target,
};
use serde::Serialize;

use crate::encode::session_text;
use crate::{duration, option};

/// Writes a command with its line feed, as a client sends it. [`decode`](crate::decode) reads
/// the same back.
pub fn encode_line(line: &Line, out: &mut Vec<u8>) {
    let (name, fields) = spelled(&line.request);
    let mut parts = vec![name.to_owned()];
    let (has_session, has_txn) = match line.request {
        Request::Auth(_) | Request::Register(_) | Request::Catalog { .. } | Request::Ack => {
            (false, false)
        }
        Request::Sessions => (false, true),
        _ => (true, true),
    };
    if has_session {
        parts.push(session_text(line.session.as_ref()).to_owned());
    }
    if has_txn {
        parts.extend(line.txn.as_ref().map(|txn| txn.as_str().to_owned()));
    }
    parts.extend(fields);
    // One line, whatever a token or a pretty-printed object holds.
    let text = parts.join("|").replace(|c: char| c.is_control() && c != '\t', "");
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

fn spelled(request: &Request) -> (&'static str, Vec<String>) {
    match request {
        Request::Auth(token) => ("AUTH", vec![token.to_string()]),
        Request::Register(registration) => ("REGISTER", register(registration)),
        Request::RouteV1(spec) => ("ROUTE", route(spec)),
        Request::HeaderV1(rule) => ("HEADER", vec![header(rule), rule.value.to_string()]),
        Request::OptionV1(key, value) => {
            ("OPTIONS", vec![key.as_str().to_owned(), option::print(value)])
        }
        Request::ValidateV1 => ("VALIDATE", vec![]),
        Request::ShutdownV1 => ("SHUTDOWN", vec![]),
        Request::RouteAdd(spec) => {
            let mut fields = route(spec);
            fields.push(spec.priority.to_string());
            ("ROUTE_ADD", fields)
        }
        Request::RouteAddBulk(specs) => ("ROUTE_ADD_BULK", vec![bulk(specs)]),
        Request::RouteUpdate(route, update) => {
            let (field, value) = match update {
                RouteUpdate::Backend(backend) => ("backend_url", backend.to_string()),
                RouteUpdate::Priority(priority) => ("priority", priority.to_string()),
                RouteUpdate::Domains(domains) => ("domains", names(domains)),
                RouteUpdate::Path(path) => ("path", path.to_string()),
            };
            ("ROUTE_UPDATE", vec![route.to_string(), field.to_owned(), value])
        }
        Request::RouteRemove(route) => ("ROUTE_REMOVE", vec![route.to_string()]),
        Request::RouteList { from, compressed } => {
            let mut fields: Vec<String> = from.iter().map(|from| format!("from={from}")).collect();
            fields.extend(compressed.then(|| "compressed".to_owned()));
            ("ROUTE_LIST", fields)
        }
        Request::HeadersSet(to, rule) => {
            ("HEADERS_SET", vec![target(*to), header(rule), rule.value.to_string()])
        }
        Request::HeadersRemove(to, key) => ("HEADERS_REMOVE", vec![target(*to), header_key(key)]),
        Request::OptionsSet(to, key, value) => {
            ("OPTIONS_SET", vec![target(*to), key.as_str().to_owned(), option::print(value)])
        }
        Request::OptionsRemove(to, key) => {
            ("OPTIONS_REMOVE", vec![target(*to), key.as_str().to_owned()])
        }
        Request::HealthSet(route, health) => {
            let path = match &health.probe {
                HealthProbe::Http(path) => path.to_string(),
                HealthProbe::Tcp => "tcp".to_owned(),
                HealthProbe::Off => "off".to_owned(),
            };
            let (interval, timeout) =
                (duration::print(health.interval), duration::print(health.timeout));
            ("HEALTH_SET", vec![route.to_string(), path, interval, timeout])
        }
        Request::RatelimitSet(to, limit) => {
            let fields =
                vec![target(*to), limit.requests.to_string(), duration::print(limit.window)];
            ("RATELIMIT_SET", fields)
        }
        Request::CircuitBreakerSet(to, breaker) => (
            "CIRCUIT_BREAKER_SET",
            vec![
                target(*to),
                breaker.threshold.to_string(),
                duration::print(breaker.timeout),
                breaker.half_open_requests.to_string(),
            ],
        ),
        Request::CircuitBreakerStatus(to) => ("CIRCUIT_BREAKER_STATUS", vec![target(*to)]),
        Request::CircuitBreakerReset(to) => ("CIRCUIT_BREAKER_RESET", vec![target(*to)]),
        Request::ConfigValidate => ("CONFIG_VALIDATE", vec![]),
        Request::ConfigApply => ("CONFIG_APPLY", vec![]),
        Request::ConfigApplyPartial(set) => ("CONFIG_APPLY_PARTIAL", vec![scopes(*set)]),
        Request::ConfigRollback => ("CONFIG_ROLLBACK", vec![]),
        Request::ConfigDiff => ("CONFIG_DIFF", vec![]),
        Request::ConfigTry { duration, guard } => {
            let mut fields = vec![duration::print(*duration)];
            fields.extend(guard.map(|guard| match guard {
                Guard::ErrorsBelow(percent) => format!("errors<{percent}%"),
                Guard::P99Below(bound) => format!("p99<{}", duration::print(bound)),
            }));
            ("CONFIG_TRY", fields)
        }
        Request::ConfigConfirm => ("CONFIG_CONFIRM", vec![]),
        Request::StatsGet { target: to, compressed } => {
            let mut fields = vec![target(*to)];
            fields.extend(compressed.then(|| "compressed".to_owned()));
            ("STATS_GET", fields)
        }
        Request::Ping => ("PING", vec![]),
        Request::SessionInfo => ("SESSION_INFO", vec![]),
        Request::DrainStart(time) => ("DRAIN_START", vec![duration::print(*time)]),
        Request::DrainStatus => ("DRAIN_STATUS", vec![]),
        Request::DrainCancel => ("DRAIN_CANCEL", vec![]),
        Request::MaintEnter { target, page } => {
            let page = page.as_ref().map(ToString::to_string).unwrap_or_default();
            ("MAINT_ENTER", vec![target.text.to_string(), page])
        }
        Request::MaintExit(target) => ("MAINT_EXIT", vec![target.text.to_string()]),
        Request::MaintStatus => ("MAINT_STATUS", vec![]),
        Request::Subscribe(kind) => ("SUBSCRIBE", vec![event(*kind)]),
        Request::Unsubscribe(kind) => ("UNSUBSCRIBE", vec![event(*kind)]),
        Request::BackendTest(backend) => ("BACKEND_TEST", vec![backend.to_string()]),
        Request::Explain { method, host, path } => {
            ("EXPLAIN", vec![method.to_string(), host.to_string(), path.to_string()])
        }
        Request::HandoverOffer(route) => ("HANDOVER_OFFER", vec![route.to_string()]),
        Request::HandoverAccept { token, backend } => {
            ("HANDOVER_ACCEPT", vec![token.to_string(), backend.to_string()])
        }
        Request::ClientShutdown => ("CLIENT_SHUTDOWN", vec![]),
        Request::Reconnect => ("RECONNECT", vec![]),
        Request::Sessions => ("SESSIONS", vec![]),
        Request::Catalog { what, with } => ("CATALOG", vec![what.to_string(), with.to_string()]),
        Request::Ack => ("ACK", vec![]),
    }
}

fn register(registration: &Registration) -> Vec<String> {
    match registration {
        Registration::V1 { service, hostname, service_port, maintenance_port } => vec![
            service.to_string(),
            hostname.to_string(),
            service_port.to_string(),
            maintenance_port.to_string(),
        ],
        Registration::V2 { service, instance, maintenance_port, metadata } => vec![
            service.to_string(),
            instance.to_string(),
            maintenance_port.to_string(),
            metadata.as_deref().unwrap_or("null").to_owned(),
        ],
    }
}

fn route(spec: &RouteSpec) -> Vec<String> {
    vec![names(&spec.domains), spec.path.to_string(), spec.backend.to_string()]
}

fn names(domains: &[HostPattern]) -> String {
    crate::json::names(domains).join(",")
}

/// As ROUTE_ADD_BULK has it.
#[derive(Serialize)]
struct BulkRoute {
    domains: Vec<String>,
    path: String,
    backend_url: String,
    priority: i32,
}

fn bulk(specs: &[RouteSpec]) -> String {
    let one = |spec: &RouteSpec| BulkRoute {
        domains: crate::json::names(&spec.domains),
        path: spec.path.to_string(),
        backend_url: spec.backend.to_string(),
        priority: spec.priority,
    };
    crate::json::text(&specs.iter().map(one).collect::<Vec<_>>())
}

fn target(target: Target) -> String {
    match target {
        Target::All => "ALL".to_owned(),
        Target::Route(route) => route.to_string(),
    }
}

fn header(rule: &HeaderRule) -> String {
    let side = match rule.side {
        HeaderSide::Request => "req:",
        HeaderSide::Response => "",
    };
    let action = match rule.action {
        HeaderAction::Set => "",
        HeaderAction::Append => "+",
        HeaderAction::Strip => "-",
    };
    // A name may begin with what would be read as an action.
    let side = match (side, rule.name.starts_with(['+', '-'])) {
        ("", true) => "resp:",
        (side, _) => side,
    };
    format!("{side}{action}{}", rule.name)
}

fn header_key(key: &HeaderKey) -> String {
    // A name may begin with what would be read as an action; the action means nothing here.
    match (key.side, key.name.starts_with(['+', '-'])) {
        (_, false) => key.to_string(),
        (HeaderSide::Request, true) => format!("req:+{}", key.name),
        (HeaderSide::Response, true) => format!("resp:+{}", key.name),
    }
}

fn scopes(set: Scopes) -> String {
    let names: Vec<&str> =
        Scope::ALL.iter().filter(|(scope, _)| set.has(*scope)).map(|(_, name)| *name).collect();
    names.join(",")
}

fn event(kind: Option<EventKind>) -> String {
    let name = kind.and_then(|kind| EventKind::ALL.iter().find(|(other, _)| *other == kind));
    name.map_or("all", |(_, name)| name).to_owned()
}
