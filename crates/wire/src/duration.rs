//! Durations as the protocol writes them: `500ms`, `1.5s`, `1h30m`, or seconds as an integer.

use std::time::Duration;

use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::character::complete::digit1;
use nom::combinator::{all_consuming, opt, value};
use nom::multi::fold_many1;
use nom::sequence::preceded;
use nom::{IResult, Parser};

/// Nothing lasts longer: 365 days (SPEC 2.2).
pub const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const NANOS_OF_SECOND: u64 = 1_000_000_000;
/// More digits after the point say nothing that a nanosecond could hold.
const FRACTION_DIGITS_MAX: usize = 15;

/// Why a text is no duration. Reads on after the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not in the grammar.
    #[error("must be a duration such as 500ms, 1.5s, 30s, 5m, 1h30m or a number of seconds")]
    Malformed,
    /// Begins with a minus.
    #[error("must not be negative")]
    Negative,
    /// More than [`DURATION_MAX`].
    #[error("must be at most a year (8760h)")]
    TooLong,
    /// Zero, where that makes no sense.
    #[error("must be longer than zero")]
    Zero,
}

/// Reads a duration: numbers with the units `h m s ms us µs ns`, or an integer, which is seconds.
/// Zero is one.
///
/// # Errors
///
/// [`DurationError`], but never [`DurationError::Zero`].
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim_matches(' ');
    if let Some(number) = text.strip_prefix('-') {
        // `-` alone, or before something else, is just malformed.
        return Err(nanos(number).map_or(DurationError::Malformed, |_| DurationError::Negative));
    }
    let nanos = nanos(text).ok_or(DurationError::Malformed)?;
    if nanos > DURATION_MAX.as_nanos() {
        return Err(DurationError::TooLong);
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| DurationError::TooLong)
}

/// The same where zero makes no sense.
///
/// # Errors
///
/// [`DurationError`].
pub fn parse_nonzero(text: &str) -> Result<Duration, DurationError> {
    match parse(text)? {
        Duration::ZERO => Err(DurationError::Zero),
        duration => Ok(duration),
    }
}

/// Writes a duration the shortest way that [`parse`] reads back to the nanosecond: `90s` is
/// `1m30s`, `1.5s` stays, `1.5ms` is `1500us`.
pub fn print(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if seconds == 0 && nanos > 0 {
        return match nanos {
            _ if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
            _ if nanos % 1000 == 0 => format!("{}us", nanos / 1000),
            _ => format!("{nanos}ns"),
        };
    }
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    for (number, unit) in [(hours, 'h'), (minutes, 'm')] {
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    if nanos > 0 {
        let fraction = format!("{nanos:09}");
        text.push_str(&format!("{seconds}.{}s", fraction.trim_end_matches('0')));
    } else if seconds > 0 || text.is_empty() {
        text.push_str(&format!("{seconds}s"));
    }
    text
}

/// Nanoseconds, at most somewhat above `u64::MAX` seconds; `None` for what is no duration.
fn nanos(text: &str) -> Option<u128> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(whole(text) * u128::from(NANOS_OF_SECOND));
    }
    let sum = fold_many1(part, || 0, u128::saturating_add);
    let parsed: IResult<&str, u128> = all_consuming(sum).parse(text);
    parsed.ok().map(|(_, nanos)| nanos)
}

/// `1.5h`, in nanoseconds.
fn part(text: &str) -> IResult<&str, u128> {
    let (rest, (digits, fraction)) =
        alt(((digit1, opt(preceded(tag("."), digit1))), ("", preceded(tag("."), digit1).map(Some))))
            .parse(text)?;
    let (rest, unit) = unit(rest)?;
    let unit = u128::from(unit);
    let fraction = fraction.map_or(0, |digits: &str| {
        let digits = digits.get(..FRACTION_DIGITS_MAX).unwrap_or(digits);
        whole(digits) * unit / 10u128.pow(digits.len() as u32)
    });
    Ok((rest, whole(digits) * unit + fraction))
}

/// In nanoseconds. `ms` stands before `m`: the longer one wins.
fn unit(text: &str) -> IResult<&str, u64> {
    alt((
        value(1, tag("ns")),
        value(1000, alt((tag("us"), tag("\u{b5}s"), tag("\u{3bc}s")))),
        value(1_000_000, tag("ms")),
        value(NANOS_OF_SECOND, tag("s")),
        value(60 * NANOS_OF_SECOND, tag("m")),
        value(3600 * NANOS_OF_SECOND, tag("h")),
    ))
    .parse(text)
}

/// The number, or a very large one if it does not fit: small enough that a product with any unit
/// does.
fn whole(digits: &str) -> u128 {
    if digits.is_empty() { 0 } else { u128::from(digits.parse().unwrap_or(u64::MAX)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        #[rustfmt::skip]
        let table = [
            // text          milliseconds  printed
            ("500ms",                 500, "500ms"),
            ("1.5s",                1_500, "1.5s"),
            ("30s",                30_000, "30s"),
            ("30",                 30_000, "30s"),
            ("5m",                300_000, "5m"),
            ("1h30m",           5_400_000, "1h30m"),
            ("90m",             5_400_000, "1h30m"),
            ("1h0m0s",          3_600_000, "1h"),
            ("1h1s",            3_601_000, "1h1s"),
            (".5s",                   500, "500ms"),
            ("1m30.25s",           90_250, "1m30.25s"),
            ("0",                       0, "0s"),
            ("0s",                      0, "0s"),
            ("2000us",                  2, "2ms"),
            ("8760h",      31_536_000_000, "8760h"),
            ("31536000",   31_536_000_000, "8760h"),
            (" 5s ",                5_000, "5s"),
        ];
        for (text, millis, printed) in table {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(print(duration), printed, "{text}");
        }
        for text in ["500us", "500µs", "500μs", "0.5ms", "500000ns"] {
            assert_eq!(parse(text), Ok(Duration::from_micros(500)), "{text}");
            assert_eq!(print(Duration::from_micros(500)), "500us");
        }
    }

    #[test]
    fn no_durations() {
        use DurationError::{Malformed, Negative, TooLong};
        let many = "9".repeat(1000);
        #[rustfmt::skip]
        let table = [
            ("",           Malformed), ("s",      Malformed), ("soon", Malformed),
            ("1.5",        Malformed), ("5 s",    Malformed), ("5d",   Malformed),
            ("1e3s",       Malformed), ("+5s",    Malformed), ("1.s",  Malformed),
            ("-",          Malformed), ("-soon",  Malformed), ("5s5",  Malformed),
            ("-5s",        Negative),  ("-1",     Negative),
            ("31536001",   TooLong),   ("8760h1ns", TooLong), (many.as_str(), TooLong),
            ("18446744073709551616h18446744073709551616h", TooLong),
        ];
        for (text, error) in table {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert_eq!(parse_nonzero("0s"), Err(DurationError::Zero));
        assert_eq!(parse_nonzero("1ns"), Ok(Duration::from_nanos(1)));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(nanos in 0..=DURATION_MAX.as_nanos() as u64, zeros in 0..10u32) {
            let unit = 10u64.pow(zeros);
            let duration = Duration::from_nanos(nanos / unit * unit);
            prop_assert_eq!(parse(&print(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9.hmsnuµ -]{0,24}") {
            if let Ok(duration) = parse(&text) {
                prop_assert!(duration <= DURATION_MAX);
            }
        }
    }
}
