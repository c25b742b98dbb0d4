//! Transcripts: what clients say and are told, as text that is also documentation.
//!
//! ```text
//! # a comment
//! 1> REGISTER|orbat|orbat.1|3001     connection 1 says this; it is opened by its first line
//! 1< ACK|$sid                        and is told this; $sid is bound here and is text from then on
//! 1< DIFF_OK|{...}                   three dots stand for any text
//! 9! operator                        connection 9 is opened on the admin socket
//! 1! lost                            connection 1 breaks
//! 1! closed                          the proxy closed connection 1 before this
//! +59s                               time passes; nobody may have been told more until then
//! ?  api.example.com /v2 -> http://a http://b     where requests go: these backends, all of them
//! ?  api.example.com /v3 -> none                  404; `503` says that nobody is there
//! ?  api.example.com /v4 -> page http://a:3001    the maintenance page; the built-in one is `page`
//! refused http://a:9000              the backend refused a connection
//! disk full | disk ok                nothing can be made durable | everything can
//! busy | idle                        requests begun before are still under way | have ended
//! shutdown                           the proxy says that it is about to end
//! restart                            the proxy is started again from what is durable
//! ```
//!
//! Whatever a connection is told has to be expected before time passes, the connection goes or the
//! transcript ends.

use std::time::Duration;

use crate::pattern::Pattern;

/// One step, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is done or expected.
    pub action: Action,
}

/// What is done or expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A connection says a line; variables are still in it.
    Say(u64, String),
    /// A connection has been told a line.
    Told(u64, Pattern),
    /// A connection is opened on the admin socket.
    Operator(u64),
    /// A connection breaks.
    Lose(u64),
    /// The proxy has closed a connection.
    Closed(u64),
    /// Time passes.
    Wait(Duration),
    /// A request is routed.
    Ask {
        /// Its host.
        host: String,
        /// Its path.
        path: String,
        /// Where it goes.
        goes: Goes,
    },
    /// A backend refuses connections.
    Refused(String),
    /// Whether things can be made durable from now on.
    Disk(bool),
    /// Whether requests stay under way from now on.
    Busy(bool),
    /// The proxy is about to end.
    Shutdown,
    /// The proxy is started again.
    Restart,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goes {
    /// Nowhere: 404.
    NoRoute,
    /// Nowhere now: 503.
    Unavailable,
    /// To the maintenance page: the built-in one, or that of a URL.
    Page(Option<String>),
    /// To each of these backends and to no other, in the order of their text.
    To(Vec<String>),
}

/// Why a text is no transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Line in the file, from 1.
    pub line: usize,
    /// What was wanted.
    pub wanted: &'static str,
}

/// Reads a transcript.
///
/// # Errors
///
/// [`Malformed`], for the first line that is none.
pub fn parse(text: &str) -> Result<Vec<Step>, Malformed> {
    let mut steps = Vec::new();
    for (at, text) in text.lines().enumerate() {
        let line = at + 1;
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let action = step(text).map_err(|wanted| Malformed { line, wanted })?;
        steps.push(Step { line, action });
    }
    Ok(steps)
}

fn step(text: &str) -> Result<Action, &'static str> {
    if let Some(rest) = text.strip_prefix('+') {
        return duration(rest.trim()).map(Action::Wait).ok_or("+ and a time, such as +59s");
    }
    if let Some(rest) = text.strip_prefix('?') {
        return ask(rest).ok_or("? host path -> none, 503 or backends");
    }
    if let Some(url) = text.strip_prefix("refused ") {
        return Ok(Action::Refused(url.trim().to_owned()));
    }
    match text.trim_end() {
        "disk full" => return Ok(Action::Disk(false)),
        "disk ok" => return Ok(Action::Disk(true)),
        "busy" => return Ok(Action::Busy(true)),
        "idle" => return Ok(Action::Busy(false)),
        "shutdown" => return Ok(Action::Shutdown),
        "restart" => return Ok(Action::Restart),
        _ => {}
    }
    connection(text).ok_or("a connection's number and one of > < !, or a directive")
}

fn connection(text: &str) -> Option<Action> {
    let (number, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number = number.parse().ok()?;
    let mut rest = rest.chars();
    let sign = rest.next()?;
    // One space belongs to the transcript, further ones to the line.
    let said = rest.as_str().strip_prefix(' ').unwrap_or(rest.as_str());
    match (sign, said) {
        ('>', _) => Some(Action::Say(number, said.to_owned())),
        ('<', _) => Some(Action::Told(number, Pattern::parse(said))),
        ('!', "operator") => Some(Action::Operator(number)),
        ('!', "lost") => Some(Action::Lose(number)),
        ('!', "closed") => Some(Action::Closed(number)),
        _ => None,
    }
}

fn ask(text: &str) -> Option<Action> {
    let (request, goes) = text.split_once("->")?;
    let mut request = request.split_whitespace();
    let (host, path) = (request.next()?.to_owned(), request.next()?.to_owned());
    if request.next().is_some() {
        return None;
    }
    let goes: Vec<&str> = goes.split_whitespace().collect();
    let goes = match goes.as_slice() {
        [] => return None,
        ["none"] => Goes::NoRoute,
        ["503"] => Goes::Unavailable,
        ["page"] => Goes::Page(None),
        ["page", url] => Goes::Page(Some((*url).to_owned())),
        backends => {
            let mut backends: Vec<String> = backends.iter().map(|url| (*url).to_owned()).collect();
            backends.sort();
            Goes::To(backends)
        }
    };
    Some(Action::Ask { host, path, goes })
}

/// Reads `59s`, `500ms`, `1h30m`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut whole = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let millis = match &rest[..unit] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        whole += Duration::from_millis(number.checked_mul(millis)?);
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line() {
        let text = "# why\n\n1> PING|$sid\n12< PONG\n1! lost\n2! closed\n+1m30s\n\
                    ?  a.example /x -> http://b http://a\n? a / -> none\n? a / -> 503\n\
                    ? a / -> page\n? a / -> page http://a\nrefused http://a\ndisk full\ndisk ok\nbusy\nidle\nshutdown\nrestart\n3>  x\n";
        let ask = |host: &str, path: &str, goes| Action::Ask {
            host: host.to_owned(),
            path: path.to_owned(),
            goes,
        };
        let steps = parse(text).unwrap();
        let actions: Vec<_> = steps.iter().map(|step| step.action.clone()).collect();
        assert_eq!(
            actions,
            [
                Action::Say(1, "PING|$sid".to_owned()),
                Action::Told(12, Pattern::parse("PONG")),
                Action::Lose(1),
                Action::Closed(2),
                Action::Wait(Duration::from_secs(90)),
                ask("a.example", "/x", Goes::To(vec!["http://a".into(), "http://b".into()])),
                ask("a", "/", Goes::NoRoute),
                ask("a", "/", Goes::Unavailable),
                ask("a", "/", Goes::Page(None)),
                ask("a", "/", Goes::Page(Some("http://a".to_owned()))),
                Action::Refused("http://a".to_owned()),
                Action::Disk(false),
                Action::Disk(true),
                Action::Busy(true),
                Action::Busy(false),
                Action::Shutdown,
                Action::Restart,
                Action::Say(3, " x".to_owned()),
            ]
        );
        assert_eq!((steps[0].line, steps[1].line), (3, 4), "comments and blanks are counted");
    }

    #[test]
    fn what_is_no_line_is_named() {
        for bad in ["1", "x> PING", "1! gone", "+", "+5", "+5d", "? a -> none", "? a / ->", "wait"]
        {
            let text = format!("# first\n{bad}\n");
            assert_eq!(parse(&text).map_err(|e| e.line), Err(2), "{bad}");
        }
    }

    #[test]
    fn times() {
        for (text, millis) in [("500ms", 500), ("59s", 59_000), ("1h30m", 5_400_000), ("0s", 0)] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("99999999999999999999s"), None);
    }
}
