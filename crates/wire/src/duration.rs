//! Durations as the protocol writes them: `500ms`, `1h30m`, or an integer of seconds (SPEC 2.2).

use std::fmt::Write as _;
use std::time::Duration;

use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::character::complete::digit1;
use nom::combinator::{all_consuming, map, opt};
use nom::multi::many1;
use nom::sequence::preceded;
use nom::{IResult, Parser};

/// The longest duration: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Why a text is no duration. Reads on after the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the form.
    #[error("must be a duration such as 500ms, 30s, 5m or 1h30m, or whole seconds")]
    Form,
    /// Longer than a year.
    #[error("must be at most a year")]
    TooLong,
    /// Zero where that makes no sense.
    #[error("must be longer than zero")]
    Zero,
}

/// Reads a duration.
///
/// # Errors
///
/// [`DurationError::Form`], [`DurationError::TooLong`].
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let seconds = map(all_consuming(digit1), |digits| parts(digits, "", 1_000_000_000));
    let sum = map(all_consuming(many1(part)), |parts: Vec<Option<u128>>| {
        parts.into_iter().try_fold(0_u128, |sum, part| sum.checked_add(part?))
    });
    let read: IResult<&str, Option<u128>> = alt((seconds, sum)).parse(text);
    let (_, nanos) = read.map_err(|_| DurationError::Form)?;
    let nanos = nanos.and_then(|nanos| u64::try_from(nanos).ok()).ok_or(DurationError::TooLong)?;
    let duration = Duration::from_nanos(nanos);
    if duration > LONGEST { Err(DurationError::TooLong) } else { Ok(duration) }
}

/// Reads a duration that is not zero.
///
/// # Errors
///
/// [`DurationError`].
pub fn parse_positive(text: &str) -> Result<Duration, DurationError> {
    let duration = parse(text)?;
    if duration.is_zero() { Err(DurationError::Zero) } else { Ok(duration) }
}

/// Writes a duration so that [`parse`] reads the same.
pub fn print(duration: Duration) -> String {
    let mut out = String::new();
    let mut left = duration.as_nanos();
    for (unit, nanos) in UNITS {
        let count = left / nanos;
        if count > 0 {
            // Writing into a String cannot fail.
            let _ = write!(out, "{count}{unit}");
            left %= nanos;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// Largest first.
const UNITS: [(&str, u128); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// One number with its unit, in nanoseconds; `None` when it does not fit.
fn part(text: &str) -> IResult<&str, Option<u128>> {
    let unit = alt((
        map(tag("h"), |_| 3_600_000_000_000),
        map(tag("ms"), |_| 1_000_000),
        map(tag("m"), |_| 60_000_000_000),
        map(tag("s"), |_| 1_000_000_000),
        map(alt((tag("µs"), tag("μs"), tag("us"))), |_| 1_000),
        map(tag("ns"), |_| 1),
    ));
    let (rest, (whole, fraction, unit)) =
        (digit1, opt(preceded(tag("."), digit1)), unit).parse(text)?;
    Ok((rest, parts(whole, fraction.unwrap_or_default(), unit)))
}

/// `whole.fraction` units in nanoseconds; digits of the fraction beyond nanoseconds are cut.
fn parts(whole: &str, fraction: &str, unit: u128) -> Option<u128> {
    let mut nanos = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    let mut worth = unit;
    for digit in fraction.chars().filter_map(|c| c.to_digit(10)) {
        worth /= 10;
        nanos = nanos.checked_add(u128::from(digit) * worth)?;
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        #[rustfmt::skip]
        let table = [
            ("500ms", 500_000_000), ("1.5s", 1_500_000_000), ("30s", 30_000_000_000),
            ("5m", 300_000_000_000), ("1h30m", 5_400_000_000_000), ("500µs", 500_000),
            ("500us", 500_000), ("30", 30_000_000_000), ("0", 0), ("0s", 0),
            ("1h1m1s1ms1us1ns", 3_661_001_001_001), ("0.5h", 1_800_000_000_000),
        ];
        for (text, nanos) in table {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "s", "-1s", "+1s", " 1s", "1 s", "1d", "1.s", ".5s", "1.5", "s1", "1e3s"] {
            assert_eq!(parse(text), Err(DurationError::Form), "{text:?}");
        }
        assert_eq!(parse("8760h"), Ok(LONGEST));
        let overflowing = "340282366920938463463374607431768211455ns2ns";
        for text in
            ["8760h1ns", "99999999999", "99999999999999999999999999999999999999999h", overflowing]
        {
            assert_eq!(parse(text), Err(DurationError::TooLong), "{text}");
        }
        assert_eq!(parse_positive("0ms"), Err(DurationError::Zero));
    }

    proptest::proptest! {
        #[test]
        fn printed_reads_back(nanos in 0..31_536_000_000_000_000u64) {
            let duration = Duration::from_nanos(nanos);
            proptest::prop_assert_eq!(parse(&print(duration)), Ok(duration));
        }
    }
}
