//! The library, end to end: what registered is there after a restart, and so are addresses.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use proxyd_service_api::{
    Error, EventKind, Order, Ordered, ProtocolName, Registry, ServiceEntry, State, TlsClientConfig,
    TlsServerConfig, WsClient, WsServer,
};

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = runtime::Clock::system().now().wall;
        let made = certs::self_signed(&["localhost"], now).unwrap();
        std::fs::write(folder.path().join("server.crt"), made.cert_pem).unwrap();
        std::fs::write(folder.path().join("server.key"), made.key_pem).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    async fn server(&self, token: &str) -> WsServer {
        let config = catalog::Config {
            subnets: vec!["10.42.0.0/24".parse().unwrap()],
            ..catalog::Config::default()
        };
        let registry = Registry::open(self.path("registry.db"), config).await;
        let tls = TlsServerConfig::from_files(self.path("server.crt"), self.path("server.key"));
        let tls = tls.await.unwrap().with_token(token).unwrap();
        WsServer::new_tls("127.0.0.1:0", registry, tls).await.unwrap()
    }

    async fn client(&self, server: &WsServer, token: &str) -> Result<WsClient, Error> {
        let tls = TlsClientConfig::default()?.trusting(self.path("server.crt")).await?;
        let address = format!("localhost:{}", server.local_addr().port());
        WsClient::connect_tls(&address, tls.with_token(token)?).await
    }
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let files = Files::new();
    let server = files.server("t").await;
    let client = files.client(&server, "t").await.unwrap();
    let mut events = client.subscribe(&[EventKind::ServiceStateChanged]).await.unwrap();
    let web = ServiceEntry::new("web").with_endpoint("http", "10.0.0.5:80", ProtocolName::Http);
    client.register_service(&web).await.unwrap();
    let ordered = client.service_action("web", Order::Start).await.unwrap();
    let (old_state, new_state) = ("registered".to_owned(), "running".to_owned());
    assert_eq!(ordered, Ordered::Changed { old_state, new_state });
    assert_eq!(events.next().await.unwrap().unwrap().data["new_state"], "starting");
    let given = client.allocate_ip("web").await.unwrap();
    assert_eq!(client.list_allocations().await.unwrap(), std::slice::from_ref(&given));
    assert_eq!(server.registry().get_service("web").unwrap().state, State::Running);
    server.shutdown().await.unwrap();
    while events.next().await.unwrap().is_some() {}
    assert!(matches!(client.list_services().await, Err(Error::Ended(_))));
    let (_, epoch) = events.place();

    let server = files.server("t").await;
    let client = files.client(&server, "t").await.unwrap();
    let shown = client.list_services().await.unwrap();
    assert_eq!((&*shown[0].name, shown[0].state), ("web", State::Running));
    assert_eq!(client.allocate_ip("web").await.unwrap(), given);
    assert_ne!(client.allocate_ip("api").await.unwrap().ip, given.ip);
    let resumed = client.subscribe_after(&[EventKind::ServiceUpdated], (1, epoch)).await;
    assert!(matches!(resumed, Err(Error::Refused(fault)) if fault.code == "missed"));
    client.deregister_service("web", None).await.unwrap();
    let gone = client.get_service("web").await.unwrap_err();
    assert_eq!(gone.to_string(), "Service not found: web");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn who_has_no_token_is_told_why() {
    let files = Files::new();
    let server = files.server("t").await;
    let error = files.client(&server, "wrong").await.unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("the token is wrong"), "{error}");
    let tls = TlsClientConfig::default().unwrap();
    let address = format!("localhost:{}", server.local_addr().port());
    let error = WsClient::connect_tls(&address, tls).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_registry_that_does_not_open_stops_the_server() {
    let files = Files::new();
    std::fs::write(files.path("registry.db"), "no database at all, but long enough to be one")
        .unwrap();
    let tls = TlsServerConfig::from_files(files.path("server.crt"), files.path("server.key"));
    let registry = Registry::with_persistence(files.path("registry.db")).await;
    let refused = WsServer::new_tls("127.0.0.1:0", registry, tls.await.unwrap()).await;
    assert!(matches!(refused, Err(Error::Store(_))), "{refused:?}");
}
