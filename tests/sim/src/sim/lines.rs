//! Lines a client might send: every command, with names from small pools so that things meet,
//! and nonsense.

use super::rng::Rng;

const SERVICES: [&str; 3] = ["blue", "green", "red"];
const INSTANCES: [&str; 2] = ["one", "two"];
const HOSTS: [&str; 4] = ["a.example", "b.a.example", "*.example", "*"];
const PATHS: [&str; 4] = ["/", "/a", "/a/b", "/c"];
const BACKENDS: [&str; 4] = ["http://a:1", "http://b:1", "https://c", "http://nobody:1"];
const KINDS: [&str; 5] =
    ["all", "drained", "config_reverted", "config_expiring", "maintenance_changed"];
const SCOPES: [&str; 6] = ["routes", "headers", "options", "health", "ratelimit", "circuit"];
const OPTIONS: [(&str, &str); 10] = [
    ("timeout", "5s"),
    ("timeout", "60s"),
    ("websocket", "false"),
    ("match", "exact"),
    ("match", "raw"),
    ("match", "prefix"),
    ("weight", "50"),
    ("balance", "hash"),
    ("balance", "round_robin"),
    ("retries", "0"),
];

/// What a line may be made of.
#[derive(Debug)]
pub(super) struct Words<'a> {
    /// The session of the connection, or the last one it had.
    pub(super) own: Option<&'a str>,
    /// Sessions of whomever.
    pub(super) sessions: &'a [String],
    /// The last route id given out.
    pub(super) last_route: u64,
    /// Tokens of handovers.
    pub(super) tokens: &'a [String],
}

/// REGISTER, as anybody.
pub(super) fn register(rng: &mut Rng) -> String {
    let service = rng.pick(&SERVICES);
    let instance = rng.pick(&INSTANCES);
    match rng.below(5) {
        0 => format!("REGISTER|{service}|{instance}|9000|9001"),
        1 => format!("REGISTER|{service}|{instance}|9001|null"),
        2 => format!("REGISTER|{service}|{instance}|9001"),
        3 => format!("REGISTER|{service}|{instance}|9001|{{\"pinned\":true,\"a\":\"b|c\"}}"),
        _ => format!("REGISTER|{service}|{instance}|9001|{{}}"),
    }
}

/// Any line.
pub(super) fn line(rng: &mut Rng, words: &Words<'_>) -> String {
    let line = valid(rng, words);
    if !rng.percent(4) {
        return line;
    }
    match rng.below(5) {
        0 => line.replacen('|', "", 1),
        1 => format!("{line}|x|y"),
        2 => line.to_lowercase(),
        3 => {
            let half = line.char_indices().nth(line.chars().count() / 2);
            line[..half.map_or(0, |(at, _)| at)].to_owned()
        }
        _ => (0..rng.below(40)).map(|_| char::from(rng.below(127) as u8)).collect(),
    }
}

/// A line that stages something, of a session that has none but small route ids.
pub(super) fn staging(rng: &mut Rng, words: &Words<'_>) -> String {
    loop {
        let line = valid(rng, words);
        let command = line.split('|').next().unwrap_or_default();
        let stages = ["ROUTE_", "HEADERS_", "OPTIONS_", "HEALTH_SET", "RATELIMIT_SET"];
        if stages.iter().any(|start| command.starts_with(start)) || command.ends_with("_SET") {
            return line;
        }
    }
}

fn valid(rng: &mut Rng, words: &Words<'_>) -> String {
    let session = session(rng, words);
    let txn = if rng.percent(10) { "|t1" } else { "" };
    let v2 = |name: &str, rest: String| format!("{name}|{session}{txn}{rest}");
    let v1 = |name: &str, rest: String| format!("{name}|{session}{rest}");
    match rng.below(100) {
        0..3 => register(rng),
        3..5 => v1("RECONNECT", String::new()),
        5 => "ACK".to_owned(),
        6..10 => v1("ROUTE", key(rng)),
        10 => v1("HEADER", format!("|{}|{}", header(rng), rng.below(2))),
        11 => v1("OPTIONS", option(rng)),
        12 => v1("VALIDATE", String::new()),
        13 if rng.percent(25) => v1("SHUTDOWN", String::new()),
        14 if rng.percent(25) => v2("CLIENT_SHUTDOWN", String::new()),
        13..30 => {
            let key = key(rng);
            v2("ROUTE_ADD", format!("{key}|{}", rng.below(2)))
        }
        30..33 => v2("ROUTE_ADD_BULK", bulk(rng)),
        33..38 => {
            let route = route(rng, words);
            v2("ROUTE_UPDATE", format!("|{route}{}", update(rng)))
        }
        38..42 => v2("ROUTE_REMOVE", format!("|{}", route(rng, words))),
        42..45 => {
            v2("ROUTE_LIST", if rng.percent(20) { "|compressed".to_owned() } else { String::new() })
        }
        45..48 => {
            let target = target(rng, words);
            v2("HEADERS_SET", format!("|{target}|{}|{}", header(rng), rng.below(2)))
        }
        48..50 => {
            let target = target(rng, words);
            v2("HEADERS_REMOVE", format!("|{target}|{}", header(rng)))
        }
        50..53 => {
            let target = target(rng, words);
            v2("OPTIONS_SET", format!("|{target}{}", option(rng)))
        }
        53 => {
            let target = target(rng, words);
            v2("OPTIONS_REMOVE", format!("|{target}|{}", rng.pick(&OPTIONS).0))
        }
        54 => v2("HEALTH_SET", format!("|{}|/health|10s|1s", route(rng, words))),
        55 => v2("RATELIMIT_SET", format!("|{}|{}|1s", target(rng, words), rng.below(3))),
        56 => v2("CIRCUIT_BREAKER_SET", format!("|{}|{}|5s|1", target(rng, words), rng.below(3))),
        57 => v2("CIRCUIT_BREAKER_STATUS", format!("|{}", target(rng, words))),
        58 => v2("CIRCUIT_BREAKER_RESET", format!("|{}", target(rng, words))),
        59..61 => v2("CONFIG_VALIDATE", String::new()),
        61..73 => v2("CONFIG_APPLY", String::new()),
        73..75 => v2("CONFIG_APPLY_PARTIAL", format!("|{}", scopes(rng))),
        75 => v2("CONFIG_ROLLBACK", String::new()),
        76 => v2("CONFIG_DIFF", String::new()),
        77..79 => {
            let guard = *rng.pick(&["", "", "|errors<5%", "|p99<200ms"]);
            v2("CONFIG_TRY", format!("|{}s{guard}", 1 + rng.below(90)))
        }
        79 => v2("CONFIG_CONFIRM", String::new()),
        80 => v2("STATS_GET", format!("|{}", target(rng, words))),
        81..83 => v2("PING", String::new()),
        83 if rng.percent(10) => format!("SESSIONS{txn}"),
        83 => v2("SESSION_INFO", String::new()),
        84..86 => v2("DRAIN_START", format!("|{}s", 1 + rng.below(100))),
        86 => v2("DRAIN_STATUS", String::new()),
        87 => v2("DRAIN_CANCEL", String::new()),
        88..90 => v2("MAINT_ENTER", format!("|{}|", maintenance(rng, words))),
        90 => v1("MAINT_ENTER", String::new()),
        91 => v1("MAINT_EXIT", String::new()),
        92 => v2("MAINT_EXIT", format!("|{}", maintenance(rng, words))),
        93 => v2("MAINT_STATUS", String::new()),
        94 => v2("SUBSCRIBE", format!("|{}", rng.pick(&KINDS))),
        95 => v2("UNSUBSCRIBE", format!("|{}", rng.pick(&KINDS))),
        96 => v2("BACKEND_TEST", format!("|{}", rng.pick(&BACKENDS))),
        97 => v2("EXPLAIN", format!("|GET|{}|{}", rng.pick(&["a.example", "x"]), rng.pick(&PATHS))),
        98 => v2("HANDOVER_OFFER", format!("|{}", route(rng, words))),
        _ => {
            let token = words.tokens.last().map_or("none", String::as_str);
            v2("HANDOVER_ACCEPT", format!("|{token}|{}", rng.pick(&BACKENDS)))
        }
    }
}

fn session(rng: &mut Rng, words: &Words<'_>) -> String {
    match words.own {
        Some(own) if rng.percent(96) => own.to_owned(),
        _ if !words.sessions.is_empty() => rng.pick(words.sessions).clone(),
        _ => "blue-9001-1-x".to_owned(),
    }
}

/// A route id, most likely one that was given out not long ago.
fn route(rng: &mut Rng, words: &Words<'_>) -> String {
    let back = rng.below(8) as u64;
    format!("r{}", words.last_route.saturating_sub(back).max(1))
}

fn target(rng: &mut Rng, words: &Words<'_>) -> String {
    if rng.percent(40) { "ALL".to_owned() } else { route(rng, words) }
}

fn maintenance(rng: &mut Rng, words: &Words<'_>) -> String {
    match rng.below(4) {
        0 => "ALL".to_owned(),
        1 => (*rng.pick(&PATHS)).to_owned(),
        2 => (*rng.pick(&HOSTS)).to_owned(),
        _ => format!("{},{}", route(rng, words), route(rng, words)),
    }
}

fn domains(rng: &mut Rng) -> String {
    let first = rng.pick(&HOSTS);
    if rng.percent(20) { format!("{first},{}", rng.pick(&HOSTS)) } else { (*first).to_owned() }
}

/// `|domains|path|backend_url`
fn key(rng: &mut Rng) -> String {
    format!("|{}|{}|{}", domains(rng), rng.pick(&PATHS), rng.pick(&BACKENDS))
}

fn bulk(rng: &mut Rng) -> String {
    let routes: Vec<String> = (0..1 + rng.below(3))
        .map(|_| {
            let backend = if rng.percent(10) { "nonsense" } else { rng.pick(&BACKENDS) };
            let (host, path) = (rng.pick(&HOSTS), rng.pick(&PATHS));
            format!(
                "{{\"domains\":[\"{host}\"],\"path\":\"{path}\",\"backend_url\":\"{backend}\"}}"
            )
        })
        .collect();
    format!("|[{}]", routes.join(","))
}

fn update(rng: &mut Rng) -> String {
    match rng.below(4) {
        0 => format!("|backend_url|{}", rng.pick(&BACKENDS)),
        1 => format!("|priority|{}", rng.below(2)),
        2 => format!("|domains|{}", domains(rng)),
        _ => format!("|path|{}", rng.pick(&PATHS)),
    }
}

fn header(rng: &mut Rng) -> String {
    (*rng.pick(&["X-A", "x-a", "req:X-A", "+X-B", "-X-C"])).to_owned()
}

fn option(rng: &mut Rng) -> String {
    let (key, value) = rng.pick(&OPTIONS);
    format!("|{key}|{value}")
}

fn scopes(rng: &mut Rng) -> String {
    let first = rng.pick(&SCOPES);
    if rng.percent(50) { (*first).to_owned() } else { format!("{first},{}", rng.pick(&SCOPES)) }
}
