//! Parameters, by name or by position.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::Error;

/// Parameters that mean nothing and are told; of a name that many bytes at most.
const IGNORED_MAX: usize = 16;
const IGNORED_BYTES_MAX: usize = 64;

/// Parameters under their names. What is not known is not looked at, as the hub does.
#[derive(Debug, Default)]
pub(crate) struct Params {
    given: Map<String, Value>,
    ignored: Ignored,
}

/// Names of parameters that mean nothing: of clients of a newer hub, or misspelled.
pub(crate) type Ignored = Vec<Box<str>>;

/// What an update says about one parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Given<T> {
    /// Leave it.
    No,
    /// Take it away.
    Null,
    /// Make it this.
    Value(T),
}

impl Params {
    /// Reads an object, or an array of values for `names`. In an array `null` stands for what is
    /// not given: there is no other way to leave something out.
    ///
    /// # Errors
    ///
    /// -32602.
    pub(crate) fn read(params: Option<&RawValue>, names: &[&str]) -> Result<Self, Error> {
        let Some(params) = params else { return Ok(Self::default()) };
        let value: Value =
            serde_json::from_str(params.get()).map_err(|e| Error::params(e.to_string()))?;
        match value {
            Value::Object(given) => {
                let ignored = given.keys().filter(|name| !names.contains(&name.as_str()));
                let told = ignored.take(IGNORED_MAX).map(|name| {
                    let end = name.floor_char_boundary(IGNORED_BYTES_MAX);
                    name.get(..end).unwrap_or(name).into()
                });
                Ok(Self { ignored: told.collect(), given })
            }
            Value::Array(values) if values.len() > names.len() => {
                let reason = format!("at most {} parameters: {}", names.len(), names.join(", "));
                Err(Error::params(reason))
            }
            Value::Array(values) => {
                let each = names.iter().map(|name| (*name).to_owned()).zip(values);
                let given = each.filter(|(_, value)| !value.is_null()).collect();
                Ok(Self { given, ignored: Ignored::new() })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Err(Error::params("params must be an object or an array"))
            }
        }
    }

    /// What means nothing.
    pub(crate) fn ignored(self) -> Ignored {
        self.ignored
    }

    /// A text that has to be there.
    pub(crate) fn text(&self, name: &str) -> Result<&str, Error> {
        self.text_if_given(name)?.ok_or_else(|| Error::params(format!("{name} is missing")))
    }

    /// A text, or nothing.
    pub(crate) fn text_if_given(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.given.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::params(format!("{name} must be a string"))),
        }
    }

    /// A text that may be taken away.
    pub(crate) fn text_or_null(&self, name: &str) -> Result<Given<&str>, Error> {
        match self.given.get(name) {
            Some(Value::Null) => Ok(Given::Null),
            _ => Ok(self.text_if_given(name)?.map_or(Given::No, Given::Value)),
        }
    }

    /// A whole number, or nothing.
    pub(crate) fn number_if_given(&self, name: &str) -> Result<Option<i64>, Error> {
        match self.given.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let wrong = || Error::params(format!("{name} must be a whole number"));
                value.as_i64().map(Some).ok_or_else(wrong)
            }
        }
    }

    /// Yes, no, or nothing.
    pub(crate) fn flag_if_given(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.given.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(Error::params(format!("{name} must be true or false"))),
        }
    }

    /// Parameters for a method that is called through another one.
    pub(crate) fn inner(&self, name: &str) -> Result<Option<Box<RawValue>>, Error> {
        match self.given.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value @ (Value::Object(_) | Value::Array(_))) => {
                let raw = serde_json::value::to_raw_value(value);
                raw.map(Some).map_err(|error| Error::internal(error.to_string()))
            }
            Some(_) => Err(Error::params(format!("{name} must be an object or an array"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_is_told_up_to_a_bound() {
        let ignored = |given: &Map<String, Value>| {
            let params = serde_json::value::to_raw_value(given).unwrap();
            Params::read(Some(&params), &["name"]).unwrap().ignored()
        };
        let many =
            |count: usize| Map::from_iter((0..count).map(|n| (format!("n{n}"), Value::Null)));
        assert_eq!(ignored(&Map::from_iter([("name".to_owned(), Value::Null)])), Ignored::new());
        assert_eq!(ignored(&many(IGNORED_MAX)).len(), IGNORED_MAX);
        assert_eq!(ignored(&many(IGNORED_MAX + 1)).len(), IGNORED_MAX);
        for (long, told) in [("x".repeat(64), 64), ("x".repeat(65), 64), ("€".repeat(22), 63)] {
            let told_of = ignored(&Map::from_iter([(long.clone(), Value::Null)]));
            assert_eq!(told_of[0].len(), told, "{long}");
        }
    }
}
