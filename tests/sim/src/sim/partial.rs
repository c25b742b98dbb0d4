//! Applying by parts, in any order, comes to the same as applying at once.

use model::{RouteConfig, RouteId, RouteSpec};

use super::lines::{self, Words};
use super::rng::Rng;
use crate::world::{World, config};

const SCOPES: [&str; 6] = ["routes", "headers", "options", "health", "ratelimit", "circuit"];
/// Lines said before something is applied.
const LINES: usize = 40;

/// What a world comes to: whether the last apply was refused, and the routes that are live.
#[derive(Debug, PartialEq)]
struct End {
    said: String,
    routes: Vec<(RouteId, RouteSpec, RouteConfig)>,
}

/// Stages random things twice, applies them at once and by parts, and compares.
///
/// # Panics
///
/// When it does not come to the same.
pub fn compare(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut order = SCOPES;
    for at in (1..order.len()).rev() {
        order.swap(at, rng.below(at + 1));
    }
    let at_once = end(seed, &[]);
    let by_parts = end(seed, &order);
    assert_eq!(at_once, by_parts, "seed {seed:#x}, by parts in the order {order:?}");
}

/// What it comes to when these scopes are applied one by one before the rest.
fn end(seed: u64, scopes: &[&str]) -> End {
    let mut rng = Rng::new(seed);
    let mut world = World::new(config(), seed);
    world.connect(1);
    let ack = say(&mut world, "REGISTER|blue|one|9001|{}");
    let id = ack.strip_prefix("ACK|").expect("nothing speaks against it").to_owned();
    let words = Words { own: Some(&id), sessions: &[], last_route: 8, tokens: &[] };
    for _ in 0..LINES {
        let line = lines::staging(&mut rng, &words);
        say(&mut world, &line);
    }
    for scope in scopes {
        say(&mut world, &format!("CONFIG_APPLY_PARTIAL|{id}|{scope}"));
    }
    let said = say(&mut world, &format!("CONFIG_APPLY|{id}"));
    // Nothing is staged any more, so there is nothing to go back to.
    let before = routes(&world);
    if said == "OK" {
        say(&mut world, &format!("CONFIG_ROLLBACK|{id}"));
        assert_eq!(routes(&world), before, "seed {seed:#x}: a rollback after an apply");
    }
    End { said, routes: before }
}

fn say(world: &mut World, line: &str) -> String {
    world.say(1, line);
    let client = world.client(1).expect("it was opened");
    client.told().unwrap_or_default()
}

fn routes(world: &World) -> Vec<(RouteId, RouteSpec, RouteConfig)> {
    let entries = world.plane.table.entries();
    let mut routes: Vec<_> =
        entries.map(|entry| (entry.route, entry.spec.clone(), (*entry.config).clone())).collect();
    routes.sort_by_key(|(route, ..)| *route);
    routes
}
