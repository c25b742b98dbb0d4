//! What dialects count, as the admin port shows it.

use std::collections::BTreeMap;
use std::fmt;

use admin::{Catalog, Dialect};
use catalog::View;
use dataplane::Publisher;
use door::Guests;
use telemetry::{Outcome, Outcomes};

/// Classes of status, as labels say them.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Looks at what one dialect counts.
pub(crate) struct Counted(Box<dyn Fn() -> Dialect + Send + Sync>);

impl Counted {
    pub(crate) fn new<O: Outcome>(
        name: &'static str,
        guests: Guests,
        outcomes: Outcomes<O>,
    ) -> Self {
        Self(Box::new(move || Dialect {
            name,
            connections: guests.inside(),
            refused: guests.refused(),
            requests: outcomes.each().collect(),
        }))
    }

    /// A data plane that is no edge: its routes come and go with services, so requests are counted
    /// for all of them together.
    pub(crate) fn plane(name: &'static str, plane: Publisher) -> Self {
        Self(Box::new(move || {
            let mut requests = CLASSES.map(|class| (class, 0));
            for (status, count) in plane.answered() {
                let class = usize::from(status / 100).checked_sub(1);
                if let Some((_, sum)) = class.and_then(|class| requests.get_mut(class)) {
                    *sum += count;
                }
            }
            Dialect {
                name,
                connections: plane.connections().iter().sum(),
                refused: plane.refused(),
                requests: requests.to_vec(),
            }
        }))
    }

    pub(crate) fn look(&self) -> Dialect {
        (self.0)()
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counted").field(&self.look()).finish()
    }
}

/// What there is of services.
pub(crate) fn catalog(view: &View) -> Catalog {
    let mut instances = BTreeMap::<_, usize>::new();
    for instance in view.services().flat_map(|service| &service.instances) {
        let health = instance.standing().as_str();
        *instances.entry((instance.source.as_str(), health)).or_default() += 1;
    }
    Catalog {
        services: view.len(),
        instances,
        sequence: view.seq(),
        allocations: view.allocations().count(),
    }
}

#[cfg(test)]
mod tests {
    use catalog::{Config, Facts, Identity, Source};
    use model::{Instant, Now, UnixMillis};

    use super::*;

    #[test]
    fn instances_are_counted_by_source_and_standing() {
        let now = Now { mono: Instant::default(), wall: UnixMillis(0) };
        let mut known = catalog::Catalog::new(Config::default(), [7; 32]);
        for name in ["a", "b"] {
            let name = Identity::alone(name).unwrap();
            known.put(&name, Source::Manual, Facts::default(), now).unwrap();
        }
        let found = catalog(known.view());
        // Without an endpoint there is nothing to rely on.
        assert_eq!(found.instances, BTreeMap::from([(("manual", "bad"), 2)]));
        assert_eq!((found.services, found.allocations), (2, 0));
        assert_eq!(found.sequence, known.view().seq());
    }
}
