//! The task as its users see it.

use std::sync::Arc;
use std::time::Duration;

use catalog::{Config, Endpoint, Facts, Identity, Image, Protocol, Source, What};
use model::{BackendHost, Now};
use runtime::Clock;
use store::{HistoryBounds, Store};

use crate::{ChangeError, Feed, Handle, Missed, start};

fn here(name: &str) -> Identity {
    Identity::alone(name).unwrap()
}

fn started(store: &Store, feed: &Feed) -> Handle {
    let clock = Clock::system();
    start(Config::default(), [7; 32], Image::default(), store.catalog(), feed.clone(), clock).0
}

async fn put(handle: &Handle, name: &str) -> Result<(), ChangeError> {
    let name = here(name);
    let put = move |catalog: &mut catalog::Catalog, now: Now| {
        catalog.put(&name, Source::Manual, Facts::default(), now).unwrap();
    };
    handle.change(put).await
}

/// A change that no store can remember: what is written could not be read again.
async fn put_unwritable(handle: &Handle, name: &str) -> Result<(), ChangeError> {
    let (name, host) = (here(name), BackendHost::Name("no name".into()));
    let endpoints = vec![Endpoint::new("main", host, 1, Protocol::Tcp)];
    let facts = Facts { endpoints, ..Facts::default() };
    let put = move |catalog: &mut catalog::Catalog, now: Now| {
        catalog.put(&name, Source::Manual, facts.clone(), now).unwrap();
    };
    handle.change(put).await
}

async fn saved(store: &Store) -> Vec<String> {
    let saved = store.catalog().load().await.unwrap();
    saved.entries.iter().map(|entry| entry.identity.to_string()).collect()
}

#[tokio::test]
async fn what_was_answered_is_shown_and_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&folder.path().join("db"), HistoryBounds::USUAL).unwrap();
    let handle = started(&store, &Feed::default());
    let mut changes = handle.changes();
    put(&handle, "web").await.unwrap();
    assert_eq!(handle.view().len(), 1);
    let change = changes.next().await.unwrap().unwrap();
    assert!(matches!(&change.what, What::Registered(service, _) if service.as_str() == "web"));
    let saved = store.catalog().load().await.unwrap();
    assert_eq!(saved.entries.len(), 1);
    drop(handle);
    assert_eq!(changes.next().await, Ok(None));
    store.close().unwrap();
}

#[tokio::test]
async fn what_cannot_be_saved_never_happened() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&folder.path().join("db"), HistoryBounds::USUAL).unwrap();
    let handle = started(&store, &Feed::default());
    put(&handle, "web").await.unwrap();
    store.close().unwrap();
    let refused = ChangeError::Unsaved("the store is closed".to_owned());
    assert_eq!(put(&handle, "api").await, Err(refused));
    assert_eq!((handle.view().len(), handle.view().seq()), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_saved_takes_nobody_along() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&folder.path().join("db"), HistoryBounds::USUAL).unwrap();
    let handle = started(&store, &Feed::default());
    // Sent before the task runs, so that they are saved together.
    let (first, bad, last) =
        tokio::join!(put(&handle, "a"), put_unwritable(&handle, "b"), put(&handle, "c"));
    assert_eq!((first, last), (Ok(()), Ok(())));
    let error = bad.unwrap_err().to_string();
    assert!(error.starts_with("not saved: ") && error.contains("b/b"), "{error}");
    let view = handle.view();
    let shown: Vec<_> = view.services().map(|service| service.name.as_str()).collect();
    assert_eq!((shown, view.seq()), (vec!["a", "c"], 2));
    assert_eq!(saved(&store).await, ["a/a", "c/c"]);
    store.close().unwrap();
}

#[tokio::test]
async fn a_change_that_panics_takes_nobody_along() {
    let (store, feed) = (Store::memory(), Feed::default());
    let handle = started(&store, &feed);
    let panics = handle.change(|catalog: &mut catalog::Catalog, now: Now| {
        catalog.put(&here("b"), Source::Manual, Facts::default(), now).unwrap();
        assert!(catalog.view().is_empty(), "on purpose");
    });
    let (first, bad, last) = tokio::join!(put(&handle, "a"), panics, put(&handle, "c"));
    assert_eq!((first, bad, last), (Ok(()), Err(ChangeError::Failed), Ok(())));
    assert_eq!((handle.view().len(), handle.view().seq()), (2, 2));
    assert_eq!(put(&handle, "d").await, Ok(()));
}

#[tokio::test]
async fn what_changes_nothing_is_not_shown_anew() {
    let (store, feed) = (Store::memory(), Feed::default());
    let handle = started(&store, &feed);
    let peer = [127, 0, 0, 1].into();
    let name = here("web");
    let register = move |catalog: &mut catalog::Catalog, now: Now| {
        catalog.register_heartbeat(&name, peer, now).unwrap();
    };
    handle.change(register).await.unwrap();
    feed.session(here("api"), Some((Facts::default(), true)));
    put(&handle, "db").await.unwrap();
    let before = handle.view();
    for _ in 0..3 {
        feed.session(here("api"), Some((Facts::default(), true)));
        assert_eq!(handle.change(|catalog, now| catalog.beat(&here("web"), now)).await, Ok(true));
    }
    assert!(Arc::ptr_eq(&before, &handle.view()));
}

#[tokio::test(start_paused = true)]
async fn a_name_ends_by_itself_and_its_end_is_saved_with_the_next_change() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&folder.path().join("db"), HistoryBounds::USUAL).unwrap();
    let handle = started(&store, &Feed::default());
    let peer = [127, 0, 0, 1].into();
    let beat = handle.change(move |catalog, now| {
        catalog.register_heartbeat(&here("web"), peer, now).map(|given| given.port)
    });
    assert_eq!(beat.await, Ok(Ok(9000)));
    let mut changes = handle.changes();
    let clock = Clock::system();
    let before = clock.mono();
    let change = changes.next().await.unwrap().unwrap();
    assert!(matches!(&change.what, What::Deregistered(service, _) if service.as_str() == "web"));
    assert!(clock.mono().since(before) >= Duration::from_secs(60));
    put(&handle, "api").await.unwrap();
    assert_eq!(saved(&store).await, ["api/api"]);
    store.close().unwrap();
}

async fn beat_of(handle: &Handle, name: &str) -> Result<u16, ChangeError> {
    let (name, peer) = (here(name), [127, 0, 0, 1].into());
    let beat = move |catalog: &mut catalog::Catalog, now: Now| {
        catalog.register_heartbeat(&name, peer, now).map(|given| given.port).unwrap()
    };
    handle.change(beat).await
}

/// Until the trigger is dropped, no entry can be removed.
fn disk_that_forgets_nothing(path: &std::path::Path) -> rusqlite::Connection {
    let disk = rusqlite::Connection::open(path).unwrap();
    let fails = "CREATE TRIGGER fails BEFORE DELETE ON catalog_entries
                 BEGIN SELECT RAISE(ABORT, 'on purpose'); END";
    disk.execute_batch(fails).unwrap();
    disk
}

/// A restart would find two names with one address, and forget one that was answered.
#[tokio::test(start_paused = true)]
async fn nothing_is_saved_before_what_happened_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let (store, _) = Store::open(&path, HistoryBounds::USUAL).unwrap();
    let handle = started(&store, &Feed::default());
    assert_eq!(beat_of(&handle, "old").await, Ok(9000));
    let disk = disk_that_forgets_nothing(&path);
    handle.changes().next().await.unwrap().expect("its end");
    assert!(handle.view().is_empty());
    let refused = beat_of(&handle, "new").await.unwrap_err();
    assert!(refused.to_string().contains("on purpose"), "{refused}");
    assert_eq!(saved(&store).await, ["old/old"]);
    // What needs no disk needs not wait for it.
    assert_eq!(handle.change(|catalog, now| catalog.beat(&here("none"), now)).await, Ok(false));

    disk.execute_batch("DROP TRIGGER fails").unwrap();
    assert_eq!(beat_of(&handle, "new").await, Ok(9000));
    assert_eq!(saved(&store).await, ["new/new"]);
    store.close().unwrap();
}

/// A beat that came in time and had to wait for others counts.
#[tokio::test(start_paused = true)]
async fn nobody_is_silent_while_the_disk_keeps_us() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let (store, _) = Store::open(&path, HistoryBounds::USUAL).unwrap();
    let handle = started(&store, &Feed::default());
    assert_eq!(beat_of(&handle, "web").await, Ok(9000));
    // Somebody else writes: it takes two seconds of the real ones until we give up, and while we
    // wait for that the paused ones pass the end of the name.
    let disk = rusqlite::Connection::open(&path).unwrap();
    disk.execute_batch("BEGIN IMMEDIATE").unwrap();
    let beat = handle.change(|catalog, now| catalog.beat(&here("web"), now));
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        beat.await
    };
    let long = tokio::time::sleep(Duration::from_secs(90));
    let (refused, beaten, ()) = tokio::join!(put(&handle, "api"), later, long);
    assert!(matches!(refused, Err(ChangeError::Unsaved(_))), "{refused:?}");
    assert_eq!(beaten, Ok(true));
    store.close().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_saved_is_tried_again_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let (store, _) = Store::open(&path, HistoryBounds::USUAL).unwrap();
    let handle = started(&store, &Feed::default());
    beat_of(&handle, "web").await.unwrap();
    let disk = disk_that_forgets_nothing(&path);
    handle.changes().next().await.unwrap().expect("its end");
    assert_eq!(saved(&store).await, ["web/web"]);
    disk.execute_batch("DROP TRIGGER fails").unwrap();
    // Time passes while we wait for the disk, so it cannot bound how long we do.
    let mut looks = 0;
    while !saved(&store).await.is_empty() {
        looks += 1;
        assert!(looks < 10_000, "it is not tried");
    }
    store.close().unwrap();
}

#[tokio::test]
async fn sessions_are_heard_without_waiting() {
    let (store, feed) = (Store::memory(), Feed::default());
    let handle = started(&store, &feed);
    let mut changes = handle.changes();
    let facts = Facts { version: Some("2".into()), ..Facts::default() };
    feed.session(here("web"), Some((Facts::default(), true)));
    feed.session(here("web"), Some((facts, false)));
    changes.next().await.unwrap().unwrap();
    let view = handle.view();
    let shown = view.instance(&here("web")).unwrap();
    assert_eq!(shown.facts.version.as_deref(), Some("2"), "the newest word counts");
    feed.session(here("web"), None);
    changes.next().await.unwrap().unwrap();
    assert!(handle.view().is_empty());
}

#[tokio::test]
async fn a_reader_that_asks_for_what_is_not_known_begins_anew() {
    let (store, feed) = (Store::memory(), Feed::default());
    let handle = started(&store, &feed);
    assert_eq!(handle.changes_after(5).next().await, Err(Missed(5)));
    for n in 0..3 {
        put(&handle, &format!("s{n}")).await.unwrap();
    }
    let mut changes = handle.changes_after(1);
    assert_eq!(changes.next().await.unwrap().unwrap().seq, 2);
    assert_eq!(changes.next().await.unwrap().unwrap().seq, 3);
}
