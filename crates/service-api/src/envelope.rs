//! What goes around every request, answer and event.
//!
//! Answers carry the same twice: `data`, which clients in use read, and `result`, which the
//! document promises. Their keys come first and in their order, ours after.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::fault::Fault;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) action: String,
    params: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct RequestForm {
    id: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    action: String,
    params: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct AnswerForm<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    data: &'a RawValue,
    result: &'a RawValue,
}

#[derive(Serialize)]
struct ErrorForm<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    error: &'a Fault,
}

#[derive(Serialize)]
struct EventForm<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    event: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
}

impl Request {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and its id: empty if it cannot be told.
    pub(crate) fn parse(text: &str) -> Result<Self, (String, Fault)> {
        let form: RequestForm = serde_json::from_str(text)
            .map_err(|error| (String::new(), Fault::new(format!("not a request: {error}"))))?;
        match form.kind.as_deref() {
            Some("request") | None => {
                Ok(Self { id: form.id, action: form.action, params: form.params })
            }
            Some(_) => Err((form.id, Fault::new("type must be request"))),
        }
    }

    /// Reads what it is about. Without `params` all of it is left out.
    pub(crate) fn params<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_str(self.params_text())
            .map_err(|error| Fault::new(format!("params of {}: {error}", self.action)))
    }

    /// The same as it came.
    pub(crate) fn params_text(&self) -> &str {
        let text = self.params.as_ref().map_or("{}", |params| params.get());
        if text == "null" { "{}" } else { text }
    }
}

/// Anything of ours as JSON text.
pub(crate) fn raw(value: &impl Serialize) -> Result<Box<RawValue>, Fault> {
    serde_json::value::to_raw_value(value).map_err(Fault::new)
}

/// The answer to a request.
pub(crate) fn answer(id: &str, answered: Result<&RawValue, &Fault>) -> String {
    match answered {
        Ok(data) => text(&AnswerForm { kind: "response", id, data, result: data }),
        Err(error) => text(&ErrorForm { kind: "response", id, error }),
    }
}

/// Something that happened, spelled as it is wanted.
pub(crate) fn event(name: &str, data: &RawValue, seq: Option<u64>) -> String {
    text(&EventForm { kind: "event", event: name, data, seq, epoch: None })
}

/// The whole catalog as it is after the change of this number.
pub(crate) fn loaded(data: &RawValue, seq: u64, epoch: &str) -> String {
    let (event, seq, epoch) = ("registry_loaded", Some(seq), Some(epoch));
    text(&EventForm { kind: "event", event, data, seq, epoch })
}

fn text(form: &impl Serialize) -> String {
    serde_json::to_string(form).expect("these forms have names for keys and cannot fail")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests() {
        #[rustfmt::skip]
        let table = [
            (r#"{"id":"1","type":"request","action":"ping","params":{}}"#, Ok(("1", "ping"))),
            (r#"{"id":"1","type":"request","action":"ping"}"#,             Ok(("1", "ping"))),
            (r#"{"id":"1","action":"ping","params":null,"more":1}"#,       Ok(("1", "ping"))),
            (r#"{"id":"1","type":"response","action":"ping"}"#,            Err(("1", "type must be request"))),
            (r#"{"id":1,"type":"request","action":"ping"}"#,               Err(("", "not a request: invalid type: integer `1`, expected a string at line 1 column 7"))),
            (r#"{"id":"1","type":"request"}"#,                             Err(("", "not a request: missing field `action` at line 1 column 27"))),
            ("[",                                                          Err(("", "not a request: EOF while parsing a list at line 1 column 1"))),
        ];
        for (line, want) in table {
            match (Request::parse(line), want) {
                (Ok(request), Ok((id, action))) => {
                    assert_eq!((&*request.id, &*request.action), (id, action), "{line}");
                    assert_eq!(request.params::<serde_json::Value>(), Ok(json!({})));
                }
                (Err((id, fault)), Err((want, message))) => {
                    assert_eq!((&*id, &*fault.message), (want, message), "{line}");
                }
                (got, want) => panic!("{line}: {got:?}, not {want:?}"),
            }
        }
    }

    /// Byte for byte (COMPATIBILITY 4, and the document's own example).
    #[test]
    fn golden() {
        let data = raw(&json!({"a": 1})).unwrap();
        let fault = Fault::not_found("x");
        let detailed = Fault { details: Some(json!({"seq": 3})), ..fault.clone() };
        #[rustfmt::skip]
        let table = [
            (answer("s", Ok(&data)), r#"{"type":"response","id":"s","data":{"a":1},"result":{"a":1}}"#),
            (answer("s", Err(&fault)),       r#"{"type":"response","id":"s","error":{"code":"error","message":"Service not found: x"}}"#),
            (answer("", Err(&detailed)),     r#"{"type":"response","id":"","error":{"code":"error","message":"Service not found: x","details":{"seq":3}}}"#),
            (event("ServiceUpdated", &data, Some(7)), r#"{"type":"event","event":"ServiceUpdated","data":{"a":1},"seq":7}"#),
            (event("deployment_progress", &data, None), r#"{"type":"event","event":"deployment_progress","data":{"a":1}}"#),
            (loaded(&data, 7, "e"), r#"{"type":"event","event":"registry_loaded","data":{"a":1},"seq":7,"epoch":"e"}"#),
        ];
        for (got, want) in table {
            assert_eq!(got, want);
        }
    }
}
