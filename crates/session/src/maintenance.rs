//! MAINT_ENTER, MAINT_EXIT, MAINT_STATUS: which routes show a maintenance page, and which one.
//!
//! A session has a list of orders; for a route the newest that is about it holds. An order for
//! `ALL`, a path or a domain holds for routes of later too. Leaving maintenance with a part of
//! what an order is about turns the rest of it into a list of routes.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Event, Generation, HistoryRow, MaintenanceEntry, MaintenanceReport, MaintenanceRow,
    MaintenanceTarget, MatchKind, Now, Record, Refusal, Reply, RouteId, RouteSpec, TargetItem,
    Version,
};

use crate::answering::{Done, Outcome};
use crate::apply::Change;
use crate::bounds::{EVENT_ROUTES_MAX, MAINTENANCE_ITEMS_MAX};
use crate::flight::{Op, Prepared, Waits};
use crate::live::Told;
use crate::state::{Session, Sid, Standing, Ticket};
use crate::{Mode, Output, Registry};

/// New orders of a session, on their way to the disk.
#[derive(Debug)]
pub(crate) struct Maintain {
    sid: Sid,
    orders: Vec<MaintenanceRow>,
    target: Box<str>,
    generation: Generation,
}

impl Registry {
    pub(crate) fn maint_enter(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        target: MaintenanceTarget,
        page: Option<model::BackendUrl>,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        self.known_items(session, &target)?;
        let mut orders = self.without_stale_items(session);
        orders.retain(|order| order.target.items != target.items);
        let text = target.text.clone();
        orders.push(MaintenanceRow { target, page, entered_at: now.wall });
        self.maintain(ticket, sid, orders, text, now)
    }

    pub(crate) fn maint_exit(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        target: &MaintenanceTarget,
        now: Now,
    ) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        self.known_items(session, target)?;
        let orders = if target.items.is_empty() {
            Vec::new()
        } else {
            let leaving = self.routes_about(session, target);
            let orders = self.without_stale_items(session);
            let left =
                orders.into_iter().filter_map(|order| self.without(session, order, &leaving));
            left.collect()
        };
        self.maintain(ticket, sid, orders, target.text.clone(), now)
    }

    fn maintain(
        &mut self,
        ticket: Ticket,
        sid: Sid,
        orders: Vec<MaintenanceRow>,
        target: Box<str>,
        now: Now,
    ) -> Outcome {
        let items: usize = orders.iter().map(|order| order.target.items.len().max(1)).sum();
        if items > MAINTENANCE_ITEMS_MAX {
            let max = MAINTENANCE_ITEMS_MAX;
            return Err(Refusal::new(format!("too many maintenance targets (max {max})")));
        }
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let (id, identity) = (session.id.clone(), session.identity.clone());
        let origin = self.origin(ticket.conn);
        let generation = self.next_generation();
        let history = HistoryRow {
            generation,
            at: now.wall,
            service: identity.service.clone(),
            instance: identity.instance.clone(),
            origin,
            action: "maintenance",
            put: Vec::new(),
            removed: Vec::new(),
        };
        let records = vec![
            Record::PutMaintenance(id, orders.clone()),
            Record::History(history),
            self.counters(),
        ];
        self.launch(Prepared {
            ticket: Some(ticket),
            op: Op::Maintain(Box::new(Maintain { sid, orders, target, generation })),
            records,
            waits: Waits::ForTheDisk,
            locks: vec![identity],
            claims: None,
            coming: 0,
        });
        Ok(Done::Later)
    }

    pub(crate) fn commit_maintain(&mut self, maintain: Maintain, ticket: Option<Ticket>, now: Now) {
        let Maintain { sid, orders, target, generation } = maintain;
        if let Some(session) = self.sessions.get_mut(&sid) {
            session.orders = orders;
        }
        let changed = self.changed_modes(sid);
        if !changed.is_empty() {
            self.emit(Output::Maintenance(changed.clone()));
        }
        // Nothing in the table changes: the number is what "live" is measured by.
        self.carry_out(Vec::new(), generation, &[], &[], now);
        self.tell_changed(sid, &changed);
        let Some(ticket) = ticket.filter(|ticket| self.is_pending(*ticket)) else { return };
        let told = match self.is_v1(ticket) {
            true => Told::ByTheAnswer,
            false => {
                let pending = self.conns.get(&ticket.conn).and_then(|conn| conn.pending.as_ref());
                let txn = pending.and_then(|pending| pending.txn.clone());
                self.answer(ticket, Reply::MaintenanceAccepted);
                Told::Afterwards { txn, target }
            }
        };
        self.tell_when_live(generation, ticket, told, now);
    }

    /// Whether a connection speaks v1.
    pub(crate) fn is_v1(&self, ticket: Ticket) -> bool {
        match self.conns.get(&ticket.conn).map(|conn| &conn.standing) {
            Some(Standing::Holds(sid)) => {
                self.session(*sid).is_some_and(|session| session.version == Version::V1)
            }
            Some(Standing::Fresh | Standing::Void(..) | Standing::Closing) | None => false,
        }
    }

    /// Brings what is known of a session's routes in line with its orders.
    pub(crate) fn changed_modes(&mut self, sid: Sid) -> Vec<(RouteId, Mode)> {
        let Some(session) = self.session(sid) else { return Vec::new() };
        let mut resting = BTreeMap::new();
        if !session.orders.is_empty() {
            for route in &session.active {
                let Some(entry) = self.table.get(*route) else { continue };
                if let Some(mode) = mode_of(session, *route, &entry.spec) {
                    resting.insert(*route, mode);
                }
            }
        }
        let ends = session.resting.keys().filter(|route| !resting.contains_key(route));
        let mut changed: Vec<(RouteId, Mode)> = ends.map(|route| (*route, Mode::Serves)).collect();
        let begins =
            resting.iter().filter(|(route, mode)| session.resting.get(route) != Some(mode));
        changed.extend(begins.map(|(route, mode)| (*route, mode.clone())));
        if let Some(session) = self.sessions.get_mut(&sid) {
            session.resting = resting;
        }
        changed
    }

    /// Routes about to be put fall under orders that were given before.
    pub(crate) fn rest_routes(&mut self, change: &Change) {
        let mut changed = Vec::new();
        for (sid, route) in change.gone() {
            let Some(session) = self.sessions.get_mut(&sid) else { continue };
            // It may come back under the same number, when a try reverts.
            if session.resting.remove(&route).is_some() {
                changed.push((route, Mode::Serves));
            }
        }
        let owners: BTreeMap<RouteId, Sid> = change
            .coming()
            .iter()
            .filter(|(sid, _)| self.session(*sid).is_some_and(|s| !s.orders.is_empty()))
            .map(|(sid, route)| (*route, *sid))
            .collect();
        for entry in change.puts() {
            let Some(sid) = owners.get(&entry.route) else { continue };
            let Some(session) = self.sessions.get_mut(sid) else { continue };
            let mode = mode_of(session, entry.route, &entry.spec);
            let before = match &mode {
                Some(mode) => session.resting.insert(entry.route, mode.clone()),
                None => session.resting.remove(&entry.route),
            };
            if before != mode {
                changed.push((entry.route, mode.unwrap_or(Mode::Serves)));
            }
        }
        if !changed.is_empty() {
            self.emit(Output::Maintenance(changed));
        }
    }

    fn tell_changed(&mut self, sid: Sid, changed: &[(RouteId, Mode)]) {
        for active in [true, false] {
            let routes: Vec<RouteId> = changed
                .iter()
                .filter(|(_, mode)| (*mode != Mode::Serves) == active)
                .map(|(route, _)| *route)
                .take(EVENT_ROUTES_MAX)
                .collect();
            if !routes.is_empty() {
                self.tell(sid, &Event::MaintenanceChanged { routes, active });
            }
        }
    }

    pub(crate) fn maint_status(&self, sid: Sid) -> Outcome {
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let orders = self.without_stale_items(session);
        let targets = orders.into_iter().map(|order| MaintenanceEntry {
            target: order.target.text,
            page: order.page,
            entered_at: order.entered_at,
        });
        let in_maintenance = session.resting.keys().copied().collect();
        let report = MaintenanceReport { in_maintenance, targets: targets.collect() };
        Ok(Reply::MaintenanceStatus(report).into())
    }

    /// Whether everything that is named is there.
    fn known_items(&self, session: &Session, target: &MaintenanceTarget) -> Result<(), Refusal> {
        for item in &target.items {
            let refusal = match item {
                TargetItem::Route(_) => Refusal::ROUTE_NOT_FOUND,
                TargetItem::Path(_) => Refusal::NO_ROUTE_WITH_PATH,
                TargetItem::Domain(_) => Refusal::NO_ROUTE_WITH_DOMAIN,
            };
            if self.routes_of_item(session, item).next().is_none() {
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn routes_of_item<'a>(
        &'a self,
        session: &'a Session,
        item: &'a TargetItem,
    ) -> Box<dyn Iterator<Item = RouteId> + 'a> {
        match item {
            TargetItem::Route(route) => Box::new(session.active.get(route).copied().into_iter()),
            TargetItem::Path(_) | TargetItem::Domain(_) => {
                let entries = session.active.iter().filter_map(|route| self.table.get(*route));
                let about = entries.filter(move |entry| is_about(item, entry.route, &entry.spec));
                Box::new(about.map(|entry| entry.route))
            }
        }
    }

    fn routes_about(&self, session: &Session, target: &MaintenanceTarget) -> BTreeSet<RouteId> {
        target.items.iter().flat_map(|item| self.routes_of_item(session, item)).collect()
    }

    /// Orders without the routes that are gone.
    fn without_stale_items(&self, session: &Session) -> Vec<MaintenanceRow> {
        let stale = |item: &TargetItem| match item {
            TargetItem::Route(route) => !session.active.contains(route),
            TargetItem::Path(_) | TargetItem::Domain(_) => false,
        };
        let fresh = |order: &MaintenanceRow| {
            let mut order = order.clone();
            if !order.target.items.iter().any(stale) {
                return Some(order);
            }
            order.target.items.retain(|item| !stale(item));
            order.target.text = text_of(&order.target.items);
            (!order.target.items.is_empty()).then_some(order)
        };
        session.orders.iter().filter_map(fresh).collect()
    }

    /// An order without some routes; `None` when nothing is left of it.
    fn without(
        &self,
        session: &Session,
        mut order: MaintenanceRow,
        leaving: &BTreeSet<RouteId>,
    ) -> Option<MaintenanceRow> {
        let items = std::mem::take(&mut order.target.items);
        let mut left = Vec::new();
        let mut rest = |routes: Vec<RouteId>, item: Option<TargetItem>| match item
            .filter(|_| !routes.iter().any(|route| leaving.contains(route)))
        {
            Some(item) => left.push(item),
            None => left
                .extend(routes.into_iter().filter(|r| !leaving.contains(r)).map(TargetItem::Route)),
        };
        if items.is_empty() {
            rest(session.active.iter().copied().collect(), None);
        }
        for item in items {
            rest(self.routes_of_item(session, &item).collect(), Some(item));
        }
        left.sort();
        left.dedup();
        order.target.text = text_of(&left);
        order.target.items = left;
        (!order.target.items.is_empty()).then_some(order)
    }
}

fn is_about(item: &TargetItem, route: RouteId, spec: &RouteSpec) -> bool {
    match item {
        TargetItem::Route(named) => *named == route,
        TargetItem::Path(path) => {
            path.compared(MatchKind::Prefix) == spec.path.compared(MatchKind::Prefix)
        }
        TargetItem::Domain(domain) => spec.domains.contains(domain),
    }
}

/// What the newest order that is about a route makes of it.
fn mode_of(session: &Session, route: RouteId, spec: &RouteSpec) -> Option<Mode> {
    let about = |order: &&MaintenanceRow| {
        let items = &order.target.items;
        items.is_empty() || items.iter().any(|item| is_about(item, route, spec))
    };
    let order = session.orders.iter().rev().find(about)?;
    let port = session.maintenance_port;
    let registered = || (port > 0).then(|| spec.backend.with_port(port));
    Some(Mode::Maintenance { page: order.page.clone().or_else(registered) })
}

/// As a client would write it.
fn text_of(items: &[TargetItem]) -> Box<str> {
    let texts: Vec<String> = items
        .iter()
        .map(|item| match item {
            TargetItem::Route(route) => route.to_string(),
            TargetItem::Path(path) => path.to_string(),
            TargetItem::Domain(domain) => domain.to_string(),
        })
        .collect();
    texts.join(",").into()
}
