//! Real endpoints, asked in a hurry.

use catalog::{Catalog, Config, Endpoint, Facts, Identity, Image, Protocol, Source, Standing};
use model::{BackendHost, Now};
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::Changes;

struct Site {
    catalog: Handle,
    feed: Feed,
    changes: Changes,
    _stop: oneshot::Sender<()>,
}

fn identity(instance: &str) -> Identity {
    let instance = model::InstanceName::parse(instance).unwrap();
    Identity { service: ServiceName::parse("web").unwrap(), instance }
}

fn started() -> Site {
    let clock = Clock::system();
    let (feed, store) = (Feed::default(), Store::memory());
    let config = Config { checks: true, ..Config::default() };
    let image = Image::default();
    let (catalog, _) = crate::start(config, [7; 32], image, store.catalog(), feed.clone(), clock);
    let (tls, policy) = (Tls::with_roots(probe::RootCertStore::empty()), Policy::default());
    let checks = Checks { interval: Duration::from_millis(20), tls, policy };
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(checks.run(
        catalog.clone(),
        feed.clone(),
        clock,
        async move { drop(stopped.await) },
    ));
    Site { changes: catalog.changes(), catalog, feed, _stop: stop }
}

impl Site {
    async fn put(&self, instance: &str, host: &str, port: u16, protocol: &str) {
        let host = BackendHost::parse(host).unwrap();
        let endpoint = Endpoint::new("main", host, port, Protocol::parse(protocol).unwrap());
        let facts = Facts { endpoints: vec![endpoint], ..Facts::default() };
        let identity = identity(instance);
        let put = move |catalog: &mut Catalog, now: Now| {
            catalog.put(&identity, Source::File, facts.clone(), now).unwrap();
        };
        self.catalog.change(put).await.unwrap();
    }

    fn session(&self, instance: &str, said: Option<(Facts, bool)>) {
        self.feed.session(identity(instance), said);
    }

    /// How an instance stands, and what was found last.
    fn seen(&self, instance: &str) -> (Standing, Option<String>) {
        let view = self.catalog.view();
        let shown = view.service("web").unwrap().instance(instance).unwrap();
        let reason = shown.checks.first().map(|(_, check)| check.found.reason.to_string());
        (shown.standing(), reason)
    }

    /// Until it is seen like that.
    async fn until(&mut self, instance: &str, standing: Standing, reason: &str) {
        let wanted = (standing, Some(reason.to_owned()));
        let waited = timeout(Duration::from_secs(30), async {
            while self.seen(instance) != wanted {
                tokio::select! {
                    change = self.changes.next() => drop(change.unwrap()),
                    // What is no change of health is no change.
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
            }
        });
        assert!(waited.await.is_ok(), "{instance}: {:?}", self.seen(instance));
    }
}

#[tokio::test]
async fn an_endpoint_that_dies_is_found_ill_and_well_again() {
    let mut site = started();
    // Of its own, so that nobody else takes the port meanwhile.
    let listener = TcpListener::bind("127.0.4.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    site.put("a", "127.0.4.1", address.port(), "tcp").await;
    site.until("a", Standing::Good, "connected").await;
    drop(listener);
    site.until("a", Standing::Bad, "connection refused").await;
    let _again = TcpListener::bind(address).await.unwrap();
    site.until("a", Standing::Good, "connected").await;
    let check = site.catalog.view().service("web").unwrap().instances[0].checks[0].1.clone();
    assert!(check.found.took > Duration::ZERO && check.found.took < TIMEOUT);
}

#[tokio::test]
async fn what_must_not_or_cannot_be_asked_is_not_known() {
    let mut site = started();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    site.put("a", "169.254.169.254", 80, "http").await;
    site.put("b", "127.0.0.1", port, "udp").await;
    let denied = "not checked: link-local addresses are not allowed for backends";
    site.until("a", Standing::Unknown, denied).await;
    site.until("b", Standing::Unknown, "not checked: nothing listens on TCP").await;
    // Elsewhere, it is somebody else.
    site.put("b", "127.0.0.1", port, "ws").await;
    site.until("b", Standing::Good, "connected").await;
}

/// A second service at the same place hears of it as well.
#[tokio::test]
async fn a_place_is_asked_for_everybody_there() {
    let mut site = started();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    site.put("a", "127.0.0.1", port, "tcp").await;
    site.until("a", Standing::Good, "connected").await;
    site.put("b", "127.0.0.1", port, "tcp").await;
    site.until("b", Standing::Good, "connected").await;
}

/// While a session speaks for an instance nobody asks; when it ends, the endpoint may have died.
#[tokio::test]
async fn a_place_that_is_believed_again_is_asked_again() {
    let mut site = started();
    let listener = TcpListener::bind("127.0.4.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    site.put("a", "127.0.4.2", port, "tcp").await;
    site.until("a", Standing::Good, "connected").await;
    site.session("a", Some((Facts::default(), true)));
    while site.catalog.view().service("web").unwrap().instances[0].source != Source::Session {
        site.changes.next().await.unwrap();
    }
    drop(listener);
    site.session("a", None);
    site.until("a", Standing::Bad, "connection refused").await;
}
