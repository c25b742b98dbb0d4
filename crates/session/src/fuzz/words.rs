//! Bytes read as requests, from pools of a few names.

use std::time::Duration;

use model::{
    BackendUrl, BreakerSpec, EventKind, Guard, HeaderRule, HealthProbe, HealthSpec, HostPattern,
    InstanceName, LimitSpec, MaintenanceTarget, MatchKind, OptionKey, OptionValue, Registration,
    Request, RouteId, RoutePath, RouteSpec, RouteUpdate, Scope, Scopes, ServiceName, Target,
    TargetItem,
};

const SERVICES: [&str; 3] = ["blue", "green", "red"];
const INSTANCES: [&str; 2] = ["one", "two"];
const DOMAINS: [&str; 4] = ["a.example", "b.example", "*.example", "*"];
const PATHS: [&str; 4] = ["/", "/a", "/a/", "/b"];
const BACKENDS: [&str; 3] = ["http://a:1", "http://b:2/base", "https://c"];
const HEADERS: [&str; 4] = ["X-A", "req:X-A", "+X-B", "-X-C"];

/// Bytes yet to be read.
pub(super) struct Words<'a> {
    data: &'a [u8],
}

impl<'a> Words<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    /// The next byte, if there is one.
    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.data.split_first()?;
        self.data = rest;
        Some(*first)
    }

    /// A number below `bound`; zero once everything is read.
    pub(super) fn below(&mut self, bound: u8) -> u8 {
        self.next().unwrap_or(0) % bound.max(1)
    }

    pub(super) fn one_of<T: Clone>(&mut self, pool: &[T]) -> T {
        let at = usize::from(self.below(u8::try_from(pool.len()).unwrap_or(u8::MAX)));
        pool.get(at).or_else(|| pool.first()).cloned().expect("no pool is empty")
    }

    pub(super) fn one_of_some<T: Clone>(&mut self, pool: &[T]) -> Option<T> {
        if pool.is_empty() { None } else { Some(self.one_of(pool)) }
    }

    /// A request. `tokens` are those that were offered.
    pub(super) fn request(&mut self, tokens: &[Box<str>]) -> Request {
        match self.below(48) {
            0..=3 => Request::Register(self.registration()),
            4 | 5 => Request::Reconnect,
            6..=11 => Request::RouteAdd(self.spec()),
            12 => {
                let count = usize::from(self.below(4));
                Request::RouteAddBulk((0..=count).map(|_| self.spec()).collect())
            }
            13 => Request::RouteUpdate(self.route(), self.update()),
            14 => Request::RouteRemove(self.route()),
            15 | 16 => self.header(),
            17 => Request::OptionsSet(self.target(), OptionKey::Match, self.kind()),
            18 => Request::OptionsRemove(self.target(), OptionKey::Match),
            19 => self.limit(),
            20..=23 => Request::ConfigApply,
            24 => Request::ConfigApplyPartial(self.scopes()),
            25 => Request::ConfigRollback,
            26 => Request::ConfigDiff,
            27 => Request::ConfigValidate,
            28 => Request::ConfigTry { duration: self.duration(), guard: self.guard() },
            29 => Request::ConfigConfirm,
            30 | 31 => Request::RouteV1(self.spec()),
            32 => Request::HeaderV1(self.rule()),
            33 => Request::OptionV1(OptionKey::Match, self.kind()),
            34 => Request::ShutdownV1,
            35 => Request::ClientShutdown,
            36 => self.drain(),
            37 => Request::MaintEnter { target: self.maintained(), page: None },
            38 => Request::MaintExit(self.maintained()),
            39 => Request::MaintStatus,
            40 => Request::HandoverOffer(self.route()),
            41 | 42 => Request::HandoverAccept {
                token: self.one_of_some(tokens).unwrap_or_else(|| "none".into()),
                backend: self.backend(),
            },
            43 => Request::Subscribe(self.event()),
            44 => Request::Unsubscribe(self.event()),
            45 => Request::RouteList { from: None, compressed: false },
            46 => Request::BackendTest(self.backend()),
            _ => Request::Ping,
        }
    }

    fn registration(&mut self) -> Registration {
        let service = self.one_of(&SERVICES);
        let instance = self.one_of(&INSTANCES);
        let service = ServiceName::parse(service).expect("a name");
        let name = InstanceName::parse(instance).expect("a name");
        match self.below(8) {
            0..=2 => Registration::V1 {
                service,
                hostname: name,
                service_port: 9000,
                maintenance_port: 9001,
            },
            kind => Registration::V2 {
                service,
                instance: name,
                maintenance_port: u16::from(kind % 2),
                metadata: (kind == 7).then(|| r#"{"pinned":true}"#.into()),
            },
        }
    }

    fn spec(&mut self) -> RouteSpec {
        let mut domains = vec![self.domain()];
        if self.below(3) == 0 {
            let second = self.domain();
            if !domains.contains(&second) {
                domains.push(second);
            }
        }
        RouteSpec {
            domains,
            path: self.path(),
            backend: self.backend(),
            priority: i32::from(self.below(2)),
        }
    }

    fn domain(&mut self) -> HostPattern {
        HostPattern::parse(self.one_of(&DOMAINS)).expect("a host")
    }

    fn path(&mut self) -> RoutePath {
        RoutePath::parse(self.one_of(&PATHS)).expect("a path")
    }

    fn backend(&mut self) -> BackendUrl {
        BackendUrl::parse(self.one_of(&BACKENDS)).expect("a URL")
    }

    fn route(&mut self) -> RouteId {
        RouteId(u64::from(self.below(12)) + 1)
    }

    fn target(&mut self) -> Target {
        if self.below(2) == 0 { Target::All } else { Target::Route(self.route()) }
    }

    fn update(&mut self) -> RouteUpdate {
        match self.below(4) {
            0 => RouteUpdate::Backend(self.backend()),
            1 => RouteUpdate::Priority(i32::from(self.below(2))),
            2 => RouteUpdate::Domains(vec![self.domain()]),
            _ => RouteUpdate::Path(self.path()),
        }
    }

    fn rule(&mut self) -> HeaderRule {
        HeaderRule::parse(self.one_of(&HEADERS), "1").expect("a header")
    }

    fn header(&mut self) -> Request {
        let (target, rule) = (self.target(), self.rule());
        if self.below(2) == 0 {
            Request::HeadersSet(target, rule)
        } else {
            Request::HeadersRemove(target, rule.key())
        }
    }

    fn kind(&mut self) -> OptionValue {
        OptionValue::Match(self.one_of(&[MatchKind::Exact, MatchKind::Prefix, MatchKind::Raw]))
    }

    fn limit(&mut self) -> Request {
        let window = Duration::from_secs(1);
        match self.below(3) {
            0 => Request::RatelimitSet(self.target(), LimitSpec { requests: 1, window }),
            1 => {
                let half_open_requests = 1;
                let breaker = BreakerSpec { threshold: 1, timeout: window, half_open_requests };
                Request::CircuitBreakerSet(self.target(), breaker)
            }
            _ => {
                let probe = HealthProbe::Http("/health".into());
                let health = HealthSpec { probe, interval: window, timeout: window };
                Request::HealthSet(self.route(), health)
            }
        }
    }

    fn scopes(&mut self) -> Scopes {
        let bits = self.next().unwrap_or(0);
        let chosen = Scope::ALL.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
        chosen.fold(Scopes::default(), |scopes, (_, (scope, _))| scopes.with(*scope))
    }

    fn duration(&mut self) -> Duration {
        Duration::from_secs(u64::from(self.below(120)) + 1)
    }

    fn guard(&mut self) -> Option<Guard> {
        (self.below(2) == 0).then_some(Guard::ErrorsBelow(5.0))
    }

    fn drain(&mut self) -> Request {
        match self.below(3) {
            0 => Request::DrainCancel,
            1 => Request::DrainStatus,
            _ => Request::DrainStart(self.duration()),
        }
    }

    fn maintained(&mut self) -> MaintenanceTarget {
        let items = match self.below(4) {
            0 => Vec::new(),
            1 => vec![TargetItem::Path(self.path())],
            2 => vec![TargetItem::Domain(self.domain())],
            _ => vec![TargetItem::Route(self.route()), TargetItem::Route(self.route())],
        };
        MaintenanceTarget { text: "target".into(), items }
    }

    fn event(&mut self) -> Option<EventKind> {
        let at = usize::from(self.below(9));
        EventKind::ALL.get(at).map(|(kind, _)| *kind)
    }
}
