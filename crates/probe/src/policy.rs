//! Where a backend may be (SPEC 10).
//!
//! A service names its backends, and this machine reaches more than the service may: the cloud's
//! metadata, which hands out credentials, neighbours on the link, our own registry. Addresses are
//! judged and not names, each right before it is connected to: a name can point elsewhere a second
//! later.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;

/// Addresses at which clouds tell a machine about itself, besides those on the link.
const METADATA: [IpAddr; 6] = [
    // Alibaba
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Azure
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Oracle
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Amazon
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // Amazon, to pods
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // Google
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Which addresses may be connected to. Cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Where our own control sockets listen.
    ours: Arc<[SocketAddr]>,
    /// Where else we listen; known once we do.
    listeners: Arc<OnceLock<Box<[SocketAddr]>>>,
    /// Networks that are allowed although they are on the link, or a cloud's.
    allowed: Arc<[IpNet]>,
}

/// Why an address may not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// 169.254.0.0/16 or fe80::/10: neighbours, and most clouds' metadata.
    #[error("link-local addresses are not allowed for backends")]
    LinkLocal,
    /// Where a cloud hands out what it knows about this machine.
    #[error("the cloud's metadata service is not allowed for backends")]
    Metadata,
    /// 0.0.0.0/8 or ::, which means this machine by another name.
    #[error("the unspecified address is not allowed for backends")]
    Unspecified,
    /// Multicast or broadcast.
    #[error("multicast and broadcast addresses are not allowed for backends")]
    NotOneMachine,
    /// One of our own control sockets.
    #[error("proxyd's own control port is not allowed for backends")]
    Control,
    /// One of our own sockets for traffic: a request would go round in circles.
    #[error("proxyd's own listener is not allowed for backends")]
    Listener,
}

impl Policy {
    /// The default policy of a proxy whose control sockets listen on `ours`, as bound. One that
    /// listens on the unspecified address is denied at every address of this machine.
    pub fn new(ours: Vec<SocketAddr>) -> Self {
        Self { ours: ours.into(), ..Self::default() }
    }

    /// The same, with networks that are allowed although they are link-local or a cloud's
    /// metadata. Our own sockets stay denied wherever they are.
    #[must_use]
    pub fn allowing(self, networks: Vec<IpNet>) -> Self {
        Self { allowed: networks.into(), ..self }
    }

    /// Denies where traffic comes in as well, to every copy of this policy. Counts once, when
    /// everything listens.
    pub fn deny_listeners(&self, listeners: Vec<SocketAddr>) {
        // Who calls a second time has nothing new to say.
        let _ = self.listeners.set(listeners.into());
    }

    /// Whether a connection to `address` may be opened. An IPv4 address inside an IPv6 one
    /// (mapped, compatible, translated, for NAT64 or 6to4) is judged as what it is.
    ///
    /// # Errors
    ///
    /// [`Denied`], saying what it is.
    pub fn permits(&self, address: SocketAddr) -> Result<(), Denied> {
        let (ip, port) = (canonical(address.ip()), address.port());
        let listeners = self.listeners.get().map_or(&[][..], |listeners| listeners);
        match ip {
            _ if is_unspecified(ip) => Err(Denied::Unspecified),
            _ if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) => {
                Err(Denied::NotOneMachine)
            }
            _ if is_one_of(&self.ours, ip, port) => Err(Denied::Control),
            _ if is_one_of(listeners, ip, port) => Err(Denied::Listener),
            _ if self.allowed.iter().any(|network| network.contains(&ip)) => Ok(()),
            _ if METADATA.contains(&ip) => Err(Denied::Metadata),
            _ if is_link_local(ip) => Err(Denied::LinkLocal),
            IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
        }
    }
}

/// Whether one of our sockets is there.
fn is_one_of(ours: &[SocketAddr], ip: IpAddr, port: u16) -> bool {
    ours.iter().filter(|ours| ours.port() == port).any(|ours| {
        let listens = canonical(ours.ip());
        listens == ip || listens.is_unspecified() && is_local(ip)
    })
}

fn canonical(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => match v6.segments() {
            // RFC 6052, 2.1; RFC 8215, of whose formats this one is in use
            [0x64, 0xff9b, 0 | 1, 0, 0, 0, high, low]
            // RFC 2765, 2.1
            | [0, 0, 0, 0, 0xffff, 0, high, low]
            // RFC 3056, 2
            | [0x2002, high, low, ..] => v4(high, low),
            // RFC 4291, 2.5.5.1; the first ones are IPv6's own
            [0, 0, 0, 0, 0, 0, high, low] if high > 0 => v4(high, low),
            _ => IpAddr::V6(v6),
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn v4(high: u16, low: u16) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

fn is_unspecified(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unspecified(),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Whether an address is one of this machine's: only to those can a socket be bound. Asked of the
/// kernel each time, because addresses come and go.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged() {
        let ours = ["127.0.0.1:8089", "[::ffff:127.0.0.1]:8090", "0.0.0.0:9000", "[::]:9001"];
        let policy = Policy::new(ours.map(|a| a.parse().unwrap()).to_vec());
        #[rustfmt::skip]
        let table = [
            // address                       judged
            ("10.0.0.1:80",                  Ok(())),
            ("127.0.0.1:3000",               Ok(())),
            ("[::1]:3000",                   Ok(())),
            ("192.168.1.1:443",              Ok(())),
            ("[fd00::1]:80",                 Ok(())),
            ("[2001:db8::1]:80",             Ok(())),
            ("169.254.169.254:80",           Err(Denied::LinkLocal)),
            ("169.254.0.1:3000",             Err(Denied::LinkLocal)),
            ("169.253.255.255:80",           Ok(())),
            ("169.255.0.0:80",               Ok(())),
            ("[fe80::1]:80",                 Err(Denied::LinkLocal)),
            ("[febf::1]:80",                 Err(Denied::LinkLocal)),
            ("[fec0::1]:80",                 Ok(())),
            ("[fd00:ec2::254]:80",           Err(Denied::Metadata)),
            ("[fd00:ec2::253]:80",           Ok(())),
            ("[fd00:ec2::23]:80",            Err(Denied::Metadata)),
            ("[fd20:ce::254]:80",            Err(Denied::Metadata)),
            ("100.100.100.200:80",           Err(Denied::Metadata)),
            ("168.63.129.16:80",             Err(Denied::Metadata)),
            ("192.0.0.192:80",               Err(Denied::Metadata)),
            ("0.0.0.0:3000",                 Err(Denied::Unspecified)),
            ("0.1.2.3:3000",                 Err(Denied::Unspecified)),
            ("[::]:3000",                    Err(Denied::Unspecified)),
            ("224.0.0.1:80",                 Err(Denied::NotOneMachine)),
            ("[ff02::1]:80",                 Err(Denied::NotOneMachine)),
            ("255.255.255.255:80",           Err(Denied::NotOneMachine)),
            // the same in IPv6's clothes
            ("[::ffff:169.254.169.254]:80",  Err(Denied::LinkLocal)),
            ("[::ffff:100.100.100.200]:80",  Err(Denied::Metadata)),
            ("[::ffff:0.0.0.0]:80",          Err(Denied::Unspecified)),
            ("[::ffff:10.0.0.1]:80",         Ok(())),
            ("[64:ff9b::a9fe:a9fe]:80",      Err(Denied::LinkLocal)),
            ("[64:ff9b::a00:1]:80",          Ok(())),
            ("[64:ff9b:1::a9fe:a9fe]:80",    Err(Denied::LinkLocal)),
            ("[::ffff:0:169.254.169.254]:80", Err(Denied::LinkLocal)),
            ("[2002:a9fe:a9fe::1]:80",       Err(Denied::LinkLocal)),
            ("[2002:a00:1::1]:80",           Ok(())),
            ("[::169.254.169.254]:80",       Err(Denied::LinkLocal)),
            ("[::127.0.0.1]:8089",           Err(Denied::Control)),
            ("[2002:7f00:1::]:8089",         Err(Denied::Control)),
            // our own
            ("127.0.0.1:8089",               Err(Denied::Control)),
            ("[::ffff:127.0.0.1]:8089",      Err(Denied::Control)),
            ("127.0.0.2:8089",               Ok(())),
            ("10.0.0.1:8089",                Ok(())),
            ("127.0.0.1:8090",               Err(Denied::Control)),
            ("127.0.0.1:9000",               Err(Denied::Control)),
            ("127.9.9.9:9000",               Err(Denied::Control)),
            ("[::1]:9000",                   Err(Denied::Control)),
            ("127.0.0.1:9001",               Err(Denied::Control)),
            ("192.0.2.1:9000",               Ok(())),
        ];
        for (address, judged) in table {
            assert_eq!(policy.permits(address.parse().unwrap()), judged, "{address}");
        }
    }

    #[test]
    fn where_traffic_comes_in_is_denied_once_it_does() {
        let policy = Policy::new(vec!["127.0.0.1:81".parse().unwrap()]);
        let copy = policy.clone();
        let at = |text: &str| copy.permits(text.parse().unwrap());
        assert_eq!(at("127.0.0.1:8080"), Ok(()));
        let listeners = ["127.0.0.1:8080", "0.0.0.0:8443"].map(|a| a.parse().unwrap());
        policy.deny_listeners(listeners.to_vec());
        assert_eq!(at("127.0.0.1:8080"), Err(Denied::Listener));
        assert_eq!(at("[::ffff:127.0.0.1]:8080"), Err(Denied::Listener));
        assert_eq!(at("0.0.0.0:8080"), Err(Denied::Unspecified));
        assert_eq!(at("127.3.3.3:8443"), Err(Denied::Listener));
        assert_eq!(at("127.0.0.1:81"), Err(Denied::Control));
        assert_eq!(at("127.0.0.1:8081"), Ok(()));
    }

    /// Where somebody has backends on the link, and says so.
    #[test]
    fn networks_may_be_allowed_and_our_own_sockets_not() {
        let allowed = ["169.254.7.0/24", "fd00:ec2::254/128", "127.0.0.0/8", "0.0.0.0/8"];
        let policy = Policy::new(vec!["127.0.0.1:81".parse().unwrap()])
            .allowing(allowed.map(|network| network.parse().unwrap()).to_vec());
        #[rustfmt::skip]
        let table = [
            ("169.254.7.1:80",            Ok(())),
            ("[::ffff:169.254.7.1]:80",   Ok(())),
            ("169.254.8.1:80",            Err(Denied::LinkLocal)),
            ("[fd00:ec2::254]:80",        Ok(())),
            ("127.0.0.1:81",              Err(Denied::Control)),
            ("0.0.0.0:81",                Err(Denied::Unspecified)),
        ];
        for (address, judged) in table {
            assert_eq!(policy.permits(address.parse().unwrap()), judged, "{address}");
        }
    }

    #[test]
    fn without_control_sockets_no_port_is_special() {
        let address = "127.0.0.1:8089".parse().unwrap();
        assert_eq!(Policy::default().permits(address), Ok(()));
    }
}
