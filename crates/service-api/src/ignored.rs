//! Keys of a registration that mean nothing: of a newer client, or misspelled. They do no harm, and
//! are told.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Keys that are told; of each that many bytes at most.
const IGNORED_MAX: usize = 16;
const KEY_BYTES_MAX: usize = 64;

/// Those of [`ServiceEntry`](crate::ServiceEntry).
const ENTRY: &[&str] = &[
    "name",
    "version",
    "execution",
    "location",
    "endpoints",
    "depends_on",
    "state",
    "last_health_check",
    "registered_at",
    "last_state_change",
    "instance",
    "source",
    "description",
    "instances",
    "named_endpoints",
];
/// Those of [`EndpointEntry`](crate::EndpointEntry).
const ENDPOINT: &[&str] =
    &["name", "address", "protocol", "metadata", "instance", "network", "healthy"];

type Object<'a> = BTreeMap<String, &'a RawValue>;

/// Keys of an entry that mean nothing, those of its endpoints as `endpoints[0].key`.
pub(crate) fn ignored(entry: &str) -> Vec<String> {
    let Ok(entry) = serde_json::from_str::<Object<'_>>(entry) else { return Vec::new() };
    let unknown = |of: &Object<'_>, known: &[&str], place: &str| {
        let unknown = of.keys().filter(|key| !known.contains(&key.as_str()));
        let told = unknown.take(IGNORED_MAX).map(|key| {
            let end = key.floor_char_boundary(KEY_BYTES_MAX);
            format!("{place}{}", key.get(..end).unwrap_or(key))
        });
        told.collect::<Vec<_>>()
    };
    let mut all = unknown(&entry, ENTRY, "");
    for list in ["endpoints", "named_endpoints"] {
        let endpoints = entry.get(list).map(|list| list.get());
        let endpoints =
            endpoints.and_then(|list| serde_json::from_str::<Vec<Object<'_>>>(list).ok());
        for (at, endpoint) in endpoints.into_iter().flatten().enumerate() {
            all.extend(unknown(&endpoint, ENDPOINT, &format!("{list}[{at}].")));
        }
    }
    all.truncate(IGNORED_MAX);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::{EndpointEntry, InstanceEntry, ProtocolName, ServiceEntry, State};

    #[test]
    fn what_means_nothing_is_told() {
        #[rustfmt::skip]
        let table: &[(Value, &[&str])] = &[
            (json!({"name": "a", "endpoints": [{"address": "h:1"}], "named_endpoints": []}), &[]),
            (json!({"name": "a", "endpoint": [{}], "Version": "1"}), &["Version", "endpoint"]),
            (
                json!({"nam": 1, "endpoints": [{"address": "h:1"}, {"adress": 1, "x": 2}], "named_endpoints": [{"y": 1}]}),
                &["nam", "endpoints[1].adress", "endpoints[1].x", "named_endpoints[0].y"],
            ),
            (json!({"endpoints": [1], "execution": {"x": 1}}), &[]),
            (json!([1]), &[]),
        ];
        for (entry, want) in table {
            assert_eq!(ignored(&entry.to_string()), *want, "{entry}");
        }
        let many = |count: usize| Value::from_iter((0..count).map(|n| (format!("k{n}"), n)));
        for count in [IGNORED_MAX, IGNORED_MAX + 1] {
            assert_eq!(ignored(&many(count).to_string()).len(), IGNORED_MAX);
        }
        let long = json!({ "€".repeat(22): 1 });
        assert_eq!(ignored(&long.to_string())[0].len(), 63);
    }

    /// Nothing that we show ourselves is unknown.
    #[test]
    fn every_key_is_known() {
        let endpoint = EndpointEntry {
            name: String::new(),
            address: String::new(),
            protocol: ProtocolName::Tcp,
            metadata: BTreeMap::new(),
            instance: Some(String::new()),
            network: Some(String::new()),
            healthy: Some(true),
        };
        let instance =
            InstanceEntry { instance: String::new(), source: String::new(), state: State::Running };
        let entry = ServiceEntry {
            instance: Some(String::new()),
            source: Some(String::new()),
            description: Some(String::new()),
            instances: vec![instance],
            named_endpoints: vec![endpoint.clone()],
            ..ServiceEntry::new("a")
        };
        let keys = |value: Value| -> BTreeSet<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let known = |known: &[&str]| known.iter().map(|&key| key.to_owned()).collect();
        assert_eq!(keys(serde_json::to_value(entry).unwrap()), known(ENTRY));
        assert_eq!(keys(serde_json::to_value(endpoint).unwrap()), known(ENDPOINT));
    }
}
