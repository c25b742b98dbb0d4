//! Which commands the running proxy can do: what it cannot is never acknowledged (SPEC 12).

use model::{BackendUrl, Balance, OptionKey, OptionValue, Request, RouteUpdate, Scheme};

use crate::Effects;

/// Whether everything that a command asks for exists.
pub(crate) fn is_supported(effects: &Effects, request: &Request) -> bool {
    match request {
        Request::HealthSet(..) => effects.health,
        Request::RatelimitSet(..) => effects.ratelimit,
        Request::CircuitBreakerSet(..)
        | Request::CircuitBreakerStatus(_)
        | Request::CircuitBreakerReset(_) => effects.circuit,
        Request::DrainStart(_) | Request::DrainStatus | Request::DrainCancel => effects.drain,
        Request::MaintEnter { .. } | Request::MaintExit(_) | Request::MaintStatus => {
            effects.maintenance
        }
        Request::StatsGet { .. } => effects.stats,
        Request::BackendTest(_) => effects.backend_test,
        Request::RouteAdd(spec) | Request::RouteV1(spec) => speaks_to(effects, &spec.backend),
        Request::RouteAddBulk(specs) => specs.iter().all(|spec| speaks_to(effects, &spec.backend)),
        Request::RouteUpdate(_, update) => match update {
            RouteUpdate::Backend(backend) => speaks_to(effects, backend),
            RouteUpdate::Priority(_) | RouteUpdate::Domains(_) | RouteUpdate::Path(_) => true,
        },
        Request::HandoverAccept { backend, .. } => speaks_to(effects, backend),
        Request::ConfigTry { guard, .. } => guard.is_none() || effects.guards,
        Request::OptionV1(key, value) | Request::OptionsSet(_, key, value) => {
            has_option(effects, *key, value)
        }
        Request::Auth(_)
        | Request::Register(_)
        | Request::HeaderV1(_)
        | Request::ValidateV1
        | Request::ShutdownV1
        | Request::RouteRemove(_)
        | Request::RouteList { .. }
        | Request::HeadersSet(..)
        | Request::HeadersRemove(..)
        | Request::OptionsRemove(..)
        | Request::ConfigValidate
        | Request::ConfigApply
        | Request::ConfigApplyPartial(_)
        | Request::ConfigRollback
        | Request::ConfigDiff
        | Request::ConfigConfirm
        | Request::Ping
        | Request::SessionInfo
        | Request::Subscribe(_)
        | Request::Unsubscribe(_)
        | Request::Explain { .. }
        | Request::HandoverOffer(_)
        | Request::ClientShutdown
        | Request::Reconnect
        | Request::Sessions
        | Request::Catalog { .. }
        | Request::Ack => true,
    }
}

fn speaks_to(effects: &Effects, backend: &BackendUrl) -> bool {
    match backend.scheme() {
        Scheme::Http | Scheme::Ws => true,
        Scheme::Https | Scheme::Wss => effects.tls_backends,
        Scheme::H2c | Scheme::Grpc | Scheme::Grpcs => effects.http2_backends,
    }
}

fn has_option(effects: &Effects, key: OptionKey, value: &OptionValue) -> bool {
    match key {
        OptionKey::Failure => effects.circuit,
        OptionKey::Sticky | OptionKey::SlowStart | OptionKey::Park | OptionKey::MaxInFlight => {
            effects.pool_options
        }
        OptionKey::Balance => *value != OptionValue::Balance(Balance::Hash) || effects.pool_options,
        OptionKey::Timeout
        | OptionKey::HealthCheckInterval
        | OptionKey::HealthCheckTimeout
        | OptionKey::HealthCheckPath
        | OptionKey::Websocket
        | OptionKey::Compression
        | OptionKey::Http2
        | OptionKey::Http3
        | OptionKey::Match
        | OptionKey::Weight
        | OptionKey::StripPrefix
        | OptionKey::PreserveHost
        | OptionKey::Retries
        | OptionKey::MaxBody
        | OptionKey::ProxyProtocol => true,
    }
}
