//! What was acknowledged survives kill -9, and nothing is there by half.
//!
//! A child writes batch after batch to a store and says which ones are durable. It is killed at
//! some moment, the file is opened and looked at, and the next child goes on with it. `KILLS` says
//! how often.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use model::{
    BackendUrl, Batch, Generation, HostPattern, Image, InstanceName, Record, RouteId, RoutePath,
    RouteSpec, ServiceName, SessionId, SessionRow, UnixMillis, Version,
};
use proxyd_store::{HistoryBounds, Store};

/// The store a child writes to; what makes this program a child.
const CHILD: &str = "STORE_KILL_CHILD";
/// Kills in an ordinary run.
const KILLS: u64 = 30;
/// Routes that each batch brings, and that the next but one takes away.
const ROUTES: u64 = 20;
/// Batches a child has under way at once.
const AHEAD: u64 = 16;

#[test]
fn nothing_acknowledged_is_lost_and_no_batch_is_there_by_half() {
    let kills = std::env::var("KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxyd.db");
    let mut last = 0;
    for kill in 0..kills {
        // Now early, now late, and sometimes before anything was said.
        let said = last_said(child(&path), kill * 7919 % 100);
        let (store, image) = Store::open(&path, HistoryBounds::USUAL).unwrap();
        store.close().unwrap();
        let found = image.generation.0;
        assert!(found >= said.max(last), "kill {kill}: {found} found, {said} acknowledged");
        assert_eq!(
            routes(&image),
            routes_after(found),
            "kill {kill}: batch {found} is there by half"
        );
        last = found;
    }
    assert!(last > kills, "{last} batches in {kills} runs: the children hardly wrote");
}

fn child(store: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_a_child_it_writes_until_it_is_killed", "--nocapture"])
        .env(CHILD, store)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills after so many acknowledgements; the last one that came out whole.
fn last_said(mut child: Child, acknowledgements: u64) -> u64 {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut heard = 0;
    let mut last = 0;
    let mut line = String::new();
    loop {
        if heard == acknowledgements {
            child.kill().unwrap();
        }
        line.clear();
        if lines.read_line(&mut line).unwrap() == 0 {
            child.wait().unwrap();
            assert!(heard >= acknowledgements, "the child ended by itself after {heard}");
            return last;
        }
        if let Some(seq) = line.strip_prefix("durable ").and_then(|seq| seq.strip_suffix('\n')) {
            last = seq.parse().unwrap();
            heard += 1;
        }
    }
}

fn routes(image: &Image) -> Vec<u64> {
    image.sessions.iter().flat_map(|held| held.routes.iter().map(|(id, ..)| id.0)).collect()
}

/// Those of the batch and of the one before.
fn routes_after(batch: u64) -> Vec<u64> {
    (batch.saturating_sub(1).max(1)..=batch).flat_map(routes_of).collect()
}

fn routes_of(batch: u64) -> std::ops::Range<u64> {
    batch * ROUTES..(batch + 1) * ROUTES
}

/// Only does something when it is told which store to write to.
#[test]
fn as_a_child_it_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let (mut store, image) = Store::open(Path::new(&path), HistoryBounds::USUAL).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = image.generation.0 + 1;
    for seq in first.. {
        store.submit(batch(seq)).unwrap();
        if seq >= first + AHEAD {
            let (durable, result) = runtime.block_on(store.reported());
            result.unwrap();
            let mut out = std::io::stdout().lock();
            out.write_all(format!("durable {durable}\n").as_bytes()).unwrap();
        }
    }
}

/// What it removes, adds and counts only makes sense together.
fn batch(seq: u64) -> Batch {
    let session = SessionId::parse("api-1-s").unwrap();
    let mut records = Vec::new();
    if seq == 1 {
        records.push(Record::PutSession(row(&session)));
    }
    if let Some(old) = seq.checked_sub(2) {
        records.extend(routes_of(old).map(|route| Record::RemoveRoute(RouteId(route))));
    }
    records.extend(routes_of(seq).map(|route| Record::PutRoute {
        session: session.clone(),
        route: RouteId(route),
        spec: RouteSpec {
            domains: vec![HostPattern::Any],
            path: RoutePath::parse("/").unwrap(),
            backend: BackendUrl::parse("http://a").unwrap(),
            priority: 0,
        },
        since: Generation(seq),
    }));
    let (last_route, generation) = (RouteId(seq * ROUTES), Generation(seq));
    records.push(Record::Counters { last_route, generation });
    // Every third one is such that nobody waits for it.
    Batch { seq, urgent: !seq.is_multiple_of(3), records }
}

fn row(session: &SessionId) -> SessionRow {
    SessionRow {
        session: session.clone(),
        service: ServiceName::parse("api").unwrap(),
        instance: InstanceName::parse("one").unwrap(),
        version: Version::V2,
        maintenance_port: 1,
        metadata: None,
        credential: None,
        registered_at: UnixMillis(1),
        last_apply: None,
        generation: None,
        subscriptions: Vec::new(),
        replaced_by: None,
        pinned: false,
    }
}
