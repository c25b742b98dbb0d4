//! What was ordered, and what may still be.
//!
//! An authority counts orders and failures over days and locks out whoever makes too many. The
//! ledger counts the same, a little more strictly, and is written down before an order is placed:
//! a proxy that is started again and again orders no more than one that runs on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::UnixMillis;

use crate::name::Name;

/// An authority, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ca(pub usize);

/// One order, or what was to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Larger than those of earlier entries.
    pub number: u64,
    /// With whom.
    pub ca: Ca,
    /// For whom.
    pub name: Name,
    /// When.
    pub at: UnixMillis,
    /// What became of it.
    pub fate: Fate,
    /// The name is not ordered from this authority again before.
    pub until: UnixMillis,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody knows: it is under way, or we ended before it did. Counts as a certificate and as a
    /// failure.
    Open,
    /// There is no certificate.
    Failed,
    /// There is one.
    Issued,
}

/// At most so many in any stretch of time this long.
#[derive(Clone, Copy, Debug)]
struct Limit {
    most: usize,
    within: Duration,
}

/// Let's Encrypt allows 300 new orders per account in 3 hours
/// (<https://letsencrypt.org/docs/rate-limits/>).
const ORDERS: Limit = Limit { most: 250, within: Duration::from_hours(3) };
/// It allows 5 failed validations per account and name in an hour.
const FAILURES: Limit = Limit { most: 4, within: Duration::from_hours(1) };
/// It allows 5 certificates for the same name in 7 days.
const CERTIFICATES: Limit = Limit { most: 4, within: Duration::from_hours(7 * 24) };
/// How long anything counts.
pub(crate) const REMEMBERED: Duration = CERTIFICATES.within;

/// The entries that still count. As many as [`ORDERS`] lets through in a week, for each authority.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Oldest first.
    names: BTreeMap<(Ca, Name), Vec<Entry>>,
    orders: BTreeMap<Ca, BTreeSet<(UnixMillis, u64)>>,
    last: u64,
}

impl Ledger {
    /// The number for the next entry.
    pub(crate) fn next_number(&self) -> u64 {
        self.last.saturating_add(1)
    }

    pub(crate) fn skip_to(&mut self, number: u64) {
        self.last = self.last.max(number);
    }

    /// Adds an entry, in place of one of the same number.
    pub(crate) fn put(&mut self, entry: Entry) {
        self.remove(entry.ca, &entry.name, entry.number);
        self.last = self.last.max(entry.number);
        self.orders.entry(entry.ca).or_default().insert((entry.at, entry.number));
        let entries = self.names.entry((entry.ca, entry.name.clone())).or_default();
        let place = entries.partition_point(|other| other.number < entry.number);
        entries.insert(place, entry);
    }

    /// An entry that was no order after all.
    pub(crate) fn remove(&mut self, ca: Ca, name: &Name, number: u64) {
        let key = (ca, name.clone());
        let Some(entries) = self.names.get_mut(&key) else { return };
        if let Some(place) = entries.iter().position(|entry| entry.number == number) {
            let entry = entries.remove(place);
            if let Some(orders) = self.orders.get_mut(&ca) {
                orders.remove(&(entry.at, number));
            }
        }
        if entries.is_empty() {
            self.names.remove(&key);
        }
    }

    pub(crate) fn get(&self, ca: Ca, name: &Name, number: u64) -> Option<&Entry> {
        self.entries(ca, name).iter().find(|entry| entry.number == number)
    }

    /// When this name may be ordered from this authority; a time that is past means now.
    pub(crate) fn open_at(&self, ca: Ca, name: &Name) -> UnixMillis {
        let entries = self.entries(ca, name);
        let newest = |counts: fn(Fate) -> bool| {
            entries.iter().rev().filter(move |entry| counts(entry.fate)).map(|entry| entry.at)
        };
        let orders = self.orders.get(&ca).into_iter().flatten().rev().map(|(at, _)| *at);
        [
            entries.last().map_or(UnixMillis(0), |entry| entry.until),
            FAILURES.open_at(newest(|fate| fate != Fate::Issued)),
            CERTIFICATES.open_at(newest(|fate| fate != Fate::Failed)),
            ORDERS.open_at(orders),
        ]
        .into_iter()
        .max()
        .unwrap_or_default()
    }

    /// How often in a row this authority has not given a certificate for this name.
    pub(crate) fn failures(&self, ca: Ca, name: &Name) -> usize {
        let entries = self.entries(ca, name).iter().rev();
        entries.take_while(|entry| entry.fate != Fate::Issued).count()
    }

    /// Nobody waits for the end of a back-off any more; the limits stand.
    pub(crate) fn forget_waits(&mut self) {
        for entry in self.names.values_mut().flatten() {
            entry.until = entry.at;
        }
    }

    /// Forgets what counts no more. A clock that was set back leaves entries in the future; they
    /// count from now on, and not from then.
    pub(crate) fn settle(&mut self, now: UnixMillis) {
        let all = std::mem::take(&mut self.names).into_values().flatten();
        self.orders.clear();
        for mut entry in all.filter(|entry| now.since(entry.at) < REMEMBERED) {
            if entry.at > now {
                (entry.at, entry.until) = (now, now);
            }
            self.put(entry);
        }
    }

    fn entries(&self, ca: Ca, name: &Name) -> &[Entry] {
        self.names.get(&(ca, name.clone())).map_or(&[], Vec::as_slice)
    }
}

impl Limit {
    /// When there is room, given when it was used, newest first.
    fn open_at(self, mut newest_first: impl Iterator<Item = UnixMillis>) -> UnixMillis {
        let oldest_of_most = newest_first.nth(self.most - 1);
        oldest_of_most.map_or(UnixMillis(0), |at| at.after(self.within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    fn entry(number: u64, name: &str, at: u64, fate: Fate) -> Entry {
        let (at, name) = (UnixMillis(at), Name::parse(name).unwrap());
        Entry { number, ca: Ca(0), name, at, fate, until: at }
    }

    /// `i` issued, `f` failed, `o` open, a minute apart; then when the next one may follow.
    #[test]
    fn limits() {
        #[rustfmt::skip]
        let table = [
            // entries   open at               why
            ("",         0,                    "nothing was ordered"),
            ("fff",      2 * MINUTE,           "three failures: only the last one's wait"),
            ("ffff",     HOUR,                 "four failures in an hour"),
            ("fffff",    HOUR + MINUTE,        "the second of five leaves the window last"),
            ("iii",      2 * MINUTE,           "three certificates"),
            ("iiii",     7 * DAY,              "four in a week"),
            ("ffii",     3 * MINUTE,           "each counts for itself"),
            ("oooo",     7 * DAY,              "what nobody knows of counts as both"),
            ("ofof",     HOUR,                 "as both"),
        ];
        for (script, open_at, why) in table {
            let mut ledger = Ledger::default();
            for (at, letter) in script.chars().enumerate() {
                let fate = match letter {
                    'i' => Fate::Issued,
                    'f' => Fate::Failed,
                    _ => Fate::Open,
                };
                let number = ledger.next_number();
                ledger.put(entry(number, "a.test", at as u64 * MINUTE, fate));
            }
            let name = Name::parse("a.test").unwrap();
            assert_eq!(ledger.open_at(Ca(0), &name), UnixMillis(open_at), "{script}: {why}");
            assert_eq!(ledger.open_at(Ca(1), &name), UnixMillis(0), "another authority");
        }
    }

    #[test]
    fn an_account_orders_so_much_and_no_more() {
        let mut ledger = Ledger::default();
        for number in 0..ORDERS.most as u64 {
            assert_eq!(ledger.open_at(Ca(0), &Name::parse("new.test").unwrap()).0, 0, "{number}");
            ledger.put(entry(number, &format!("n{number}.test"), number, Fate::Issued));
        }
        assert_eq!(ledger.open_at(Ca(0), &Name::parse("new.test").unwrap()).0, 3 * HOUR);
    }

    #[test]
    fn a_week_later_nothing_is_left() {
        let mut ledger = Ledger::default();
        ledger.put(entry(1, "a.test", 0, Fate::Issued));
        ledger.settle(UnixMillis(7 * DAY - 1));
        assert_eq!(ledger.names.len(), 1);
        ledger.settle(UnixMillis(7 * DAY));
        assert!(ledger.names.is_empty() && ledger.orders.values().all(BTreeSet::is_empty));
        assert_eq!(ledger.next_number(), 2, "numbers are not used again");
    }

    #[test]
    fn a_clock_that_was_ahead_locks_nobody_out() {
        let mut ledger = Ledger::default();
        for number in 0..4 {
            ledger.put(entry(number, "a.test", 365 * DAY, Fate::Failed));
        }
        ledger.settle(UnixMillis(DAY));
        assert_eq!(ledger.open_at(Ca(0), &Name::parse("a.test").unwrap()).0, DAY + HOUR);
    }
}
