//! HTTP to services, through a data plane of its own whose table is made from the catalog.

use std::net::SocketAddr;
use std::time::Duration;

use dataplane::{Notice, Plane, Publisher, StartError};
use discovery::{Changes, Handle, Missed};
use model::ServiceName;
use probe::Tls;
use runtime::Clock;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::routes::Routes;

/// Changes that are carried out together.
const TOGETHER_MAX: usize = 1024;

/// How HTTP to services is set up.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// As at the edge: addresses, workers, bounds, times, and which addresses services may have.
    pub plane: dataplane::Config,
    /// What names may end with.
    pub zone: Box<str>,
    /// Added to the ports that the heartbeat port handed out.
    pub port_offset: u16,
}

/// HTTP to services, listening.
#[derive(Debug)]
pub struct HttpProxy {
    plane: Plane,
    notices: mpsc::Receiver<Notice>,
    routes: Routes,
    changes: Changes,
    catalog: Handle,
}

impl HttpProxy {
    /// Listens. Whoever connects waits until [`HttpProxy::serve`].
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn bind(
        settings: HttpSettings,
        tls: Tls,
        clock: Clock,
        catalog: Handle,
    ) -> Result<Self, StartError> {
        let mut routes = Routes::new(&settings.zone, settings.port_offset);
        let view = catalog.view();
        routes.begin(&view);
        let changes = catalog.changes_after(view.seq());
        let table = routes.table().clone();
        let plane = dataplane::Config { by_name: true, ..settings.plane };
        let (plane, notices) = Plane::bind(plane, tls, clock, table)?;
        Ok(Self { plane, notices, routes, changes, catalog })
    }

    /// Where it listens, in the order of the settings.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.plane.bound()
    }

    /// What it serves and has served.
    pub fn publisher(&self) -> Publisher {
        self.plane.publisher()
    }

    /// Serves until `stop`; then what is in flight has `grace` to finish. Gives whether it did.
    ///
    /// # Errors
    ///
    /// [`StartError::Worker`].
    pub async fn serve(
        mut self,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) -> Result<bool, StartError> {
        self.plane.serve()?;
        let publisher = self.plane.publisher();
        let mut follower =
            Follower { routes: self.routes, changes: self.changes, catalog: self.catalog };
        tokio::select! {
            () = stop => {}
            () = follower.run(&publisher) => {}
            // A registry would want to know; nobody here does.
            () = ignore(self.notices) => {}
        }
        Ok(self.plane.drain(grace).await)
    }
}

async fn ignore(mut notices: mpsc::Receiver<Notice>) {
    while notices.recv().await.is_some() {}
}

struct Follower {
    routes: Routes,
    changes: Changes,
    catalog: Handle,
}

impl Follower {
    /// Until the catalog ends.
    async fn run(&mut self, publisher: &Publisher) {
        loop {
            let is_new = match self.next().await {
                Ok(None) => return,
                Ok(Some(services)) => self.routes.look(&self.catalog.view(), services.iter()),
                Err(Missed(_)) => {
                    let view = self.catalog.view();
                    self.changes = self.catalog.changes_after(view.seq());
                    self.routes.begin(&view)
                }
            };
            if is_new {
                publisher.publish(self.routes.table().clone());
            }
        }
    }

    /// The services of which something changed, all that are known at once.
    async fn next(&mut self) -> Result<Option<Vec<ServiceName>>, Missed> {
        let Some(first) = self.changes.next().await? else { return Ok(None) };
        let mut services = Vec::from_iter(first.what.service().cloned());
        while services.len() < TOGETHER_MAX
            && let Ok(Ok(Some(more))) = timeout(Duration::ZERO, self.changes.next()).await
        {
            services.extend(more.what.service().cloned());
        }
        services.sort();
        services.dedup();
        Ok(Some(services))
    }
}
