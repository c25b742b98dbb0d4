//! Networks as the kernel really tells them, in a network namespace of the test's own.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use std::process::Command;

use common::{Site, With};
use proxyd_service_api::Networks;
use serde_json::json;

/// Set in the namespace; the test begins itself again there.
const INSIDE: &str = "PROXYD_TEST_IN_NAMESPACE";
/// Says that there can be no namespaces here, and that this is known.
const NONE_HERE: &str = "PROXYD_TEST_NO_NAMESPACES";

fn ip(command: &str) {
    let done =
        Command::new("ip").args(command.split(' ')).status().expect("ip (iproute2) is there");
    assert!(done.success(), "ip {command}");
}

#[test]
fn a_new_interface_is_told() {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(inside());
    }
    if std::env::var_os(NONE_HERE).is_some() {
        eprintln!("skipped: {NONE_HERE} is set");
        return;
    }
    let myself = std::env::current_exe().unwrap();
    let ran = Command::new("unshare")
        .args(["--map-root-user", "--net", "--"])
        .arg(myself)
        .args(["a_new_interface_is_told", "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare (util-linux) is there");
    assert!(ran.success(), "set {NONE_HERE}=1 where there can be no network namespaces: {ran}");
}

async fn inside() {
    ip("link set lo up");
    let site = Site::start(With::default());
    let mut raw = site.connect().await;
    raw.ask("subscribe", json!({"events": ["NetworkTopologyChanged"]})).await.unwrap();
    let following = Networks::watch().unwrap().follow(site.handle.clone(), std::future::pending());
    let following = tokio::spawn(following);
    let first = raw.next().await;
    assert_eq!(first["event"], "NetworkTopologyChanged");
    assert_eq!(first["data"]["interfaces"][0]["kind"], "Local");

    // A pair of ends instead of a dummy or a tunnel: every kernel has it. One is called as a
    // tunnel is.
    ip("link add eth7 type veth peer name wg7");
    ip("addr add 192.168.77.5/24 dev eth7");
    ip("addr add 10.77.0.1/16 dev wg7");
    ip("link set eth7 up");
    ip("link set wg7 up");
    let of = |topology: &serde_json::Value, name: &str| {
        let all = topology["interfaces"].as_array().unwrap().clone();
        all.into_iter().find(|interface| interface["name"] == name)
    };
    let is_lan = json!("LAN");
    loop {
        let event = raw.next().await;
        let (lan, tunnel) = (of(&event["data"], "eth7"), of(&event["data"], "wg7"));
        let (Some(lan), Some(tunnel)) = (lan, tunnel) else { continue };
        assert_eq!((&lan["kind"], &tunnel["kind"]), (&is_lan, &json!("WireGuard")));
        let shown = lan["addresses"].as_array().unwrap().clone();
        assert!(shown.contains(&json!("192.168.77.5/24")), "{lan}");
        break;
    }
    let entry = json!({"name": "web", "endpoints": [{"address": "10.77.0.9:1"},
        {"address": "192.168.77.9:1"}, {"address": "127.0.0.1:1"}]});
    let shown = raw.ask("register_service", entry).await.unwrap();
    let networks: Vec<_> =
        shown["endpoints"].as_array().unwrap().iter().map(|e| e["network"].clone()).collect();
    assert_eq!(networks, ["Local", "LAN", "WireGuard"]);

    ip("link del eth7");
    loop {
        let event = raw.next().await;
        if of(&event["data"], "eth7").is_none() && of(&event["data"], "wg7").is_none() {
            break;
        }
    }
    following.abort();
    site.stop().await;
}
