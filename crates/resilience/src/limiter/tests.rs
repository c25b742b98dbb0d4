//! The rules of SPEC 4, as scripts and against a naive model.

use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn client(number: u32) -> ClientKey {
    ClientKey::of(IpAddr::V4(number.into()))
}

fn per_second(requests: u32) -> LimitSpec {
    spec(requests, 1000)
}

fn spec(requests: u32, millis: u64) -> LimitSpec {
    LimitSpec { requests, window: Duration::from_millis(millis) }
}

/// In the terms of the tables: allowed, remaining, and the reset in milliseconds.
fn ask(limiter: &mut Limiter, limits: &[(Scope, LimitSpec)], millis: u64) -> (bool, u32, u64) {
    let Admission { allowed, remaining, reset, .. } = limiter.admit(client(1), limits, at(millis));
    (allowed, remaining, reset.as_millis() as u64)
}

#[test]
fn who_is_a_client() {
    #[rustfmt::skip]
    let table = [
        // one            other                  same    why
        ("192.0.2.1",     "192.0.2.1",           true,   "an address"),
        ("192.0.2.1",     "192.0.2.2",           false,  "another one"),
        ("192.0.2.1",     "::ffff:192.0.2.1",    true,   "IPv4 in IPv6"),
        ("192.0.2.1",     "::192.0.2.1",         false,  "not mapped"),
        ("0.0.0.0",       "::",                  false,  "both nothing"),
        ("::1",           "::2",                 true,   "one /64"),
        ("2001:db8::1",   "2001:db8::ffff:0:1",  true,   "one /64"),
        ("2001:db8::1",   "2001:db8:0:1::1",     false,  "two of them"),
    ];
    for (one, other, same, why) in table {
        let [one, other] = [one, other].map(|ip| ClientKey::of(ip.parse().unwrap()));
        assert_eq!(one == other, same, "{why}");
    }
    for exempt in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(ClientKey::counted(exempt.parse().unwrap()), None, "{exempt}");
    }
    let counted = "192.0.2.1".parse().unwrap();
    assert_eq!(ClientKey::counted(counted), Some(ClientKey::of(counted)));
}

#[test]
fn neighbours_part() {
    for shards in [1, 2, 7, 16, 64] {
        let mut clients = vec![0; shards];
        (0..10_000).for_each(|number| clients[client(number).shard(shards)] += 1);
        let even = 10_000 / shards;
        assert!(clients.iter().all(|n| (even / 2..=even * 2).contains(n)), "{clients:?}");
    }
    assert_eq!(client(7).shard(0), 0);
}

#[test]
fn a_window_that_slides() {
    #[rustfmt::skip]
    let table = [
        // N  at    allowed  left  reset  why
        (1,      0, true,    0,    1000,  "one"),
        (1,    999, false,   0,       1,  "all of the window"),
        (1,   1000, true,    0,    1000,  "as old as the window does not count"),
        (1,   1001, false,   0,     999,  "what was refused was not counted"),
        (3,      0, true,    2,    1000,  "the first"),
        (3,    900, true,    1,     100,  "until the oldest leaves"),
        (3,    950, true,    0,      50,  "the last"),
        (3,    999, false,   0,       1,  "no more"),
        (3,   1000, true,    0,     900,  "one left, and one came"),
        (3,   1001, false,   0,     899,  "a bucket that fills evenly would let it through"),
        (3,   1900, true,    0,      50,  "the next"),
        (3,   9000, true,    2,    1000,  "all forgotten"),
    ];
    let mut limiters = HashMap::new();
    for (requests, millis, allowed, remaining, reset, why) in table {
        let limiter = limiters.entry(requests).or_insert_with(|| Limiter::new(10));
        let asked = ask(limiter, &[(Scope(0), per_second(requests))], millis);
        assert_eq!(asked, (allowed, remaining, reset), "{requests} at {millis}: {why}");
    }
}

#[test]
fn no_limit_is_no_bucket() {
    let mut limiter = Limiter::new(10);
    for limits in [&[][..], &[(Scope(0), per_second(0))]] {
        assert_eq!(limiter.admit(client(1), limits, at(0)), Admission::UNLIMITED);
    }
    assert!(limiter.is_empty());
}

#[test]
fn a_clock_that_goes_back_allows_no_more() {
    let (mut limiter, limits) = (Limiter::new(10), [(Scope(0), per_second(1))]);
    assert_eq!(ask(&mut limiter, &limits, 5000), (true, 0, 1000));
    assert_eq!(ask(&mut limiter, &limits, 10), (false, 0, 1000));
}

#[test]
fn all_scopes_must_allow_and_a_refusal_takes_from_none() {
    let (one, other) = ((Scope(1), spec(2, 1000)), (Scope(2), spec(3, 5000)));
    #[rustfmt::skip]
    let table: [(&[_], _, _, _); 9] = [
        (&[one, other], 0,    (true, 1, 1000),  "the first has the least left"),
        (&[one, other], 1,    (true, 0, 999),   "the first's last"),
        (&[one, other], 2,    (false, 0, 998),  "the first refuses"),
        (&[other],      3,    (true, 0, 4997),  "and took nothing from the second"),
        (&[one, other], 4,    (false, 0, 4996), "both refuse: the longest wait"),
        (&[one],        1000, (true, 0, 1),     "the first alone"),
        (&[one, other], 5000, (true, 0, 1),     "equally little left: the longest reset"),
        (&[other],      5001, (true, 0, 2),     "one left, one came"),
        (&[one],        5001, (true, 0, 999),   "each by its own hits"),
    ];
    let mut limiter = Limiter::new(10);
    for (limits, millis, expected, why) in table {
        assert_eq!(ask(&mut limiter, limits, millis), expected, "at {millis}: {why}");
    }
}

#[test]
fn a_changed_limit_keeps_what_was_counted() {
    #[rustfmt::skip]
    let table = [
        // hits  before              after              at    expected            why
        (4,      per_second(4),      per_second(2),     10,   (false, 0, 992),    "three must leave"),
        (4,      per_second(4),      per_second(5),     10,   (true, 0, 990),     "one more"),
        (4,      per_second(4),      spec(4, 9000),     10,   (false, 0, 8990),   "longer"),
        (4,      per_second(4),      spec(4, 5),        10,   (true, 3, 5),       "shorter"),
        (64,     per_second(64),     per_second(6400),  100,  (true, 6335, 1000), "in one group"),
        (6400,   per_second(6400),   per_second(64),    7000, (false, 0, 399),    "groups stay"),
    ];
    for (hits, before, after, millis, expected, why) in table {
        let mut limiter = Limiter::new(10);
        for hit in 0..hits {
            assert!(ask(&mut limiter, &[(Scope(0), before)], hit).0, "{why}");
        }
        assert_eq!(ask(&mut limiter, &[(Scope(0), after)], millis), expected, "{why}");
    }
}

#[test]
fn memory_grows_with_use_and_not_beyond() {
    let (mut limiter, limits) = (Limiter::new(10), [(Scope(0), per_second(1_000_000))]);
    let groups = |limiter: &Limiter| limiter.buckets[&(client(1), Scope(0))].groups.len();
    assert!(ask(&mut limiter, &limits, 0).0);
    assert_eq!(groups(&limiter), 1);
    assert_eq!((0..1_000_000).filter(|_| ask(&mut limiter, &limits, 1).0).count(), 999_999);
    assert_eq!(groups(&limiter), GROUPS as usize);
}

#[test]
fn a_full_table_forgets_the_idle_then_the_oldest() {
    let (short, long) = ([(Scope(0), spec(1, 100))], [(Scope(0), spec(1, 60_000))]);
    let mut limiter = Limiter::new(3);
    limiter.admit(client(1), &long, at(0));
    limiter.admit(client(2), &short, at(1));
    limiter.admit(client(3), &long, at(2));
    limiter.admit(client(4), &long, at(101));
    assert_eq!(limiter.len(), 3);
    assert!(!limiter.admit(client(1), &long, at(102)).allowed, "not idle");
    limiter.admit(client(5), &long, at(103));
    assert_eq!(limiter.len(), 3);
    assert!(!limiter.admit(client(3), &long, at(104)).allowed, "hit later");
    assert!(limiter.admit(client(1), &long, at(105)).allowed, "hit longest ago");
}

#[test]
fn the_idle_leave_by_and_by() {
    let mut limiter = Limiter::new(1000);
    for number in 0..500 {
        limiter.admit(client(number), &[(Scope(0), spec(1, 100))], at(0));
        limiter.admit(client(number), &[(Scope(1), spec(1, 200))], at(0));
    }
    assert_eq!(limiter.len(), 1000);
    for _ in 0..2000 {
        limiter.admit(client(0), &[(Scope(2), spec(1, 300))], at(250));
    }
    assert_eq!(limiter.len(), 1);
    assert_eq!(limiter.order.len(), 1);
}

/// How many of the hits lie in the window that ends at `now`.
fn inside(log: &[Instant], window: Duration, now: Instant) -> usize {
    log.iter().rev().take_while(|hit| now.since(**hit) < window).count()
}

proptest! {
    /// Never more than N in any window; nobody is refused while N/64 fewer lie in it; who comes
    /// again when told so is allowed.
    #[test]
    fn against_a_log_of_all(
        requests in prop_oneof![1..5_u32, 60..70_u32, 100..300_u32],
        steps in prop::collection::vec((0..30_u64, 1..60_u32), 1..80),
    ) {
        let (mut limiter, limit) = (Limiter::new(1), spec(requests, 100));
        let (mut now, mut log) = (Instant::default(), Vec::new());
        let least = (requests - requests.div_ceil(64)) as usize;
        for (later, asks) in steps {
            now = now.after(Duration::from_millis(later));
            for _ in 0..asks {
                let counted = inside(&log, limit.window, now);
                let admission = limiter.admit(client(1), &[(Scope(0), limit)], now);
                prop_assert_eq!(admission.limit, requests);
                if admission.allowed {
                    log.push(now);
                    prop_assert!(counted < requests as usize);
                    prop_assert!(counted + 1 + admission.remaining as usize <= requests as usize);
                    continue;
                }
                prop_assert!(counted >= least.max(1));
                prop_assert!(requests > 64 || counted == requests as usize);
                now = now.after(admission.reset - Duration::from_nanos(1));
                prop_assert!(!limiter.admit(client(1), &[(Scope(0), limit)], now).allowed);
                now = now.after(Duration::from_nanos(1));
                prop_assert!(limiter.admit(client(1), &[(Scope(0), limit)], now).allowed);
                log.push(now);
                break;
            }
            prop_assert!(inside(&log, limit.window, now) <= requests as usize);
        }
    }

    /// As long as windows do not grow, a limit that changes with every request holds exactly.
    #[test]
    fn any_change_of_the_limit(
        steps in prop::collection::vec((0..20_u64, 1..200_u32, 1..40_usize), 1..60),
    ) {
        let (mut limiter, mut log) = (Limiter::new(1), Vec::new());
        let mut now = Instant::default();
        for (later, requests, asks) in steps {
            now = now.after(Duration::from_millis(later));
            let limit = spec(requests, 100);
            for _ in 0..asks {
                let counted = inside(&log, limit.window, now);
                if limiter.admit(client(1), &[(Scope(0), limit)], now).allowed {
                    log.push(now);
                    prop_assert!(counted < requests as usize);
                } else {
                    prop_assert!(counted > 0);
                }
            }
        }
    }

    /// Any clients, scopes and limits: the table keeps to its bound, and its parts to each other.
    #[test]
    fn the_table_is_whole(
        keys_max in 0..6_usize,
        steps in prop::collection::vec((0..100_u64, 0..5_u32, 0..4_u64, 0..4_u64, 0..4_u32), 0..99),
    ) {
        let (mut limiter, mut now) = (Limiter::new(keys_max), Instant::default());
        for (later, who, scope, window, requests) in steps {
            now = now.after(Duration::from_millis(later));
            let limits =
                [(Scope(scope), spec(requests, window * 50)), (Scope(9), spec(requests, 100))];
            limiter.admit(client(who), &limits, now);
            prop_assert!(limiter.len() <= keys_max.max(1));
            let listed: usize = limiter.order.values().map(BTreeSet::len).sum();
            prop_assert_eq!(listed, limiter.len());
            for (window, set) in &limiter.order {
                for (last, key) in set {
                    let bucket = &limiter.buckets[key];
                    prop_assert_eq!((bucket.spec.window, bucket.last), (*window, *last));
                    let hits: u32 = bucket.groups.iter().map(|group| group.hits).sum();
                    prop_assert_eq!(hits, bucket.hits);
                }
            }
        }
    }
}
