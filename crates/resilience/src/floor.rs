//! How slowly a body may come or go.
//!
//! A limit on the time between two pieces lets a sender of one byte a minute hold a connection, and
//! what it costs, for ever. This is a limit on the whole: so many bytes for the time that was spent
//! waiting for that side.

use std::time::Duration;

/// Time that is spent before anything is asked: for a start, and for a pause.
pub const FLOOR_GRACE: Duration = Duration::from_secs(20);
/// What a slow line carries ten times over.
pub const FLOOR_BYTES_PER_SECOND: u64 = 240;

/// One direction of one body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    waited: Duration,
}

impl Floor {
    /// Counts a wait, and says whether `bytes`, all that moved so far, are too few for all of the
    /// time that was waited.
    pub fn is_too_slow(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited = self.waited.saturating_add(waited);
        let counted = self.waited.saturating_sub(FLOOR_GRACE);
        // Down: half a second asks for half as much.
        let wanted = counted.as_millis().saturating_mul(u128::from(FLOOR_BYTES_PER_SECOND)) / 1000;
        u128::from(bytes) < wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_time() {
        let seconds = Duration::from_secs;
        #[rustfmt::skip]
        let table = [
            // waits                          bytes   too slow
            (vec![seconds(1)],                0,      false),
            (vec![FLOOR_GRACE],               0,      false),
            (vec![FLOOR_GRACE, seconds(1)],   0,      true),
            (vec![FLOOR_GRACE, seconds(1)],   239,    true),
            (vec![FLOOR_GRACE, seconds(1)],   240,    false),
            (vec![seconds(10); 8],            14_399, true),
            (vec![seconds(10); 8],            14_400, false),
            (vec![Duration::MAX, seconds(1)], 1 << 40, true),
        ];
        for (waits, bytes, expected) in table {
            let mut floor = Floor::default();
            let slow = waits.iter().fold(false, |_, wait| floor.is_too_slow(*wait, bytes));
            assert_eq!(slow, expected, "{waits:?} {bytes}");
        }
    }
}
