//! `proxyd demo`: a proxy on free ports, two instances of a small service that register
//! themselves, and what to try with them.
//!
//! The instances are processes of their own, so that they can be killed and seen to be missed.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use client::{Address, Client, Desired};
use model::{Balance, OptionKey, OptionValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::config::{Config, Flags, Purpose};
use crate::ports::Bound;
use crate::run::{App, RunError, open, runtime};

/// The host the demo's route is for.
const HOST: &str = "demo.localhost";
/// Every dialect, on free ports; what is missing is the backends file.
const DIALECTS: &str = "\
[heartbeat]
listen = \"127.0.0.1:0\"
[dns]
listen = \"127.0.0.1:0\"
[service_proxy]
tcp = \"127.0.0.1:0\"
http = \"127.0.0.1:0\"
[service_api]
listen = \"127.0.0.1:0\"
[json_rpc]
listen = \"127.0.0.1:0\"
";
/// Longest request head the demo's service reads.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Runs the demo until TERM or INT.
///
/// # Errors
///
/// [`RunError`], for a person.
pub fn demo() -> Result<(), RunError> {
    let folder = Folder::new()?;
    let free = || vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let file = folder.0.join("proxyd.toml");
    let backends = folder.0.join("backends.toml").display().to_string();
    std::fs::write(&file, format!("{DIALECTS}backends = {backends:?}\n"))?;
    let flags = Flags {
        file: Some(file),
        http: free(),
        registry: free(),
        store: Some(folder.0.join("proxyd.db")),
        workers: Some(1),
        ..Flags::default()
    };
    let config = Config::load(&flags, &std::collections::BTreeMap::new(), Purpose::Run)?;
    let socket = config.admin_socket.clone();
    let (store, image) = open(&config)?;
    runtime()?.block_on(async {
        let app = App::start(config, store, image).await?;
        let http = app.bound().http.first().copied();
        let (Some(http), Some(registry)) = (http, app.bound().registry_tcp()) else {
            return Err(RunError::Demo("nothing is bound".to_owned()));
        };
        let instances = [instance("a", registry)?, instance("b", registry)?];
        // Nobody may be reading.
        let _ = print(http, registry, &socket, &instances);
        let _ = print_dialects(app.bound(), &socket);
        app.serve().await
    })?;
    Ok(())
}

/// Runs one instance of the demo's service until it is ended. Called by [`demo`] in a process of
/// its own.
///
/// # Errors
///
/// [`RunError`], for a person.
pub fn demo_instance(name: &str, registry: SocketAddr) -> Result<(), RunError> {
    runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let started = Client::builder(Address::Tcp(registry.to_string().into()))
            .service("demo")
            .instance(name)
            .start();
        let (client, _events) = started.map_err(demo_error)?;
        let mut desired = Desired::default();
        let route = client::route(HOST, "/", &url).map_err(demo_error)?;
        desired.routes.insert(route, client::RouteWish::default());
        // So that both are seen at once; usually the quicker one gets more.
        let turns = OptionValue::Balance(Balance::RoundRobin);
        desired.all.options.insert(OptionKey::Balance, turns);
        client.apply(desired).await.map_err(demo_error)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let name = name.to_owned();
            tokio::spawn(async move {
                // A client that goes away is nobody's trouble.
                let _ = serve(stream, &name).await;
            });
        }
    })
}

async fn serve(mut stream: TcpStream, name: &str) -> io::Result<()> {
    let mut input = Vec::new();
    loop {
        while let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            input.drain(..end + 4);
            let body = format!("hello from instance {name}, process {}\n", std::process::id());
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await?;
        }
        if input.len() > HEAD_BYTES_MAX || stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

fn instance(name: &str, registry: SocketAddr) -> io::Result<Instance> {
    let child = Command::new(std::env::current_exe()?)
        .args(["demo-instance", name, &registry.to_string()])
        .stdin(Stdio::null())
        .spawn()?;
    Ok(Instance(child))
}

/// An instance's process; ends with the demo.
#[derive(Debug)]
struct Instance(Child);

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the demo keeps its database; goes with it.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("proxyd-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn demo_error(error: impl std::fmt::Display) -> RunError {
    RunError::Demo(error.to_string())
}

/// How `regctl` is called here.
fn regctl() -> String {
    let ours = std::env::current_exe().ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folder = ours.as_deref().and_then(Path::parent);
    folder.map_or("regctl".to_owned(), |folder| regctl_beside(folder, &path))
}

/// As it is installed beside us; where we were built and it was not, as cargo builds it.
fn regctl_beside(folder: &Path, path: &OsStr) -> String {
    let (file, is_built_here) = (folder.join("regctl"), folder.join("deps").is_dir());
    match file.is_file() {
        true if std::env::split_paths(path).any(|one| one == folder) => "regctl".to_owned(),
        true => file.display().to_string(),
        false if is_built_here => "cargo run -q -p regctl --".to_owned(),
        false => "regctl".to_owned(),
    }
}

fn print(
    http: SocketAddr,
    registry: SocketAddr,
    socket: &Path,
    [a, b]: &[Instance; 2],
) -> io::Result<()> {
    let socket = socket.display();
    let (a, b) = (a.0.id(), b.0.id());
    let mut out = io::stdout().lock();
    write!(
        out,
        "proxyd serves http://{http} and takes registrations on {registry}.
Two instances of the service `demo` have registered themselves. Try, in another terminal:

  curl -H 'Host: {HOST}' http://{http}/            # again: the other instance answers
  kill -9 {b}; curl -H 'Host: {HOST}' http://{http}/  # no request fails
  kill -9 {a}; curl -i -H 'Host: {HOST}' http://{http}/  # nobody left: 503, and when to return

Register something of your own, by hand (the answer to the first line is ACK|<session id>):

  nc {address} {port}
  REGISTER|mine|mine-1|9001|{{}}
  ROUTE_ADD|<session id>|mine.localhost|/|http://127.0.0.1:8000|0
  CONFIG_APPLY|<session id>

Look at it as an operator:

  {regctl} --socket {socket} explain GET {HOST} /
",
        regctl = regctl(),
        address = registry.ip(),
        port = registry.port(),
    )?;
    out.flush()
}

/// The same services in the other dialects.
fn print_dialects(bound: &Bound, socket: &Path) -> io::Result<()> {
    let port = |address: Option<SocketAddr>| address.map_or(0, |address| address.port());
    let mut out = io::stdout().lock();
    write!(
        out,
        "
Both instances are in the catalog, which every dialect reads:

  {regctl} --socket {socket} services
  dig @127.0.0.1 -p {dns} +short SRV demo.proxyd.internal
  curl -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"registry.list\"}}' http://127.0.0.1:{json_rpc}/
  curl -H 'Host: demo' http://127.0.0.1:{http}/       # by its name; or by {tcp}, a tunnel
  printf 'mine\\n' | nc 127.0.0.1 {heartbeat}             # a name with a virtual address
  wss://127.0.0.1:{service_api}/                       # the service API

Ctrl-C ends it.
",
        regctl = regctl(),
        socket = socket.display(),
        dns = port(bound.dns),
        json_rpc = port(bound.json_rpc),
        http = port(bound.service_proxy_http),
        tcp = port(bound.service_proxy_tcp),
        heartbeat = port(bound.heartbeat),
        service_api = port(bound.service_api),
    )?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_regctl_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let (at, elsewhere) = (folder.path(), OsStr::new("/usr/bin"));
        assert_eq!(regctl_beside(at, elsewhere), "regctl");
        std::fs::create_dir(at.join("deps")).unwrap();
        assert_eq!(regctl_beside(at, elsewhere), "cargo run -q -p regctl --");
        std::fs::write(at.join("regctl"), "").unwrap();
        assert_eq!(regctl_beside(at, elsewhere), at.join("regctl").display().to_string());
        assert_eq!(regctl_beside(at, at.as_os_str()), "regctl");
    }
}
