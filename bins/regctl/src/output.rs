//! What is printed: data to the standard output, talk to the standard error.

use std::io::{ErrorKind, Write};

use client::Said;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::json::Json;

/// Clears a terminal's line from here on.
const CLEAR_TO_END: &str = "\x1b[K";

/// How to print.
pub(crate) struct Output {
    json: bool,
}

/// One object on one line, for `--json`.
#[derive(Serialize)]
struct Object<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verb: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
}

const EMPTY: Object<'static> = Object {
    ok: None,
    verb: None,
    event: None,
    fields: None,
    data: None,
    text: None,
    error: None,
    code: None,
};

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether the standard output is for programs.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// An answer or something unasked, as one piece of data.
    pub(crate) fn said(&self, said: &Said) -> Result<(), Failure> {
        self.write(&if self.json { json_line(said) } else { plain(said) })
    }

    /// The line itself, or its JSON.
    pub(crate) fn line(&self, said: &Said) -> Result<(), Failure> {
        self.write(&if self.json { json_line(said) } else { plain_line(said) })
    }

    /// A list put together from several answers.
    pub(crate) fn list(&self, verb: &str, list: &[String]) -> Result<(), Failure> {
        self.said(&Said::new(&format!("{verb}|[{}]", list.join(","))))
    }

    /// Data that is ready.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::ClosedPipe),
            Err(error) => Err(Failure::Other(format!("cannot write: {error}"))),
        }
    }

    /// A change of state while we stay: an object for programs, else talk.
    pub(crate) fn state(&self, event: &str, text: &str) -> Result<(), Failure> {
        if !self.json {
            self.talk(text);
            return Ok(());
        }
        self.write(&object(&Object { event: Some(event), text: Some(text), ..EMPTY }))
    }

    /// Something for people only. That nobody listens is no reason to stop.
    pub(crate) fn talk(&self, text: &str) {
        drop(writeln!(std::io::stderr(), "{text}"));
    }

    /// Something for a person at a terminal, in place of what was drawn on this line before.
    pub(crate) fn redraw(&self, text: &str) {
        let mut terminal = std::io::stderr().lock();
        let drawn = write!(terminal, "\r{text}{CLEAR_TO_END}");
        drop(drawn.and_then(|()| terminal.flush()));
    }

    /// Why we end.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.json {
            drop(self.write(&failure_line(failure)));
            return;
        }
        self.talk(&format!("error: {}", failure.text()));
        if let Some(hint) = failure.hint() {
            self.talk(&format!("hint: {hint}"));
        }
    }
}

/// What came over the wire moves no cursor.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn failure_line(failure: &Failure) -> String {
    let error = match failure {
        Failure::Refused(reason) => reason.clone(),
        Failure::ClosedPipe
        | Failure::Other(_)
        | Failure::Usage(_)
        | Failure::Unreachable(_)
        | Failure::AdminSocket(..)
        | Failure::NotRegistry(_)
        | Failure::Tls(..)
        | Failure::Timeout(_)
        | Failure::NotFound(_) => failure.text(),
    };
    let code = Some(failure.code());
    object(&Object { ok: Some(false), error: Some(&error), code, ..EMPTY })
}

fn json_line(said: &Said) -> String {
    if let Some(reason) = said.error() {
        return object(&Object { ok: Some(false), error: Some(reason), ..EMPTY });
    }
    let (mut fields, data) = parts(said.rest());
    let data = data.and_then(|text| serde_json::from_str(text).ok());
    if said.is_push() {
        let event = match said.verb() {
            "EVENT" if !fields.is_empty() => fields.remove(0),
            verb => verb,
        };
        let fields = (!fields.is_empty()).then_some(fields);
        return object(&Object { event: Some(event), fields, data, ..EMPTY });
    }
    let fields = (data.is_none() || !fields.is_empty()).then_some(fields);
    object(&Object { ok: Some(true), verb: Some(said.verb()), fields, data, ..EMPTY })
}

fn object(object: &Object<'_>) -> String {
    // Strings and raw JSON always serialise.
    serde_json::to_string(object).unwrap_or_default() + "\n"
}

/// For people and for shells: the payload without the verb, or the verb where there is nothing
/// else.
fn plain(said: &Said) -> String {
    if said.is_push() {
        return plain_line(said);
    }
    let (fields, data) = parts(said.rest());
    if let Some(data) = data.and_then(Json::parse) {
        data.shown()
    } else if fields.is_empty() {
        format!("{}\n", printable(said.verb()))
    } else {
        let fields: Vec<_> = fields.into_iter().map(printable).collect();
        format!("{}\n", fields.join("\t"))
    }
}

fn plain_line(said: &Said) -> String {
    format!("{}\n", printable(said.line()))
}

/// The fields of a line after its verb, and the JSON at its end.
fn parts(mut rest: &str) -> (Vec<&str>, Option<&str>) {
    let mut fields = Vec::new();
    loop {
        if rest.starts_with(['{', '[']) && Json::parse(rest).is_some() {
            return (fields, Some(rest));
        }
        match rest.split_once('|') {
            Some((field, more)) => {
                fields.push(field);
                rest = more;
            }
            None => {
                if !rest.is_empty() {
                    fields.push(rest);
                }
                return (fields, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_for_people_and_for_programs() {
        #[rustfmt::skip]
        let table = [
            // said                         plain                json
            ("OK",                          "OK\n",              r#"{"ok":true,"verb":"OK","fields":[]}"#),
            ("ROUTE_OK|r7",                 "r7\n",              r#"{"ok":true,"verb":"ROUTE_OK","fields":["r7"]}"#),
            ("ROUTE_OK|t1|r7",              "t1\tr7\n",          r#"{"ok":true,"verb":"ROUTE_OK","fields":["t1","r7"]}"#),
            ("MAINT_STATUS_OK|{\"b\":1,\"a\":2}", "b: 1\na: 2\n", r#"{"ok":true,"verb":"MAINT_STATUS_OK","data":{"b":1,"a":2}}"#),
            ("ROUTE_LIST_OK|t1|[]",         "",                  r#"{"ok":true,"verb":"ROUTE_LIST_OK","fields":["t1"],"data":[]}"#),
            ("ROUTE_OK|{x",                 "{x\n",              r#"{"ok":true,"verb":"ROUTE_OK","fields":["{x"]}"#),
            ("EVENT|drained|{\"at\":1}",    "EVENT|drained|{\"at\":1}\n", r#"{"event":"drained","data":{"at":1}}"#),
            ("SHUTDOWN",                    "SHUTDOWN\n",        r#"{"event":"SHUTDOWN"}"#),
            ("MAINT_OK|r1",                 "MAINT_OK|r1\n",     r#"{"event":"MAINT_OK","fields":["r1"]}"#),
            ("ROUTE_OK|a\u{1b}c|r7",        "a c\tr7\n",         r#"{"ok":true,"verb":"ROUTE_OK","fields":["a\u001bc","r7"]}"#),
            ("MAINT_OK|r\u{1b}1",           "MAINT_OK|r 1\n",    r#"{"event":"MAINT_OK","fields":["r\u001b1"]}"#),
            ("ERROR|no session",            "no session\n",      r#"{"ok":false,"error":"no session"}"#),
        ];
        for (line, text, json) in table {
            let said = Said::new(line);
            assert_eq!(plain(&said), text, "{line}");
            assert_eq!(json_line(&said).trim_end(), json, "{line}");
        }
    }

    #[test]
    fn failures_for_programs() {
        let failure = Failure::Refused("route not found".to_owned());
        let line = r#"{"ok":false,"error":"route not found","code":6}"#;
        assert_eq!(failure_line(&failure).trim_end(), line);
    }
}
