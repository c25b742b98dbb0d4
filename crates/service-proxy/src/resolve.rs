//! Which service a name means.

use std::sync::Arc;

use catalog::{Reachable, Service, View};
use model::InstanceName;

/// A service, or one instance of it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) service: Arc<Service>,
    pub(crate) instance: Option<InstanceName>,
}

impl Target {
    /// Where it is, what can be relied on most first.
    pub(crate) fn endpoints(&self) -> Vec<Reachable<'_>> {
        let mut all = self.service.endpoints();
        if let Some(instance) = &self.instance {
            all.retain(|found| found.instance.identity.instance == *instance);
        }
        all
    }
}

/// The service or instance of a name: `name`, `instance.name`, `name.zone`, `instance.name.zone`,
/// in any case, with or without a dot at the end. A service of that name comes first; both names may
/// hold dots.
pub(crate) fn resolve(view: &View, zone: &str, text: &str) -> Option<Target> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let inner = without_zone(text, zone);
    let service = |name: &str| view.service_in_any_case(name).cloned();
    let whole = [Some(text), inner].into_iter().flatten().find_map(service);
    if let Some(service) = whole {
        return Some(Target { service, instance: None });
    }
    [Some(text), inner].into_iter().flatten().find_map(|text| instance_of(view, text))
}

/// The name in front of the zone.
pub(crate) fn without_zone<'a>(text: &'a str, zone: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(zone.len())?;
    let (front, back) = (text.get(..at)?, text.get(at..)?);
    back.eq_ignore_ascii_case(zone).then(|| front.strip_suffix('.'))?
}

fn instance_of(view: &View, text: &str) -> Option<Target> {
    text.match_indices('.').find_map(|(dot, _)| {
        let (instance, service) = (text.get(..dot)?, text.get(dot + 1..)?);
        let service = view.service_in_any_case(service)?;
        let held = service.instance_in_any_case(instance)?;
        let instance = Some(held.identity.instance.clone());
        Some(Target { service: Arc::clone(service), instance })
    })
}

#[cfg(test)]
mod tests {
    use catalog::{Catalog, Config, Facts, Identity, Source};
    use model::{InstanceName, Now, ServiceName};

    use super::*;

    #[test]
    fn names() {
        let mut catalog = Catalog::new(Config::default(), [1; 32]);
        for (service, instance) in
            [("Web", "a"), ("Web", "b.1"), ("db", "db"), ("x.db", "one"), ("old.internal", "i")]
        {
            let identity = Identity {
                service: ServiceName::parse(service).unwrap(),
                instance: InstanceName::parse(instance).unwrap(),
            };
            catalog.put(&identity, Source::Manual, Facts::default(), Now::default()).unwrap();
        }
        #[rustfmt::skip]
        let table = [
            ("web",               Some("Web")),
            ("WEB.",              Some("Web")),
            ("web.internal",      Some("Web")),
            ("web.Internal.",     Some("Web")),
            ("a.web",             Some("Web/a")),
            ("B.1.web",           Some("Web/b.1")),
            ("b.1.web.internal",  Some("Web/b.1")),
            ("x.db",              Some("x.db")),
            ("db.db",             Some("db/db")),
            ("one.x.db",          Some("x.db/one")),
            ("old",               None),
            ("old.internal",      Some("old.internal")),
            ("i.old.internal",    Some("old.internal/i")),
            ("c.web",             None),
            ("internal",          None),
            (".internal",         None),
            (".web",              None),
            ("web.other",         None),
            ("",                  None),
            (".",                 None),
            ("é.internal",        None),
        ];
        for (text, want) in table {
            let found = resolve(catalog.view(), "internal", text).map(|target| {
                let instance = target.instance.map(|instance| format!("/{instance}"));
                format!("{}{}", target.service.name, instance.unwrap_or_default())
            });
            assert_eq!(found.as_deref(), want, "{text}");
        }
    }
}
