//! A file of routes: read, checked, and every mistake with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use client::{Desired, RouteWish, Tuning};
use model::{
    BackendUrl, BreakerSpec, HeaderRule, HealthSpec, HostPattern, InstanceName, LimitSpec,
    OptionKey, OptionValue, Request, RoutePath, RouteSpec, ServiceName,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use crate::values;

/// What a file says.
#[derive(Debug, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) service: ServiceName,
    pub(crate) instance: InstanceName,
    pub(crate) maintenance_port: u16,
    /// A JSON object.
    pub(crate) metadata: Option<String>,
    pub(crate) desired: Desired,
}

/// Where a file is wrong, and what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManifestError {
    line: usize,
    column: usize,
    text: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.text)
    }
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    service: Spanned<String>,
    instance: Spanned<String>,
    #[serde(default)]
    maintenance_port: u16,
    metadata: Option<Spanned<toml::Table>>,
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    options: Options,
    limit: Option<Spanned<RawLimit>>,
    breaker: Option<Spanned<RawBreaker>>,
    #[serde(default)]
    route: Vec<RawRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoute {
    domains: Spanned<Vec<Spanned<String>>>,
    path: Spanned<String>,
    backend: Spanned<String>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    options: Options,
    health: Option<Spanned<RawHealth>>,
    limit: Option<Spanned<RawLimit>>,
    breaker: Option<Spanned<RawBreaker>>,
}

type Headers = BTreeMap<String, Spanned<String>>;
type Options = BTreeMap<String, Spanned<Scalar>>;

/// `30`, `"30s"` and `true` are all values of options.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Flag(bool),
    Number(i64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHealth {
    path: String,
    interval: Option<Scalar>,
    timeout: Option<Scalar>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimit {
    requests: u32,
    window: Scalar,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBreaker {
    threshold: u32,
    timeout: Scalar,
    half_open_requests: u32,
}

/// What is wrong, and where in the text.
type At = (Range<usize>, String);

impl Manifest {
    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> Result<Self, ManifestError> {
        let raw: Raw = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            place(text, &(span, error.message().to_owned()))
        })?;
        check(raw).map_err(|at| place(text, &at))
    }
}

fn place(text: &str, (span, what): &At) -> ManifestError {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    ManifestError { line, column, text: what.trim().replace('\n', "; ") }
}

fn check(raw: Raw) -> Result<Manifest, At> {
    let mut desired = Desired {
        routes: BTreeMap::new(),
        all: tuning(raw.headers, raw.options, raw.limit, raw.breaker)?,
    };
    for route in raw.route {
        let span = route.domains.span();
        let (spec, wish) = check_route(route)?;
        if desired.routes.insert(spec, wish).is_some() {
            return Err((span, "this route stands in the file already".to_owned()));
        }
    }
    let metadata = raw.metadata.map(|table| metadata(&table)).transpose()?;
    Ok(Manifest {
        service: at(&raw.service, "service", ServiceName::parse)?,
        instance: at(&raw.instance, "instance", InstanceName::parse)?,
        maintenance_port: raw.maintenance_port,
        metadata,
        desired,
    })
}

fn check_route(raw: RawRoute) -> Result<(RouteSpec, RouteWish), At> {
    let mut domains: Vec<HostPattern> = Vec::new();
    for domain in raw.domains.get_ref() {
        let pattern = at(domain, "domains", HostPattern::parse)?;
        if !domains.contains(&pattern) {
            domains.push(pattern);
        }
    }
    if domains.is_empty() {
        return Err((raw.domains.span(), "domains must name at least one host".to_owned()));
    }
    let path = at(&raw.path, "path", RoutePath::parse)?;
    let backend = at(&raw.backend, "backend:", BackendUrl::parse)?;
    let health = raw.health.as_ref().map(health).transpose()?;
    let tuning = tuning(raw.headers, raw.options, raw.limit, raw.breaker)?;
    let spec = RouteSpec { domains, path, backend, priority: raw.priority };
    Ok((spec, RouteWish { tuning, health }))
}

fn at<T, E: fmt::Display>(
    text: &Spanned<String>,
    field: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, At> {
    parse(text.get_ref()).map_err(|error| (text.span(), format!("{field} {error}")))
}

fn tuning(
    headers: Headers,
    options: Options,
    limit: Option<Spanned<RawLimit>>,
    breaker: Option<Spanned<RawBreaker>>,
) -> Result<Tuning, At> {
    let mut tuning = Tuning::default();
    for (name, value) in &headers {
        let wrong = |error: String| (value.span(), format!("header {name} {error}"));
        values::value(value.get_ref()).map_err(wrong)?;
        let rule = HeaderRule::parse(name, value.get_ref());
        tuning.set_header(rule.map_err(|error| wrong(error.to_string()))?);
    }
    for (name, value) in &options {
        let (key, option) = option(name, value)?;
        tuning.options.insert(key, option);
    }
    tuning.limit = limit.as_ref().map(self::limit).transpose()?;
    tuning.breaker = breaker.as_ref().map(self::breaker).transpose()?;
    Ok(tuning)
}

fn option(name: &str, value: &Spanned<Scalar>) -> Result<(OptionKey, OptionValue), At> {
    match ask(value, "OPTIONS_SET|s|ALL", &[name, &value.get_ref().text()])? {
        Request::OptionsSet(_, key, value) => Ok((key, value)),
        _ => Err((value.span(), format!("{name} is no option"))),
    }
}

fn health(raw: &Spanned<RawHealth>) -> Result<HealthSpec, At> {
    let health = raw.get_ref();
    let text = |given: &Option<Scalar>, default: &str| {
        given.as_ref().map_or_else(|| default.to_owned(), Scalar::text)
    };
    let (interval, timeout) = (text(&health.interval, "30s"), text(&health.timeout, "5s"));
    match ask(raw, "HEALTH_SET|s|r1", &[&health.path, &interval, &timeout])? {
        Request::HealthSet(_, health) => Ok(health),
        _ => Err((raw.span(), "this is no health check".to_owned())),
    }
}

fn limit(raw: &Spanned<RawLimit>) -> Result<LimitSpec, At> {
    let limit = raw.get_ref();
    let fields = [limit.requests.to_string(), limit.window.text()];
    match ask(raw, "RATELIMIT_SET|s|ALL", &[&fields[0], &fields[1]])? {
        Request::RatelimitSet(_, limit) => Ok(limit),
        _ => Err((raw.span(), "this is no rate limit".to_owned())),
    }
}

fn breaker(raw: &Spanned<RawBreaker>) -> Result<BreakerSpec, At> {
    let breaker = raw.get_ref();
    let (threshold, probes) =
        (breaker.threshold.to_string(), breaker.half_open_requests.to_string());
    let fields = [threshold.as_str(), &breaker.timeout.text(), &probes];
    match ask(raw, "CIRCUIT_BREAKER_SET|s|ALL", &fields)? {
        Request::CircuitBreakerSet(_, breaker) => Ok(breaker),
        _ => Err((raw.span(), "this is no circuit breaker".to_owned())),
    }
}

/// Has the protocol's own decoder read values, so that a file means what a command means.
fn ask<T>(place: &Spanned<T>, command: &str, fields: &[&str]) -> Result<Request, At> {
    let mut line = command.to_owned();
    for field in fields {
        line.push('|');
        line.push_str(&values::field(field).map_err(|error| (place.span(), error))?);
    }
    let line = wire::decode(&line, wire::Dialect::V2);
    line.map(|line| line.request).map_err(|error| (place.span(), error.reason.as_str().to_owned()))
}

/// A table as a JSON object on one line.
fn metadata(table: &Spanned<toml::Table>) -> Result<String, At> {
    let wrong = |text: String| (table.span(), format!("metadata {text}"));
    let json = serde_json::to_string(table.get_ref()).map_err(|error| wrong(error.to_string()))?;
    // Dates have no JSON; the one that toml makes up for them helps nobody.
    if json.contains("$__toml_private") {
        return Err(wrong("must hold no dates; write them as strings".to_owned()));
    }
    match serde_json::from_str::<IgnoredAny>(&json) {
        Ok(_) => Ok(json),
        Err(error) => Err(wrong(format!("cannot be JSON: {error}"))),
    }
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
