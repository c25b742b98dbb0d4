//! What RFC 9114 and RFC 9204 have a server refuse or ignore, and that nothing of what is refused
//! reaches a backend in another shape.

use proxyd_e2e::{Script, Site};

fn conformance(function: &str) -> Site {
    let site = Site::start();
    Script::run("conformance.py", function, &[&site.port()]);
    site.check();
    site
}

#[test]
fn malformed_requests_reach_no_backend() {
    let site = conformance("requests");
    for head in site.origin.heads("raw") {
        let line = head.lines().next().unwrap_or_default();
        // What was sent on before it turned out to be malformed was cut, and not made whole.
        let is_whole = line == "GET /good HTTP/1.1"
            || line == "POST /cut/c HTTP/1.1" && head.contains("content-length: 2\r\n");
        assert!(is_whole, "{head}");
        assert_eq!(head.matches("\r\nhost: ").count() + head.matches("\r\nHost: ").count(), 1);
    }
    for cut in site.origin.heads("cut") {
        assert!(cut.starts_with("POST /cut/"), "{cut}");
    }
}

#[test]
fn broken_connections_end_with_the_code_of_their_error() {
    let site = conformance("connections");
    for head in site.origin.heads("raw") {
        assert!(head.starts_with("GET /good HTTP/1.1\r\n"), "{head}");
    }
}

#[test]
fn what_nobody_knows_means_nothing() {
    conformance("ignored");
}

#[test]
fn what_clients_may_do_works() {
    let site = conformance("clients_can");
    let heads = site.origin.heads("raw").concat();
    assert!(heads.contains("cookie: a=1; b=2\r\n"), "{heads}");
    assert!(heads.contains("OPTIONS "), "{heads}");
}
