//! One message: a request, a notification or a batch of them (JSON-RPC 2.0, sections 4 and 6).

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::error::Error;

/// A request, or a notification.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// As it was written; `None`: a notification, which gets no answer.
    pub(crate) id: Option<&'a RawValue>,
    pub(crate) method: Cow<'a, str>,
    pub(crate) params: Option<&'a RawValue>,
}

/// What is no request, and the id to answer it under, if that could be read.
#[derive(Clone, Debug)]
pub(crate) struct Malformed<'a> {
    pub(crate) id: Option<&'a RawValue>,
    pub(crate) error: Error,
}

/// A message that is JSON.
#[derive(Clone, Debug)]
pub(crate) enum Message<'a> {
    One(Result<Request<'a>, Malformed<'a>>),
    Batch(Vec<Result<Request<'a>, Malformed<'a>>>),
}

/// Any member may be missing or of another type: that is told apart below.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// `null` is a value here, an id for one.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Reads a message with at most so many requests.
///
/// # Errors
///
/// -32700 and -32010, and -32600 for a batch without requests.
pub(crate) fn read(text: &str, batch_max: usize) -> Result<Message<'_>, Error> {
    if !text.trim_ascii_start().starts_with('[') {
        // What is JSON at all is told from what is a request.
        let whole: &RawValue =
            serde_json::from_str(text).map_err(|e| Error::parse(e.to_string()))?;
        return Ok(Message::One(request(whole.get())));
    }
    let parts: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|e| Error::parse(e.to_string()))?;
    match parts.len() {
        0 => Err(Error::request("a batch must hold at least one request")),
        count if count > batch_max => Err(Error::batch(batch_max)),
        _ => Ok(Message::Batch(parts.into_iter().map(|part| request(part.get())).collect())),
    }
}

fn request(text: &str) -> Result<Request<'_>, Malformed<'_>> {
    let malformed = |id, reason: String| Malformed { id, error: Error::request(reason) };
    if !text.starts_with('{') {
        return Err(malformed(None, "a request must be an object".to_owned()));
    }
    let members: Members<'_> = serde_json::from_str(text).map_err(|error| {
        let reason = match error.classify() {
            // The place is one in this request, not in what was sent.
            Category::Data => error.to_string().split(" at line").next().unwrap_or("").to_owned(),
            Category::Io | Category::Syntax | Category::Eof => error.to_string(),
        };
        malformed(None, reason)
    })?;
    let id = match members.id {
        Some(id) if !is_id(id) => {
            return Err(malformed(None, "id must be a string, a number or null".to_owned()));
        }
        id => id,
    };
    let wrong = |reason: &str| Err(malformed(id, reason.to_owned()));
    if members.jsonrpc.and_then(string).as_deref() != Some("2.0") {
        return wrong("jsonrpc must be \"2.0\"");
    }
    let Some(method) = members.method.and_then(string) else {
        return wrong("method must be a string");
    };
    match members.params.map(RawValue::get) {
        None => Ok(Request { id, method, params: None }),
        Some(params) if params.starts_with(['{', '[']) => {
            Ok(Request { id, method, params: members.params })
        }
        // The hub's own clients send it.
        Some("null") => Ok(Request { id, method, params: None }),
        Some(_) => wrong("params must be an object or an array"),
    }
}

fn is_id(value: &RawValue) -> bool {
    let first = value.get().as_bytes().first();
    value.get() == "null" || first.is_some_and(|b| matches!(b, b'"' | b'-' | b'0'..=b'9'))
}

fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    match serde_json::from_str::<&str>(value.get()) {
        Ok(plain) => Some(Cow::Borrowed(plain)),
        // With escapes, or of another type.
        Err(_) => serde_json::from_str::<String>(value.get()).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a line: id, method and parameters, or id, code and reason.
    fn shown(one: &Result<Request<'_>, Malformed<'_>>) -> String {
        let raw = |value: Option<&RawValue>| value.map_or("-", RawValue::get).to_owned();
        match one {
            Ok(request) => {
                format!("{} {} {}", raw(request.id), request.method, raw(request.params))
            }
            Err(Malformed { id, error }) => format!("{} {} {}", raw(*id), error.code, error.data),
        }
    }

    fn all(text: &str) -> Vec<String> {
        match read(text, 3) {
            Ok(Message::One(one)) => vec![shown(&one)],
            Ok(Message::Batch(many)) => many.iter().map(shown).collect(),
            Err(error) => vec![format!("{} {}", error.code, error.data)],
        }
    }

    #[test]
    fn messages() {
        #[rustfmt::skip]
        let table: &[(&str, &[&str])] = &[
            (r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#,                     &["1 a -"]),
            (r#" {"jsonrpc":"2.0","id":"x\n","method":"\u0061","params":{"b":1}} "#, &[r#""x\n" a {"b":1}"#]),
            (r#"{"jsonrpc":"2.0","id":null,"method":"a","params":[]}"#,      &["null a []"]),
            (r#"{"jsonrpc":"2.0","id":-1.50,"method":"a","params":null}"#,   &["-1.50 a -"]),
            (r#"{"jsonrpc":"2.0","method":"a","more":[]}"#,                  &["- a -"]),
            (r#"{"id":1,"method":"a"}"#,                                     &["1 -32600 jsonrpc must be \"2.0\""]),
            (r#"{"jsonrpc":2.0,"id":1,"method":"a"}"#,                       &["1 -32600 jsonrpc must be \"2.0\""]),
            (r#"{"jsonrpc":"2.0","id":1}"#,                                  &["1 -32600 method must be a string"]),
            (r#"{"jsonrpc":"2.0","id":1,"method":1}"#,                       &["1 -32600 method must be a string"]),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":"b"}"#,        &["1 -32600 params must be an object or an array"]),
            (r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#,                    &["- -32600 id must be a string, a number or null"]),
            (r#"{"jsonrpc":"2.0","id":true,"method":"a"}"#,                  &["- -32600 id must be a string, a number or null"]),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#,              &["- -32600 duplicate field `id`"]),
            ("1",                                                            &["- -32600 a request must be an object"]),
            (r#"[1,{"jsonrpc":"2.0","id":1,"method":"a"},{}]"#,              &["- -32600 a request must be an object", "1 a -", "- -32600 jsonrpc must be \"2.0\""]),
            ("[]",                                                           &["-32600 a batch must hold at least one request"]),
            ("[1,1,1,1]",                                                    &["-32010 at most 3 requests"]),
            ("",                                                             &["-32700 EOF while parsing a value at line 1 column 0"]),
            ("{\"jsonrpc\":\n}",                                             &["-32700 expected value at line 2 column 1"]),
            ("[1,",                                                          &["-32700 EOF while parsing a value at line 1 column 3"]),
            ("{} {}",                                                        &["-32700 trailing characters at line 1 column 4"]),
        ];
        for (text, want) in table {
            assert_eq!(all(text), *want, "{text}");
        }
    }

    #[test]
    fn depth_is_no_matter() {
        let deep =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{}}}"#, "[".repeat(100_000));
        assert!(all(&deep)[0].starts_with("-32700 "));
        let deep = "[".repeat(100_000);
        assert!(all(&deep)[0].starts_with("-32700 "));
    }
}
