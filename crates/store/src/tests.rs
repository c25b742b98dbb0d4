//! A database is right when it loads what [`Image::apply`] makes of the same records.

mod records;

use std::path::Path;
use std::time::Duration;

use model::{Batch, Generation, HistoryRow, Image, Record, RouteId, RouteSpec, UnixMillis};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rusqlite::Connection;

use crate::history::{HistoryBounds, HistoryEntry};
use crate::write::{WriteError, Writer};
use crate::{history, load, schema};
use records::{any_record, history_row, session, spec};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In whatever batches and groups they come.
    #[test]
    fn what_was_written_is_loaded(
        groups in vec(vec(vec(any_record(), 0..8), 0..4), 0..8),
    ) {
        let connection = database();
        let mut writer = Writer::new(&connection, HistoryBounds::USUAL).unwrap();
        let mut expected = Image::default();
        for group in groups {
            group.iter().flatten().for_each(|record| expected.apply(record));
            for result in writer.write(&batches(group)) {
                result.unwrap();
            }
            prop_assert_eq!(&load::image(&connection).unwrap(), &expected);
        }
    }

    #[test]
    fn history_reads_back(rows in vec(history_row(), 0..5)) {
        let connection = database();
        let bounds = HistoryBounds { age_max: Duration::MAX, ..HistoryBounds::USUAL };
        write(&connection, bounds, rows.iter().cloned().map(Record::History).collect());
        let mut expected: Vec<_> = rows.iter().map(HistoryEntry::of).collect();
        expected.reverse();
        prop_assert_eq!(history::newest(&connection, 5).unwrap(), expected);
    }
}

#[test]
fn one_batch_that_cannot_be_written_fails_alone_and_leaves_nothing() {
    let connection = database();
    let mut writer = Writer::new(&connection, HistoryBounds::USUAL).unwrap();
    let counters = |n| Record::Counters { last_route: RouteId(n), generation: Generation(n) };
    // SQLite counts to i64::MAX.
    let bad = vec![counters(7), counters(u64::MAX)];
    let results = writer.write(&batches(vec![vec![counters(1)], bad, vec![counters(2)]]));
    let ok: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!((ok, load::image(&connection).unwrap().last_route), (vec![true, false, true], 2));

    let bad = vec![counters(8), counters(u64::MAX)];
    assert!(writer.write(&batches(vec![bad]))[0].is_err());
    assert_eq!(load::image(&connection).unwrap().last_route, 2);
}

#[test]
fn a_full_disk_fails_what_does_not_fit_and_nothing_else() {
    let connection = database();
    let mut writer = Writer::new(&connection, HistoryBounds::USUAL).unwrap();
    let [session, small, large] = session_and_routes();
    assert!(writer.write(&batches(vec![session]))[0].is_ok());

    let pages = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let used = pages("PRAGMA page_count");
    let limit = |pages_max| {
        connection.execute_batch(&format!("PRAGMA max_page_count = {pages_max}")).unwrap();
    };
    limit(used + 1);
    let results = writer.write(&batches(vec![large.clone(), small]));
    let text =
        |result: &Result<(), WriteError>| result.as_ref().map_err(|e| e.to_string()).copied();
    let shown: Vec<_> = results.iter().map(text).collect();
    assert_eq!(shown, [Err("not saved: the disk is full".to_owned()), Ok(())]);
    assert_eq!(routes(&connection), [1]);

    limit(1_000_000);
    assert!(writer.write(&batches(vec![large]))[0].is_ok());
    assert_eq!(routes(&connection).len(), 1000);
}

/// A session; one small route; a thousand large ones.
fn session_and_routes() -> [Vec<Record>; 3] {
    let mut runner = TestRunner::deterministic();
    let id = session().new_tree(&mut runner).unwrap().current();
    let spec = spec().new_tree(&mut runner).unwrap().current();
    let route = |route, path: String| Record::PutRoute {
        session: id.clone(),
        route: RouteId(route),
        spec: RouteSpec { path: model::RoutePath::parse(&path).unwrap(), ..spec.clone() },
        since: Generation(1),
    };
    let put = Record::PutSession(model::SessionRow {
        session: id.clone(),
        service: model::ServiceName::parse("api").unwrap(),
        instance: model::InstanceName::parse("one").unwrap(),
        version: model::Version::V2,
        maintenance_port: 1,
        metadata: None,
        credential: None,
        registered_at: UnixMillis(1),
        last_apply: None,
        generation: None,
        subscriptions: Vec::new(),
        replaced_by: None,
        pinned: false,
    });
    let large = (1..=1000).map(|n| route(n, format!("/{}", "x".repeat(1000)))).collect();
    [vec![put], vec![route(1, "/".to_owned())], large]
}

fn routes(connection: &Connection) -> Vec<u64> {
    let image = load::image(connection).unwrap();
    image.sessions.iter().flat_map(|held| held.routes.iter().map(|(id, ..)| id.0)).collect()
}

#[test]
fn history_is_kept_within_its_bounds() {
    let day = Duration::from_hours(24);
    let usual = HistoryBounds { entries_max: 100, bytes_max: 1 << 20, age_max: 100 * day };
    #[rustfmt::skip]
    let table = [
        // bounds                                         days              kept           why
        (usual,                                           vec![1, 2, 3],    vec![3, 2, 1], "all fit"),
        (HistoryBounds { entries_max: 2, ..usual },       vec![1, 2],       vec![2, 1],    "at the bound"),
        (HistoryBounds { entries_max: 2, ..usual },       vec![1, 2, 3],    vec![3, 2],    "one past it"),
        (HistoryBounds { entries_max: 0, ..usual },       vec![1, 2],       vec![2],       "the newest stays"),
        (HistoryBounds { bytes_max: 50, ..usual },        vec![1, 2],       vec![2, 1],    "25 bytes each"),
        (HistoryBounds { bytes_max: 49, ..usual },        vec![1, 2],       vec![2],       "one byte short"),
        (HistoryBounds { age_max: day, ..usual },         vec![1, 2],       vec![2, 1],    "just old enough"),
        (HistoryBounds { age_max: day, ..usual },         vec![1, 2, 4],    vec![4],       "too old"),
        (HistoryBounds { age_max: day, ..usual },         vec![4, 1],       vec![1, 4],    "the clock was set back"),
    ];
    for (bounds, days, kept, why) in table {
        let connection = database();
        for at in days {
            write(&connection, bounds, vec![Record::History(on_day(at))]);
        }
        let entries = history::newest(&connection, 10).unwrap();
        let found: Vec<u64> = entries.iter().map(|entry| entry.generation.0).collect();
        assert_eq!(found, kept, "{why}");
    }
}

/// Its change is `{"put":[],"removed":[]}`, 23 bytes, and a two-digit route makes it 25.
fn on_day(day: u64) -> HistoryRow {
    HistoryRow {
        generation: Generation(day),
        at: UnixMillis(day * 24 * 3_600_000),
        service: model::ServiceName::parse("api").unwrap(),
        instance: model::InstanceName::parse("one").unwrap(),
        origin: "127.0.0.1".into(),
        action: "apply",
        put: Vec::new(),
        removed: vec![RouteId(10)],
    }
}

fn database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::prepare(&mut connection, Path::new(":memory:")).unwrap();
    connection
}

fn batches(records: Vec<Vec<Record>>) -> Vec<Batch> {
    let numbered = records.into_iter().zip(1..);
    numbered.map(|(records, seq)| Batch { seq, urgent: true, records }).collect()
}

fn write(connection: &Connection, bounds: HistoryBounds, records: Vec<Record>) {
    let mut writer = Writer::new(connection, bounds).unwrap();
    for result in writer.write(&batches(vec![records])) {
        result.unwrap();
    }
}
