//! What we write we can read, and what anybody writes does no harm.

use model::{
    BackendUrl, HeaderRule, HostPattern, Line, OptionKey, Request, RouteId, RoutePath, RouteSpec,
    RouteUpdate, Scope, Scopes, SessionId, Target, TxnId,
};
use proptest::prelude::*;

use crate::command::{COMMANDS, usage};
use crate::{Dialect, decode, encode_line, fuzz, option};

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::All), (1..50u64).prop_map(|id| Target::Route(RouteId(id)))]
}

fn spec() -> impl Strategy<Value = RouteSpec> {
    let domain = prop_oneof!["[a-z]{1,8}\\.test", "\\*\\.[a-z]{1,8}", "\\*\\*\\.[a-z]{1,8}"];
    let host = domain.prop_map(|text| HostPattern::parse(&text).unwrap());
    let hosts = prop::collection::btree_set(host, 1..4);
    let path = "/[a-z0-9%]{0,8}".prop_filter_map("no path", |text| RoutePath::parse(&text).ok());
    let backend = "https?://[a-z]{1,8}:[1-9][0-9]{0,3}(/[a-z]{1,4})?";
    let backend = backend.prop_map(|text| BackendUrl::parse(&text).unwrap());
    (hosts, path, backend, any::<i32>()).prop_map(|(domains, path, backend, priority)| RouteSpec {
        domains: domains.into_iter().collect(),
        path,
        backend,
        priority,
    })
}

fn header() -> impl Strategy<Value = HeaderRule> {
    ("(req:)?[+-]?X-[A-Za-z]{1,6}", "[ -{}~]{0,12}")
        .prop_map(|(name, value)| HeaderRule::parse(&name, &value).unwrap())
}

fn set_option() -> impl Strategy<Value = (OptionKey, model::OptionValue)> {
    let values = prop::sample::select(vec![
        "true",
        "30s",
        "1m30s",
        "100",
        "/x",
        "exact",
        "least_conn",
        "cookie:a",
        "5xx",
        "10M",
        "1",
    ]);
    (prop::sample::select(OptionKey::ALL.to_vec()), values)
        .prop_filter_map("another key's", |(key, text)| {
            option::parse(key, text).ok().map(|value| (key, value))
        })
}

fn scopes() -> impl Strategy<Value = Scopes> {
    prop::collection::vec(0..6usize, 1..4).prop_map(|picks| {
        picks.iter().fold(Scopes::default(), |set, pick| set.with(Scope::ALL[*pick].0))
    })
}

/// Commands that carry something; those without fields are all in `each_command_reads`.
fn request() -> impl Strategy<Value = Request> {
    let id = || (1..50u64).prop_map(RouteId);
    prop_oneof![
        spec().prop_map(Request::RouteAdd),
        spec().prop_map(|spec| Request::RouteV1(RouteSpec { priority: 0, ..spec })),
        prop::collection::vec(spec(), 0..4).prop_map(Request::RouteAddBulk),
        (id(), spec())
            .prop_map(|(id, spec)| Request::RouteUpdate(id, RouteUpdate::Domains(spec.domains))),
        (id(), spec())
            .prop_map(|(id, spec)| Request::RouteUpdate(id, RouteUpdate::Backend(spec.backend))),
        (id(), any::<i32>()).prop_map(|(id, p)| Request::RouteUpdate(id, RouteUpdate::Priority(p))),
        id().prop_map(Request::RouteRemove),
        (prop::option::of(id()), any::<bool>())
            .prop_map(|(from, compressed)| Request::RouteList { from, compressed }),
        header().prop_map(Request::HeaderV1),
        (target(), header()).prop_map(|(to, rule)| Request::HeadersSet(to, rule)),
        (target(), header()).prop_map(|(to, rule)| Request::HeadersRemove(to, rule.key())),
        set_option().prop_map(|(key, value)| Request::OptionV1(key, value)),
        (target(), set_option()).prop_map(|(to, (key, value))| Request::OptionsSet(to, key, value)),
        (target(), set_option()).prop_map(|(to, (key, _))| Request::OptionsRemove(to, key)),
        (target(), any::<bool>())
            .prop_map(|(target, compressed)| Request::StatsGet { target, compressed }),
        scopes().prop_map(Request::ConfigApplyPartial),
        Just(Request::Ping),
        Just(Request::ConfigApply),
    ]
}

proptest! {
    #[test]
    fn what_we_write_we_can_read(request in request(), txn in prop::option::of("[A-Za-z0-9._:-]{1,64}")) {
        let v1 = matches!(request, Request::RouteV1(_) | Request::HeaderV1(_) | Request::OptionV1(..));
        let txn = txn.and_then(|txn| TxnId::parse(&txn)).filter(|_| !v1);
        let line = Line { session: SessionId::parse("s-1").ok(), txn, request };
        let mut bytes = Vec::new();
        encode_line(&line, &mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(decode(text.trim_end_matches('\n'), Dialect::V2), Ok(line), "{}", text);
    }

    #[test]
    fn any_text_is_a_command_or_an_error(
        name in prop::sample::select(COMMANDS.iter().map(|c| c.name).collect::<Vec<_>>()),
        rest in "(\\|[ -~]{0,12}){0,9}",
    ) {
        fuzz::decoder(format!("{name}{rest}").as_bytes());
    }

    #[test]
    fn any_bytes_are_lines_or_errors(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::framer(&bytes);
        fuzz::decoder(&bytes);
    }
}

/// A wrong count is answered with the usage, for every command.
#[test]
fn every_command_has_a_usage() {
    for command in COMMANDS {
        let line = format!("{}{}", command.name, "|x".repeat(9));
        match decode(&line, Dialect::V2) {
            // These take the rest of the line as JSON.
            Err(error) if matches!(command.name, "REGISTER" | "ROUTE_ADD_BULK") => {
                assert!(!error.reason.as_str().is_empty());
            }
            Ok(line) if command.name == "CATALOG" => assert_eq!(line.session, None),
            other => assert_eq!(other.unwrap_err().reason.as_str(), usage(command)),
        }
        if command.name != "SESSIONS" {
            let bare = decode(command.name, Dialect::V2).unwrap_err();
            assert_eq!(bare.reason.as_str(), usage(command));
        }
    }
}

/// The corpus of the fuzz targets, on stable.
#[test]
fn the_corpus_holds_the_laws() {
    let targets = [
        ("wire_framer", fuzz::framer as fn(&[u8])),
        ("wire_decode", fuzz::decoder),
        ("heartbeat_frame", fuzz::heartbeat),
    ];
    for (target, law) in targets {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/").to_owned() + target;
        let files: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().collect();
        assert!(files.len() >= 10, "{folder}");
        for file in files {
            law(&std::fs::read(file.path()).unwrap());
        }
    }
}
