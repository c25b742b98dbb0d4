//! What is written by a program and committed, so that it can be read without running anything.
//!
//! Between the markers `<!-- NAME:begin -->` and `<!-- NAME:end -->` the text is ours; the rest of the
//! file belongs to whoever writes it. A test fails when the text is not what would be written now.

use std::io::ErrorKind;

use crate::args;
use crate::shell::{root, say};

struct Generated {
    /// From the root.
    path: &'static str,
    /// Of the markers; `None` where the whole file is ours.
    name: Option<&'static str>,
    body: String,
}

fn generated() -> Vec<Generated> {
    vec![
        Generated {
            path: "CONTRIBUTING.md",
            name: Some("xtask"),
            body: format!("```text\n{}\n```", args::USAGE),
        },
        Generated {
            path: "docs/PROTOCOL.md",
            name: Some("commands"),
            body: wire::docs::protocol_table(),
        },
        Generated { path: "fuzz/registry.dict", name: None, body: wire::docs::fuzz_dictionary() },
    ]
}

/// Writes everything that is stale.
///
/// # Errors
///
/// A file is not there, or its markers are not as they should be.
pub(crate) fn write() -> Result<(), String> {
    for part in generated() {
        let (text, wanted) = now_and_wanted(&part)?;
        if text == wanted {
            say(&format!("{}: fresh", part.path));
        } else {
            std::fs::write(root().join(part.path), wanted)
                .map_err(|e| format!("{}: {e}", part.path))?;
            say(&format!("{}: written", part.path));
        }
    }
    Ok(())
}

fn now_and_wanted(part: &Generated) -> Result<(String, String), String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", part.path);
    let text = match std::fs::read_to_string(root().join(part.path)) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound && part.name.is_none() => String::new(),
        Err(e) => return Err(failed(&e)),
    };
    let wanted = match part.name {
        Some(name) => replaced(&text, name, &part.body).map_err(|e| failed(&e))?,
        None => part.body.clone(),
    };
    Ok((text, wanted))
}

/// Replaces what lies between the markers of `name`, each alone on its line.
fn replaced(text: &str, name: &str, body: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->\n"));
    let (before, rest) = split_at_line(text, &begin)?;
    let (_, after) = split_at_line(rest, &end)?;
    let body = body.trim_matches('\n');
    Ok(format!("{before}{begin}\n{body}\n\n{end}{after}"))
}

/// What stands before and after the one place of `line` in `text`.
fn split_at_line<'a>(text: &'a str, line: &str) -> Result<(&'a str, &'a str), String> {
    let whole = |at: &usize| *at == 0 || text[..*at].ends_with('\n');
    let places: Vec<usize> = text.match_indices(line).map(|(at, _)| at).filter(whole).collect();
    match places[..] {
        [at] => Ok((&text[..at], &text[at + line.len()..])),
        [] => Err(format!("has no line `{}`", line.trim_end())),
        [_, _, ..] => Err(format!("has more than one line `{}`", line.trim_end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_generated_is_fresh() {
        for part in generated() {
            let (text, wanted) = now_and_wanted(&part).unwrap();
            assert!(text == wanted, "{} is stale: run `cargo xtask codegen`", part.path);
        }
    }

    #[test]
    fn a_whole_file_may_be_new_and_a_part_needs_its_file() {
        let part = |name| Generated { path: "docs/none.txt", name, body: "new\n".to_owned() };
        assert_eq!(now_and_wanted(&part(None)), Ok((String::new(), "new\n".to_owned())));
        assert!(now_and_wanted(&part(Some("a"))).unwrap_err().starts_with("docs/none.txt: "));
    }

    #[test]
    fn only_what_lies_between_the_markers_changes() {
        let text = "# A\n<!-- a:begin -->\nold\n<!-- a:end -->\nB\n";
        let new = "# A\n<!-- a:begin -->\n\nnew\n\n<!-- a:end -->\nB\n";
        assert_eq!(replaced(text, "a", "new\n").as_deref(), Ok(new));
        assert_eq!(replaced(new, "a", "new").as_deref(), Ok(new), "a second time changes nothing");
    }

    #[test]
    fn markers_that_are_not_there_once_and_in_order_are_refused() {
        #[rustfmt::skip]
        let table = [
            ("# A\n",                                           "has no line `<!-- a:begin -->`"),
            ("<!-- a:begin -->\n",                              "has no line `<!-- a:end -->`"),
            ("<!-- a:end -->\n<!-- a:begin -->\n",              "has no line `<!-- a:end -->`"),
            ("see <!-- a:begin -->\n<!-- a:end -->\n",          "has no line `<!-- a:begin -->`"),
            ("<!-- a:begin -->\n<!-- a:begin -->\n",            "has more than one line `<!-- a:begin -->`"),
        ];
        for (text, why) in table {
            assert_eq!(replaced(text, "a", "new"), Err(why.to_owned()), "{text}");
        }
    }
}
