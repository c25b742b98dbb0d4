//! `regctl events`: what a server says by itself, as it says it.

use std::time::Duration;

use client::Said;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{EventsArgs, Global};
use crate::failure::Failure;
use crate::json::Json;
use crate::output::{Output, printable};
use crate::protocol::Line;
use crate::reach::{Reached, reach_any};

/// How long to be silent before asking whether the server is still there.
const ASK_INTERVAL: Duration = Duration::from_secs(60);

pub(crate) async fn run(
    global: &Global,
    args: &EventsArgs,
    output: &Output,
) -> Result<(), Failure> {
    let mut reached = reach_any(global, "events").await?;
    if global.session.is_none() && global.register.is_none() {
        output.talk("events of the proxy itself; name a --session for those of its routes");
    }
    let all = ["all".to_owned()];
    let types = if args.types.is_empty() { &all } else { args.types.as_slice() };
    for kind in types {
        reached.ask(&Line::new("SUBSCRIBE", &[kind])).await?;
    }
    let followed = follow(&mut reached, output).await;
    reached.leave().await;
    followed
}

/// Prints what comes until we are told to stop, which is how this ends well.
pub(crate) async fn follow(reached: &mut Reached, output: &Output) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    loop {
        tokio::select! {
            pushed = reached.connection.next_push() => match pushed? {
                Some(said) => output.line(&said)?,
                None => {
                    let text = "the server closed the connection".to_owned();
                    return Err(Failure::Unreachable(text));
                }
            },
            () = stop.asked() => return Ok(()),
            () = tokio::time::sleep(ASK_INTERVAL) => {
                // No PING: a session that pings has to go on with it, and this one may not be ours.
                drop(reached.ask(&Line::new("SESSION_INFO", &[])).await?);
            }
        }
    }
}

/// What a server says by itself, for people: `circuit state changed: route r1, state open`.
pub(crate) fn told(said: &Said) -> String {
    let told = match said.verb() {
        "EVENT" => {
            let (kind, data) = said.rest().split_once('|').unwrap_or((said.rest(), ""));
            let data = told_data(data);
            if data.is_empty() { words(kind) } else { format!("{}: {data}", words(kind)) }
        }
        "MAINT_OK" => format!("maintenance is live: {}", said.rest()),
        "SHUTDOWN" => {
            "the server is ending; reconnecting once somebody listens there again".to_owned()
        }
        _ => format!("the server said: {}", said.line()),
    };
    printable(&told)
}

/// What an event is about: the keys and values of an object, or what else stands there.
fn told_data(data: &str) -> String {
    match Json::parse(data) {
        Some(Json::Object(entries)) => {
            let shown = entries.iter().map(|(key, value)| {
                format!("{} {}", words(key.strip_suffix("_id").unwrap_or(key)), value.cell())
            });
            shown.collect::<Vec<_>>().join(", ")
        }
        Some(other @ (Json::Scalar(_) | Json::List(_))) => other.cell(),
        None => data.to_owned(),
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// TERM and INT.
pub(crate) struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::Other(format!("cannot wait for signals: {error}")))
        };
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: listen(terminate)?, interrupt: listen(interrupt)? })
    }

    /// Comes back when one of them has come.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_for_people() {
        #[rustfmt::skip]
        let table = [
            (r#"EVENT|backend_health_changed|{"route_id":"r1","healthy":false,"reason":"connection_refused"}"#,
             "backend health changed: route r1, healthy false, reason connection_refused"),
            (r#"EVENT|maintenance_changed|{"routes":["r1","r2"],"active":true}"#,
             "maintenance changed: routes r1,r2, active true"),
            (r#"EVENT|drained|{}"#,     "drained"),
            ("EVENT|drained",           "drained"),
            ("EVENT|drained|by hand",   "drained: by hand"),
            ("EVENT|drained|[\"r1\",2]", "drained: r1,2"),
            ("EVENT|dr\u{1b}[2Jained|{\"a\\u001b[2J_b\":\"c\\u009bd\"}", "dr [2Jained: a?[2J b c?d"),
            ("EVENT|drained|\u{9b}2J",  "drained:  2J"),
            ("MAINT_OK|r1\u{1b}]0;x\u{7}", "maintenance is live: r1 ]0;x "),
            ("NEWS|\u{1b}[2J",          "the server said: NEWS| [2J"),
            ("MAINT_OK|r1,r2",          "maintenance is live: r1,r2"),
            ("SHUTDOWN",                "the server is ending; reconnecting once somebody listens there again"),
            ("NEWS|x",                  "the server said: NEWS|x"),
        ];
        for (line, shown) in table {
            assert_eq!(told(&Said::new(line)), shown, "{line}");
        }
    }
}
