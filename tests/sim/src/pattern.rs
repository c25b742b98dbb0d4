//! What a connection is expected to be told: text with variables and gaps.

use std::collections::BTreeMap;

/// What variables stand for.
pub type Bindings = BTreeMap<String, String>;

/// A line with `$names` and `...` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
    Gap,
}

impl Pattern {
    /// Reads a pattern; every text is one.
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let part = if let Some(after) = rest.strip_prefix("...") {
                rest = after;
                Part::Gap
            } else if let Some((name, after)) = variable(rest) {
                rest = after;
                Part::Variable(name.to_owned())
            } else {
                plain.push(next);
                rest = &rest[next.len_utf8()..];
                continue;
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self(parts)
    }

    /// Whether `line` is what was expected; then variables that stood for nothing stand for what
    /// was there.
    pub fn matches(&self, line: &str, bindings: &mut Bindings) -> bool {
        let mut tried = bindings.clone();
        let matches = parts_match(&self.0, line, &mut tried);
        if matches {
            *bindings = tried;
        }
        matches
    }

    /// The pattern with what is known filled in.
    pub fn shown(&self, bindings: &Bindings) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Gap => "...".to_owned(),
                Part::Variable(name) => {
                    bindings.get(name).cloned().unwrap_or_else(|| format!("${name}"))
                }
            })
            .collect()
    }
}

/// A line with its variables filled in.
///
/// # Errors
///
/// The name of the first variable that stands for nothing.
pub fn fill(text: &str, bindings: &Bindings) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some((name, after)) = variable(rest) {
            filled.push_str(bindings.get(name).ok_or_else(|| name.to_owned())?);
            rest = after;
        } else {
            filled.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    Ok(filled)
}

/// `$name` at the beginning of a text, and what follows.
fn variable(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('$')?;
    let end = rest.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
    name.starts_with(|c: char| c.is_ascii_lowercase()).then_some((name, after))
}

fn parts_match(parts: &[Part], line: &str, bindings: &mut Bindings) -> bool {
    let Some((part, parts)) = parts.split_first() else {
        return line.is_empty();
    };
    match part {
        Part::Text(text) => {
            line.strip_prefix(text.as_str()).is_some_and(|rest| parts_match(parts, rest, bindings))
        }
        Part::Variable(name) => match bindings.get(name) {
            Some(value) => line
                .strip_prefix(value.clone().as_str())
                .is_some_and(|rest| parts_match(parts, rest, bindings)),
            None => {
                let end = line.find(['|', '"', ' ']).unwrap_or(line.len());
                let (value, rest) = line.split_at(end);
                bindings.insert(name.clone(), value.to_owned());
                !value.is_empty() && parts_match(parts, rest, bindings)
            }
        },
        Part::Gap => {
            let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
            for at in ends {
                let mut tried = bindings.clone();
                if parts_match(parts, &line[at..], &mut tried) {
                    *bindings = tried;
                    return true;
                }
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_bound_once() {
        let mut bindings = Bindings::new();
        assert!(Pattern::parse("ACK|$sid").matches("ACK|api-1-x", &mut bindings));
        assert!(!Pattern::parse("ACK|$sid").matches("ACK|api-1-y", &mut bindings));
        assert!(Pattern::parse("{\"a\":\"$sid\"}").matches("{\"a\":\"api-1-x\"}", &mut bindings));
        assert_eq!(fill("PING|$sid|t", &bindings), Ok("PING|api-1-x|t".to_owned()));
        assert_eq!(fill("PING|$other", &bindings), Err("other".to_owned()));
        assert_eq!(Pattern::parse("$sid $b...").shown(&bindings), "api-1-x $b...");
    }

    #[test]
    fn gaps_and_text() {
        let table = [
            ("ERROR|...", "ERROR|anything", true),
            ("ERROR|...", "ERROR|", true),
            ("ERROR|...", "OK", false),
            ("{...\"a\":1...}", "{\"b\":2,\"a\":1,\"c\":3}", true),
            ("{...\"a\":1...}", "{\"b\":2}", false),
            ("OK", "OK ", false),
            ("$", "$", true),
            ("ACK|$sid", "ACK|", false),
            ("...|$a", "x|y", true),
        ];
        for (pattern, line, matches) in table {
            let mut bindings = Bindings::new();
            assert_eq!(Pattern::parse(pattern).matches(line, &mut bindings), matches, "{pattern}");
        }
    }

    #[test]
    fn what_does_not_match_binds_nothing() {
        let mut bindings = Bindings::new();
        assert!(!Pattern::parse("ACK|$sid|x").matches("ACK|a|y", &mut bindings));
        assert!(bindings.is_empty());
    }
}
