//! What the registry's orders mean to the data plane, and what it answers.

use control::{Effect, Teller};
use dataplane::{Notice, Publisher};
use model::{Refusal, Reply, normalize_authority, normalize_path};
use routing::Head;
use session::{Input, Query, QueryId};
use tokio::sync::mpsc;

/// Carries out effects. Never waits: what cannot be told at once is told by the next.
pub(crate) fn perform(effect: Effect, to: &Publisher, teller: &Teller) {
    match effect {
        Effect::Publish(table) => {
            let generation = table.generation();
            to.publish(table);
            // Nobody waits for requests of older generations as long as there is no maintenance.
            let _ = teller.try_tell(Input::Live(generation));
        }
        Effect::Presence(endpoints, connected) => to.set_presence(&endpoints, connected),
        Effect::Query(id, query) => {
            let _ = teller.try_tell(Input::Answered(id, answer(&query, to)));
        }
        // Orders of commands that are answered `not supported yet`.
        Effect::Drain(..) | Effect::Maintenance(_) | Effect::Watch(QueryId(_), _) => {}
    }
}

/// Tells the registry what the data plane noticed.
pub(crate) async fn tell(mut notices: mpsc::Receiver<Notice>, teller: Teller) {
    while let Some(Notice::Refused(endpoint)) = notices.recv().await {
        if teller.tell(Input::Refused(endpoint)).await.is_err() {
            return;
        }
    }
}

fn answer(query: &Query, to: &Publisher) -> Reply {
    match query {
        Query::Explain { host, path, .. } => explain(host, path, to),
        Query::BackendTest(..)
        | Query::Stats { .. }
        | Query::CircuitStatus { .. }
        | Query::CircuitReset(_) => Reply::Refused(Refusal::NOT_SUPPORTED_YET),
    }
}

fn explain(host: &str, path: &str, to: &Publisher) -> Reply {
    let Some(host) = normalize_authority(host.as_bytes()) else {
        return Reply::Refused(Refusal::new("host must be a host name"));
    };
    match normalize_path(path.as_bytes()) {
        Ok(normal) => {
            let head = Head { host: Some(&host), raw_path: path, path: &normal };
            Reply::Explain(Box::new(to.explain(head)))
        }
        Err(error) => Reply::Refused(Refusal::new(format!("path {error}"))),
    }
}
