//! Lists of all backends, which may be long and are asked for often.
//!
//! A list is written once for everybody who asks before something changes, and of a list that has
//! changed only the backends that have.

use std::cmp::Reverse;
use std::sync::Arc;

use catalog::{Service, View};
use model::UnixMillis;

use crate::backend::backend;
use crate::registry::Content;

/// What was written last.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Of the services of the view that was written last, in their order.
    backends: Vec<Written>,
    /// Of active backends.
    active: Option<(Arc<View>, Content)>,
    all: Option<(Arc<View>, Content)>,
}

/// A service as it was written.
#[derive(Debug)]
struct Written {
    of: Arc<Service>,
    registered_at: UnixMillis,
    is_active: bool,
    text: Box<str>,
}

impl Written {
    fn new(of: &Arc<Service>) -> serde_json::Result<Self> {
        let first = of.first();
        Ok(Self {
            of: Arc::clone(of),
            registered_at: first.map_or(UnixMillis(0), |first| first.registered_at),
            is_active: first.is_some_and(|first| first.is_active()),
            text: serde_json::to_string(&backend(of))?.into(),
        })
    }
}

impl Lists {
    /// Every service as a backend, the newest first: a JSON object.
    pub(crate) fn list(
        &mut self,
        view: &Arc<View>,
        active_only: bool,
    ) -> serde_json::Result<Content> {
        let written = if active_only { &self.active } else { &self.all };
        if let Some((of, content)) = written
            && Arc::ptr_eq(of, view)
        {
            return Ok(Arc::clone(content));
        }
        self.keep(view)?;
        let content: Content = self.write(active_only).into();
        let written = if active_only { &mut self.active } else { &mut self.all };
        *written = Some((Arc::clone(view), Arc::clone(&content)));
        Ok(content)
    }

    /// Writes each backend that is not written yet, and forgets those that are gone.
    fn keep(&mut self, view: &View) -> serde_json::Result<()> {
        let mut before = std::mem::take(&mut self.backends).into_iter().peekable();
        self.backends.reserve(view.len());
        for service in view.services() {
            // Most are the same, and nothing of them has to be looked at.
            let mut same = before.next_if(|held| Arc::ptr_eq(&held.of, service));
            if same.is_none() {
                while before.next_if(|held| held.of.name < service.name).is_some() {}
                same = before.next_if(|held| Arc::ptr_eq(&held.of, service));
            }
            self.backends.push(same.map_or_else(|| Written::new(service), Ok)?);
        }
        Ok(())
    }

    fn write(&self, active_only: bool) -> String {
        let is_wanted = |backend: &&Written| backend.is_active || !active_only;
        let mut wanted: Vec<_> = self.backends.iter().filter(is_wanted).collect();
        // Of those of one moment, in the order of their names.
        wanted.sort_by_key(|backend| Reverse(backend.registered_at));
        let bytes: usize = wanted.iter().map(|backend| backend.text.len() + 1).sum();
        let mut list = String::with_capacity(bytes + 64);
        list.push_str(r#"{"type":"backends","backends":["#);
        for (nth, backend) in wanted.iter().enumerate() {
            if nth > 0 {
                list.push(',');
            }
            list.push_str(&backend.text);
        }
        list.push_str("]}");
        list
    }
}

#[cfg(test)]
mod tests {
    use catalog::{Catalog, Config, Endpoint, Facts, Finding, Health, Identity, Protocol, Source};
    use model::{BackendHost, Now};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever has changed since it was written last.
        #[test]
        fn a_list_is_as_if_it_were_written_anew(
            steps in proptest::collection::vec((0_u8..6, 0_u8..4, any::<bool>()), 0..40),
        ) {
            let mut catalog = Catalog::new(Config { checks: true, ..Config::default() }, [1; 32]);
            let mut lists = Lists::default();
            for (at, (who, what, looks)) in steps.into_iter().enumerate() {
                let name = Identity::alone(&format!("s{who}")).unwrap();
                let host = BackendHost::Ip([10, 0, 0, who].into());
                let endpoint = Endpoint::new("main", host, 1, Protocol::Tcp);
                let place = endpoint.place();
                let facts = Facts { endpoints: vec![endpoint], ..Facts::default() };
                let now = Now { wall: UnixMillis(at as u64 / 3), ..Now::default() };
                match what {
                    0 => drop(catalog.remove(&name, Source::File, now)),
                    1 => {
                        let ill = Finding::new(Health::Ill, "connection refused");
                        catalog.check_place(&name.service, &place, &ill, now);
                    }
                    _ => catalog.put(&name, Source::File, facts, now).unwrap(),
                }
                if looks {
                    let view = Arc::new(catalog.view().clone());
                    for active_only in [true, false] {
                        let list = lists.list(&view, active_only).unwrap();
                        let anew = Lists::default().list(&view, active_only).unwrap();
                        prop_assert_eq!(list, anew);
                    }
                }
            }
        }
    }
}
