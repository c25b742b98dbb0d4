//! What the machine wants of the rest of the proxy.

use std::sync::Arc;

use model::{BackendUrl, Guard, InstanceName, RouteId, ServiceName};
use resilience::Drain;
use routing::{EndpointId, Table};
use session::{Member, Mode, Query, QueryId};

/// An output of the machine that is not about connections, disk or log. In the order they come;
/// each variant means what its namesake among [`session::Output`] says.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Publish this table; tell by [`session::Input::Live`] when nothing older is in flight.
    Publish(Arc<Table>),
    /// The registry connection behind these endpoints was lost (`false`), or is back.
    Presence(Vec<EndpointId>, bool),
    /// The backends of these routes failed when they were checked last, in a life before this one.
    Failing(Vec<RouteId>),
    /// These endpoints drain, or no longer do.
    Drain(Vec<EndpointId>, Option<Drain>),
    /// How these routes answer, from the next publication on.
    Maintenance(Vec<(RouteId, Mode)>),
    /// Watch these routes for a try, or stop.
    Watch(QueryId, Option<(Vec<RouteId>, Guard)>),
    /// Answer this by [`session::Input::Answered`] within 4 s.
    Query(QueryId, Query),
    /// What is known of an instance now.
    Member(ServiceName, InstanceName, Option<Box<Member>>),
    /// A backend of an instance was found well, or not, for this reason.
    Checked(ServiceName, InstanceName, BackendUrl, bool, Box<str>),
}
