//! A message in, its answer out.

use serde_json::value::RawValue;
use telemetry::Outcomes;

use crate::config::Bounds;
use crate::error::Error;
use crate::hub::{Hub, Subscription};
use crate::message::{Malformed, Message, Request, read};
use crate::outcome::Became;
use crate::registry::Registry;
use crate::request::{self, Asked};

/// What a message comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Post,
}

/// What to send for a message: the answer, if there is one, and what then follows.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: Option<String>,
    pub(crate) subscriptions: Vec<Subscription>,
}

/// Answers messages. One at a time for each connection: what is not read yet waits with its sender.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) registry: Registry,
    pub(crate) hub: Hub,
    pub(crate) bounds: Bounds,
    pub(crate) outcomes: Outcomes<Became>,
}

impl Dialog {
    pub(crate) async fn answer(&self, text: &str, transport: Transport) -> Answer {
        let mut answer = Answer::default();
        match read(text, self.bounds.batch_max) {
            Err(error) => answer.text = Some(self.failed(None, &error)),
            Ok(Message::One(one)) => {
                answer.text = self.one(one, transport, &mut answer.subscriptions).await;
            }
            Ok(Message::Batch(many)) => {
                let mut texts = Vec::new();
                let mut bytes = 0;
                for one in many {
                    let text = self.one(one, transport, &mut answer.subscriptions).await;
                    bytes += text.as_ref().map_or(0, String::len);
                    if bytes > self.bounds.answers_bytes_max {
                        let error = Error::answers(self.bounds.answers_bytes_max);
                        return Answer {
                            text: Some(self.failed(None, &error)),
                            ..Answer::default()
                        };
                    }
                    texts.extend(text);
                }
                // Notifications alone have no answer.
                answer.text = (!texts.is_empty()).then(|| format!("[{}]", texts.join(",")));
            }
        }
        answer
    }

    /// What follows an answer, in the order of the requests.
    pub(crate) async fn notifications(&self, subscription: Subscription) -> [String; 2] {
        self.hub.notifications(&self.registry, subscription).await
    }

    async fn one(
        &self,
        one: Result<Request<'_>, Malformed<'_>>,
        transport: Transport,
        subscriptions: &mut Vec<Subscription>,
    ) -> Option<String> {
        let request = match one {
            Ok(request) => request,
            Err(Malformed { id, error }) => return Some(self.failed(id, &error)),
        };
        let asked = request::read(&self.hub.name, &request.method, request.params);
        let result = match (asked, request.id, transport) {
            (Err(error), _, _) => Err(error),
            (Ok(Asked::Plain(call)), _, _) => {
                self.registry.perform(call).await.map_err(Error::from)
            }
            (Ok(Asked::Unsubscription), _, _) => Ok("false".into()),
            // Carried out, and told to nobody.
            (Ok(Asked::Subscription { notification, topic }), None, _) => {
                let subscription = Subscription { number: 0, notification, topic };
                drop(self.notifications(subscription).await);
                Ok("".into())
            }
            (Ok(Asked::Subscription { notification, topic }), Some(_), Transport::WebSocket) => {
                let number = fastrand::u64(1..1 << 53);
                subscriptions.push(Subscription { number, notification, topic });
                Ok(number.to_string().into())
            }
            (Ok(Asked::Subscription { .. }), Some(_), Transport::Post) => Err(Error::internal(
                "this is a subscription, which needs a WebSocket: POST registry.list and its like",
            )),
        };
        let answer = match result {
            Ok(result) => {
                self.outcomes.count(Became::Result);
                done(request.id?, &result)
            }
            Err(error) => self.failed(request.id, &error),
        };
        // Nobody hears what became of a notification.
        request.id.map(|_| answer)
    }

    /// An error, under the id of its request if that is known.
    pub(crate) fn failed(&self, id: Option<&RawValue>, error: &Error) -> String {
        self.outcomes.count(Became::from(error));
        failed(id, error)
    }
}

/// A result, which is JSON, under the id of its request.
pub(crate) fn done(id: &RawValue, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.get())
}

/// An error, under the id of its request if that is known.
pub(crate) fn failed(id: Option<&RawValue>, error: &Error) -> String {
    let id = id.map_or("null", RawValue::get);
    // Texts and a number: there is nothing in it that cannot be written.
    let error = serde_json::to_string(error).unwrap_or_default();
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}
