//! Settings, as they are written down: one row each, so that changing one costs one.

use std::time::Duration;

use model::{
    Balance, BreakerSpec, FailureClass, HeaderAction, HeaderKey, HeaderRule, HeaderSetting,
    HeaderSide, HealthProbe, HealthSpec, LimitSpec, MatchKind, OptionKey, OptionValue, RouteId,
    SettingsEdits, Target,
};
use serde::{Deserialize, Serialize};

use super::{Unreadable, from_json, nanos, to_json};

/// [`Target::All`] among route ids.
const ALL: i64 = -1;

/// One setting. Without a value it is one to be taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setting {
    pub(crate) kind: String,
    pub(crate) target: i64,
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

/// What is set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Value {
    /// The name as HEADERS_SET spells it: `req:+X-A`.
    Header {
        name: String,
        value: String,
    },
    /// Nothing, in spite of what is set for all routes.
    Masked,
    Duration(u64),
    Bool(bool),
    Number(u64),
    Path(String),
    Match(String),
    Balance(String),
    Sticky(Option<String>),
    Failure(String),
    Health {
        path: Option<String>,
        tcp: bool,
        interval: u64,
        timeout: u64,
    },
    Limit {
        requests: u32,
        window: u64,
    },
    Breaker {
        threshold: u32,
        timeout: u64,
        half_open_requests: u32,
    },
}

/// Every edit as a row, each of which reads back.
pub(crate) fn settings_of(edits: &SettingsEdits) -> Result<Vec<Setting>, Unreadable> {
    let mut rows = Vec::new();
    for ((target, key), edit) in &edits.headers {
        let value = edit.as_ref().map(header_value);
        rows.push(row("header", target_number(*target)?, spell_key(key), value));
    }
    for ((target, key), edit) in &edits.options {
        let value = edit.as_ref().map(option_value);
        rows.push(row("option", target_number(*target)?, key.as_str().to_owned(), value));
    }
    for (route, edit) in &edits.health {
        let value = edit.as_ref().map(health_value);
        rows.push(row("health", target_number(Target::Route(*route))?, String::new(), value));
    }
    for (target, edit) in &edits.limits {
        let value = edit
            .as_ref()
            .map(|limit| Value::Limit { requests: limit.requests, window: nanos(limit.window) });
        rows.push(row("limit", target_number(*target)?, String::new(), value));
    }
    for (target, edit) in &edits.breakers {
        let value = edit.as_ref().map(|breaker| Value::Breaker {
            threshold: breaker.threshold,
            timeout: nanos(breaker.timeout),
            half_open_requests: breaker.half_open_requests,
        });
        rows.push(row("breaker", target_number(*target)?, String::new(), value));
    }
    if edits_from(&rows)? == *edits { Ok(rows) } else { Err(Unreadable("setting")) }
}

pub(crate) fn edits_from<'a>(
    rows: impl IntoIterator<Item = &'a Setting>,
) -> Result<SettingsEdits, Unreadable> {
    let mut edits = SettingsEdits::default();
    for row in rows {
        read(row, &mut edits)?;
    }
    Ok(edits)
}

fn read(row: &Setting, edits: &mut SettingsEdits) -> Result<(), Unreadable> {
    let target = read_target(row.target)?;
    let value: Option<Value> =
        row.value.as_deref().map(|text| from_json(text, "setting")).transpose()?;
    match row.kind.as_str() {
        "header" => {
            let edit = value.map(read_header).transpose()?;
            edits.headers.insert((target, read_key(&row.name)?), edit);
        }
        "option" => {
            let key = OptionKey::parse(&row.name).ok_or(Unreadable("option"))?;
            edits.options.insert((target, key), value.map(read_option).transpose()?);
        }
        "health" => {
            let Target::Route(route) = target else { return Err(Unreadable("health check")) };
            edits.health.insert(route, value.map(read_health).transpose()?);
        }
        "limit" => drop(edits.limits.insert(target, value.map(read_limit).transpose()?)),
        "breaker" => drop(edits.breakers.insert(target, value.map(read_breaker).transpose()?)),
        _ => return Err(Unreadable("kind of setting")),
    }
    Ok(())
}

fn row(kind: &str, target: i64, name: String, value: Option<Value>) -> Setting {
    Setting { kind: kind.to_owned(), target, name, value: value.map(|value| to_json(&value)) }
}

fn target_number(target: Target) -> Result<i64, Unreadable> {
    match target {
        Target::All => Ok(ALL),
        Target::Route(route) => i64::try_from(route.0).map_err(|_| Unreadable("target")),
    }
}

fn read_target(number: i64) -> Result<Target, Unreadable> {
    if number == ALL {
        return Ok(Target::All);
    }
    u64::try_from(number).map(|id| Target::Route(RouteId(id))).map_err(|_| Unreadable("target"))
}

fn side(side: HeaderSide) -> &'static str {
    match side {
        HeaderSide::Request => "req:",
        HeaderSide::Response => "",
    }
}

fn spell_key(key: &HeaderKey) -> String {
    format!("{}{}", side(key.side), key.name)
}

/// A name may begin with `+` or `-`, which the protocol reads as what to do: one more `+` before
/// it is taken off in its place.
fn read_key(text: &str) -> Result<HeaderKey, Unreadable> {
    let spelled = match text.strip_prefix("req:") {
        Some(name) => format!("req:+{name}"),
        None => format!("+{text}"),
    };
    HeaderKey::parse(&spelled).map_err(|_| Unreadable("header name"))
}

fn header_value(setting: &HeaderSetting) -> Value {
    let rule = match setting {
        HeaderSetting::Masked => return Value::Masked,
        HeaderSetting::Rule(rule) => rule,
    };
    let action = match rule.action {
        HeaderAction::Set => "",
        HeaderAction::Append => "+",
        HeaderAction::Strip => "-",
    };
    let name = format!("{}{action}{}", side(rule.side), rule.name);
    Value::Header { name, value: rule.value.to_string() }
}

fn read_header(value: Value) -> Result<HeaderSetting, Unreadable> {
    match value {
        Value::Masked => Ok(HeaderSetting::Masked),
        Value::Header { name, value } => HeaderRule::parse(&name, &value)
            .map(HeaderSetting::Rule)
            .map_err(|_| Unreadable("header")),
        _ => Err(Unreadable("header")),
    }
}

fn option_value(value: &OptionValue) -> Value {
    match value {
        OptionValue::Duration(duration) => Value::Duration(nanos(*duration)),
        OptionValue::Bool(on) => Value::Bool(*on),
        OptionValue::Number(number) => Value::Number(*number),
        OptionValue::Path(path) => Value::Path(path.to_string()),
        OptionValue::Match(kind) => Value::Match(match_name(*kind).to_owned()),
        OptionValue::Balance(balance) => {
            let named = Balance::ALL.iter().find(|(known, _)| known == balance);
            Value::Balance(named.map_or("", |(_, name)| name).to_owned())
        }
        OptionValue::Sticky(cookie) => Value::Sticky(cookie.as_ref().map(|c| c.to_string())),
        OptionValue::Failure(class) => Value::Failure(failure_name(*class).to_owned()),
    }
}

fn read_option(value: Value) -> Result<OptionValue, Unreadable> {
    let unreadable = Unreadable("option");
    Ok(match value {
        Value::Duration(nanos) => OptionValue::Duration(Duration::from_nanos(nanos)),
        Value::Bool(on) => OptionValue::Bool(on),
        Value::Number(number) => OptionValue::Number(number),
        Value::Path(path) => OptionValue::Path(path.into()),
        Value::Match(name) => {
            let kinds = [MatchKind::Exact, MatchKind::Prefix, MatchKind::Raw];
            let kind = kinds.into_iter().find(|kind| match_name(*kind) == name);
            OptionValue::Match(kind.ok_or(unreadable)?)
        }
        Value::Balance(name) => {
            let named = Balance::ALL.into_iter().find(|(_, known)| *known == name);
            OptionValue::Balance(named.ok_or(unreadable)?.0)
        }
        Value::Sticky(cookie) => OptionValue::Sticky(cookie.map(Into::into)),
        Value::Failure(name) => {
            let classes = [FailureClass::Gateway, FailureClass::Any5xx];
            let class = classes.into_iter().find(|class| failure_name(*class) == name);
            OptionValue::Failure(class.ok_or(unreadable)?)
        }
        Value::Header { .. }
        | Value::Masked
        | Value::Health { .. }
        | Value::Limit { .. }
        | Value::Breaker { .. } => return Err(unreadable),
    })
}

fn match_name(kind: MatchKind) -> &'static str {
    match kind {
        MatchKind::Exact => "exact",
        MatchKind::Prefix => "prefix",
        MatchKind::Raw => "raw",
    }
}

fn failure_name(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Gateway => "gateway",
        FailureClass::Any5xx => "5xx",
    }
}

fn health_value(health: &HealthSpec) -> Value {
    let (path, tcp) = match &health.probe {
        HealthProbe::Http(path) => (Some(path.to_string()), false),
        HealthProbe::Tcp => (None, true),
        HealthProbe::Off => (None, false),
    };
    Value::Health { path, tcp, interval: nanos(health.interval), timeout: nanos(health.timeout) }
}

fn read_health(value: Value) -> Result<HealthSpec, Unreadable> {
    let Value::Health { path, tcp, interval, timeout } = value else {
        return Err(Unreadable("health check"));
    };
    let probe = match (path, tcp) {
        (Some(path), false) => HealthProbe::Http(path.into()),
        (None, true) => HealthProbe::Tcp,
        (None, false) => HealthProbe::Off,
        (Some(_), true) => return Err(Unreadable("health check")),
    };
    let (interval, timeout) = (Duration::from_nanos(interval), Duration::from_nanos(timeout));
    Ok(HealthSpec { probe, interval, timeout })
}

fn read_limit(value: Value) -> Result<LimitSpec, Unreadable> {
    let Value::Limit { requests, window } = value else { return Err(Unreadable("rate limit")) };
    Ok(LimitSpec { requests, window: Duration::from_nanos(window) })
}

fn read_breaker(value: Value) -> Result<BreakerSpec, Unreadable> {
    let Value::Breaker { threshold, timeout, half_open_requests } = value else {
        return Err(Unreadable("circuit breaker"));
    };
    Ok(BreakerSpec { threshold, timeout: Duration::from_nanos(timeout), half_open_requests })
}
