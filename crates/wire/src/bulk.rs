//! The JSON that clients send.

use model::RouteSpec;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::field::{self, Reason};

/// Longest metadata of a session, in bytes: SESSION_INFO has to fit.
const METADATA_BYTES_MAX: usize = 4096;

/// One route of ROUTE_ADD_BULK. Its values are read one by one, so that a reason names its field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkRoute<'j> {
    #[serde(borrow)]
    domains: Option<&'j RawValue>,
    #[serde(borrow)]
    path: Option<&'j RawValue>,
    #[serde(borrow)]
    backend_url: Option<&'j RawValue>,
    #[serde(borrow)]
    priority: Option<&'j RawValue>,
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
    // An array would do for the fields in their order; it is not what is documented.
    let item: Option<BulkRoute<'_>> =
        if text.starts_with('{') { serde_json::from_str(text).ok() } else { None };
    let item = item
        .ok_or_else(|| "must be an object of domains, path, backend_url and priority".to_owned())?;
    let domains: Vec<String> = value("domains", item.domains, "an array of strings")?;
    let path: String = value("path", item.path, "a string")?;
    let backend: String = value("backend_url", item.backend_url, "a string")?;
    let priority = item.priority.map(|raw| serde_json::from_str(raw.get()));
    Ok(RouteSpec {
        domains: field::domain_list(domains.iter().map(String::as_str))?,
        path: field::path(&path)?,
        backend: field::backend(&backend)?,
        priority: priority.transpose().map_err(|_| field::PRIORITY.to_owned())?.unwrap_or(0),
    })
}

fn value<T: DeserializeOwned>(
    name: &str,
    raw: Option<&RawValue>,
    wanted: &str,
) -> Result<T, Reason> {
    let raw = raw.ok_or_else(|| format!("{name} is missing"))?;
    serde_json::from_str(raw.get()).map_err(|_| format!("{name} must be {wanted}"))
}

/// Reads a session's metadata: a JSON object, kept as it was written; `null` and nothing are
/// `None`.
pub(crate) fn metadata(text: &str) -> Result<Option<Box<str>>, Reason> {
    let text = text.trim();
    if text.is_empty() || text == "null" {
        return Ok(None);
    }
    // As a value, because a raw one may be nested without bound.
    match serde_json::from_str(text) {
        Ok(Value::Object(_)) if text.len() <= METADATA_BYTES_MAX => Ok(Some(text.into())),
        Ok(Value::Object(_)) => Err(format!("metadata must be at most {METADATA_BYTES_MAX} bytes")),
        Ok(_) | Err(_) => Err("invalid metadata json".to_owned()),
    }
}
