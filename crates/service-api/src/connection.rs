//! One WebSocket: answers in the order of the requests, events as they happen.
//!
//! Nothing is kept for a client that reads slowly: the catalog has the newest changes for
//! everybody, and whoever falls behind them is cut off with the reason.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use catalog::Change;
use discovery::{Changes, Missed};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{broadcast, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::api::Api;
use crate::bounds::{
    DEPLOYMENTS_MAX, LINGER, MESSAGE_BYTES_MAX, PING_EVERY, PINGS_UNANSWERED_MAX, WRITE_TIMEOUT,
};
use crate::deploy::Progress;
use crate::envelope::{self, Request, raw};
use crate::event;
use crate::fault::{CODE_MISSED, Fault};
use crate::handshake::Socket;
use crate::kind::EventKind;
use crate::outcome::Became;
use crate::subscriptions::{self, Subscriptions};

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client left, or broke the connection.
    Gone,
    /// We end it, and say why.
    Cut(CloseCode, String),
}

type Answer = Result<Arc<RawValue>, Fault>;

/// What can happen to a connection.
enum Happened {
    Stopped,
    Message(Option<Result<Message, Error>>),
    Change(Result<Option<Arc<Change>>, Missed>),
    Progress(Result<Progress, broadcast::error::RecvError>),
    Deployed(Result<(String, Answer), JoinError>),
    Silence,
}

pub(crate) struct Connection {
    socket: Socket,
    api: Arc<Api>,
    asker: IpAddr,
    subscriptions: Subscriptions,
    changes: Option<Changes>,
    progress: Option<broadcast::Receiver<Progress>>,
    deploying: JoinSet<(String, Answer)>,
}

#[derive(Deserialize)]
struct Subscribe {
    events: Vec<String>,
    after_seq: Option<u64>,
    epoch: Option<String>,
}

#[derive(Deserialize)]
struct Unsubscribe {
    events: Vec<String>,
}

#[derive(Serialize)]
struct Subscribed<'a> {
    subscribed: Vec<&'static str>,
    seq: u64,
    epoch: &'a str,
}

#[derive(Deserialize)]
struct Deploy {
    package_path: String,
    target_node: Option<String>,
}

impl Connection {
    pub(crate) fn new(socket: Socket, api: Arc<Api>, asker: IpAddr) -> Self {
        Self {
            socket,
            api,
            asker,
            subscriptions: Subscriptions::default(),
            changes: None,
            progress: None,
            deploying: JoinSet::new(),
        }
    }

    /// Serves it until it ends, or all do.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let Err(end) = self.talk(&mut stopped).await;
        let End::Cut(code, reason) = end else { return };
        if code != CloseCode::Away {
            self.api.outcomes.count(Became::CutOff);
        }
        tracing::debug!(%code, reason, peer = %self.asker, "a client is cut off");
        let frame = CloseFrame { code, reason: reason.into() };
        let leave = async {
            self.socket.close(Some(frame)).await?;
            // It says goodbye as well; without reading that, ours might never arrive.
            while self.socket.next().await.transpose()?.is_some() {}
            Ok::<_, Error>(())
        };
        // Whoever does not take it was told as well as it can be.
        let _ = timeout(LINGER, leave).await;
    }

    async fn talk(
        &mut self,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<std::convert::Infallible, End> {
        let loaded = self.api.loaded().map_err(|fault| ours(&fault))?;
        self.send(Message::text(loaded)).await?;
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        let mut unanswered = 0;
        loop {
            let happened = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => Happened::Stopped,
                message = self.socket.next() => Happened::Message(message),
                change = next_change(&mut self.changes) => Happened::Change(change),
                progress = next_progress(&mut self.progress) => Happened::Progress(progress),
                Some(done) = self.deploying.join_next() => Happened::Deployed(done),
                _ = pings.tick() => Happened::Silence,
            };
            match happened {
                Happened::Stopped => {
                    return Err(End::Cut(CloseCode::Away, "proxyd is ending".to_owned()));
                }
                Happened::Message(message) => {
                    unanswered = 0;
                    pings.reset();
                    self.hear(message).await?;
                }
                Happened::Change(Ok(Some(change))) => self.tell(&change).await?,
                Happened::Change(Ok(None)) => self.changes = None,
                Happened::Change(Err(missed)) => return Err(too_slow(&missed.to_string())),
                Happened::Progress(Ok(progress)) => self.tell_progress(&progress).await?,
                Happened::Progress(Err(broadcast::error::RecvError::Closed)) => {
                    self.progress = None;
                }
                Happened::Progress(Err(broadcast::error::RecvError::Lagged(count))) => {
                    return Err(too_slow(&format!("{count} steps of deployments were missed")));
                }
                Happened::Deployed(Ok((id, answered))) => self.answer(&id, &answered).await?,
                Happened::Deployed(Err(error)) => {
                    tracing::error!(%error, "waiting for a deployment failed");
                }
                Happened::Silence if unanswered >= PINGS_UNANSWERED_MAX => {
                    let reason = "nothing was heard, pings included".to_owned();
                    return Err(End::Cut(CloseCode::Policy, reason));
                }
                Happened::Silence => {
                    unanswered += 1;
                    self.send(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    async fn hear(&mut self, message: Option<Result<Message, Error>>) -> Result<(), End> {
        match message {
            Some(Ok(Message::Text(text))) => match Request::parse(&text) {
                Ok(request) => self.obey(&request).await,
                Err((id, fault)) => self.answer(&id, &Err(fault)).await,
            },
            Some(Ok(Message::Binary(_))) => {
                let fault = Fault::new("not a request: requests are text messages");
                self.answer("", &Err(fault)).await
            }
            // The library answers pings and goodbyes.
            Some(Ok(
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_),
            )) => Ok(()),
            Some(Err(Error::Capacity(_))) => {
                let reason = format!("a message may be {MESSAGE_BYTES_MAX} bytes long");
                Err(End::Cut(CloseCode::Size, reason))
            }
            Some(Err(Error::Protocol(error))) => {
                Err(End::Cut(CloseCode::Protocol, error.to_string()))
            }
            Some(Err(Error::Utf8(_))) => {
                Err(End::Cut(CloseCode::Invalid, "a text must be UTF-8".to_owned()))
            }
            Some(Err(_)) | None => Err(End::Gone),
        }
    }

    async fn obey(&mut self, request: &Request) -> Result<(), End> {
        let answered = match request.action.as_str() {
            "subscribe" => self.subscribe(request),
            "unsubscribe" => self.unsubscribe(request),
            "deploy_package" => match self.deploy(request) {
                Ok(()) => return Ok(()),
                Err(fault) => Err(fault),
            },
            _ => self.api.answer(request, self.asker).await,
        };
        self.answer(&request.id, &answered).await
    }

    /// What happens next is told from a place that is known when this is answered.
    fn subscribe(&mut self, request: &Request) -> Answer {
        let Subscribe { events, after_seq, epoch } = request.params()?;
        let kinds = subscriptions::read(&events).map_err(Fault::new)?;
        let view = self.api.handle.view();
        let is_ours = epoch.is_none_or(|epoch| epoch == self.api.epoch);
        let from = match after_seq {
            Some(seq) if !is_ours || view.changes_after(seq).is_none() => {
                return Err(self.missed(seq, view.seq()));
            }
            after_seq => after_seq.unwrap_or(view.seq()),
        };
        kinds.into_iter().for_each(|(kind, spelling)| self.subscriptions.add(kind, spelling));
        if self.subscriptions.wants_changes() && (after_seq.is_some() || self.changes.is_none()) {
            self.changes = Some(self.api.handle.changes_after(from));
        }
        if self.subscriptions.name_of(EventKind::DeploymentProgress).is_some()
            && self.progress.is_none()
        {
            self.progress = self.api.deployer.as_ref().map(|deployer| deployer.progress());
        }
        self.subscribed(from)
    }

    fn unsubscribe(&mut self, request: &Request) -> Answer {
        let Unsubscribe { events } = request.params()?;
        for (kind, _) in subscriptions::read(&events).map_err(Fault::new)? {
            self.subscriptions.remove(kind);
        }
        if !self.subscriptions.wants_changes() {
            self.changes = None;
        }
        if self.subscriptions.name_of(EventKind::DeploymentProgress).is_none() {
            self.progress = None;
        }
        self.subscribed(self.api.handle.view().seq())
    }

    fn subscribed(&self, seq: u64) -> Answer {
        let subscribed = self.subscriptions.each().map(|(_, name)| name).collect();
        raw(&Subscribed { subscribed, seq, epoch: &self.api.epoch }).map(Arc::from)
    }

    fn missed(&self, after: u64, seq: u64) -> Fault {
        Fault {
            code: CODE_MISSED.to_owned(),
            message: format!("{}: list again, then subscribe", Missed(after)),
            details: Some(serde_json::json!({ "seq": seq, "epoch": self.api.epoch })),
        }
    }

    /// Answered when it is over; meanwhile other requests are.
    fn deploy(&mut self, request: &Request) -> Result<(), Fault> {
        let Deploy { package_path, target_node } = request.params()?;
        let refused = |why: &str| Fault::new(format!("Package error: {why}"));
        let Some(deployer) = &self.api.deployer else {
            return Err(refused("off until deploy_hosts is set"));
        };
        if self.deploying.len() >= DEPLOYMENTS_MAX {
            return Err(refused("too many deployments wait on this connection"));
        }
        let asked = deployer.ask(package_path, target_node);
        let answered = asked.ok_or_else(|| refused("too many deployments wait, try again"))?;
        let id = request.id.clone();
        self.deploying.spawn(async move {
            let said = answered.await.unwrap_or_else(|_| Err("it was broken off".to_owned()));
            let answer = said.and_then(|value| raw(&value).map_err(|error| error.to_string()));
            let failed = |why: String| Fault::new(format!("Package error: {why}"));
            (id, answer.map(Arc::from).map_err(failed))
        });
        Ok(())
    }

    async fn tell(&mut self, change: &Change) -> Result<(), End> {
        let Some(name) = self.subscriptions.name_of(event::kind_of(&change.what)) else {
            return Ok(());
        };
        let view = self.api.handle.view();
        let data = event::data(change, &view).map_err(|fault| ours(&fault))?;
        self.send(Message::text(envelope::event(name, &data, Some(change.seq)))).await
    }

    async fn tell_progress(&mut self, progress: &Progress) -> Result<(), End> {
        let Some(name) = self.subscriptions.name_of(EventKind::DeploymentProgress) else {
            return Ok(());
        };
        let at = self.api.clock.now().wall;
        let data = event::progress(progress, at).map_err(|fault| ours(&fault))?;
        self.send(Message::text(envelope::event(name, &data, None))).await
    }

    async fn answer(&mut self, id: &str, answered: &Answer) -> Result<(), End> {
        let became = if answered.is_ok() { Became::Answered } else { Became::Refused };
        self.api.outcomes.count(became);
        let text = envelope::answer(id, answered.as_ref().map(|data| &**data));
        self.send(Message::text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        let wait: Duration = WRITE_TIMEOUT;
        match timeout(wait, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(too_slow(&format!("nothing was read for {} seconds", wait.as_secs()))),
        }
    }
}

fn too_slow(what: &str) -> End {
    End::Cut(CloseCode::Policy, format!("too slow, connect again: {what}"))
}

/// What we made cannot be written: our fault.
fn ours(fault: &Fault) -> End {
    tracing::error!(%fault, "an event cannot be written");
    End::Cut(CloseCode::Error, "an event cannot be written".to_owned())
}

async fn next_change(changes: &mut Option<Changes>) -> Result<Option<Arc<Change>>, Missed> {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

async fn next_progress(
    progress: &mut Option<broadcast::Receiver<Progress>>,
) -> Result<Progress, broadcast::error::RecvError> {
    match progress {
        Some(progress) => progress.recv().await,
        None => std::future::pending().await,
    }
}
