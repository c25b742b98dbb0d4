//! Which files are opened, what is found in them, and who is kept out.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use model::{Batch, Generation, Image, OptionKey, OptionValue, Record, RouteId, StagedRoute};
use proxyd_store::{self as store, HistoryBounds, HistoryError, Store};
use rusqlite::Connection;

/// By version, from the first one on.
const FIXTURES: &[&str] = &[
    include_str!("fixtures/v1.sql"),
    include_str!("fixtures/v2.sql"),
    include_str!("fixtures/v3.sql"),
    include_str!("fixtures/v4.sql"),
    include_str!("fixtures/v5.sql"),
    include_str!("fixtures/v6.sql"),
];

#[test]
fn every_older_version_opens_with_all_it_holds() {
    for (fixture, version) in FIXTURES.iter().zip(1..) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxyd.db");
        sql(&path, fixture);
        let (store, image) = open(&path).unwrap();
        check_fixture(&image);
        // Version 1 did not know.
        let failing: &[RouteId] = if version == 1 { &[] } else { &[RouteId(6)] };
        assert!(image.failing.iter().eq(failing), "version {version}");
        let credentials = image.sessions.iter().map(|held| held.row.credential.as_deref());
        let shown = if version < 3 { None } else { Some("blue-team") };
        assert!(credentials.eq([shown, None]), "version {version}");
        let history = block_on(store.history().newest(10)).unwrap();
        assert_eq!(history.len(), 1, "version {version}");
        assert_eq!((history[0].put.len(), &*history[0].removed), (1, &[RouteId(4)][..]));
        let catalog = block_on(store.catalog().load()).unwrap();
        let names: Vec<_> = catalog.names.iter().map(|(name, _)| &**name).collect();
        let since: Vec<_> = catalog
            .entries
            .iter()
            .map(|entry| (entry.identity.service.as_str(), entry.state_since.0 % 1_000_000))
            .collect();
        // What was registered once, and never started, does nothing since then.
        let (held, allocated, named): (&[_], usize, &[_]) = match version {
            1..=4 => (&[], 0, &[]),
            5 => (&[("test-service-3", 800_000)], 1, &[]),
            _ => {
                (&[("docs", 800_000), ("test-service-3", 800_000)], 1, &["gone", "test-service-3"])
            }
        };
        assert_eq!((&*since, catalog.allocations.len(), &*names), (held, allocated, named));
        store.close().unwrap();

        let (store, again) = open(&path).unwrap();
        assert_eq!(again, image, "version {version}");
        store.close().unwrap();
    }
}

/// What `fixtures/v*.sql` hold, whatever their version.
fn check_fixture(image: &Image) {
    assert_eq!((image.last_route, image.generation), (8, Generation(41)));
    let [web, api] = &*image.sessions else { panic!("{} sessions", image.sessions.len()) };
    assert_eq!((web.row.service.as_str(), web.row.pinned), ("web", true));
    assert_eq!(web.row.metadata.as_deref(), Some(r#"{"version":"1.0"}"#));
    assert_eq!(web.row.subscriptions.len(), 2);
    assert_eq!(api.row.replaced_by.as_ref(), Some(&web.row.session));
    let (route, spec, since) = &web.routes[0];
    assert_eq!((*route, *since, spec.domains.len()), (RouteId(5), Generation(40), 2));
    let (_, spec, _) = &api.routes[0];
    assert_eq!((spec.backend.base(), spec.priority), ("/base", -1));

    let config = web.settings.resolve(RouteId(5));
    assert_eq!((config.headers.len(), config.options.weight), (1, 50));
    assert_eq!(config.options.timeout, Duration::from_millis(1500));
    assert_eq!(config.options.strip_prefix.as_deref(), Some("/v1"));
    assert_eq!(config.health.unwrap().timeout, Duration::from_millis(500));
    assert_eq!(config.limit_all.unwrap().requests, 100);
    assert_eq!(config.breaker.unwrap().half_open_requests, 2);
    let sticky = (model::Target::Route(RouteId(5)), OptionKey::Sticky);
    assert_eq!(web.settings.options[&sticky], OptionValue::Sticky(None));

    assert_eq!(web.draft.routes[&RouteId(5)], StagedRoute::Removed);
    assert!(matches!(
        &web.draft.routes[&RouteId(8)],
        StagedRoute::TakenOver { from: RouteId(6), .. }
    ));
    assert_eq!(web.draft.settings.limits[&model::Target::All], None);
    assert_eq!(web.drain.unwrap().from_percent, 80);
    assert_eq!(web.maintenance[0].target.items.len(), 3);
    let trial = web.trial.as_ref().unwrap();
    assert_eq!((trial.routes.len(), trial.routes[1].1.is_none()), (2, true));
}

#[test]
fn a_second_one_is_kept_out_as_long_as_the_first_one_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxyd.db");
    let (first, _) = open(&path).unwrap();
    let refused = open(&path).unwrap_err();
    assert!(
        refused
            .ends_with("is in use by another proxyd: stop that one, or set another [store] path")
    );
    first.close().unwrap();
    open(&path).unwrap().0.close().unwrap();
}

#[test]
fn only_its_owner_may_read_the_secrets_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxyd.db");
    let (mut store, _) = open(&path).unwrap();
    written(&mut store, 1);
    for name in ["proxyd.db", "proxyd.db-wal", "proxyd.db.lock"] {
        let mode = folder.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    store.close().unwrap();
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let table: [(&str, Make, &str); 6] = [
        ("a text", a_text, "is no store of proxyd"),
        ("a database", |path| sql(path, "CREATE TABLE a (x)"), "is no store of proxyd"),
        ("another's", |path| sql(path, "PRAGMA application_id = 7"), "is no store of proxyd"),
        ("a newer one", newer, "was written by a newer proxyd (version 99, this one knows 7)"),
        ("a damaged one", damaged, "is damaged ("),
        (NO_ROUTE, no_route, "routes 6: backend cannot be read back"),
    ];
    for (what, make, says) in table {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxyd.db");
        make(&path);
        let before = std::fs::read(&path).unwrap();
        let refused = open(&path).unwrap_err();
        assert!(refused.contains(says), "{what}: {refused}");
        // This one is ours: to be read, it is put into the mode we write in.
        if what != NO_ROUTE {
            assert_eq!(std::fs::read(&path).unwrap(), before, "{what}");
        }
    }
}

type Make = fn(&Path);

const NO_ROUTE: &str = "one with a row that is no route";

fn a_text(path: &Path) {
    let text = "This is no database at all, and long enough to be looked at.".repeat(100);
    std::fs::write(path, text).unwrap();
}

fn newer(path: &Path) {
    sql(path, FIXTURES[0]);
    sql(path, "PRAGMA user_version = 99");
}

fn no_route(path: &Path) {
    sql(path, FIXTURES[0]);
    sql(path, "UPDATE routes SET backend = 'ftp://x' WHERE route = 6");
}

/// One of ours in which the pages of the sessions hold something else.
fn damaged(path: &Path) {
    sql(path, FIXTURES[0]);
    let page = 4096;
    let mut bytes = std::fs::read(path).unwrap();
    bytes[page + 100..3 * page].fill(0x5a);
    std::fs::write(path, bytes).unwrap();
}

fn sql(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn where_no_file_can_be_there_is_an_error() {
    let refused = open(Path::new("/proc/none/proxyd.db")).unwrap_err();
    assert!(refused.starts_with("cannot open /proc/none/proxyd.db: "), "{refused}");
}

#[test]
fn closing_writes_what_was_handed_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxyd.db");
    let (mut store, _) = open(&path).unwrap();
    let history = store.history();
    for seq in 1..=3 {
        store.submit(counters(seq, false)).unwrap();
    }
    store.close().unwrap();
    assert_eq!(block_on(history.newest(1)), Err(HistoryError::Closed));
    let (store, image) = open(&path).unwrap();
    assert_eq!(image.generation, Generation(3));
    store.close().unwrap();
}

#[test]
fn what_nobody_waits_for_is_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&folder.path().join("proxyd.db")).unwrap();
    store.submit(counters(1, false)).unwrap();
    assert_eq!(block_on(store.reported()), (1, Ok(())));
    store.close().unwrap();
}

/// The writer stands still while its reports are not taken, so both queues fill up.
#[test]
fn a_full_queue_gives_the_batch_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(&folder.path().join("proxyd.db")).unwrap();
    let mut seq = 1;
    let refused = loop {
        match store.submit(counters(seq, false)) {
            Ok(()) => seq += 1,
            Err(refused) => break refused,
        }
        assert!(seq < 100 * store::WAITING_MAX as u64, "nothing holds it back");
    };
    assert_eq!(refused.seq, seq);
    for expected in 1..seq {
        assert_eq!(block_on(store.reported()), (expected, Ok(())));
    }
    store.submit(refused).unwrap();
    assert_eq!(block_on(store.reported()), (seq, Ok(())));
    store.close().unwrap();
}

#[test]
fn without_a_file_everything_is_durable_at_once() {
    let mut store = Store::memory();
    written(&mut store, 1);
    assert_eq!(block_on(store.history().newest(5)), Ok(Vec::new()));
    store.close().unwrap();
}

fn open(path: &Path) -> Result<(Store, Image), String> {
    Store::open(path, HistoryBounds::USUAL).map_err(|error| error.to_string())
}

fn written(store: &mut Store, seq: u64) {
    store.submit(counters(seq, true)).unwrap();
    assert_eq!(block_on(store.reported()), (seq, Ok(())));
}

fn counters(seq: u64, urgent: bool) -> Batch {
    let record = Record::Counters { last_route: RouteId(seq), generation: Generation(seq) };
    Batch { seq, urgent, records: vec![record] }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
