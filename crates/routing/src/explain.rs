//! How a decision comes about, for people.

use std::sync::Arc;

use model::{ExplainCandidate, ExplainEndpoint, ExplainReport, Instant};

use crate::{Decision, EndpointHealth, Head, Live, Member, Pool, RouteKey, Table, decide};

/// Most losers that are told.
const CANDIDATES_MAX: usize = 100;
/// Most endpoints that are told.
const ENDPOINTS_MAX: usize = 1000;

/// Says how [`decide`] comes to its decision.
///
/// Where `decide` draws, this shows what the draw 0 decides. At most 100 of the routes that lost
/// are told, the closest first, and at most 1000 endpoints.
pub fn explain(table: &Table, live: &impl Live, head: Head<'_>, now: Instant) -> ExplainReport {
    let (outcome, pool, member) = match decide(table, live, head, now, 0, &[]) {
        Decision::NoRoute => ("no_route", None, None),
        Decision::Unavailable { pool, .. } => ("unavailable", Some(pool), pool.members.first()),
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
    } else if winner.kind != loser.kind {
        "less exact kind of match"
    } else {
        "shorter path"
    }
}

/// Breakers and maintenance are no part of what [`Live`] tells: an endpoint that is held back by
/// one of them is not [`EndpointHealth::Up`].
fn endpoint(member: &Member, live: &impl Live, now: Instant) -> ExplainEndpoint {
    let view = live.endpoint(member.endpoint, now);
    ExplainEndpoint {
        route: member.route,
        instance: member.instance.clone(),
        backend: member.backend.clone(),
        weight: member.weight,
        health: match view.health {
            EndpointHealth::Up => "up",
            EndpointHealth::Away => "away",
            EndpointHealth::Ejected => "ejected",
            EndpointHealth::Gone => "gone",
        },
        breaker: "closed",
        limiter: member.config.limit.map(|limit| limit.requests),
        drain_percent: view.share_percent,
        in_maintenance: false,
    }
}
