//! A registry with a clock, a disk that answers when told, and words for the usual commands.

use std::time::Duration;

use model::{
    BackendUrl, ConnId, HeaderRule, HostPattern, Image, InstanceName, Instant, Line, Now, Push,
    Refusal, Registration, Reply, Request, RouteId, RoutePath, RouteSpec, ServiceName, SessionId,
    UnixMillis,
};
use proxyd_session::{Config, Effects, Input, Note, Output, Peer, Registry};

/// Bounds small enough to reach, times of the specification.
pub(crate) fn config() -> Config {
    Config {
        session_expiry: Duration::from_secs(60),
        v1_route_grace: Duration::from_secs(60),
        route_grace: Duration::from_secs(300),
        staged_expiry: Duration::from_secs(1800),
        sessions_max: 8,
        routes_max: 12,
        routes_per_session_max: 6,
        sessions_per_peer_max: 10_000,
        effects: Effects::ALL,
    }
}

pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) now: Now,
    pub(crate) image: Image,
    /// Whether the disk answers by itself.
    pub(crate) disk: Disk,
    pub(crate) outputs: Vec<Output>,
    pub(crate) config: Config,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    Works,
    Waits,
    Full,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: Config) -> Self {
        let now =
            Now { mono: Instant::from_nanos(1_000_000_000), wall: UnixMillis(1_734_532_800_000) };
        let registry = Registry::new(config.clone(), [7; 32], Image::default(), now);
        let (image, outputs) = (Image::default(), Vec::new());
        let mut world = Self { registry, now, image, disk: Disk::Works, outputs, config };
        world.drain();
        world.outputs.clear();
        world
    }

    /// The proxy ends, and another one begins with what is on the disk.
    pub(crate) fn restart(&mut self) {
        let image = self.image.clone();
        self.registry = Registry::new(self.config.clone(), [8; 32], image, self.now);
        self.drain();
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.registry.handle(input, self.now);
        self.drain();
        self.registry.check();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.registry.poll_output() {
            if let Output::Persist(batch) = &output {
                let answer = match self.disk {
                    Disk::Works => {
                        batch.records.iter().for_each(|record| self.image.apply(record));
                        Some(Ok(()))
                    }
                    Disk::Full => Some(Err("disk full".to_owned())),
                    Disk::Waits => None,
                };
                if let Some(answer) = answer {
                    self.registry.handle(Input::Persisted(batch.seq, answer), self.now);
                }
            }
            self.outputs.push(output);
        }
    }

    pub(crate) fn wait(&mut self, by: Duration) {
        let until = self.now.after(by);
        while let Some(next) = self.registry.poll_timeout().filter(|next| *next <= until.mono) {
            self.now = self.now.after(next.since(self.now.mono));
            self.registry.handle_timeout(self.now);
            assert!(self.registry.poll_timeout().is_none_or(|next| next > self.now.mono));
            self.drain();
        }
        self.now = until;
        self.registry.check();
    }

    pub(crate) fn connect(&mut self, conn: u64) {
        self.input(Input::Connected(ConnId(conn), Peer::Local));
    }

    pub(crate) fn send(&mut self, conn: u64, session: Option<&SessionId>, request: Request) {
        let line = Line { session: session.cloned(), txn: None, request };
        self.input(Input::Line(ConnId(conn), line));
    }

    /// Sends a command and takes its answer.
    pub(crate) fn ask(&mut self, conn: u64, session: &SessionId, request: Request) -> Reply {
        self.outputs.clear();
        self.send(conn, Some(session), request);
        self.answer(conn)
    }

    /// Sends a command that names no session and takes its answer.
    pub(crate) fn ask_of_all(&mut self, conn: u64, request: Request) -> Reply {
        self.outputs.clear();
        self.send(conn, None, request);
        self.answer(conn)
    }

    /// The only answer since the outputs were looked at last.
    pub(crate) fn answer(&mut self, conn: u64) -> Reply {
        let mut answers = self.answers(conn);
        assert_eq!(answers.len(), 1, "one answer: {answers:?}");
        answers.remove(0)
    }

    pub(crate) fn answers(&mut self, conn: u64) -> Vec<Reply> {
        let answers = self.outputs.iter().filter_map(|output| match output {
            Output::Answer(to, answer) if *to == ConnId(conn) => Some(answer.reply.clone()),
            _ => None,
        });
        answers.collect()
    }

    pub(crate) fn pushes(&self, conn: u64) -> Vec<Push> {
        let pushes = self.outputs.iter().filter_map(|output| match output {
            Output::Push(to, push) if *to == ConnId(conn) => Some(push.clone()),
            _ => None,
        });
        pushes.collect()
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        let notes = self.outputs.iter().filter_map(|output| match output {
            Output::Note(note) => Some(Note::to_string(note)),
            _ => None,
        });
        notes.collect()
    }

    pub(crate) fn registered(&mut self, conn: u64, service: &str, instance: &str) -> SessionId {
        self.connect(conn);
        self.register(conn, v2(service, instance))
    }

    pub(crate) fn register(&mut self, conn: u64, registration: Registration) -> SessionId {
        self.outputs.clear();
        self.send(conn, None, Request::Register(registration));
        match self.answer(conn) {
            Reply::Registered(id) => id,
            other => panic!("registered: {other:?}"),
        }
    }

    /// Stages a route and applies it.
    pub(crate) fn serve(&mut self, conn: u64, session: &SessionId, spec: RouteSpec) -> RouteId {
        let Reply::RouteAdded(route) = self.ask(conn, session, Request::RouteAdd(spec)) else {
            panic!("a route is staged");
        };
        assert_eq!(self.ask(conn, session, Request::ConfigApply), Reply::Ok);
        route
    }

    pub(crate) fn lose(&mut self, conn: u64) {
        self.input(Input::Lost(ConnId(conn)));
    }

    /// The backends of a host's root, by route.
    pub(crate) fn served(&self) -> Vec<(u64, String)> {
        let entries = self.registry.table().entries();
        entries.map(|entry| (entry.route.0, entry.spec.backend.to_string())).collect()
    }
}

pub(crate) fn v2(service: &str, instance: &str) -> Registration {
    Registration::V2 {
        service: ServiceName::parse(service).unwrap(),
        instance: InstanceName::parse(instance).unwrap(),
        maintenance_port: 9001,
        metadata: None,
    }
}

pub(crate) fn v1(service: &str, hostname: &str) -> Registration {
    Registration::V1 {
        service: ServiceName::parse(service).unwrap(),
        hostname: InstanceName::parse(hostname).unwrap(),
        service_port: 9000,
        maintenance_port: 9001,
    }
}

pub(crate) fn spec(domains: &str, path: &str, backend: &str) -> RouteSpec {
    RouteSpec {
        domains: domains.split(',').map(|text| HostPattern::parse(text).unwrap()).collect(),
        path: RoutePath::parse(path).unwrap(),
        backend: BackendUrl::parse(backend).unwrap(),
        priority: 0,
    }
}

pub(crate) fn header(name: &str, value: &str) -> HeaderRule {
    HeaderRule::parse(name, value).unwrap()
}

pub(crate) fn refused(reason: &str) -> Reply {
    Reply::Refused(Refusal::new(reason.to_owned()))
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
