//! What must hold for any bytes at all as requests.
//!
//! A fuzz target and a test over the committed corpus call this. A broken rule is a panic.

use catalog::{Catalog, Config};
use model::Now;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::{Named, Ordered, Refused, all_services, carry_out, put, service_of, take_back};
use crate::entry::{ServiceEntry, identity};
use crate::envelope::{Request, answer, raw};
use crate::fault::Fault;
use crate::order::Order;
use crate::subscriptions;

/// Lines that are taken: each is a request of its own.
const REQUESTS_MAX: usize = 16;

/// Reads each line as a request, and carries out what it asks in a catalog.
///
/// It is answered under its own id, by data or an error; what a service is shown as can be
/// registered as it is, is shown the same then, and changes nothing; and the list of all is JSON.
///
/// # Panics
///
/// If one of these does not hold.
pub fn requests(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut catalog = Catalog::new(Config { entries_max: 8, ..Config::default() }, [1; 32]);
    for line in text.lines().take(REQUESTS_MAX) {
        match Request::parse(line) {
            Ok(request) => {
                let answered = obey(&request, &mut catalog);
                told(&request.id, answered.as_deref());
            }
            Err((id, fault)) => told(&id, Err(&fault)),
        }
    }
    let all = raw(&all_services(catalog.view())).expect("a list can be written");
    let all: Vec<ServiceEntry> = serde_json::from_str(all.get()).expect("a list can be read");
    assert_eq!(all.len(), catalog.view().len());
}

fn obey(request: &Request, catalog: &mut Catalog) -> Result<Box<RawValue>, Fault> {
    let now = Now::default();
    match request.action.as_str() {
        "register_service" => {
            let shown = put(catalog, &request.params()?, None, now).map_err(Fault::new)?;
            if shown.instances.len() == 1 {
                // The first time, endpoints at names go behind those at addresses.
                for is_news in [true, false] {
                    let seq = catalog.view().seq();
                    let again = put(catalog, &shown, None, now);
                    assert_eq!(again.expect("it was shown so"), shown);
                    assert!(is_news || catalog.view().seq() == seq, "nothing is new about it");
                }
            }
            raw(&shown)
        }
        "deregister_service" => {
            let Named { name, instance } = request.params()?;
            let named = identity(&name, instance.as_deref()).map_err(Refused::from)?;
            let gone = take_back(catalog, named, instance.is_some(), now)?;
            raw(&gone.to_string())
        }
        "service_action" => {
            let Ordered { name, instance, action } = request.params()?;
            let order = Order::parse(&action).ok_or_else(|| Fault::new("no such action"))?;
            let done = carry_out(catalog, &name, instance.as_deref(), order, now)?;
            raw(&done.map(|(_, to)| to.as_str()))
        }
        "allocate_ip" | "release_ip" => raw(&service_of(request)?.as_str()),
        "subscribe" | "unsubscribe" => {
            let kinds =
                subscriptions::read(&request.params::<Vec<String>>()?).map_err(Fault::new)?;
            raw(&kinds.len())
        }
        _ => raw(&request.params::<Value>()?),
    }
}

fn told(id: &str, answered: Result<&RawValue, &Fault>) {
    let text = answer(id, answered);
    let said: Value = serde_json::from_str(&text).expect("an answer is JSON");
    assert_eq!((&said["type"], &said["id"]), (&"response".into(), &id.into()), "{text}");
    let parts = ["data", "result", "error"].map(|part| said.get(part).is_some());
    assert!(parts == [true, true, false] || parts == [false, false, true], "{text}");
    assert_eq!(said.get("data"), said.get("result"), "{text}");
}
