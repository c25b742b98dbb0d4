//! What a client gets while every endpoint of its route is in maintenance (SPEC 4).
//!
//! The page is fetched from where the service said it is, or is the built-in one: when there is
//! no such place, when nobody answers there, and for those who cannot read a page.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http1::{Decoder, Known, RequestHead, Verb};
use model::{BackendUrl, NormalPath};
use routing::Pool;

use crate::answer::Answer;
use crate::buffers::Buffer;
use crate::exchange::{Exchange, Turn};
use crate::forward::{self, Asked};
use crate::identity::RequestId;
use crate::plan::{Look, speaks_http2_only};
use crate::receive::{Failure, Manner, Received, Receiver};
use crate::stream::{Half, Shared};
use crate::ticket::LocalRoute;
use crate::worker::Entered;

/// For a connection to a page server. It should be near, and the built-in page is there at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For the head of its answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Names that end like this are part of a page and no page themselves. Consulted for clients that
/// send no `Sec-Fetch-Dest`.
const ASSETS: [&str; 24] = [
    "avif",
    "bmp",
    "css",
    "eot",
    "gif",
    "ico",
    "jpeg",
    "jpg",
    "js",
    "map",
    "mjs",
    "mp3",
    "mp4",
    "ogg",
    "otf",
    "png",
    "svg",
    "ttf",
    "wasm",
    "webm",
    "webmanifest",
    "webp",
    "woff",
    "woff2",
];

/// A request that a maintenance page answers.
pub(crate) struct PagePlan {
    asked: Asked,
    route: Rc<LocalRoute>,
    server: Option<BackendUrl>,
    /// The request for the page server, ready to be sent.
    request: Buffer,
    is_asset: bool,
    /// How much of the input it was, if the connection can go on.
    used: Option<usize>,
    /// Whether it is a gRPC call.
    is_grpc: bool,
    _entered: Entered,
}

impl Exchange<'_> {
    /// Makes a request ready that finds its route in maintenance.
    pub(crate) fn page_plan(
        &self,
        (head, path): (&RequestHead<'_>, &NormalPath<'_>),
        mut asked: Asked,
        (pool, member): (&Arc<Pool>, usize),
        id: &RequestId,
        entered: Entered,
    ) -> Look {
        asked.html = forward::wants_html(head);
        let whole = Decoder::request(head.framing).is_done();
        let Some(member) = pool.members.get(member) else { return Look::More };
        let route = self.worker.route(member);
        let reads_pages = !asked.websocket && !forward::is_grpc(head);
        let speaks = |url: &BackendUrl| !speaks_http2_only(url.scheme());
        let server = route.state.page().filter(|url| reads_pages && speaks(url));
        let is_asset = is_asset(head);
        let mut request = Buffer::take();
        if let Some(url) = &server {
            let to = self.worker.page_server(url);
            let base = if url.base().is_empty() { "/" } else { url.base() };
            let target = if is_asset { forward::resolved(head, path) } else { base.into() };
            forward::page_request(head, target.as_bytes(), &to, (self.client, id), &mut request);
        }
        asked.keep_alive &= !self.worker.is_draining();
        Look::Page(Box::new(PagePlan {
            asked,
            route,
            server,
            request,
            is_asset,
            used: whole.then_some(head.len),
            is_grpc: forward::is_grpc(head),
            _entered: entered,
        }))
    }

    /// Answers with the page.
    pub(crate) async fn page(&mut self, mut plan: PagePlan, id: &RequestId) -> io::Result<Turn> {
        self.tally.of(&plan.route);
        // Where the request goes on cannot be told while its body is on its way.
        plan.asked.keep_alive &= plan.used.is_some();
        match self.fetch(&plan).await {
            Some(Ok(received)) => match plan.used.filter(|_| received.client_reusable) {
                Some(used) => {
                    let used = used.min(self.input.len());
                    self.input.drain(..used);
                    Ok(Turn::Again)
                }
                None => self.close_gently(plan.used.is_none()).await,
            },
            Some(Err(())) => Ok(Turn::Close),
            None => {
                let answer =
                    if plan.is_grpc { Answer::GRPC_MAINTENANCE } else { Answer::MAINTENANCE };
                self.answer(answer, plan.asked, plan.used, id).await
            }
        }
    }

    /// The answer of the page server, passed on; nothing if there is none, an error if it broke
    /// off.
    async fn fetch(&mut self, plan: &PagePlan) -> Option<Result<Received, ()>> {
        let worker = self.worker;
        let server = worker.page_server(plan.server.as_ref()?);
        let connect = worker.upstreams.connect(&server);
        let mut upstream = self.watch.within(CONNECT_TIMEOUT, connect).await.ok()?.ok()?;
        let sent = self.watch.within(CONNECT_TIMEOUT, upstream.stream.send(&plan.request));
        sent.await.ok()?.ok()?;
        let (body_sent, begun, moved) = (Cell::new(true), Cell::new(false), Cell::new(0));
        let manner = if plan.is_asset { Manner::MaintenanceAsset } else { Manner::MaintenancePage };
        let mut receiver = Receiver {
            asked: Asked { websocket: false, ..plan.asked },
            manner,
            timeout: HEAD_TIMEOUT,
            idle: worker.shared.config.body_timeout,
            body_sent: &body_sent,
            endpoint: &server,
            ticket: None,
            began: worker.clock.mono(),
            clock: worker.clock,
            begun: &begun,
            request_moves: &moved,
            encoders: &worker.encoders,
            draining: &worker.shared.draining,
            tally: &self.tally,
        };
        let (server, client) = (Shared::new(&mut upstream.stream), Shared::new(&mut *self.stream));
        let (mut from, mut to) = (Half::new(&server), Half::new(&client));
        match receiver.run(&mut self.watch, &mut from, &mut to).await {
            Ok(received) => Some(Ok(received)),
            Err(Failure::Client | Failure::Midway) => Some(Err(())),
            Err(_) if begun.get() => Some(Err(())),
            Err(_) => None,
        }
    }
}

/// Whether this is asked for by a page that is shown already.
fn is_asset(head: &RequestHead<'_>) -> bool {
    if !matches!(head.verb, Verb::Get | Verb::Head) {
        return false;
    }
    let destination = head.fields().find(|field| {
        field.known == Known::Other && field.name.eq_ignore_ascii_case(b"sec-fetch-dest")
    });
    if let Some(destination) = destination {
        // What scripts fetch ("empty") is the service's own interface, and is unavailable.
        return !matches!(destination.value, b"document" | b"iframe" | b"frame" | b"empty");
    }
    let target = head.path_and_query();
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let extension = name.rsplit(|byte| *byte == b'.').next().filter(|end| end.len() < name.len());
    extension.is_some_and(|end| ASSETS.iter().any(|a| a.as_bytes().eq_ignore_ascii_case(end)))
}

#[cfg(test)]
mod tests {
    use http1::{HeadSpace, Limits, Scan, parse_request};

    use super::*;

    #[test]
    fn pages_and_what_they_refer_to() {
        for (line, field, expected) in [
            ("GET / HTTP/1.1", "", false),
            ("GET /api/users HTTP/1.1", "", false),
            ("GET /v1.2/users HTTP/1.1", "", false),
            ("GET /style.css?v=3 HTTP/1.1", "", true),
            ("GET /favicon.ICO HTTP/1.1", "", true),
            ("GET /css HTTP/1.1", "", false),
            ("POST /style.css HTTP/1.1", "", false),
            ("GET /logo HTTP/1.1", "Sec-Fetch-Dest: image\r\n", true),
            ("GET /a.js HTTP/1.1", "Sec-Fetch-Dest: empty\r\n", false),
            ("GET /a.html HTTP/1.1", "Sec-Fetch-Dest: document\r\n", false),
        ] {
            let head = format!("{line}\r\nHost: a\r\n{field}\r\n");
            let mut space = HeadSpace::new();
            let limits = &Limits::STANDARD;
            let head = parse_request(head.as_bytes(), &mut Scan::new(), limits, &mut space);
            assert_eq!(is_asset(&head.unwrap().unwrap()), expected, "{line} {field}");
        }
    }
}
