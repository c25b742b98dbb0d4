//! Clients of HTTP/3 that want to do harm: whoever is beside them is served all the while, and the
//! proxy's memory stays within bounds (SPEC 10).

use proxyd_e2e::{Script, Site, wait_for};

const MIB: u64 = 1 << 20;
/// How many requests of its own a client beside an attack makes while memory is looked at.
const HONEST_REQUESTS: usize = 30;
/// What a proxy may grow by, whatever a client does: a debug build's buffers and some slack.
const GROWTH_BYTES_MAX: u64 = 48 * MIB;

/// Runs an attack; the memory is measured after it.
fn attack(function: &str) -> Site {
    let site = warm();
    let before = site.memory_bytes();
    Script::run("floods.py", function, &[&site.port()]);
    grown(&site, before, GROWTH_BYTES_MAX);
    site.check();
    site
}

/// Runs an attack whose memory is measured while it lasts: once the backend has seen so many
/// requests of it, and for as long as the honest client takes for a number of its own.
fn lasting(function: &str, requests: usize, growth_bytes_max: u64) {
    let site = warm();
    let before = site.memory_bytes();
    let mut script = Script::start("floods.py", function, &[&site.port()]);
    script.wait_for("begun");
    let of_attack = |head: &&String| !head.starts_with("GET /bytes/");
    let seen = |of: &dyn Fn(&&String) -> bool| site.origin.heads("raw").iter().filter(of).count();
    wait_for("the requests of the attack", || (seen(&of_attack) > requests).then_some(()));
    let honest = |head: &&String| !of_attack(head);
    let until = seen(&honest) + HONEST_REQUESTS;
    wait_for("the honest client", || {
        grown(&site, before, growth_bytes_max);
        (seen(&honest) >= until).then_some(())
    });
    script.tell("measured");
    script.finish();
    site.check();
}

/// A site that has answered a client.
fn warm() -> Site {
    let site = Site::start();
    Script::run("http3.py", "works", &[&site.port()]);
    site
}

fn grown(site: &Site, before: u64, max: u64) {
    let grown = site.memory_bytes().saturating_sub(before);
    assert!(grown < max, "grown by {} KiB", grown / 1024);
}

#[test]
fn a_head_of_a_gigabyte() {
    attack("huge_head");
}

#[test]
fn a_control_stream_without_end() {
    attack("huge_control");
}

#[test]
fn a_hundred_thousand_frames_that_mean_nothing() {
    attack("unknown_frames");
}

#[test]
fn heads_at_their_limits_and_one_past() {
    let site = attack("limits");
    let reached = site.origin.heads("raw").len();
    assert_eq!(reached, 4, "three that fit, and the first");
}

#[test]
fn requests_that_are_given_up_at_once() {
    attack("resets");
}

#[test]
fn as_many_streams_as_allowed_and_one_more() {
    attack("streams");
}

#[test]
fn datagrams_that_are_nothing() {
    attack("garbage");
}

#[test]
fn beginnings_of_connections_from_many_addresses() {
    attack("initials");
}

#[test]
fn handshakes_that_are_never_finished() {
    lasting("handshakes", 0, GROWTH_BYTES_MAX);
}

#[test]
fn connections_that_say_nothing() {
    // About a hundred KiB each, in a debug build.
    lasting("idle", 20, GROWTH_BYTES_MAX);
}

#[test]
fn clients_that_never_read() {
    // A thousand answers: what each holds back is bounded, and so is a connection.
    lasting("stuck", 1000, 2 * GROWTH_BYTES_MAX);
}

#[test]
fn clients_that_stop_reading() {
    lasting("reader", 100, 2 * GROWTH_BYTES_MAX);
}
