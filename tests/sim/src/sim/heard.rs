//! What clients were told, and what follows from it.

use model::{ConnId, Event, EventKind, Line, Push, Reply, Request, RouteId, SessionId};

use super::Sim;
use crate::world::Heard;

/// Whether something is the refusal of a command.
pub(super) fn is_refusal(heard: &Heard) -> bool {
    match heard {
        Heard::Answer(_, exchange) => matches!(exchange.1.reply, Reply::Refused(_)),
        Heard::Push(..) => false,
    }
}

impl Sim {
    /// Takes in everything that was told since the last time.
    ///
    /// # Panics
    ///
    /// When it should not have been told.
    pub(super) fn hear(&mut self) {
        for heard in std::mem::take(&mut self.world.heard) {
            match heard {
                Heard::Answer(conn, exchange) => {
                    let (line, answer) = *exchange;
                    self.hear_answer(conn, &line, &answer.reply);
                }
                Heard::Push(conn, push) => self.hear_push(conn, &push),
            }
        }
        let numbers: Vec<u64> = self.world.clients().map(|(number, _)| number).collect();
        for number in numbers {
            while let Some(text) = self.world.client(number).and_then(|client| client.told()) {
                self.note(format!("{number}< {text}"));
            }
        }
    }

    fn hear_answer(&mut self, conn: ConnId, line: &Line, reply: &Reply) {
        match (reply, &line.session) {
            (Reply::Registered(id), _) => {
                let text = id.as_str().to_owned();
                assert!(!self.sessions.contains(&text), "{text} was given out twice");
                self.sessions.push(text);
                self.hold(conn, id);
            }
            (Reply::Ok, Some(id)) if line.request == Request::Reconnect => self.hold(conn, id),
            (Reply::RouteAdded(route), Some(id)) => {
                let new = self.route(*route, id);
                let accept = matches!(line.request, Request::HandoverAccept { .. });
                assert!(new || !accept, "{route} was taken over under an id that was there");
            }
            (Reply::RoutesAdded(routes), Some(id)) => {
                for route in routes {
                    self.route(*route, id);
                }
            }
            (Reply::HandoverOk(token), _) => self.tokens.push(token.to_string()),
            (Reply::Goodbye | Reply::ShutdownOk, _) => drop(self.void.insert(conn)),
            (Reply::SubscribeOk, Some(id)) => {
                let kinds = self.subscriptions.entry(id.clone()).or_default();
                match line.request {
                    Request::Subscribe(Some(kind)) => drop(kinds.insert(kind)),
                    _ => kinds.extend(EventKind::ALL.map(|(kind, _)| kind)),
                }
            }
            (Reply::UnsubscribeOk, Some(id)) => {
                let kinds = self.subscriptions.entry(id.clone()).or_default();
                match line.request {
                    Request::Unsubscribe(Some(kind)) => drop(kinds.remove(&kind)),
                    _ => kinds.clear(),
                }
            }
            (Reply::RouteList(listing), Some(id)) => {
                for entry in &listing.entries {
                    let owner = self.routes.get(&entry.route);
                    assert!(
                        owner.is_none_or(|owner| owner == id),
                        "{} is not its own",
                        entry.route
                    );
                }
            }
            _ => {}
        }
    }

    /// A connection holds a session from now on, and no other one does.
    fn hold(&mut self, conn: ConnId, id: &SessionId) {
        let others = self.holds.iter().filter(|(other, held)| **other != conn && *held == id);
        let others: Vec<ConnId> = others.map(|(other, _)| *other).collect();
        self.void.extend(others);
        self.void.remove(&conn);
        self.holds.insert(conn, id.clone());
    }

    /// A route id was given to a session; says whether it is a new one.
    fn route(&mut self, route: RouteId, to: &SessionId) -> bool {
        if let Some(owner) = self.routes.get(&route) {
            assert_eq!(owner, to, "{route} was given out twice");
            return false;
        }
        // v1's ROUTE does not tell the id; a ROUTE_ADD of the same does.
        let machine = self.world.registry.image();
        let own = machine.sessions.iter().find(|held| held.row.session == *to);
        let live = own.is_some_and(|held| held.routes.iter().any(|(id, ..)| *id == route));
        let last = self.routes.keys().next_back();
        assert!(
            live || last.is_none_or(|last| *last < route),
            "{route} was given out after {last:?}"
        );
        self.routes.insert(route, to.clone());
        true
    }

    fn hear_push(&mut self, conn: ConnId, push: &Push) {
        let Push::Event(event) = push else { return };
        let holder = self.holds.get(&conn);
        let subscribed = holder.and_then(|id| self.subscriptions.get(id));
        let kind = Event::kind(event);
        assert!(
            subscribed.is_some_and(|kinds| kinds.contains(&kind)),
            "{conn:?} is told {event:?} and did not subscribe"
        );
    }
}
