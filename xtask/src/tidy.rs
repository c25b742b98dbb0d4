//! What every file of the tree must look like, where no lint says it.

use crate::tree::{self, File};

/// In bytes. A larger file is a build product or belongs in a release.
const FILE_BYTES_MAX: usize = 1 << 20;

/// A source file longer than this holds more than one subject.
const RUST_LINES_MAX: usize = 900;

/// Work that was put off. Spelled apart, or this file would find itself.
const PUT_OFF: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
];

const DEBUGGING: &str = concat!("db", "g!(");
const BARE_IGNORE: &str = concat!("#[ig", "nore]");
const PRINTING: &[&str] = &["println!(", "eprintln!(", "print!(", "eprint!("];

/// Where printing is the job, or nobody minds.
const MAY_PRINT: &[&str] = &["bins/", "xtask/", "tests/"];

/// The only crate that may lift the ban on `unsafe`.
const MAY_BE_UNSAFE: &[&str] = &["crates/runtime/"];
/// The lint, wherever it is named to be lifted: an attribute may span lines.
const UNSAFE_LINT: &str = concat!("unsafe_", "code");
const HELD: &[&str] = &["forbid(", "deny("];

/// Where a clock may be read: in the one clock, in `client`, which must not bring our runtime along,
/// and where nothing is decided.
const MAY_READ_CLOCKS: &[&str] = &["crates/runtime/", "crates/client/", "xtask/", "tests/"];
const CLOCK_LINT: &str = "clippy::disallowed_methods";

#[test]
fn files_are_tidy() {
    let files = tree::files();
    let found: Vec<String> = files.iter().flat_map(problems).collect();
    assert_eq!(found, Vec::<String>::new());
}

/// clippy takes the nearest one and merges nothing: a second file would silently lift, for its crate,
/// every ban of the first.
#[test]
fn there_is_one_lint_configuration() {
    let files = tree::files();
    assert_eq!(lint_configurations(&files), ["clippy.toml"]);
}

#[test]
fn every_check_finds_what_it_is_for() {
    let put_off = format!("//! A.\n// {}: later\n", PUT_OFF[0]);
    let macro_left = format!("//! A.\nfn f() {{ {}() }}\n", PUT_OFF[4]);
    let debugging = format!("//! A.\nfn f() {{ {}1) }}\n", DEBUGGING);
    let ignored = format!("//! A.\n{BARE_IGNORE}\nfn f() {{}}\n");
    let lifted = format!("//! A.\n#![expect({UNSAFE_LINT}, reason = \"fast\")]\n");
    let held = format!("//! A.\n#![forbid({UNSAFE_LINT})]\n");
    let clock = format!("//! A.\n#[expect(\n    {CLOCK_LINT},\n    reason = \"easy\"\n)]\n");
    let long = format!("//! A.\n{}", "fn f() {}\n".repeat(RUST_LINES_MAX));
    let printing = "//! A.\nfn f() { println!(\"x\") }\n";
    let in_tests = "//! A.\n#[cfg(test)]\nmod tests {\n    fn f() { println!(\"x\") }\n}\n";
    let after_declaration = "//! A.\n#[cfg(test)]\nmod tests;\nfn f() { println!(\"x\") }\n";
    #[rustfmt::skip]
    let table = [
        // path                      text                                says
        ("crates/a/src/lib.rs",      "//! A.\nfn f() {}\n",              None),
        ("crates/a/src/lib.rs",      "fn f() {}\n",                      Some("1: opens with no `//!`")),
        ("crates/a/src/lib.rs",      "#![no_main]\n//! A.\n",            Some("1: opens with no `//!`")),
        ("fuzz/fuzz_targets/a.rs",   "#![no_main]\n//! A.\n",            None),
        ("fuzz/fuzz_targets/a.rs",   "#![no_main]\nfn f() {}\n",         Some("1: opens with no `//!`")),
        ("crates/a/src/lib.rs",      &put_off,                           Some("2: says that work was put off")),
        ("tests/e2e/src/lib.rs",     &macro_left,                        Some("2: says that work was put off")),
        ("crates/a/src/lib.rs",      "//! A.\nconst XXXL: u8 = 1;\n",    None),
        ("crates/a/src/lib.rs",      &debugging,                         Some("2: is left from debugging")),
        ("crates/a/src/lib.rs",      &ignored,                           Some("2: ignores a test without a reason")),
        ("crates/a/src/lib.rs",      "//! A.\n#[ignore = \"slow\"]\n",   None),
        ("crates/a/src/lib.rs",      printing,                           Some("2: prints")),
        ("crates/a/src/lib.rs",      in_tests,                           None),
        ("crates/a/src/lib.rs",      after_declaration,                  Some("4: prints")),
        ("crates/a/src/lib.rs",      "//! A.\n/// Like println!(x)\n",   None),
        ("crates/a/src/f/tests.rs",  printing,                           None),
        ("crates/a/src/f_tests.rs",  printing,                           None),
        ("crates/a/benches/b.rs",    printing,                           None),
        ("bins/regctl/src/main.rs",  printing,                           None),
        ("crates/a/src/lib.rs",      &lifted,                            Some("2: lifts the ban on unsafe")),
        ("crates/runtime/src/io.rs", &lifted,                            None),
        ("crates/a/src/lib.rs",      &held,                              None),
        ("crates/a/src/lib.rs",      &clock,                             Some("3: lifts the ban on clocks")),
        ("bins/proxyd/src/main.rs",  &clock,                             Some("3: lifts the ban on clocks")),
        ("crates/a/benches/b.rs",    &clock,                             None),
        ("crates/runtime/src/c.rs",  &clock,                             None),
        ("crates/a/src/lib.rs",      &long,                              Some("901: has more than 900 lines")),
        ("crates/a/src/lib.rs",      "//! A. \n",                        Some("1: ends in a blank")),
        ("docs/A.md",                "# A\n\ntext\t\n",                  Some("3: ends in a blank")),
        ("docs/A.md",                "# A\n",                            None),
        ("docs/A.md",                "# A",                              Some("1: has no line feed at its end")),
        ("crates/a/Cargo.toml",      "[lints]\nworkspace = true\n",      None),
        ("crates/a/Cargo.toml",      "[package]\nworkspace = true\n",    Some("1: does not take the lints of the workspace")),
        ("fuzz/Cargo.toml",          "[workspace]\n",                    None),
        ("tests/peers/a/Cargo.toml", "[workspace]\n",                    None),
        ("docs/notes.md",            "# Notes\n",                        None),
        ("crates/a/README.md",       "# A\n",                            None),
        ("STATUS.md",                "# Done\n",                         Some("1: is a report: documents live in docs/")),
        ("tests/transcripts/a.reg",  "1> PING \n",                       None),
    ];
    for (path, text, says) in table {
        let file = File { path: path.to_owned(), bytes: text.as_bytes().to_vec() };
        let says: Vec<String> = says.into_iter().map(|says| format!("{path}:{says}")).collect();
        assert_eq!(problems(&file), says, "{text}");
    }
}

#[test]
fn a_file_may_be_as_large_as_the_bound_and_no_larger() {
    let file = |size| File { path: "fuzz/corpus/a/1".to_owned(), bytes: vec![0xff; size] };
    assert_eq!(problems(&file(FILE_BYTES_MAX)), Vec::<String>::new());
    assert_eq!(problems(&file(FILE_BYTES_MAX + 1)), ["fuzz/corpus/a/1:1: is larger than 1 MiB"]);
}

#[test]
fn a_second_lint_configuration_is_seen() {
    let file = |path: &str| File { path: path.to_owned(), bytes: Vec::new() };
    let two = [file("clippy.toml"), file("crates/wire/.clippy.toml"), file("rustfmt.toml")];
    assert_eq!(lint_configurations(&two), ["clippy.toml", "crates/wire/.clippy.toml"]);
}

fn lint_configurations(files: &[File]) -> Vec<&str> {
    let named = files.iter().filter(|file| matches!(file.name(), "clippy.toml" | ".clippy.toml"));
    named.map(|file| file.path.as_str()).collect()
}

/// Each as `path:line: what`.
fn problems(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    if file.bytes.len() > FILE_BYTES_MAX {
        found.push((1, "is larger than 1 MiB"));
    }
    if is_report(file) {
        found.push((1, "is a report: documents live in docs/"));
    }
    if let Some(text) = file.text() {
        if is_prose_or_code(file) {
            found.extend(untidy_ends(text));
        }
        if file.extension() == Some("rs") {
            found.extend(untidy_rust(&file.path, text));
        }
        if is_member_manifest(file) && !takes_workspace_lints(text) {
            found.push((1, "does not take the lints of the workspace"));
        }
    }
    found.iter().map(|(line, what)| format!("{}:{line}: {what}", file.path)).collect()
}

/// Transcripts and corpora are data: there a blank may be the point.
fn is_prose_or_code(file: &File) -> bool {
    matches!(file.extension(), Some("rs" | "md" | "toml")) || file.path.starts_with(".ci/")
}

/// What was done is told by the history, not by files in the tree.
fn is_report(file: &File) -> bool {
    const PLACED: &[&str] = &["README.md", "CHANGELOG.md", "CONTRIBUTING.md"];
    let elsewhere = !file.path.starts_with("docs/") && !file.path.starts_with("fuzz/corpus/");
    file.extension() == Some("md") && elsewhere && !PLACED.contains(&file.name())
}

fn is_member_manifest(file: &File) -> bool {
    let is_root = matches!(&*file.path, "Cargo.toml" | "fuzz/Cargo.toml")
        || file.path.starts_with("tests/peers/");
    file.name() == "Cargo.toml" && !is_root
}

fn takes_workspace_lints(manifest: &str) -> bool {
    manifest.split("\n[").any(|section| {
        let section = section.strip_prefix('[').unwrap_or(section);
        section.starts_with("lints]\n") && section.contains("\nworkspace = true")
    })
}

fn untidy_ends(text: &str) -> Vec<(usize, &'static str)> {
    let blanks = numbered(text).filter(|(_, line)| line.ends_with([' ', '\t', '\r']));
    let mut found: Vec<_> = blanks.map(|(number, _)| (number, "ends in a blank")).collect();
    if !text.is_empty() && !text.ends_with('\n') {
        found.push((text.lines().count(), "has no line feed at its end"));
    }
    found
}

fn untidy_rust(path: &str, text: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    if !opens_with_its_purpose(path, text) {
        found.push((1, "opens with no `//!`"));
    }
    let lines = text.lines().count();
    if lines > RUST_LINES_MAX {
        found.push((lines, "has more than 900 lines"));
    }
    let tests_from = if is_test(path) { 0 } else { first_line_of_tests(text) };
    for (number, line) in numbered(text) {
        if PUT_OFF.iter().any(|word| has_word(line, word)) {
            found.push((number, "says that work was put off"));
        }
        let code = if line.trim_start().starts_with("//") { "" } else { line };
        let has = |words: &[&str]| words.iter().any(|word| code.contains(word));
        let ours = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
        if has(&[DEBUGGING]) {
            found.push((number, "is left from debugging"));
        }
        if has(&[BARE_IGNORE]) {
            found.push((number, "ignores a test without a reason"));
        }
        if has(&[UNSAFE_LINT]) && !has(HELD) && !ours(MAY_BE_UNSAFE) {
            found.push((number, "lifts the ban on unsafe"));
        }
        if has(PRINTING) && !ours(MAY_PRINT) && number < tests_from {
            found.push((number, "prints"));
        }
        if has(&[CLOCK_LINT]) && !ours(MAY_READ_CLOCKS) && number < tests_from {
            found.push((number, "lifts the ban on clocks"));
        }
    }
    found
}

/// A fuzz target has no `main`, and says so before anything else may.
fn opens_with_its_purpose(path: &str, text: &str) -> bool {
    let text = match text.strip_prefix("#![no_main]\n") {
        Some(rest) if path.starts_with("fuzz/") => rest.trim_start(),
        Some(_) | None => text,
    };
    text.starts_with("//!")
}

fn is_test(path: &str) -> bool {
    let folders = ["/tests/", "/benches/", "/examples/"];
    path.ends_with("tests.rs") || folders.iter().any(|folder| path.contains(folder))
}

/// The line where `#[cfg(test)] mod ... {` begins, which ends the file; past the end without one.
fn first_line_of_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let module = |line: &&str| line.starts_with("mod ") && line.ends_with('{');
    let starts = lines.windows(2).position(|two| two[0] == "#[cfg(test)]" && module(&two[1]));
    starts.map_or(usize::MAX, |index| index + 1)
}

/// Whether `word` stands in `line` and is no part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(inside) && (word.ends_with('!') || !after.is_some_and(inside))
    })
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
}
