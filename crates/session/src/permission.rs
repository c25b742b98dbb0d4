//! Who may do what: commands against the grants of the connection they came on.
//!
//! Operators, and whoever came where nothing had to be shown, have no credential and may do
//! everything.

use std::sync::Arc;

use model::{ConnId, OptionValue, Refusal, Request, RouteId, RouteSpec, ServiceName, StagedRoute};

use crate::Registry;
use crate::grants::{Credential, NotGranted};
use crate::plan::refusal;
use crate::staging::spec_of;
use crate::state::{Session, Sid};

impl Registry {
    /// A connection has shown who it is.
    pub(crate) fn authenticated(&mut self, conn: ConnId, credential: Arc<Credential>) {
        if let Some(held) = self.conns.get_mut(&conn) {
            held.credential = Some(credential);
        }
    }

    /// The credential of a connection, if its grants leave something out.
    pub(crate) fn restricted(&self, conn: ConnId) -> Option<&Credential> {
        let credential = self.conns.get(&conn)?.credential.as_deref()?;
        (!credential.grants.are_all()).then_some(credential)
    }

    /// As a session remembers it.
    pub(crate) fn credential_name(&self, conn: ConnId) -> Option<Box<str>> {
        Some(self.conns.get(&conn)?.credential.as_ref()?.name.clone())
    }

    pub(crate) fn may_register(&self, conn: ConnId, service: &ServiceName) -> Result<(), Refusal> {
        let Some(credential) = self.restricted(conn) else { return Ok(()) };
        let granted = credential.grants.check_service(service);
        granted.map_err(|what| refused(None, &what, credential))
    }

    /// Whether a session may go on over a connection: one with the credential it was registered
    /// with. A session from before there were credentials is anybody's who may register its
    /// service.
    pub(crate) fn may_reconnect(&self, conn: ConnId, session: &Session) -> bool {
        let shown = self.conns.get(&conn).and_then(|held| held.credential.as_deref());
        match (&session.credential, shown) {
            (Some(wanted), shown) => shown.is_some_and(|shown| shown.name == *wanted),
            (None, _) => self.may_register(conn, &session.identity.service).is_ok(),
        }
    }

    /// Whether what a command names is granted, before anything is done.
    pub(crate) fn may_ask(&self, conn: ConnId, request: &Request) -> Result<(), Refusal> {
        let Some(credential) = self.restricted(conn) else { return Ok(()) };
        let grants = &credential.grants;
        let (object, granted) = match request {
            Request::RouteV1(spec) | Request::RouteAdd(spec) => {
                ("route".to_owned(), grants.check_route(spec))
            }
            Request::RouteAddBulk(specs) => return bulk(specs, credential),
            Request::MaintEnter { page: Some(page), .. } => {
                ("page".to_owned(), grants.check_backend(page))
            }
            Request::BackendTest(backend) => ("test".to_owned(), grants.check_backend(backend)),
            Request::Explain { host, .. } => ("explain".to_owned(), grants.check_host(host)),
            Request::OptionV1(_, OptionValue::Match(kind))
            | Request::OptionsSet(_, _, OptionValue::Match(kind)) => {
                ("options".to_owned(), grants.check_match(*kind))
            }
            // What these name is known where they are carried out, or is the session's own.
            Request::Auth(_)
            | Request::Register(_)
            | Request::Reconnect
            | Request::Ack
            | Request::Sessions
            | Request::Catalog { .. }
            | Request::RouteUpdate(..)
            | Request::HandoverAccept { .. }
            | Request::HandoverOffer(_)
            | Request::RouteRemove(_)
            | Request::RouteList { .. }
            | Request::HeaderV1(_)
            | Request::HeadersSet(..)
            | Request::HeadersRemove(..)
            | Request::OptionV1(..)
            | Request::OptionsSet(..)
            | Request::OptionsRemove(..)
            | Request::HealthSet(..)
            | Request::RatelimitSet(..)
            | Request::CircuitBreakerSet(..)
            | Request::CircuitBreakerStatus(_)
            | Request::CircuitBreakerReset(_)
            | Request::ValidateV1
            | Request::ConfigValidate
            | Request::ConfigApply
            | Request::ConfigApplyPartial(_)
            | Request::ConfigRollback
            | Request::ConfigDiff
            | Request::ConfigTry { .. }
            | Request::ConfigConfirm
            | Request::StatsGet { .. }
            | Request::Ping
            | Request::SessionInfo
            | Request::DrainStart(_)
            | Request::DrainStatus
            | Request::DrainCancel
            | Request::MaintEnter { page: None, .. }
            | Request::MaintExit(_)
            | Request::MaintStatus
            | Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::ShutdownV1
            | Request::ClientShutdown => return Ok(()),
        };
        granted.map_err(|what| refused(Some(&object), &what, credential))
    }

    /// Whether a route may be what a command makes of it.
    pub(crate) fn may_route(
        &self,
        conn: ConnId,
        route: Option<RouteId>,
        spec: &RouteSpec,
    ) -> Result<(), Refusal> {
        let Some(credential) = self.restricted(conn) else { return Ok(()) };
        let object = route.map_or_else(|| "route".to_owned(), |route| format!("route {route}"));
        let granted = credential.grants.check_route(spec);
        granted.map_err(|what| refused(Some(&object), &what, credential))
    }

    /// Whether what a session has staged may go live. It was looked at when it was staged; since
    /// then the proxy may have been started with other grants.
    pub(crate) fn may_apply(&self, conn: ConnId, sid: Sid) -> Result<(), Refusal> {
        let Some(credential) = self.restricted(conn) else { return Ok(()) };
        let Some(session) = self.session(sid) else { return Err(Refusal::SESSION_NOT_FOUND) };
        let granted = |(route, staged): (&RouteId, &StagedRoute)| {
            let what = credential.grants.check_route(spec_of(staged)?).err()?;
            Some(text(Some(&format!("route {route}")), &what, credential))
        };
        let faults: Vec<String> = session.staging.routes().iter().filter_map(granted).collect();
        if faults.is_empty() { Ok(()) } else { Err(refusal(&faults)) }
    }
}

fn bulk(specs: &[RouteSpec], credential: &Credential) -> Result<(), Refusal> {
    for (index, spec) in specs.iter().enumerate() {
        credential
            .grants
            .check_route(spec)
            .map_err(|what| refused(Some(&format!("json_array[{index}]")), &what, credential))?;
    }
    Ok(())
}

fn refused(object: Option<&str>, what: &NotGranted, credential: &Credential) -> Refusal {
    Refusal::new(text(object, what, credential))
}

fn text(object: Option<&str>, what: &NotGranted, credential: &Credential) -> String {
    let name = &credential.name;
    match object {
        Some(object) => format!("{object}: {what} to credential {name}"),
        None => format!("{what} to credential {name}"),
    }
}
