//! Who listens where: no two on one port of one address.

use std::net::{IpAddr, SocketAddr};

use super::{Config, ConfigError, value};

/// What is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Tcp,
    Udp,
}

/// An address, and the key that names it.
#[derive(Clone, Debug)]
struct Listener {
    key: String,
    at: SocketAddr,
    over: Over,
    /// The list of the edge that it is in.
    edge: Option<&'static str>,
}

impl Config {
    /// Whether everybody can listen where it is to.
    pub(super) fn check_listeners(&self) -> Result<(), ConfigError> {
        let all = self.listeners();
        for (index, later) in all.iter().enumerate() {
            let earlier = all.iter().take(index).find(|earlier| earlier.is_in_the_way_of(later));
            if let Some(earlier) = earlier {
                let over = match later.over {
                    Over::Tcp => "TCP",
                    Over::Udp => "UDP",
                };
                let message = format!(
                    "{} over {over} is taken by {} = {}: listen on another port",
                    later.at, earlier.key, earlier.at
                );
                return Err(value(&later.key, &message));
            }
        }
        Ok(())
    }

    /// In the order in which the sections are documented.
    fn listeners(&self) -> Vec<Listener> {
        let mut all = Listeners::default();
        all.add_edge("http.listen", &self.http.listen, Over::Tcp);
        if let Some(https) = &self.https {
            all.add_edge("https.listen", &https.listen, Over::Tcp);
            if https.http3 {
                all.add_edge("https.listen", &https.listen, Over::Udp);
            }
        }
        for (index, at) in self.registry_listen.iter().enumerate() {
            all.add(&format!("registry.listen[{index}]"), Some(*at), Over::Tcp);
        }
        all.add("admin.listen", self.admin.as_ref().map(|admin| admin.listen), Over::Tcp);
        let dialects = &self.dialects;
        let heartbeat = dialects.heartbeat.as_ref().map(|heartbeat| heartbeat.listen);
        all.add("heartbeat.listen", heartbeat, Over::Tcp);
        let dns = dialects.dns.as_ref().map(|dns| dns.listen);
        all.add("dns.listen", dns, Over::Tcp);
        all.add("dns.listen", dns, Over::Udp);
        let proxy = dialects.service_proxy.as_ref();
        all.add("service_proxy.tcp", proxy.and_then(|proxy| proxy.tcp), Over::Tcp);
        all.add("service_proxy.http", proxy.and_then(|proxy| proxy.http), Over::Tcp);
        let api = dialects.service_api.as_ref().map(|api| api.listen);
        all.add("service_api.listen", api, Over::Tcp);
        let rpc = dialects.json_rpc.as_ref().map(|rpc| rpc.listen);
        all.add("json_rpc.listen", rpc, Over::Tcp);
        all.0
    }
}

#[derive(Debug, Default)]
struct Listeners(Vec<Listener>);

impl Listeners {
    fn add(&mut self, key: &str, at: Option<SocketAddr>, over: Over) {
        self.0.extend(at.map(|at| Listener { key: key.to_owned(), at, over, edge: None }));
    }

    fn add_edge(&mut self, edge: &'static str, all: &[SocketAddr], over: Over) {
        let keyed = all.iter().enumerate().map(|(index, at)| (format!("{edge}[{index}]"), *at));
        self.0.extend(keyed.map(|(key, at)| Listener { key, at, over, edge: Some(edge) }));
    }
}

impl Listener {
    /// Whether the other one cannot listen because this one does.
    fn is_in_the_way_of(&self, other: &Self) -> bool {
        // Port 0 is a free one, and another one for each.
        if self.over != other.over || self.at.port() != other.at.port() || self.at.port() == 0 {
            return false;
        }
        let (ours, theirs) = (self.at.ip().to_canonical(), other.at.ip().to_canonical());
        // Those of one list of the edge share what comes, and 0.0.0.0 and :: are often named both.
        let may_share = self.edge.is_some() && self.edge == other.edge;
        ours == theirs || (!may_share && (covers(ours, theirs) || covers(theirs, ours)))
    }
}

/// Whether whoever listens on the one address listens on the other as well. `::` is every address
/// of IPv4, too, unless the system was told otherwise.
fn covers(all: IpAddr, one: IpAddr) -> bool {
    all.is_unspecified() && (all.is_ipv6() || one.is_ipv4())
}

#[cfg(test)]
mod tests {
    use crate::config::load_text;

    #[test]
    fn two_on_one_port() {
        let http = |listen: &str| format!("[http]\nlisten = [{listen}]\n");
        let dns = "[dns]\nlisten = \"127.0.0.1:443\"\n";
        let https = "[https]\nlisten = [\"0.0.0.0:443\"]\n";
        #[rustfmt::skip]
        let table = [
            (http("\"127.0.0.1:81\""),                           "F: registry.listen[0]: 127.0.0.1:81 over TCP is taken by http.listen[0] = 127.0.0.1:81: "),
            (http("\"127.0.0.1:9000\"") + "[heartbeat]\n",       "F:3:2: heartbeat.listen: 127.0.0.1:9000 over TCP is taken by http.listen[0] = 127.0.0.1:9000: listen on another port"),
            (http("\"0.0.0.0:9000\"") + "[heartbeat]\n",         "F:3:2: heartbeat.listen: 127.0.0.1:9000 over TCP is taken by http.listen[0] = 0.0.0.0:9000: "),
            (http("\"[::]:9000\"") + "[heartbeat]\n",            "F:3:2: heartbeat.listen: 127.0.0.1:9000 over TCP is taken by http.listen[0] = [::]:9000: "),
            (http("\"[::1]:9000\"") + "[heartbeat]\n",           ""),
            (http("\"127.0.0.2:9000\"") + "[heartbeat]\n",       ""),
            (http("\"127.0.0.1:8080\"") + "[service_proxy]\n",   "F:3:2: service_proxy.tcp: 127.0.0.1:8080 over TCP is taken by http.listen[0]"),
            (http("\"127.0.0.1:1\", \"127.0.0.1:1\""),           "F:2:26: http.listen[1]: 127.0.0.1:1 over TCP is taken by http.listen[0]"),
            (http("\"0.0.0.0:80\", \"[::]:80\""),                ""),
            (http("\"127.0.0.1:0\", \"127.0.0.1:0\""),           ""),
            // QUIC and DNS are in each other's way as well.
            (https.to_owned() + dns,                             "F:4:10: dns.listen: 127.0.0.1:443 over TCP is taken by https.listen[0] = 0.0.0.0:443"),
            ("[json_rpc]\nlisten = \"127.0.0.1:9443\"\n[service_api]\n".to_owned(), "F:2:10: json_rpc.listen: 127.0.0.1:9443 over TCP is taken by service_api.listen = "),
            ("[heartbeat]\n[dns]\n[service_proxy]\n[service_api]\n[json_rpc]\n[admin]\nlisten = \"127.0.0.1:9180\"\n".to_owned(), ""),
        ];
        for (text, says) in table {
            let said = load_text(&text).err().unwrap_or_default();
            assert!(said.starts_with(says) && said.is_empty() == says.is_empty(), "{text}: {said}");
        }
    }
}
