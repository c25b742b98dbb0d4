//! Lines at the edges of SPEC 2.2: trailing fields, what is refused and how it is said.

use proxyd_wire::{Dialect, decode, encode_line};

fn again(line: &str) -> String {
    let read = decode(line, Dialect::V2).unwrap_or_else(|e| panic!("{line}: {e:?}"));
    let mut out = Vec::new();
    encode_line(&read, &mut out);
    String::from_utf8(out).unwrap()
}

fn refused(line: &str) -> String {
    decode(line, Dialect::V2).expect_err(line).reason.as_str().to_owned()
}

#[test]
fn a_header_that_begins_like_an_action_reads_back() {
    #[rustfmt::skip]
    let table = [
        ("HEADERS_REMOVE|s|ALL|+-x",     "HEADERS_REMOVE|s|ALL|resp:+-x\n"),
        ("HEADERS_REMOVE|s|ALL|req:--x", "HEADERS_REMOVE|s|ALL|req:+-x\n"),
        ("HEADERS_REMOVE|s|ALL|-X-A",    "HEADERS_REMOVE|s|ALL|x-a\n"),
        ("HEADERS_SET|s|ALL|-+x|v",      "HEADERS_SET|s|ALL|resp:-+x|v\n"),
    ];
    for (line, written) in table {
        assert_eq!(again(line), written);
        assert_eq!(again(written.trim_end()), written);
    }
}

#[test]
fn a_command_is_written_as_one_line() {
    use model::{Line, Request};
    let mut out = Vec::new();
    let request = Request::Auth("a\nPING|s\r".into());
    encode_line(&Line { session: None, txn: None, request }, &mut out);
    assert_eq!(out, b"AUTH|aPING|s\n");
}

#[test]
fn one_trailing_empty_field_is_ignored() {
    let bulk = r#"[{"domains":["a.b"],"path":"/","backend_url":"http://a:1"}]"#;
    let bulk = [format!("ROUTE_ADD_BULK|s|{bulk}"), format!("ROUTE_ADD_BULK|s|t|{bulk}")];
    #[rustfmt::skip]
    let lines = [
        "EXPLAIN|s|GET|a.b|/x", "EXPLAIN|s|t|GET|a.b|/x", "DRAIN_START|s|30", "DRAIN_START|s|t|30",
        "SUBSCRIBE|s|all", "MAINT_EXIT|s|a.example", "MAINT_EXIT|s|t|a.example",
        "CONFIG_APPLY_PARTIAL|s|routes", "CONFIG_TRY|s|30s", "CONFIG_TRY|s|30s|errors<5%",
        "CONFIG_TRY|s|t|30s", "CONFIG_TRY|s|t|30s|errors<5%", "STATS_GET|s|r1", "STATS_GET|s|t|r1",
        "STATS_GET|s|r1|compressed", "STATS_GET|s|compressed", "STATS_GET|s|t|r1|compressed",
        "MAINT_ENTER|s|ALL|http://a", "MAINT_ENTER|s|a.b|http://a", "MAINT_ENTER|s|t|ALL|http://a",
        "MAINT_ENTER|s|t|ALL", "AUTH|tok", "REGISTER|a|b|1|{}", "REGISTER|a|b|1|null", "REGISTER|a|b|1|2",
        "ROUTE_ADD_BULK|s|[]", &bulk[0], &bulk[1], "ROUTE_LIST|s|t|from=r1|compressed", "VALIDATE|s|hash",
        "ROUTE_UPDATE|s|r1|path|/x", "ROUTE_ADD|s|a.b|/|http://a|1", "ROUTE_ADD|s|t|a.b|/|http://a|1",
        "HEADERS_SET|s|ALL|X-A|v", "HEADERS_SET|s|t|ALL|X-A|v", "HEADER|s|X-A|v", "PING|s", "RECONNECT|s",
    ];
    for line in lines {
        let plain = decode(line, Dialect::V2).unwrap_or_else(|e| panic!("{line}: {e:?}"));
        assert_eq!(decode(&format!("{line}|"), Dialect::V2), Ok(plain), "{line}|");
    }
    // Where the last field may be empty, it is.
    assert_eq!(again("HEADERS_SET|s|ALL|X-A|"), "HEADERS_SET|s|ALL|X-A|\n");
    assert_eq!(again("HEADERS_SET|s|t|ALL|X-A|"), "HEADERS_SET|s|t|ALL|X-A|\n");
}

#[test]
fn fields_are_refused_by_name() {
    let token = "must be a name of letters, digits and !#$%&'*+-.^_`~";
    let host = "host must be a host name or an address";
    let deep = format!("REGISTER|a|b|1|{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
    let long = format!("REGISTER|a|b|1|{{\"a\":\"{}\"}}", "x".repeat(4090));
    let bulk = |item: &str| format!("ROUTE_ADD_BULK|s|[{item}]");
    let rest = r#""domains":["a"],"backend_url":"http://a""#;
    #[rustfmt::skip]
    let table = [
        ("EXPLAIN|s|G T|a.b|/",        format!("method {token}")),
        ("EXPLAIN|s||a.b|/",           format!("method {token}")),
        ("EXPLAIN|s|GET||/",           host.to_owned()),
        ("EXPLAIN|s|GET|*.b|/",        host.to_owned()),
        ("EXPLAIN|s|GET|a b|/",        host.to_owned()),
        ("EXPLAIN|s|GET|a.b:x|/",      host.to_owned()),
        ("EXPLAIN|s|GET|a.b|x",        "path must begin with /".to_owned()),
        ("EXPLAIN|s|GET|a.b|",         "path must begin with /".to_owned()),
        ("AUTH|",                      "token must not be empty".to_owned()),
        ("HANDOVER_ACCEPT|s||http://a", "token must not be empty".to_owned()),
        ("ROUTE_ADD|s|a.b,\tc.d|/|http://a|0", "a tab may stand in header values and JSON only".to_owned()),
        ("HEADERS_SET|s|ALL|X\tA|v",   "a tab may stand in header values and JSON only".to_owned()),
        ("REGISTER|a|b|0|9001",        "service_port must be a port from 1 to 65535".to_owned()),
        ("MAINT_EXIT|s|r1,ALL",        "target must be ALL, route ids, paths or domains".to_owned()),
        ("ROUTE_UPDATE|s|r1|priority|", "priority must be a whole number".to_owned()),
        ("BACKEND_TEST|s|http://",     "invalid backend URL format: want scheme://host[:port][/path]".to_owned()),
        ("BACKEND_TEST|s|://a",        "invalid backend URL format: want scheme://host[:port][/path]".to_owned()),
        ("BACKEND_TEST|s|http:///x",   "invalid backend URL format: want scheme://host[:port][/path]".to_owned()),
        (&*deep,                       "invalid metadata json".to_owned()),
        (&*long,                       "metadata must be at most 4096 bytes".to_owned()),
        (&*bulk(&format!("{{{rest}}}")), "json_array[0]: path is missing".to_owned()),
        (&*bulk(&format!("{{{rest},\"path\":1}}")), "json_array[0]: path must be a string".to_owned()),
        (&*bulk(&format!("{{{rest},\"path\":\"/\",\"priority\":\"x\"}}")), "json_array[0]: priority must be a whole number".to_owned()),
        (&*bulk(&format!("{{{rest},\"path\":\"/\",\"priority\":1.5}}")), "json_array[0]: priority must be a whole number".to_owned()),
        (&*bulk("[[\"a\"],\"/\",\"http://a\"]"), "json_array[0]: must be an object of domains, path, backend_url and priority".to_owned()),
        (&*bulk("{\"domains\":\"a\"}"), "json_array[0]: domains must be an array of strings".to_owned()),
        (&*bulk("{\"color\":1}"),       "json_array[0]: must be an object of domains, path, backend_url and priority".to_owned()),
    ];
    for (line, reason) in table {
        assert_eq!(refused(line), reason, "{line}");
    }
    for line in [
        "REGISTER|a|b|1|0",
        "EXPLAIN|s|M-SEARCH|[::1]:80|/a?b=c",
        "EXPLAIN|s|GET|a.b:80|/",
        "HEADERS_SET|s|ALL|X-A|a\tb",
    ] {
        assert!(decode(line, Dialect::V2).is_ok(), "{line}");
    }
}
