//! What the scripts on the host say, line by line.

use crate::step::Step;

/// Longest line that is kept, in characters.
const LINE_CHARS_MAX: usize = 300;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A step begins.
    Step(Step),
    /// Why it will not succeed.
    Why(String),
    /// The folder whose log is told from here on.
    LogOf(String),
    /// Last words of a script of the package.
    Log(String),
    /// With which status the script ended that we no longer heard.
    Ended(i32),
}

impl Heard {
    /// `None` for what none of our scripts says, such as the greeting of a shell.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut chars = line.chars();
        let kind = chars.next()?;
        let rest = chars.as_str();
        match kind {
            '@' => Step::named(rest).map(Self::Step),
            '!' => Some(Self::Why(printable(rest))),
            '<' => Some(Self::LogOf(printable(rest))),
            '>' => Some(Self::Log(printable(rest))),
            '%' => rest.parse().ok().map(Self::Ended),
            _ => None,
        }
    }
}

/// Nothing that could move a cursor or forge a line of a log.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LINE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_others_are_not() {
        #[rustfmt::skip]
        let table = [
            ("@switch",             Some(Heard::Step(Step::Switch))),
            ("@nonsense",           None),
            ("!no\x1b[2J tar",      Some(Heard::Why("no[2J tar".to_owned()))),
            ("<web-1",              Some(Heard::LogOf("web-1".to_owned()))),
            (">listening",          Some(Heard::Log("listening".to_owned()))),
            ("%3",                  Some(Heard::Ended(3))),
            ("%",                   None),
            ("%x",                  None),
            ("Welcome to Debian",   None),
            ("",                    None),
        ];
        for (line, wanted) in table {
            assert_eq!(Heard::read(line), wanted, "{line}");
        }
        let long = format!("!{}", "a".repeat(LINE_CHARS_MAX + 1));
        assert_eq!(Heard::read(&long), Some(Heard::Why("a".repeat(LINE_CHARS_MAX))));
    }
}
