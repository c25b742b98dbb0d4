//! Items of subscriptions, in the envelope of the hub's stream.

use runtime::Clock;
use serde_json::json;

use crate::registry::{Content, Registry, complaint};
use crate::request::{Of, Topic};
use crate::schema::Schemas;

/// A subscription that was answered with its number.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// Below 2^53, so that every client can count it.
    pub(crate) number: u64,
    /// The method of its notifications.
    pub(crate) notification: String,
    pub(crate) topic: Topic,
}

/// Knows the name of the hub and its schema.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) name: Box<str>,
    schemas: Schemas,
    clock: Clock,
}

impl Hub {
    pub(crate) fn new(name: Box<str>, clock: Clock) -> Self {
        Self { schemas: Schemas::new(&name), name, clock }
    }

    /// The two notifications of a subscription: its item, and that there are no more. The hub's own
    /// registry sends the second one twice for the direct names; clients stop at the first.
    pub(crate) async fn notifications(
        &self,
        registry: &Registry,
        subscription: Subscription,
    ) -> [String; 2] {
        let Subscription { number, notification, topic } = subscription;
        let (provenance, content_type, content) = self.item(registry, topic).await;
        let metadata = json!({
            "provenance": provenance,
            "plexus_hash": self.schemas.hash(Of::Hub),
            "timestamp": self.clock.now().wall.seconds(),
        });
        let (notification, content_type) = (json!(notification), json!(content_type));
        let envelope = |item: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","method":{notification},"params":{{"subscription":{number},"result":{item}}}}}"#
            )
        };
        let data = format!(
            r#"{{"type":"data","metadata":{metadata},"content_type":{content_type},"content":{content}}}"#
        );
        [envelope(&data), envelope(&format!(r#"{{"type":"done","metadata":{metadata}}}"#))]
    }

    /// From where it comes, what it is, and the thing itself.
    async fn item(&self, registry: &Registry, topic: Topic) -> (Vec<&str>, String, Content) {
        let namespace = |of| match of {
            Of::Hub => &*self.name,
            Of::Registry => "registry",
        };
        match topic {
            Topic::Info => {
                let content = json!({"backend": self.name}).to_string().into();
                (Vec::new(), "_info".to_owned(), content)
            }
            Topic::Hash(of) => {
                let content = json!({"event": "hash", "value": self.schemas.hash(of)});
                let content_type = format!("{}.hash", namespace(of));
                (vec![namespace(of)], content_type, content.to_string().into())
            }
            Topic::Schema(of, verb) => {
                let content = self.schemas.schema(of, verb).to_string().into();
                (vec![namespace(of)], format!("{}.schema", namespace(of)), content)
            }
            Topic::Call(verb, call) => {
                let done = registry.perform(call).await;
                let content = done.unwrap_or_else(|failure| complaint(&failure));
                (vec!["registry"], format!("registry.{}", verb.as_str()), content)
            }
        }
    }
}
