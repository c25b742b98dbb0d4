//! Names of services that were known once, so that DNS denies none of them.
//!
//! A name is remembered when it comes for the first time, and stays when it leaves: what is not
//! there after a restart, a session that never returned for one, was known nevertheless.

use imbl::OrdMap;

use crate::Record;
use crate::names::{Reversed, is_above};

/// Names that are remembered after their service left; the newest ones.
const DEPARTED_MAX: usize = 10_000;

/// Names of an earlier life that are taken: departed ones, and all that may live.
const RESTORED_MAX: usize = 100_000;

/// Names, in lower case, of which there is no service, and was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departed {
    numbers: OrdMap<Reversed, u64>,
    order: OrdMap<u64, Box<str>>,
    last: u64,
}

impl Departed {
    /// Takes what was remembered. Whoever is there will arrive.
    pub(crate) fn restore(&mut self, names: Vec<(Box<str>, u64)>, records: &mut Vec<Record>) {
        for (name, number) in names {
            self.last = self.last.max(number);
            self.insert(name, number);
        }
        while self.order.len() > RESTORED_MAX {
            self.forget_oldest(records);
        }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.numbers.contains_key(&Reversed::of(name))
    }

    /// Whether one of the names is below this one.
    pub(crate) fn is_above(&self, name: &Reversed) -> bool {
        is_above(&self.numbers, name)
    }

    /// A service came.
    pub(crate) fn arrive(&mut self, name: &str, records: &mut Vec<Record>) {
        match self.numbers.remove(&Reversed::of(name)) {
            Some(number) => drop(self.order.remove(&number)),
            None => {
                self.last += 1;
                records.push(Record::PutName(name.into(), self.last));
            }
        }
    }

    /// The last service of that name left.
    pub(crate) fn depart(&mut self, name: &str, records: &mut Vec<Record>) {
        self.last += 1;
        self.insert(name.into(), self.last);
        records.push(Record::PutName(name.into(), self.last));
        // One for one: after a restart there are more for a while, until those who live have
        // come, and they must not push out those who left.
        if self.order.len() > DEPARTED_MAX {
            self.forget_oldest(records);
        }
    }

    fn forget_oldest(&mut self, records: &mut Vec<Record>) {
        let Some((oldest, name)) = self.order.get_min().cloned() else { return };
        self.order.remove(&oldest);
        self.numbers.remove(&Reversed::of(&name));
        records.push(Record::RemoveName(name));
    }

    fn insert(&mut self, name: Box<str>, number: u64) {
        if let Some(earlier) = self.numbers.insert(Reversed::of(&name), number) {
            self.order.remove(&earlier);
        }
        self.order.insert(number, name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Image;

    #[test]
    fn so_many_and_no_more() {
        let (mut departed, mut records, mut image) =
            (Departed::default(), Vec::new(), Image::default());
        let name = |n: usize| format!("s{n}");
        for n in 0..=DEPARTED_MAX {
            departed.arrive(&name(n), &mut records);
            departed.depart(&name(n), &mut records);
            assert_eq!(departed.contains(&name(0)), n < DEPARTED_MAX, "{n}");
        }
        // The plain reading looks at every name for each record.
        records.drain(..records.len() - 7).for_each(drop);
        records.iter().for_each(|record| image.apply(record));
        let newest: Vec<_> = image.names.iter().map(|(name, _)| &**name).collect();
        assert_eq!(newest, ["s9998", "s9999", "s10000"]);
        assert!(records.contains(&Record::RemoveName("s0".into())));

        let mut restored = Departed::default();
        restored.restore(image.names, &mut Vec::new());
        assert!(restored.contains("s10000") && !restored.contains("s0"));
        let mut records = Vec::new();
        restored.arrive("s10000", &mut records);
        assert_eq!(records, [], "it is remembered already");
        restored.depart("s10000", &mut records);
        assert_eq!(records, [Record::PutName("s10000".into(), departed.last + 1)]);
    }

    /// After a restart all names look departed until those who live have come.
    #[test]
    fn those_who_live_do_not_push_out_those_who_left() {
        let name = |n: u64| -> Box<str> { format!("s{n}").into() };
        let most = DEPARTED_MAX as u64;
        let mut restored = Departed::default();
        restored.restore((0..2 * most).map(|n| (name(n), n)).collect(), &mut Vec::new());
        let mut records = Vec::new();
        restored.depart("late", &mut records);
        assert_eq!(records.pop(), Some(Record::RemoveName("s0".into())), "one for one");
        (most..2 * most).for_each(|n| restored.arrive(&name(n), &mut records));
        assert!((1..most).all(|n| restored.contains(&name(n))) && restored.contains("late"));

        let many = RESTORED_MAX as u64 + 2;
        let (mut restored, mut records) = (Departed::default(), Vec::new());
        restored.restore((0..many).map(|n| (name(n), n)).collect(), &mut records);
        assert_eq!(records, [Record::RemoveName("s0".into()), Record::RemoveName("s1".into())]);
    }
}
