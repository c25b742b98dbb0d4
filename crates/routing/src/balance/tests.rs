//! Who gets how much.

use std::cell::Cell;
use std::collections::BTreeMap;

use model::{
    BackendUrl, Generation, HostPattern, InstanceName, MatchKind, RouteConfig, RouteId, ServiceName,
};
use proptest::prelude::*;

use super::*;
use crate::RouteKey;
use crate::hash::spread;

const DRAWS: u64 = 20_000;

const UP: EndpointView = EndpointView {
    health: EndpointHealth::Up,
    in_flight: 0,
    latency_micros: 0,
    share_percent: 100,
};
const AWAY: EndpointView = EndpointView { health: EndpointHealth::Away, ..UP };
const EJECTED: EndpointView = EndpointView { health: EndpointHealth::Ejected, ..UP };
const GONE: EndpointView = EndpointView { health: EndpointHealth::Gone, ..UP };
const UNCHECKED: EndpointView = EndpointView { health: EndpointHealth::Unchecked, ..UP };
const FAILING: EndpointView = EndpointView { health: EndpointHealth::Failing, ..UP };
const FULL: EndpointView = EndpointView { health: EndpointHealth::Full, ..UP };
const MAINTENANCE: EndpointView = EndpointView { health: EndpointHealth::Maintenance, ..UP };
const OPEN: EndpointView = open(0);

const fn open(seconds: u64) -> EndpointView {
    let until = Instant::from_nanos(seconds * 1_000_000_000);
    EndpointView { health: EndpointHealth::Open { until }, ..UP }
}

const fn share(share_percent: u32) -> EndpointView {
    EndpointView { share_percent, ..UP }
}

const fn busy(in_flight: u32, latency_micros: u32) -> EndpointView {
    EndpointView { in_flight, latency_micros, ..UP }
}

/// The endpoint `n` is what stands at place `n`.
struct World<'a>(&'a [EndpointView]);

impl Live for World<'_> {
    fn member(&self, member: &Member, _: Instant) -> EndpointView {
        self.0[member.endpoint.0 as usize]
    }
}

/// A pool of endpoints with these weights, in this order.
fn pool(balance: Balance, weights: &[u32]) -> Arc<Pool> {
    let mut config = RouteConfig::default();
    config.options.balance = balance;
    let config = Arc::new(config);
    let member = |(n, weight): (usize, &u32)| Member {
        route: RouteId(n as u64 + 1),
        endpoint: EndpointId(n as u64),
        instance: InstanceName::parse("i").unwrap(),
        backend: BackendUrl::parse("http://b").unwrap(),
        config: Arc::clone(&config),
        token: n as u64,
        scope: 0,
        weight: *weight,
        since: Generation(0),
        applied: Generation(0),
    };
    let members = weights.iter().enumerate().map(member).collect();
    let key = RouteKey {
        domain: HostPattern::Any,
        path: "/".into(),
        kind: MatchKind::Prefix,
        priority: 0,
    };
    let service = ServiceName::parse("s").unwrap();
    Arc::new(Pool { key, service, members, config, scope: 0 })
}

fn pick(pool: &Arc<Pool>, views: &[EndpointView], draw: u64, tried: &[u64]) -> Option<usize> {
    let tried: Vec<EndpointId> = tried.iter().copied().map(EndpointId).collect();
    let choice = Choice { draw, tried: &tried, ..Choice::default() };
    match choose(pool, &World(views), &choice) {
        Decision::Send { member, .. } => Some(member),
        Decision::Unavailable { .. } | Decision::Maintenance { .. } => None,
        Decision::NoRoute => panic!("a pool is a route"),
    }
}

/// The percentage of many draws that each member gets.
fn percents(balance: Balance, weights: &[u32], views: &[EndpointView], tried: &[u64]) -> Vec<f64> {
    let pool = pool(balance, weights);
    let mut counts = vec![0; weights.len()];
    for draw in 0..DRAWS {
        if let Some(member) = pick(&pool, views, spread(draw, 99), tried) {
            counts[member] += 1;
        }
    }
    counts.into_iter().map(|count| f64::from(count) * 100.0 / DRAWS as f64).collect()
}

/// Five standard deviations of a share near one half, in percent: 0.35 each.
const NOISE: f64 = 1.8;

fn assert_shares(found: &[f64], expected: &[f64], why: &str) {
    for (found_one, expected_one) in found.iter().zip(expected) {
        let off = (found_one - expected_one).abs();
        // What gets nothing gets nothing at all.
        let allowed = if *expected_one == 0.0 { 0.0 } else { NOISE };
        assert!(off <= allowed, "{why}: {found:?} instead of {expected:?}");
    }
    assert_eq!(found.len(), expected.len());
}

/// What the endpoints are, which of them failed this request, the percentages, and why.
type Case<'a> = (&'a [EndpointView], &'a [u64], &'a [f64], &'a str);

#[test]
fn classes() {
    #[rustfmt::skip]
    let table: [Case<'_>; 28] = [
        // views                        tried    percent             why
        (&[UP, UP],                     &[],     &[50., 50.],        "both are fine"),
        (&[UP, AWAY],                   &[],     &[100., 0.],        "connected before away"),
        (&[UP, AWAY],                   &[0],    &[0., 100.],        "away once the other failed"),
        (&[AWAY, GONE],                 &[],     &[100., 0.],        "away before nothing"),
        (&[UP, EJECTED],                &[],     &[100., 0.],        "half a pool may be ejected"),
        (&[UP, EJECTED, EJECTED],       &[],     &[50., 25., 25.], "one of the two is too many, either one"),
        (&[UP, EJECTED, EJECTED],       &[1],    &[100., 0., 0.],    "but no second time in one request"),
        (&[AWAY, EJECTED],              &[],     &[100., 0.],        "away before ejected"),
        (&[EJECTED, EJECTED],           &[],     &[50., 50.],        "all bad: as if all were good"),
        (&[EJECTED, EJECTED],           &[0],    &[0., 100.],        "all bad, and one failed"),
        (&[EJECTED],                    &[],     &[100.],            "the only one, however bad"),
        (&[GONE, UP, UP],               &[],     &[0., 50., 50.],    "gone is gone"),
        (&[GONE, EJECTED, UP],          &[],     &[0., 0., 100.],    "and no part of the half"),
        (&[GONE],                       &[],     &[0.],              "even the only one"),
        (&[UP, UP],                     &[0, 1], &[0., 0.],          "all tried"),
        (&[share(0), AWAY],             &[],     &[0., 100.],        "drained to nothing before away"),
        (&[share(0), GONE],             &[],     &[100., 0.],        "the last one serves with no share left"),
        (&[UP, UNCHECKED],              &[],     &[100., 0.],        "gated until its first check has passed"),
        (&[AWAY, UNCHECKED],            &[],     &[100., 0.],        "also while the other is away"),
        (&[UNCHECKED, FAILING],         &[],     &[100., 0.],        "ungated while no other is usable"),
        (&[UNCHECKED, UNCHECKED],       &[],     &[50., 50.],        "a new pool serves at once"),
        (&[UP, FAILING, FAILING],       &[],     &[100., 0., 0.],    "failing ones know no half"),
        (&[FAILING, EJECTED],           &[],     &[50., 50.],        "all bad, each in its way"),
        (&[UP, FAILING, EJECTED],       &[],     &[100., 0., 0.],    "one ejected of three is not too many"),
        (&[UP, OPEN],                   &[],     &[100., 0.],        "an open breaker fails over"),
        (&[EJECTED, OPEN],              &[],     &[100., 0.],        "even to a bad one"),
        (&[UP, FULL, MAINTENANCE],      &[],     &[100., 0., 0.],    "full, and in maintenance"),
        (&[OPEN, FULL, MAINTENANCE],    &[],     &[0., 0., 0.],      "nobody left"),
    ];
    for balance in [Balance::P2c, Balance::RoundRobin, Balance::LeastConn, Balance::Hash] {
        for (views, tried, expected, why) in table {
            let weights = vec![100; views.len()];
            let found = percents(balance, &weights, views, tried);
            assert_shares(&found, expected, &format!("{balance:?}, {why}"));
        }
    }
}

#[test]
fn weights() {
    for balance in [Balance::P2c, Balance::RoundRobin, Balance::Hash] {
        let found = percents(balance, &[300, 100], &[UP, UP], &[]);
        assert_shares(&found, &[75., 25.], &format!("{balance:?}"));
        let found = percents(balance, &[1, 1000, 999], &[UP, UP, UP], &[]);
        assert_shares(&found, &[0.05, 50., 49.95], &format!("{balance:?}"));
        let found = percents(balance, &[0, 100, 100], &[UP, UP, UP], &[]);
        assert_shares(&found, &[0., 50., 50.], &format!("{balance:?}, a second route"));
    }
}

#[test]
fn drains() {
    #[rustfmt::skip]
    let table: [(&[EndpointView], &[f64], &str); 6] = [
        (&[UP, share(50)],               &[75., 25.],       "half of its usual half"),
        (&[UP, UP, UP, share(40)],       &[30., 30., 30., 10.], "the others take what it leaves"),
        (&[UP, share(1)],                &[99.5, 0.5],      "nearly nothing"),
        (&[UP, share(0)],                &[100., 0.],       "nothing while there is another"),
        (&[share(50), share(50)],        &[50., 50.],       "all draining: no refusal"),
        (&[share(10), GONE],             &[100., 0.],       "the last one serves it all"),
    ];
    for balance in [Balance::P2c, Balance::RoundRobin, Balance::LeastConn, Balance::Hash] {
        for (views, expected, why) in table {
            let found = percents(balance, &vec![100; views.len()], views, &[]);
            assert_shares(&found, expected, &format!("{balance:?}, {why}"));
        }
    }
}

#[test]
fn of_two_the_cheaper_one() {
    #[rustfmt::skip]
    let table: [(EndpointView, EndpointView, &[u32], f64, &str); 7] = [
        // one             other          weights       percent of one, and why
        (busy(0, 1000),    busy(0, 1000), &[100, 100],  50., "alike"),
        (busy(0, 1000),    busy(0, 3000), &[100, 100],  75., "slower: only when drawn twice"),
        (busy(9, 1000),    busy(0, 1000), &[100, 100],  25., "busier"),
        (busy(1, 1000),    busy(0, 3000), &[100, 100],  75., "busier and still quicker"),
        (busy(0, 0),       busy(0, 3000), &[100, 100],  50., "an unknown latency is the other's"),
        (busy(3, 0),       busy(0, 3000), &[100, 100],  25., "and does not hide load"),
        (busy(6, 1000),    busy(4, 1000), &[300, 100],  93.75, "load counts by weight"),
    ];
    for (one, other, weights, expected, why) in table {
        let found = percents(Balance::P2c, weights, &[one, other], &[]);
        assert_shares(&found, &[expected, 100. - expected], why);
    }
}

#[test]
fn least_loaded_by_weight() {
    for (one, other, weights, member) in [
        (busy(2, 0), busy(1, 0), [100, 100], 1),
        (busy(2, 0), busy(1, 0), [200, 100], 0),
        (busy(0, 9), busy(1, 1), [100, 100], 0),
    ] {
        let pool = pool(Balance::LeastConn, &weights);
        assert!((0..100).all(|draw| pick(&pool, &[one, other], draw, &[]) == Some(member)));
    }
}

#[test]
fn in_turn() {
    let table: [(&[u32], &[EndpointView], &str); 4] = [
        (&[100, 100, 100], &[UP, UP, UP], "012012012012"),
        (&[100, 100, 100], &[UP, GONE, UP], "020202020202"),
        (&[300, 100], &[UP, UP], "010001000100"),
        (&[400, 200, 100], &[UP, UP, UP], "010102001010"),
    ];
    for (weights, views, expected) in table {
        let pool = pool(Balance::RoundRobin, weights);
        let picked: String =
            (0..12).map(|turn| pick(&pool, views, turn, &[]).unwrap().to_string()).collect();
        assert_eq!(picked, expected, "{weights:?}");
    }
}

#[test]
fn a_client_stays_where_it_is() {
    let pool = pool(Balance::Hash, &[100; 5]);
    let all = [UP; 5];
    let mut without = all;
    without[2] = GONE;
    let mut drained = all;
    drained[2] = share(50);
    let mut moved = 0;
    for client in (0..1000).map(|n| spread(n, 1)) {
        let home = pick(&pool, &all, client, &[]);
        assert_eq!(pick(&pool, &all, client, &[]), home);
        for views in [without, drained] {
            let now = pick(&pool, &views, client, &[]);
            assert!(now == home || home == Some(2), "only clients of 2 move");
            moved += usize::from(now != home);
        }
    }
    // All of a fifth, and half of a fifth.
    assert!((240..360).contains(&moved), "{moved}");
}

/// SPEC 4: an open breaker is 503 with Retry-After, the last endpoint's maintenance its page.
#[test]
fn refusals() {
    #[rustfmt::skip]
    let table: [(&[EndpointView], &str, u64, &str); 8] = [
        // views                    reason         seconds  why
        (&[GONE],                   "gone",        5,       "nobody there"),
        (&[open(7)],                "open",        7,       "until it may be tried"),
        (&[open(7), open(3), GONE], "open",        3,       "the first that may be tried"),
        (&[FULL],                   "full",        1,       "requests end soon"),
        (&[open(7), FULL],          "full",        1,       "sooner than a breaker half-opens"),
        (&[MAINTENANCE],            "maintenance", 0,       "its page"),
        (&[GONE, MAINTENANCE],      "maintenance", 1,       "its page, although the other is gone"),
        (&[open(7), FULL, MAINTENANCE], "maintenance", 2,   "the page when no other is left"),
    ];
    for (views, expected, number, why) in table {
        let pool = pool(Balance::P2c, &vec![100; views.len()]);
        let told = match choose(&pool, &World(views), &Choice::default()) {
            Decision::NoRoute | Decision::Send { .. } => panic!("{why}"),
            Decision::Maintenance { member, .. } => ("maintenance", member as u64),
            Decision::Unavailable { reason, retry_after, .. } => {
                let reason = match reason {
                    Unavailable::Gone => "gone",
                    Unavailable::Open => "open",
                    Unavailable::Full => "full",
                };
                (reason, retry_after.as_secs())
            }
        };
        assert_eq!(told, (expected, number), "{why}");
    }
}

/// SPEC 4, sticky: with drains and health.
#[test]
fn a_cookie_keeps_a_client() {
    #[rustfmt::skip]
    let table: [(&[EndpointView], &[u64], f64, &str); 10] = [
        // views                 tried  stays  why
        (&[UP, UP],              &[],   100.,  "home"),
        (&[UP, AWAY],            &[],   100.,  "home is away and serves"),
        (&[UP, share(30)],       &[],   40.5,  "30 % stay, of the rest 15 % are drawn to it anew"),
        (&[UP, share(0)],        &[],     0.,  "nobody stays to the end"),
        (&[UP, EJECTED],         &[],     0.,  "home failed a moment ago"),
        (&[UP, UNCHECKED],       &[],     0.,  "home is new"),
        (&[UP, UP],              &[1],    0.,  "home failed this request"),
        (&[UNCHECKED, UNCHECKED],&[],   100.,  "all are new"),
        (&[FAILING, EJECTED],    &[],   100.,  "all are bad"),
        (&[UP, MAINTENANCE],     &[],     0.,  "home is in maintenance"),
    ];
    for (views, tried, expected, why) in table {
        let pool = pool(Balance::P2c, &vec![100; views.len()]);
        let tried: Vec<EndpointId> = tried.iter().copied().map(EndpointId).collect();
        let stays = |client| {
            let sticky = Some(Sticky { token: 1, client });
            let draw = spread(client, 5);
            let choice = Choice { draw, tried: &tried, sticky, ..Choice::default() };
            matches!(choose(&pool, &World(views), &choice), Decision::Send { member: 1, .. })
        };
        let stayed = (0..DRAWS).filter(|client| stays(spread(*client, 3))).count();
        let percent = stayed as f64 * 100.0 / DRAWS as f64;
        assert_shares(&[percent], &[expected], why);
    }
}

/// Every answer is another one: what the first pass saw is gone in the second.
struct Fickle(Cell<usize>);

impl Live for Fickle {
    fn member(&self, _: &Member, _: Instant) -> EndpointView {
        self.0.set(self.0.get() + 1);
        [UP, UP, UP, GONE, GONE, GONE][self.0.get() % 6]
    }
}

#[test]
fn endpoints_that_change_under_the_decision_harm_nobody() {
    for balance in Balance::ALL.map(|(balance, _)| balance) {
        let pool = pool(balance, &[100; 3]);
        for start in 0..6 {
            let live = Fickle(Cell::new(start));
            for draw in 0..50 {
                let choice = Choice { draw, ..Choice::default() };
                let decision = choose(&pool, &live, &choice);
                if let Decision::Send { member, .. } = decision {
                    assert!(member < 3);
                }
            }
        }
    }
}

fn any_view() -> impl Strategy<Value = EndpointView> {
    let health = prop::sample::select(vec![
        EndpointHealth::Up,
        EndpointHealth::Away,
        EndpointHealth::Ejected,
        EndpointHealth::Unchecked,
        EndpointHealth::Failing,
        EndpointHealth::Full,
        EndpointHealth::Maintenance,
        EndpointHealth::Open { until: Instant::default() },
        EndpointHealth::Gone,
    ]);
    let share = prop_oneof![3 => Just(100_u32), 1 => Just(0), 1 => 0..=100_u32];
    (health, share, any::<u32>(), any::<u32>()).prop_map(
        |(health, share_percent, in_flight, latency_micros)| EndpointView {
            health,
            in_flight,
            latency_micros,
            share_percent,
        },
    )
}

proptest! {
    /// Refused only when nothing usable is left; never what was tried, is gone or is a second
    /// route; never a worse class than there is, except for ejected ones beyond half the pool.
    #[test]
    fn any_pool(
        members in prop::collection::vec((any_view(), prop_oneof![1 => Just(0_u32), 6 => 1..=1000_u32]), 1..12),
        balance in prop::sample::select(Balance::ALL.map(|(balance, _)| balance).to_vec()),
        tried in prop::collection::btree_set(0..12_u64, 0..4),
        draw: u64,
    ) {
        let (views, mut weights): (Vec<EndpointView>, Vec<u32>) = members.into_iter().unzip();
        // The oldest route to an endpoint always has its weight.
        weights[0] = weights[0].max(1);
        let tried: Vec<u64> = tried.into_iter().collect();
        let picked = pick(&pool(balance, &weights), &views, draw, &tried);
        let mut by_class: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, view) in views.iter().enumerate() {
            if weights[index] > 0 && !tried.contains(&(index as u64)) && let Some(class) = Class::of(view) {
                by_class.entry(class as usize).or_default().push(index);
            }
        }
        let counted = |wanted: fn(&EndpointView) -> bool| {
            views.iter().zip(&weights).filter(|(view, weight)| **weight > 0 && wanted(view)).count()
        };
        let ejected = counted(|view| view.health == EndpointHealth::Ejected);
        let usable = counted(|view| Class::of(view).is_some());
        match (picked, by_class.first_key_value()) {
            (None, None) => {}
            (Some(picked), Some((_, best))) => {
                let spared = tried.is_empty() && ejected > usable / 2;
                let too_many = views[picked].health == EndpointHealth::Ejected && spared;
                prop_assert!(best.contains(&picked) || too_many && weights[picked] > 0);
            }
            (picked, best) => prop_assert!(false, "{picked:?} of {best:?}"),
        }
    }
}
