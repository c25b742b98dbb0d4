//! Addresses of backends that are known by name, by the TTL of their records (SPEC 5).
//!
//! The last good answer serves while the resolver fails, and a request never waits for a name
//! that was resolved before: an answer past its time is used once more while a new one is
//! fetched beside it.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use model::Instant;
use runtime::Clock;

/// Shortest time an answer is used, however small its TTL.
const TTL_MIN: Duration = Duration::from_secs(1);
/// Longest time an answer is used. Container networks hand out 10 minutes for names that move
/// within seconds, and the hosts file has no TTL at all.
const TTL_MAX: Duration = Duration::from_secs(30);
/// How long after a failed lookup the next one waits.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// A name nobody asked for in this time is forgotten.
const UNUSED_MAX: Duration = Duration::from_secs(600);
/// Names kept per worker.
const NAMES_MAX: usize = 10_000;

/// The names one worker knows.
#[derive(Debug)]
pub(crate) struct Names {
    clock: Clock,
    resolver: OnceCell<Option<TokioResolver>>,
    known: RefCell<HashMap<Box<str>, Rc<Name>>>,
}

#[derive(Debug, Default)]
struct Name {
    answer: RefCell<Answer>,
    refreshing: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Answer {
    addresses: Rc<[IpAddr]>,
    fresh_until: Instant,
    used: Instant,
}

impl Names {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, resolver: OnceCell::new(), known: RefCell::default() }
    }

    /// The addresses a name had last, without asking anybody.
    pub(crate) fn known(&self, name: &str) -> Option<Rc<[IpAddr]>> {
        let addresses = Rc::clone(&self.known.borrow().get(name)?.answer.borrow().addresses);
        (!addresses.is_empty()).then_some(addresses)
    }

    /// The addresses of a name; empty when there is none and never was.
    pub(crate) async fn resolve(&self, name: &str) -> Rc<[IpAddr]> {
        let clock = self.clock;
        let now = clock.mono();
        let entry = self.entry(name);
        entry.answer.borrow_mut().used = now;
        let answer = entry.answer.borrow().clone();
        if now < answer.fresh_until {
            return answer.addresses;
        }
        let Some(resolver) = self.resolver() else { return answer.addresses };
        let refresh = {
            let (name, entry) = (name.to_owned(), Rc::clone(&entry));
            // A lookup is large and rare; the task of every connection would be as large.
            Box::pin(async move { entry.refresh(&resolver, &name, clock).await })
        };
        if answer.addresses.is_empty() {
            refresh.await;
            return Rc::clone(&entry.answer.borrow().addresses);
        }
        if entry.refreshing.try_lock().is_ok() {
            tokio::task::spawn_local(refresh);
        }
        answer.addresses
    }

    /// Forgets names that nobody asks for.
    pub(crate) fn sweep(&self, now: Instant) {
        self.known.borrow_mut().retain(|_, name| now.since(name.answer.borrow().used) < UNUSED_MAX);
    }

    fn entry(&self, name: &str) -> Rc<Name> {
        let mut known = self.known.borrow_mut();
        if let Some(entry) = known.get(name) {
            return Rc::clone(entry);
        }
        let entry = Rc::new(Name::default());
        if known.len() < NAMES_MAX {
            known.insert(name.into(), Rc::clone(&entry));
        }
        entry
    }

    /// Made at the first use: most proxies have only addresses.
    fn resolver(&self) -> Option<TokioResolver> {
        let make = || match TokioResolver::builder_tokio().and_then(|builder| builder.build()) {
            Ok(resolver) => Some(resolver),
            Err(error) => {
                tracing::error!(%error, "no resolver: backends by name cannot be reached");
                None
            }
        };
        self.resolver.get_or_init(make).clone()
    }
}

impl Name {
    async fn refresh(&self, resolver: &TokioResolver, name: &str, clock: Clock) {
        let _one_at_a_time = self.refreshing.lock().await;
        if clock.mono() < self.answer.borrow().fresh_until {
            return;
        }
        let lookup = resolver.lookup_ip(name).await;
        let now = clock.mono();
        let mut answer = self.answer.borrow_mut();
        match lookup {
            Ok(found) => {
                answer.addresses = found.iter().collect();
                let ttl = clock.until(found.valid_until());
                answer.fresh_until = now.after(ttl.clamp(TTL_MIN, TTL_MAX));
            }
            Err(error) => {
                tracing::warn!(name, %error, "a backend's name does not resolve");
                answer.fresh_until = now.after(RETRY_AFTER);
            }
        }
    }
}
