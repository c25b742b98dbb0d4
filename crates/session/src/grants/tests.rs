//! What each kind of grant covers, as tables.

use super::*;

fn domains(texts: &[&str]) -> Grants {
    let domains = texts.iter().map(|text| HostPattern::parse(text).unwrap()).collect();
    Grants { domains, ..Grants::default() }
}

fn spec(domain: &str, path: &str, backend: &str) -> RouteSpec {
    RouteSpec {
        domains: domain.split(',').map(|text| HostPattern::parse(text).unwrap()).collect(),
        path: RoutePath::parse(path).unwrap(),
        backend: BackendUrl::parse(backend).unwrap(),
        priority: 0,
    }
}

fn says(result: Result<(), NotGranted>) -> String {
    result.err().map_or_else(|| "granted".to_owned(), |error| error.to_string())
}

#[test]
fn services() {
    #[rustfmt::skip]
    let table = [
        // granted              service      may
        (&[][..],               "anything",  true),
        (&["blue"][..],         "blue",      true),
        (&["blue"][..],         "Blue",      false),
        (&["blue"][..],         "blue-1",    false),
        (&["blue-*"][..],       "blue-1",    true),
        (&["blue-*"][..],       "blue-",     true),
        (&["blue-*"][..],       "blue",      false),
        (&["blue", "red-*"][..], "red-x",    true),
        (&["*"][..],            "anything",  true),
        (&["a*b"][..],          "axb",       false),
        (&["a*b"][..],          "a*b",       true),
    ];
    for (granted, service, may) in table {
        let services = granted.iter().map(|text| ServicePattern::parse(text).unwrap());
        let grants = Grants { services: services.collect(), ..Grants::default() };
        let result = grants.check_service(&ServiceName::parse(service).unwrap());
        assert_eq!(result.is_ok(), may, "{granted:?} {service}");
    }
    for bad in ["", "a b", "a b*", "a|*"] {
        assert_eq!(ServicePattern::parse(bad), None, "{bad:?}");
    }
}

/// A pattern is granted if every host it matches is.
#[test]
fn domains_are_granted_with_all_their_hosts_or_not() {
    #[rustfmt::skip]
    let table = [
        // granted            asked              may
        ("*",                 "*",               true),
        ("*",                 "a.example",       true),
        ("*",                 "**.a.example",    true),
        ("a.example",         "a.example",       true),
        ("a.example",         "A.Example",       true),
        ("a.example",         "b.example",       false),
        ("a.example",         "x.a.example",     false),
        ("a.example",         "*.a.example",     false),
        ("a.example",         "*",               false),
        ("*.a.example",       "x.a.example",     true),
        ("*.a.example",       "*.a.example",     true),
        ("*.a.example",       "a.example",       false),
        ("*.a.example",       "y.x.a.example",   false),
        ("*.a.example",       "xa.example",      false),
        ("*.a.example",       "*.x.a.example",   false),
        ("*.a.example",       "**.a.example",    false),
        ("**.a.example",      "*.a.example",     true),
        ("**.a.example",      "**.a.example",    true),
        ("**.a.example",      "y.x.a.example",   true),
        ("**.a.example",      "*.x.a.example",   true),
        ("**.a.example",      "**.x.a.example",  true),
        ("**.a.example",      "a.example",       false),
        ("**.a.example",      "**.xa.example",   false),
        ("**.a.example",      "**.example",      false),
        ("**.a.example",      "*",               false),
        ("b\u{fc}cher.example", "xn--bcher-kva.example", true),
    ];
    for (granted, asked, may) in table {
        let result = domains(&[granted]).check_route(&spec(asked, "/", "http://b"));
        assert_eq!(result.is_ok(), may, "{granted} {asked}");
    }
    let two = domains(&["a.example", "*.b.example"]);
    assert_eq!(says(two.check_route(&spec("a.example,x.b.example", "/", "http://b"))), "granted");
    let other = two.check_route(&spec("a.example,c.example", "/", "http://b"));
    assert_eq!(says(other), "domain c.example is not granted");
}

#[test]
fn paths() {
    #[rustfmt::skip]
    let table = [
        // granted   asked             may
        ("/",        "/",              true),
        ("/",        "/x",             true),
        ("/api",     "/api",           true),
        ("/api",     "/api/",          true),
        ("/api/",    "/api",           true),
        ("/api",     "/api/x",         true),
        ("/api",     "/apix",          false),
        ("/api",     "/",              false),
        ("/api",     "/API",           false),
        ("/api",     "/%61pi/x",       true),
        ("/api",     "/api/../other",  false),
        ("/api",     "/x/../api/y",    true),
        ("/api",     "/api%2Fx",       false),
    ];
    for (granted, asked, may) in table {
        let paths = vec![RoutePath::parse(granted).unwrap()];
        let grants = Grants { paths, ..Grants::default() };
        let result = grants.check_route(&spec("a", asked, "http://b"));
        assert_eq!(result.is_ok(), may, "{granted} {asked}");
        assert_eq!(says(grants.check_match(MatchKind::Exact)), "granted");
        let raw = grants.check_match(MatchKind::Raw);
        assert_eq!(says(raw), "option match=raw is not granted with paths");
    }
    let long = format!("/{}", "x".repeat(PATH_SHOWN_MAX));
    let paths = vec![RoutePath::parse("/api").unwrap()];
    let result = Grants { paths, ..Grants::default() }.check_route(&spec("a", &long, "http://b"));
    let shown = format!("path /{}... is not granted", "x".repeat(PATH_SHOWN_MAX - 1));
    assert_eq!(says(result), shown);
    assert_eq!(says(Grants::default().check_match(MatchKind::Raw)), "granted");
}

#[test]
fn networks() {
    #[rustfmt::skip]
    let table = [
        // granted            backend                          says
        ("",                  "http://anything",               "granted"),
        ("",                  "http://10.0.0.1",               "granted"),
        ("10.0.0.0/8",        "http://10.255.255.255:80/x",    "granted"),
        ("10.0.0.0/8",        "http://11.0.0.0",               "backend 11.0.0.0 is in no network granted"),
        ("10.0.0.0/8",        "http://[::ffff:10.0.0.1]",      "granted"),
        ("10.0.0.0/8",        "http://[::ffff:11.0.0.1]",      "backend 11.0.0.1 is in no network granted"),
        ("10.0.0.0/8",        "http://[64:ff9b::a00:1]",       "backend 64:ff9b::a00:1 is in no network granted"),
        ("10.0.0.0/8",        "http://db.internal",            "backend db.internal must be an address in a network granted"),
        ("fd00::/8,10.1.0.0/16", "http://[fd12::1]:80",        "granted"),
        ("fd00::/8,10.1.0.0/16", "http://10.1.2.3:80",         "granted"),
        ("::/0",              "http://10.1.2.3:80",            "backend 10.1.2.3 is in no network granted"),
    ];
    for (granted, backend, wanted) in table {
        let networks = granted.split(',').filter(|text| !text.is_empty());
        let networks = networks.map(|text| text.parse().unwrap()).collect();
        let grants = Grants { networks, ..Grants::default() };
        let backend = BackendUrl::parse(backend).unwrap();
        assert_eq!(says(grants.check_backend(&backend)), wanted, "{granted} {backend}");
    }
}

#[test]
fn hosts_that_are_asked_about() {
    let grants = domains(&["*.a.example"]);
    #[rustfmt::skip]
    let table = [
        ("x.a.example", "granted"),
        ("a.example",   "domain a.example is not granted"),
        ("*",           "domain * is not granted"),
        ("x:80",        "domain * is not granted"),
    ];
    for (host, wanted) in table {
        assert_eq!(says(grants.check_host(host)), wanted, "{host}");
    }
    assert_eq!(says(Grants::default().check_host("x:80")), "granted");
}
