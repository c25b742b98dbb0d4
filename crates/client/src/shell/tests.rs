//! The task behind a client against a scripted peer, on a paused clock.

use model::{InstanceName, ServiceName};
use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::peer::play;

/// What a program would hold, and where the connections come out.
struct Rig {
    orders: mpsc::Sender<Order>,
    events: mpsc::Receiver<Event>,
    status: watch::Receiver<Status>,
    peers: mpsc::Receiver<DuplexStream>,
}

fn rig(events_max: usize) -> Rig {
    let (orders, inbox) = mpsc::channel(8);
    let (event_sender, events) = mpsc::channel(events_max);
    let (status_sender, status) = watch::channel(Status::Connecting);
    let (peer_sender, peers) = mpsc::channel(8);
    let connect = move || {
        let peers = peer_sender.clone();
        async move {
            // Small, so that a write waits for its reader.
            let (ours, theirs) = duplex(16);
            let sent = peers.send(theirs).await;
            sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            Ok(Box::new(ours) as Box<dyn Stream>)
        }
    };
    let name = |name| (ServiceName::parse(name).unwrap(), InstanceName::parse(name).unwrap());
    let (service, instance) = name("a");
    let mut config = LinkConfig::new(service, instance, 0);
    config.metadata = Some("{}".into());
    tokio::spawn(run(config, connect, inbox, event_sender, status_sender));
    Rig { orders, events, status, peers }
}

async fn ask(orders: &mpsc::Sender<Order>) -> Result<Said, AskError> {
    let (answer, answered) = oneshot::channel();
    orders.send(Order::Ask(Request::Ping, answer)).await.unwrap();
    answered.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_session_outlives_its_connections() {
    let mut rig = rig(8);
    let first = rig.peers.recv().await.unwrap();
    play(first, &[("REGISTER|a|a|0|{}", "ACK|a-0-1-s\n")]).await;
    assert!(matches!(rig.events.recv().await, Some(Event::Registered(_))));
    assert!(matches!(rig.events.recv().await, Some(Event::Lost { .. })));
    assert_eq!(*rig.status.borrow(), Status::Reconnecting);

    let second = rig.peers.recv().await.unwrap();
    let script = [
        ("RECONNECT|a-0-1-s", "OK\n"),
        ("PING|a-0-1-s", "PONG\n"),
        ("CLIENT_SHUTDOWN|a-0-1-s", "SHUTDOWN_OK\n"),
    ];
    let program = async {
        assert_eq!(rig.events.recv().await, Some(Event::Resumed));
        assert_eq!(ask(&rig.orders).await, Ok(Said::new("PONG")));
        let (answer, answered) = oneshot::channel();
        rig.orders.send(Order::Shutdown(answer)).await.unwrap();
        answered.await.unwrap()
    };
    let (said_goodbye, ()) = tokio::join!(program, play(second, &script));
    assert!(said_goodbye);
    assert_eq!(*rig.status.borrow(), Status::Ended);
    assert_eq!(rig.events.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn dropping_every_handle_says_goodbye() {
    let Rig { orders, mut events, mut peers, status: _status } = rig(8);
    let peer = peers.recv().await.unwrap();
    let script =
        [("REGISTER|a|a|0|{}", "ACK|a-0-1-s\n"), ("CLIENT_SHUTDOWN|a-0-1-s", "SHUTDOWN_OK\n")];
    let program = async {
        assert!(matches!(events.recv().await, Some(Event::Registered(_))));
        drop(orders);
    };
    tokio::join!(program, play(peer, &script));
    assert_eq!(events.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn unread_events_are_counted_and_hold_nobody_up() {
    let mut rig = rig(2);
    let peer = rig.peers.recv().await.unwrap();
    let script = [
        ("REGISTER|a|a|0|{}", "ACK|a-0-1-s\nEVENT|drained|1\nEVENT|drained|2\nEVENT|drained|3\n"),
        ("PING|a-0-1-s", "PONG\nEVENT|drained|4\n"),
        ("PING|a-0-1-s", "PONG\n"),
    ];
    let program = async {
        assert!(matches!(rig.events.recv().await, Some(Event::Registered(_))));
        assert_eq!(ask(&rig.orders).await, Ok(Said::new("PONG")));
        let mut seen = Vec::new();
        while let Ok(event) = rig.events.try_recv() {
            seen.push(event);
        }
        assert_eq!(ask(&rig.orders).await, Ok(Said::new("PONG")));
        while let Ok(event) = rig.events.try_recv() {
            seen.push(event);
        }
        seen
    };
    let (seen, ()) = tokio::join!(program, play(peer, &script));
    let told = |number: u8| Event::Told(Said::new(&format!("EVENT|drained|{number}")));
    assert_eq!(seen, [told(1), told(2), Event::Missed(1), told(4)]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_is_tried_again() {
    let Rig { orders, mut events, peers, status } = rig(8);
    drop(peers);
    for _ in 0..3 {
        assert!(matches!(events.recv().await, Some(Event::Lost { .. })));
    }
    assert_eq!(ask(&orders).await, Err(AskError::NotConnected));
    assert_eq!(*status.borrow(), Status::Connecting);
}
