//! Values on the command line, checked as far as they are the same for every server.

use std::str::FromStr;
use std::time::Duration;

use model::{
    BackendUrl, EventKind, HostPattern, InstanceName, RouteId, RoutePath, Scope, ServiceName,
    SessionId,
};

/// A field of a line: no pipe, line feed or other control character but TAB.
pub(crate) fn field(text: &str) -> Result<String, String> {
    let bad = |c: char| c == '|' || (c.is_control() && c != '\t');
    if text.is_empty() || text.contains(bad) {
        return Err("must not be empty nor hold pipes or control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// A field that may be empty.
pub(crate) fn value(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { field(text) }
}

pub(crate) fn session(text: &str) -> Result<String, String> {
    checked(text, SessionId::parse(text))
}

pub(crate) fn domains(text: &str) -> Result<String, String> {
    for domain in text.split(',') {
        HostPattern::parse(domain).map_err(|error| error.to_string())?;
    }
    field(text)
}

pub(crate) fn path(text: &str) -> Result<String, String> {
    RoutePath::parse(text).map_err(|error| error.to_string())?;
    field(text)
}

pub(crate) fn url(text: &str) -> Result<String, String> {
    BackendUrl::parse(text).map_err(|error| error.to_string())?;
    field(text)
}

pub(crate) fn route(text: &str) -> Result<String, String> {
    let want = || "must be a route id: r1, r2, ...".to_owned();
    RouteId::parse(text).map(|_| text.to_owned()).ok_or_else(want)
}

/// `ALL` or a route id.
pub(crate) fn target(text: &str) -> Result<String, String> {
    let want = |_| "must be ALL or a route id: r1, r2, ...".to_owned();
    if text == "ALL" { Ok(text.to_owned()) } else { route(text).map_err(want) }
}

pub(crate) fn event(text: &str) -> Result<String, String> {
    let names: Vec<&str> = EventKind::ALL.iter().map(|(_, name)| *name).collect();
    if text == "all" || names.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("must be all, {}", names.join(", ")))
}

pub(crate) fn scopes(text: &str) -> Result<String, String> {
    let names: Vec<&str> = Scope::ALL.iter().map(|(_, name)| *name).collect();
    if text.split(',').all(|scope| names.contains(&scope)) {
        return Ok(text.to_owned());
    }
    Err(format!("must be some of {}, separated by commas", names.join(", ")))
}

pub(crate) fn json_array(text: &str) -> Result<String, String> {
    match serde_json::from_str::<Vec<serde::de::IgnoredAny>>(text) {
        Ok(_) if !text.contains(['\n', '\r']) => Ok(text.to_owned()),
        Ok(_) => Err("must be on one line".to_owned()),
        Err(error) => Err(format!("must be a JSON array: {error}")),
    }
}

/// A duration of the protocol, more than none.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let want = "must be a duration such as 500ms, 5s, 2m or a number of seconds";
    let length = read_duration(text).ok_or(want)?;
    if length.is_zero() { Err("must not be zero".to_owned()) } else { Ok(length) }
}

/// The same, to be sent as it was typed.
pub(crate) fn duration_text(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

/// Asks the decoder of the protocol, so that there is one grammar.
fn read_duration(text: &str) -> Option<Duration> {
    let text = field(text).ok()?;
    let line = wire::decode(&format!("DRAIN_START|s|{text}"), wire::Dialect::V2).ok()?;
    match line.request {
        model::Request::DrainStart(duration) => Some(duration),
        _ => None,
    }
}

/// Who registers: `SERVICE/INSTANCE[:PORT]`; the port is that of the maintenance page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) service: ServiceName,
    pub(crate) instance: InstanceName,
    pub(crate) port: u16,
}

impl FromStr for Identity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let want = "must be SERVICE/INSTANCE or SERVICE/INSTANCE:PORT";
        let (service, rest) = text.split_once('/').ok_or(want)?;
        let (instance, port) = rest.rsplit_once(':').unwrap_or((rest, "0"));
        Ok(Self {
            service: ServiceName::parse(service).map_err(|error| format!("service {error}"))?,
            instance: InstanceName::parse(instance).map_err(|error| format!("instance {error}"))?,
            port: port.parse().map_err(|_| "port must be 0 to 65535")?,
        })
    }
}

fn checked<T, E: ToString>(text: &str, parsed: Result<T, E>) -> Result<String, String> {
    parsed.map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities() {
        let shown = |text: &str| {
            text.parse::<Identity>()
                .map(|id| format!("{} {} {}", id.service.as_str(), id.instance.as_str(), id.port))
        };
        assert_eq!(shown("orbat/orbat.1"), Ok("orbat orbat.1 0".to_owned()));
        assert_eq!(shown("orbat/orbat.1:3001"), Ok("orbat orbat.1 3001".to_owned()));
        assert_eq!(shown("a/b:1:2"), Ok("a b:1 2".to_owned()));
        for text in ["", "orbat", "/", "a/", "/b", "a/b:x", "a/b:65536", "a b/c"] {
            assert!(shown(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        for text in ["", "0", "0s", "-1s", "soon", "1s|x", "t|30s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
