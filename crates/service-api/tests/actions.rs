//! Every action and event, over the wire.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use catalog::{Facts, Identity, Source};
use common::{Site, With};
use proxyd_service_api::{Deployer, Progress};
use serde_json::{Value, json};

fn entry(name: &str) -> Value {
    json!({"name": name, "endpoints": [{"name": "http", "address": "10.0.0.5:80", "protocol": "http"}]})
}

#[tokio::test]
async fn a_service_registers_is_found_and_leaves() {
    let site = Site::start(With::default());
    let mut raw = site.connect().await;
    assert_eq!((&raw.loaded["data"], &raw.loaded["seq"]), (&json!([]), &json!(0)));
    let shown = raw.ask("register_service", entry("web")).await.unwrap();
    assert_eq!((&shown["name"], &shown["source"]), (&json!("web"), &json!("api")));
    assert!(shown.get("ignored").is_none(), "{shown}");
    let again = json!({"name": "web", "instance": "w2", "tag": 1, "endpoints": [{"address": "127.0.0.1:81", "zone": "a"}]});
    let shown = raw.ask("register_service", again).await.unwrap();
    assert_eq!(shown["ignored"], json!(["tag", "endpoints[0].zone"]));
    let got = raw.ask("get_service", json!({"name": "web"})).await.unwrap();
    let addresses: Vec<_> =
        got["endpoints"].as_array().unwrap().iter().map(|e| &e["address"]).collect();
    assert_eq!(addresses, ["127.0.0.1:81", "10.0.0.5:80"], "the nearest to the asker first");
    assert_eq!(got["instances"].as_array().unwrap().len(), 2);
    let all = raw.ask("list_services", Value::Null).await.unwrap();
    assert_eq!(all.as_array().unwrap().len(), 1);
    let endpoints = raw.ask("list_endpoints", json!({})).await.unwrap();
    assert_eq!(endpoints["web"].as_array().unwrap().len(), 2);
    let named = json!({"name": "ext", "endpoints": [{"address": "www.example.com:443"}]});
    raw.ask("register_service", named).await.unwrap();
    let endpoints = raw.ask("list_endpoints", json!({})).await.unwrap();
    assert_eq!(endpoints["ext"], json!([]), "who reads addresses alone could read none of them");
    raw.ask("deregister_service", json!({"name": "ext"})).await.unwrap();
    assert_eq!(site.connect().await.loaded["data"][0]["name"], "web");

    raw.ask("deregister_service", json!({"name": "web", "instance": "w2"})).await.unwrap();
    let gone = raw.ask("deregister_service", json!({"name": "web"})).await.unwrap();
    assert_eq!(gone, json!({"service": "web", "instance": "web", "status": "deregistered"}));
    assert!(site.handle.view().is_empty());
    #[rustfmt::skip]
    let table = [
        ("get_service",        json!({"name": "web"}), "Service not found: web"),
        ("deregister_service", json!({"name": "web"}), "Service not found: web"),
        ("service_action",     json!({"name": "web", "action": "start"}), "Service not found: web"),
        ("service_action",     json!({"name": "web", "action": "kill"}), "action must be start, stop, restart or reload"),
        ("get_service",        json!({}), "params of get_service: missing field `name` at line 1 column 2"),
        ("allocate_ip",        json!({"service": "web"}), "no subnets are configured to allocate addresses in"),
        ("deploy_package",     json!({"package_path": "/a.tar.gz"}), "Package error: off until deploy_hosts is set"),
        ("fly",                json!({}), "unknown variant `fly`: no such action"),
        ("subscribe",          json!({"events": ["Tea"]}), "unknown variant `Tea`, expected one of service_registered, service_updated, service_deregistered, service_state_changed, endpoint_updated, deployment_progress, health_check_result, registry_loaded, network_topology_changed"),
    ];
    for (action, params, says) in table {
        assert_eq!(raw.ask(action, params).await.unwrap_err(), says);
    }
    assert_eq!(raw.ask("ping", json!({})).await.unwrap(), json!({"status": "pong"}));
    assert_eq!(raw.ask("get_topology", json!({})).await.unwrap(), json!({"interfaces": []}));
    raw.send("{").await;
    let answer = raw.next().await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(""), &json!("error")));
    site.stop().await;
}

/// Both spellings, on one connection each.
#[tokio::test]
async fn events_come_as_they_were_subscribed_to() {
    let site = Site::start(With::default());
    let mut document = site.connect().await;
    let mut in_use = site.connect().await;
    let camel = [
        "ServiceRegistered",
        "ServiceStateChanged",
        "ServiceUpdated",
        "EndpointUpdated",
        "ServiceDeregistered",
        "NetworkTopologyChanged",
    ];
    let answer = document.ask("subscribe", json!({"events": camel})).await.unwrap();
    assert_eq!(answer["subscribed"].as_array().unwrap().len(), camel.len());
    let snake = ["service_registered", "service_state_changed", "service_deregistered"];
    in_use.ask("subscribe", json!({"events": snake})).await.unwrap();
    let mut raw = site.connect().await;
    raw.ask("register_service", entry("web")).await.unwrap();
    let start = raw.ask("service_action", json!({"name": "web", "action": "start"})).await.unwrap();
    assert_eq!(start, json!({"service": "web", "old_state": "registered", "new_state": "running"}));
    let restart =
        raw.ask("service_action", json!({"name": "web", "action": "restart"})).await.unwrap();
    assert_eq!(restart["new_state"], "running");
    let again = raw.ask("service_action", json!({"name": "web", "action": "start"})).await;
    assert_eq!(again.unwrap_err(), "Invalid state transition: Running -> Starting");
    let reload =
        raw.ask("service_action", json!({"name": "web", "action": "reload"})).await.unwrap();
    assert_eq!(reload, json!({"status": "reload_initiated"}));
    raw.ask("deregister_service", json!({"name": "web"})).await.unwrap();

    let states = ["starting", "running", "stopping", "stopped", "starting", "running"];
    let (camel, snake) = (
        ["ServiceRegistered", "ServiceStateChanged", "ServiceDeregistered"],
        ["service_registered", "service_state_changed", "service_deregistered"],
    );
    for (client, spelled, updated) in
        [(&mut document, camel, Some("ServiceUpdated")), (&mut in_use, snake, None)]
    {
        let [registered, changed, left] = spelled;
        let first = client.next().await;
        assert_eq!((&first["event"], &first["seq"]), (&json!(registered), &json!(1)));
        for state in states {
            let event = client.next().await;
            assert_eq!(
                (&event["event"], &event["data"]["new_state"]),
                (&json!(changed), &json!(state))
            );
        }
        // Its settings are to be read again: who runs it is told, and it does what it did.
        if let Some(updated) = updated {
            assert_eq!(client.next().await["event"], updated);
        }
        assert_eq!(client.next().await["event"], left);
    }
    // No longer subscribed, no longer told.
    in_use.ask("unsubscribe", json!({"events": ["ServiceRegistered"]})).await.unwrap();
    raw.ask("register_service", entry("api")).await.unwrap();
    raw.ask("deregister_service", json!({"name": "api"})).await.unwrap();
    assert_eq!(in_use.next().await["event"], "service_deregistered");
    site.stop().await;
}

#[tokio::test]
async fn what_a_session_holds_is_its_own() {
    let site = Site::start(With::default());
    let mut raw = site.connect().await;
    raw.ask("subscribe", json!({"events": ["service_registered"]})).await.unwrap();
    site.feed.session(Identity::alone("web").unwrap(), Some((Facts::default(), true)));
    assert_eq!(raw.next().await["data"]["service"], "web");
    let mine = "web/web belongs to a live session: change it there";
    let beat = Identity::alone("beat").unwrap();
    let peer = [127, 0, 0, 1].into();
    site.handle
        .change(move |catalog, now| catalog.register_heartbeat(&beat, peer, now))
        .await
        .unwrap()
        .unwrap();
    #[rustfmt::skip]
    let table = [
        ("service_action",     json!({"name": "web", "action": "restart"}), mine),
        ("service_action",     json!({"name": "web", "action": "reload"}),  mine),
        ("register_service",   entry("web"),                                mine),
        ("deregister_service", json!({"name": "web"}),                      mine),
        ("service_action",     json!({"name": "beat", "action": "stop"}),   "beat/beat belongs to a live heartbeat: change it there"),
    ];
    for (action, params, says) in table {
        assert_eq!(raw.ask(action, params).await.unwrap_err(), says);
    }
    site.stop().await;
}

/// Whatever is kept until somebody takes it back can be taken back here, or it is said where.
#[tokio::test]
async fn what_was_added_by_hand_is_taken_back_under_whatever_instance() {
    let site = Site::start(With::default());
    let mut raw = site.connect().await;
    let by_hand = |catalog: &mut catalog::Catalog, now| {
        #[rustfmt::skip]
        let said = [
            ("dev",  "d1",   Source::Manual), ("two",  "t1",   Source::Manual), ("two", "t2", Source::Manual),
            ("both", "both", Source::Manual), ("both", "both", Source::Api),
            ("file", "file", Source::File),   ("auto", "a",    Source::Auto),   ("env", "e", Source::Env),
        ];
        for (service, instance, source) in said {
            let identity = Identity {
                service: model::ServiceName::parse(service).unwrap(),
                instance: model::InstanceName::parse(instance).unwrap(),
            };
            catalog.put(&identity, source, Facts::default(), now).unwrap();
        }
    };
    site.handle.change(by_hand).await.unwrap();
    let (done, several) =
        ("deregistered", "two has several instances: name one with `instance`: t1, t2");
    #[rustfmt::skip]
    let table = [
        (json!({"name": "dev", "instance": "x"}),   "Service not found: dev/x"),
        (json!({"name": "dev"}),                    done),
        (json!({"name": "dev"}),                    "Service not found: dev"),
        (json!({"name": "two"}),                    several),
        (json!({"name": "two", "instance": "t2"}),  done),
        (json!({"name": "two"}),                    done),
        (json!({"name": "both"}),                   done),
        (json!({"name": "both"}),                   done),
        (json!({"name": "both"}),                   "Service not found: both"),
        (json!({"name": "file"}),                   "file/file is registered by the backends file: take it out there"),
        (json!({"name": "auto"}),                   "auto/a is registered by proxyd itself: change [json_rpc] self in its configuration"),
        (json!({"name": "env", "instance": "e"}),   "env/e is registered by the environment of proxyd: change that and restart"),
    ];
    for (params, says) in table {
        let answered = raw.ask("deregister_service", params.clone()).await;
        let said =
            answered.map_or_else(|why| why, |said| said["status"].as_str().unwrap().to_owned());
        assert_eq!(said, says, "{params}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_service_says_what_it_does_when_it_registers() {
    let site = Site::start(With::default());
    let mut raw = site.connect().await;
    let with = |state: &str| json!({"name": "web", "state": state});
    assert_eq!(raw.ask("register_service", with("running")).await.unwrap()["state"], "running");
    let before = site.handle.view().seq();
    assert_eq!(
        raw.ask("register_service", with("registered")).await.unwrap()["state"],
        "running",
        "an entry that says nothing changes nothing"
    );
    assert_eq!(site.handle.view().seq(), before);
    raw.ask("register_service", with("failed")).await.unwrap();
    let refused = raw.ask("register_service", with("stopping")).await.unwrap_err();
    assert_eq!(refused, "Invalid state transition: Failed -> Stopping");
    site.stop().await;
}

#[tokio::test]
async fn addresses_are_handed_out() {
    let site = Site::start(With { subnets: vec!["10.42.0.0/29"], ..With::default() });
    let mut raw = site.connect().await;
    for (service, ip) in [("a", 2), ("b", 3), ("a", 2), ("c", 4), ("d", 5), ("e", 6)] {
        let got = raw.ask("allocate_ip", json!({"service": service})).await.unwrap();
        assert_eq!(got, json!({"service": service, "ip": format!("10.42.0.{ip}")}));
    }
    let full = raw.ask("allocate_ip", json!({"service": "f"})).await.unwrap_err();
    assert_eq!(full, "no free address in 10.42.0.0/29");
    raw.ask("release_ip", json!({"service": "b"})).await.unwrap();
    let none = raw.ask("release_ip", json!({"service": "b"})).await.unwrap_err();
    assert_eq!(none, "no IP is allocated to b");
    assert_eq!(raw.ask("allocate_ip", json!({"service": "f"})).await.unwrap()["ip"], "10.42.0.3");
    let all = raw.ask("list_allocations", json!({})).await.unwrap();
    assert_eq!(all.as_array().unwrap().len(), 5);
    site.stop().await;
}

#[tokio::test]
async fn a_subscription_goes_on_where_another_ended() {
    let site = Site::start(With::default());
    let mut raw = site.connect().await;
    for name in ["a", "b", "c"] {
        raw.ask("register_service", entry(name)).await.unwrap();
    }
    let mut later = site.connect().await;
    let epoch = later.loaded["epoch"].clone();
    let events = ["service_registered"];
    let answer = later.ask("subscribe", json!({"events": events, "after_seq": 1, "epoch": epoch}));
    assert_eq!(answer.await.unwrap()["seq"], 1);
    for (name, seq) in [("b", 2), ("c", 3)] {
        let event = later.next().await;
        assert_eq!((&event["data"]["service"], &event["seq"]), (&json!(name), &json!(seq)));
    }
    // Ahead of all, or from another life of the process: nobody may think that nothing was missed.
    for params in [
        json!({"events": events, "after_seq": 9}),
        json!({"events": events, "after_seq": 1, "epoch": "0"}),
    ] {
        let request =
            json!({"id": "1", "type": "request", "action": "subscribe", "params": params});
        raw.send(request.to_string()).await;
        let answer = raw.next().await;
        assert_eq!(answer["error"]["code"], "missed", "{answer}");
        assert_eq!(answer["error"]["details"]["seq"], 3);
    }
    site.stop().await;
}

#[tokio::test]
async fn deployments_are_carried_out_by_somebody_else() {
    let (deployer, mut orders) = Deployer::new();
    let listeners = deployer.listeners();
    let site = Site::start(With { deployer: Some(deployer), ..With::default() });
    let worker = tokio::spawn(async move {
        let order = orders.recv().await.unwrap();
        listeners.tell(Progress {
            service: "web".to_owned(),
            target_node: order.target_node.unwrap_or_default(),
            stage: "upload".to_owned(),
            percent: 40,
            message: "on its way".to_owned(),
            version: Some("1.2".to_owned()),
            package: order.package_path,
        });
        order.answer.send(Ok(json!({"service": "web"}))).unwrap();
        let order = orders.recv().await.unwrap();
        order.answer.send(Err("h is not in deploy_hosts".to_owned())).unwrap();
    });
    let mut listener = site.connect().await;
    listener.ask("subscribe", json!({"events": ["DeploymentProgress"]})).await.unwrap();
    let mut raw = site.connect().await;
    let params = json!({"package_path": "/a.tar.gz", "target_node": "h"});
    assert_eq!(raw.ask("deploy_package", params.clone()).await.unwrap(), json!({"service": "web"}));
    let refused = raw.ask("deploy_package", params).await.unwrap_err();
    assert_eq!(refused, "Package error: h is not in deploy_hosts");
    let event = listener.next().await;
    assert_eq!(event["event"], "DeploymentProgress");
    let data = &event["data"];
    assert_eq!((&data["service"], &data["version"]), (&json!("web"), &json!("1.2")));
    assert_eq!((&data["percent"], &data["package"]), (&json!(40), &json!("/a.tar.gz")));
    worker.await.unwrap();
    site.stop().await;
}
