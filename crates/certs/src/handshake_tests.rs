//! Real handshakes over a pipe in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::UnixMillis;
use runtime::{Clock, Snapshot};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion, version,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::fixture::{Authority, Kind, NOW, Pem, key, params, resolver};
use crate::pair::provider;
use crate::{
    Certificates, ClientRoots, Clients, Fingerprint, Pair, Resolver, ServerOptions, self_signed,
};

type Versions = &'static [&'static SupportedProtocolVersion];

const ANY: Versions = &[&version::TLS13, &version::TLS12];
const TLS13: Versions = &[&version::TLS13];
const TLS12: Versions = &[&version::TLS12];

/// What both sides know after a handshake.
#[derive(Debug)]
struct Shaken {
    version: ProtocolVersion,
    suite: CipherSuite,
    alpn: Option<Vec<u8>>,
    kind: HandshakeKind,
    shown: Fingerprint,
    client_showed: bool,
}

/// Each side's word if it refuses.
type Refused = (Option<String>, Option<String>);

/// One handshake, and one byte from the server, so that tickets arrive.
async fn shake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<Shaken, Refused> {
    let (near, far) = tokio::io::duplex(4096);
    let accept = async {
        let mut stream = TlsAcceptor::from(server.clone()).accept(near).await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        Ok::<_, std::io::Error>(stream)
    };
    let connect = async {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut stream = TlsConnector::from(client.clone()).connect(name, far).await?;
        stream.read_exact(&mut [0]).await?;
        Ok::<_, std::io::Error>(stream)
    };
    match tokio::join!(accept, connect) {
        (Ok(server), Ok(client)) => {
            let (server, client) = (server.get_ref().1, client.get_ref().1);
            Ok(Shaken {
                version: server.protocol_version().unwrap(),
                suite: server.negotiated_cipher_suite().unwrap().suite(),
                alpn: server.alpn_protocol().map(<[u8]>::to_vec),
                kind: server.handshake_kind().unwrap(),
                shown: Fingerprint::of(&client.peer_certificates().unwrap()[0]),
                client_showed: server.peer_certificates().is_some(),
            })
        }
        (server, client) => Err((
            server.err().map(|error| error.to_string()),
            client.err().map(|error| error.to_string()),
        )),
    }
}

/// A client that believes `authorities`; tests change what they need.
struct Client {
    roots: RootCertStore,
    provider: CryptoProvider,
    versions: Versions,
    certificate: Option<Pem>,
    alpn: Vec<Vec<u8>>,
    sni: bool,
}

impl Client {
    fn believing(authorities: &[&str]) -> Self {
        let mut roots = RootCertStore::empty();
        for pem in authorities {
            roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        }
        let provider = provider();
        Self { roots, provider, versions: ANY, certificate: None, alpn: Vec::new(), sni: true }
    }

    /// Signatures of handshakes, not of certificates.
    fn knowing(mut self, schemes: &[SignatureScheme]) -> Self {
        let known = self.provider.signature_verification_algorithms;
        let mapping = known.mapping.iter().filter(|(scheme, _)| schemes.contains(scheme));
        let mapping = Box::leak(mapping.copied().collect::<Box<[_]>>());
        let all = known.all;
        self.provider.signature_verification_algorithms =
            WebPkiSupportedAlgorithms { all, mapping };
        self
    }

    fn config(self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(self.provider))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(self.roots);
        let mut config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let chain = CertificateDer::from_pem_slice(pem.cert.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn;
        config.enable_sni = self.sni;
        Arc::new(config)
    }
}

fn clock() -> Clock {
    Clock::starting_at(NOW)
}

fn serving(resolver: &Resolver) -> Arc<ServerConfig> {
    ServerOptions::default().tcp(resolver, clock()).unwrap()
}

fn pairs(authority: &Authority, of: &[(Kind, &[&str])]) -> Vec<Arc<Pair>> {
    of.iter().map(|(kind, names)| Arc::new(authority.issue(*kind, names).pair())).collect()
}

#[tokio::test]
async fn the_pair_the_client_can_verify() {
    let authority = Authority::new("servers");
    let both = pairs(&authority, &[(Kind::Rsa, &["a.test"]), (Kind::Ecdsa, &["a.test"])]);
    let [rsa, ecdsa] = [&both[0], &both[1]].map(|pair| pair.fingerprint());
    let all = serving(&resolver(both.clone()));
    let rsa_alone = serving(&resolver(vec![both[0].clone()]));
    let ecdsa_alone = serving(&resolver(vec![both[1].clone()]));
    let knows_ecdsa: &[_] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
    let knows_rsa: &[_] = &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];
    let knows_both = &*[knows_rsa, knows_ecdsa].concat();
    #[rustfmt::skip]
    let table = [
        // server      client knows shown        why
        (&all,         knows_both,  Some(ecdsa), "ECDSA first"),
        (&all,         knows_ecdsa, Some(ecdsa), "ECDSA alone"),
        (&all,         knows_rsa,   Some(rsa),   "RSA for whom knows nothing else"),
        (&rsa_alone,   knows_both,  Some(rsa),   "RSA where there is nothing else"),
        (&ecdsa_alone, knows_both,  Some(ecdsa), "ECDSA where there is nothing else"),
        (&rsa_alone,   knows_ecdsa, None,        "nothing for the client"),
        (&ecdsa_alone, knows_rsa,   None,        "nor for this one"),
    ];
    for versions in [TLS13, TLS12] {
        for (server, schemes, expected, why) in table {
            let mut client = Client::believing(&[&authority.pem()]).knowing(schemes);
            client.versions = versions;
            let shaken = shake(server, &client.config(), "a.test").await;
            let shown = shaken.as_ref().ok().map(|shaken| shaken.shown);
            assert_eq!(shown, expected, "{why}: {shaken:?}");
            if let Ok(shaken) = shaken {
                assert_eq!(shaken.version, versions[0].version);
            }
        }
    }
}

#[tokio::test]
async fn names_nobody_serves_are_refused() {
    let authority = Authority::new("servers");
    let names: &[&str] = &["a.test", "*.a.test", "127.0.0.1"];
    let plain = Certificates::new(pairs(&authority, &[(Kind::Ecdsa, names)]));
    let fallback = plain.pairs()[0].clone();
    let with_fallback = Certificates::new(Vec::new()).with_fallback(fallback);
    let serve = |set| serving(&Resolver::new(Snapshot::new(Arc::new(set))));
    let (plain, with_fallback) = (serve(plain), serve(with_fallback));
    #[rustfmt::skip]
    let table = [
        // asked       says so  served  with a fallback alone
        ("a.test",     true,    true,   true),
        ("A.TEST",     true,    true,   true),
        ("x.a.test",   true,    true,   true),
        ("a.test",     false,   false,  true),
        ("127.0.0.1",  true,    false,  true),
        ("x.y.a.test", true,    false,  false), // The client refuses what it gets.
        ("b.test",     true,    false,  false),
    ];
    for (name, sni, served, fallback) in table {
        let mut client = Client::believing(&[&authority.pem()]);
        client.sni = sni;
        let client = client.config();
        let shaken = shake(&plain, &client, name).await;
        assert_eq!(shaken.is_ok(), served, "{name} {sni}: {shaken:?}");
        if let Err((server, client)) = shaken {
            assert!(server.unwrap().contains("no server certificate chain resolved"));
            assert!(client.unwrap().contains("AccessDenied"));
        }
        let shaken = shake(&with_fallback, &client, name).await;
        assert_eq!(shaken.is_ok(), fallback, "{name} {sni}: {shaken:?}");
    }
}

#[tokio::test]
async fn quic_takes_the_same_certificates_with_tls_1_3_alone() {
    let authority = Authority::new("servers");
    let resolver = resolver(pairs(&authority, &[(Kind::Ecdsa, &["a.test"])]));
    let options = ServerOptions { alpn: vec![b"h3".to_vec()], ..ServerOptions::default() };
    let server = options.quic(&resolver, clock()).unwrap();
    for (version, accepted) in [(TLS13, true), (TLS12, false)] {
        let mut client = Client::believing(&[&authority.pem()]);
        (client.versions, client.alpn) = (version, vec![b"h3".to_vec()]);
        let shaken = shake(&server, &client.config(), "a.test").await;
        assert_eq!(shaken.is_ok(), accepted, "{shaken:?}");
    }
}

#[tokio::test]
async fn our_order_of_protocols_counts() {
    let authority = Authority::new("servers");
    let resolver = resolver(pairs(&authority, &[(Kind::Ecdsa, &["a.test"])]));
    let list = |text: &str| text.split_whitespace().map(|p| p.as_bytes().to_vec()).collect();
    let options = ServerOptions { alpn: list("h2 http/1.1"), ..ServerOptions::default() };
    let server = options.tcp(&resolver, clock()).unwrap();
    #[rustfmt::skip]
    let table = [
        ("http/1.1 h2", Ok(Some("h2"))),
        ("http/1.1",    Ok(Some("http/1.1"))),
        ("",            Ok(None)),
        ("h3",          Err(())),
    ];
    for (offered, expected) in table {
        let mut client = Client::believing(&[&authority.pem()]);
        client.alpn = list(offered);
        let shaken = shake(&server, &client.config(), "a.test").await;
        let chosen = shaken.map(|shaken| shaken.alpn).map_err(drop);
        assert_eq!(chosen, expected.map(|p| p.map(|p| p.as_bytes().to_vec())), "{offered}");
    }
}

#[tokio::test]
async fn our_order_of_cipher_suites_counts() {
    let authority = Authority::new("servers");
    let server = serving(&resolver(pairs(&authority, &[(Kind::Ecdsa, &["a.test"])])));
    for versions in [TLS13, TLS12] {
        let mut suites = Vec::new();
        for reversed in [false, true] {
            let mut client = Client::believing(&[&authority.pem()]);
            client.versions = versions;
            if reversed {
                client.provider.cipher_suites.reverse();
            }
            suites.push(shake(&server, &client.config(), "a.test").await.unwrap().suite);
        }
        assert_eq!(suites[0], suites[1]);
    }
}

#[tokio::test]
async fn sessions_are_resumed_also_after_a_swap() {
    let authority = Authority::new("servers");
    for versions in [TLS13, TLS12] {
        let of: &[(Kind, &[&str])] = &[(Kind::Ecdsa, &["a.test"])];
        let set = Snapshot::new(Arc::new(Certificates::new(pairs(&authority, of))));
        let server = serving(&Resolver::new(set.clone()));
        let mut client = Client::believing(&[&authority.pem()]);
        client.versions = versions;
        let client = client.config();
        let mut kinds = Vec::new();
        for _ in 0..3 {
            kinds.push(shake(&server, &client, "a.test").await.unwrap().kind);
            set.store(Arc::new(Certificates::new(pairs(&authority, of))));
        }
        let resumed = HandshakeKind::Resumed;
        assert_eq!(kinds, [HandshakeKind::Full, resumed, resumed], "{versions:?}");
        set.store(Arc::default());
        let refused = shake(&server, &client, "a.test").await;
        assert!(refused.is_err(), "a name that is served no more: {refused:?}");
    }
}

#[tokio::test]
async fn client_certificates() {
    let (servers, clients, others) =
        (Authority::new("servers"), Authority::new("clients"), Authority::new("others"));
    let resolver = resolver(pairs(&servers, &[(Kind::Ecdsa, &["a.test"])]));
    let roots = ClientRoots::parse(clients.pem().as_bytes()).unwrap();
    let server = |clients| {
        let options = ServerOptions { clients, ..ServerOptions::default() };
        options.tcp(&resolver, clock()).unwrap()
    };
    let anyone = server(Clients::Anyone);
    let may = server(Clients::MayShow(roots.clone()));
    let must = server(Clients::MustShow(roots));
    let good = clients.issue(Kind::Ecdsa, &["client"]);
    let foreign = others.issue(Kind::Ecdsa, &["client"]);
    let own = self_signed(&["client"], NOW).unwrap();
    let own = Pem { cert: own.cert_pem, key: own.key_pem };
    #[rustfmt::skip]
    let table = [
        // server  shows                   let in  and known
        (&anyone, None,                    true,   false),
        (&anyone, Some(good.clone()),      true,   false),
        (&may,    None,                    true,   false),
        (&may,    Some(good.clone()),      true,   true),
        (&may,    Some(foreign.clone()),   false,  false),
        (&must,   None,                    false,  false),
        (&must,   Some(good),              true,   true),
        (&must,   Some(foreign),           false,  false),
        (&must,   Some(own),               false,  false),
    ];
    for versions in [TLS13, TLS12] {
        for (row, (server, shows, let_in, known)) in table.iter().enumerate() {
            let mut client = Client::believing(&[&servers.pem()]);
            (client.certificate, client.versions) = (shows.clone(), versions);
            let shaken = shake(server, &client.config(), "a.test").await;
            assert_eq!(shaken.is_ok(), *let_in, "row {row}: {shaken:?}");
            assert_eq!(shaken.is_ok_and(|shaken| shaken.client_showed), *known, "row {row}");
        }
    }
}

/// Nobody gets round a certificate by coming over QUIC.
#[tokio::test]
async fn over_quic_certificates_are_asked_for_as_over_tcp() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let resolver = resolver(pairs(&servers, &[(Kind::Ecdsa, &["a.test"])]));
    let roots = ClientRoots::parse(clients.pem().as_bytes()).unwrap();
    let options = ServerOptions { clients: Clients::MustShow(roots), ..ServerOptions::default() };
    let server = options.quic(&resolver, clock()).unwrap();
    let good = clients.issue(Kind::Ecdsa, &["client"]);
    for (certificate, let_in) in [(None, false), (Some(good), true)] {
        let mut client = Client::believing(&[&servers.pem()]);
        (client.certificate, client.versions) = (certificate, TLS13);
        let shaken = shake(&server, &client.config(), "a.test").await;
        assert_eq!(shaken.is_ok(), let_in, "{shaken:?}");
    }
}

/// A certificate is looked at with every connection.
#[tokio::test]
async fn who_shows_a_certificate_resumes_nothing() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let resolver = resolver(pairs(&servers, &[(Kind::Ecdsa, &["a.test"])]));
    let roots = ClientRoots::parse(clients.pem().as_bytes()).unwrap();
    for clients_asked in [Clients::MayShow(roots.clone()), Clients::MustShow(roots)] {
        let options = ServerOptions { clients: clients_asked, ..ServerOptions::default() };
        let server = options.tcp(&resolver, clock()).unwrap();
        for versions in [TLS13, TLS12] {
            let mut client = Client::believing(&[&servers.pem()]);
            client.certificate = Some(clients.issue(Kind::Ecdsa, &["client"]));
            client.versions = versions;
            let client = client.config();
            for _ in 0..2 {
                let shaken = shake(&server, &client, "a.test").await.unwrap();
                assert_eq!(shaken.kind, HandshakeKind::Full);
                assert!(shaken.client_showed);
            }
        }
    }
}

#[tokio::test]
async fn clients_are_judged_by_our_clock() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let resolver = resolver(pairs(&servers, &[(Kind::Ecdsa, &["a.test"])]));
    let mut params = params(&["client"]);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 1, 10);
    let shown = clients.sign(&params, &key(Kind::Ecdsa));
    for (days, let_in) in [(-1, false), (1, true), (8, true), (10, false)] {
        let now = UnixMillis(NOW.0.saturating_add_signed(days * 86_400_000));
        let roots = ClientRoots::parse(clients.pem().as_bytes()).unwrap();
        let options =
            ServerOptions { clients: Clients::MustShow(roots), ..ServerOptions::default() };
        let server = options.tcp(&resolver, Clock::starting_at(now)).unwrap();
        let mut client = Client::believing(&[&servers.pem()]);
        client.certificate = Some(shown.clone());
        let shaken = shake(&server, &client.config(), "a.test").await;
        assert_eq!(shaken.is_ok(), let_in, "{days}: {shaken:?}");
    }
}

/// Handshakes that overlap with swaps get the one or the other, and the next one after a swap
/// gets what was published.
#[tokio::test]
async fn swaps_while_handshakes_run() {
    let authority = Authority::new("servers");
    let of: &[(Kind, &[&str])] = &[(Kind::Ecdsa, &["a.test"])];
    let sets = [(); 2].map(|()| Arc::new(Certificates::new(pairs(&authority, of))));
    let shown = sets.clone().map(|set| set.pairs()[0].fingerprint());
    let published = Snapshot::new(sets[0].clone());
    let server = serving(&Resolver::new(published.clone()));
    // On the one thread there is: between any two steps of a handshake lies a swap.
    let swapping = tokio::spawn({
        let (published, sets) = (published.clone(), sets.clone());
        async move {
            for set in sets.iter().cycle() {
                published.store(set.clone());
                tokio::task::yield_now().await;
            }
        }
    });
    let handshakes: Vec<_> = (0..60)
        .map(|number| {
            let (server, authority) = (server.clone(), authority.pem());
            let client = Client::believing(&[&authority]).config();
            tokio::spawn(async move {
                for _ in 0..number % 4 {
                    tokio::task::yield_now().await;
                }
                shake(&server, &client, "a.test").await
            })
        })
        .collect();
    let mut seen = BTreeSet::new();
    for handshake in handshakes {
        let shaken = handshake.await.unwrap().expect("every handshake succeeds");
        seen.insert(shown.iter().position(|shown| *shown == shaken.shown).expect("old or new"));
    }
    swapping.abort();
    assert!(swapping.await.unwrap_err().is_cancelled());
    assert_eq!(seen.len(), 2, "both were published while handshakes ran");
    for (set, shown) in sets.iter().zip(shown) {
        published.store(set.clone());
        let client = Client::believing(&[&authority.pem()]).config();
        assert_eq!(shake(&server, &client, "a.test").await.unwrap().shown, shown);
    }
}

#[tokio::test]
async fn a_client_that_is_told_to_accepts_what_we_signed_ourselves() {
    let made = self_signed(&["localhost", "127.0.0.1"], NOW).unwrap();
    let server = serving(&resolver(vec![Arc::new(made.pair)]));
    let client = Client::believing(&[&made.cert_pem]).config();
    let shaken = shake(&server, &client, "localhost").await;
    assert!(shaken.is_ok(), "{shaken:?}");
}
