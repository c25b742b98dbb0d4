//! The JSON that clients send.

use model::RouteSpec;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::field::{self, Reason};

/// One route of ROUTE_ADD_BULK.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkRoute {
    domains: Vec<String>,
    path: String,
    backend_url: String,
    #[serde(default)]
    priority: i32,
}

/// Reads the array of ROUTE_ADD_BULK. What is wrong with one route names its index.
pub(crate) fn routes(text: &str) -> Result<Vec<RouteSpec>, Reason> {
    let items: Vec<Box<RawValue>> =
        serde_json::from_str(text).map_err(|_| "invalid json".to_owned())?;
    let read = |(index, item): (usize, &RawValue)| {
        route(item.get()).map_err(|reason| format!("json_array[{index}]: {reason}"))
    };
    items.iter().map(|item| &**item).enumerate().map(read).collect()
}

fn route(text: &str) -> Result<RouteSpec, Reason> {
    let item: BulkRoute = serde_json::from_str(text)
        .map_err(|_| "must be an object of domains, path, backend_url and priority".to_owned())?;
    Ok(RouteSpec {
        domains: field::domain_list(item.domains.iter().map(String::as_str))?,
        path: field::path(&item.path)?,
        backend: field::backend(&item.backend_url)?,
        priority: item.priority,
    })
}

/// Reads a session's metadata: a JSON object, kept as it was written; `null` and nothing are
/// `None`.
pub(crate) fn metadata(text: &str) -> Result<Option<Box<str>>, Reason> {
    let text = text.trim();
    if text.is_empty() || text == "null" {
        return Ok(None);
    }
    let raw: Result<Box<RawValue>, _> = serde_json::from_str(text);
    match raw {
        Ok(raw) if raw.get().starts_with('{') => Ok(Some(raw.get().into())),
        Ok(_) | Err(_) => Err("invalid metadata json".to_owned()),
    }
}
