//! JSON as people read it: in the order it was written, as tables and lists of keys.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value that keeps the order of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Scalar(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text; `None` if it is not JSON.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            Self::Scalar(_) | Self::List(_) => None,
        }
    }

    /// The text of a scalar.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) => Some(text),
            Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The elements of a list; none of anything else.
    pub(crate) fn elements(&self) -> &[Self] {
        match self {
            Self::List(elements) => elements,
            Self::Scalar(_) | Self::Object(_) => &[],
        }
    }

    /// For people, each line with its line feed: a table of a list of objects, `key: value` of an
    /// object.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Scalar(text) => format!("{text}\n"),
            Self::Object(entries) => entries
                .iter()
                .map(|(key, value)| match value {
                    Self::List(rows) if rows.iter().any(|row| matches!(row, Self::Object(_))) => {
                        let table = table(rows);
                        let rows: String =
                            table.lines().map(|line| format!("  {line}\n")).collect();
                        format!("{key}:\n{rows}")
                    }
                    Self::Scalar(_) | Self::List(_) | Self::Object(_) => {
                        format!("{key}: {}\n", value.cell())
                    }
                })
                .collect(),
            Self::List(rows) if rows.iter().any(|row| matches!(row, Self::Object(_))) => {
                table(rows)
            }
            Self::List(elements) => {
                elements.iter().map(|element| format!("{}\n", element.cell())).collect()
            }
        }
    }

    /// On one line, without blanks at its ends.
    pub(crate) fn cell(&self) -> String {
        match self {
            Self::Scalar(text) => text.clone(),
            Self::List(elements) if elements.is_empty() => "-".to_owned(),
            Self::List(elements) => {
                elements.iter().map(Self::cell).collect::<Vec<String>>().join(",")
            }
            Self::Object(entries) => entries
                .iter()
                .map(|(key, value)| format!("{key}={}", value.cell()))
                .collect::<Vec<String>>()
                .join(" "),
        }
    }
}

/// One row an object, one column a key, in the order in which keys appear.
fn table(rows: &[Json]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for row in rows {
        if let Json::Object(entries) = row {
            for (key, _) in entries {
                if !columns.contains(&key.as_str()) {
                    columns.push(key);
                }
            }
        }
    }
    let head: Vec<String> = columns.iter().map(|column| column.to_uppercase()).collect();
    let body = rows.iter().map(|row| {
        let cell = |column: &&str| row.get(column).map_or_else(|| "-".to_owned(), Json::cell);
        columns.iter().map(cell).collect()
    });
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let width = |at: usize| {
        let cells = lines.iter().filter_map(|line| line.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let shown = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let text = cells.collect::<Vec<String>>().join("  ");
        format!("{}\n", text.trim_end())
    };
    lines.iter().map(shown).collect()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Scalar("-".to_owned()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Scalar(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Scalar(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Scalar(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Scalar(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Scalar(shown(value)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Json::List(elements))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Json>()? {
                    entries.push((shown(&key), value));
                }
                Ok(Json::Object(entries))
            }
        }
        /// Whatever a service put there, it does not steer the terminal.
        fn shown(text: &str) -> String {
            text.replace(char::is_control, "?")
        }
        deserializer.deserialize_any(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_shown_in_its_own_order() {
        let table = [
            (r#"{"z":1,"a":null,"m":[],"n":{"k":true}}"#, "z: 1\na: -\nm: -\nn: k=true\n"),
            (r#"["r1","r2"]"#, "r1\nr2\n"),
            ("[]", ""),
            (r#""a\u001b[31m""#, "a?[31m\n"),
            (
                r#"[{"route_id":"r1","domains":["a","b"]},{"route_id":"r10","extra":0.5}]"#,
                "ROUTE_ID  DOMAINS  EXTRA\nr1        a,b      -\nr10       -        0.5\n",
            ),
            (r#"{"k\u001b[2J":"v\u009b"}"#, "k?[2J: v?\n"),
            (r#"{"n":1,"rows":[{"id":"r1"}]}"#, "n: 1\nrows:\n  ID\n  r1\n"),
        ];
        for (text, shown) in table {
            assert_eq!(Json::parse(text).unwrap().shown(), shown, "{text}");
        }
        for text in ["", "{", "{}x", &"[".repeat(100_000)] {
            assert_eq!(Json::parse(text), None);
        }
    }
}
