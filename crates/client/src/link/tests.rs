//! Transcripts of a link, in virtual time.
//!
//! ```text
//! +5s       time passes, and what falls due is done
//! open      the connection is there
//! lost      it is gone; the draw is 0, so waits are half their bound
//! < line    the server says it
//! apply ..  the program wants these routes, `domain/path=backend` each, and `Name:value` headers
//! ask       the program asks for SESSION_INFO
//! bye       the program ends
//! ```
//!
//! Everything else is what must come of it, in order: `~` to the socket, `>` to the server, `*` to
//! the program.

use std::time::Duration;

use model::{EventKind, HeaderRule};

use super::*;

#[test]
fn it_registers_and_applies_in_one_step() {
    check(
        "
~ connect
open
> REGISTER|orbat|orbat.1|3001|{\"v\":\"1\"}
apply api.example/v1=http://b:1 api.example/v2=http://b:2 X-A:1
< ACK|orbat-3001-1-s
* registered
> ROUTE_ADD_BULK|orbat-3001-1-s|[{\"domains\":[\"api.example\"],\"path\":\"/v1\",\"backend_url\":\"http://b:1\",\"priority\":0},{\"domains\":[\"api.example\"],\"path\":\"/v2\",\"backend_url\":\"http://b:2\",\"priority\":0}]
< ROUTE_BULK_OK|[{\"route_id\":\"r1\",\"status\":\"ok\"},{\"route_id\":\"r2\",\"status\":\"ok\"}]
> HEADERS_SET|orbat-3001-1-s|ALL|X-A|1
< HEADERS_OK
> CONFIG_VALIDATE|orbat-3001-1-s
< OK
> CONFIG_APPLY|orbat-3001-1-s
< OK
* live 2
* applied
apply api.example/v2=http://b:2
> ROUTE_REMOVE|orbat-3001-1-s|r1
< ROUTE_OK
> HEADERS_REMOVE|orbat-3001-1-s|ALL|x-a
< HEADERS_OK
> CONFIG_VALIDATE|orbat-3001-1-s
< OK
> CONFIG_APPLY|orbat-3001-1-s
< OK
* live 1
* applied
apply api.example/v2=http://b:2
* live 1
* applied
",
    );
}

#[test]
fn a_lost_connection_is_resumed() {
    let script = [
        UP,
        "
lost
* lost for 100ms: gone
ask
* not connected to the registry
+99ms
+1ms
~ connect
lost
* lost for 200ms: gone
+200ms
~ connect
open
> RECONNECT|orbat-3001-1-s
< OK
* resumed
lost
* lost for 100ms: gone
",
    ];
    check(&script.concat());
}

#[test]
fn an_expired_session_is_registered_again_and_replayed() {
    let script = [
        UP,
        "
lost
* lost for 100ms: gone
+100ms
~ connect
open
> RECONNECT|orbat-3001-1-s
< REREGISTER
> REGISTER|orbat|orbat.1|3001|{\"v\":\"1\"}
< ACK|orbat-3001-2-t
* registered
> ROUTE_ADD_BULK|orbat-3001-2-t|[{\"domains\":[\"api.example\"],\"path\":\"/\",\"backend_url\":\"http://b:1\",\"priority\":0}]
< ROUTE_BULK_OK|[{\"route_id\":\"r9\",\"status\":\"ok\"}]
> CONFIG_VALIDATE|orbat-3001-2-t
< OK
> CONFIG_APPLY|orbat-3001-2-t
< OK
* live 1
",
    ];
    check(&script.concat());
}

/// What was accepted once is wanted for good: a replay that is refused is tried again.
#[test]
fn a_refused_replay_is_tried_again() {
    let script = [
        UP,
        "
lost
* lost for 100ms: gone
+100ms
~ connect
open
> RECONNECT|orbat-3001-1-s
< REREGISTER
> REGISTER|orbat|orbat.1|3001|{\"v\":\"1\"}
< ACK|orbat-3001-2-t
* registered
> ROUTE_ADD_BULK|orbat-3001-2-t|[{\"domains\":[\"api.example\"],\"path\":\"/\",\"backend_url\":\"http://b:1\",\"priority\":0}]
< ROUTE_BULK_OK|[{\"route_id\":\"r9\",\"status\":\"ok\"}]
> CONFIG_VALIDATE|orbat-3001-2-t
< ERROR|route r9: api.example/ is owned by service blue
> CONFIG_ROLLBACK|orbat-3001-2-t
< OK
* refused: CONFIG_VALIDATE: route r9: api.example/ is owned by service blue
status Refused
+9999ms
+1ms
> ROUTE_ADD_BULK|orbat-3001-2-t|[{\"domains\":[\"api.example\"],\"path\":\"/\",\"backend_url\":\"http://b:1\",\"priority\":0}]
< ROUTE_BULK_OK|[{\"route_id\":\"r10\",\"status\":\"ok\"}]
> CONFIG_VALIDATE|orbat-3001-2-t
< OK
> CONFIG_APPLY|orbat-3001-2-t
< OK
* live 1
status Connected
",
    ];
    check(&script.concat());
}

#[test]
fn a_refused_proposal_leaves_what_was_accepted() {
    let script = [
        UP,
        "
apply api.example/=http://b:1 other.example/=http://b:2
> ROUTE_ADD_BULK|orbat-3001-1-s|[{\"domains\":[\"other.example\"],\"path\":\"/\",\"backend_url\":\"http://b:2\",\"priority\":0}]
< ERROR|route 1: too many routes
> CONFIG_ROLLBACK|orbat-3001-1-s
< OK
* ROUTE_ADD_BULK: route 1: too many routes
status Connected
apply api.example/=http://b:1
* live 1
* applied
",
    ];
    check(&script.concat());
}

/// Staged changes survive RECONNECT, so they are dropped before the proposal is staged anew.
#[test]
fn a_proposal_outlives_the_connection() {
    let script = [
        UP,
        "
apply other.example/=http://b:2
> ROUTE_REMOVE|orbat-3001-1-s|r1
> ROUTE_ADD_BULK|orbat-3001-1-s|[{\"domains\":[\"other.example\"],\"path\":\"/\",\"backend_url\":\"http://b:2\",\"priority\":0}]
< ROUTE_OK
lost
* lost for 100ms: gone
+100ms
~ connect
open
> RECONNECT|orbat-3001-1-s
< OK
* resumed
> CONFIG_ROLLBACK|orbat-3001-1-s
> ROUTE_REMOVE|orbat-3001-1-s|r1
> ROUTE_ADD_BULK|orbat-3001-1-s|[{\"domains\":[\"other.example\"],\"path\":\"/\",\"backend_url\":\"http://b:2\",\"priority\":0}]
",
    ];
    check(&script.concat());
}

/// Nobody knows what is live, and a restart of the service is what the registry can make whole.
#[test]
fn an_apply_without_an_answer_ends_in_a_new_session() {
    let script = [
        UP,
        "
apply
> ROUTE_REMOVE|orbat-3001-1-s|r1
< ROUTE_OK
> CONFIG_VALIDATE|orbat-3001-1-s
< OK
> CONFIG_APPLY|orbat-3001-1-s
lost
* lost for 100ms: gone
+100ms
~ connect
open
> REGISTER|orbat|orbat.1|3001|{\"v\":\"1\"}
< ACK|orbat-3001-2-t
* registered
* live 0
* applied
",
    ];
    check(&script.concat());
}

#[test]
fn slow_answers_end_the_connection() {
    let script = [
        UP,
        "
ask
> SESSION_INFO|orbat-3001-1-s
+4999ms
< SESSION_OK|{}
* SESSION_OK|{}
ask
> SESSION_INFO|orbat-3001-1-s
+5s
* the connection was lost before the answer
~ disconnect
lost
* lost for 100ms: no answer in time
+100ms
~ connect
+5s
~ disconnect
lost
* lost for 200ms: connecting took too long
",
    ];
    check(&script.concat());
}

#[test]
fn silence_is_filled_with_pings() {
    let script = [
        UP,
        "
+29s
+1s
> PING|orbat-3001-1-s
+1s
< PONG
+29s
+1s
> PING|orbat-3001-1-s
< ERROR|session not found
~ disconnect
lost
* lost for 100ms: the session was replaced or has ended
+100ms
~ connect
open
> REGISTER|orbat|orbat.1|3001|{\"v\":\"1\"}
",
    ];
    check(&script.concat());
}

#[test]
fn the_server_may_go_and_speak_unasked() {
    let script = [
        UP,
        "
ask
> SESSION_INFO|orbat-3001-1-s
< EVENT|drained|{}
* told EVENT|drained|{}
< SESSION_OK|{}
* SESSION_OK|{}
< MAINT_OK|r1
* told MAINT_OK|r1
< SHUTDOWN
* told SHUTDOWN
lost
* lost for 100ms: gone
+100ms
~ connect
",
    ];
    check(&script.concat());
}

#[test]
fn goodbye_is_said_and_answered() {
    let script = [
        UP,
        "
bye
> CLIENT_SHUTDOWN|orbat-3001-1-s
apply
* the client was shut down
< SHUTDOWN_OK
~ disconnect
* ended, goodbye true
status Ended
lost
+60s
",
    ];
    check(&script.concat());
    check(
        &[UP, "\nlost\n* lost for 100ms: gone\nbye\n~ disconnect\n* ended, goodbye false\n"]
            .concat(),
    );
    let unheard =
        "\nbye\n> CLIENT_SHUTDOWN|orbat-3001-1-s\nlost\n~ disconnect\n* ended, goodbye false\n";
    check(&[UP, unheard].concat());
    let unanswered = "\nbye\n> CLIENT_SHUTDOWN|orbat-3001-1-s\n+5s\n~ disconnect\n* ended, goodbye false\n+60s\n";
    check(&[UP, unanswered].concat());
}

#[test]
fn who_is_turned_away_is_told_and_tries_again() {
    let mut config = config();
    config.token = Some("s3cret".into());
    config.subscriptions = vec![Some(EventKind::Drained)];
    let script = "
~ connect
open
> AUTH|s3cret
apply api.example/=http://b:1
< ERROR|authentication failed
* refused: AUTH: authentication failed
* AUTH: authentication failed
~ disconnect
status Refused
lost
* lost for 100ms: the server refused us
+100ms
~ connect
lost
* lost for 200ms: gone
status Connecting
+200ms
~ connect
open
> AUTH|s3cret
< AUTH_OK
> REGISTER|orbat|orbat.1|3001|{\"v\":\"1\"}
< ACK|orbat-3001-1-s
* registered
> SUBSCRIBE|orbat-3001-1-s|drained
< SUBSCRIBE_OK
* live 0
";
    check_with(config, script);
}

#[test]
fn what_waits_is_bounded() {
    let mut link = Link::new(config(), Instant::default());
    for id in 0..WAITING_MAX as u64 + 1 {
        link.handle(Input::Apply(ApplyId(id), Arc::default()), Instant::default());
    }
    let refused: Vec<Output> = std::iter::from_fn(|| link.poll_output()).skip(1).collect();
    let last = ApplyId(WAITING_MAX as u64);
    assert_eq!(refused, [Output::Applied(last, Err(ApplyError::Busy))]);

    let mut world = World::new(config());
    world.run(UP);
    for id in 0..WAITING_MAX as u64 + 1 {
        world.link.handle(Input::Ask(AskId(id), Request::Ping), world.now);
    }
    let last = std::iter::from_fn(|| world.link.poll_output()).last();
    let busy = Output::Answered(AskId(WAITING_MAX as u64), Err(AskError::Busy));
    assert_eq!(last, Some(busy));
    world.link.handle(Input::Ask(AskId(0), Request::Reconnect), world.now);
    let reserved = Output::Answered(AskId(0), Err(AskError::Reserved));
    assert_eq!(world.link.poll_output(), Some(reserved));
}

/// Registered, with one route live.
const UP: &str = "
~ connect
open
> REGISTER|orbat|orbat.1|3001|{\"v\":\"1\"}
< ACK|orbat-3001-1-s
* registered
apply api.example/=http://b:1
> ROUTE_ADD_BULK|orbat-3001-1-s|[{\"domains\":[\"api.example\"],\"path\":\"/\",\"backend_url\":\"http://b:1\",\"priority\":0}]
< ROUTE_BULK_OK|[{\"route_id\":\"r1\",\"status\":\"ok\"}]
> CONFIG_VALIDATE|orbat-3001-1-s
< OK
> CONFIG_APPLY|orbat-3001-1-s
< OK
* live 1
* applied
";

fn config() -> LinkConfig {
    let service = model::ServiceName::parse("orbat").unwrap();
    let instance = model::InstanceName::parse("orbat.1").unwrap();
    let mut config = LinkConfig::new(service, instance, 3001);
    config.metadata = Some("{\"v\":\"1\"}".into());
    config
}

fn check(script: &str) {
    check_with(config(), script);
}

fn check_with(config: LinkConfig, script: &str) {
    let script = script.replace("\n\n", "\n");
    let seen = World::new(config).run(&script);
    assert_eq!(seen, script.trim_start(), "\nseen:\n{seen}");
}

struct World {
    link: Link,
    now: Instant,
    ids: u64,
}

impl World {
    fn new(config: LinkConfig) -> Self {
        let now = Instant::from_nanos(1);
        Self { link: Link::new(config, now), now, ids: 0 }
    }

    /// The script as it really went.
    fn run(&mut self, script: &str) -> String {
        let mut seen = self.outputs();
        for line in script.lines().filter(|line| !line.is_empty()) {
            if line.starts_with(['~', '>', '*']) {
                continue;
            }
            self.input(line, &mut seen);
        }
        seen
    }

    fn input(&mut self, line: &str, seen: &mut String) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let input = match word {
            "open" => Input::Connected,
            "lost" => Input::Lost { reason: "gone".into(), draw: 0 },
            "<" => Input::Said(Said::new(rest)),
            "apply" => {
                self.ids += 1;
                Input::Apply(ApplyId(self.ids), Arc::new(desired(rest)))
            }
            "ask" => {
                self.ids += 1;
                Input::Ask(AskId(self.ids), Request::SessionInfo)
            }
            "bye" => Input::Shutdown,
            "status" => {
                let status = format!("{:?}", self.link.status());
                let word = status.split(|c: char| !c.is_alphanumeric()).next();
                *seen += &format!("status {}\n", word.unwrap());
                return;
            }
            wait => {
                *seen += &format!("{line}\n");
                return self.pass(wait.strip_prefix('+').expect("a word of the script"), seen);
            }
        };
        *seen += &format!("{line}\n");
        self.link.handle(input, self.now);
        *seen += &self.outputs();
    }

    fn pass(&mut self, wait: &str, seen: &mut String) {
        let digits = wait.trim_end_matches(char::is_alphabetic);
        let unit = if wait.ends_with("ms") { 1 } else { 1000 };
        let until = self.now.after(Duration::from_millis(digits.parse::<u64>().unwrap() * unit));
        while let Some(at) = self.link.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.link.handle_timeout(self.now);
            *seen += &self.outputs();
            let next = self.link.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "woken for nothing");
        }
        self.now = until;
    }

    fn outputs(&mut self) -> String {
        std::iter::from_fn(|| self.link.poll_output()).map(shown).collect()
    }
}

fn shown(output: Output) -> String {
    let text = match output {
        Output::Connect => "~ connect".to_owned(),
        Output::Disconnect => "~ disconnect".to_owned(),
        Output::Send(bytes) => {
            let line = String::from_utf8(bytes).unwrap();
            format!("> {}", line.strip_suffix('\n').expect("a whole line"))
        }
        Output::Event(Event::Registered(_)) => "* registered".to_owned(),
        Output::Event(Event::Resumed) => "* resumed".to_owned(),
        Output::Event(Event::Applied { routes }) => format!("* live {routes}"),
        Output::Event(Event::Refused(refusal)) => format!("* refused: {refusal}"),
        Output::Event(Event::Lost { reason, retry_in }) => {
            format!("* lost for {retry_in:?}: {reason}")
        }
        Output::Event(Event::Told(said)) => format!("* told {}", said.line()),
        Output::Event(Event::Missed(count)) => format!("* missed {count}"),
        Output::Applied(_, Ok(())) => "* applied".to_owned(),
        Output::Applied(_, Err(error)) => format!("* {error}"),
        Output::Answered(_, Ok(said)) => format!("* {}", said.line()),
        Output::Answered(_, Err(error)) => format!("* {error}"),
        Output::Ended { said_goodbye } => format!("* ended, goodbye {said_goodbye}"),
    };
    text + "\n"
}

fn desired(text: &str) -> Desired {
    let mut desired = Desired::default();
    for word in text.split_whitespace() {
        match word.split_once('=') {
            Some((place, backend)) => {
                let (domain, path) = place.split_once('/').unwrap();
                let spec = crate::route(domain, &format!("/{path}"), backend).unwrap();
                desired.routes.insert(spec, crate::RouteWish::default());
            }
            None => {
                let (name, value) = word.split_once(':').unwrap();
                desired.all.set_header(HeaderRule::parse(name, value).unwrap());
            }
        }
    }
    desired
}
