//! The dialects that feed and read the catalog beside the registry: bound together, ended together.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use certs::{Certificates, Clients, Resolver, ServerConfig, ServerOptions};
use discovery::{Checks, Feed, Handle};
use door::Guests;
use probe::{Policy, Tls};
use runtime::{Clock, Snapshot};
use service_proxy::{HttpProxy, HttpSettings, TcpProxy, TunnelSettings, Tunnels, VirtualAddresses};
use telemetry::{Outcome, Outcomes};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::certificates::CertificateError;
use crate::config::{ClientCertificates, Config, JsonRpcConfig, RegistryTls, ServiceApiConfig};
use crate::deployments::Deployments;
use crate::dialects_counted::Counted;
use crate::kept;
use crate::ports::Bound;
use crate::registry_tls::RegistryServed;
use crate::run::{RunError, not_listening};

/// How long they may take to tidy up after the grace.
const LAST_TIDYING: Duration = Duration::from_secs(2);

/// Everything that was bound, running.
pub(crate) struct Dialects {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
    grace: Duration,
    /// What leads to services; waits until the policy knows all listeners of ours.
    waiting: Vec<Waiting>,
    /// Has the backends file read again.
    reload: Option<json_rpc::Reload>,
    /// Have certificates read again, each those of one listener.
    certificates: Vec<Arc<Notify>>,
    /// Brings packages to hosts, if there are any.
    deployments: Option<Arc<Deployments>>,
    /// What each of them counts.
    counted: Vec<Counted>,
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What they share.
pub(crate) struct Common<'a> {
    pub(crate) catalog: &'a Handle,
    /// Tells the catalog how endpoints are.
    pub(crate) feed: &'a Feed,
    pub(crate) policy: &'a Policy,
    pub(crate) tls: &'a Tls,
    pub(crate) clock: Clock,
}

impl Dialects {
    /// Binds what is configured, and serves what does not lead to services: those can be reached
    /// after [`Dialects::open`] only.
    pub(crate) async fn start(
        config: &Config,
        common: &Common<'_>,
        bound: &mut Bound,
    ) -> Result<Self, RunError> {
        let (stop, stopped) = watch::channel(false);
        let mut all = Self {
            tasks: JoinSet::new(),
            stop,
            stopped,
            grace: config.shutdown_grace,
            waiting: Vec::new(),
            reload: None,
            certificates: Vec::new(),
            deployments: None,
            counted: Vec::new(),
        };
        if let Some(heartbeat) = &config.dialects.heartbeat {
            let settings =
                heartbeat::Settings { listen: heartbeat.listen, ..heartbeat::Settings::default() };
            let refused = not_listening("heartbeat.listen", heartbeat.listen);
            let listener = heartbeat::Listener::bind(&settings, common.catalog.clone());
            let listener = listener.map_err(refused)?;
            bound.heartbeat = Some(listener.address()?);
            all.count("heartbeat", listener.guests(), listener.outcomes());
            let stop = all.stop();
            all.tasks.spawn(listener.serve(stop));
        }
        if let Some(dns) = &config.dialects.dns {
            let server = dns::Server::bind(dns::Settings {
                listen: dns.listen,
                zone: dns.zone.clone(),
                clients: dns.clients.clone(),
                questions_per_second: dns.questions_per_second,
            });
            let server = server.map_err(RunError::Dns)?;
            bound.dns = Some(server.address());
            all.count("dns", server.guests(), server.outcomes());
            let (catalog, clock, stop) = (common.catalog.clone(), common.clock, all.stop());
            all.tasks.spawn(async move {
                if let Err(error) = server.serve(move || catalog.view(), clock, stop).await {
                    tracing::error!(%error, "DNS has ended");
                }
            });
        }
        all.service_proxy(config, common, bound).await?;
        if config.catalog.checks {
            let checks = Checks {
                interval: config.check_interval,
                tls: common.tls.clone(),
                policy: common.policy.clone(),
            };
            let (catalog, feed) = (common.catalog.clone(), common.feed.clone());
            all.waiting.push(Box::pin(checks.run(catalog, feed, common.clock, all.stop())));
        }
        if let Some(api) = &config.dialects.service_api {
            all.service_api(api, &config.store, common, bound).await?;
        }
        if let Some(rpc) = &config.dialects.json_rpc {
            all.json_rpc(rpc, common, bound).await?;
        }
        Ok(all)
    }

    async fn service_proxy(
        &mut self,
        config: &Config,
        common: &Common<'_>,
        bound: &mut Bound,
    ) -> Result<(), RunError> {
        let assigns = config.dialects.service_proxy.as_ref().is_some_and(|on| on.assign_addresses);
        // Whoever hands out no addresses has left none behind. Those of a proxyd that runs stay.
        if config.dialects.heartbeat.is_some() && !assigns {
            service_proxy::forget_addresses(config.catalog.addresses).await;
        }
        let Some(proxy) = &config.dialects.service_proxy else { return Ok(()) };
        let settings = TunnelSettings {
            zone: proxy.zone.as_str().into(),
            port_offset: proxy.port_offset,
            connect_timeout: proxy.connect_timeout,
            idle_timeout: proxy.idle_timeout,
            grace: config.shutdown_grace,
            ..TunnelSettings::default()
        };
        let (policy, catalog) = (common.policy.clone(), common.catalog.clone());
        let tunnels = Tunnels::new(settings, policy, common.clock, catalog);
        if proxy.tcp.is_some() || proxy.assign_addresses {
            self.count("service_proxy_tcp", tunnels.guests(), tunnels.outcomes());
        }
        if let Some(listen) = proxy.tcp {
            let listener = TcpProxy::bind(listen, tunnels.clone());
            let listener = listener.map_err(not_listening("service_proxy.tcp", listen))?;
            bound.service_proxy_tcp = Some(listener.address()?);
            let stop = self.stop();
            self.waiting.push(Box::pin(listener.serve(stop)));
        }
        if let Some(listen) = proxy.http {
            let policy = common.policy.clone();
            let plane = dataplane::Config {
                policy,
                ..dataplane::Config::new(vec![listen], config.http.workers)
            };
            let settings = HttpSettings {
                plane,
                zone: proxy.zone.as_str().into(),
                port_offset: proxy.port_offset,
            };
            let (tls, catalog) = (common.tls.clone(), common.catalog.clone());
            let server = HttpProxy::bind(settings, tls, common.clock, catalog);
            let server = server.map_err(|error| match error {
                dataplane::StartError::Bind { address, source } => {
                    not_listening("service_proxy.http", address)(source)
                }
                other => RunError::Plane(other),
            })?;
            bound.service_proxy_http = server.addresses().first().copied();
            self.counted.push(Counted::plane("service_proxy_http", server.publisher()));
            let (stop, grace) = (self.stop(), self.grace);
            self.waiting.push(Box::pin(async move {
                if let Err(error) = server.serve(stop, grace).await {
                    tracing::error!(%error, "HTTP to services has ended");
                }
            }));
        }
        if proxy.assign_addresses {
            let addresses = VirtualAddresses::start(config.catalog.addresses, tunnels).await;
            let addresses = addresses.map_err(RunError::Addresses)?;
            let stop = self.stop();
            self.waiting.push(Box::pin(addresses.serve(stop)));
        }
        Ok(())
    }

    async fn json_rpc(
        &mut self,
        rpc: &JsonRpcConfig,
        common: &Common<'_>,
        bound: &mut Bound,
    ) -> Result<(), RunError> {
        let mut settings = json_rpc::Settings::new(rpc.listen);
        if let Some(files) = &rpc.files {
            let shown = RegistryTls { files: files.clone(), clients: rpc.clients.clone() };
            settings.tls = Some(self.show(&shown, "JSON-RPC", common.clock).await?);
        }
        settings.access = rpc.access.access.clone();
        settings.insecure = rpc.access.insecure;
        settings.hub = rpc.hub.as_str().into();
        settings.backends = rpc.backends.clone();
        settings.environment = rpc.environment.clone();
        settings.own = rpc.own.as_ref().map(|own| own.entry.clone());
        let server = json_rpc::bind(settings, common.catalog.clone(), common.clock);
        let server = server.map_err(not_listening("json_rpc.listen", rpc.listen))?;
        bound.json_rpc = Some(server.address());
        self.count("json_rpc", server.guests(), server.outcomes());
        self.reload = Some(server.reload());
        let stop = self.stop();
        self.tasks.spawn(server.run(stop));
        Ok(())
    }

    /// How to speak TLS with this certificate, which is read again when its files change or somebody
    /// says so.
    async fn show(
        &mut self,
        shown: &RegistryTls,
        of: &'static str,
        clock: Clock,
    ) -> Result<Arc<ServerConfig>, RunError> {
        let served = RegistryServed::load(shown, of, clock).await?;
        let tls = Arc::clone(&served.tls);
        let (again, stop) = (Arc::new(Notify::new()), self.stop());
        self.certificates.push(Arc::clone(&again));
        self.tasks.spawn(async move {
            tokio::select! {
                () = served.watch(again) => {}
                () = stop => {}
            }
        });
        Ok(tls)
    }

    async fn service_api(
        &mut self,
        api: &ServiceApiConfig,
        store: &Path,
        common: &Common<'_>,
        bound: &mut Bound,
    ) -> Result<(), RunError> {
        let tls = match &api.files {
            Some(files) => {
                let shown = RegistryTls { files: files.clone(), clients: api.clients.clone() };
                self.show(&shown, "the service API", common.clock).await?
            }
            None => stand_in(api.clients.as_ref(), store, common.clock)?,
        };
        let mut settings = service_api::Settings::new(api.listen, tls);
        settings.access = api.access.access.clone();
        settings.insecure = api.access.insecure;
        settings.connections_max = api.connections_max.unwrap_or(settings.connections_max);
        settings.connections_per_peer_max =
            api.connections_per_peer_max.unwrap_or(settings.connections_per_peer_max);
        if let Some(deploy) = &api.deploy {
            let hands = deploy::Deployer::new(deploy.settings.clone());
            let hands = hands.map_err(RunError::Deploy)?;
            let (deployer, orders) = service_api::Deployer::new();
            let all = Deployments::new(hands, common.catalog.clone(), deployer.listeners());
            settings.deployer = Some(deployer);
            self.deployments = Some(Arc::clone(&all));
            let stop = self.stop();
            self.tasks.spawn(all.carry_out(orders, stop));
        }
        let server = service_api::Server::bind(settings, common.catalog.clone(), common.clock);
        let server = server.map_err(not_listening("service_api.listen", api.listen))?;
        bound.service_api = Some(server.local_addr());
        self.count("service_api", server.guests(), server.outcomes());
        let stop = self.stop();
        self.tasks.spawn(server.run(stop));
        match service_api::Networks::watch() {
            Ok(networks) => {
                let (catalog, stop) = (common.catalog.clone(), self.stop());
                self.tasks.spawn(networks.follow(catalog, stop));
            }
            Err(error) => tracing::warn!(%error, "the networks of this machine are not known"),
        }
        Ok(())
    }

    /// Lets everybody to services. Our own listeners must be denied to them by now.
    pub(crate) fn open(&mut self) {
        for waiting in self.waiting.drain(..) {
            self.tasks.spawn(waiting);
        }
    }

    /// What they count, once.
    pub(crate) fn counted(&mut self) -> Vec<Counted> {
        std::mem::take(&mut self.counted)
    }

    fn count<O: Outcome>(&mut self, name: &'static str, guests: Guests, outcomes: Outcomes<O>) {
        self.counted.push(Counted::new(name, guests, outcomes));
    }

    /// What has the backends file read again.
    pub(crate) fn reload(&self) -> Option<json_rpc::Reload> {
        self.reload.clone()
    }

    /// What has certificates read again.
    pub(crate) fn certificates(&self) -> Vec<Arc<Notify>> {
        self.certificates.clone()
    }

    /// Where packages are deployed.
    pub(crate) fn deployments(&self) -> Option<Arc<Deployments>> {
        self.deployments.clone()
    }

    fn stop(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopped = self.stopped.clone();
        async move {
            // A sender that is gone has stopped everything as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    }

    /// Ends them; what is under way has the grace.
    pub(crate) async fn end(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // They keep to the grace themselves, and tidy up after it.
        if tokio::time::timeout(self.grace + LAST_TIDYING, all).await.is_err() {
            self.tasks.abort_all();
            while self.tasks.join_next().await.is_some() {}
        }
    }
}

impl fmt::Debug for Dialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialects").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

/// A certificate of our own making, for a section that names none.
fn stand_in(
    clients: Option<&ClientCertificates>,
    store: &Path,
    clock: Clock,
) -> Result<Arc<ServerConfig>, RunError> {
    tracing::warn!("[service_api] names no certificate; clients are shown one of our own making");
    let pair = kept::certificate(store, &["localhost"], clock.now().wall);
    let pair = Arc::new(pair.map_err(CertificateError::from)?);
    let certificates = Certificates::new(vec![Arc::clone(&pair)]).with_fallback(pair);
    let clients = clients.map(ClientCertificates::load).transpose()?.unwrap_or(Clients::Anyone);
    let options = ServerOptions { alpn: Vec::new(), clients };
    let resolver = Resolver::new(Snapshot::new(Arc::new(certificates)));
    Ok(options.tcp(&resolver, clock).map_err(CertificateError::from)?)
}

/// The addresses of the dialects: no backend may be there.
pub(crate) fn addresses(bound: &Bound) -> impl Iterator<Item = SocketAddr> {
    [
        bound.heartbeat,
        bound.dns,
        bound.service_proxy_tcp,
        bound.service_proxy_http,
        bound.service_api,
        bound.json_rpc,
    ]
    .into_iter()
    .flatten()
}
