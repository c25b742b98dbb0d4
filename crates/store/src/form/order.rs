//! Sessions, maintenance orders, tries and lines of history, as they are written down.

use model::{
    BackendUrl, EventKind, HostPattern, InstanceName, MaintenanceRow, MaintenanceTarget, RouteId,
    RoutePath, RouteSpec, ServiceName, SessionId, TargetItem, TryRow, UnixMillis,
};
use serde::{Deserialize, Serialize};

use super::{Setting, SpecForm, Unreadable, edits_from, from_json, settings_of, to_json};

/// The texts of a session row.
pub(crate) mod session_texts {
    use super::*;

    /// Names joined by commas.
    pub(crate) fn subscriptions(kinds: &[EventKind]) -> String {
        let name = |kind: &EventKind| {
            let named = EventKind::ALL.iter().find(|(known, _)| known == kind);
            named.map_or("", |(_, name)| name)
        };
        kinds.iter().map(name).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn read_subscriptions(text: &str) -> Result<Vec<EventKind>, Unreadable> {
        let kind = |name: &str| {
            let named = EventKind::ALL.into_iter().find(|(_, known)| *known == name);
            named.map(|(kind, _)| kind).ok_or(Unreadable("subscriptions"))
        };
        text.split(',').filter(|name| !name.is_empty()).map(kind).collect()
    }

    pub(crate) fn session(text: &str) -> Result<SessionId, Unreadable> {
        SessionId::parse(text).map_err(|_| Unreadable("session id"))
    }

    pub(crate) fn service(text: &str) -> Result<ServiceName, Unreadable> {
        ServiceName::parse(text).map_err(|_| Unreadable("service"))
    }

    pub(crate) fn instance(text: &str) -> Result<InstanceName, Unreadable> {
        InstanceName::parse(text).map_err(|_| Unreadable("instance"))
    }
}

/// The texts of a maintenance order.
pub(crate) mod orders {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct TargetForm {
        text: String,
        items: Vec<ItemForm>,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum ItemForm {
        Route(u64),
        Path(String),
        Domain(String),
    }

    /// The target and the page, if they can be read back.
    pub(crate) fn texts(order: &MaintenanceRow) -> Result<(String, Option<String>), Unreadable> {
        let item = |item: &TargetItem| match item {
            TargetItem::Route(route) => ItemForm::Route(route.0),
            TargetItem::Path(path) => ItemForm::Path(path.to_string()),
            TargetItem::Domain(domain) => ItemForm::Domain(domain.to_string()),
        };
        let MaintenanceTarget { text, items } = &order.target;
        let form = TargetForm { text: text.to_string(), items: items.iter().map(item).collect() };
        let (target, page) = (to_json(&form), order.page.as_ref().map(BackendUrl::to_string));
        let back = read(&target, page.as_deref(), order.entered_at)?;
        if back == *order { Ok((target, page)) } else { Err(Unreadable("maintenance order")) }
    }

    pub(crate) fn read(
        target: &str,
        page: Option<&str>,
        entered_at: UnixMillis,
    ) -> Result<MaintenanceRow, Unreadable> {
        let form: TargetForm = from_json(target, "maintenance target")?;
        let item = |form: &ItemForm| match form {
            ItemForm::Route(route) => Ok(TargetItem::Route(RouteId(*route))),
            ItemForm::Path(path) => RoutePath::parse(path).map(TargetItem::Path).map_err(drop),
            ItemForm::Domain(domain) => {
                HostPattern::parse(domain).map(TargetItem::Domain).map_err(drop)
            }
        };
        let items = form.items.iter().map(item).collect::<Result<_, ()>>();
        let items = items.map_err(|()| Unreadable("maintenance target"))?;
        let page = page.map(BackendUrl::parse).transpose();
        Ok(MaintenanceRow {
            target: MaintenanceTarget { text: form.text.into(), items },
            page: page.map_err(|_| Unreadable("maintenance page"))?,
            entered_at,
        })
    }
}

/// How a try is undone.
pub(crate) mod trial {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct UndoForm {
        routes: Vec<(u64, Option<SpecForm>)>,
        settings: Vec<Setting>,
    }

    pub(crate) fn text(trial: &TryRow) -> Result<String, Unreadable> {
        let route = |(id, spec): &(RouteId, Option<RouteSpec>)| {
            Ok((id.0, spec.as_ref().map(SpecForm::checked).transpose()?))
        };
        let routes = trial.routes.iter().map(route).collect::<Result<_, Unreadable>>()?;
        Ok(to_json(&UndoForm { routes, settings: settings_of(&trial.settings)? }))
    }

    pub(crate) fn read(text: &str, deadline: UnixMillis) -> Result<TryRow, Unreadable> {
        let form: UndoForm = from_json(text, "try")?;
        let route = |(id, spec): &(u64, Option<SpecForm>)| {
            Ok((RouteId(*id), spec.as_ref().map(SpecForm::read).transpose()?))
        };
        let routes = form.routes.iter().map(route).collect::<Result<_, Unreadable>>()?;
        Ok(TryRow { deadline, routes, settings: edits_from(&form.settings)? })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeForm {
    put: Vec<(u64, SpecForm)>,
    removed: Vec<u64>,
}

/// Routes that appeared or changed, and those that went.
pub(crate) fn change_to_text(
    put: &[(RouteId, RouteSpec)],
    removed: &[RouteId],
) -> Result<String, Unreadable> {
    let route = |(id, spec): &(RouteId, RouteSpec)| Ok((id.0, SpecForm::checked(spec)?));
    let put = put.iter().map(route).collect::<Result<_, Unreadable>>()?;
    Ok(to_json(&ChangeForm { put, removed: removed.iter().map(|id| id.0).collect() }))
}

/// What [`change_to_text`] wrote.
#[expect(clippy::type_complexity, reason = "the two fields of a history row, as they stand there")]
pub(crate) fn change_from_text(
    text: &str,
) -> Result<(Vec<(RouteId, RouteSpec)>, Vec<RouteId>), Unreadable> {
    let form: ChangeForm = from_json(text, "history")?;
    let route = |(id, spec): &(u64, SpecForm)| Ok((RouteId(*id), spec.read()?));
    let put = form.put.iter().map(route).collect::<Result<_, Unreadable>>()?;
    Ok((put, form.removed.into_iter().map(RouteId).collect()))
}
