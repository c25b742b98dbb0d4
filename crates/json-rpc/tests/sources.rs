//! The backends file and what else is said without a connection.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use proxyd_json_rpc::{Entry, parse_environment};
use serde_json::json;
use support::{Client, Running, until};

/// A file with these ports under these names.
fn file(backends: &[(&str, u16)]) -> String {
    let one = |(name, port): &(&str, u16)| {
        format!("[[backend]]\nname = \"{name}\"\nhost = \"h\"\nport = {port}\n")
    };
    backends.iter().map(one).collect()
}

async fn lists(client: &mut Client, want: &[(&str, u16)]) {
    let mut want: Vec<_> =
        want.iter().map(|(name, port)| format!("{name} ws://h:{port} file")).collect();
    want.sort();
    until(&want.join(", "), async || {
        let mut listed = client.listed(true).await;
        listed.sort();
        listed == want
    })
    .await;
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test]
async fn a_file_that_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backends.toml");
    let running = Running::start(|settings| settings.backends = Some(path.clone()));
    let mut client = running.connect().await;
    assert!(client.listed(true).await.is_empty());
    assert_eq!(
        client.call("registry.reload", json!({})).await,
        json!({"type": "reloaded", "count": 0})
    );
    fs::write(&path, file(&[("a", 1), ("b", 2)])).unwrap();
    lists(&mut client, &[("a", 1), ("b", 2)]).await;
    // In place: one is new, one has changed, one is gone.
    fs::write(&path, file(&[("b", 3), ("c", 4)])).unwrap();
    lists(&mut client, &[("b", 3), ("c", 4)]).await;
    // As editors save.
    replace(&path, &file(&[("c", 5)]));
    lists(&mut client, &[("c", 5)]).await;
    fs::rename(&path, path.with_extension("toml~")).unwrap();
    fs::write(&path, file(&[("d", 6)])).unwrap();
    lists(&mut client, &[("d", 6)]).await;
    replace(&path, "");
    lists(&mut client, &[]).await;
    running.end().await;
}

#[tokio::test]
async fn a_broken_file_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backends.toml");
    fs::write(&path, file(&[("a", 1)])).unwrap();
    let running = Running::start(|settings| settings.backends = Some(path.clone()));
    let mut client = running.connect().await;
    lists(&mut client, &[("a", 1)]).await;
    let shown = path.display();
    #[rustfmt::skip]
    let table = [
        (Some("[[backend]]\nname = \"b\"\n".to_owned()), format!("{shown}:1:1: missing field `host`")),
        (Some(file(&[("b", 0)])),                        format!("{shown}:4:8: port must be 1 to 65535")),
        (None,                                           format!("{shown} does not exist")),
    ];
    for (text, why) in table {
        match text {
            Some(text) => replace(&path, &text),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = client.refused("registry.reload", json!({})).await;
        assert_eq!(error["data"], why);
        assert_eq!(error["message"], format!("Failed to reload config: {why}"));
        lists(&mut client, &[("a", 1)]).await;
    }
    replace(&path, &file(&[("b", 2)]));
    lists(&mut client, &[("b", 2)]).await;
    running.end().await;
}

/// As Kubernetes mounts a map: `backends.toml -> ..data/backends.toml`, `..data -> ..1`, and the
/// second link is replaced. The configured path may be a link from elsewhere.
#[tokio::test]
async fn links_that_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, port) in [("..1", 1), ("..2", 2)] {
        fs::create_dir_all(at("map").join(version)).unwrap();
        fs::write(at("map").join(version).join("backends.toml"), file(&[("a", port)])).unwrap();
    }
    symlink("..1", at("map/..data")).unwrap();
    symlink("..data/backends.toml", at("map/backends.toml")).unwrap();
    fs::create_dir(at("etc")).unwrap();
    symlink("../map/backends.toml", at("etc/backends.toml")).unwrap();
    let running = Running::start(|settings| settings.backends = Some(at("etc/backends.toml")));
    let mut client = running.connect().await;
    lists(&mut client, &[("a", 1)]).await;
    symlink("..2", at("map/..tmp")).unwrap();
    fs::rename(at("map/..tmp"), at("map/..data")).unwrap();
    fs::remove_dir_all(at("map/..1")).unwrap();
    lists(&mut client, &[("a", 2)]).await;
    running.end().await;
}

#[tokio::test]
async fn reload_is_at_once_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backends.toml");
    fs::write(&path, file(&[("a", 1)])).unwrap();
    let running = Running::start(|settings| settings.backends = Some(path.clone()));
    let mut client = running.connect().await;
    fs::write(&path, file(&[("a", 2), ("b", 3)])).unwrap();
    assert_eq!(
        client.call("registry.reload", json!({})).await,
        json!({"type": "reloaded", "count": 2})
    );
    assert_eq!(client.listed(true).await.len(), 2);
    running.end().await;
}

#[tokio::test]
async fn runtime_before_environment_before_file_before_proxyd_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backends.toml");
    fs::write(&path, file(&[("a", 3), ("b", 3), ("c", 3)])).unwrap();
    let own = |name: &str| Entry::new(name, "h", 4, None).unwrap();
    let running = Running::start(|settings| {
        settings.backends = Some(path.clone());
        settings.environment = parse_environment("a=ws://h:2,b=ws://h:2").unwrap();
        settings.own = Some(own("d"));
    });
    let mut client = running.connect().await;
    client.call("registry.register", json!(["a", "h", 1])).await;
    let mut listed = client.listed(true).await;
    listed.sort();
    let want = ["a ws://h:1 manual", "b ws://h:2 env", "c ws://h:3 file", "d ws://h:4 auto"];
    assert_eq!(listed, want);
    for (name, place) in [
        ("b", "the environment: change REGISTRY_BACKENDS"),
        ("d", "proxyd itself: change it at [json_rpc] self in proxyd's configuration"),
    ] {
        let error = client.refused("registry.update", json!([name, "x"])).await;
        assert_eq!(
            error["data"],
            format!("{name} belongs to {place}, or register {name} here, which goes first")
        );
    }
    running.end().await;
}
