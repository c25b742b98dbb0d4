//! `regctl stats` and `regctl top`: what routes have answered, and how fast.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use client::Said;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::args::{Global, StatsArgs, TopArgs};
use crate::events::Stop;
use crate::failure::Failure;
use crate::output::Output;
use crate::protocol::Line;
use crate::reach::reach;

/// How often `top` looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Clears a terminal and goes to its upper left.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What is counted of a route, as STATS_GET has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Counts {
    route_id: String,
    requests: u64,
    errors: u64,
    avg_latency_ms: u64,
    p95_latency_ms: u64,
    p99_latency_ms: u64,
    bytes_sent: u64,
    bytes_received: u64,
}

/// A row of `top`.
#[derive(Debug, PartialEq, Serialize)]
struct Rate<'a> {
    route_id: &'a str,
    requests_s: f64,
    errors_s: f64,
    sent_bytes_s: f64,
    received_bytes_s: f64,
    avg_ms: u64,
    p95_ms: u64,
    p99_ms: u64,
}

pub(crate) async fn stats(
    global: &Global,
    args: &StatsArgs,
    output: &Output,
) -> Result<(), Failure> {
    let mut reached = reach(global, None).await?;
    let said = reached.ask(&Line::new("STATS_GET", &[&args.target])).await;
    reached.leave().await;
    let said = said?;
    // One route is a table of one row.
    match said.rest() {
        route if route.starts_with('{') && !output.is_json() => {
            output.list(said.verb(), &[route.to_owned()])
        }
        _ => output.said(&said),
    }
}

/// Shows rates every second, until stopped or for as often as was asked.
pub(crate) async fn top(global: &Global, args: &TopArgs, output: &Output) -> Result<(), Failure> {
    let mut reached = reach(global, args.session.as_deref()).await?;
    let mut stop = Stop::new()?;
    let line = Line::new("STATS_GET", &["ALL"]);
    let mut ticks = tokio::time::interval(INTERVAL);
    // A server that was slow to answer is asked again a whole second later.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked = ticks.tick().await;
    let mut before = read(&reached.ask(&line).await?)?;
    let mut left = args.count;
    while left != Some(0) {
        let at = tokio::select! {
            at = ticks.tick() => at,
            () = stop.asked() => break,
        };
        let now = read(&reached.ask(&line).await?)?;
        show(&before, &now, at.duration_since(looked), output)?;
        looked = at;
        before = now;
        left = left.map(|left| left - 1);
    }
    reached.leave().await;
    Ok(())
}

fn read(said: &Said) -> Result<Vec<Counts>, Failure> {
    let wrong = |_| Failure::Other("the server's statistics cannot be read".to_owned());
    serde_json::from_str(said.rest()).map_err(wrong)
}

fn show(before: &[Counts], now: &[Counts], over: Duration, output: &Output) -> Result<(), Failure> {
    // Numbers and strings always serialise.
    let row = |rate| serde_json::to_string(&rate).unwrap_or_default();
    let rows: Vec<String> = rates(before, now, over).into_iter().map(row).collect();
    if !output.is_json() && std::io::stdout().is_terminal() {
        output.write(CLEAR)?;
    }
    output.list("STATS_OK", &rows)
}

/// What came between two looks, a second. A route that is new began with nothing; a counter that
/// fell began anew.
fn rates<'a>(before: &[Counts], now: &'a [Counts], over: Duration) -> Vec<Rate<'a>> {
    let before: BTreeMap<&str, &Counts> =
        before.iter().map(|counts| (counts.route_id.as_str(), counts)).collect();
    let seconds = over.as_secs_f64().max(0.001);
    let rate = |counts: &'a Counts| {
        let old = before.get(counts.route_id.as_str());
        let a_second = |count: fn(&Counts) -> u64| {
            let old = old.map_or(0, |old| count(old));
            let more = count(counts).checked_sub(old).unwrap_or(count(counts));
            // To a tenth; what is lost beyond 2^53 is not seen there.
            (more as f64 / seconds * 10.0).round() / 10.0
        };
        Rate {
            route_id: &counts.route_id,
            requests_s: a_second(|counts| counts.requests),
            errors_s: a_second(|counts| counts.errors),
            sent_bytes_s: a_second(|counts| counts.bytes_sent),
            received_bytes_s: a_second(|counts| counts.bytes_received),
            avg_ms: counts.avg_latency_ms,
            p95_ms: counts.p95_latency_ms,
            p99_ms: counts.p99_latency_ms,
        }
    };
    now.iter().map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(route: &str, requests: u64) -> Counts {
        Counts {
            route_id: route.to_owned(),
            requests,
            errors: 0,
            avg_latency_ms: 5,
            p95_latency_ms: 9,
            p99_latency_ms: 12,
            bytes_sent: requests * 100,
            bytes_received: 0,
        }
    }

    #[test]
    fn what_came_in_between() {
        let table = [
            // before, now, seconds, requests a second
            (vec![counts("r1", 10)], 30, 2, 10.0),
            (vec![counts("r1", 10)], 11, 3, 0.3),
            (vec![], 7, 1, 7.0),
            (vec![counts("r1", 10)], 4, 1, 4.0),
        ];
        for (before, requests, seconds, wanted) in table {
            let now = [counts("r1", requests)];
            let rates = rates(&before, &now, Duration::from_secs(seconds));
            assert_eq!(rates.len(), 1);
            assert!((rates[0].requests_s - wanted).abs() < 1e-9, "{rates:?}");
            assert_eq!(rates[0].p99_ms, 12);
        }
    }

    #[test]
    fn statistics_are_read() {
        let text = r#"STATS_OK|[{"route_id":"r1","requests":1,"errors":0,"avg_latency_ms":5,"p95_latency_ms":9,"p99_latency_ms":12,"bytes_sent":100,"bytes_received":0,"status_codes":{"200":1}}]"#;
        assert_eq!(read(&Said::new(text)).unwrap(), [counts("r1", 1)]);
        for text in ["STATS_OK", "STATS_OK|{}", "STATS_OK|[{}]"] {
            assert!(read(&Said::new(text)).is_err(), "{text}");
        }
    }
}
