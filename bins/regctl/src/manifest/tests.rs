//! Files of routes, right and wrong.

use std::time::Duration;

use client::route;

use super::*;

const FULL: &str = r#"
service = "orbat"
instance = "orbat.1"
maintenance_port = 3001
metadata = { version = "1.2.3", tags = ["a|b"] }
limit = { requests = 1000, window = "1m" }

[headers]
X-Service = "orbat"
"req:X-Env" = "prod"

[options]
timeout = "60s"

[[route]]
domains = ["orbat.example.com", "www.orbat.example.com"]
path = "/"
backend = "http://10.0.0.7:3000"

[[route]]
domains = ["orbat.example.com"]
path = "/api"
backend = "http://10.0.0.7:3000"
priority = 10
headers = { X-Service = "api" }
options = { websocket = false, timeout = 5, balance = "least_conn" }
health = { path = "/health" }
limit = { requests = 100, window = 60 }
breaker = { threshold = 5, timeout = "30s", half_open_requests = 2 }
"#;

#[test]
fn a_whole_file() {
    let manifest = Manifest::parse(FULL).unwrap();
    assert_eq!(manifest.service.as_str(), "orbat");
    assert_eq!(manifest.maintenance_port, 3001);
    assert_eq!(manifest.metadata.as_deref(), Some(r#"{"tags":["a|b"],"version":"1.2.3"}"#));
    let all = &manifest.desired.all;
    assert_eq!(all.headers.len(), 2);
    let minute = Duration::from_secs(60);
    assert_eq!(all.options[&OptionKey::Timeout], OptionValue::Duration(minute));
    assert_eq!(all.limit, Some(LimitSpec { requests: 1000, window: minute }));

    let mut api = route("orbat.example.com", "/api", "http://10.0.0.7:3000").unwrap();
    api.priority = 10;
    let wish = &manifest.desired.routes[&api];
    let timeout = OptionValue::Duration(Duration::from_secs(5));
    assert_eq!(wish.tuning.options[&OptionKey::Timeout], timeout);
    assert_eq!(wish.tuning.options[&OptionKey::Websocket], OptionValue::Bool(false));
    assert_eq!(wish.tuning.limit, Some(LimitSpec { requests: 100, window: minute }));
    assert_eq!(wish.tuning.breaker.map(|breaker| breaker.half_open_requests), Some(2));
    let health = wish.health.as_ref().unwrap();
    assert_eq!((health.interval, health.timeout), (minute / 2, Duration::from_secs(5)));
    assert_eq!(manifest.desired.routes.len(), 2);
}

#[test]
fn mistakes_have_a_place() {
    let head = "service = \"a\"\ninstance = \"b\"\n";
    let route = "[[route]]\ndomains = [\"a.example\"]\npath = \"/\"\nbackend = \"http://b:1\"\n";
    #[rustfmt::skip]
    let table = [
        // text                                                     where    says
        ("service = ".to_owned(),                                   "1:11",  ""),
        ("instance = \"b\"\n".to_owned(),                           "1:1",   "missing field `service`"),
        ("service = \"a b\"\ninstance = \"b\"\n".to_owned(),        "1:11",  "service must hold no spaces"),
        (format!("{head}colour = 1\n"),                             "3:1",   "unknown field `colour`"),
        (format!("{head}maintenance_port = 70000\n"),               "3:20",  ""),
        (format!("{head}metadata = {{ at = 2024-12-20 }}\n"),       "3:12",  "metadata must hold no dates"),
        (format!("{head}headers = {{ Host = \"x\" }}\n"),           "3:20",  "header Host must not be"),
        (format!("{head}headers = {{ X-A = \"a|b\" }}\n"),          "3:19",  "header X-A must not be empty nor hold pipes"),
        (format!("{head}options = {{ colour = \"red\" }}\n"),       "3:22",  ""),
        (format!("{head}options = {{ timeout = \"soon\" }}\n"),     "3:23",  ""),
        (format!("{head}options = {{ timeout = 1.5 }}\n"),          "3:23",  ""),
        (format!("{head}limit = {{ requests = 1, window = 0 }}\n"), "3:9",   ""),
        (format!("{head}{route}{route}"),                           "8:11",  "this route stands in the file already"),
        (format!("{head}[[route]]\ndomains = []\npath = \"/\"\nbackend = \"http://b\"\n"), "4:11", "domains must name at least one host"),
        (format!("{head}{}", route.replace("a.example", "ä b")),    "4:12",  "domains must be host names"),
        (format!("{head}{}", route.replace("\"/\"", "\"x\"")),      "5:8",   "path must begin with /"),
        (format!("{head}{}", route.replace("http:", "ftp:")),       "6:11",  "backend: invalid backend URL scheme"),
        (format!("{head}{route}health = {{ path = \"x\" }}\n"),     "7:10",  ""),
        (format!("{head}{route}health = {{ path = \"/|\" }}\n"),    "7:10",  "must not be empty nor hold pipes"),
        (format!("{head}{route}prority = 1\n"),                     "7:1",   "unknown field `prority`"),
    ];
    for (text, place, says) in table {
        let error = Manifest::parse(&text).unwrap_err().to_string();
        let rest = error.strip_prefix(place).and_then(|rest| rest.strip_prefix(": "));
        let rest = rest.unwrap_or_else(|| panic!("{text}\nis wrong at {error}, not {place}"));
        assert!(rest.starts_with(says) && !rest.is_empty(), "{text}\nsays {rest}");
        assert!(!rest.contains('\n'));
    }
}
