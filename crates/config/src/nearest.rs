//! The name that was probably meant.

/// Names further away than this were not meant.
const DISTANCE_MAX: usize = 3;

/// Turns `unknown field `x`, expected one of `a`, `b`` into a question about the nearest name.
pub(crate) fn with_hint(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else { return message.to_owned() };
    let Some((given, expected)) = rest.split_once('`') else { return message.to_owned() };
    // Every second piece between backticks is a name.
    let names = expected.split('`').skip(1).step_by(2);
    let best = names.map(|name| (distance(given, name), name)).min();
    match best {
        Some((near, name)) if near <= DISTANCE_MAX => {
            format!("unknown field `{given}`, did you mean `{name}`?")
        }
        Some(_) | None => message.to_owned(),
    }
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let cost = diagonal + usize::from(x != *y);
            diagonal = *above;
            left = cost.min(*above + 1).min(left + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, d) in
            [("", "", 0), ("a", "", 1), ("lisen", "listen", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (d, d), "{a} {b}");
        }
    }

    #[test]
    fn far_names_are_not_guessed() {
        let message = "unknown field `colour`, expected `listen` or `path`";
        assert_eq!(with_hint(message), message);
    }
}
