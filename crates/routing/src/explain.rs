//! How a decision comes about, for people.

use std::sync::Arc;

use model::{ExplainCandidate, ExplainEndpoint, ExplainReport, Instant, MatchKind};

use crate::{Choice, Decision, EndpointHealth, Head, Live, Member, Pool, RouteKey, Table, decide};

/// Most losers that are told.
const CANDIDATES_MAX: usize = 100;
/// Most endpoints that are told.
const ENDPOINTS_MAX: usize = 1000;

/// Says how [`decide`] comes to its decision.
///
/// Where `decide` draws, this shows what the draw 0 decides. At most 100 of the routes that lost
/// are told, the closest first, and at most 1000 endpoints.
pub fn explain(table: &Table, live: &impl Live, head: Head<'_>, now: Instant) -> ExplainReport {
    let choice = Choice { now, ..Choice::default() };
    let (outcome, pool, member) = match decide(table, live, head, &choice) {
        Decision::NoRoute => ("no_route", None, None),
        Decision::Unavailable { pool, .. } => ("unavailable", Some(pool), pool.members.first()),
        Decision::Maintenance { pool, member } => {
            ("maintenance", Some(pool), pool.members.get(member))
        }
        Decision::Send { pool, member } => ("route", Some(pool), pool.members.get(member)),
    };
    let members = pool.into_iter().flat_map(|pool| &pool.members);
    ExplainReport {
        route: member.map(|member| member.route),
        outcome,
        candidates: pool.map_or_else(Vec::new, |pool| losers(table, head, pool)),
        endpoints: members.take(ENDPOINTS_MAX).map(|m| endpoint(m, live, now)).collect(),
        generation: table.generation(),
    }
}

fn losers(table: &Table, head: Head<'_>, winner: &Arc<Pool>) -> Vec<ExplainCandidate> {
    let matching = table.matching(head);
    let others = matching.into_iter().filter(|pool| pool.key != winner.key);
    let lost = |pool: &Pool, member: &Member| ExplainCandidate {
        route: member.route,
        service: pool.service.clone(),
        domain: pool.key.domain.clone(),
        path: pool.key.path.clone(),
        priority: pool.key.priority,
        lost: why(&winner.key, &pool.key),
    };
    others
        .flat_map(|pool| pool.members.iter().map(|member| lost(pool, member)))
        .take(CANDIDATES_MAX)
        .collect()
}

/// The first difference in the order of precedence.
fn why(winner: &RouteKey, loser: &RouteKey) -> &'static str {
    if winner.domain != loser.domain {
        "less specific host"
    } else if winner.priority != loser.priority {
        "lower priority"
    } else if winner.kind != MatchKind::Exact && winner.path.len() != loser.path.len() {
        "shorter path"
    } else {
        "less exact kind of match"
    }
}

fn endpoint(member: &Member, live: &impl Live, now: Instant) -> ExplainEndpoint {
    let view = live.member(member, now);
    ExplainEndpoint {
        route: member.route,
        instance: member.instance.clone(),
        backend: member.backend.clone(),
        weight: member.weight,
        health: health(view.health),
        breaker: match view.health {
            EndpointHealth::Open { until } if until > now => "open",
            EndpointHealth::Open { .. } => "half_open",
            _ => "closed",
        },
        limiter: member.config.limit.map(|limit| limit.requests),
        drain_percent: view.share_percent,
        in_maintenance: view.health == EndpointHealth::Maintenance,
    }
}

fn health(health: EndpointHealth) -> &'static str {
    match health {
        EndpointHealth::Up | EndpointHealth::Open { .. } | EndpointHealth::Maintenance => "up",
        EndpointHealth::Away => "away",
        EndpointHealth::Unchecked => "unchecked",
        EndpointHealth::Ejected => "ejected",
        EndpointHealth::Failing => "failing",
        EndpointHealth::Gone => "gone",
        EndpointHealth::Full => "full",
    }
}

#[cfg(test)]
mod tests {
    use model::RouteId;

    use super::*;
    use crate::EndpointView;
    use crate::fixture::{Fine, ask, bury, put, with};

    fn told(table: &Table, request: &str) -> ExplainReport {
        ask(request, |head| explain(table, &Fine, head, Instant::default()))
    }

    #[test]
    fn every_loser_knows_why() {
        let table = with(
            &Table::default(),
            vec![
                put(1, "blue", "=a.b/x/y@1", "i b"),
                put(2, "blue", "=a.b/x/y", "i b"),
                put(3, "blue", "a.b/x/y@1", "i b"),
                put(4, "green", "a.b/x@1", "i g"),
                put(5, "green", "*.b/x/y@7", "i g"),
                put(6, "green", "a.b/z", "i g"),
                put(7, "red", "*/", "i r"),
            ],
        );
        let lost = |request| -> Vec<(u64, &str)> {
            told(&table, request).candidates.iter().map(|c| (c.route.0, c.lost)).collect()
        };
        let report = told(&table, "a.b/x/y");
        assert_eq!((report.route, report.outcome), (Some(RouteId(1)), "route"));
        assert_eq!(report.generation, table.generation());
        assert_eq!(
            lost("a.b/x/y"),
            [
                (3, "less exact kind of match"),
                (4, "less exact kind of match"),
                (2, "lower priority"),
                (5, "less specific host"),
                (7, "less specific host"),
            ]
        );
        assert_eq!(lost("a.b/x/y/z")[0], (4, "shorter path"));
        let raw = with(&table, vec![put(8, "blue", "~a.b/z", "i b")]);
        let lost = &told(&raw, "a.b/z").candidates[0];
        assert_eq!((lost.route.0, lost.lost), (8, "less exact kind of match"));
        assert_eq!(told(&table, "a.b/z").route, Some(RouteId(6)));
    }

    #[test]
    fn without_a_route_and_without_an_endpoint() {
        let table = with(&Table::default(), vec![put(1, "blue", "a.b/", "i b")]);
        let nothing = told(&table, "c.b/");
        assert_eq!((nothing.route, nothing.outcome), (None, "no_route"));
        let buried = told(&with(&table, vec![bury(1)]), "a.b/");
        assert_eq!((buried.route, buried.outcome), (None, "unavailable"));
    }

    /// Endpoint `n` stands at place `n - 1`.
    struct Each([EndpointHealth; 4]);

    impl Live for Each {
        fn member(&self, member: &Member, _: Instant) -> EndpointView {
            let health = self.0[member.endpoint.0 as usize - 1];
            EndpointView { health, in_flight: 0, latency_micros: 0, share_percent: 40 }
        }
    }

    #[test]
    fn endpoints_are_told_as_they_are() {
        use EndpointHealth::{Away, Ejected, Gone, Up};
        let members = (1..=4).map(|n| put(n, "blue", "a.b/", &format!("i b{n}")));
        let table = with(&Table::default(), members.collect());
        let live = Each([Gone, Away, Up, Ejected]);
        let report = ask("a.b/", |head| explain(&table, &live, head, Instant::default()));
        assert_eq!(report.route, Some(RouteId(3)));
        let told: Vec<_> = report.endpoints.iter().map(|e| (e.route.0, e.health)).collect();
        assert_eq!(told, [(1, "gone"), (2, "away"), (3, "up"), (4, "ejected")]);
        assert!(report.endpoints.iter().all(|e| e.drain_percent == 40 && e.weight == 100));
    }

    #[test]
    fn a_report_is_bounded() {
        let winners =
            (0..=ENDPOINTS_MAX as u64).map(|n| put(n, "blue", "a.b/", &format!("i b{n}")));
        let losers =
            (0..=CANDIDATES_MAX as u64).map(|n| put(10_000 + n, "blue", &format!("*/@{n}"), "i b"));
        let report = told(&with(&Table::default(), winners.chain(losers).collect()), "a.b/");
        assert_eq!(report.endpoints.len(), ENDPOINTS_MAX);
        assert_eq!(report.candidates.len(), CANDIDATES_MAX);
    }
}
