//! Any record there is, about few enough sessions and routes that they meet.

use std::time::Duration;

use model::{
    BackendUrl, Balance, BreakerSpec, DrainRow, EventKind, FailureClass, Generation, HeaderKey,
    HeaderRule, HeaderSetting, HealthProbe, HealthSpec, HistoryRow, HostPattern, InstanceName,
    LimitSpec, MaintenanceRow, MaintenanceTarget, MatchKind, OptionKey, OptionValue, Record,
    RouteId, RoutePath, RouteSpec, ServiceName, SessionId, SessionRow, SettingsEdits, StagedRoute,
    Target, TargetItem, TryRow, UnixMillis, Version,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn any_record() -> impl Strategy<Value = Record> {
    prop_oneof![
        4 => session_row().prop_map(Record::PutSession),
        1 => session().prop_map(Record::RemoveSession),
        4 => (session(), route(), spec(), 0..9u64).prop_map(|(session, route, spec, since)| {
            Record::PutRoute { session, route, spec, since: Generation(since) }
        }),
        2 => route().prop_map(Record::RemoveRoute),
        4 => (route(), any::<bool>()).prop_map(|(id, healthy)| Record::PutHealth(id, healthy)),
        4 => (session(), edits()).prop_map(|(id, edits)| Record::PutSettings(id, edits)),
        3 => (session(), route(), option::of(staged()))
            .prop_map(|(id, route, staged)| Record::StageRoute(id, route, staged)),
        3 => (session(), edits()).prop_map(|(id, edits)| Record::StageSettings(id, edits)),
        1 => session().prop_map(Record::DropStagedSettings),
        1 => session().prop_map(Record::DropDraft),
        1 => (session(), option::of(drain())).prop_map(|(id, row)| Record::PutDrain(id, row)),
        1 => (session(), vec(order(), 0..3))
            .prop_map(|(id, orders)| Record::PutMaintenance(id, orders)),
        1 => (session(), option::of(trial())).prop_map(|(id, row)| Record::PutTry(id, row)),
        1 => history_row().prop_map(Record::History),
        1 => (route(), 0..99u64).prop_map(|(last_route, generation)| Record::Counters {
            last_route,
            generation: Generation(generation),
        }),
    ]
}

pub(crate) fn session() -> impl Strategy<Value = SessionId> {
    select(vec!["a-1", "b-2", "c-3"]).prop_map(|text| SessionId::parse(text).unwrap())
}

fn route() -> impl Strategy<Value = RouteId> {
    (1..6u64).prop_map(RouteId)
}

fn time() -> impl Strategy<Value = UnixMillis> {
    (0..i64::MAX as u64).prop_map(UnixMillis)
}

/// Down to the nanosecond, up to the protocol's year.
fn duration() -> impl Strategy<Value = Duration> {
    let year = Duration::from_hours(365 * 24).as_nanos() as u64;
    prop_oneof![0..1000u64, 0..=year].prop_map(Duration::from_nanos)
}

fn service() -> impl Strategy<Value = ServiceName> {
    select(vec!["api", "web", "dienst-ä"]).prop_map(|text| ServiceName::parse(text).unwrap())
}

fn instance() -> impl Strategy<Value = InstanceName> {
    select(vec!["one", "host:9000"]).prop_map(|text| InstanceName::parse(text).unwrap())
}

fn domain() -> impl Strategy<Value = HostPattern> {
    select(vec!["a.example", "*.a.example", "**.example", "*", "[::1]", "bücher.example"])
        .prop_map(|text| HostPattern::parse(text).unwrap())
}

fn path() -> impl Strategy<Value = RoutePath> {
    select(vec!["/", "/a", "/a/", "/%7Eb/../c", "/a,b"])
        .prop_map(|text| RoutePath::parse(text).unwrap())
}

fn backend() -> impl Strategy<Value = BackendUrl> {
    select(vec!["http://a:3000", "https://[::1]:9443/base", "h2c://10.0.0.1", "ws://b/a,b"])
        .prop_map(|text| BackendUrl::parse(text).unwrap())
}

pub(crate) fn spec() -> impl Strategy<Value = RouteSpec> {
    (vec(domain(), 1..4), path(), backend(), any::<i32>()).prop_map(
        |(domains, path, backend, priority)| RouteSpec { domains, path, backend, priority },
    )
}

fn session_row() -> impl Strategy<Value = SessionRow> {
    let kinds = EventKind::ALL.map(|(kind, _)| kind).to_vec();
    let texts = select(vec!["{}", r#"{"a":"|","b":[1,"ü\n"]}"#]);
    let names = (session(), service(), instance(), any::<bool>(), any::<u16>());
    let shown = option::of(select(vec!["blue-team", "cert:blue"]));
    let times = (option::of(texts), time(), option::of(time()), option::of(0..99u64));
    let rest =
        (proptest::sample::subsequence(kinds, 0..=8), option::of(session()), any::<bool>(), shown);
    (names, times, rest).prop_map(|(names, times, rest)| {
        let (session, service, instance, first, maintenance_port) = names;
        let (metadata, registered_at, last_apply, generation) = times;
        let (subscriptions, replaced_by, pinned, credential): (_, _, _, Option<&str>) = rest;
        SessionRow {
            session,
            service,
            instance,
            version: if first { Version::V1 } else { Version::V2 },
            maintenance_port,
            metadata: metadata.map(Into::into),
            credential: credential.map(Into::into),
            registered_at,
            last_apply,
            generation: generation.map(Generation),
            subscriptions,
            replaced_by,
            pinned,
        }
    })
}

fn staged() -> impl Strategy<Value = StagedRoute> {
    prop_oneof![
        spec().prop_map(StagedRoute::Added),
        spec().prop_map(StagedRoute::Updated),
        Just(StagedRoute::Removed),
        (spec(), route()).prop_map(|(spec, from)| StagedRoute::TakenOver { spec, from }),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::All), route().prop_map(Target::Route)]
}

fn edits() -> impl Strategy<Value = SettingsEdits> {
    let headers = btree_map((target(), header_key()), option::of(header()), 0..3);
    let options = btree_map(option_edit_key(), any::<u8>(), 0..4);
    let health = btree_map(route(), option::of(health()), 0..2);
    let limits = btree_map(target(), option::of(limit()), 0..2);
    let breakers = btree_map(target(), option::of(breaker()), 0..2);
    (headers, options, health, limits, breakers).prop_map(
        |(headers, options, health, limits, breakers)| SettingsEdits {
            headers,
            options: options
                .into_iter()
                .map(|(key, value)| (key, option_value(key.1, value)))
                .collect(),
            health,
            limits,
            breakers,
        },
    )
}

/// A name may begin with the signs that the protocol reads as what to do.
fn header_key() -> impl Strategy<Value = HeaderKey> {
    select(vec!["X-A", "req:X-A", "X-B", "++x", "req:--y"])
        .prop_map(|name| HeaderKey::parse(name).unwrap())
}

fn header() -> impl Strategy<Value = HeaderSetting> {
    let name = select(vec!["X-A", "req:X-A", "resp:+X-B", "-X-B", "++x", "req:--y"]);
    let value = select(vec!["", "1", "a|b", "ü, \t \"x\""]);
    prop_oneof![
        3 => (name, value).prop_map(|(name, value)| {
            HeaderSetting::Rule(HeaderRule::parse(name, value).unwrap())
        }),
        1 => Just(HeaderSetting::Masked),
    ]
}

fn option_edit_key() -> impl Strategy<Value = (Target, OptionKey)> {
    (target(), select(OptionKey::ALL.to_vec()))
}

/// Some value of the key's own type, picked by `n`.
fn option_value(key: OptionKey, n: u8) -> Option<OptionValue> {
    use OptionKey as K;
    if n == 0 {
        return None;
    }
    let pick = usize::from(n);
    Some(match key {
        K::Timeout | K::HealthCheckInterval | K::HealthCheckTimeout | K::SlowStart | K::Park => {
            OptionValue::Duration(Duration::from_nanos(u64::from(n)))
        }
        K::HealthCheckPath | K::StripPrefix => OptionValue::Path(format!("/{n}").into()),
        K::Websocket
        | K::Compression
        | K::Http2
        | K::Http3
        | K::PreserveHost
        | K::ProxyProtocol => OptionValue::Bool(n.is_multiple_of(2)),
        K::Weight | K::Retries | K::MaxInFlight | K::MaxBody => {
            OptionValue::Number(u64::MAX - u64::from(n))
        }
        K::Match => {
            OptionValue::Match([MatchKind::Exact, MatchKind::Prefix, MatchKind::Raw][pick % 3])
        }
        K::Balance => OptionValue::Balance(Balance::ALL[pick % 4].0),
        K::Sticky => OptionValue::Sticky((n.is_multiple_of(2)).then(|| format!("c{n}").into())),
        K::Failure => OptionValue::Failure([FailureClass::Gateway, FailureClass::Any5xx][pick % 2]),
    })
}

fn health() -> impl Strategy<Value = HealthSpec> {
    let probe =
        select(vec![HealthProbe::Http("/health".into()), HealthProbe::Tcp, HealthProbe::Off]);
    (probe, duration(), duration()).prop_map(|(probe, interval, timeout)| HealthSpec {
        probe,
        interval,
        timeout,
    })
}

fn limit() -> impl Strategy<Value = LimitSpec> {
    (any::<u32>(), duration()).prop_map(|(requests, window)| LimitSpec { requests, window })
}

fn breaker() -> impl Strategy<Value = BreakerSpec> {
    (any::<u32>(), duration(), any::<u32>()).prop_map(|(threshold, timeout, probes)| BreakerSpec {
        threshold,
        timeout,
        half_open_requests: probes,
    })
}

fn drain() -> impl Strategy<Value = DrainRow> {
    (time(), duration(), 0..=100u32).prop_map(|(started_at, duration, from_percent)| DrainRow {
        started_at,
        duration,
        from_percent,
    })
}

fn order() -> impl Strategy<Value = MaintenanceRow> {
    let item = prop_oneof![
        route().prop_map(TargetItem::Route),
        path().prop_map(TargetItem::Path),
        domain().prop_map(TargetItem::Domain),
    ];
    (vec(item, 0..3), option::of(backend()), time()).prop_map(|(items, page, entered_at)| {
        let target = MaintenanceTarget { text: "as it was written".into(), items };
        MaintenanceRow { target, page, entered_at }
    })
}

fn trial() -> impl Strategy<Value = TryRow> {
    (time(), vec((route(), option::of(spec())), 0..3), edits())
        .prop_map(|(deadline, routes, settings)| TryRow { deadline, routes, settings })
}

pub(crate) fn history_row() -> impl Strategy<Value = HistoryRow> {
    let who = (service(), instance());
    let what =
        (select(vec!["apply", "shutdown"]), vec((route(), spec()), 0..3), vec(route(), 0..3));
    (0..99u64, time(), who, what).prop_map(|(generation, at, (service, instance), what)| {
        let (action, put, removed) = what;
        HistoryRow {
            generation: Generation(generation),
            at,
            service,
            instance,
            origin: "127.0.0.1".into(),
            action,
            put,
            removed,
        }
    })
}
