//! One command, one place: which session it is about, whether it may be carried out now, and by
//! whom.

use model::{
    Line, Now, OptionKey, OptionValue, Refusal, Reply, Request, Scopes, SettingsEdits, Target,
};

use crate::answering::{Done, Outcome};
use crate::effects::is_supported;
use crate::state::{Sid, Ticket};
use crate::{Query, Registry};

impl Registry {
    pub(crate) fn dispatch(&mut self, ticket: Ticket, line: Line, now: Now) -> Outcome {
        if let Request::Register(registration) = &line.request {
            let registration = registration.clone();
            return self.register(ticket, &registration, line, now);
        }
        if matches!(line.request, Request::Auth(_)) {
            return Ok(Reply::AuthOk.into());
        }
        if line.request == Request::Reconnect {
            return self.reconnect(ticket, line, now);
        }
        if line.request == Request::Sessions {
            return self.sessions(ticket);
        }
        if let Request::Catalog { what, with } = &line.request {
            if !self.is_operator(ticket.conn) {
                return Err(Refusal::OPERATORS_ONLY);
            }
            let (what, with) = (what.clone(), with.clone());
            return self.ask(ticket, Query::Catalog { what, with });
        }
        if let (None, Request::Explain { method, host, path }) = (&line.session, &line.request)
            && self.is_operator(ticket.conn)
        {
            return self.explain(ticket, method, host, path);
        }
        let sid = self.named(ticket.conn, &line)?;
        self.may_ask(ticket.conn, &line.request)?;
        self.heard(sid, ticket.conn, line.request == Request::Ping, now);
        if !is_supported(&self.config.effects, &line.request) {
            return Err(Refusal::NOT_SUPPORTED_YET);
        }
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        if changes_something(&line.request) && self.is_busy(&session.identity) {
            let identity = session.identity.clone();
            return self.wait(&identity, ticket, line);
        }
        self.carry(ticket, sid, &line, now)
    }

    fn carry(&mut self, ticket: Ticket, sid: Sid, line: &Line, now: Now) -> Outcome {
        match &line.request {
            // Handled before there was a session, or never answered.
            Request::Auth(_)
            | Request::Register(_)
            | Request::Reconnect
            | Request::Sessions
            | Request::Catalog { .. }
            | Request::Ack => Err(Refusal::INVALID_SESSION),
            Request::RouteV1(spec) => self.route_at_once(ticket, sid, spec, line, now),
            Request::HeaderV1(rule) => self.header_at_once(ticket, sid, rule.clone(), now),
            Request::OptionV1(key, value) => {
                self.option_at_once(ticket, sid, *key, value.clone(), now)
            }
            Request::ValidateV1 | Request::ConfigValidate => self.validate(sid),
            Request::ShutdownV1 => self.say_goodbye(ticket, sid, Reply::Goodbye, now),
            Request::ClientShutdown => self.say_goodbye(ticket, sid, Reply::ShutdownOk, now),
            Request::RouteAdd(spec) => {
                let adds = self.route_add(ticket, sid, std::slice::from_ref(spec), line, now)?;
                Ok(adds
                    .answered(|ids| ids.first().copied().map_or(Reply::RouteOk, Reply::RouteAdded)))
            }
            Request::RouteAddBulk(specs) => {
                let adds = self.route_add(ticket, sid, specs, line, now)?;
                Ok(adds.answered(Reply::RoutesAdded))
            }
            Request::RouteUpdate(route, update) => {
                self.route_update(ticket, sid, *route, update, now)
            }
            Request::RouteRemove(route) => self.route_remove(sid, *route, now),
            Request::RouteList { from, compressed } => self.route_list(sid, *from, *compressed),
            Request::HeadersSet(target, rule) => {
                self.headers_set(sid, *target, rule.clone(), now)?;
                Ok(Reply::HeadersOk.into())
            }
            Request::HeadersRemove(target, key) => {
                self.headers_remove(sid, *target, key.clone(), now)?;
                Ok(Reply::HeadersOk.into())
            }
            Request::OptionsSet(target, key, value) => {
                self.stage_option(sid, *target, *key, Some(value.clone()), now)
            }
            Request::OptionsRemove(target, key) => self.stage_option(sid, *target, *key, None, now),
            Request::HealthSet(route, health) => {
                let mut edits = SettingsEdits::default();
                edits.health.insert(*route, Some(health.clone()));
                self.stage_settings(sid, Target::Route(*route), edits, now)?;
                Ok(Reply::HealthOk.into())
            }
            Request::RatelimitSet(target, limit) => {
                let mut edits = SettingsEdits::default();
                edits.limits.insert(*target, Some(*limit));
                self.stage_settings(sid, *target, edits, now)?;
                Ok(Reply::RatelimitOk.into())
            }
            Request::CircuitBreakerSet(target, breaker) => {
                let mut edits = SettingsEdits::default();
                edits.breakers.insert(*target, Some(*breaker));
                self.stage_settings(sid, *target, edits, now)?;
                Ok(Reply::CircuitOk.into())
            }
            Request::CircuitBreakerStatus(target) => {
                let routes = self.live_routes(sid, *target)?;
                self.ask(ticket, Query::CircuitStatus { target: *target, routes })
            }
            Request::CircuitBreakerReset(target) => {
                let routes = self.live_routes(sid, *target)?;
                self.ask(ticket, Query::CircuitReset(routes))
            }
            Request::ConfigApply => self.apply(ticket, sid, Scopes::ALL, line, now),
            Request::ConfigApplyPartial(scopes) => self.apply(ticket, sid, *scopes, line, now),
            Request::ConfigRollback => self.rollback(sid),
            Request::ConfigDiff => self.diff(sid),
            Request::ConfigTry { duration, guard } => {
                self.try_config(ticket, sid, (*duration, *guard), line, now)
            }
            Request::ConfigConfirm => self.confirm(ticket, sid),
            Request::StatsGet { target, compressed } => {
                let routes = self.live_routes(sid, *target)?;
                let (target, compressed) = (*target, *compressed);
                self.ask(ticket, Query::Stats { target, routes, compressed })
            }
            Request::Ping => Ok(Reply::Pong.into()),
            Request::SessionInfo => self.session_info(sid, now),
            Request::DrainStart(duration) => self.drain_start(ticket, sid, *duration, now),
            Request::DrainStatus => self.drain_status(sid, now),
            Request::DrainCancel => self.drain_cancel(ticket, sid),
            Request::MaintEnter { target, page } => {
                self.maint_enter(ticket, sid, target.clone(), page.clone(), now)
            }
            Request::MaintExit(target) => self.maint_exit(ticket, sid, target, now),
            Request::MaintStatus => self.maint_status(sid),
            Request::Subscribe(kind) => self.subscribe(ticket, sid, *kind),
            Request::Unsubscribe(kind) => self.unsubscribe(ticket, sid, *kind),
            Request::BackendTest(backend) => self.backend_test(ticket, sid, backend.clone()),
            Request::Explain { method, host, path } => self.explain(ticket, method, host, path),
            Request::HandoverOffer(route) => self.handover_offer(sid, *route, now),
            Request::HandoverAccept { token, backend } => {
                self.handover_accept(ticket, sid, token, backend, line, now)
            }
        }
    }

    fn stage_option(
        &mut self,
        sid: Sid,
        target: Target,
        key: OptionKey,
        value: Option<OptionValue>,
        now: Now,
    ) -> Outcome {
        let mut edits = SettingsEdits::default();
        edits.options.insert((target, key), value);
        self.stage_settings(sid, target, edits, now)?;
        Ok(Done::Reply(Reply::OptionsOk))
    }
}

/// Whether a command has to wait while an operation of its session is under way. What only reads
/// sees the state before it.
fn changes_something(request: &Request) -> bool {
    match request {
        Request::Auth(_)
        | Request::Register(_)
        | Request::Reconnect
        | Request::Ack
        | Request::ValidateV1
        | Request::ConfigValidate
        | Request::ConfigDiff
        | Request::RouteList { .. }
        | Request::CircuitBreakerStatus(_)
        | Request::CircuitBreakerReset(_)
        | Request::StatsGet { .. }
        | Request::Ping
        | Request::SessionInfo
        | Request::DrainStatus
        | Request::MaintStatus
        | Request::BackendTest(_)
        | Request::Explain { .. }
        | Request::Sessions
        | Request::Catalog { .. } => false,
        Request::RouteV1(_)
        | Request::HeaderV1(_)
        | Request::OptionV1(..)
        | Request::ShutdownV1
        | Request::RouteAdd(_)
        | Request::RouteAddBulk(_)
        | Request::RouteUpdate(..)
        | Request::RouteRemove(_)
        | Request::HeadersSet(..)
        | Request::HeadersRemove(..)
        | Request::OptionsSet(..)
        | Request::OptionsRemove(..)
        | Request::HealthSet(..)
        | Request::RatelimitSet(..)
        | Request::CircuitBreakerSet(..)
        | Request::ConfigApply
        | Request::ConfigApplyPartial(_)
        | Request::ConfigRollback
        | Request::ConfigTry { .. }
        | Request::ConfigConfirm
        | Request::DrainStart(_)
        | Request::DrainCancel
        | Request::MaintEnter { .. }
        | Request::MaintExit(_)
        | Request::Subscribe(_)
        | Request::Unsubscribe(_)
        | Request::HandoverOffer(_)
        | Request::HandoverAccept { .. }
        | Request::ClientShutdown => true,
    }
}
