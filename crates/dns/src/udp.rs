//! Questions in datagrams.
//!
//! The address of who asks can be forged, so an answer may hit somebody who never asked: beyond the
//! rate half of the questions get no answer, and half of them the shortest there is, which sends a
//! client that is real to TCP.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use catalog::View;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::Transport;
use crate::bounds::{BATCH_MAX, QUESTION_BYTES_MAX, SWEEP_INTERVAL, UDP_BYTES_MAX};
use crate::message::code;
use crate::outcome::Became;
use crate::server::{Shared, admits};

/// Answers until `ended` is closed.
pub(crate) async fn run<V>(
    socket: UdpSocket,
    shared: Arc<Shared<V>>,
    mut ended: watch::Receiver<()>,
) where
    V: Fn() -> Arc<View> + Send + Sync + 'static,
{
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    let mut answering = Answering {
        socket: &socket,
        shared: &shared,
        question: vec![0; QUESTION_BYTES_MAX + 1],
        answer: Vec::with_capacity(usize::from(UDP_BYTES_MAX)),
        excess: 0,
    };
    loop {
        tokio::select! {
            _ = ended.changed() => return,
            _ = sweep.tick() => shared.udp_pace.iter().chain(&shared.tcp_pace).for_each(|p| p.sweep()),
            // An error of the socket is met, and taken off it, where it is read.
            _ = socket.readable() => {
                answering.batch();
                // Whoever floods us does not keep other tasks from their turn.
                tokio::task::yield_now().await;
            }
        }
    }
}

struct Answering<'a, V> {
    socket: &'a UdpSocket,
    shared: &'a Shared<V>,
    question: Vec<u8>,
    answer: Vec<u8>,
    /// Questions beyond the rate, so far.
    excess: u64,
}

impl<V> Answering<'_, V>
where
    V: Fn() -> Arc<View>,
{
    /// What waits now, or the first part of it, from one view.
    fn batch(&mut self) {
        let view = (self.shared.view)();
        for _ in 0..BATCH_MAX {
            match self.socket.try_recv_from(&mut self.question) {
                Ok((bytes, peer)) => self.one(&view, bytes, peer),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // Somebody does not listen any more for what was sent there.
                Err(_) => {}
            }
        }
    }

    fn one(&mut self, view: &View, bytes: usize, peer: SocketAddr) {
        let became = match self.transport(peer.ip()) {
            Some(transport) => self.answered(view, bytes, peer, transport),
            None => Became::Silenced,
        };
        self.shared.outcomes.count(became);
    }

    fn answered(
        &mut self,
        view: &View,
        bytes: usize,
        peer: SocketAddr,
        transport: Transport,
    ) -> Became {
        let question = self.question.get(..bytes).unwrap_or_default();
        let zone = &self.shared.zone;
        let Some(code) = code(zone, view, question, transport, &mut self.answer) else {
            return Became::Malformed;
        };
        // Whoever sends faster than the kernel does asks again.
        let _ = self.socket.try_send_to(&self.answer, peer);
        match transport {
            Transport::UdpTooOften => Became::TooOften,
            Transport::Udp | Transport::Tcp => Became::of(code),
        }
    }

    /// How a question is answered; `None` if not at all.
    fn transport(&mut self, peer: IpAddr) -> Option<Transport> {
        // From where nobody may ask, silence: an answer would go to whoever is named as the sender.
        if !self.shared.serves(peer) {
            return None;
        }
        if admits(self.shared.udp_pace.as_ref(), peer) {
            return Some(Transport::Udp);
        }
        self.excess = self.excess.wrapping_add(1);
        self.excess.is_multiple_of(2).then_some(Transport::UdpTooOften)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use door::{Mono, Pace};
    use telemetry::Outcomes;

    use super::*;
    use crate::Zone;
    use crate::server::rate;

    #[tokio::test(start_paused = true)]
    async fn beyond_the_rate_silence_or_the_way_to_tcp() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let clock = runtime::Clock::starting_at(model::UnixMillis(0));
        let shared = Shared {
            zone: Zone::parse("z").unwrap(),
            clients: vec!["10.0.0.0/8".parse().unwrap()],
            view: Arc::<View>::default,
            outcomes: Outcomes::default(),
            udp_pace: Some(Pace::new(rate(NonZeroU32::MIN), Mono(clock))),
            tcp_pace: None,
        };
        let (question, answer) = (Vec::new(), Vec::new());
        let mut answering =
            Answering { socket: &socket, shared: &shared, question, answer, excess: 0 };
        let mut ask = |address: &str| answering.transport(address.parse().unwrap());
        let (good, often) = (Some(Transport::Udp), Some(Transport::UdpTooOften));
        assert_eq!([0; 6].map(|_| ask("10.0.0.1")), [good, good, None, often, None, often]);
        assert_eq!([0; 3].map(|_| ask("127.0.0.1")), [good; 3], "this machine may always");
        assert_eq!(ask("10.0.0.2"), good, "another client is another matter");
        #[rustfmt::skip]
        let table = [
            ("127.0.0.1", true), ("::1", true), ("10.9.9.9", true), ("::ffff:10.9.9.9", true),
            ("11.0.0.1", false), ("fd00::1", false),
        ];
        for (address, want) in table {
            assert_eq!(shared.serves(address.parse().unwrap()), want, "{address}");
        }
    }
}
