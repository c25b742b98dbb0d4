//! Each rule of the table by itself. That they hold together is proven against a naive table.

use model::{RouteId, ServiceName};

use super::*;
use crate::change::CONFLICTS_MAX;
use crate::fixture::{answer, bury, changed, forget, key, put, remove, with};
use crate::tombstones::TOMBSTONES_MAX;

#[test]
fn the_order_of_precedence() {
    let places = [
        "a.b/",
        "a.b/api",
        "a.b/api/v2",
        "=a.b/api",
        "~a.b/raw/%61",
        "a.b/raw/a/longer",
        "a.b/api/v2@-1",
        "a.b/old@5",
        "a.b/old/new",
        "*.b/",
        "**.b/",
        "**.c.b/deep",
        "*/",
        "*/special@100",
        "x.b/only",
    ];
    let places = places.iter().zip(1..);
    let edits = places.map(|(place, route)| put(route, "s", place, "i b")).collect();
    let table = with(&Table::default(), edits);
    #[rustfmt::skip]
    let requests = [
        // request          route why
        ("a.b/",              1,  "the root takes everything"),
        ("a.b/nothing",       1,  "as a prefix"),
        ("a.b/apix",          1,  "whole segments only"),
        ("a.b/api",           4,  "exact before prefix"),
        ("a.b/api/",          2,  "and no more than exact"),
        ("a.b/api/v2/x",      3,  "the longest prefix, and priority before that"),
        ("a.b/%61pi/v2",      3,  "compared in normal form"),
        ("a.b/raw/%61/x",     5,  "raw, as it was sent"),
        ("a.b/raw/a",         1,  "which the normal form is not"),
        ("a.b/old/new",       8,  "priority before length"),
        ("x.b/only/this",    15,  "exact host"),
        ("x.b/other",        10,  "falls through to less specific hosts"),
        ("y.b/",             10,  "one label"),
        ("x.y.b/",           11,  "any depth"),
        ("x.c.b/deep",       12,  "the longer suffix"),
        ("x.c.b/",           11,  "unless no path of it matches"),
        ("b/",               13,  "a wildcard wants a label"),
        ("else.where/",      13,  "everything"),
        ("/",                13,  "no host"),
        ("a.b/special",       1,  "no priority of a less specific host counts"),
        ("else/special",     14,  "but within it"),
    ];
    for (request, route, why) in requests {
        assert_eq!(answer(&table, request), route, "{request}: {why}");
    }
    assert_eq!(answer(&with(&table, vec![remove(13)]), "else.where/"), 404);
}

#[test]
fn ownership() {
    let blue = |route| put(route, "blue", "a.b/", "i b1");
    let green = |route| put(route, "green", "a.b/", "i g1");
    let table = with(&Table::default(), vec![blue(1)]);
    #[rustfmt::skip]
    let cases = [
        // edits                                 refused  why
        (vec![green(2)],                          Some(2), "owned by another service"),
        (vec![blue(2)],                           None,    "another instance"),
        (vec![remove(1), green(2)],               None,    "a takeover"),
        (vec![green(2), remove(1)],               None,    "in either order"),
        (vec![bury(1), green(2)],                 None,    "of one that is gone"),
        (vec![blue(1), green(2)],                 Some(2), "a change of the owner's keeps it"),
        (vec![green(2), remove(1), blue(3)],      Some(2), "so does another route of the owner's"),
        (vec![remove(1), green(2), blue(3)],      Some(2), "in any order"),
        (vec![put(2, "green", "a.b/@1", "i g")],  None,    "another priority is another key"),
        (vec![put(2, "green", "=a.b/", "i g")],   None,    "another kind as well"),
        (vec![put(2, "green", "*.b/", "i g")],    None,    "another pattern as well"),
        (vec![put(2, "green", "c.b,a.b/", "i g")], Some(2), "one host of several is enough"),
        (vec![put(1, "blue", "c.b/", "i b"), green(2)], None, "the owner moved away"),
        (vec![put(3, "red", "c.b/", "i r"), put(4, "blue", "c.b/", "i b")], Some(4), "who comes first"),
    ];
    for (edits, refused, why) in cases {
        let result = changed(&table, edits);
        let found = result.as_ref().err().map(|conflicts| {
            assert_eq!(conflicts.len(), 1, "{why}");
            conflicts[0].route.0
        });
        assert_eq!(found, refused, "{why}");
        assert_eq!(answer(&table, "a.b/"), 1, "{why}: the old table stays");
    }
}

#[test]
fn a_conflict_reads_as_the_protocol_says() {
    let table = with(&Table::default(), vec![put(1, "blue", "api.example.com/v2", "i b")]);
    let edits = vec![put(2, "green", "api.example.com/v2", "i b")];
    let conflicts = changed(&table, edits).unwrap_err();
    let text = "route r2: api.example.com/v2 is owned by service blue";
    assert_eq!(conflicts[0].to_string(), text);
}

#[test]
fn at_most_a_hundred_conflicts_are_told_in_the_order_of_the_edits() {
    let place = |route: u64| format!("h{route}.b/");
    let all = 1..=CONFLICTS_MAX as u64 + 1;
    let blue = all.clone().map(|route| put(route, "blue", &place(route), "i b")).collect();
    let table = with(&Table::default(), blue);
    let green = all.rev().map(|route| put(1000 + route, "green", &place(route), "i g")).collect();
    let conflicts = changed(&table, green).unwrap_err();
    assert_eq!(conflicts.len(), CONFLICTS_MAX);
    assert_eq!(conflicts[0].route, RouteId(1101));
}

#[test]
fn tombstones() {
    let table = with(
        &Table::default(),
        vec![put(1, "blue", "a.b,c.b/", "i b"), put(2, "blue", "a.b/", "j b")],
    );
    #[rustfmt::skip]
    let cases = [
        // edits                                          a.b/  c.b/  why
        (vec![remove(1)],                                  2,   404, "on purpose"),
        (vec![bury(1)],                                    2,   503, "with its service, where it was the last"),
        (vec![bury(1), bury(2)],                           503, 503, "both"),
        (vec![bury(1), remove(2)],                         404, 503, "the last one went on purpose"),
        (vec![remove(1), bury(2)],                         503, 404, "the last one was buried"),
        (vec![bury(1), forget("c.b/")],                    2,   404, "forgotten"),
        (vec![forget("c.b/"), bury(1)],                    2,   503, "too early to forget"),
        (vec![forget("a.b/")],                             1,   1,   "routes are not forgotten"),
        (vec![bury(1), put(3, "green", "c.b/", "i g")],    2,   3,   "anybody's"),
        (vec![bury(1), put(3, "green", "c.b/", "i g"), remove(3)], 2, 404, "and no tombstone after that"),
        (vec![bury(9), remove(9)],                         1,   1,   "nobody's"),
    ];
    for (edits, a, c, why) in cases {
        let table = with(&table, edits);
        assert_eq!((answer(&table, "a.b/"), answer(&table, "c.b/")), (a, c), "{why}");
    }
    let one = changed(&table, vec![bury(1), bury(2)]).unwrap();
    assert_eq!(one.buried, [key("c.b/"), key("a.b/")]);
    let service = &one.table.pool(&key("a.b/")).unwrap().service;
    assert_eq!(service.as_str(), "blue");
    let later = changed(&one.table, vec![put(3, "green", "a.b/", "i g")]).unwrap();
    assert_eq!(later.buried, []);
    assert_eq!(later.table.tombstones().collect::<Vec<_>>(), [&key("c.b/")]);
}

#[test]
fn the_tombstone_too_many_replaces_the_oldest() {
    let place = |route: u64| format!("h{route}.b/");
    let max = TOMBSTONES_MAX as u64;
    let all = (1..=max + 1).map(|route| put(route, "blue", &place(route), "i b")).collect();
    let table = with(&Table::default(), all);
    let full = with(&table, (1..=max).map(bury).collect());
    assert_eq!((answer(&full, "h1.b/"), full.tombstones().count()), (503, TOMBSTONES_MAX));
    let over = with(&full, vec![bury(max + 1)]);
    assert_eq!((answer(&over, "h1.b/"), over.tombstones().count()), (404, TOMBSTONES_MAX));
    assert_eq!((answer(&over, "h2.b/"), answer(&over, &place(max + 1))), (503, 503));
    // Of more than there is room for in one change, the last ones are told.
    let at_once = changed(&table, (1..=max + 1).map(bury).collect()).unwrap();
    assert_eq!(at_once.buried.len(), TOMBSTONES_MAX);
    assert_eq!(at_once.buried.first(), Some(&key("h2.b/")));
    assert_eq!(answer(&at_once.table, "h1.b/"), 404);
}

#[test]
fn an_endpoint_is_one_wherever_it_is_led_to() {
    let id = |table: &Table, route| table.endpoint_of(RouteId(route)).unwrap();
    let table = with(
        &Table::default(),
        vec![
            put(1, "blue", "a.b,c.b/", "i b"),
            put(2, "blue", "a.b/x", "i b"),
            put(3, "blue", "a.b/", "j b"),
            put(4, "blue", "a.b/", "i b:81"),
            put(5, "green", "a.b/g", "i b"),
        ],
    );
    assert_eq!(id(&table, 1), id(&table, 2));
    let distinct = [1, 3, 4, 5].map(|route| id(&table, route));
    assert_eq!(distinct.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    let kept = id(&table, 1);
    for edits in [
        vec![remove(1), remove(2), put(6, "blue", "z.b/", "i b")],
        vec![put(6, "blue", "z.b/", "i b"), remove(1), remove(2)],
        vec![put(1, "blue", "z.b/", "i b"), bury(2), put(6, "blue", "y.b/", "i b")],
    ] {
        assert_eq!(id(&with(&table, edits), 6), kept);
    }
    let gone = with(&table, vec![remove(1), remove(2)]);
    assert!(table.has_endpoint(kept) && !gone.has_endpoint(kept));
    let back = with(&gone, vec![put(7, "blue", "a.b/", "i b")]);
    assert!(id(&back, 7) > distinct[3], "never used again");
}

#[test]
fn a_second_route_to_an_endpoint_is_a_member_without_weight() {
    let edits = vec![put(2, "blue", "a.b/", "i b"), put(1, "blue", "a.b/", "i b")];
    let table = with(&Table::default(), edits);
    let weights = |table: &Table| -> Vec<(u64, u32)> {
        let pool = table.pool(&key("a.b/")).unwrap();
        pool.members.iter().map(|member| (member.route.0, member.weight)).collect()
    };
    assert_eq!(weights(&table), [(1, 100), (2, 0)]);
    assert_eq!(weights(&with(&table, vec![remove(1)])), [(2, 100)]);
}

#[test]
fn shadows_are_other_services_keys_of_another_priority() {
    let table = with(
        &Table::default(),
        vec![
            put(1, "blue", "a.b/x@1", "i b"),
            put(2, "green", "a.b/x@2", "i g"),
            put(3, "red", "a.b/x@-3", "i r"),
            put(4, "red", "=a.b/x@4", "i r"),
            put(5, "red", "a.b/x/y@4", "i r"),
            put(6, "red", "c.b/x@4", "i r"),
            put(7, "red", "a.b/x@9", "i r"),
        ],
    );
    let table = with(&table, vec![bury(7)]);
    let blue = ServiceName::parse("blue").unwrap();
    let shadows = |place| table.shadows(&key(place), &blue);
    assert_eq!(shadows("a.b/x@0"), [key("a.b/x@2"), key("a.b/x@-3")]);
    assert_eq!(shadows("a.b/x@2"), [key("a.b/x@-3")]);
    assert_eq!(shadows("nowhere.b/x"), []);
    let many = (0..=SHADOWS_MAX as u64).map(|n| put(100 + n, "red", &format!("d.b/@{n}"), "i r"));
    let table = with(&table, many.collect());
    assert_eq!(table.shadows(&key("d.b/@-1"), &blue).len(), SHADOWS_MAX);
}
