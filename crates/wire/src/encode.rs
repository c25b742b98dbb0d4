//! Answers and pushes to lines.

use model::{Answer, BackendReport, Event, EventKind, Push, RouteId, SessionId, TxnId};
use model::{Reply, RouteListing};

use crate::{
    ANSWER_BYTES_MAX, ANSWER_BYTES_MAX_V1, COMPRESSED_BYTES_MAX, Dialect, compress, json, report,
};

/// Writes an answer with its line feed. What would not fit is an `ERROR` instead, never a cut
/// line (SPEC 2.1).
pub fn encode_answer(answer: &Answer, dialect: Dialect, out: &mut Vec<u8>) {
    let begin = out.len();
    let txn = answer.txn.as_ref();
    let bytes_max = match (dialect, &answer.reply) {
        (Dialect::V1, Reply::Session(_) | Reply::Stats { .. }) => ANSWER_BYTES_MAX,
        (Dialect::V1, _) => ANSWER_BYTES_MAX_V1,
        (Dialect::Fresh | Dialect::V2, _) => ANSWER_BYTES_MAX,
    };
    let around = WORD_BYTES_MAX + txn.map_or(0, |txn| txn.as_str().len());
    let room = bytes_max.saturating_sub(around);
    match body(&answer.reply, room) {
        Body::Word(word) => line(out, word, txn, None),
        Body::Text(word, text) => line(out, word, txn, Some(&text)),
        Body::Compressed(word, text) => {
            let packed = compress::gzip_base64(&text);
            if packed.len() > COMPRESSED_BYTES_MAX {
                let reason = format!(
                    "response too large ({} bytes), use from=route_id for a page",
                    packed.len()
                );
                line(out, "ERROR", txn, Some(&reason));
            } else {
                line(out, word, txn, Some(&packed));
            }
            return;
        }
    }
    let len = out.len() - begin;
    if len <= bytes_max {
        return;
    }
    match answer.reply {
        // A long reason is cut where a character ends; the line stays whole.
        Reply::Refused(_) => cut(out, begin, bytes_max),
        Reply::RouteList(_) | Reply::Stats { .. } => {
            out.truncate(begin);
            let reason = format!("response too large ({len} bytes), use compressed");
            line(out, "ERROR", txn, Some(&reason));
        }
        // Nothing else has a compressed form.
        _ => {
            out.truncate(begin);
            line(out, "ERROR", txn, Some(&format!("response too large ({len} bytes)")));
        }
    }
}

/// The longest word of an answer, with its pipes and the line feed.
const WORD_BYTES_MAX: usize = "CIRCUIT_STATUS_OK||\n".len();
/// Of a reason in an event, this much is told.
const REASON_CHARS_MAX: usize = 1024;

/// Writes a line that is no answer, with its line feed.
pub fn encode_push(push: &Push, out: &mut Vec<u8>) {
    match push {
        Push::MaintenanceLive { txn, target } => line(out, "MAINT_OK", txn.as_ref(), Some(target)),
        Push::Shutdown => line(out, "SHUTDOWN", None, None),
        Push::Event(event) => {
            let name = EventKind::ALL.iter().find(|(kind, _)| *kind == event.kind());
            let name = name.map_or("", |(_, name)| name);
            let text = format!("{name}|{}", event_json(event));
            line(out, "EVENT", None, Some(&text));
        }
    }
}

/// A word, or a word and what follows it.
enum Body {
    Word(&'static str),
    Text(&'static str, String),
    Compressed(&'static str, String),
}

/// What an answer says in at most `room` bytes, where it has a shorter form.
fn body(reply: &Reply, room: usize) -> Body {
    use Body::{Compressed, Text, Word};
    let packed = |word, text, compressed: bool| {
        if compressed { Compressed(word, text) } else { Text(word, text) }
    };
    match reply {
        Reply::AuthOk => Word("AUTH_OK"),
        Reply::Registered(session) => Text("ACK", session.as_str().to_owned()),
        Reply::RouteOk => Word("ROUTE_OK"),
        Reply::HeaderOk => Word("HEADER_OK"),
        Reply::OptionsOk => Word("OPTIONS_OK"),
        Reply::Ok => Word("OK"),
        Reply::Goodbye => Word("GOODBYE"),
        Reply::RouteAdded(route) => Text("ROUTE_OK", route.to_string()),
        Reply::RoutesAdded(routes) => Text("ROUTE_BULK_OK", report::bulk(routes, room)),
        Reply::RouteList(listing) => {
            packed("ROUTE_LIST_OK", route_list(listing, room), listing.compressed)
        }
        Reply::HeadersOk => Word("HEADERS_OK"),
        Reply::HealthOk => Word("HEALTH_OK"),
        Reply::RatelimitOk => Word("RATELIMIT_OK"),
        Reply::CircuitOk => Word("CIRCUIT_OK"),
        Reply::CircuitStatus { all, reports } => {
            Text("CIRCUIT_STATUS_OK", report::circuit(*all, reports, room))
        }
        Reply::Diff(diff) => Text("DIFF_OK", report::diff(diff, room)),
        Reply::Stats { all, reports, compressed } => {
            packed("STATS_OK", report::stats(*all, reports), *compressed)
        }
        Reply::Pong => Word("PONG"),
        Reply::Session(session) => Text("SESSION_OK", report::session(session, room)),
        Reply::DrainStarted(ends) => Text("DRAIN_OK", ends.to_string()),
        Reply::DrainStatus(drain) => Text("DRAIN_STATUS_OK", report::drain(drain)),
        Reply::DrainCancelled => Word("DRAIN_OK"),
        Reply::MaintenanceAccepted => Word("ACK"),
        Reply::MaintenanceLive => Word("MAINT_OK"),
        Reply::MaintenanceStatus(status) => {
            Text("MAINT_STATUS_OK", report::maintenance(status, room))
        }
        Reply::SubscribeOk => Word("SUBSCRIBE_OK"),
        Reply::UnsubscribeOk => Word("UNSUBSCRIBE_OK"),
        Reply::Backend(found @ BackendReport::Reachable { .. }) => {
            Text("BACKEND_OK", report::backend(found))
        }
        Reply::Backend(found @ BackendReport::Unreachable { .. }) => {
            Text("BACKEND_FAIL", report::backend(found))
        }
        Reply::Explain(explain) => Text("EXPLAIN_OK", report::explain(explain, room)),
        Reply::HandoverOk(token) => Text("HANDOVER_OK", token.to_string()),
        Reply::ShutdownOk => Word("SHUTDOWN_OK"),
        Reply::Reregister => Word("REREGISTER"),
        Reply::Sessions(sessions) => Text("SESSIONS_OK", report::sessions(sessions, room)),
        // Outside of its strings JSON has no such character.
        Reply::Catalog(json) => Text("CATALOG_OK", json.replace('|', "\\u007c")),
        Reply::Refused(refusal) => Text("ERROR", refusal.as_str().to_owned()),
    }
}

/// All entries, or for a page as many as fit.
fn route_list(listing: &RouteListing, room: usize) -> String {
    if !listing.paged {
        return report::routes(&listing.entries);
    }
    // JSON of routes packs at least this well, and a page need not be full.
    let room = if listing.compressed { COMPRESSED_BYTES_MAX } else { room };
    report::page(&listing.entries, room)
}

fn line(out: &mut Vec<u8>, word: &str, txn: Option<&TxnId>, text: Option<&str>) {
    out.extend_from_slice(word.as_bytes());
    for part in [txn.map(TxnId::as_str), text].into_iter().flatten() {
        out.push(b'|');
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'\n');
}

fn cut(out: &mut Vec<u8>, begin: usize, bytes_max: usize) {
    let mut end = begin + bytes_max - 1;
    while out.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    out.truncate(end);
    out.push(b'\n');
}

fn event_json(event: &Event) -> String {
    use serde_json::json;
    let short = |text: &str| json!(text.chars().take(REASON_CHARS_MAX).collect::<String>());
    let listed = |name, value, routes: &[RouteId]| {
        let mut fields = vec![(name, value), ("routes", json!(report::ids(routes)))];
        if routes.len() > report::IDS_MAX {
            fields.push(("truncated", json!(true)));
        }
        fields
    };
    // Each as an object of its own, so that its keys keep the order written here.
    match event {
        Event::CertRenewed { domain, expiry } => {
            object(&[("domain", json!(domain)), ("expiry", json!(expiry.to_string()))])
        }
        Event::GlobalConfigChanged { reason } => object(&[("reason", short(reason))]),
        Event::BackendHealthChanged { route, healthy, reason } => object(&[
            ("route_id", json!(route.to_string())),
            ("healthy", json!(healthy)),
            ("reason", short(reason)),
        ]),
        Event::Drained { at } => object(&[("at", json!(at.to_string()))]),
        Event::CircuitStateChanged { route, state } => {
            object(&[("route_id", json!(route.to_string())), ("state", json!(state))])
        }
        Event::ConfigReverted { reason, routes } => {
            object(&listed("reason", short(reason), routes))
        }
        Event::ConfigExpiring { remaining } => {
            object(&[("remaining_seconds", json!(remaining.as_secs()))])
        }
        Event::MaintenanceChanged { routes, active } => {
            let mut fields = listed("active", json!(active), routes);
            // The routes stand first.
            fields.swap(0, 1);
            object(&fields)
        }
    }
}

fn object(fields: &[(&str, serde_json::Value)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("\"{name}\":{}", json::text(value))).collect();
    format!("{{{}}}", fields.join(","))
}

/// For the line of a client: the id as it goes on the wire.
pub(crate) fn session_text(session: Option<&SessionId>) -> &str {
    session.map_or("", SessionId::as_str)
}
