//! Options: what may be tuned on a route (SPEC 5).

use std::time::Duration;

use crate::MatchKind;

/// The name of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptionKey {
    /// Time to the response head.
    Timeout,
    /// Between two active health checks.
    HealthCheckInterval,
    /// For one active health check.
    HealthCheckTimeout,
    /// What an active health check asks for.
    HealthCheckPath,
    /// Whether WebSocket handshakes are let through.
    Websocket,
    /// Whether responses are compressed.
    Compression,
    /// Whether HTTP/2 is spoken to the backend.
    Http2,
    /// Whether HTTP/3 is offered on the route's hosts, where it is spoken at all.
    Http3,
    /// How the path is compared.
    Match,
    /// How an endpoint is picked.
    Balance,
    /// This endpoint's share, relative to the others of its pool.
    Weight,
    /// Session affinity.
    Sticky,
    /// How long a new endpoint takes to its full share.
    SlowStart,
    /// What is taken off the front of the path.
    StripPrefix,
    /// Whether the backend sees the client's `Host`.
    PreserveHost,
    /// Further attempts after a failed one.
    Retries,
    /// How long requests wait for an endpoint that is about to return.
    Park,
    /// Most requests at one endpoint at once.
    MaxInFlight,
    /// Largest request body.
    MaxBody,
    /// What a circuit breaker counts as a failure.
    Failure,
}

impl OptionKey {
    /// Every option, in the order of SPEC 5.
    pub const ALL: [Self; 20] = [
        Self::Timeout,
        Self::HealthCheckInterval,
        Self::HealthCheckTimeout,
        Self::HealthCheckPath,
        Self::Websocket,
        Self::Compression,
        Self::Http2,
        Self::Http3,
        Self::Match,
        Self::Balance,
        Self::Weight,
        Self::Sticky,
        Self::SlowStart,
        Self::StripPrefix,
        Self::PreserveHost,
        Self::Retries,
        Self::Park,
        Self::MaxInFlight,
        Self::MaxBody,
        Self::Failure,
    ];

    /// Its name in the protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::HealthCheckInterval => "health_check_interval",
            Self::HealthCheckTimeout => "health_check_timeout",
            Self::HealthCheckPath => "health_check_path",
            Self::Websocket => "websocket",
            Self::Compression => "compression",
            Self::Http2 => "http2",
            Self::Http3 => "http3",
            Self::Match => "match",
            Self::Balance => "balance",
            Self::Weight => "weight",
            Self::Sticky => "sticky",
            Self::SlowStart => "slow_start",
            Self::StripPrefix => "strip_prefix",
            Self::PreserveHost => "preserve_host",
            Self::Retries => "retries",
            Self::Park => "park",
            Self::MaxInFlight => "max_in_flight",
            Self::MaxBody => "max_body",
            Self::Failure => "failure",
        }
    }

    /// Reads a name; `max_body_size` is another one for `max_body`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "max_body_size" {
            return Some(Self::MaxBody);
        }
        Self::ALL.into_iter().find(|key| key.as_str() == text)
    }
}

/// How an endpoint of a pool is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Balance {
    /// The better of two drawn at random, by load and latency.
    #[default]
    P2c,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastConn,
    /// By a hash of the client's address.
    Hash,
}

impl Balance {
    /// Every way, and its name in the protocol.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::P2c, "p2c"),
        (Self::RoundRobin, "round_robin"),
        (Self::LeastConn, "least_conn"),
        (Self::Hash, "hash"),
    ];
}

/// What a circuit breaker counts as a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureClass {
    /// No usable answer: connect errors, resets, timeouts, malformed heads, 502, 503, 504.
    #[default]
    Gateway,
    /// These and every other 5xx.
    Any5xx,
}

/// The value of an option, already of the right type for its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptionValue {
    /// For the options that are times.
    Duration(Duration),
    /// For the options that are on or off.
    Bool(bool),
    /// For `weight`, `retries`, `max_in_flight`, and `max_body` in bytes.
    Number(u64),
    /// For `health_check_path` and `strip_prefix`.
    Path(Box<str>),
    /// For `match`.
    Match(MatchKind),
    /// For `balance`.
    Balance(Balance),
    /// For `sticky`: by a cookie of this name; `None` is off.
    Sticky(Option<Box<str>>),
    /// For `failure`.
    Failure(FailureClass),
}

/// All options of one route, with their defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOptions {
    /// Time to the response head.
    pub timeout: Duration,
    /// Between two active health checks; `None` for the default.
    pub health_check_interval: Option<Duration>,
    /// For one active health check; `None` for the default.
    pub health_check_timeout: Option<Duration>,
    /// What an active health check asks for; `None` for the default.
    pub health_check_path: Option<Box<str>>,
    /// Whether WebSocket handshakes are let through.
    pub websocket: bool,
    /// Whether responses are compressed.
    pub compression: bool,
    /// Whether HTTP/2 is spoken to the backend; `None` to let ALPN decide.
    pub http2: Option<bool>,
    /// Whether HTTP/3 is offered on the route's hosts.
    pub http3: bool,
    /// How the path is compared.
    pub match_kind: MatchKind,
    /// How an endpoint is picked.
    pub balance: Balance,
    /// This endpoint's share, 1 to 1000; 100 is usual.
    pub weight: u32,
    /// The cookie that keeps a client at its endpoint.
    pub sticky: Option<Box<str>>,
    /// How long a new endpoint takes to its full share.
    pub slow_start: Duration,
    /// What is taken off the front of the path.
    pub strip_prefix: Option<Box<str>>,
    /// Whether the backend sees the client's `Host`.
    pub preserve_host: bool,
    /// Further attempts after a failed one.
    pub retries: u32,
    /// How long requests wait for an endpoint that is about to return; zero is not at all.
    pub park: Duration,
    /// Most requests at one endpoint at once.
    pub max_in_flight: Option<u32>,
    /// Largest request body, in bytes.
    pub max_body: Option<u64>,
    /// What a circuit breaker counts as a failure.
    pub failure: FailureClass,
}

/// SPEC 4 and 5.
impl Default for RouteOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            health_check_interval: None,
            health_check_timeout: None,
            health_check_path: None,
            websocket: true,
            compression: false,
            http2: None,
            http3: true,
            match_kind: MatchKind::Prefix,
            balance: Balance::P2c,
            weight: 100,
            sticky: None,
            slow_start: Duration::ZERO,
            strip_prefix: None,
            preserve_host: true,
            retries: 1,
            park: Duration::ZERO,
            max_in_flight: None,
            max_body: None,
            failure: FailureClass::Gateway,
        }
    }
}

impl RouteOptions {
    /// Sets one option. A value of another key's type changes nothing; the codec never makes one.
    pub fn set(&mut self, key: OptionKey, value: &OptionValue) {
        use OptionValue as V;
        let number = |n: &u64| u32::try_from(*n).unwrap_or(u32::MAX);
        match (key, value) {
            (OptionKey::Timeout, V::Duration(d)) => self.timeout = *d,
            (OptionKey::HealthCheckInterval, V::Duration(d)) => {
                self.health_check_interval = Some(*d);
            }
            (OptionKey::HealthCheckTimeout, V::Duration(d)) => self.health_check_timeout = Some(*d),
            (OptionKey::HealthCheckPath, V::Path(p)) => self.health_check_path = Some(p.clone()),
            (OptionKey::Websocket, V::Bool(b)) => self.websocket = *b,
            (OptionKey::Compression, V::Bool(b)) => self.compression = *b,
            (OptionKey::Http2, V::Bool(b)) => self.http2 = Some(*b),
            (OptionKey::Http3, V::Bool(b)) => self.http3 = *b,
            (OptionKey::Match, V::Match(kind)) => self.match_kind = *kind,
            (OptionKey::Balance, V::Balance(balance)) => self.balance = *balance,
            (OptionKey::Weight, V::Number(n)) => self.weight = number(n),
            (OptionKey::Sticky, V::Sticky(cookie)) => self.sticky.clone_from(cookie),
            (OptionKey::SlowStart, V::Duration(d)) => self.slow_start = *d,
            (OptionKey::StripPrefix, V::Path(p)) => self.strip_prefix = Some(p.clone()),
            (OptionKey::PreserveHost, V::Bool(b)) => self.preserve_host = *b,
            (OptionKey::Retries, V::Number(n)) => self.retries = number(n),
            (OptionKey::Park, V::Duration(d)) => self.park = *d,
            (OptionKey::MaxInFlight, V::Number(n)) => self.max_in_flight = Some(number(n)),
            (OptionKey::MaxBody, V::Number(n)) => self.max_body = Some(*n),
            (OptionKey::Failure, V::Failure(class)) => self.failure = *class,
            _ => debug_assert!(false, "{} cannot be {value:?}", key.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for key in OptionKey::ALL {
            assert_eq!(OptionKey::parse(key.as_str()), Some(key));
        }
        assert_eq!(OptionKey::parse("max_body_size"), Some(OptionKey::MaxBody));
        assert_eq!(OptionKey::parse("Timeout"), None);
    }
}
