//! The configuration as it is in effect, as TOML that would give the same.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use certs::PairPaths;

use super::acme::spelled;
use super::{AdminConfig, Config};

/// Writes the effective configuration.
pub fn show(config: &Config) -> String {
    let mut out = String::new();
    let from = config.file.as_ref().map_or("defaults".to_owned(), |f| f.display().to_string());
    let http = &config.http;
    let session = &config.session;
    let trusted = http.trusted_proxies.iter();
    let files = config.backend_ca.iter().map(|file| format!("{:?}", file.display().to_string()));
    let allowed = config.backend_allow.iter();
    // Writing into a String cannot fail.
    let _ = write!(
        out,
        "# from {from}\nworkers = {}\n\n[http]\nlisten = {}\ntrusted_proxies = [{}]\nproxy_protocol = {}\n\
         connections_max = {}\nconnections_per_peer_max = {}\nheader_timeout = {}\nidle_timeout = {}\nconnect_timeout = {}\n\
         body_timeout = {}\n\n[registry]\nlisten = {}\n",
        http.workers,
        list(&http.listen),
        trusted.map(|net| format!("\"{net}\"")).collect::<Vec<_>>().join(", "),
        http.proxy_protocol,
        http.connections_max,
        http.connections_per_peer_max,
        text(http.header_timeout),
        text(http.idle_timeout),
        text(http.connect_timeout),
        text(http.body_timeout),
        list(&config.registry_listen),
    );
    if let Some(socket) = &config.registry_socket {
        let _ = writeln!(out, "socket = {:?}", socket.display().to_string());
    }
    if let Some((file, _)) = &config.token {
        let _ = writeln!(out, "token_file = {:?}", file.display().to_string());
    }
    if let Some(tls) = &config.registry_tls {
        let _ = writeln!(out, "{}", tls.show());
    }
    let _ = write!(
        out,
        "insecure = {}\nsession_expiry = {}\nstaged_expiry = {}\nroute_grace = {}\n\
         sessions_max = {}\nroutes_max = {}\nroutes_per_session_max = {}\n\
         sessions_per_peer_max = {}\n\n[store]\npath = {:?}\n\n\
         [admin]\nsocket = {:?}\n{}\n[shutdown]\ngrace = {}\n\n[backends]\nca = [{}]\n\
         allow = [{}]\ncheck = {}\ncheck_interval = {}\n",
        config.insecure,
        text(session.session_expiry),
        text(session.staged_expiry),
        text(session.route_grace),
        session.sessions_max,
        session.routes_max,
        session.routes_per_session_max,
        session.sessions_per_peer_max,
        config.store.display().to_string(),
        config.admin_socket.display().to_string(),
        config.admin.as_ref().map(AdminConfig::show).unwrap_or_default(),
        text(config.shutdown_grace),
        files.collect::<Vec<_>>().join(", "),
        allowed.map(|net| format!("\"{net}\"")).collect::<Vec<_>>().join(", "),
        config.catalog.checks,
        text(config.check_interval),
    );
    if let Some(https) = &config.https {
        let pair = |pair: &PairPaths| {
            let (cert, key) = (pair.cert.display().to_string(), pair.key.display().to_string());
            format!("{{ cert = {cert:?}, key = {key:?} }}")
        };
        let pairs: Vec<String> = https.certificates.iter().map(pair).collect();
        let (listen, pairs) = (list(&https.listen), pairs.join(", "));
        let (redirect, http3) = (https.redirect, https.http3);
        let _ = write!(
            out,
            "\n[https]\nlisten = {listen}\ncertificates = [{pairs}]\nredirect = {redirect}\nhttp3 = {http3}\n"
        );
        if let Some(clients) = &https.clients {
            let _ = writeln!(out, "{}", clients.show("\n"));
        }
    }
    out.push_str(&super::credentials::show(&config.credentials));
    if let Some(acme) = &config.acme {
        let _ = write!(out, "\n[acme]\naccept_terms = true\n");
        if let Some(email) = &acme.email {
            let _ = writeln!(out, "email = {email:?}");
        }
        let methods = acme.challenges.iter().map(|method| spelled(*method));
        let ca = acme.ca.iter().map(|file| file.display().to_string());
        let _ = write!(
            out,
            "directories = {:?}\nca = {:?}\nchallenges = {:?}\n",
            acme.directories,
            ca.collect::<Vec<_>>(),
            methods.collect::<Vec<_>>(),
        );
        if let Some(eab) = &acme.eab {
            out.push_str(&eab.show());
        }
    }
    out.push_str(&config.dialects.show(&config.catalog));
    let dialects = &config.dialects;
    let sections = [
        ("[https]", config.https.is_some()),
        ("[acme]", config.acme.is_some()),
        ("[admin] listen", config.admin.is_some()),
        ("[heartbeat]", dialects.heartbeat.is_some()),
        ("[dns]", dialects.dns.is_some()),
        ("[service_proxy]", dialects.service_proxy.is_some()),
        ("[service_api]", dialects.service_api.is_some()),
        ("[json_rpc]", dialects.json_rpc.is_some()),
    ];
    let off: Vec<_> = sections.iter().filter(|(_, is_on)| !is_on).map(|(name, _)| *name).collect();
    if !off.is_empty() {
        let _ = writeln!(out, "\n# off, until it is written: {}", off.join(", "));
    }
    out
}

fn list(addresses: &[SocketAddr]) -> String {
    let quoted: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

fn text(duration: Duration) -> String {
    format!("\"{}\"", wire::duration::print(duration))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Config, Flags, Purpose, shown_again};

    #[test]
    fn what_is_shown_reads_back() {
        shown_reads_back("");
        shown_reads_back(
            "[https]\n[acme]\naccept_terms = true\nemail = \"a@example.com\"\n\
             challenges = [\"tls-alpn-01\"]\n",
        );
    }

    #[test]
    fn what_is_off_is_told() {
        let shown = |text: &str| super::show(&super::super::load_text(text).unwrap());
        let all = "\n# off, until it is written: [https], [acme], [admin] listen, [heartbeat], [dns], \
                   [service_proxy], [service_api], [json_rpc]\n";
        assert!(shown("").ends_with(all));
        let some =
            "[https]\n[admin]\nlisten = \"127.0.0.1:1\"\n[heartbeat]\n[dns]\n[service_api]\n";
        assert!(
            shown(some)
                .ends_with("\n# off, until it is written: [acme], [service_proxy], [json_rpc]\n")
        );
        let every = "[acme]\naccept_terms = true\n[service_proxy]\n[json_rpc]\n";
        assert!(!shown(&format!("{some}{every}")).contains("# off"));
    }

    fn shown_reads_back(text: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxyd.toml");
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let environment = BTreeMap::from([("PROXYD_CONFIG".to_owned(), file)]);
        shown_again(&Config::load(&Flags::default(), &environment, Purpose::Run).unwrap());
    }
}
