//! What the fuzzers have found, and what they start from, on every run of the tests.

use std::path::Path;

use proxyd_http1::fuzz;

#[test]
fn heads() {
    replay("http1_head", fuzz::head);
}

#[test]
fn bodies() {
    replay("http1_body", fuzz::body);
}

#[test]
fn streams_of_http3() {
    replay("h3_guard", fuzz::h3_streams);
}

#[test]
fn heads_in_frames() {
    replay("http_message", fuzz::message);
}

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).expect("the corpus is committed");
    let mut count = 0;
    for file in files {
        let path = file.expect("the folder can be listed").path();
        run(&std::fs::read(&path).expect("the file can be read"));
        count += 1;
    }
    assert!(count >= 30, "only {count} files in {}", folder.display());
}
