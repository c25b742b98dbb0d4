//! Which endpoint of a pool gets the request.
//!
//! Two passes over the members and nothing allocated. The first counts them by [`Class`] and
//! settles which class serves; the second picks in it. What [`Live`] says may change between
//! the two, so the second pass may come back empty-handed: then the first of the class gets it.

use std::sync::Arc;
use std::time::Duration;

use model::{Balance, Instant};

use crate::hash::spread;
use crate::{
    Choice, Decision, EndpointHealth, EndpointId, EndpointView, Live, Member, Pool, Sticky,
    Unavailable,
};

/// When to come back to a pool that has nothing usable. Ejections end and backends restart
/// within seconds.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// When to come back to a pool that has enough to do. Requests end.
const RETRY_FULL_AFTER: Duration = Duration::from_secs(1);

/// Picks the member of a pool that gets a request.
///
/// Connected endpoints are preferred, then those whose connection is lost, then those that no
/// health check has passed yet, then those with no share left, and when every endpoint is bad
/// those that failed a moment ago or fail their health checks, as if all were good. Of the ones
/// that failed a moment ago at most half a pool is left out: with more, some of them get their
/// share as if they were good, unless this request failed once already. Endpoints behind an open
/// circuit breaker, with `max_in_flight` requests or in maintenance get nothing.
///
/// A client that is stuck to an endpoint stays there while it is connected or away; of the
/// clients of an endpoint that drains, each leaves at a moment of its own.
///
/// In the class that serves, `balance` picks:
///
/// - `p2c`: two are drawn by weight and the cheaper one is taken: latency times load, where
///   `in_flight` counts by weight. So shares follow weights while idle and loads do while busy.
///   The two may be the same one: no endpoint starves for being a little slower.
/// - `round_robin`: with a counter as `draw`, one after the other; with weights, each exactly
///   as often as its weight says in every round. With a random draw, at random.
/// - `least_conn`: the fewest requests in flight by weight.
/// - `hash`: with a hash of the client as `draw`, always the same endpoint while it is there,
///   and only its own clients move when one comes or goes.
///
/// While any share in that class is below 100 percent, each member is left out with the
/// probability that it lacks, and one of the others is picked by weight (SPEC 12).
pub fn choose<'t>(pool: &'t Arc<Pool>, live: &impl Live, choice: &Choice<'_>) -> Decision<'t> {
    let ask = Ask { members: &pool.members, live, choice };
    match ask.pick(pool.config.options.balance) {
        Some(member) => Decision::Send { pool, member },
        None => ask.refuse(pool),
    }
}

/// How good an endpoint is, the best first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Connected,
    Away,
    Unchecked,
    /// Connected or away, with no share left.
    Spent,
    /// Failed a moment ago, or fails its health checks.
    Bad,
    /// Those of the bad ones that failed a moment ago.
    Ejected,
}

impl Class {
    const ALL: [Self; 5] = [Self::Connected, Self::Away, Self::Unchecked, Self::Spent, Self::Bad];

    fn of(view: &EndpointView) -> Option<Self> {
        use EndpointHealth as Health;
        match (view.health, view.share_percent) {
            (Health::Gone | Health::Open { .. } | Health::Full | Health::Maintenance, _) => None,
            (Health::Ejected | Health::Failing, _) => Some(Self::Bad),
            (Health::Up | Health::Away | Health::Unchecked, 0) => Some(Self::Spent),
            (Health::Up, _) => Some(Self::Connected),
            (Health::Away, _) => Some(Self::Away),
            (Health::Unchecked, _) => Some(Self::Unchecked),
        }
    }
}

/// What each draw is for, so that they do not depend on each other.
#[derive(Clone, Copy)]
enum Purpose {
    Half,
    First,
    Second,
    Keep,
    Kept,
    Any,
    Tie,
    Place,
}

/// [`Ask::random`] has three bits for it.
const _: () = assert!((Purpose::Place as u64) < 8);

/// One request's question to one pool.
struct Ask<'a, L> {
    members: &'a [Member],
    live: &'a L,
    choice: &'a Choice<'a>,
}

/// What the first pass found of one class.
#[derive(Clone, Copy, Default)]
struct Census {
    members: usize,
    weight: u64,
    /// The greatest common divisor of the weights.
    unit: u64,
    first: usize,
    /// Whether a drain or a ramp is under way.
    shifting: bool,
}

#[derive(Clone, Copy)]
struct Candidate {
    index: usize,
    weight: u64,
    endpoint: EndpointId,
    view: EndpointView,
}

impl<L: Live> Ask<'_, L> {
    fn pick(&self, balance: Balance) -> Option<usize> {
        if let [member] = self.members {
            let class = Class::of(&self.view(member));
            return (class.is_some() && !self.has_tried(member)).then_some(0);
        }
        if let Some(member) =
            self.choice.sticky.and_then(|sticky| self.where_it_was(sticky, balance))
        {
            return Some(member);
        }
        let (class, census) = self.serving(balance)?;
        if census.members == 1 {
            return Some(census.first);
        }
        let picked = match balance {
            Balance::Hash => self.by_place(class, census),
            _ if census.shifting => self.thinned(class),
            Balance::P2c => self.better_of_two(class, census),
            Balance::RoundRobin => self.in_turn(class, census),
            Balance::LeastConn => self.least_loaded(class),
        };
        Some(picked.unwrap_or(census.first))
    }

    /// Why nothing was picked.
    fn refuse<'t>(&self, pool: &'t Arc<Pool>) -> Decision<'t> {
        let (mut opens, mut full) = (None::<Instant>, false);
        for (member, of) in self.members.iter().enumerate().filter(|(_, of)| of.weight > 0) {
            match self.view(of).health {
                EndpointHealth::Maintenance => return Decision::Maintenance { pool, member },
                EndpointHealth::Open { until } => {
                    opens = Some(opens.map_or(until, |opens| opens.min(until)));
                }
                EndpointHealth::Full => full = true,
                EndpointHealth::Up
                | EndpointHealth::Away
                | EndpointHealth::Unchecked
                | EndpointHealth::Ejected
                | EndpointHealth::Failing
                | EndpointHealth::Gone => {}
            }
        }
        let (reason, retry_after) = match opens {
            _ if full => (Unavailable::Full, RETRY_FULL_AFTER),
            Some(until) => (Unavailable::Open, until.since(self.choice.now)),
            None => (Unavailable::Gone, RETRY_AFTER),
        };
        Decision::Unavailable { pool, reason, retry_after }
    }

    fn view(&self, member: &Member) -> EndpointView {
        self.live.member(member, self.choice.now)
    }

    fn has_tried(&self, member: &Member) -> bool {
        self.choice.tried.contains(&member.endpoint)
    }

    /// The member that the client is stuck to, if it can go on there.
    fn where_it_was(&self, sticky: Sticky, balance: Balance) -> Option<usize> {
        let index = self.members.iter().position(|m| m.weight > 0 && m.token == sticky.token)?;
        let member = self.members.get(index).filter(|member| !self.has_tried(member))?;
        let view = self.view(member);
        let serves = match Class::of(&view)? {
            Class::Connected | Class::Away => true,
            // All are new, or all are bad: no better place to be.
            class => self.serving(balance).is_some_and(|(best, _)| best == class),
        };
        let turn = scale(spread(sticky.client, member.token), 100);
        (serves && turn < u64::from(view.share_percent)).then_some(index)
    }

    /// The class that serves this request.
    fn serving(&self, balance: Balance) -> Option<(Class, Census)> {
        let mut counts = [Census::default(); Class::ALL.len()];
        let (mut endpoints, mut ejected) = (0, Census::default());
        for (index, member) in self.members.iter().enumerate().filter(|(_, m)| m.weight > 0) {
            let view = self.view(member);
            let Some(class) = Class::of(&view) else { continue };
            endpoints += 1;
            let weight = u64::from(member.weight);
            if view.health == EndpointHealth::Ejected {
                ejected.count(index, weight, &view, balance);
            }
            if !self.has_tried(member) {
                counts[class as usize].count(index, weight, &view, balance);
            }
        }
        let class = Class::ALL.into_iter().find(|class| counts[*class as usize].members > 0)?;
        let good = counts[class as usize];
        // At most half a pool is ejected (SPEC 4). Which of them are too many is drawn anew for
        // each request; one that failed already does not pay for the rule twice.
        let too_many = ejected.members.saturating_sub(endpoints / 2) as u64;
        if self.choice.tried.is_empty() && too_many > 0 && class != Class::Bad {
            let share = ejected.weight * too_many / ejected.members as u64;
            if self.below(good.weight + share, Purpose::Half, 0) < share {
                return Some((Class::Ejected, ejected));
            }
        }
        Some((class, good))
    }

    /// The untried members of a class.
    fn of(&self, class: Class) -> impl Iterator<Item = Candidate> {
        let usable = |member: &Member| member.weight > 0 && !self.has_tried(member);
        let members = self.members.iter().enumerate().filter(move |(_, member)| usable(member));
        members.filter_map(move |(index, member)| {
            let (endpoint, weight) = (member.endpoint, u64::from(member.weight));
            let view = self.view(member);
            let candidate = Candidate { index, weight, endpoint, view };
            let is_of = match class {
                Class::Ejected => view.health == EndpointHealth::Ejected,
                class => Class::of(&view) == Some(class),
            };
            is_of.then_some(candidate)
        })
    }

    fn better_of_two(&self, class: Class, census: Census) -> Option<usize> {
        let mut targets = [Purpose::First, Purpose::Second]
            .map(|purpose| (self.below(census.weight, purpose, 0), None));
        for candidate in self.of(class) {
            for (left, found) in &mut targets {
                if found.is_none() {
                    match left.checked_sub(candidate.weight) {
                        Some(rest) => *left = rest,
                        None => *found = Some(candidate),
                    }
                }
            }
        }
        match targets {
            [(_, Some(a)), (_, Some(b))] => {
                Some(if b.is_better_than(&a) { b.index } else { a.index })
            }
            [(_, a), (_, b)] => a.or(b).map(|candidate| candidate.index),
        }
    }

    fn in_turn(&self, class: Class, census: Census) -> Option<usize> {
        let round = census.weight / census.unit;
        let turn = self.choice.draw % round;
        // With weights, steps by the golden section that reach every place once a round: each
        // member comes as often as its weight says, and not in one run.
        let place =
            if round == census.members as u64 { turn } else { turn * stride(round) % round };
        let mut left = place * census.unit;
        self.of(class).find_map(|candidate| match left.checked_sub(candidate.weight) {
            Some(rest) => {
                left = rest;
                None
            }
            None => Some(candidate.index),
        })
    }

    fn least_loaded(&self, class: Class) -> Option<usize> {
        let load = |c: &Candidate| {
            let load = (u64::from(c.view.in_flight) + 1) * 1000 / c.weight;
            (load, self.random(Purpose::Tie, c.endpoint.0))
        };
        self.of(class).min_by_key(load).map(|candidate| candidate.index)
    }

    /// Weighted rendezvous: each endpoint draws a waiting time for this client that is shorter
    /// the heavier it is, and the shortest wins.
    fn by_place(&self, class: Class, census: Census) -> Option<usize> {
        let wait = |c: &Candidate| {
            let uniform = (self.random(Purpose::Place, c.endpoint.0) >> 11) + 1;
            -(uniform as f64 / (1_u64 << 53) as f64).ln() / c.weight as f64
        };
        let first = |candidates: &mut dyn Iterator<Item = Candidate>| {
            candidates.min_by(|a, b| wait(a).total_cmp(&wait(b))).map(|candidate| candidate.index)
        };
        let keeps = |candidate: &Candidate| !census.shifting || self.keeps(candidate);
        first(&mut self.of(class).filter(keeps)).or_else(|| first(&mut self.of(class)))
    }

    fn thinned(&self, class: Class) -> Option<usize> {
        let (mut kept, mut any) = (Reservoir::default(), Reservoir::default());
        for candidate in self.of(class) {
            let draw = |purpose| self.random(purpose, candidate.endpoint.0);
            if self.keeps(&candidate) {
                kept.offer(candidate.index, candidate.weight, draw(Purpose::Kept));
            }
            let share = u64::from(candidate.view.share_percent.clamp(1, 100));
            any.offer(candidate.index, candidate.weight * share, draw(Purpose::Any));
        }
        kept.picked.or(any.picked)
    }

    fn keeps(&self, candidate: &Candidate) -> bool {
        let percent = self.below(100, Purpose::Keep, candidate.endpoint.0);
        percent < u64::from(candidate.view.share_percent)
    }

    fn below(&self, bound: u64, purpose: Purpose, about: u64) -> u64 {
        scale(self.random(purpose, about), bound)
    }

    fn random(&self, purpose: Purpose, about: u64) -> u64 {
        spread(self.choice.draw, about << 3 | purpose as u64)
    }
}

impl Census {
    fn count(&mut self, index: usize, weight: u64, view: &EndpointView, balance: Balance) {
        if self.members == 0 {
            self.first = index;
        }
        self.members += 1;
        self.weight += weight;
        self.shifting |= view.share_percent < 100;
        if balance == Balance::RoundRobin {
            self.unit = gcd(self.unit, weight);
        }
    }
}

impl Candidate {
    /// An unknown latency is taken for the other one's, so that a new endpoint is neither
    /// flooded nor shunned before its first answer.
    fn is_better_than(&self, other: &Self) -> bool {
        let latency = |own: &Self, other: &Self| {
            let micros = [own, other].map(|c| u64::from(c.view.latency_micros));
            micros.into_iter().find(|micros| *micros > 0).unwrap_or(1)
        };
        self.cost(latency(self, other)) < other.cost(latency(other, self))
    }

    /// `latency * (in_flight / weight + 1)` for the usual weight of 100.
    fn cost(&self, latency: u64) -> u64 {
        latency.saturating_mul(u64::from(self.view.in_flight) * 100 + self.weight) / self.weight
    }
}

/// One of many that come one by one, by weight.
#[derive(Default)]
struct Reservoir {
    weight: u64,
    picked: Option<usize>,
}

impl Reservoir {
    fn offer(&mut self, index: usize, weight: u64, random: u64) {
        self.weight += weight;
        if scale(random, self.weight) < weight {
            self.picked = Some(index);
        }
    }
}

/// A random number made one below `bound`.
fn scale(random: u64, bound: u64) -> u64 {
    ((u128::from(random) * u128::from(bound)) >> 64) as u64
}

/// A step near the golden section of a round that has no divisor in common with it.
fn stride(round: u64) -> u64 {
    let start = round * 618 / 1000;
    (start.max(1)..round).find(|step| gcd(*step, round) == 1).unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
