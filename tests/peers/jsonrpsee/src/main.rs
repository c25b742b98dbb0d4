//! jsonrpsee's client against a JSON-RPC listener: calls, subscriptions, batches, errors.
//!
//! Usage: `peer-jsonrpsee ws://HOST:PORT`; says `well` if all is.

use jsonrpsee::core::client::{ClientT, Error, Subscription, SubscriptionClientT};
use jsonrpsee::core::params::{BatchRequestBuilder, ObjectParams};
use jsonrpsee::http_client::HttpClientBuilder;
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::WsClientBuilder;
use serde_json::{Value, json};

fn named(params: &[(&str, Value)]) -> ObjectParams {
    let mut named = ObjectParams::new();
    for (name, value) in params {
        named.insert(name, value).expect("a value");
    }
    named
}

async fn item(mut subscription: Subscription<Value>) -> Value {
    let data = subscription.next().await.expect("an item").expect("of JSON");
    let done = subscription.next().await.expect("an end").expect("of JSON");
    assert_eq!((&data["type"], &done["type"]), (&json!("data"), &json!("done")));
    data["content"].clone()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).expect("ws://HOST:PORT");
    let client = WsClientBuilder::default().build(&url).await.expect("it connects");

    let params = named(&[("name", json!("rust")), ("host", json!("h")), ("port", json!(1))]);
    let registered: Value = client.request("registry.register", params).await.expect("registered");
    assert_eq!(registered["type"], "backend_registered");

    let info = client.subscribe("_info", rpc_params![], "_info_unsub").await.expect("_info");
    assert_eq!(item(info).await["backend"], "registry-hub");
    let params = named(&[("method", json!("registry.list")), ("params", json!({}))]);
    let list = client.subscribe("registry-hub.call", params, "registry-hub.call_unsub").await;
    assert_eq!(item(list.expect("a list")).await["backends"][0]["name"], "rust");
    let params = named(&[("name", json!("rust"))]);
    let got = client.subscribe("registry_get", params, "registry_unsubscribe_get").await;
    assert_eq!(item(got.expect("one")).await["backend"]["port"], 1);

    let mut batch = BatchRequestBuilder::new();
    batch.insert("registry.get", rpc_params!["rust"]).expect("a request");
    batch.insert("registry.none", rpc_params![]).expect("a request");
    let answers = client.batch_request::<Value>(batch).await.expect("answers");
    assert_eq!((answers.num_successful_calls(), answers.num_failed_calls()), (1, 1));
    client.notification("registry.ping", rpc_params!["rust"]).await.expect("sent");

    let refused = client.request::<Value, _>("registry.update", rpc_params!["rust", "h", 0]).await;
    let Err(Error::Call(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.code(), -32602);
    assert_eq!(error.data().map(|data| data.get()), Some("\"port must be 1 to 65535\""));

    let client = HttpClientBuilder::default().build(url.replace("ws:", "http:")).expect("a client");
    let got: Value = client.request("registry.get", rpc_params!["rust"]).await.expect("one");
    assert!(got["backend"]["last_seen"].is_u64());
    println!("well");
}
