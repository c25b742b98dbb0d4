//! Every variant of a request is written as a line that reads as the same request.

use std::time::Duration;

use model::{
    BackendUrl, BreakerSpec, EventKind, Guard, HeaderRule, HealthProbe, HealthSpec, HostPattern,
    InstanceName, LimitSpec, Line, MaintenanceTarget, OptionKey, OptionValue, Registration,
    Request, RouteId, RoutePath, RouteSpec, RouteUpdate, Scope, Scopes, ServiceName, SessionId,
    Target, TargetItem, TxnId,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proxyd_wire::{Dialect, decode, encode_line};

/// Above every number that [`number_of`] gives.
const VARIANTS: usize = 49;

proptest! {
    #[test]
    fn what_is_written_reads_back(line in any_line()) {
        let mut bytes = Vec::new();
        encode_line(&line, &mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(text.matches('\n').count(), 1);
        prop_assert_eq!(decode(text.trim_end_matches('\n'), Dialect::V2), Ok(line), "{}", text);
    }
}

/// A new variant does not compile until it has a number, and fails here until [`any_request`]
/// makes it.
#[test]
fn no_variant_is_left_out() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = [false; VARIANTS];
    for _ in 0..5000 {
        let request = any_request().new_tree(&mut runner).unwrap().current();
        seen[number_of(&request)] = true;
    }
    let missing: Vec<usize> = (0..VARIANTS).filter(|at| !seen[*at]).collect();
    assert_eq!(missing, Vec::<usize>::new());
}

fn any_line() -> impl Strategy<Value = Line> {
    let txn = prop::option::of("[A-Za-z0-9._:-]{1,64}");
    (any_request(), "[a-z0-9-]{1,40}", txn).prop_map(|(request, session, txn)| {
        let (has_session, has_txn) = head(&request);
        Line {
            session: has_session.then(|| SessionId::parse(&session).unwrap()),
            txn: txn.and_then(|txn| TxnId::parse(&txn)).filter(|_| has_txn),
            request,
        }
    })
}

/// Whether a session and whether a txn may be named (SPEC 2.2).
fn head(request: &Request) -> (bool, bool) {
    use Request as R;
    match request {
        R::Auth(_) | R::Register(_) | R::Catalog { .. } | R::Ack => (false, false),
        R::RouteV1(_) | R::HeaderV1(_) | R::OptionV1(..) | R::ValidateV1 | R::ShutdownV1 => {
            (true, false)
        }
        R::Reconnect => (true, false),
        R::Sessions => (false, true),
        _ => (true, true),
    }
}

fn any_request() -> impl Strategy<Value = Request> {
    use Request as R;
    let bare = prop::sample::select(vec![
        R::ValidateV1,
        R::ShutdownV1,
        R::ConfigValidate,
        R::ConfigApply,
        R::ConfigRollback,
        R::ConfigDiff,
        R::ConfigConfirm,
        R::Ping,
        R::SessionInfo,
        R::DrainStatus,
        R::DrainCancel,
        R::MaintStatus,
        R::ClientShutdown,
        R::Reconnect,
        R::Sessions,
        R::Catalog { what: "service".into(), with: r#"{"name":"a|b"}"#.into() },
        R::Ack,
    ]);
    prop_oneof![5 => bare, 4 => routes(), 4 => settings(), 6 => others()]
}

fn routes() -> impl Strategy<Value = Request> {
    use Request as R;
    let update = prop_oneof![
        url().prop_map(RouteUpdate::Backend),
        any::<i32>().prop_map(RouteUpdate::Priority),
        hosts().prop_map(RouteUpdate::Domains),
        path().prop_map(RouteUpdate::Path),
    ];
    prop_oneof![
        spec().prop_map(|spec| R::RouteV1(RouteSpec { priority: 0, ..spec })),
        spec().prop_map(R::RouteAdd),
        prop::collection::vec(spec(), 0..5).prop_map(R::RouteAddBulk),
        (id(), update).prop_map(|(id, update)| R::RouteUpdate(id, update)),
        id().prop_map(R::RouteRemove),
        (prop::option::of(id()), any::<bool>())
            .prop_map(|(from, compressed)| R::RouteList { from, compressed }),
    ]
}

fn settings() -> impl Strategy<Value = Request> {
    use Request as R;
    let health = (probe(), span(), span()).prop_map(|(probe, interval, timeout)| HealthSpec {
        probe,
        interval,
        timeout,
    });
    let limit =
        (any::<u32>(), span()).prop_map(|(requests, window)| LimitSpec { requests, window });
    let breaker =
        (any::<u32>(), span(), 1..u32::MAX).prop_map(|(threshold, timeout, half_open_requests)| {
            BreakerSpec { threshold, timeout, half_open_requests }
        });
    prop_oneof![
        header().prop_map(R::HeaderV1),
        option().prop_map(|(key, value)| R::OptionV1(key, value)),
        (target(), header()).prop_map(|(to, rule)| R::HeadersSet(to, rule)),
        (target(), header()).prop_map(|(to, rule)| R::HeadersRemove(to, rule.key())),
        (target(), option()).prop_map(|(to, (key, value))| R::OptionsSet(to, key, value)),
        (target(), option()).prop_map(|(to, (key, _))| R::OptionsRemove(to, key)),
        (id(), health).prop_map(|(id, health)| R::HealthSet(id, health)),
        (target(), limit).prop_map(|(to, limit)| R::RatelimitSet(to, limit)),
        (target(), breaker).prop_map(|(to, breaker)| R::CircuitBreakerSet(to, breaker)),
        target().prop_map(R::CircuitBreakerStatus),
        target().prop_map(R::CircuitBreakerReset),
    ]
}

fn others() -> impl Strategy<Value = Request> {
    use Request as R;
    let guard = prop_oneof![
        (1..=1000u32).prop_map(|tenths| Guard::ErrorsBelow(f64::from(tenths) / 10.0)),
        span().prop_map(Guard::P99Below),
    ];
    let kind =
        || prop::option::of(prop::sample::select(EventKind::ALL.map(|(kind, _)| kind).to_vec()));
    let scopes = prop::collection::vec(prop::sample::select(Scope::ALL.to_vec()), 1..6)
        .prop_map(|some| some.iter().fold(Scopes::default(), |set, (scope, _)| set.with(*scope)));
    prop_oneof![
        "[!-{}~]{1,40}".prop_map(|token| R::Auth(token.into())),
        registration().prop_map(R::Register),
        scopes.prop_map(R::ConfigApplyPartial),
        (span(), prop::option::of(guard))
            .prop_map(|(duration, guard)| R::ConfigTry { duration, guard }),
        (target(), any::<bool>())
            .prop_map(|(target, compressed)| R::StatsGet { target, compressed }),
        span().prop_map(R::DrainStart),
        (maintenance(), prop::option::of(url()))
            .prop_map(|(target, page)| R::MaintEnter { target, page }),
        maintenance().prop_map(R::MaintExit),
        kind().prop_map(R::Subscribe),
        kind().prop_map(R::Unsubscribe),
        url().prop_map(R::BackendTest),
        ("[A-Z]{1,7}", "[a-z]{1,9}\\.example(:80)?", path()).prop_map(|(method, host, path)| {
            R::Explain { method: method.into(), host: host.into(), path: path.as_str().into() }
        }),
        id().prop_map(R::HandoverOffer),
        ("[a-z0-9]{1,26}", url())
            .prop_map(|(token, backend)| R::HandoverAccept { token: token.into(), backend }),
    ]
}

fn registration() -> impl Strategy<Value = Registration> {
    let service = || "[a-z][a-z0-9-]{0,20}".prop_map(|name| ServiceName::parse(&name).unwrap());
    let instance = || "[a-z0-9.:-]{1,20}".prop_map(|name| InstanceName::parse(&name).unwrap());
    let metadata = prop::option::of("[a-z|,:]{0,20}")
        .prop_map(|text| text.map(|text| format!("{{\"tags\":[\"{text}\"]}}").into()));
    prop_oneof![
        (service(), instance(), 1..=u16::MAX, any::<u16>()).prop_map(
            |(service, hostname, service_port, maintenance_port)| Registration::V1 {
                service,
                hostname,
                service_port,
                maintenance_port,
            }
        ),
        (service(), instance(), any::<u16>(), metadata).prop_map(
            |(service, instance, maintenance_port, metadata)| Registration::V2 {
                service,
                instance,
                maintenance_port,
                metadata,
            }
        ),
    ]
}

fn maintenance() -> impl Strategy<Value = MaintenanceTarget> {
    let item = prop_oneof![
        id().prop_map(TargetItem::Route),
        path().prop_map(TargetItem::Path),
        host().prop_map(TargetItem::Domain),
    ];
    prop::collection::vec(item, 0..4).prop_map(|items| {
        let shown = |item: &TargetItem| match item {
            TargetItem::Route(id) => id.to_string(),
            TargetItem::Path(path) => path.to_string(),
            TargetItem::Domain(host) => host.to_string(),
        };
        let text = match items.iter().map(shown).collect::<Vec<_>>().join(",") {
            text if text.is_empty() => "ALL".to_owned(),
            text => text,
        };
        MaintenanceTarget { text: text.into(), items }
    })
}

fn spec() -> impl Strategy<Value = RouteSpec> {
    (hosts(), path(), url(), any::<i32>()).prop_map(|(domains, path, backend, priority)| {
        RouteSpec { domains, path, backend, priority }
    })
}

fn hosts() -> impl Strategy<Value = Vec<HostPattern>> {
    prop::collection::btree_set(host(), 1..4).prop_map(|hosts| hosts.into_iter().collect())
}

fn host() -> impl Strategy<Value = HostPattern> {
    prop_oneof!["[a-z]{1,9}\\.example", "\\*{1,2}\\.[a-z]{1,9}", "\\*", "\\[::[1-9]\\]"]
        .prop_map(|text| HostPattern::parse(&text).unwrap())
}

/// No comma: it would part the items of a maintenance target.
fn path() -> impl Strategy<Value = RoutePath> {
    "/([a-z0-9~-]{1,5}/?){0,3}".prop_map(|text| RoutePath::parse(&text).unwrap())
}

fn url() -> impl Strategy<Value = BackendUrl> {
    "(http|https|h2c|ws|wss|grpc|grpcs)://([a-z]{1,8}|10\\.0\\.0\\.1|\\[::1\\])(:[1-9][0-9]{0,3})?(/[a-z]{1,4})?"
        .prop_map(|text| BackendUrl::parse(&text).unwrap())
}

fn header() -> impl Strategy<Value = HeaderRule> {
    ("(req:|resp:)?[+-]?X-[A-Za-z]{1,6}", "[ -{}~\t]{0,12}")
        .prop_map(|(name, value)| HeaderRule::parse(&name, &value).unwrap())
}

fn option() -> impl Strategy<Value = (OptionKey, OptionValue)> {
    let texts = ["true", "30s", "0", "7", "/x", "raw", "hash", "cookie:a", "off", "5xx", "10M"];
    (prop::sample::select(OptionKey::ALL.to_vec()), prop::sample::select(texts.to_vec()))
        .prop_filter_map("another key's value", |(key, text)| {
            proxyd_wire::option::parse(key, text).ok().map(|value| (key, value))
        })
}

fn probe() -> impl Strategy<Value = HealthProbe> {
    prop_oneof![
        path().prop_map(|path| HealthProbe::Http(path.as_str().into())),
        Just(HealthProbe::Tcp),
        Just(HealthProbe::Off),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::All), id().prop_map(Target::Route)]
}

fn id() -> impl Strategy<Value = RouteId> {
    prop_oneof![1..9u64, Just(u64::MAX)].prop_map(RouteId)
}

/// More than none, at most a year.
fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![1..5000u64, 1..=31_536_000_000_000_000u64].prop_map(Duration::from_nanos)
}

fn number_of(request: &Request) -> usize {
    use Request as R;
    match request {
        R::Auth(_) => 0,
        R::Register(Registration::V1 { .. }) => 1,
        R::Register(Registration::V2 { .. }) => 2,
        R::RouteV1(_) => 3,
        R::HeaderV1(_) => 4,
        R::OptionV1(..) => 5,
        R::ValidateV1 => 6,
        R::ShutdownV1 => 7,
        R::RouteAdd(_) => 8,
        R::RouteAddBulk(_) => 9,
        R::RouteUpdate(..) => 10,
        R::RouteRemove(_) => 11,
        R::RouteList { .. } => 12,
        R::HeadersSet(..) => 13,
        R::HeadersRemove(..) => 14,
        R::OptionsSet(..) => 15,
        R::OptionsRemove(..) => 16,
        R::HealthSet(..) => 17,
        R::RatelimitSet(..) => 18,
        R::CircuitBreakerSet(..) => 19,
        R::CircuitBreakerStatus(_) => 20,
        R::CircuitBreakerReset(_) => 21,
        R::ConfigValidate => 22,
        R::ConfigApply => 23,
        R::ConfigApplyPartial(_) => 24,
        R::ConfigRollback => 25,
        R::ConfigDiff => 26,
        R::ConfigTry { .. } => 27,
        R::ConfigConfirm => 28,
        R::StatsGet { .. } => 29,
        R::Ping => 30,
        R::SessionInfo => 31,
        R::DrainStart(_) => 32,
        R::DrainStatus => 33,
        R::DrainCancel => 34,
        R::MaintEnter { .. } => 35,
        R::MaintExit(_) => 36,
        R::MaintStatus => 37,
        R::Subscribe(_) => 38,
        R::Unsubscribe(_) => 39,
        R::BackendTest(_) => 40,
        R::Explain { .. } => 41,
        R::HandoverOffer(_) => 42,
        R::HandoverAccept { .. } => 43,
        R::ClientShutdown => 44,
        R::Reconnect => 45,
        R::Ack => 46,
        R::Sessions => 47,
        R::Catalog { .. } => 48,
    }
}
