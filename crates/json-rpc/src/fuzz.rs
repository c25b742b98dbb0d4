//! What must hold for any bytes at all as messages.
//!
//! A fuzz target and a test over the committed corpus call this. A broken rule is a panic.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Catalog, Config};
use model::Now;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::Bounds;
use crate::dialog::{done, failed};
use crate::lists::Lists;
use crate::message::{Malformed, Message, Request, read};
use crate::registry::carry_out;
use crate::request::{self, Asked, Topic};

/// Lines that are taken: each is a message of its own.
const MESSAGES_MAX: usize = 16;
/// The hub that is asked.
const HUB: &str = "registry-hub";

/// Reads each line as a message, and carries out what it asks in a catalog.
///
/// Whoever gave an id is answered under it, by a result or an error and never both; a request of a
/// batch is read as it would be alone; and lists of whatever was registered can be read.
///
/// # Panics
///
/// If one of these does not hold.
pub fn messages(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut catalog = Catalog::new(Config { entries_max: 8, ..Config::default() }, [1; 32]);
    let bounds = Bounds::default();
    for line in text.lines().take(MESSAGES_MAX) {
        match read(line, bounds.batch_max) {
            Err(error) => answered(&failed(None, &error), "null"),
            Ok(Message::One(one)) => one_of(one, &mut catalog),
            Ok(Message::Batch(many)) => {
                assert!(!many.is_empty() && many.len() <= bounds.batch_max);
                many.into_iter().for_each(|one| one_of(one, &mut catalog));
            }
        }
    }
    let (mut lists, view) = (Lists::default(), Arc::new(catalog.view().clone()));
    for active_only in [true, false] {
        let list = lists.list(&view, active_only).expect("a list can be written");
        let list: Value = serde_json::from_str(&list).expect("a list is JSON");
        let count = list["backends"].as_array().map_or(usize::MAX, Vec::len);
        assert!(count <= view.len() && (active_only || count == view.len()), "{list}");
    }
}

fn one_of(one: Result<Request<'_>, Malformed<'_>>, catalog: &mut Catalog) {
    let request = match one {
        Ok(request) => request,
        Err(Malformed { id, error }) => {
            return answered(&failed(id, &error), id.map_or("null", RawValue::get));
        }
    };
    let asked = request::read(HUB, &request.method, request.params);
    let result = match asked {
        Ok(Asked::Plain(call) | Asked::Subscription { topic: Topic::Call(_, call), .. }) => {
            carry_out(catalog, &call, Now::default()).map_err(crate::error::Error::from)
        }
        Ok(Asked::Subscription { .. } | Asked::Unsubscription) => Ok("false".into()),
        Err(error) => Err(error),
    };
    let Some(id) = request.id else { return };
    match result {
        Ok(result) => answered(&done(id, &result), id.get()),
        Err(error) => answered(&failed(Some(id), &error), id.get()),
    }
}

/// The id is what it was, byte for byte: a number may be one that nobody can count to.
fn answered(text: &str, id: &str) {
    let answer: BTreeMap<&str, &RawValue> = serde_json::from_str(text).expect("an answer is JSON");
    let part = |name| answer.get(name).map(|value| value.get());
    assert_eq!((part("jsonrpc"), part("id")), (Some("\"2.0\""), Some(id)), "{text}");
    assert!(answer.contains_key("result") != answer.contains_key("error"), "{text}");
    if let Some(error) = part("error") {
        let error: Value = serde_json::from_str(error).expect("an error is JSON");
        assert!(error["code"].is_i64() && error["message"].is_string(), "{text}");
    }
}
