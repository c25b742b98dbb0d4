//! Calls, subscriptions, batches and errors, over WebSocket and POST.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use catalog::{Endpoint, Facts, Identity, Protocol, Source};
use serde_json::{Value, json};
use support::{Running, shown, until};

#[tokio::test]
async fn the_documented_methods() {
    let running = Running::start(|_| {});
    let mut client = running.connect().await;
    let seed = json!({
        "name": "dev", "host": "192.168.1.100", "port": 4444, "protocol": "ws",
        "description": "Development server"
    });
    let registered = client.call("registry.register", seed).await;
    assert_eq!(registered["type"], "backend_registered");
    let backend = &registered["backend"];
    assert_eq!(shown(backend), "dev ws://192.168.1.100:4444 manual");
    assert_eq!(backend["id"].as_str().unwrap().len(), 36);
    assert_eq!(
        (&backend["is_active"], &backend["description"]),
        (&json!(true), &json!("Development server"))
    );
    assert!(backend["registered_at"].as_u64().unwrap() > 1_700_000_000);
    for absent in ["namespace", "version", "metadata", "last_seen"] {
        assert!(backend.get(absent).is_none(), "{absent}");
    }
    assert_eq!(backend["instances"].as_array().unwrap().len(), 1);

    let list = client.call("registry.list", json!({"active_only": true})).await;
    assert_eq!((&list["type"], &list["backends"][0]), (&json!("backends"), backend));
    let got = client.call("registry.get", json!({"name": "dev"})).await;
    assert_eq!(got, json!({"type": "backend", "backend": backend}));
    let got = client.call("registry.get", json!({"name": "other"})).await;
    assert_eq!(got, json!({"type": "backend", "backend": null}));

    let change = json!({"name": "dev", "host": "192.168.1.101", "namespace": "n"});
    let updated = client.call("registry.update", change).await;
    assert_eq!(updated["type"], "backend_updated");
    assert_eq!(shown(&updated["backend"]), "dev ws://192.168.1.101:4444 manual");
    let about = |of: &Value| (of["description"].clone(), of["namespace"].clone());
    assert_eq!(about(&updated["backend"]), (json!("Development server"), json!("n")));
    let change = json!({"name": "dev", "description": null, "port": 1, "protocol": "wss"});
    let updated = client.call("registry.update", change).await;
    assert_eq!(shown(&updated["backend"]), "dev wss://192.168.1.101:1 manual");
    assert_eq!(about(&updated["backend"]), (Value::Null, json!("n")));
    assert_eq!(updated["backend"]["id"], backend["id"]);
    assert!(updated.get("ignored").is_none());
    // What means nothing changes nothing, and is told.
    let change = json!({"name": "dev", "prot": "http", "tags": []});
    let updated = client.call("registry.update", change).await;
    assert_eq!(shown(&updated["backend"]), "dev wss://192.168.1.101:1 manual");
    assert_eq!(updated["ignored"], json!(["prot", "tags"]));
    let more = json!({"name": "more", "host": "h", "port": 1, "protocl": "http"});
    let registered = client.call("registry.register", more).await;
    assert_eq!(registered["ignored"], json!(["protocl"]));
    client.call("registry.delete", json!(["more"])).await;

    let pong = client.call("registry.ping", json!({"name": "dev"})).await;
    let want = json!({"type": "ping", "name": "dev", "success": true, "message": "Backend health check updated"});
    assert_eq!(pong, want);
    let got = client.call("registry.get", json!(["dev"])).await;
    assert!(got["backend"]["last_seen"].is_u64());
    let pong = client.call("registry.ping", json!({"name": "x"})).await;
    let want =
        json!({"type": "ping", "name": "x", "success": false, "message": "Backend not found: x"});
    assert_eq!(pong, want);

    let deleted = client.call("registry.delete", json!({"name": "dev"})).await;
    assert_eq!(deleted, json!({"type": "backend_deleted", "name": "dev"}));
    assert!(client.listed(false).await.is_empty());
    running.end().await;
}

#[tokio::test]
async fn refusals_are_worded_as_the_hub_does_with_a_reason() {
    let running = Running::start(|_| {});
    let mut client = running.connect().await;
    client.call("registry.register", json!(["dev", "a", 1])).await;
    let duplicate = "Failed to register backend: error returned from database: (code: 2067) UNIQUE \
                     constraint failed: backends.name";
    let unknown = "nothing of this name is in the catalog: add it with registry.register";
    #[rustfmt::skip]
    let table = [
        ("registry.register", json!(["dev", "a", 1]),   -32000, duplicate, "dev is registered already: change it with registry.update"),
        ("registry.update",   json!(["x"]),             -32000, "Backend not found: x", unknown),
        ("registry.delete",   json!(["x"]),             -32000, "Backend not found: x", unknown),
        ("registry.reload",   json!({}),                -32000, "Failed to reload config: no backends file is configured", "no backends file is configured"),
        ("registry.register", json!({"name": "a"}),     -32602, "Invalid params", "port is missing"),
        ("registry.register", json!(["a", "b", 70000]), -32602, "Invalid params", "port must be 1 to 65535"),
    ];
    for (method, params, code, message, reason) in table {
        let want = json!({"code": code, "message": message, "data": reason});
        assert_eq!(client.refused(method, params.clone()).await, want, "{method} {params}");
    }
    running.end().await;
}

#[tokio::test]
async fn what_others_say_is_changed_there() {
    let running = Running::start(|_| {});
    let facts = |port| Facts {
        endpoints: vec![Endpoint::new("e", catalog_host(), port, Protocol::Tcp)],
        ..Facts::default()
    };
    let web = |instance: &str| Identity {
        service: model::ServiceName::parse("web").unwrap(),
        instance: model::InstanceName::parse(instance).unwrap(),
    };
    running.feed.session(web("1"), Some((facts(1), false)));
    running.feed.session(web("2"), Some((facts(2), true)));
    let mut client = running.connect().await;
    until("the session", async || running.handle.view().len() == 1).await;
    let peer = [127, 0, 0, 1].into();
    let name = Identity::alone("beat").unwrap();
    let heartbeat = move |catalog: &mut catalog::Catalog, now| {
        catalog.register_heartbeat(&name, peer, now).unwrap();
        catalog.put(&Identity::alone("file").unwrap(), Source::File, facts(3), now).unwrap();
        catalog.put(&Identity::alone("api").unwrap(), Source::Api, facts(4), now).unwrap();
    };
    running.handle.change(heartbeat).await.unwrap();
    let got = client.call("registry.get", json!({"name": "web"})).await;
    // The one whose connection is there stands for the service.
    assert_eq!(shown(&got["backend"]), "web tcp://127.0.0.1:2 session");
    let instances = got["backend"]["instances"].as_array().unwrap();
    let ports: Vec<_> = instances.iter().map(|one| (&one["instance"], &one["port"])).collect();
    assert_eq!(ports, [(&json!("1"), &json!(1)), (&json!("2"), &json!(2))]);
    #[rustfmt::skip]
    let table = [
        ("register", "web",  "web belongs to a live session: change it over its session of the registry protocol"),
        ("update",   "web",  "web belongs to a live session: change it over its session of the registry protocol"),
        ("delete",   "web",  "web belongs to a live session: change it over its session of the registry protocol"),
        ("delete",   "api",  "api belongs to the service API: change it over the service API"),
        ("update",   "beat", "beat belongs to live heartbeats: change it in the program that sends them"),
        ("update",   "file", "file belongs to the backends file: change it in the backends file, or register file here, which goes first"),
        ("delete",   "file", "file belongs to the backends file: change it in the backends file, or register file here, which goes first"),
    ];
    for (verb, name, reason) in table {
        let params = json!({"name": name, "host": "a", "port": 1});
        let error = client.refused(&format!("registry.{verb}"), params).await;
        let (cause, _) = reason.split_once(':').unwrap();
        let message = format!("Failed to {verb} backend: {cause}");
        assert_eq!(
            error,
            json!({"code": -32000, "message": message, "data": reason}),
            "{verb} {name}"
        );
    }
    // What is registered at runtime goes before a file; without it the file's is there again.
    client.call("registry.register", json!(["file", "b", 9])).await;
    let got = client.call("registry.get", json!(["file"])).await;
    assert_eq!(shown(&got["backend"]), "file ws://b:9 manual");
    client.call("registry.delete", json!(["file"])).await;
    let got = client.call("registry.get", json!(["file"])).await;
    assert_eq!(shown(&got["backend"]), "file tcp://127.0.0.1:3 file");
    // By hand under the name of an instance, as `regctl backends add --instance` does.
    let by_hand = move |catalog: &mut catalog::Catalog, now| {
        for (service, instance) in [("one", "o1"), ("two", "t1"), ("two", "t2")] {
            let identity = Identity {
                service: model::ServiceName::parse(service).unwrap(),
                instance: model::InstanceName::parse(instance).unwrap(),
            };
            catalog.put(&identity, Source::Manual, facts(5), now).unwrap();
        }
    };
    running.handle.change(by_hand).await.unwrap();
    let several = "two was added by hand under several instances: name one with instance: t1, t2";
    let other = "two/t3 was not added by hand: name one with instance: t1, t2";
    #[rustfmt::skip]
    let table = [
        (json!(["one"]),                           ""),
        (json!(["two"]),                           several),
        (json!(["two", "t3"]),                     other),
        (json!({"name": "two", "instance": "t2"}), ""),
        (json!(["two"]),                           ""),
    ];
    for (params, reason) in table {
        match reason {
            "" => drop(client.call("registry.delete", params).await),
            _ => assert_eq!(client.refused("registry.delete", params).await["data"], reason),
        }
    }
    for name in ["one", "two"] {
        let got = client.call("registry.get", json!([name])).await;
        assert_eq!(got["backend"], Value::Null);
    }
    // Anybody may have seen anybody.
    let pong = client.call("registry.ping", json!(["web"])).await;
    assert_eq!(pong["success"], true);
    running.end().await;
}

fn catalog_host() -> model::BackendHost {
    model::BackendHost::Ip([127, 0, 0, 1].into())
}

#[tokio::test]
async fn the_newest_first_and_the_active_only() {
    let running = Running::start(|_| {});
    let put = |catalog: &mut catalog::Catalog, now: model::Now| {
        for (name, seconds) in [("a", 1), ("c", 3), ("b", 2)] {
            let now = now.after(std::time::Duration::from_secs(seconds));
            let endpoint = Endpoint::new("e", catalog_host(), 1, Protocol::Tcp);
            let facts = Facts { endpoints: vec![endpoint], ..Facts::default() };
            catalog.put(&Identity::alone(name).unwrap(), Source::Manual, facts, now).unwrap();
        }
        catalog.check(
            &Identity::alone("b").unwrap(),
            "e",
            catalog::Finding::new(catalog::Health::Ill, "ill"),
            now,
        );
        let nowhere = Identity::alone("d").unwrap();
        catalog.put(&nowhere, Source::Api, Facts::default(), now).unwrap();
    };
    running.handle.change(put).await.unwrap();
    let mut client = running.connect().await;
    let own = |name: &str| format!("{name} tcp://127.0.0.1:1 manual");
    assert_eq!(client.listed(true).await, [own("c"), own("a")]);
    let all = [own("c"), own("b"), own("a"), "d ws://:0 api".to_owned()];
    assert_eq!(client.listed(false).await, all);
    // A list is kept until something changes, be it that somebody was seen.
    client.call("registry.ping", json!(["a"])).await;
    let list = client.call("registry.list", json!({})).await;
    assert!(list["backends"][1]["last_seen"].is_u64());
    running.end().await;
}

#[tokio::test]
async fn subscriptions_of_the_hubs_own_clients() {
    let running = Running::start(|settings| settings.hub = "my-hub".into());
    let mut client = running.connect().await;
    #[rustfmt::skip]
    let table = [
        // method            parameters                                            notification      content type           provenance    content
        ("_info",            Value::Null,                                          "result",         "_info",               vec![],       json!({"backend": "my-hub"})),
        ("registry_register", json!({"name": "a", "host": "b", "port": 1}),        "registry_register", "registry.register", vec!["registry"], json!({"type": "backend_registered"})),
        ("my-hub.call",      json!({"method": "registry.list", "params": {}}),     "result",         "registry.list",       vec!["registry"], json!({"type": "backends"})),
        ("registry_list",    json!({}),                                            "registry_list",  "registry.list",       vec!["registry"], json!({"type": "backends"})),
        ("registry_ping",    json!(["a"]),                                         "registry_ping",  "registry.ping",       vec!["registry"], json!({"type": "ping", "success": true})),
        ("registry_delete",  json!(["x"]),                                         "registry_delete", "registry.delete",    vec!["registry"], json!({"type": "error", "message": "Backend not found: x"})),
        ("my-hub.hash",      Value::Null,                                          "result",         "my-hub.hash",         vec!["my-hub"], json!({"event": "hash"})),
        ("my-hub.schema",    Value::Null,                                          "result",         "my-hub.schema",       vec!["my-hub"], json!({"namespace": "my-hub"})),
        ("my-hub.call",      json!({"method": "my-hub.schema"}),                   "result",         "my-hub.schema",       vec!["my-hub"], json!({"namespace": "my-hub"})),
        ("my-hub.call",      json!({"method": "registry.schema"}),                 "result",         "registry.schema",     vec!["registry"], json!({"namespace": "registry"})),
        ("my-hub.call",      json!({"method": "registry.schema", "params": {"method": "get"}}), "result", "registry.schema", vec!["registry"], json!({"name": "get"})),
    ];
    for (method, params, notification, content_type, provenance, content) in table {
        let answer = client.answer(method, params).await;
        let number = answer["result"].as_u64().unwrap_or_else(|| panic!("{method}: {answer}"));
        assert!(number < 1 << 53);
        let data = client.next().await.unwrap();
        assert_eq!((&data["method"], data.get("id")), (&json!(notification), None), "{method}");
        assert_eq!(data["params"]["subscription"], number);
        let item = &data["params"]["result"];
        assert_eq!((&item["type"], &item["content_type"]), (&json!("data"), &json!(content_type)));
        assert_eq!(item["metadata"]["provenance"], json!(provenance), "{method}");
        assert_eq!(item["metadata"]["plexus_hash"].as_str().unwrap().len(), 16);
        assert!(item["metadata"]["timestamp"].as_u64().unwrap() > 1_700_000_000);
        for (key, value) in content.as_object().unwrap() {
            assert_eq!(&item["content"][key], value, "{method} {key}");
        }
        let done = client.next().await.unwrap();
        assert_eq!(done["params"]["subscription"], number);
        assert_eq!(done["params"]["result"]["type"], "done");
        assert_eq!(done["method"], notification);
        // It has ended by itself.
        for unsubscribe in ["my-hub.call_unsub", "registry_unsubscribe_list", "_info_unsub"] {
            assert_eq!(client.answer(unsubscribe, json!([number])).await["result"], false);
        }
    }
    let error = client.refused("my-hub.call", json!({"method": "registry.get"})).await;
    assert_eq!(
        error,
        json!({"code": -32602, "message": "Invalid params", "data": "name is missing"})
    );
    running.end().await;
}

#[tokio::test]
async fn messages_over_both_transports() {
    let running = Running::start(|settings| settings.bounds.batch_max = 4);
    let mut client = running.connect().await;
    let get = |id: u32| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"registry.get","params":["x"]}}"#)
    };
    let got = |id: u32| json!({"jsonrpc": "2.0", "id": id, "result": {"type": "backend", "backend": null}});
    let failed = |id: Value, code: i32, message: &str, reason: &str| json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": reason}});
    let none = Value::Null;
    #[rustfmt::skip]
    let table = [
        (get(7), got(7)),
        (format!("[{},{}]", get(1), get(2)), json!([got(1), got(2)])),
        (format!("[{},1]", get(1)), json!([got(1), failed(none.clone(), -32600, "Invalid request", "a request must be an object")])),
        (r#"{"jsonrpc":"2.0","id":"a","method":"x"}"#.to_owned(), failed(json!("a"), -32601, "Method not found", "there are registry.register, list, get, update, delete, ping and reload, _info and registry-hub.call")),
        (r#"{"id":1,"method":"x"}"#.to_owned(), failed(json!(1), -32600, "Invalid request", "jsonrpc must be \"2.0\"")),
        ("{\"a\":".to_owned(), failed(none.clone(), -32700, "Parse error", "EOF while parsing a value at line 1 column 5")),
        ("[]".to_owned(), failed(none.clone(), -32600, "Invalid request", "a batch must hold at least one request")),
        ("[1,1,1,1,1]".to_owned(), failed(none, -32010, "The batch request was too large", "at most 4 requests")),
    ];
    for (message, want) in table {
        assert_eq!(client.ask(&message).await, want, "{message}");
        let (status, body) = running.post("", &message).await;
        assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, want));
    }
    running.end().await;
}

#[tokio::test]
async fn notifications_are_carried_out_and_not_answered() {
    let running = Running::start(|_| {});
    let mut client = running.connect().await;
    let register = |name: &str, method: &str| {
        json!({"jsonrpc": "2.0", "method": method, "params": {"name": name, "host": "h", "port": 1}}).to_string()
    };
    client.send(&register("a", "registry.register")).await;
    client.send(&register("b", "registry_register")).await;
    client.send(&format!("[{}]", register("c", "registry.register"))).await;
    client.send(&register("d", "no.method")).await;
    assert_eq!(running.post("", &register("e", "registry.register")).await, (204, String::new()));
    let list = client.call("registry.list", json!({})).await;
    assert_eq!(list["backends"].as_array().unwrap().len(), 4, "{list}");
    running.end().await;
}

#[tokio::test]
async fn what_post_cannot_do_says_what_can() {
    let running = Running::start(|settings| settings.bounds.message_bytes_max = 1000);
    let info = r#"{"jsonrpc":"2.0","id":1,"method":"_info"}"#;
    let (status, body) = running.post("", info).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["error"]["code"]), (200, &json!(-32603)));
    assert!(body["error"]["data"].as_str().unwrap().contains("needs a WebSocket"));
    let long = |bytes: usize| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(bytes - 36))
    };
    assert_eq!(long(1000).len(), 1000);
    assert_eq!(running.post("", &long(1000)).await.0, 200);
    let (status, body) = running.post("", &long(1001)).await;
    assert_eq!(status, 413);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body["error"],
        json!({"code": -32007, "message": "Request is too big", "data": "at most 1000 bytes"})
    );
    let head = |first: &str, lines: &str| {
        format!("{first} HTTP/1.1\r\nHost: a\r\nConnection: {lines}\r\n\r\n")
    };
    #[rustfmt::skip]
    let table = [
        (head("GET /", "close"),                                                  405),
        (head("PUT /", "close"),                                                  405),
        (head("POST /", "Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 0"),    400),
        (head("GET /", "Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8"), 426),
        (head("GET /", "Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"), 400),
        ("nonsense\r\n\r\n".to_owned(),                                           400),
    ];
    for (bytes, status) in table {
        assert_eq!(running.raw(&bytes).await.0, status, "{bytes}");
    }
    running.end().await;
}
