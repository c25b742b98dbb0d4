//! What is typed, and the line it becomes.

use clap::Parser;

use crate::args::{Cli, Command};

fn line(typed: &str) -> String {
    let words = std::iter::once("regctl").chain(typed.split(' '));
    match Cli::try_parse_from(words).unwrap().command {
        Command::Protocol(command) => command.line().about("s"),
        other => panic!("{typed} is {other:?}"),
    }
}

#[test]
fn every_command_becomes_its_line() {
    #[rustfmt::skip]
    let table = [
        ("route-add a.example,*.b.example /api http://b:1", "ROUTE_ADD|s|a.example,*.b.example|/api|http://b:1|0"),
        ("route-add a.example / http://b:1 -5",    "ROUTE_ADD|s|a.example|/|http://b:1|-5"),
        (r#"route-add-bulk [{"path":"/a|b"}]"#,    r#"ROUTE_ADD_BULK|s|[{"path":"/a|b"}]"#),
        ("route-update r1 backend_url http://b:2", "ROUTE_UPDATE|s|r1|backend_url|http://b:2"),
        ("route-update r1 priority -1",            "ROUTE_UPDATE|s|r1|priority|-1"),
        ("route-update r1 domains a,b",            "ROUTE_UPDATE|s|r1|domains|a,b"),
        ("route-update r1 path /x",                "ROUTE_UPDATE|s|r1|path|/x"),
        ("route-remove r12",                       "ROUTE_REMOVE|s|r12"),
        ("route-list",                             "ROUTE_LIST|s"),
        ("route-list --from r7",                   "ROUTE_LIST|s|from=r7"),
        ("headers-set ALL X-A 1",                  "HEADERS_SET|s|ALL|X-A|1"),
        ("headers-set r1 -X-A",                    "HEADERS_SET|s|r1|-X-A|"),
        ("headers-set r1 req:+X-A -1",             "HEADERS_SET|s|r1|req:+X-A|-1"),
        ("headers-remove r1 X-A",                  "HEADERS_REMOVE|s|r1|X-A"),
        ("options-set ALL timeout 60s",            "OPTIONS_SET|s|ALL|timeout|60s"),
        ("options-remove r1 timeout",              "OPTIONS_REMOVE|s|r1|timeout"),
        ("health-set r1 /health 30s 500ms",        "HEALTH_SET|s|r1|/health|30s|500ms"),
        ("health-set r1 off 30 5",                 "HEALTH_SET|s|r1|off|30|5"),
        ("ratelimit-set ALL 100 1m",               "RATELIMIT_SET|s|ALL|100|1m"),
        ("circuit-breaker-set r1 5 30s 2",         "CIRCUIT_BREAKER_SET|s|r1|5|30s|2"),
        ("circuit-breaker-status ALL",             "CIRCUIT_BREAKER_STATUS|s|ALL"),
        ("circuit-breaker-reset r1",               "CIRCUIT_BREAKER_RESET|s|r1"),
        ("config-validate",                        "CONFIG_VALIDATE|s"),
        ("config-apply",                           "CONFIG_APPLY|s"),
        ("config-apply-partial routes,circuit",    "CONFIG_APPLY_PARTIAL|s|routes,circuit"),
        ("config-rollback",                        "CONFIG_ROLLBACK|s"),
        ("config-diff",                            "CONFIG_DIFF|s"),
        ("config-try 30s",                         "CONFIG_TRY|s|30s"),
        ("config-try 30s errors<5%",               "CONFIG_TRY|s|30s|errors<5%"),
        ("config-confirm",                         "CONFIG_CONFIRM|s"),
        ("stats-get",                              "STATS_GET|s|ALL"),
        ("stats-get r1",                           "STATS_GET|s|r1"),
        ("session-info",                           "SESSION_INFO|s"),
        ("drain-start 2m",                         "DRAIN_START|s|2m"),
        ("drain-status",                           "DRAIN_STATUS|s"),
        ("drain-cancel",                           "DRAIN_CANCEL|s"),
        ("maint-enter ALL",                        "MAINT_ENTER|s|ALL|"),
        ("maint-enter r1,/shop http://b:3001",     "MAINT_ENTER|s|r1,/shop|http://b:3001"),
        ("maint-exit r1",                          "MAINT_EXIT|s|r1"),
        ("maint-status",                           "MAINT_STATUS|s"),
        ("subscribe all",                          "SUBSCRIBE|s|all"),
        ("unsubscribe drained",                    "UNSUBSCRIBE|s|drained"),
        ("backend-test http://b:1/base",           "BACKEND_TEST|s|http://b:1/base"),
        ("handover-offer r1",                      "HANDOVER_OFFER|s|r1"),
        ("handover-accept abc http://b:1",         "HANDOVER_ACCEPT|s|abc|http://b:1"),
        ("client-shutdown",                        "CLIENT_SHUTDOWN|s"),
        ("reconnect",                              "RECONNECT|s"),
    ];
    for (typed, sent) in table {
        assert_eq!(line(typed), sent, "{typed}");
        let decoded = wire::decode(sent, wire::Dialect::V2);
        let known = !matches!(&decoded, Err(error) if error.reason.as_str().starts_with("usage")
            || error.reason.as_str().starts_with("unknown"));
        assert!(known, "{sent}: {decoded:?}");
    }
}

#[test]
fn global_options_may_stand_anywhere() {
    for typed in ["-s a/b ping", "ping -s a/b", "--json --session a/b ping"] {
        let words = std::iter::once("regctl").chain(typed.split(' '));
        let cli = Cli::try_parse_from(words).unwrap();
        assert_eq!(cli.global.session.as_deref(), Some("a/b"), "{typed}");
    }
}
