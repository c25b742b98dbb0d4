//! Whatever stands in a transcript, the reader says what it makes of it.

use proptest::prelude::*;
use proxyd_sim::pattern::{Bindings, Pattern, fill};
use proxyd_sim::transcript::parse;

proptest! {
    #[test]
    fn any_text_is_a_transcript_or_not(text in "(([0-9]{1,3}[><!?+ ]|[?+#] ?)?.{0,20}\n){0,8}") {
        let lines = text.lines().count();
        match parse(&text) {
            Ok(steps) => prop_assert!(steps.iter().all(|step| (1..=lines).contains(&step.line))),
            Err(malformed) => prop_assert!((1..=lines).contains(&malformed.line)),
        }
    }

    /// A line without variables and gaps matches itself and nothing longer.
    #[test]
    fn plain_text_matches_itself(line in "[A-Za-z0-9|{}:\" ]{0,40}") {
        let mut bindings = Bindings::new();
        prop_assert!(Pattern::parse(&line).matches(&line, &mut bindings));
        let longer = format!("{line}x");
        prop_assert!(!Pattern::parse(&line).matches(&longer, &mut bindings));
        prop_assert_eq!(fill(&line, &bindings), Ok(line));
    }

    /// What a pattern bound is what it shows and what fills the next line.
    #[test]
    fn bound_once_known_ever_after(head in "[A-Z_]{1,10}", value in "[a-z0-9-]{1,30}") {
        let mut bindings = Bindings::new();
        let pattern = Pattern::parse(&format!("{head}|$sid"));
        let line = format!("{head}|{value}");
        prop_assert!(pattern.matches(&line, &mut bindings));
        prop_assert_eq!(pattern.shown(&bindings), line);
        prop_assert_eq!(fill("$sid", &bindings), Ok(value));
    }
}
