//! Every command of the protocol, as a command of ours.
//!
//! Names and the order of arguments are the protocol's own. Values go out as they were typed:
//! the server is the judge of what they may be.

use clap::{Subcommand, ValueEnum};

use crate::values;

/// A command that is about one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    verb: &'static str,
    /// After the session id.
    fields: Vec<String>,
}

impl Line {
    pub(crate) fn new(verb: &'static str, fields: &[&str]) -> Self {
        Self { verb, fields: fields.iter().map(|field| (*field).to_owned()).collect() }
    }

    /// As it goes out, without its line feed.
    pub(crate) fn about(&self, session: &str) -> String {
        let mut line = format!("{}|{session}", self.verb);
        for field in &self.fields {
            line.push('|');
            line.push_str(field);
        }
        line
    }
}

/// A field of a route that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum RouteField {
    /// Where requests go.
    BackendUrl,
    /// Higher is matched first.
    Priority,
    /// Separated by commas.
    Domains,
    /// A prefix.
    Path,
}

/// Commands of the protocol. They need --session or --register.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Protocol {
    /// Stage a new route; prints its id.
    RouteAdd {
        /// Separated by commas: api.example.com, *.example.com, **.example.com, *.
        #[arg(value_parser = values::domains)]
        domains: String,
        /// A prefix of whole segments: /api.
        #[arg(value_parser = values::path)]
        path: String,
        /// scheme://host, then perhaps :port and /base.
        #[arg(value_parser = values::url)]
        backend_url: String,
        /// Higher is matched first.
        #[arg(default_value_t = 0, allow_negative_numbers = true)]
        priority: i32,
    },
    /// Stage several new routes, all or none.
    RouteAddBulk {
        /// A JSON array of {"domains":[...],"path":...,"backend_url":...,"priority":...}.
        #[arg(value_parser = values::json_array)]
        routes: String,
    },
    /// Stage a change of one field of a route.
    RouteUpdate {
        /// The route.
        #[arg(value_parser = values::route)]
        route_id: String,
        /// Which field.
        field: RouteField,
        /// Its new value.
        #[arg(value_parser = values::field, allow_hyphen_values = true)]
        value: String,
    },
    /// Stage the removal of a route.
    RouteRemove {
        /// The route.
        #[arg(value_parser = values::route)]
        route_id: String,
    },
    /// List routes in one answer; `regctl routes` also lists more than fit.
    RouteList {
        /// Begin with this route.
        #[arg(long, value_parser = values::route)]
        from: Option<String>,
    },
    /// Stage a header.
    HeadersSet {
        /// ALL or a route id.
        #[arg(value_parser = values::target)]
        target: String,
        /// X-Name, req:X-Name, +X-Name to append, -X-Name to strip.
        #[arg(value_parser = values::field, allow_hyphen_values = true)]
        name: String,
        /// Its value.
        #[arg(value_parser = values::value, allow_hyphen_values = true, default_value = "")]
        value: String,
    },
    /// Stage the removal of a header setting.
    HeadersRemove {
        /// ALL or a route id.
        #[arg(value_parser = values::target)]
        target: String,
        /// As it was set.
        #[arg(value_parser = values::field)]
        name: String,
    },
    /// Stage an option.
    OptionsSet {
        /// ALL or a route id.
        #[arg(value_parser = values::target)]
        target: String,
        /// timeout, websocket, balance, ...
        #[arg(value_parser = values::field)]
        key: String,
        /// Its value.
        #[arg(value_parser = values::field)]
        value: String,
    },
    /// Stage an option's return to its default.
    OptionsRemove {
        /// ALL or a route id.
        #[arg(value_parser = values::target)]
        target: String,
        /// The option.
        #[arg(value_parser = values::field)]
        key: String,
    },
    /// Stage a health check.
    HealthSet {
        /// The route.
        #[arg(value_parser = values::route)]
        route_id: String,
        /// A path, `tcp` to connect only, or `off`.
        #[arg(value_parser = values::field)]
        path: String,
        /// Between two checks.
        #[arg(value_parser = values::duration_text)]
        interval: String,
        /// For one check.
        #[arg(value_parser = values::duration_text)]
        timeout: String,
    },
    /// Stage a rate limit per client; 0 requests is none.
    RatelimitSet {
        /// ALL or a route id.
        #[arg(value_parser = values::target)]
        target: String,
        /// At most so many,
        requests: u32,
        /// in any window of this length.
        #[arg(value_parser = values::duration_text)]
        window: String,
    },
    /// Stage a circuit breaker; threshold 0 is none.
    CircuitBreakerSet {
        /// ALL or a route id.
        #[arg(value_parser = values::target)]
        target: String,
        /// Failures in a row that open it.
        threshold: u32,
        /// How long it stays open.
        #[arg(value_parser = values::duration_text)]
        timeout: String,
        /// Requests let through to test recovery.
        half_open_requests: u32,
    },
    /// Show circuit breakers.
    CircuitBreakerStatus {
        /// ALL or a route id.
        #[arg(value_parser = values::target)]
        target: String,
    },
    /// Close circuit breakers.
    CircuitBreakerReset {
        /// ALL or a route id.
        #[arg(value_parser = values::target)]
        target: String,
    },
    /// Check what is staged.
    ConfigValidate,
    /// Make what is staged live, all or nothing.
    ConfigApply,
    /// Make some kinds of staged changes live.
    ConfigApplyPartial {
        /// Of routes, headers, options, health, ratelimit, circuit; separated by commas.
        #[arg(value_parser = values::scopes)]
        scope: String,
    },
    /// Drop what is staged.
    ConfigRollback,
    /// Show what an apply would change.
    ConfigDiff,
    /// Make what is staged live for a while; it reverts unless confirmed.
    ConfigTry {
        /// For so long.
        #[arg(value_parser = values::duration_text)]
        duration: String,
        /// Revert at once if this no longer holds: 'errors<5%', 'p99<200ms'.
        #[arg(value_parser = values::field)]
        guard: Option<String>,
    },
    /// Keep what is being tried.
    ConfigConfirm,
    /// Show statistics.
    StatsGet {
        /// ALL or a route id.
        #[arg(value_parser = values::target, default_value = "ALL")]
        target: String,
    },
    /// Show a session.
    SessionInfo,
    /// Take an instance slowly out of traffic.
    DrainStart {
        /// Over this time.
        #[arg(value_parser = values::duration_text)]
        duration: String,
    },
    /// Show how far a drain is.
    DrainStatus,
    /// Back to full traffic.
    DrainCancel,
    /// Show the maintenance page; prints the ACK and does not wait, as `regctl maint` does.
    MaintEnter {
        /// ALL, or route ids, paths or domains, separated by commas.
        #[arg(value_parser = values::field)]
        target: String,
        /// Where the page is.
        #[arg(value_parser = values::url)]
        backend_url: Option<String>,
    },
    /// End maintenance; prints the ACK and does not wait, as `regctl maint` does.
    MaintExit {
        /// ALL, or what was entered.
        #[arg(value_parser = values::field)]
        target: String,
    },
    /// Show what is in maintenance.
    MaintStatus,
    /// Subscribe this connection to events; `regctl events` also prints them.
    Subscribe {
        /// all, or one kind of event.
        #[arg(value_parser = values::event)]
        event_type: String,
    },
    /// Unsubscribe this connection.
    Unsubscribe {
        /// all, or one kind of event.
        #[arg(value_parser = values::event)]
        event_type: String,
    },
    /// Ask a backend whether it answers.
    BackendTest {
        /// scheme://host, then perhaps :port and /base.
        #[arg(value_parser = values::url)]
        backend_url: String,
    },
    /// Offer a route to another service; prints the token for it.
    HandoverOffer {
        /// The route.
        #[arg(value_parser = values::route)]
        route_id: String,
    },
    /// Stage taking over an offered route.
    HandoverAccept {
        /// What the offer answered.
        #[arg(value_parser = values::field)]
        token: String,
        /// Where its requests go then.
        #[arg(value_parser = values::url)]
        backend_url: String,
    },
    /// End a session; its routes go at once.
    ClientShutdown,
    /// Take up a session on this connection.
    Reconnect,
}

impl Protocol {
    /// The line for it.
    pub(crate) fn line(&self) -> Line {
        match self {
            Self::RouteAdd { domains, path, backend_url, priority } => {
                Line::new("ROUTE_ADD", &[domains, path, backend_url, &priority.to_string()])
            }
            Self::RouteAddBulk { routes } => Line::new("ROUTE_ADD_BULK", &[routes]),
            Self::RouteUpdate { route_id, field, value } => {
                let field = match field {
                    RouteField::BackendUrl => "backend_url",
                    RouteField::Priority => "priority",
                    RouteField::Domains => "domains",
                    RouteField::Path => "path",
                };
                Line::new("ROUTE_UPDATE", &[route_id, field, value])
            }
            Self::RouteRemove { route_id } => Line::new("ROUTE_REMOVE", &[route_id]),
            Self::RouteList { from: None } => Line::new("ROUTE_LIST", &[]),
            Self::RouteList { from: Some(from) } => {
                Line::new("ROUTE_LIST", &[&format!("from={from}")])
            }
            Self::HeadersSet { target, name, value } => {
                Line::new("HEADERS_SET", &[target, name, value])
            }
            Self::HeadersRemove { target, name } => Line::new("HEADERS_REMOVE", &[target, name]),
            Self::OptionsSet { target, key, value } => {
                Line::new("OPTIONS_SET", &[target, key, value])
            }
            Self::OptionsRemove { target, key } => Line::new("OPTIONS_REMOVE", &[target, key]),
            Self::HealthSet { route_id, path, interval, timeout } => {
                Line::new("HEALTH_SET", &[route_id, path, interval, timeout])
            }
            Self::RatelimitSet { target, requests, window } => {
                Line::new("RATELIMIT_SET", &[target, &requests.to_string(), window])
            }
            Self::CircuitBreakerSet { target, threshold, timeout, half_open_requests } => {
                let (threshold, probes) = (threshold.to_string(), half_open_requests.to_string());
                Line::new("CIRCUIT_BREAKER_SET", &[target, &threshold, timeout, &probes])
            }
            Self::CircuitBreakerStatus { target } => Line::new("CIRCUIT_BREAKER_STATUS", &[target]),
            Self::CircuitBreakerReset { target } => Line::new("CIRCUIT_BREAKER_RESET", &[target]),
            Self::ConfigValidate => Line::new("CONFIG_VALIDATE", &[]),
            Self::ConfigApply => Line::new("CONFIG_APPLY", &[]),
            Self::ConfigApplyPartial { scope } => Line::new("CONFIG_APPLY_PARTIAL", &[scope]),
            Self::ConfigRollback => Line::new("CONFIG_ROLLBACK", &[]),
            Self::ConfigDiff => Line::new("CONFIG_DIFF", &[]),
            Self::ConfigTry { duration, guard: None } => Line::new("CONFIG_TRY", &[duration]),
            Self::ConfigTry { duration, guard: Some(guard) } => {
                Line::new("CONFIG_TRY", &[duration, guard])
            }
            Self::ConfigConfirm => Line::new("CONFIG_CONFIRM", &[]),
            Self::StatsGet { target } => Line::new("STATS_GET", &[target]),
            Self::SessionInfo => Line::new("SESSION_INFO", &[]),
            Self::DrainStart { duration } => Line::new("DRAIN_START", &[duration]),
            Self::DrainStatus => Line::new("DRAIN_STATUS", &[]),
            Self::DrainCancel => Line::new("DRAIN_CANCEL", &[]),
            Self::MaintEnter { target, backend_url } => {
                Line::new("MAINT_ENTER", &[target, backend_url.as_deref().unwrap_or_default()])
            }
            Self::MaintExit { target } => Line::new("MAINT_EXIT", &[target]),
            Self::MaintStatus => Line::new("MAINT_STATUS", &[]),
            Self::Subscribe { event_type } => Line::new("SUBSCRIBE", &[event_type]),
            Self::Unsubscribe { event_type } => Line::new("UNSUBSCRIBE", &[event_type]),
            Self::BackendTest { backend_url } => Line::new("BACKEND_TEST", &[backend_url]),
            Self::HandoverOffer { route_id } => Line::new("HANDOVER_OFFER", &[route_id]),
            Self::HandoverAccept { token, backend_url } => {
                Line::new("HANDOVER_ACCEPT", &[token, backend_url])
            }
            Self::ClientShutdown => Line::new("CLIENT_SHUTDOWN", &[]),
            Self::Reconnect => Line::new("RECONNECT", &[]),
        }
    }

    /// Whether any session will do, so that one of our own is registered if none is named.
    pub(crate) fn needs_no_session_in_particular(&self) -> bool {
        matches!(self, Self::BackendTest { .. })
    }
}

#[cfg(test)]
mod tests;
