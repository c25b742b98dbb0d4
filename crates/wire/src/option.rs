//! Options as the protocol writes them: one grammar per key (SPEC 5).

use model::{Balance, FailureClass, MatchKind, OptionKey, OptionValue, RoutePath};
use nom::character::complete::{digit1, one_of};
use nom::combinator::{all_consuming, opt};
use nom::{IResult, Parser};

use crate::duration;

/// Longest cookie name, in bytes.
const COOKIE_BYTES_MAX: usize = 64;

/// Reads an option's key; the error lists what there is.
///
/// # Errors
///
/// The reason, for the peer.
pub fn parse_key(text: &str) -> Result<OptionKey, String> {
    OptionKey::parse(text).ok_or_else(|| {
        let names: Vec<&str> = OptionKey::ALL.into_iter().map(OptionKey::as_str).collect();
        format!("unknown option: want one of {}", names.join(", "))
    })
}

/// Reads an option's value.
///
/// # Errors
///
/// The reason, for the peer: the option and what was wanted.
pub fn parse(key: OptionKey, text: &str) -> Result<OptionValue, String> {
    let value = match key {
        OptionKey::Timeout | OptionKey::HealthCheckInterval | OptionKey::HealthCheckTimeout => {
            duration::parse_positive(text).map(OptionValue::Duration).map_err(|e| e.to_string())
        }
        OptionKey::SlowStart | OptionKey::Park => {
            duration::parse(text).map(OptionValue::Duration).map_err(|e| e.to_string())
        }
        OptionKey::HealthCheckPath => match text {
            "off" | "tcp" => Ok(OptionValue::Path(text.into())),
            path => parse_path(path),
        },
        OptionKey::StripPrefix => parse_path(text),
        OptionKey::Websocket
        | OptionKey::Compression
        | OptionKey::Http2
        | OptionKey::Http3
        | OptionKey::PreserveHost
        | OptionKey::ProxyProtocol => parse_bool(text).map(OptionValue::Bool),
        OptionKey::Match => named(text, &MATCHES).map(OptionValue::Match),
        OptionKey::Balance => named(text, &Balance::ALL).map(OptionValue::Balance),
        OptionKey::Failure => named(text, &FAILURES).map(OptionValue::Failure),
        OptionKey::Weight => number(text, 1, 1000).map(OptionValue::Number),
        OptionKey::Retries => number(text, 0, 10).map(OptionValue::Number),
        OptionKey::MaxInFlight => number(text, 1, 1_000_000).map(OptionValue::Number),
        OptionKey::MaxBody => parse_size(text).map(OptionValue::Number),
        OptionKey::Sticky => parse_sticky(text).map(OptionValue::Sticky),
    };
    value.map_err(|wanted| format!("{} {wanted}", key.as_str()))
}

/// Writes a value so that [`parse`] reads the same.
pub fn print(value: &OptionValue) -> String {
    let name_of = |value: &MatchKind| MATCHES.iter().find(|(kind, _)| kind == value);
    match value {
        OptionValue::Duration(duration) => duration::print(*duration),
        OptionValue::Bool(value) => value.to_string(),
        OptionValue::Number(number) => number.to_string(),
        OptionValue::Path(path) => path.to_string(),
        OptionValue::Match(kind) => name_of(kind).map_or("prefix", |(_, name)| name).to_owned(),
        OptionValue::Balance(balance) => {
            let named = Balance::ALL.iter().find(|(other, _)| other == balance);
            named.map_or("p2c", |(_, name)| name).to_owned()
        }
        OptionValue::Failure(class) => {
            let named = FAILURES.iter().find(|(other, _)| other == class);
            named.map_or("gateway", |(_, name)| name).to_owned()
        }
        OptionValue::Sticky(None) => "off".to_owned(),
        OptionValue::Sticky(Some(name)) => format!("cookie:{name}"),
    }
}

const MATCHES: [(MatchKind, &str); 3] =
    [(MatchKind::Prefix, "prefix"), (MatchKind::Exact, "exact"), (MatchKind::Raw, "raw")];
const FAILURES: [(FailureClass, &str); 2] =
    [(FailureClass::Gateway, "gateway"), (FailureClass::Any5xx, "5xx")];

fn named<T: Copy>(text: &str, names: &[(T, &'static str)]) -> Result<T, String> {
    names.iter().find(|(_, name)| *name == text).map(|(value, _)| *value).ok_or_else(|| {
        let names: Vec<&str> = names.iter().map(|(_, name)| *name).collect();
        format!("must be one of {}", names.join(", "))
    })
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(true),
        "false" | "0" | "off" | "no" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

fn number(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = plain.then(|| text.parse().ok()).flatten();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

fn parse_path(text: &str) -> Result<OptionValue, String> {
    let path = RoutePath::parse(text).map_err(|error| error.to_string())?;
    Ok(OptionValue::Path(path.as_str().into()))
}

/// `off`, `cookie` or `cookie:name`.
fn parse_sticky(text: &str) -> Result<Option<Box<str>>, String> {
    let wanted = || "must be off, cookie or cookie:name".to_owned();
    let name = match text {
        "off" => return Ok(None),
        "cookie" => "proxyd",
        other => other.strip_prefix("cookie:").ok_or_else(wanted)?,
    };
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || name.len() > COOKIE_BYTES_MAX || !name.bytes().all(token) {
        return Err(wanted());
    }
    Ok(Some(name.into()))
}

/// `512K`, `10M`, `1G`, or plain bytes.
fn parse_size(text: &str) -> Result<u64, String> {
    let wanted = || "must be a size such as 512K, 10M or 1G".to_owned();
    let read: IResult<&str, (&str, Option<char>)> =
        all_consuming((digit1, opt(one_of("KMGkmg")))).parse(text);
    let (_, (digits, unit)) = read.map_err(|_| wanted())?;
    let shift = match unit.map(|unit| unit.to_ascii_uppercase()) {
        Some('K') => 10,
        Some('M') => 20,
        Some(_) => 30,
        None => 0,
    };
    let number: u64 = digits.parse().map_err(|_| wanted())?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        #[rustfmt::skip]
        let good = [
            ("timeout", "60s", "1m"), ("health_check_interval", "30", "30s"),
            ("health_check_path", "/h", "/h"), ("health_check_path", "tcp", "tcp"),
            ("websocket", "YES", "true"), ("compression", "0", "false"), ("http2", "on", "true"),
            ("match", "exact", "exact"), ("balance", "round_robin", "round_robin"),
            ("weight", "1000", "1000"), ("sticky", "cookie", "cookie:proxyd"), ("sticky", "off", "off"),
            ("slow_start", "0s", "0s"), ("strip_prefix", "/api", "/api"), ("retries", "0", "0"),
            ("max_in_flight", "1", "1"), ("max_body", "10M", "10485760"), ("max_body_size", "512K", "524288"),
            ("failure", "5xx", "5xx"), ("park", "5s", "5s"), ("preserve_host", "no", "false"),
            ("proxy_protocol", "on", "true"),
        ];
        for (key, text, printed) in good {
            let key = parse_key(key).unwrap();
            let value = parse(key, text).unwrap();
            assert_eq!(print(&value), printed);
            assert_eq!(parse(key, printed), Ok(value), "{printed}");
        }
        #[rustfmt::skip]
        let bad = [
            ("timeout", "0"), ("timeout", "soon"), ("websocket", "maybe"), ("weight", "0"), ("weight", "1001"),
            ("weight", "+1"), ("max_body", "10T"), ("max_body", "0"), ("max_body", "99999999999G"),
            ("match", "Exact"), ("sticky", "cookie:"), ("sticky", "cookie:a b"), ("strip_prefix", "api"),
            ("retries", "11"), ("balance", "best"), ("failure", "all"),
        ];
        for (name, text) in bad {
            let error = parse(parse_key(name).unwrap(), text).unwrap_err();
            assert!(error.starts_with(&format!("{name} must ")), "{name} {text}: {error}");
        }
    }

    #[test]
    fn unknown_keys_are_told_what_there_is() {
        let error = parse_key("timeot").unwrap_err();
        assert!(error.contains("timeout") && error.contains("max_body"), "{error}");
    }
}
