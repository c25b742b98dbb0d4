//! Lists of all backends, which may be long and are asked for often.
//!
//! A list is written once for everybody who asks before something changes, and of a list that has
//! changed only the backends that have.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use catalog::{Service, View};
use model::ServiceName;

use crate::backend::backend;
use crate::registry::Content;

/// What was written last.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Of the services of the view that was written last, as they were then.
    backends: HashMap<ServiceName, (Arc<Service>, Box<str>)>,
    /// Of active backends.
    active: Option<(Arc<View>, Content)>,
    all: Option<(Arc<View>, Content)>,
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
        let content: Content = self.write(view, active_only).into();
        let written = if active_only { &mut self.active } else { &mut self.all };
        *written = Some((Arc::clone(view), Arc::clone(&content)));
        Ok(content)
    }

    /// Writes each backend that is not written yet, and forgets those that are gone.
    fn keep(&mut self, view: &View) -> serde_json::Result<()> {
        let mut before = std::mem::take(&mut self.backends);
        self.backends.reserve(view.len());
        for service in view.services() {
            let same = before.remove(&service.name).filter(|(of, _)| Arc::ptr_eq(of, service));
            let kept = match same {
                Some(kept) => kept,
                None => {
                    let text = serde_json::to_string(&backend(service))?;
                    (Arc::clone(service), text.into())
                }
            };
            self.backends.insert(service.name.clone(), kept);
        }
        Ok(())
    }

    fn write(&self, view: &View, active_only: bool) -> String {
        let mut wanted: Vec<_> = view
            .services()
            .filter_map(|service| {
                let first = service.first().filter(|first| first.is_active() || !active_only)?;
                let (_, text) = self.backends.get(&service.name)?;
                Some((Reverse(first.registered_at), text))
            })
            .collect();
        // Of those of one moment, in the order of their names.
        wanted.sort_by_key(|(at, _)| *at);
        let bytes: usize = wanted.iter().map(|(_, text)| text.len() + 1).sum();
        let mut list = String::with_capacity(bytes + 64);
        list.push_str(r#"{"type":"backends","backends":["#);
        for (nth, (_, text)) in wanted.iter().enumerate() {
            if nth > 0 {
                list.push(',');
            }
            list.push_str(text);
        }
        list.push_str("]}");
        list
    }
}
