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
