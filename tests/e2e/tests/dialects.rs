//! One catalog: who is registered in one dialect is found in all others, and leaves everywhere (SPEC 1).

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use proxyd_e2e::dialects::{api, beat, dig, is_everywhere, is_nowhere, last_words, regctl, rpc};
use proxyd_e2e::{Backend, Proxy, get, wait_for};
use serde_json::json;
use socket2::{Domain, Socket, Type};

/// All of them, on free ports.
fn sections(folder: &Path) -> String {
    format!(
        "[heartbeat]\nlisten = \"127.0.0.1:0\"\nports = \"19000-19099\"\n\
         [dns]\nlisten = \"127.0.0.1:0\"\n\
         [service_proxy]\ntcp = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n\
         [service_api]\nlisten = \"127.0.0.1:0\"\nsubnets = [\"10.42.0.0/16\"]\n\
         [json_rpc]\nlisten = \"127.0.0.1:0\"\nbackends = {:?}\n",
        folder.join("backends.toml").display().to_string()
    )
}

/// What an operator looks for: where everything listens, and who left without a word.
#[test]
fn the_log_tells_what_is_open_and_who_fell_silent() {
    let folder = tempfile::tempdir().unwrap();
    let text = sections(folder.path()).replace("[heartbeat]", "[heartbeat]\nmax_age = \"1s\"");
    let proxy = Proxy::start_with(&(text + "[admin]\nlisten = \"127.0.0.1:0\"\n"));
    let line = wait_for("the line", || {
        let log = proxy.log();
        log.lines().find(|line| line.contains("serving")).map(str::to_owned)
    });
    for key in [
        "heartbeat",
        "dns",
        "service_proxy.tcp",
        "service_proxy.http",
        "service_api",
        "json_rpc",
        "admin.http",
    ] {
        assert!(line.contains(&proxy.port(key).to_string()), "{key} is missing: {line}");
    }
    assert!(line.contains(&proxy.admin_socket().display().to_string()), "{line}");
    assert!(beat(&proxy, "beat-svc").starts_with("SUCCESS|10.0.0.100|"));
    let line = wait_for("the end", || {
        let log = proxy.log();
        log.lines().find(|line| line.contains("a name has ended")).map(str::to_owned)
    });
    for word in ["beat-svc", "10.0.0.100", "19000", "silent"] {
        assert!(line.contains(word), "{word} is missing: {line}");
    }
    assert!(!proxy.log().contains("in other networks now"), "nothing has changed");
}

#[test]
fn who_is_registered_in_one_dialect_is_found_in_all_and_leaves_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start_with(&sections(folder.path()));
    let backend = Backend::start("web");

    let mut registry = proxy.registry();
    registry.serve("line-svc", "line.1", &[("a.example.com", "/", &backend.url())]);
    is_everywhere(&proxy, "line-svc");

    assert!(beat(&proxy, "beat-svc").starts_with("SUCCESS|10.0.0.100|19000|86400"));
    is_everywhere(&proxy, "beat-svc");
    assert!(dig(&proxy, "beat-svc.proxyd.internal", "A").contains("10.0.0.100"));

    let address = backend.address();
    let params =
        json!({ "name": "rpc-svc", "host": "127.0.0.1", "port": address.port(), "protocol": "ws" });
    rpc(&proxy, "registry.register", params);
    is_everywhere(&proxy, "rpc-svc");

    let entry = json!({ "name": "api-svc", "version": "1.0", "endpoints": [
        { "name": "http", "address": address.to_string(), "protocol": "http", "metadata": {} },
    ] });
    api(&proxy, "register_service", entry);
    is_everywhere(&proxy, "api-svc");

    let file = folder.path().join("backends.toml");
    let text = format!(
        "[[backend]]\nname = \"file-svc\"\nhost = \"127.0.0.1\"\nport = {}\n",
        address.port()
    );
    std::fs::write(&file, text).unwrap();
    is_everywhere(&proxy, "file-svc");

    let backends = regctl(&proxy, &["backends", "list"]);
    let said = backends["data"]["backends"].as_array().unwrap().iter();
    let said: Vec<_> = said.map(|one| [&one["service"], &one["source"]]).collect();
    for (name, source) in [
        ("api-svc", "api"),
        ("beat-svc", "heartbeat"),
        ("file-svc", "file"),
        ("line-svc", "session"),
        ("rpc-svc", "manual"),
    ] {
        assert!(said.contains(&[&json!(name), &json!(source)]), "{name}: {backends}");
    }
    let files = regctl(&proxy, &["backends", "list", "--source", "file"]);
    assert_eq!(files["data"]["backends"].as_array().unwrap().len(), 1, "{files}");

    // By name through the service proxies, whatever the dialect.
    for name in ["line-svc", "api-svc", "rpc-svc", "file-svc"] {
        let request = format!("{name}\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let said = last_words(proxy.port("service_proxy.tcp"), request.as_bytes());
        assert!(said.starts_with("HTTP/1.1 200 "), "{name}: {said}");
    }
    let request = "GET /api-svc/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let said = last_words(proxy.port("service_proxy.http"), request.as_bytes());
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");

    registry.expect("CLIENT_SHUTDOWN|$sid", "SHUTDOWN_OK");
    is_nowhere(&proxy, "line-svc");
    assert_eq!(beat(&proxy, "DEREGISTER|beat-svc"), "DEREGISTERED");
    is_nowhere(&proxy, "beat-svc");
    rpc(&proxy, "registry.delete", json!({ "name": "rpc-svc" }));
    is_nowhere(&proxy, "rpc-svc");
    api(&proxy, "deregister_service", json!({ "name": "api-svc" }));
    is_nowhere(&proxy, "api-svc");
    std::fs::write(&file, "").unwrap();
    assert_eq!(regctl(&proxy, &["backends", "reload"])["data"]["count"], 0);
    is_nowhere(&proxy, "file-svc");
    // What left is not denied: resolvers would remember that.
    assert!(dig(&proxy, "line-svc.proxyd.internal", "A").contains("status: NOERROR"));
    assert!(dig(&proxy, "never.proxyd.internal", "A").contains("status: NXDOMAIN"));
}

#[test]
fn a_kill_loses_no_address_no_backend_and_no_allocation() {
    let folder = tempfile::tempdir().unwrap();
    // The network of the test is none of the proxy's to look into.
    let unchecked = "[backends]\ncheck = false\n";
    let mut proxy = Proxy::start_with(&(sections(folder.path()) + unchecked));
    let backend = Backend::start("line");
    proxy.registry().serve("line", "line.1", &[("line.example.com", "/", &backend.url())]);
    assert!(beat(&proxy, "first").starts_with("SUCCESS|10.0.0.100|19000|"));
    assert!(beat(&proxy, "second").starts_with("SUCCESS|10.0.0.101|19001|"));
    let second = api(&proxy, "allocate_ip", json!({ "service": "db" }));
    regctl(&proxy, &["backends", "add", "dev", "--host", "10.9.9.9", "--port", "4444"]);
    api(&proxy, "register_service", json!({ "name": "kept", "endpoints": [] }));
    let before = regctl(&proxy, &["service", "dev"]);
    proxy.kill_and_move();
    // Nobody has come back yet, and its route answers.
    let shown = regctl(&proxy, &["service", "line"])["data"]["instances"][0].clone();
    assert_eq!((&shown["lease"], &shown["state"]), (&json!("away"), &json!("running")), "{shown}");
    assert_eq!(shown["endpoints"][0]["standing"], "away");
    assert_eq!(get(&proxy, "line.example.com", "/").status, 200);
    assert_eq!(beat(&proxy, "LOOKUP|second"), "FOUND|10.0.0.101|19001");
    assert!(beat(&proxy, "second").starts_with("SUCCESS|10.0.0.101|19001|"));
    assert_eq!(api(&proxy, "allocate_ip", json!({ "service": "db" })), second);
    assert_eq!(regctl(&proxy, &["service", "dev"]), before);
    assert_eq!(regctl(&proxy, &["service", "kept"])["data"]["instances"][0]["source"], "api");
    assert!(beat(&proxy, "third").starts_with("SUCCESS|10.0.0.102|19002|"));
}

/// Names of all that is not written down elsewhere: what left, a session that stays away, an entry
/// that is no longer in its file.
#[test]
fn what_was_known_is_not_denied_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backends.toml");
    std::fs::write(&file, "[[backend]]\nname = \"filed\"\nhost = \"127.0.0.1\"\nport = 9\n")
        .unwrap();
    let mut proxy = Proxy::start_with(&sections(folder.path()));
    let mut registry = proxy.registry();
    registry.serve("Left", "left.1", &[]);
    let is = |proxy: &Proxy, name: &str, code: &str| {
        dig(proxy, &format!("{name}.proxyd.internal"), "A").contains(&format!("status: {code}"))
    };
    wait_for("both", || {
        (is(&proxy, "left", "NOERROR") && is(&proxy, "filed", "NOERROR")).then_some(())
    });
    registry.expect("CLIENT_SHUTDOWN|$sid", "SHUTDOWN_OK");
    std::fs::write(&file, "").unwrap();
    is_nowhere(&proxy, "filed");
    for _ in 0..2 {
        proxy.kill_and_move();
        for (name, code) in [("left", "NOERROR"), ("FILED", "NOERROR"), ("never", "NXDOMAIN")] {
            assert!(is(&proxy, name, code), "{name}");
        }
    }
}

#[test]
fn the_version_in_metadata_is_told_in_all_dialects() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start_with(&sections(folder.path()));
    let mut registry = proxy.registry();
    registry.ask("REGISTER|web|web.1|9|{\"version\":\"1.2.3\",\"health\":\"spoof\"}");
    let text = || dig(&proxy, "web.proxyd.internal", "TXT");
    let told = wait_for("it", || Some(text()).filter(|text| text.contains("instance=web.1")));
    assert!(told.contains("\"version=1.2.3\""), "{told}");
    let backend = &rpc(&proxy, "registry.get", json!({ "name": "web" }))["result"]["backend"];
    assert_eq!(backend["version"], "1.2.3");
    assert_eq!(api(&proxy, "get_service", json!({ "name": "web" }))["version"], "1.2.3");
}

/// Whoever is believed says where it is, and all dialects say so.
#[test]
fn a_name_of_heartbeats_and_of_another_source_is_in_one_place() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start_with(&sections(folder.path()));
    let backend = Backend::start("both");
    let port = backend.address().port();
    let said = || {
        let addresses = dig(&proxy, "both.proxyd.internal", "A");
        let address = addresses.lines().find_map(|line| line.split_once("\tA\t"));
        let shown = regctl(&proxy, &["resolve", "both"])["data"]["virtual_address"].clone();
        let rpc =
            rpc(&proxy, "registry.get", json!({ "name": "both" }))["result"]["backend"].clone();
        let api = api(&proxy, "get_service", json!({ "name": "both" }));
        let ports = (rpc["port"].clone(), api["endpoints"][0]["address"].clone());
        (address.unwrap().1.to_owned(), beat(&proxy, "LOOKUP|both"), shown, ports)
    };
    let by_heartbeats = (
        "10.0.0.100".to_owned(),
        "FOUND|10.0.0.100|19000".to_owned(),
        json!("10.0.0.100:19000"),
        (json!(19000), json!("127.0.0.1:19000")),
    );
    let by_the_api = (
        "127.0.0.1".to_owned(),
        format!("FOUND|127.0.0.1|{port}"),
        serde_json::Value::Null,
        (json!(port), json!(format!("127.0.0.1:{port}"))),
    );
    assert!(beat(&proxy, "both").starts_with("SUCCESS|10.0.0.100|19000|"));
    assert_eq!(said(), by_heartbeats);
    let port = port.to_string();
    regctl(&proxy, &["backends", "add", "both", "--host", "127.0.0.1", "--port", &port]);
    assert_eq!(said(), by_heartbeats, "a live name comes before what is written down");
    let entry = json!({ "name": "both", "endpoints": [
        { "name": "http", "address": format!("127.0.0.1:{port}"), "protocol": "http" },
    ] });
    api(&proxy, "register_service", entry);
    assert_eq!(said(), by_the_api);
    api(&proxy, "deregister_service", json!({ "name": "both" }));
    assert_eq!(said(), by_heartbeats);
}

/// Names may hold slashes, and what divides one in a command is a slash too.
#[test]
fn a_backend_whose_name_holds_slashes_is_changed_by_hand_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let unchecked = "[backends]\ncheck = false\n";
    let proxy = Proxy::start_with(&(sections(folder.path()) + unchecked));
    let at = |words: &[&'static str]| [words, &["--host", "10.9.9.9", "--port", "4444"]].concat();
    regctl(&proxy, &at(&["backends", "add", "team", "--instance", "api"]));
    let params = json!({ "name": "team/api", "host": "10.9.9.9", "port": 4444 });
    rpc(&proxy, "registry.register", params);
    regctl(&proxy, &at(&["backends", "add", "team/web"]));
    let named = |name: &str| regctl(&proxy, &["service", name])["data"]["name"].clone();
    assert_eq!((named("team/api"), named("team/web")), (json!("team/api"), json!("team/web")));
    regctl(&proxy, &["backends", "ping", "team/api"]);
    regctl(&proxy, &["backends", "update", "team/web/team/web", "--port", "5555"]);
    assert_eq!(regctl(&proxy, &["resolve", "team/web"])["data"]["endpoints"][0]["port"], 5555);
    for name in ["team/api", "team/web"] {
        regctl(&proxy, &["backends", "rm", name]);
    }
    let left = regctl(&proxy, &["backends", "list", "--source", "manual"]);
    let left = left["data"]["backends"].as_array().unwrap().clone();
    assert_eq!((left.len(), &left[0]["service"]), (1, &json!("team")), "{left:?}");
    regctl(&proxy, &["backends", "rm", "team/api"]);
}

/// Whoever drains is about to leave: what comes by its name goes elsewhere, as it does at the edge.
#[test]
fn an_instance_that_drains_gets_nothing_by_its_name_either() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start_with(&sections(folder.path()));
    let backends = ["one", "two"].map(Backend::start);
    let mut registries = [proxy.registry(), proxy.registry()];
    for ((registry, backend), instance) in registries.iter_mut().zip(&backends).zip(["1", "2"]) {
        registry.serve("duo", &format!("duo.{instance}"), &[("duo.test", "/", &backend.url())]);
    }
    let srv = || dig(&proxy, "duo.proxyd.internal", "SRV").matches("\tSRV\t").count();
    let ask = "GET /duo/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let by_path = || last_words(proxy.port("service_proxy.http"), ask.as_bytes());
    let tunnelled = format!("duo\n{ask}");
    let by_tunnel = || last_words(proxy.port("service_proxy.tcp"), tunnelled.as_bytes());
    wait_for("two of them", || (srv() == 2).then_some(()));

    regctl(&proxy, &["drain", "duo/duo.1", "1ms", "--wait"]);
    wait_for("the other one alone", || (srv() == 1).then_some(()));
    let shown = regctl(&proxy, &["service", "duo"])["data"]["instances"].clone();
    let standings = [0, 1].map(|at| shown[at]["endpoints"][0]["standing"].clone());
    assert_eq!(standings, [json!("draining"), json!("good")]);
    wait_for("HTTP to know", || by_path().contains("two").then_some(()));
    for _ in 0..12 {
        let said = [by_path(), by_tunnel()];
        assert!(said.iter().all(|said| said.contains("two")), "{said:?}");
    }
    let shown = rpc(&proxy, "registry.get", json!({ "name": "duo" }))["result"]["backend"].clone();
    assert_eq!(shown["port"], backends[1].address().port());

    regctl(&proxy, &["drain", "duo/duo.1", "--cancel"]);
    wait_for("both of them again", || (srv() == 2).then_some(()));
}

/// Nobody reports for an entry of a file: proxyd asks for itself, and says so everywhere.
#[test]
fn a_backend_of_a_file_that_dies_comes_last_until_it_returns() {
    let folder = tempfile::tempdir().unwrap();
    let checks = "[backends]\ncheck_interval = \"100ms\"\n";
    let proxy = Proxy::start_with(&(sections(folder.path()) + checks));
    let other = Backend::start("other");
    let other = other.address();
    // Held by a socket that does not listen, so that nobody else has the port while the backend is away.
    let held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    held.set_reuse_address(true).unwrap();
    held.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = held.local_addr().unwrap().as_socket().unwrap();
    let listener = TcpListener::bind(address).unwrap();
    let text = format!(
        "[[backend]]\nname = \"web\"\nhost = \"127.0.0.1\"\nport = {}\nprotocol = \"ws\"\n",
        address.port()
    );
    std::fs::write(folder.path().join("backends.toml"), text).unwrap();
    let entry = json!({ "name": "web", "instance": "w2", "endpoints": [
        { "name": "http", "address": other.to_string(), "protocol": "http", "metadata": {} },
    ] });
    api(&proxy, "register_service", entry);

    let ports = || {
        let answer = dig(&proxy, "web.proxyd.internal", "SRV");
        let records = answer.lines().filter(|line| line.contains("\tSRV\t"));
        let mut ports: Vec<u16> =
            records.map(|line| line.split(' ').nth(2).unwrap().parse().unwrap()).collect();
        ports.sort_unstable();
        ports
    };
    let mut both = [address.port(), other.port()];
    both.sort_unstable();
    let standing = || {
        let shown = regctl(&proxy, &["service", "web"])["data"].clone();
        let instances = shown["instances"].as_array().unwrap();
        let of = instances.iter().find(|instance| instance["instance"] == "web").unwrap();
        let endpoint = &of["endpoints"][0];
        (endpoint["standing"].clone(), endpoint["healthy"].clone(), endpoint["reason"].clone())
    };
    let health =
        || api(&proxy, "get_service", json!({ "name": "web" }))["last_health_check"].clone();
    let is_well = || standing() == (json!("good"), json!(true), json!("connected"));
    wait_for("both to be well", || (is_well() && ports() == both).then_some(()));
    assert_eq!(health()["healthy"], true);

    drop(listener);
    let ill = (json!("bad"), json!(false), json!("connection refused"));
    wait_for("the dead one to be found", || (standing() == ill).then_some(()));
    assert_eq!(ports(), [other.port()], "nobody is sent there while there is another one");
    let found = health();
    assert_eq!(
        (&found["healthy"], &found["message"]),
        (&json!(false), &json!("connection refused"))
    );
    assert!(found["duration_ms"].is_u64() && found["checked_at"].is_string(), "{found}");
    let shown = rpc(&proxy, "registry.get", json!({ "name": "web" }))["result"]["backend"].clone();
    assert_eq!((&shown["port"], &shown["is_active"]), (&json!(other.port()), &json!(true)));

    let _again = TcpListener::bind(address).unwrap();
    wait_for("it to return", || (is_well() && ports() == both).then_some(()));
    assert_eq!(health()["healthy"], true);
}
