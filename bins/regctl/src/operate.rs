//! What operators do with a session, and single commands of the protocol.

use std::io::IsTerminal;
use std::time::Duration;

use client::Said;
use serde_json::value::RawValue;

use crate::args::{DrainArgs, ExplainArgs, Global, MaintAction, MaintArgs, SessionArgs};
use crate::failure::Failure;
use crate::json::Json;
use crate::output::Output;
use crate::protocol::{Line, Protocol};
use crate::reach::{Reached, admin, reach, reach_all, reach_any, registry};

/// How often a drain is looked at.
const DRAIN_POLL: Duration = Duration::from_secs(1);
/// Characters of the bar on a terminal.
const TERMINAL_BAR: u32 = 40;
/// The same in a log.
const LOG_BAR: u32 = 20;
/// Longest wait for maintenance to be live: requests that began before may take 3 s (SPEC 4).
const MAINTENANCE_WAIT_MIN: Duration = Duration::from_secs(10);

/// One command of the protocol.
pub(crate) async fn protocol(
    global: &Global,
    command: &Protocol,
    output: &Output,
) -> Result<(), Failure> {
    let line = command.line();
    if matches!(command, Protocol::Reconnect) {
        return reconnect(global, &line, output).await;
    }
    let reached = if command.needs_no_session_in_particular() {
        reach_any(global, "test").await?
    } else {
        reach(global, None).await?
    };
    one(reached, &line, output).await
}

/// RECONNECT is about a session of the registry port, and wants a connection without one.
async fn reconnect(global: &Global, line: &Line, output: &Output) -> Result<(), Failure> {
    let Some(session) = &global.session else {
        return Err(Failure::Usage("which session? Name its id with --session".to_owned()));
    };
    let said = registry(global).await?.ask(&line.about(session)).await?;
    let said = said.unwrap_or_else(|| Said::new(""));
    match said.error() {
        Some(reason) => Err(Failure::Refused(reason.to_owned())),
        None if said.verb() == "REREGISTER" => {
            Err(Failure::Refused(model::Refusal::SESSION_NOT_FOUND.as_str().to_owned()))
        }
        None => output.said(&said),
    }
}

async fn one(mut reached: Reached, line: &Line, output: &Output) -> Result<(), Failure> {
    let answer = reached.ask(line).await;
    reached.leave().await;
    let answer = answer?;
    output.said(&answer)?;
    // What a script asks for is whether it is there.
    match answer.verb() {
        "BACKEND_FAIL" => Err(Failure::Other("the backend does not answer well".to_owned())),
        _ => Ok(()),
    }
}

pub(crate) async fn session(
    global: &Global,
    args: &SessionArgs,
    output: &Output,
) -> Result<(), Failure> {
    let reached = reach(global, args.session.as_deref()).await?;
    one(reached, &Line::new("SESSION_INFO", &[]), output).await
}

pub(crate) async fn ping(
    global: &Global,
    args: &SessionArgs,
    output: &Output,
) -> Result<(), Failure> {
    let named = args.session.as_deref().or(global.session.as_deref());
    if named.is_none() && global.register.is_none() {
        return Err(Failure::Usage(
            "which session? A ping keeps one alive: name it as ID or SERVICE/INSTANCE, or register \
             one with --register. `regctl sessions` tells whether proxyd answers, and `regctl \
             backends ping NAME` notes that a backend was seen"
                .to_owned(),
        ));
    }
    let reached = reach(global, named).await?;
    one(reached, &Line::new("PING", &[]), output).await
}

pub(crate) async fn explain(
    global: &Global,
    args: &ExplainArgs,
    output: &Output,
) -> Result<(), Failure> {
    let reached = reach_all(global, "explain").await?;
    let line = Line::new("EXPLAIN", &[&args.method, &args.host, &args.path]);
    one(reached, &line, output).await
}

/// Lists all sessions, which operators alone may see.
pub(crate) async fn sessions(global: &Global, output: &Output) -> Result<(), Failure> {
    let said = admin(global).await?.request(None, model::Request::Sessions).await?;
    let said = said.unwrap_or_else(|| Said::new(""));
    match said.error() {
        Some(reason) => Err(Failure::Refused(reason.to_owned())),
        None => output.said(&said),
    }
}

/// Lists all routes of a session, page by page.
pub(crate) async fn routes(
    global: &Global,
    args: &SessionArgs,
    output: &Output,
) -> Result<(), Failure> {
    let mut reached = reach(global, args.session.as_deref()).await?;
    let mut entries: Vec<String> = Vec::new();
    let mut from = 1;
    loop {
        let line = Line::new("ROUTE_LIST", &[&format!("from=r{from}")]);
        let said = reached.ask(&line).await?;
        let page = page(said.rest())?;
        // A server that begins again would keep us for ever.
        let Some(last) = page.last.filter(|last| *last >= from) else { break };
        entries.extend(page.entries);
        from = last + 1;
    }
    reached.leave().await;
    output.list("ROUTE_LIST_OK", &entries)
}

struct Page {
    entries: Vec<String>,
    /// The highest route id in it.
    last: Option<u64>,
}

fn page(text: &str) -> Result<Page, Failure> {
    let wrong = || Failure::Other("the server's list of routes cannot be read".to_owned());
    let list: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| wrong())?;
    let mut page = Page { entries: Vec::new(), last: None };
    for entry in list {
        let json = Json::parse(entry.get()).ok_or_else(wrong)?;
        let id = json.get("route_id").and_then(Json::as_str).and_then(model::RouteId::parse);
        page.last = page.last.max(Some(id.ok_or_else(wrong)?.0));
        page.entries.push(entry.get().to_owned());
    }
    Ok(page)
}

pub(crate) async fn drain(
    global: &Global,
    args: &DrainArgs,
    output: &Output,
) -> Result<(), Failure> {
    let mut reached = reach(global, Some(&args.session)).await?;
    let line = match &args.duration {
        Some(duration) => Line::new("DRAIN_START", &[duration]),
        None if args.cancel => Line::new("DRAIN_CANCEL", &[]),
        None => Line::new("DRAIN_STATUS", &[]),
    };
    let started = reached.ask(&line).await?;
    if !args.wait {
        return output.said(&started);
    }
    let mut progress = Progress::new(output);
    let over = loop {
        let said = reached.ask(&Line::new("DRAIN_STATUS", &[])).await?;
        let status = DrainStatus::read(said.rest())?;
        progress.show(&status);
        if !status.is_active {
            break said;
        }
        tokio::time::sleep(DRAIN_POLL).await;
    };
    drop(progress);
    output.said(&over)
}

/// A drain as people watch it: one line that is drawn again and again, or in a log a new one with
/// each change.
struct Progress<'a> {
    output: &'a Output,
    is_terminal: bool,
    last: Option<u32>,
}

impl<'a> Progress<'a> {
    fn new(output: &'a Output) -> Self {
        Self { output, is_terminal: std::io::stderr().is_terminal(), last: None }
    }

    fn show(&mut self, status: &DrainStatus) {
        // One that was over before it was watched draws nothing.
        let is_news = self.last != Some(status.percent);
        match (self.is_terminal, status.is_active) {
            (true, true) => self.output.redraw(&status.shown(TERMINAL_BAR)),
            (true, false) if self.last.is_some() => {
                self.output.redraw(&status.shown(TERMINAL_BAR));
            }
            (false, true) if is_news => self.output.talk(&status.shown(LOG_BAR)),
            (true | false, _) => return,
        }
        self.last = Some(status.percent);
    }
}

impl Drop for Progress<'_> {
    /// What is printed next begins a line of its own, also when it is an error.
    fn drop(&mut self) {
        if self.is_terminal && self.last.is_some() {
            self.output.talk("");
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct DrainStatus {
    is_active: bool,
    percent: u32,
    remaining: String,
}

impl DrainStatus {
    fn read(text: &str) -> Result<Self, Failure> {
        let wrong = || Failure::Other("the server's drain status cannot be read".to_owned());
        let json = Json::parse(text).ok_or_else(wrong)?;
        let key = |key| json.get(key).and_then(Json::as_str);
        let percent = key("traffic_percent").and_then(|text| text.parse().ok());
        Ok(Self {
            is_active: key("active").ok_or_else(wrong)? == "true",
            percent: percent.ok_or_else(wrong)?,
            remaining: key("remaining_seconds").unwrap_or("?").to_owned(),
        })
    }

    /// A bar, the share of traffic and the time left.
    fn shown(&self, width: u32) -> String {
        let full = self.percent.min(100) * width / 100;
        let bar = |sign: &str, length: u32| sign.repeat(length.try_into().unwrap_or_default());
        let bar = format!("{}{}", bar("#", full), bar(".", width - full));
        format!("draining [{bar}] {:>3} % of traffic, {} s left", self.percent, self.remaining)
    }
}

pub(crate) async fn maint(
    global: &Global,
    args: &MaintArgs,
    output: &Output,
) -> Result<(), Failure> {
    if args.url.is_some() && args.action != MaintAction::Enter {
        return Err(Failure::Usage("only `maint enter` takes the URL of a page".to_owned()));
    }
    let mut reached = reach(global, Some(&args.session)).await?;
    let line = match args.action {
        MaintAction::Enter => {
            let url = args.url.as_deref().unwrap_or_default();
            Line::new("MAINT_ENTER", &[&args.target, url])
        }
        MaintAction::Exit => Line::new("MAINT_EXIT", &[&args.target]),
        MaintAction::Status => Line::new("MAINT_STATUS", &[]),
    };
    let said = reached.ask(&line).await?;
    if said.verb() != "ACK" {
        return output.said(&said);
    }
    output.talk("accepted; waiting until it is live");
    let limit = global.timeout.max(MAINTENANCE_WAIT_MIN);
    let live = async {
        while let Some(said) = reached.connection.next_push().await? {
            if said.verb() == "MAINT_OK" {
                return output.line(&said);
            }
        }
        Err(Failure::Unreachable("the server closed the connection".to_owned()))
    };
    let late = || Failure::Timeout(format!("not live within {limit:?}"));
    tokio::time::timeout(limit, live).await.map_err(|_| late())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_routes() {
        let text = r#"[{"route_id":"r3","path":"/"},{"route_id":"r7","path":"/x"}]"#;
        let page = page(text).unwrap();
        assert_eq!(page.last, Some(7));
        assert_eq!(page.entries[1], r#"{"route_id":"r7","path":"/x"}"#);
        assert_eq!(super::page("[]").unwrap().last, None);
        for text in ["", "{}", "[{}]", r#"[{"route_id":"x"}]"#] {
            assert!(super::page(text).is_err(), "{text}");
        }
    }

    #[test]
    fn how_far_a_drain_is() {
        let text = r#"{"active":true,"started_at":"2024-12-20T11:30:00Z","duration_seconds":120,"elapsed_seconds":45,"remaining_seconds":75,"traffic_percent":62}"#;
        let status = DrainStatus::read(text).unwrap();
        let shown = "draining [############........]  62 % of traffic, 75 s left";
        assert_eq!((status.is_active, status.shown(LOG_BAR).as_str()), (true, shown));
        for (percent, full) in [(0, 0), (2, 0), (3, 1), (62, 24), (99, 39), (100, 40), (250, 40)] {
            let status = DrainStatus { is_active: true, percent, remaining: "1".to_owned() };
            let shown = status.shown(TERMINAL_BAR);
            let bar = shown.split(['[', ']']).nth(1).unwrap();
            assert_eq!((bar.len(), bar.matches('#').count()), (40, full), "{percent}");
        }
        let over = r#"{"active":false,"traffic_percent":0}"#;
        assert!(!DrainStatus::read(over).unwrap().is_active);
        for text in ["", "[]", "{}", r#"{"active":true,"traffic_percent":"x"}"#] {
            assert!(DrainStatus::read(text).is_err(), "{text}");
        }
    }
}
