//! What the hub says about itself, for clients that build their command lines from it.

use serde_json::{Map, Value, json};

use crate::request::{Of, Parameter, Verb};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Schemas and their hashes, written once.
#[derive(Debug)]
pub(crate) struct Schemas {
    hub: Value,
    registry: Value,
}

impl Schemas {
    pub(crate) fn new(hub: &str) -> Self {
        let methods = Verb::ALL.map(method);
        let own = hash(&methods);
        let registry = json!({
            "namespace": "registry",
            "version": VERSION,
            "description": "Backend discovery and registration",
            "hash": own,
            "self_hash": own,
            "methods": methods,
        });
        let methods = [
            (
                "call",
                "Call a method of a child",
                &[
                    ("method", "string", true, "registry.list, for one"),
                    ("params", "object", false, "What the method takes"),
                ][..],
            ),
            ("hash", "The hash of this schema", &[]),
            ("schema", "This schema", &[]),
        ]
        .map(|(name, description, parameters)| described(name, description, parameters));
        let (own, children) = (hash(&methods), hash(&[json!(own)]));
        let child = json!({
            "namespace": "registry",
            "description": registry["description"],
            "hash": registry["hash"],
        });
        let hub = json!({
            "namespace": hub,
            "version": VERSION,
            "description": "The catalog of proxyd",
            "hash": hash(&[json!(own), json!(children)]),
            "self_hash": own,
            "children_hash": children,
            "methods": methods,
            "children": [child],
        });
        Self { hub, registry }
    }

    /// The hash of everything below.
    pub(crate) fn hash(&self, of: Of) -> &str {
        self.of(of)["hash"].as_str().unwrap_or_default()
    }

    /// The schema, or that of one method.
    pub(crate) fn schema(&self, of: Of, verb: Option<Verb>) -> Value {
        verb.map_or_else(|| self.of(of).clone(), method)
    }

    const fn of(&self, of: Of) -> &Value {
        match of {
            Of::Hub => &self.hub,
            Of::Registry => &self.registry,
        }
    }
}

fn method(verb: Verb) -> Value {
    described(verb.as_str(), verb.description(), verb.parameters())
}

fn described(name: &str, description: &str, parameters: &[Parameter]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, kind, is_required, description) in parameters {
        let mut property = json!({"type": kind, "description": description});
        if *kind == "integer" {
            property["format"] = json!("uint16");
            property["minimum"] = json!(1);
            property["maximum"] = json!(u16::MAX);
        }
        if *is_required {
            required.push(*name);
        } else {
            // Clients that fill in what was not given send `null`, and it means just that.
            property["type"] = json!([kind, "null"]);
            property["default"] = Value::Null;
        }
        properties.insert((*name).to_owned(), property);
    }
    let params = json!({"type": "object", "properties": properties, "required": required});
    let hash = hash(&[json!(name), json!(description), params.clone()]);
    json!({
        "name": name,
        "description": description,
        "hash": hash,
        "params": params,
        "streaming": false,
        "bidirectional": false,
    })
}

/// FNV-1a of 64 bits, the same in every build: clients keep what they read under it.
fn hash(values: &[Value]) -> String {
    let text = values.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}
