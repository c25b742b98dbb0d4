//! What stands between two pipes.

use model::{
    BackendUrl, BreakerSpec, EventKind, Guard, HealthProbe, HealthSpec, HostPattern, LimitSpec,
    MaintenanceTarget, RouteId, RoutePath, RouteSpec, Scope, Scopes, Target, TargetItem, UrlError,
};
use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::combinator::{all_consuming, rest};
use nom::number::complete::recognize_float;
use nom::{IResult, Parser};

use crate::duration;

/// Domains of one route.
const DOMAINS_MAX: usize = 256;
/// Items of one maintenance target.
const TARGET_ITEMS_MAX: usize = 1000;

/// A reason for the sender.
pub(crate) type Reason = String;

/// Puts the field's name before what is wrong with it.
pub(crate) fn named<T, E: std::fmt::Display>(
    field: &'static str,
    read: Result<T, E>,
) -> Result<T, Reason> {
    read.map_err(|error| format!("{field} {error}"))
}

pub(crate) fn route_id(text: &str) -> Result<RouteId, Reason> {
    RouteId::parse(text).ok_or_else(|| "route not found".to_owned())
}

pub(crate) fn target(text: &str) -> Result<Target, Reason> {
    if text == "ALL" { Ok(Target::All) } else { route_id(text).map(Target::Route) }
}

pub(crate) fn domains(text: &str) -> Result<Vec<HostPattern>, Reason> {
    domain_list(text.split(','))
}

/// Each host once, in the order they came.
pub(crate) fn domain_list<'t>(
    names: impl Iterator<Item = &'t str>,
) -> Result<Vec<HostPattern>, Reason> {
    let mut list: Vec<HostPattern> = Vec::new();
    for name in names.map(str::trim).filter(|name| !name.is_empty()) {
        let pattern = named("domains", HostPattern::parse(name))?;
        if !list.contains(&pattern) {
            list.push(pattern);
        }
    }
    if list.is_empty() {
        return Err("no domains specified".to_owned());
    }
    if list.len() > DOMAINS_MAX {
        return Err(format!("domains must be at most {DOMAINS_MAX}"));
    }
    Ok(list)
}

pub(crate) fn path(text: &str) -> Result<RoutePath, Reason> {
    if text.is_empty() {
        return Err("path cannot be empty".to_owned());
    }
    named("path", RoutePath::parse(text))
}

/// The reason begins with the seed's own words, without the field's name.
pub(crate) fn backend(text: &str) -> Result<BackendUrl, Reason> {
    // No scheme://host at all is said in the seed's words, whatever else is wrong.
    let formed = text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty() && !rest.is_empty() && !rest.starts_with('/')
    });
    let read = if formed { BackendUrl::parse(text) } else { Err(UrlError::Format) };
    read.map_err(|error| error.to_string())
}

/// TAB is for header values and JSON (SPEC 2.2).
pub(crate) fn without_tabs(fields: &[&str]) -> Result<(), Reason> {
    if fields.iter().any(|field| field.contains('\t')) {
        return Err("a tab may stand in header values and JSON only".to_owned());
    }
    Ok(())
}

/// A secret.
pub(crate) fn token(text: &str) -> Result<Box<str>, Reason> {
    if text.is_empty() { Err("token must not be empty".to_owned()) } else { Ok(text.into()) }
}

/// A request's method (RFC 9110, section 9.1).
pub(crate) fn method(text: &str) -> Result<Box<str>, Reason> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`~".contains(&b);
    if text.is_empty() || !text.bytes().all(token) {
        return Err("method must be a name of letters, digits and !#$%&'*+-.^_`~".to_owned());
    }
    Ok(text.into())
}

/// A request's host, with or without a port.
pub(crate) fn authority(text: &str) -> Result<Box<str>, Reason> {
    let host = match text.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        // Of an address in brackets.
        _ => text,
    };
    match HostPattern::parse(host) {
        Ok(HostPattern::Exact(_)) if !text.contains(' ') => Ok(text.into()),
        Ok(_) | Err(_) => Err("host must be a host name or an address".to_owned()),
    }
}

/// A request's target in origin form.
pub(crate) fn target_path(text: &str) -> Result<Box<str>, Reason> {
    if text.starts_with('/') { Ok(text.into()) } else { Err("path must begin with /".to_owned()) }
}

/// What is wrong with a priority.
pub(crate) const PRIORITY: &str = "priority must be a whole number";

/// Empty is 0.
pub(crate) fn priority(text: &str) -> Result<i32, Reason> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match text {
        "" => Ok(0),
        _ => plain.then(|| text.parse().ok()).flatten().ok_or_else(|| PRIORITY.to_owned()),
    }
}

pub(crate) fn route(
    domains_: &str,
    path_: &str,
    backend_: &str,
    priority_: &str,
) -> Result<RouteSpec, Reason> {
    Ok(RouteSpec {
        domains: domains(domains_)?,
        path: path(path_)?,
        backend: backend(backend_)?,
        priority: priority(priority_)?,
    })
}

pub(crate) fn port(field: &'static str, text: &str, least: u16) -> Result<u16, Reason> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port >= least)
        .ok_or_else(|| format!("{field} must be a port from {least} to 65535"))
}

pub(crate) fn count(field: &'static str, text: &str, least: u32) -> Result<u32, Reason> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain
        .then(|| text.parse().ok())
        .flatten()
        .filter(|number| *number >= least)
        .ok_or_else(|| format!("{field} must be a whole number from {least}"))
}

pub(crate) fn health(path_: &str, interval: &str, timeout: &str) -> Result<HealthSpec, Reason> {
    let probe = match path_ {
        "off" => HealthProbe::Off,
        "tcp" => HealthProbe::Tcp,
        _ => HealthProbe::Http(path(path_)?.as_str().into()),
    };
    Ok(HealthSpec {
        probe,
        interval: named("interval", duration::parse_positive(interval))?,
        timeout: named("timeout", duration::parse_positive(timeout))?,
    })
}

pub(crate) fn limit(requests: &str, window: &str) -> Result<LimitSpec, Reason> {
    Ok(LimitSpec {
        requests: count("requests", requests, 0)?,
        window: named("window", duration::parse_positive(window))?,
    })
}

pub(crate) fn breaker(
    threshold: &str,
    timeout: &str,
    half_open: &str,
) -> Result<BreakerSpec, Reason> {
    Ok(BreakerSpec {
        threshold: count("threshold", threshold, 0)?,
        timeout: named("timeout", duration::parse_positive(timeout))?,
        half_open_requests: count("half_open_requests", half_open, 1)?,
    })
}

pub(crate) fn scopes(text: &str) -> Result<Scopes, Reason> {
    let mut scopes = Scopes::default();
    for name in text.split(',').map(str::trim) {
        let scope = Scope::ALL.iter().find(|(_, known)| *known == name);
        let (scope, _) = scope.ok_or_else(|| {
            let names: Vec<&str> = Scope::ALL.iter().map(|(_, name)| *name).collect();
            format!("scope must be some of {}", names.join(", "))
        })?;
        scopes = scopes.with(*scope);
    }
    Ok(scopes)
}

/// `None` is `all`.
pub(crate) fn event(text: &str) -> Result<Option<EventKind>, Reason> {
    if text == "all" {
        return Ok(None);
    }
    let kind = EventKind::ALL.iter().find(|(_, name)| *name == text);
    kind.map(|(kind, _)| Some(*kind)).ok_or_else(|| {
        let names: Vec<&str> = EventKind::ALL.iter().map(|(_, name)| *name).collect();
        format!("event_type must be all or one of {}", names.join(", "))
    })
}

/// `ALL`, or a list of route ids, paths and domains.
pub(crate) fn maintenance_target(text: &str) -> Result<MaintenanceTarget, Reason> {
    let mut items = Vec::new();
    if text != "ALL" {
        for name in text.split(',').map(str::trim) {
            items.push(target_item(name)?);
        }
        if items.len() > TARGET_ITEMS_MAX {
            return Err(format!("target must be at most {TARGET_ITEMS_MAX} items"));
        }
    }
    Ok(MaintenanceTarget { text: text.into(), items })
}

fn target_item(name: &str) -> Result<TargetItem, Reason> {
    if let Some(route) = RouteId::parse(name) {
        return Ok(TargetItem::Route(route));
    }
    if name.starts_with('/') {
        return named("target", RoutePath::parse(name)).map(TargetItem::Path);
    }
    // ALL stands alone; here it would be read as a domain.
    match HostPattern::parse(name) {
        Ok(domain) if name != "ALL" => Ok(TargetItem::Domain(domain)),
        Ok(_) | Err(_) => Err("target must be ALL, route ids, paths or domains".to_owned()),
    }
}

/// `errors<5%` or `p99<200ms`.
pub(crate) fn guard(text: &str) -> Result<Guard, Reason> {
    let wanted = || "guard must be errors<5% or p99<200ms".to_owned();
    let errors = (tag("errors<"), recognize_float, tag("%"));
    let read: IResult<&str, (&str, &str, &str)> =
        all_consuming(alt((errors, (tag("p99<"), rest, tag(""))))).parse(text);
    let (_, (kind, value, _)) = read.map_err(|_| wanted())?;
    if kind == "p99<" {
        let bound = duration::parse_positive(value).map_err(|_| wanted())?;
        return Ok(Guard::P99Below(bound));
    }
    let percent: f64 = value.parse().map_err(|_| wanted())?;
    if percent > 0.0 && percent <= 100.0 { Ok(Guard::ErrorsBelow(percent)) } else { Err(wanted()) }
}
