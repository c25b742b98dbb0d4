//! Where in the file a key stands, and which key stands somewhere.

use std::fmt::Write as _;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A line and a column, both counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    /// Of a byte of the text; beyond its end, its end.
    pub(crate) fn at(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

/// Where `https.certificates[0].cert` stands, or what it would stand in. `None` if not even that is
/// there.
pub(crate) fn of_key(text: &str, key: &str) -> Option<Place> {
    let table = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut inside = Value::Table(table.get_ref());
    for segment in segments(key) {
        let next = match (inside, segment) {
            (Value::Table(table), Segment::Name(name)) => {
                let entry = table.iter().find(|(key, _)| key.get_ref() == name);
                entry.map(|(key, value)| match value.get_ref() {
                    DeValue::Table(_) | DeValue::Array(_) => (key.span(), value.get_ref()),
                    plain => (value.span(), plain),
                })
            }
            (Value::Other(DeValue::Array(array)), Segment::Index(index)) => {
                array.get(index).map(|value| (value.span(), value.get_ref()))
            }
            _ => None,
        };
        let Some((span, value)) = next else { break };
        found = Some(span.start);
        inside = match value {
            DeValue::Table(table) => Value::Table(table),
            other => Value::Other(other),
        };
    }
    found.map(|byte| Place::at(text, byte))
}

/// The key whose value holds this byte. `None` where a name stands, or nothing.
pub(crate) fn key_at(text: &str, byte: usize) -> Option<String> {
    /// A value, what it stands in, and how it is called there.
    struct Node<'a> {
        parent: Option<usize>,
        segment: Segment<'a>,
        value: Value<'a>,
    }
    let table = DeTable::parse(text).ok()?;
    let root = Value::Table(table.get_ref());
    // A list and no recursion: whoever writes the file decides how deep it is.
    let mut nodes = vec![Node { parent: None, segment: Segment::Name(""), value: root }];
    let mut best: Option<(Range<usize>, usize)> = None;
    let mut at = 0;
    while let Some(node) = nodes.get(at) {
        let children: Vec<_> = match node.value {
            Value::Table(table) => {
                if table.iter().any(|(key, _)| key.span().contains(&byte)) {
                    return None;
                }
                table.iter().map(|(key, value)| (Segment::Name(key.get_ref()), value)).collect()
            }
            Value::Other(DeValue::Array(array)) => {
                array.iter().enumerate().map(|(i, value)| (Segment::Index(i), value)).collect()
            }
            Value::Other(_) => Vec::new(),
        };
        for (segment, value) in children {
            let span = value.span();
            let closer = |(other, _): &(Range<usize>, usize)| span.start >= other.start;
            if span.contains(&byte) && best.as_ref().is_none_or(closer) {
                best = Some((span, nodes.len()));
            }
            let value = match value.get_ref() {
                DeValue::Table(table) => Value::Table(table),
                other => Value::Other(other),
            };
            nodes.push(Node { parent: Some(at), segment, value });
        }
        at += 1;
    }
    let mut path = Vec::new();
    let mut up = best.map(|(_, at)| at);
    while let Some(node) = up.and_then(|at| nodes.get(at)) {
        path.push(node.segment);
        up = node.parent;
    }
    path.pop();
    (!path.is_empty()).then(|| spelled(path.into_iter().rev()))
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Table(&'a DeTable<'a>),
    Other(&'a DeValue<'a>),
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Name(&'a str),
    Index(usize),
}

fn spelled<'a>(path: impl Iterator<Item = Segment<'a>>) -> String {
    let mut out = String::new();
    for segment in path {
        // Writing into a String cannot fail.
        let _ = match segment {
            Segment::Name(name) if out.is_empty() => write!(out, "{name}"),
            Segment::Name(name) => write!(out, ".{name}"),
            Segment::Index(index) => write!(out, "[{index}]"),
        };
    }
    out
}

/// Of a key of ours: names without dots, and numbers in brackets.
fn segments(key: &str) -> impl Iterator<Item = Segment<'_>> {
    key.split('.').flat_map(|part| {
        let (name, indices) = part.split_once('[').unwrap_or((part, ""));
        let indices = indices.split('[').filter_map(|text| text.strip_suffix(']')?.parse().ok());
        std::iter::once(Segment::Name(name)).chain(indices.map(Segment::Index))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "workers = 1\n[http]\nlisten = [\n  \"a\", \"ü\", \"b\"]\n[https]\n\
        certificates = [{ cert = \"c\", key = \"k\" }]\n[[registry.credentials]]\nname = \"x\"\n\
        [[registry.credentials]]\nname = \"y\"\n";

    #[test]
    fn keys_and_where_they_stand() {
        #[rustfmt::skip]
        let table = [
            // key                          line, column, and the key there
            ("workers",                     Some((1, 11)), Some("workers")),
            ("http.listen",                 Some((3, 1)),  None),
            ("http.listen[0]",              Some((4, 3)),  Some("http.listen[0]")),
            ("http.listen[2]",              Some((4, 13)), Some("http.listen[2]")),
            ("http.listen[3]",              Some((3, 1)),  None),
            ("http.idle_timeout",           Some((2, 2)),  None),
            ("https.certificates[0].cert",  Some((6, 26)), Some("https.certificates[0].cert")),
            ("https.certificates[0]",       Some((6, 17)), Some("https.certificates[0]")),
            ("registry.credentials[1].name", Some((10, 8)), Some("registry.credentials[1].name")),
            ("acme.email",                  None,          None),
        ];
        for (key, place, there) in table {
            let found = of_key(TEXT, key);
            assert_eq!(found.map(|found| (found.line, found.column)), place, "{key}");
            let Some(found) = found else { continue };
            let lines =
                TEXT.split_inclusive('\n').take(found.line - 1).map(str::len).sum::<usize>();
            let line = TEXT[lines..].chars().take(found.column - 1).map(char::len_utf8);
            assert_eq!(key_at(TEXT, lines + line.sum::<usize>()).as_deref(), there, "{key}");
        }
        assert_eq!((of_key("[", "x"), key_at("[", 0)), (None, None));
    }
}
