//! What the documents name must exist: a document that nobody checks is wrong within a year.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::layers;
use crate::shell::root;
use crate::tree::{self, File};

const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";

/// Top-level folders: a word in backticks that starts with one of these is a path.
const FOLDERS: &[&str] = &["crates/", "bins/", "xtask/", "tests/", "fuzz/", "docs/", ".ci/"];

#[test]
fn links_resolve() {
    let files = tree::files();
    let there = |path: &Path| root().join(path).exists();
    let broken: Vec<String> = documents(&files).flat_map(|doc| broken_links(doc, there)).collect();
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn the_architecture_names_what_exists() {
    let files = tree::files();
    let document = files.iter().find(|file| file.path == ARCHITECTURE).expect(ARCHITECTURE);
    let text = document.text().expect("a document is text");
    assert_eq!(missing_paths(text), Vec::<String>::new());
    assert_eq!(unknown_names(text, &files), Vec::<String>::new());
}

/// The other direction: a crate that the picture leaves out is one nobody finds.
#[test]
fn the_architecture_names_every_crate() {
    let text = std::fs::read_to_string(root().join(ARCHITECTURE)).unwrap();
    let words: BTreeSet<&str> = in_backticks(&text).collect();
    let crates = layers::crates().into_iter().map(|name| format!("crates/{name}"));
    let left_out: Vec<String> = crates.filter(|path| !words.contains(path.as_str())).collect();
    assert_eq!(left_out, Vec::<String>::new());
}

#[test]
fn broken_links_are_seen() {
    let there = |path: &Path| path == Path::new("docs/TESTING.md") || path == Path::new("fuzz");
    #[rustfmt::skip]
    let table = [
        // text                                    broken
        ("[a](TESTING.md)",                        None),
        ("[a](TESTING.md#seeds)",                  None),
        ("[a](../docs/TESTING.md) [b](../fuzz/)",  None),
        ("[a](#here) [b](https://example.com/x)",  None),
        ("[a](OTHER.md)",                          Some("OTHER.md")),
        ("[a](/docs/TESTING.md)",                  Some("/docs/TESTING.md")),
        ("[a](../../TESTING.md)",                  Some("../../TESTING.md")),
        ("```\n[a](OTHER.md)\n```\n",              None),
        ("`[a](OTHER.md)`",                        None),
    ];
    for (text, broken) in table {
        let doc = File { path: "docs/A.md".to_owned(), bytes: text.as_bytes().to_vec() };
        let broken: Vec<String> =
            broken.into_iter().map(|link| format!("docs/A.md: {link} leads nowhere")).collect();
        assert_eq!(broken_links(&doc, there), broken, "{text}");
    }
}

#[test]
fn names_that_do_not_exist_are_seen() {
    assert_eq!(missing_paths("`crates/model`, `xtask/src/docs.rs`, `GET /crates/x`"), [""; 0]);
    assert_eq!(missing_paths("`crates/modle`"), ["crates/modle"]);

    let bytes = b"//! A.\npub struct Head;\nimpl Head { fn host() {} }\n".to_vec();
    let files = [File { path: "crates/routing/src/head.rs".to_owned(), bytes }];
    #[rustfmt::skip]
    let table = [
        // text                              unknown
        ("`routing::Head`",                  None),
        ("`routing::Head::host`",            None),
        ("`routing::{Head, host}`",          None),
        ("`std::time::Instant`, `Head`",     None),
        ("`routing::Header`",                Some("routing::Header")),
        ("`routing::Head::port`",            Some("routing::Head::port")),
        ("`routing::{Head, Port}`",          Some("routing::{Head, Port}")),
    ];
    for (text, unknown) in table {
        let unknown: Vec<String> = unknown.into_iter().map(str::to_owned).collect();
        assert_eq!(unknown_names(text, &files), unknown, "{text}");
    }
}

fn documents(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| {
        file.extension() == Some("md")
            && (file.path.starts_with("docs/") || file.path == file.name())
    })
}

fn broken_links(document: &File, there: impl Fn(&Path) -> bool) -> Vec<String> {
    let folder = Path::new(&document.path).parent().unwrap_or(Path::new(""));
    let text = without_code(document.text().expect("a document is text"));
    let broken = links(&text).filter(|link| {
        let path = link.split('#').next().unwrap_or(link);
        !path.is_empty() && !inside_the_tree(folder, path).is_some_and(|path| there(&path))
    });
    broken.map(|link| format!("{}: {link} leads nowhere", document.path)).collect()
}

/// The targets of `[text](target)`, those that lead out to the network left out.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link).filter(
        |link| !["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)),
    )
}

/// `None` for what leaves the tree: nobody else has our disk.
fn inside_the_tree(folder: &Path, link: &str) -> Option<PathBuf> {
    let mut path = folder.to_owned();
    for component in Path::new(link).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

fn missing_paths(text: &str) -> Vec<String> {
    in_backticks(text)
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| !word.contains(['*', ' ', '<']) && !root().join(word).exists())
        .map(str::to_owned)
        .collect()
}

/// Of the words like `wire::Framer` or `session::{Input, Output}`, those with a name that stands
/// nowhere in the sources of that crate.
fn unknown_names(text: &str, files: &[File]) -> Vec<String> {
    let crates = layers::crates();
    let known = |krate: &str, name: &str| {
        let folder = format!("crates/{krate}/src/");
        let sources = files.iter().filter(|file| file.path.starts_with(&folder));
        sources.filter_map(File::text).any(|source| words(source).any(|word| word == name))
    };
    in_backticks(text)
        .filter(|span| {
            let Some((krate, path)) = span.split_once("::") else { return false };
            crates.contains(&krate) && !words(path).all(|name| known(krate, name))
        })
        .map(str::to_owned)
        .collect()
}

/// Inline code only: the odd pieces of each line, outside of fences.
fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    outside_fences(text).flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn without_code(text: &str) -> String {
    let prose = |line: &str| line.split('`').step_by(2).collect::<Vec<_>>().join("");
    outside_fences(text).map(prose).collect::<Vec<_>>().join("\n")
}

fn outside_fences(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
