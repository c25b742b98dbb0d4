//! Who may depend on whom. A test, so that the plain test command holds the line.
//!
//! The rows are those of the picture in `docs/ARCHITECTURE.md`. A crate may use crates of lower rows
//! only; crates of one row do not know each other. Below the line lie the cores: what they use may not
//! reach a socket, a clock or the system's entropy, however indirectly.

/// One row of the picture.
struct Row {
    /// Below the line.
    core: bool,
    crates: &'static [&'static str],
}

/// Lowest first.
const ROWS: &[Row] = &[
    Row { core: true, crates: &["model"] },
    Row {
        core: true,
        crates: &["wire", "http1", "proxyproto", "resilience", "catalog", "compression"],
    },
    Row { core: true, crates: &["routing", "config"] },
    Row { core: true, crates: &["session"] },
    Row { core: false, crates: &["runtime", "telemetry"] },
    Row { core: false, crates: &["store", "certs", "probe", "client", "package", "door"] },
    Row { core: false, crates: &["discovery"] },
    Row {
        core: false,
        crates: &[
            "dataplane",
            "control",
            "acme",
            "admin",
            "heartbeat",
            "dns",
            "json-rpc",
            "service-api",
            "deploy",
        ],
    },
    Row { core: false, crates: &["service-proxy"] },
    Row { core: false, crates: &["app"] },
    Row { core: false, crates: &["proxyd", "regctl"] },
];

/// Every crate of ours that exists and is no binary, lowest first.
pub(crate) fn crates() -> Vec<&'static str> {
    ROWS.iter().flat_map(|row| row.crates).copied().filter(|name| exists(name)).collect()
}

/// Every core that exists, lowest first.
pub(crate) fn cores() -> Vec<&'static str> {
    let cores = ROWS.iter().filter(|row| row.core).flat_map(|row| row.crates);
    cores.copied().filter(|name| exists(name)).collect()
}

/// The package of the crate in `crates/NAME`.
pub(crate) fn package(name: &str) -> String {
    format!("proxyd-{name}")
}

fn exists(name: &str) -> bool {
    crate::shell::root().join("crates").join(name).join("Cargo.toml").exists()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;
    use crate::shell;

    /// Tighter than the rows. `session` must not know how a request was spelled; whoever embeds
    /// `client` wants neither our runtime nor our clock; `regctl` is a client that also packs services,
    /// and never a proxy.
    const ONLY: &[(&str, &[&str])] = &[
        ("session", &["model", "resilience", "routing"]),
        ("client", &["model", "wire"]),
        ("package", &["wire"]),
        ("regctl", &["model", "wire", "client", "package"]),
    ];

    /// What no core may reach.
    const IO: &[&str] = &["tokio", "mio", "socket2", "hyper", "rustls", "getrandom"];

    /// They look at the building from outside, so they stand in no row.
    const OUTSIDE: &[&str] = &["xtask", "sim", "e2e"];

    /// Per crate of the workspace: the crates of ours it names, and all packages it reaches.
    #[derive(Default)]
    struct Graph {
        uses: BTreeMap<String, BTreeSet<String>>,
        reaches: BTreeMap<String, BTreeSet<String>>,
    }

    #[test]
    fn layers_hold() {
        let mut graph = graph(&metadata());
        for core in cores() {
            graph.reaches.insert(core.to_owned(), reached_alone(core));
        }
        assert!(graph.uses.contains_key("model"), "cargo metadata does not list our crates");
        assert_eq!(violations(&graph), Vec::<String>::new());
    }

    #[test]
    fn forbidden_edges_are_seen() {
        #[rustfmt::skip]
        let table = [
            // crate     uses          reaches      says
            ("wire",     "model",      "nom",       None),
            ("wire",     "http1",      "nom",       Some("wire may not use http1")),
            ("model",    "session",    "idna",      Some("model may not use session")),
            ("routing",  "resilience", "tokio",     Some("routing is a core but reaches tokio")),
            ("session",  "routing",    "getrandom", Some("session is a core but reaches getrandom")),
            ("session",  "wire",       "rand_core", Some("session may not use wire")),
            ("runtime",  "model",      "tokio",     None),
            ("client",   "wire",       "tokio",     None),
            ("client",   "runtime",    "tokio",     Some("client may not use runtime")),
            ("control",  "dataplane",  "tokio",     Some("control may not use dataplane")),
            ("app",      "control",    "tokio",     None),
            ("regctl",   "client",     "tokio",     None),
            ("regctl",   "app",        "tokio",     Some("regctl may not use app")),
            ("proxyd",   "app",        "tokio",     None),
            ("misc",     "model",      "nom",       Some("misc has no row in the layer test")),
            ("xtask",    "wire",       "nom",       None),
        ];
        for (krate, uses, reaches, says) in table {
            let mut graph = Graph::default();
            graph.uses.insert(krate.to_owned(), BTreeSet::from([uses.to_owned()]));
            graph.reaches.insert(krate.to_owned(), BTreeSet::from([reaches.to_owned()]));
            let says: Vec<String> = says.into_iter().map(str::to_owned).collect();
            assert_eq!(violations(&graph), says, "{krate} -> {uses}, {reaches}");
        }
    }

    #[test]
    fn only_what_is_linked_counts() {
        let json = r#"{
            "workspace_members": ["w", "m"],
            "packages": [
                {"id": "w", "name": "proxyd-wire"}, {"id": "m", "name": "proxyd-model"},
                {"id": "n", "name": "nom"}, {"id": "t", "name": "tokio"}, {"id": "c", "name": "cc"}],
            "resolve": {"nodes": [
                {"id": "w", "deps": [
                    {"pkg": "n", "dep_kinds": [{"kind": null}]},
                    {"pkg": "m", "dep_kinds": [{"kind": "dev"}, {"kind": null}]},
                    {"pkg": "t", "dep_kinds": [{"kind": "dev"}]},
                    {"pkg": "c", "dep_kinds": [{"kind": "build"}]}]},
                {"id": "n", "deps": [{"pkg": "t", "dep_kinds": [{"kind": null}]}]},
                {"id": "m", "deps": []}, {"id": "t", "deps": []}, {"id": "c", "deps": []}]}}"#;
        let graph = graph(&serde_json::from_str(json).unwrap());
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(graph.uses["wire"], set(&["model"]));
        // tokio comes through nom, and not from the dev-dependency.
        assert_eq!(graph.reaches["wire"], set(&["nom", "proxyd-model", "tokio"]));
        assert_eq!(graph.uses["model"], set(&[]));
        assert_eq!(violations(&graph), ["wire is a core but reaches tokio"]);
    }

    fn violations(graph: &Graph) -> Vec<String> {
        let mut found = Vec::new();
        for (krate, uses) in &graph.uses {
            if OUTSIDE.contains(&krate.as_str()) {
                continue;
            }
            let Some(height) = ROWS.iter().position(|row| row.crates.contains(&krate.as_str()))
            else {
                found.push(format!("{krate} has no row in the layer test"));
                continue;
            };
            let allowed = allowed(krate, height);
            for used in uses.iter().filter(|used| !allowed.contains(&used.as_str())) {
                found.push(format!("{krate} may not use {used}"));
            }
            for io in IO.iter().filter(|io| ROWS[height].core && reaches(graph, krate, io)) {
                found.push(format!("{krate} is a core but reaches {io}"));
            }
        }
        found
    }

    fn allowed(krate: &str, height: usize) -> Vec<&'static str> {
        match ONLY.iter().find(|(name, _)| *name == krate) {
            Some((_, only)) => only.to_vec(),
            None => ROWS[..height].iter().flat_map(|row| row.crates).copied().collect(),
        }
    }

    fn reaches(graph: &Graph, krate: &str, package: &str) -> bool {
        graph.reaches.get(krate).is_some_and(|reached| reached.contains(package))
    }

    /// For the machine we are on: other systems' packages need not be downloaded to ask.
    fn metadata() -> Value {
        let version = shell::output(std::process::Command::new("rustc").arg("-vV")).unwrap();
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let args = ["metadata", "--locked", "--format-version", "1", "--filter-platform", host];
        let json = shell::output(&mut shell::cargo(&args)).unwrap();
        serde_json::from_str(&json).unwrap()
    }

    /// What a core reaches with the features that it asks for itself. In the graph of the whole
    /// workspace it has those of everybody: a shell that wants entropy of `rand_core` would seem
    /// to give it to all.
    fn reached_alone(core: &str) -> BTreeSet<String> {
        let package = package(core);
        let args = ["tree", "--locked", "-p", &package, "-e", "normal", "--prefix", "none"];
        let tree = shell::output(&mut shell::cargo(&args)).unwrap();
        let names = tree.lines().filter_map(|line| line.split(' ').next());
        names.filter(|name| !name.is_empty() && *name != package).map(str::to_owned).collect()
    }

    fn graph(metadata: &Value) -> Graph {
        let names: BTreeMap<&str, &str> = list(&metadata["packages"])
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let links: BTreeMap<&str, Vec<&str>> = list(&metadata["resolve"]["nodes"])
            .map(|node| (text(&node["id"]), linked(node)))
            .collect();
        let members: BTreeSet<&str> = list(&metadata["workspace_members"]).map(text).collect();

        let mut graph = Graph::default();
        for &member in &members {
            let ours = links[member].iter().filter(|id| members.contains(**id));
            let ours = ours.map(|id| short(names[id]).to_owned()).collect();
            let reached = reached_from(member, &links).into_iter();
            let reached = reached.map(|id| names[id].to_owned()).collect();
            graph.uses.insert(short(names[member]).to_owned(), ours);
            graph.reaches.insert(short(names[member]).to_owned(), reached);
        }
        graph
    }

    /// The ids of the packages that end up in the same binary: neither tests' nor build scripts'.
    fn linked(node: &Value) -> Vec<&str> {
        list(&node["deps"])
            .filter(|dep| list(&dep["dep_kinds"]).any(|kind| kind["kind"].is_null()))
            .map(|dep| text(&dep["pkg"]))
            .collect()
    }

    fn reached_from<'a>(from: &str, links: &BTreeMap<&str, Vec<&'a str>>) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut ahead = links[from].clone();
        while let Some(id) = ahead.pop() {
            if reached.insert(id) {
                ahead.extend(&links[id]);
            }
        }
        reached
    }

    fn short(package: &str) -> &str {
        package.strip_prefix("proxyd-").unwrap_or(package)
    }

    fn list(value: &Value) -> impl Iterator<Item = &Value> {
        value.as_array().expect("cargo metadata has a list here").iter()
    }

    fn text(value: &Value) -> &str {
        value.as_str().expect("cargo metadata has a string here")
    }
}
