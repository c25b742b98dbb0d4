//! What operators ask about the catalog, and change in it by hand.

use clap::{Args, Subcommand};
use client::Connection;
use model::Request;
use serde_json::{Value, json};

use crate::args::Global;
use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::reach::admin;

/// What the name of a backend is that is not there yet.
const ADDED: &str = "The service: the whole of it, with slashes; the instance has that name too, or that of --instance";

/// The catalog: services of every dialect.
#[derive(Debug, Subcommand)]
pub(crate) enum Catalog {
    /// List all services, however they were registered.
    Services,
    /// Show a service and its instances, or one of them.
    Service(Named),
    /// List where all services are reached.
    Endpoints,
    /// Say where a service, or one of its instances, is reached, the best first.
    Resolve(Named),
    /// Add, change and remove backends by hand.
    #[command(subcommand)]
    Backends(Backends),
    /// Addresses of services in the configured subnets.
    #[command(subcommand)]
    Ip(Ip),
    /// Show the networks of proxyd's machine.
    Topology,
}

/// A service.
#[derive(Clone, Debug, Args)]
pub(crate) struct Name {
    /// The service, in any case.
    name: String,
}

/// A service or one of its instances.
#[derive(Clone, Debug, Args)]
pub(crate) struct Named {
    /// SERVICE, in any case, or SERVICE/INSTANCE.
    name: String,
}

/// Backends; those that are registered by hand stay until they are removed.
#[derive(Debug, Subcommand)]
pub(crate) enum Backends {
    /// List all of them, and those of every other source.
    List(Sources),
    /// Add one.
    #[command(mut_arg("name", |name| name.help(ADDED)))]
    Add(Backend),
    /// Change one; what is left out stays.
    Update(Backend),
    /// Remove one.
    Rm(Which),
    /// Note that one was seen just now.
    Ping(Which),
    /// Read the backends file again.
    Reload,
}

/// Whose backends.
#[derive(Clone, Debug, Args)]
pub(crate) struct Sources {
    /// Only those that this source speaks of: session, api, heartbeat, manual, env, file, auto.
    #[arg(long, value_name = "SOURCE")]
    #[arg(value_parser = ["session", "api", "heartbeat", "manual", "env", "file", "auto"])]
    source: Option<String>,
}

/// One backend.
#[derive(Clone, Debug, Args)]
pub(crate) struct Which {
    /// SERVICE or SERVICE/INSTANCE; an instance that is not named has the name of its service.
    name: String,
    /// The instance; then all of NAME is the service.
    #[arg(long)]
    instance: Option<String>,
}

/// A backend.
#[derive(Clone, Debug, Args)]
pub(crate) struct Backend {
    /// SERVICE or SERVICE/INSTANCE; an instance that is not named has the name of its service.
    name: String,
    /// Its host name or address.
    #[arg(long)]
    host: Option<String>,
    /// Its port.
    #[arg(long)]
    port: Option<u16>,
    /// How it is spoken to: http, https, ws, wss, grpc, tcp, ...
    #[arg(long)]
    protocol: Option<String>,
    /// The instance; then all of NAME is the service.
    #[arg(long)]
    instance: Option<String>,
    /// For people.
    #[arg(long)]
    description: Option<String>,
    /// The routing namespace of a hub.
    #[arg(long)]
    namespace: Option<String>,
}

/// Addresses of services.
#[derive(Debug, Subcommand)]
pub(crate) enum Ip {
    /// List them.
    List,
    /// Give a service an address; the same one if it has one.
    Allocate(Name),
    /// Take a service's address back.
    Release(Name),
}

pub(crate) async fn run(
    global: &Global,
    command: &Catalog,
    output: &Output,
) -> Result<(), Failure> {
    let name = |name: &Name| json!({ "name": name.name });
    let change =
        async |what, with| show(output, ask(global, what, with).await?, |_| "done\n".to_owned());
    match command {
        Catalog::Services => {
            let list = pages(global, "services", "services").await?;
            show(output, json!({ "services": list }), services)
        }
        Catalog::Endpoints => {
            let list = pages(global, "endpoints", "services").await?;
            show(output, json!({ "services": list }), endpoints)
        }
        Catalog::Service(named) => {
            show(output, ask(global, "service", named.json()).await?, service)
        }
        Catalog::Resolve(named) => {
            show(output, ask(global, "resolve", named.json()).await?, resolved)
        }
        Catalog::Topology => show(output, ask(global, "topology", json!({})).await?, topology),
        Catalog::Backends(Backends::List(of)) => {
            let list = pages(global, "backends", "backends").await?;
            show(output, json!({ "backends": of.chosen(list) }), backends)
        }
        Catalog::Backends(Backends::Add(backend)) => change("add", backend.json()).await,
        Catalog::Backends(Backends::Update(backend)) => change("update", backend.json()).await,
        Catalog::Backends(Backends::Rm(which)) => change("remove", which.json()).await,
        Catalog::Backends(Backends::Ping(which)) => change("ping", which.json()).await,
        Catalog::Backends(Backends::Reload) => change("reload", json!({})).await,
        Catalog::Ip(Ip::List) => {
            let list = pages(global, "allocations", "allocations").await?;
            show(output, json!({ "allocations": list }), allocations)
        }
        Catalog::Ip(Ip::Allocate(named)) => {
            show(output, ask(global, "allocate", name(named)).await?, allocation)
        }
        Catalog::Ip(Ip::Release(named)) => {
            show(output, ask(global, "release", name(named)).await?, allocation)
        }
    }
}

impl Sources {
    fn chosen(&self, all: Vec<Value>) -> Vec<Value> {
        let is_chosen = |backend: &Value| match &self.source {
            None => true,
            Some(source) => list(backend, "sources").iter().any(|said| said == source.as_str()),
        };
        all.into_iter().filter(is_chosen).collect()
    }
}

impl Named {
    fn json(&self) -> Value {
        json!({ "name": self.name })
    }
}

impl Which {
    /// proxyd knows which slash of the name divides it, if one does.
    fn json(&self) -> Value {
        given(json!({ "name": self.name, "instance": self.instance }))
    }
}

impl Backend {
    fn json(&self) -> Value {
        given(json!({
            "name": self.name,
            "host": self.host,
            "port": self.port,
            "protocol": self.protocol,
            "instance": self.instance,
            "description": self.description,
            "namespace": self.namespace,
        }))
    }
}

/// Without what was left out.
fn given(mut all: Value) -> Value {
    if let Value::Object(all) = &mut all {
        all.retain(|_, value| !value.is_null());
    }
    all
}

/// One question over the admin socket.
async fn ask(global: &Global, what: &str, with: Value) -> Result<Value, Failure> {
    ask_on(&mut admin(global).await?, what, with).await
}

/// One of several questions on one connection.
pub(crate) async fn ask_on(
    connection: &mut Connection,
    what: &str,
    with: Value,
) -> Result<Value, Failure> {
    let request = Request::Catalog { what: what.into(), with: with.to_string().into() };
    let said = connection.request(None, request).await?;
    let said = said.ok_or_else(|| Failure::Unreachable("proxyd closed the connection".into()))?;
    match said.error() {
        Some(reason) => Err(Failure::Refused(reason.to_owned())),
        None => serde_json::from_str(said.rest())
            .map_err(|_| Failure::Other("proxyd's answer cannot be read".to_owned())),
    }
}

/// All pages of a list.
async fn pages(global: &Global, what: &str, key: &str) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    let mut after = json!({});
    loop {
        let mut page = ask(global, what, after).await?;
        if let Some(Value::Array(list)) = page.get_mut(key).map(Value::take) {
            all.extend(list);
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = json!({ "after": next }),
            None => return Ok(all),
        }
    }
}

/// The data for programs, or what is made of it for people.
fn show(output: &Output, data: Value, text: fn(&Value) -> String) -> Result<(), Failure> {
    let shown = if output.is_json() {
        format!("{}\n", json!({ "ok": true, "data": data }))
    } else {
        text(&data)
    };
    output.write(&shown)
}

fn services(data: &Value) -> String {
    let row = |service: &Value| {
        let count = |key| service.get(key).and_then(Value::as_u64).unwrap_or_default();
        vec![
            word(service, "name"),
            format!("{}/{}", count("active"), count("instances")),
            word(service, "state"),
            word(service, "source"),
            word(service, "virtual_address"),
        ]
    };
    table(&["SERVICE", "ACTIVE", "STATE", "SOURCE", "VIRTUAL ADDRESS"], list(data, "services"), row)
}

fn endpoints(data: &Value) -> String {
    let mut rows = Vec::new();
    for service in list(data, "services") {
        for endpoint in list(service, "endpoints") {
            let mut row = vec![word(service, "name")];
            row.extend(endpoint_row(endpoint));
            rows.push(row);
        }
    }
    let titles = ["SERVICE", "ADDRESS", "PROTOCOL", "STANDING", "NETWORK", "INSTANCE", "REASON"];
    aligned(&titles, rows)
}

fn endpoint_row(endpoint: &Value) -> Vec<String> {
    let port = endpoint.get("port").map(Value::to_string).unwrap_or_default();
    let host = word(endpoint, "host");
    let address =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut row = vec![address];
    let keys = ["protocol", "standing", "network", "instance", "reason"];
    row.extend(keys.map(|key| word(endpoint, key)));
    row
}

fn resolved(data: &Value) -> String {
    let titles = ["ADDRESS", "PROTOCOL", "STANDING", "NETWORK", "INSTANCE", "REASON"];
    let mut text = table(&titles, list(data, "endpoints"), endpoint_row);
    if let Some(address) = data.get("virtual_address").and_then(Value::as_str) {
        text.push_str(&format!("virtual address {address}\n"));
    }
    text
}

fn service(data: &Value) -> String {
    let mut text = String::new();
    for instance in list(data, "instances") {
        text.push_str(&format!("{}/{}\n", word(instance, "service"), word(instance, "instance")));
        for key in [
            "source",
            "lease",
            "state",
            "version",
            "description",
            "namespace",
            "virtual_address",
            "registered_at",
            "updated_at",
            "last_seen",
        ] {
            let value = word(instance, key);
            if value != "-" {
                text.push_str(&format!("  {:<16} {value}\n", key.replace('_', " ")));
            }
        }
        for endpoint in list(instance, "endpoints") {
            let row = endpoint_row(endpoint);
            let row: Vec<_> = row.iter().filter(|value| *value != "-").cloned().collect();
            text.push_str(&format!("  {:<16} {}\n", "endpoint", row.join("  ")));
        }
    }
    text
}

fn backends(data: &Value) -> String {
    let mut rows = Vec::new();
    for backend in list(data, "backends") {
        let endpoints = list(backend, "endpoints").iter();
        let mut reached: Vec<Vec<_>> =
            endpoints.map(|one| endpoint_row(one).into_iter().take(3).collect()).collect();
        if reached.is_empty() {
            reached.push(vec!["-".to_owned(); 3]);
        }
        for reached in reached {
            let named = ["service", "instance"].map(|key| word(backend, key));
            let said = ["source", "state"].map(|key| word(backend, key));
            rows.push([&named[..], &reached, &said].concat());
        }
    }
    let titles = ["SERVICE", "INSTANCE", "ADDRESS", "PROTOCOL", "STANDING", "SOURCE", "STATE"];
    aligned(&titles, rows)
}

fn topology(data: &Value) -> String {
    let row = |interface: &Value| {
        let addresses = list(interface, "addresses").iter().filter_map(Value::as_str);
        let addresses: Vec<_> = addresses.collect();
        vec![word(interface, "name"), word(interface, "network"), addresses.join(" ")]
    };
    table(&["INTERFACE", "NETWORK", "ADDRESSES"], list(data, "interfaces"), row)
}

fn allocations(data: &Value) -> String {
    let row = |held: &Value| vec![word(held, "service"), word(held, "address")];
    table(&["SERVICE", "ADDRESS"], list(data, "allocations"), row)
}

fn allocation(data: &Value) -> String {
    format!("{}\n", word(data, "address"))
}

fn list<'v>(data: &'v Value, key: &str) -> &'v [Value] {
    data.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A value as a word; what is not there is a dash. What came over the wire moves no cursor.
pub(crate) fn word(data: &Value, key: &str) -> String {
    match data.get(key) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => printable(text),
        Some(other) => printable(&other.to_string()),
    }
}

fn table(titles: &[&str], entries: &[Value], row: impl Fn(&Value) -> Vec<String>) -> String {
    aligned(titles, entries.iter().map(row).collect())
}

fn aligned(titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut all = vec![titles.iter().map(|title| (*title).to_owned()).collect::<Vec<_>>()];
    all.extend(rows);
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_hold_no_control_characters() {
        let data = json!({ "services": [
            { "name": "a\u{1b}[2J", "active": 1, "instances": 2, "state": "running", "source": "session", "virtual_address": null },
            { "name": "longer-name", "active": 0, "instances": 1, "state": "failed", "source": "file", "virtual_address": "10.0.0.100:9000" },
        ] });
        let want = "\
SERVICE      ACTIVE  STATE    SOURCE   VIRTUAL ADDRESS
a [2J        1/2     running  session  -
longer-name  0/1     failed   file     10.0.0.100:9000
";
        assert_eq!(services(&data), want);
        let data = json!({ "backends": [
            { "service": "a", "instance": "a1", "source": "manual", "state": "registered", "endpoints": [
                { "host": "10.0.0.9", "port": 80, "protocol": "http", "standing": "good" },
                { "host": "db", "port": 81, "protocol": "tcp", "standing": "bad" },
            ] },
            { "service": "b", "instance": "b", "source": "file", "state": "stopped", "endpoints": [] },
        ] });
        let want = "\
SERVICE  INSTANCE  ADDRESS      PROTOCOL  STANDING  SOURCE  STATE
a        a1        10.0.0.9:80  http      good      manual  registered
a        a1        db:81        tcp       bad       manual  registered
b        b         -            -         -         file    stopped
";
        assert_eq!(backends(&data), want);
        let data = json!({ "name": "a", "endpoints": [
            { "host": "::1", "port": 80, "protocol": "http", "standing": "good", "network": "Local", "instance": "a1" },
        ], "virtual_address": null });
        let want = "\
ADDRESS   PROTOCOL  STANDING  NETWORK  INSTANCE  REASON
[::1]:80  http      good      Local    a1        -
";
        assert_eq!(resolved(&data), want);
    }
}
