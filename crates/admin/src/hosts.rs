//! Which hosts we are asked for.

use std::net::{IpAddr, Ipv6Addr};

use model::normalize_authority;

/// Names and addresses that lead to us because we say so, and not because a stranger's name server
/// does: a page in a browser on this machine may ask for its own host, send that host to loopback,
/// and read what comes back (DNS rebinding).
#[derive(Clone, Debug)]
pub struct Hosts {
    listen: IpAddr,
    names: Vec<Box<str>>,
}

impl Hosts {
    /// Loopback, the address we listen on, and these names. Who listens on every address may be
    /// asked for any: no name server is asked for an address.
    pub fn new(listen: IpAddr, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase().into()).collect();
        Self { listen: listen.to_canonical(), names }
    }

    /// Whether a request may say so in its field `Host`.
    pub fn admits(&self, host: &str) -> bool {
        let Some(host) = normalize_authority(host.as_bytes()) else { return false };
        match address(&host) {
            Some(ip) => ip.is_loopback() || ip == self.listen || self.listen.is_unspecified(),
            None => {
                let is_local = *host == *"localhost" || host.ends_with(".localhost");
                is_local || self.names.iter().any(|name| **name == *host)
            }
        }
    }
}

fn address(host: &str) -> Option<IpAddr> {
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match v6 {
        Some(v6) => v6.parse::<Ipv6Addr>().map(IpAddr::from),
        None => host.parse::<IpAddr>(),
    };
    ip.ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_for() {
        #[rustfmt::skip]
        let table = [
            // host                    on loopback  on 10.0.0.5  on every address
            ("localhost",              true,        true,        true),
            ("LocalHost.:9180",        true,        true,        true),
            ("proxy.localhost",        true,        true,        true),
            ("127.0.0.1:9180",         true,        true,        true),
            ("127.8.8.8",              true,        true,        true),
            ("[::1]:9180",             true,        true,        true),
            ("[::ffff:127.0.0.1]",     true,        true,        true),
            ("10.0.0.5:9180",          false,       true,        true),
            ("10.0.0.6",               false,       false,       true),
            ("[2001:db8::1]",          false,       false,       true),
            ("edge.example:9180",      true,        true,        true),
            ("Edge.Example",           true,        true,        true),
            ("evil.example",           false,       false,       false),
            ("localhost.evil.example", false,       false,       false),
            ("127.0.0.1.evil.example", false,       false,       false),
            ("a@localhost",            false,       false,       false),
            ("2130706433",             false,       false,       false),
            ("",                       false,       false,       false),
        ];
        let listens = ["127.0.0.1", "10.0.0.5", "0.0.0.0"]
            .map(|listen| Hosts::new(listen.parse().unwrap(), &["Edge.example".to_owned()]));
        for (host, loopback, one, every) in table {
            let admitted = listens.each_ref().map(|hosts| hosts.admits(host));
            assert_eq!(admitted, [loopback, one, every], "{host}");
        }
    }
}
