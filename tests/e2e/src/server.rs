//! A listener of a test's own, with a thread per connection. It and its connections end with it.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// Any port that is free.
pub(crate) const FREE: &str = "127.0.0.1:0";

#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    stopped: AtomicBool,
    /// To be cut when it stops.
    open: Mutex<Vec<TcpStream>>,
}

impl Server {
    /// Listens there, and has each connection served by a thread.
    ///
    /// # Panics
    ///
    /// When somebody else does.
    pub(crate) fn start(address: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (state, serve) = (Arc::new(State::default()), Arc::new(serve));
        let shared = Arc::clone(&state);
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(kept), Ok(ours)) = (stream.try_clone(), stream.try_clone()) else {
                    continue;
                };
                if let Ok(mut open) = shared.open.lock() {
                    open.push(kept);
                }
                let serve = Arc::clone(&serve);
                thread::spawn(move || {
                    serve(stream);
                    // The one that is kept would hold it open.
                    let _ = ours.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, state, acceptor: Some(acceptor) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the accept loop, and sees the port closed.
        drop(TcpStream::connect(self.address));
        let _ = self.acceptor.take().map(JoinHandle::join);
        if let Ok(open) = self.state.open.lock() {
            for stream in open.iter() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}
