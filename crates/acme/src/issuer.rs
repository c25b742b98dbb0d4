//! Who needs a certificate, from whom, and when.
//!
//! Names come and go with the routes that services register; certificates age. From both, and from
//! the ledger of what was ordered, follows what to do next.
//!
//! ```text
//!            want                 next                    finish
//!   (none) --------> due at t ----------> in flight ------------------> due again:
//!                       ^      now >= t                  Issued      at two thirds of its life
//!                       |                                Failed      when its back-off is over
//!                       +--------------------------------Unfinished  when the authority's is
//! ```
//!
//! The first authority that takes the order now gets it: one that failed, or that has got as many
//! orders as it takes, is passed over for the next one.
//!
//! # Driving it
//!
//! [`Issuer`] does no I/O and reads no clock. [`Issuer::next`] gives what to do until it gives
//! nothing; then sleep until [`Issuer::poll_timeout`] or the next input. What it gives is counted
//! at once: write a [`Start::Order`]'s entry down before the order is placed, and the one that
//! [`Issuer::finish`] gives after it. Time is wall time, as the validity of a certificate is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::UnixMillis;

use crate::backoff::Backoff;
use crate::ledger::{Ca, Entry, Fate, Ledger};
use crate::name::Name;

/// Names worked on at a time.
pub const IN_FLIGHT_MAX: usize = 4;
/// Placed and not finished for so long, an order is given up. Authorities forget it in a week or
/// less.
const ORDER_AGE_MAX: Duration = Duration::from_hours(24);
/// For a name at an authority.
const NAME_BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(60), factor: 3, longest: Duration::from_hours(6) };
/// For an authority.
const CA_BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(60), factor: 2, longest: Duration::from_hours(1) };
/// For so long an expired certificate is kept: some clients look away.
pub const KEPT_EXPIRED: Duration = Duration::from_hours(7 * 24);
/// Names that are told when they wait for an authority; of more, their number.
const WAITING_TOLD_MAX: usize = 10;
/// Names that are looked at for that, those first whose turn comes first.
const WAITING_LOOKED_AT_MAX: usize = 10_000;
/// At least, when an authority says that there were too many.
const LIMITED_WAIT: Duration = Duration::from_hours(1);

/// How an authority sees that a name leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// It asks for a text in clear text.
    Http01,
    /// It asks for a certificate with TLS.
    TlsAlpn01,
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: UnixMillis,
    /// The last one.
    pub not_after: UnixMillis,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// For whom.
    pub name: Name,
    /// With whom.
    pub ca: Ca,
    /// Ways to show that the name leads here, the first one that the authority offers to be taken.
    pub methods: Vec<Method>,
    /// How it begins.
    pub start: Start,
}

/// How a job begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With a new order; its entry is to be written down first.
    Order(Entry),
    /// With an order that was placed before.
    Resume {
        /// The number of its entry.
        number: u64,
    },
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody was asked for an order: the authority does not answer.
    NotPlaced,
    /// The order is placed and may still become a certificate, but the authority does not answer.
    Unfinished,
    /// There will be no certificate from this order.
    Failed(Blame),
    /// There is a certificate.
    Issued(Validity),
}

/// Whose fault it is that there is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The name's: it does not lead here, or the authority does not want it.
    Name,
    /// Ours: the authority says that there were too many.
    Limited,
    /// The authority's.
    Ca,
}

/// What follows from the end of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// With whom it was.
    pub ca: Ca,
    /// Whether there was a certificate before.
    pub is_renewal: bool,
    /// The entry as it is now, to be written down.
    pub entry: Option<Entry>,
    /// Whether the order is over and to be forgotten.
    pub is_over: bool,
    /// When the name's turn comes again, if it is still wanted.
    pub again_at: Option<UnixMillis>,
    /// The authority is left alone from now on, and others wait for that.
    pub waiting: Option<Waiting>,
}

/// Who waits while an authority is left alone, besides the name that it failed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How many need a certificate now that nobody can be asked for.
    pub count: usize,
    /// The first few of them.
    pub names: Vec<Name>,
    /// When the authority is asked again.
    pub until: UnixMillis,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Issuer {
    methods: Vec<Method>,
    cas: Vec<CaState>,
    ledger: Ledger,
    /// The names wanted; those in flight are due at no time.
    wanted: BTreeMap<Name, Option<UnixMillis>>,
    due: BTreeSet<(UnixMillis, Name)>,
    held: BTreeMap<Name, Validity>,
    /// Orders that are placed and not finished. At most one a name, and not all of them wanted.
    placed: BTreeMap<Name, Placed>,
    in_flight: BTreeMap<Name, InFlight>,
}

#[derive(Clone, Copy, Debug, Default)]
struct CaState {
    /// In a row.
    failures: usize,
    until: UnixMillis,
    /// How often it was left alone, ever: a job that began before it was last adds nothing.
    windows: u64,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    ca: Ca,
    number: u64,
    at: UnixMillis,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    ca: Ca,
    number: u64,
    /// Those of the authority when it began.
    windows: u64,
}

impl Issuer {
    /// Nothing is wanted yet. `cas` authorities, the first to be asked first.
    pub fn new(cas: usize, methods: Vec<Method>) -> Self {
        Self {
            methods,
            cas: vec![CaState::default(); cas],
            ledger: Ledger::default(),
            wanted: BTreeMap::new(),
            due: BTreeSet::new(),
            held: BTreeMap::new(),
            placed: BTreeMap::new(),
            in_flight: BTreeMap::new(),
        }
    }

    /// What was written down in an earlier life.
    pub fn restore(&mut self, entries: Vec<Entry>, now: UnixMillis) {
        entries.into_iter().for_each(|entry| self.ledger.put(entry));
        self.ledger.settle(now);
    }

    /// Entries get larger numbers than this.
    pub fn skip_to(&mut self, number: u64) {
        self.ledger.skip_to(number);
    }

    /// An order that was placed in an earlier life and not finished.
    pub fn restore_order(&mut self, name: Name, ca: Ca, number: u64, at: UnixMillis) {
        self.placed.insert(name, Placed { ca, number, at });
    }

    /// A certificate of an earlier life.
    pub fn hold(&mut self, name: Name, validity: Validity) {
        self.held.insert(name, validity);
    }

    /// This name is to have a certificate, from now on.
    pub fn want(&mut self, name: &Name, now: UnixMillis) {
        if self.wanted.contains_key(name) {
            return;
        }
        self.wanted.insert(name.clone(), None);
        if !self.in_flight.contains_key(name) {
            let at = self.needed_at(name, now);
            self.file(name, at);
        }
    }

    /// This name needs none any more. An order under way is finished, since it is paid for.
    pub fn unwant(&mut self, name: &Name) {
        if let Some(Some(at)) = self.wanted.remove(name) {
            self.due.remove(&(at, name.clone()));
        }
    }

    /// The next thing to do; nothing if there is none at `now`. `draw` is any number, another one
    /// each time.
    pub fn next(&mut self, now: UnixMillis, draw: u64) -> Option<Job> {
        while self.in_flight.len() < IN_FLIGHT_MAX {
            let (at, name) = self.due.first().filter(|(at, _)| *at <= now)?.clone();
            self.due.remove(&(at, name.clone()));
            if let Some(due) = self.wanted.get_mut(&name) {
                *due = None;
            }
            match self.begin(&name, now, draw) {
                Ok(job) => return Some(job),
                Err(later) => self.file(&name, later),
            }
        }
        None
    }

    /// When to call [`Issuer::next`] if nothing happens before.
    pub fn poll_timeout(&self) -> Option<UnixMillis> {
        let is_full = self.in_flight.len() >= IN_FLIGHT_MAX;
        self.due.first().filter(|_| !is_full).map(|(at, _)| *at)
    }

    /// The order of a job is placed: it can be resumed from now on.
    pub fn placed(&mut self, name: &Name) {
        if let Some(InFlight { ca, number, .. }) = self.in_flight.get(name).copied()
            && let Some(entry) = self.ledger.get(ca, name, number)
        {
            self.placed.insert(name.clone(), Placed { ca, number, at: entry.at });
        }
    }

    /// A job is at its end. `None` if none was in flight for the name.
    pub fn finish(
        &mut self,
        name: &Name,
        outcome: Outcome,
        now: UnixMillis,
        draw: u64,
    ) -> Option<Finished> {
        let InFlight { ca, number, windows } = self.in_flight.remove(name)?;
        let is_placed = self.placed.contains_key(name);
        let is_over = match outcome {
            Outcome::NotPlaced | Outcome::Unfinished => !is_placed,
            Outcome::Failed(_) | Outcome::Issued(_) => true,
        };
        let left_alone = self.blame(ca, windows, outcome, now, draw);
        if is_over {
            self.placed.remove(name);
        }
        if outcome == Outcome::NotPlaced && !is_placed {
            self.ledger.remove(ca, name, number);
        }
        let entry = self.ledger.get(ca, name, number).filter(|_| is_over).cloned();
        let entry = entry.map(|entry| self.close(entry, outcome, now, draw));
        let is_renewal = self.held.contains_key(name);
        if let Outcome::Issued(validity) = outcome {
            self.held.insert(name.clone(), validity);
        }
        let again_at = self.wanted.contains_key(name).then(|| {
            let at = self.needed_at(name, now).max(self.open_at(name));
            self.file(name, at);
            at
        });
        let waiting = left_alone.and_then(|until| self.waiting(name, until, now));
        Some(Finished { ca, is_renewal, entry, is_over, again_at, waiting })
    }

    /// Somebody mended something: whoever waits for the end of a back-off is tried now, as far as
    /// the ledger's limits allow.
    pub fn hurry(&mut self, now: UnixMillis) {
        self.ledger.forget_waits();
        self.cas.iter_mut().for_each(CaState::forgive);
        for (at, name) in std::mem::take(&mut self.due) {
            let at = at.min(self.needed_at(&name, now));
            self.file(&name, at);
        }
    }

    /// Forgets orders that count no more, and certificates that are of no use to anybody.
    pub fn settle(&mut self, now: UnixMillis) {
        self.ledger.settle(now);
        self.held.retain(|_, validity| !validity.is_long_over(now));
    }

    fn begin(&mut self, name: &Name, now: UnixMillis, draw: u64) -> Result<Job, UnixMillis> {
        if let Some(Placed { ca, number, at }) = self.placed.get(name).copied()
            && now.since(at) < ORDER_AGE_MAX
            && let Some(state) = self.cas.get(ca.0)
        {
            if state.until > now {
                return Err(state.until);
            }
            let windows = state.windows;
            self.in_flight.insert(name.clone(), InFlight { ca, number, windows });
            return Ok(self.job(name, ca, Start::Resume { number }));
        }
        self.placed.remove(name);
        let ready = (0..self.cas.len()).map(Ca).find(|ca| self.ca_open_at(*ca, name) <= now);
        let Some(ca) = ready else { return Err(self.open_at(name)) };
        let number = self.ledger.next_number();
        let failures = self.ledger.failures(ca, name) + 1;
        let until = now.after(NAME_BACKOFF.after(failures, draw));
        let name = name.clone();
        let entry = Entry { number, ca, name: name.clone(), at: now, fate: Fate::Open, until };
        let job = self.job(&name, ca, Start::Order(entry.clone()));
        self.ledger.put(entry);
        let windows = self.cas.get(ca.0).map_or(0, |state| state.windows);
        self.in_flight.insert(name, InFlight { ca, number, windows });
        Ok(job)
    }

    /// What has failed in one way is tried in another one next.
    fn job(&self, name: &Name, ca: Ca, start: Start) -> Job {
        let mut methods = self.methods.clone();
        let failures = self.ledger.failures(ca, name);
        let turn = failures.checked_rem(methods.len()).unwrap_or(0);
        methods.rotate_left(turn);
        Job { name: name.clone(), ca, methods, start }
    }

    /// An authority that does not answer is left alone, once for all that were with it at the time;
    /// one that does is not. Tells until when, if that begins now.
    fn blame(
        &mut self,
        ca: Ca,
        windows: u64,
        outcome: Outcome,
        now: UnixMillis,
        draw: u64,
    ) -> Option<UnixMillis> {
        let state = self.cas.get_mut(ca.0)?;
        match outcome {
            Outcome::NotPlaced
            | Outcome::Unfinished
            | Outcome::Failed(Blame::Ca | Blame::Limited) => {
                if state.windows != windows {
                    return None;
                }
                state.windows += 1;
                state.failures = state.failures.saturating_add(1);
                state.until = now.after(CA_BACKOFF.after(state.failures, draw));
                Some(state.until)
            }
            Outcome::Failed(Blame::Name) | Outcome::Issued(_) => {
                state.forgive();
                None
            }
        }
    }

    /// Who needs a certificate now, besides `name`, and can ask nobody for it.
    fn waiting(&self, name: &Name, until: UnixMillis, now: UnixMillis) -> Option<Waiting> {
        let due = self.due.iter().take(WAITING_LOOKED_AT_MAX);
        let due = due.map(|(_, other)| other).filter(|other| *other != name);
        let mut waiting =
            due.filter(|other| self.needed_at(other, now) <= now && self.open_at(other) > now);
        let names: Vec<Name> = waiting.by_ref().take(WAITING_TOLD_MAX).cloned().collect();
        let count = names.len() + waiting.count();
        (count > 0).then_some(Waiting { count, names, until })
    }

    fn close(&mut self, entry: Entry, outcome: Outcome, now: UnixMillis, draw: u64) -> Entry {
        let failures = self.ledger.failures(entry.ca, &entry.name);
        let wait = NAME_BACKOFF.after(failures, draw);
        let (fate, until) = match outcome {
            Outcome::Issued(_) => (Fate::Issued, entry.at),
            Outcome::Failed(Blame::Name) => (Fate::Failed, now.after(wait)),
            Outcome::Failed(Blame::Limited) => (Fate::Failed, now.after(wait.max(LIMITED_WAIT))),
            // The wait is the authority's.
            Outcome::Failed(Blame::Ca) | Outcome::NotPlaced | Outcome::Unfinished => {
                (Fate::Failed, entry.at)
            }
        };
        let entry = Entry { fate, until, ..entry };
        self.ledger.put(entry.clone());
        entry
    }

    /// When the name needs a certificate that it has not got.
    fn needed_at(&self, name: &Name, now: UnixMillis) -> UnixMillis {
        match self.held.get(name) {
            Some(validity) if !self.placed.contains_key(name) => validity.renewed_at(),
            _ => now,
        }
    }

    /// When some authority takes an order for the name; an order that is placed waits for its own.
    fn open_at(&self, name: &Name) -> UnixMillis {
        if let Some(placed) = self.placed.get(name) {
            return self.cas.get(placed.ca.0).map_or(UnixMillis(0), |state| state.until);
        }
        let all = (0..self.cas.len()).map(|ca| self.ca_open_at(Ca(ca), name));
        all.min().unwrap_or(UnixMillis(u64::MAX))
    }

    fn ca_open_at(&self, ca: Ca, name: &Name) -> UnixMillis {
        let until = self.cas.get(ca.0).map_or(UnixMillis(u64::MAX), |state| state.until);
        until.max(self.ledger.open_at(ca, name))
    }

    fn file(&mut self, name: &Name, at: UnixMillis) {
        if let Some(due) = self.wanted.get_mut(name) {
            *due = Some(at);
            self.due.insert((at, name.clone()));
        }
    }
}

impl CaState {
    /// It may be asked at once.
    fn forgive(&mut self) {
        self.failures = 0;
        self.until = UnixMillis(0);
    }
}

impl Validity {
    /// Whether it ended so long ago that nobody keeps it.
    pub fn is_long_over(self, now: UnixMillis) -> bool {
        self.not_after.after(KEPT_EXPIRED) < now
    }

    /// At two thirds of its life, as Let's Encrypt advises for 90 days and for 6
    /// (<https://letsencrypt.org/docs/integration-guide/>).
    fn renewed_at(self) -> UnixMillis {
        let life = self.not_after.since(self.not_before);
        self.not_before.after(life / 3 * 2)
    }
}
