//! One connection in virtual time. The test plays the client at one end and the machine at the
//! other.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use door::Secret;
use model::{Answer, Event, Push, Reply, Request, UnixMillis};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::bounds::PUSHES_WAITING_MAX;
use crate::task::Message;

#[tokio::test(start_paused = true)]
async fn answers_and_errors_come_in_the_order_of_the_lines() {
    let mut world = World::new(None).await;
    world.send("PING|s\nNONSENSE\nPING|s\n\n\r\nPING|s\u{7}\n").await;
    assert_eq!(world.asked().await, Request::Ping);
    world.answer(Reply::Pong);
    assert_eq!(world.asked().await, Request::Ping);
    world.answer(Reply::Ok);
    assert_eq!(world.line().await, "PONG");
    assert_eq!(world.line().await, "ERROR|unknown command: NONSENSE");
    assert_eq!(world.line().await, "OK");
    assert_eq!(world.line().await, "ERROR|line holds a control character");
    assert!(world.nothing_asked());
}

#[tokio::test(start_paused = true)]
async fn the_next_command_is_sent_after_the_answer() {
    let mut world = World::new(None).await;
    world.send("PING|s\nPING|s\n").await;
    world.asked().await;
    world.pass(3).await;
    assert!(world.nothing_asked());
    world.answer(Reply::Pong);
    world.asked().await;
}

#[tokio::test(start_paused = true)]
async fn a_line_may_come_byte_by_byte() {
    let mut world = World::new(None).await;
    for byte in "PING|s\r\nPING|s".chars() {
        world.send(&byte.to_string()).await;
        world.pass(1).await;
    }
    world.asked().await;
    world.answer(Reply::Pong);
    assert_eq!(world.line().await, "PONG");
    assert!(world.nothing_asked());
}

/// What follows may hold no line feed for a long time.
#[tokio::test(start_paused = true)]
async fn a_handshake_is_told_that_there_is_no_tls() {
    let mut world = World::new(None).await;
    world.send("\u{16}\u{3}\u{1}").await;
    assert_eq!(world.line().await, "ERROR|this port does not speak TLS");
}

#[tokio::test(start_paused = true)]
async fn a_line_has_thirty_seconds_from_its_first_byte() {
    let mut world = World::new(None).await;
    // Silence is no line.
    world.pass(1000).await;
    world.send("PI").await;
    world.pass(29).await;
    world.send("N").await;
    assert_eq!(world.line_within(2).await.as_deref(), Some("ERROR|timeout"));
    assert_eq!(world.rest().await, "");
    world.ended().await;
}

#[tokio::test(start_paused = true)]
async fn each_line_has_its_own_thirty_seconds() {
    let mut world = World::new(None).await;
    world.send("PING|s").await;
    world.pass(29).await;
    world.send("\nPI").await;
    world.asked().await;
    world.answer(Reply::Pong);
    assert_eq!(world.line().await, "PONG");
    world.pass(29).await;
    world.send("NG|s\n").await;
    world.asked().await;
    world.pass(1000).await;
    world.answer(Reply::Pong);
    assert_eq!(world.line().await, "PONG");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_line_too_long_runs_as_well() {
    let mut world = World::new(None).await;
    world.send(&"x".repeat(20_000)).await;
    assert_eq!(world.line().await, "ERROR|line too long (max 16384 bytes)");
    for _ in 0..29 {
        world.send("xxxx").await;
        world.pass(1).await;
    }
    assert_eq!(world.line_within(2).await.as_deref(), Some("ERROR|timeout"));
}

#[tokio::test(start_paused = true)]
async fn after_a_line_too_long_the_next_one_is_read() {
    let mut world = World::new(None).await;
    world.send(&format!("{}\nPING|s\n", "x".repeat(20_000))).await;
    assert_eq!(world.line().await, "ERROR|line too long (max 16384 bytes)");
    world.asked().await;
    // From the answer on it is a v1 session's.
    world.mailbox.speaks(Dialect::V1);
    world.answer(Reply::Pong);
    assert_eq!(world.line().await, "PONG");
    world.send(&format!("{}\n", "x".repeat(8_192))).await;
    assert_eq!(world.line().await, "ERROR|line too long (max 8192 bytes)");
}

#[tokio::test(start_paused = true)]
async fn lines_nobody_asked_for_wait_while_a_command_is_unanswered() {
    let mut world = World::new(None).await;
    world.mailbox.push(Push::Shutdown);
    assert_eq!(world.line().await, "SHUTDOWN");

    world.send("PING|s\nPING|s\n").await;
    world.asked().await;
    world.mailbox.push(Push::Shutdown);
    world.answer(Reply::Pong);
    // The second one was here before the first was answered.
    world.asked().await;
    assert_eq!(world.line().await, "PONG");
    world.answer(Reply::Ok);
    assert_eq!(world.line().await, "OK");
    assert_eq!(world.line().await, "SHUTDOWN");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_keep_up_with_events_is_cut_off_with_a_reason() {
    let mut world = World::new(None).await;
    world.send("PING|s\n").await;
    world.asked().await;
    for _ in 0..=PUSHES_WAITING_MAX {
        world.mailbox.push(event());
    }
    world.answer(Reply::Pong);
    assert_eq!(world.rest().await, "PONG\nERROR|too slow\n");
    world.ended().await;
}

#[tokio::test(start_paused = true)]
async fn as_many_events_as_may_wait_arrive() {
    let mut world = World::new(None).await;
    world.send("PING|s\n").await;
    world.asked().await;
    for _ in 0..PUSHES_WAITING_MAX {
        world.mailbox.push(event());
    }
    world.answer(Reply::Pong);
    assert_eq!(world.line().await, "PONG");
    for _ in 0..PUSHES_WAITING_MAX {
        assert!(world.line().await.starts_with("EVENT|drained|"));
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_cut_off_after_ten_seconds() {
    let mut world = World::with_pipe(64, None).await;
    // Two answers of 32 bytes fill the pipe, the third one waits.
    for _ in 0..3 {
        world.send("NONSENSE\n").await;
    }
    world.pass(1).await;
    assert!(!world.task.is_finished());
    world.pass(8).await;
    assert!(!world.task.is_finished());
    world.pass(2).await;
    world.ended().await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_in_time_is_not() {
    let mut world = World::with_pipe(64, None).await;
    for _ in 0..5 {
        world.send("NONSENSE\n").await;
        world.pass(9).await;
        assert_eq!(world.line().await, "ERROR|unknown command: NONSENSE");
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_client_gets_its_answers() {
    let mut world = World::new(None).await;
    world.send("PING|s\nPING|s\nPI").await;
    world.client.shutdown().await.unwrap();
    for _ in 0..2 {
        world.asked().await;
        world.pass(3).await;
        world.answer(Reply::Pong);
    }
    assert_eq!(world.rest().await, "PONG\nPONG\n");
    world.ended().await;
    assert!(world.nothing_asked());
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_the_end_is_written_and_nothing_is_read_after_it() {
    let mut world = World::new(None).await;
    world.send("CLIENT_SHUTDOWN|s\nPING|s\n").await;
    assert_eq!(world.asked().await, Request::ClientShutdown);
    world.mailbox.push(Push::Shutdown);
    world.mailbox.answer(Answer { txn: None, reply: Reply::ShutdownOk });
    world.mailbox.close();
    assert_eq!(world.rest().await, "SHUTDOWN_OK\nSHUTDOWN\n");
    assert!(world.nothing_asked());
    world.client.shutdown().await.unwrap();
    world.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_taken_over_is_closed_with_its_command_unanswered() {
    let mut world = World::new(None).await;
    world.send("PING|s\nPING|s\n").await;
    world.asked().await;
    world.mailbox.close();
    assert_eq!(world.rest().await, "");
    assert!(world.nothing_asked());
}

/// A peer that neither reads nor closes does not keep the machine waiting.
#[tokio::test(start_paused = true)]
async fn the_last_words_have_a_second() {
    let mut world = World::new(None).await;
    world.mailbox.close();
    world.pass(2).await;
    world.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_bare_ack_has_no_answer() {
    let mut world = World::new(None).await;
    world.send("ACK\nPING|s\n").await;
    assert_eq!(world.asked().await, Request::Ack);
    assert_eq!(world.asked().await, Request::Ping);
    world.answer(Reply::Pong);
    assert_eq!(world.line().await, "PONG");
}

#[tokio::test(start_paused = true)]
async fn without_the_token_nothing_is_done() {
    let mut world = World::new(Secret::new("secret")).await;
    world.send("PING|s\nNONSENSE\nACK\nAUTH|guess\nAUTH|secret\nAUTH|secret\nPING|s\n").await;
    for line in [
        "ERROR|authentication required",
        "ERROR|authentication required",
        "ERROR|authentication required",
        "ERROR|authentication failed",
        "AUTH_OK",
        "AUTH_OK",
    ] {
        assert_eq!(world.line().await, line);
    }
    // Who it is, before what it asks.
    let shown = world.message().await;
    assert!(matches!(shown, Some(Message::Authenticated(_, who)) if &*who.name == "a"));
    assert_eq!(world.asked().await, Request::Ping);
    assert!(world.nothing_asked());
}

#[tokio::test(start_paused = true)]
async fn the_third_wrong_token_closes() {
    let mut world = World::new(Secret::new("secret")).await;
    world.send("AUTH|a\nAUTH|b\nAUTH|c\nAUTH|secret\n").await;
    assert_eq!(world.rest().await, "ERROR|authentication failed\n".repeat(3));
}

#[tokio::test(start_paused = true)]
async fn a_client_may_show_a_token_that_nobody_wants() {
    let mut world = World::new(None).await;
    world.send("AUTH|anything\n").await;
    assert_eq!(world.line().await, "AUTH_OK");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_ready_go_out_in_one_write_of_whole_lines() {
    let mut world = World::new(None).await;
    world.send(&"NONSENSE\n".repeat(100)).await;
    for _ in 0..100 {
        world.line().await;
    }
    assert_eq!(world.writes(), ["ERROR|unknown command: NONSENSE\n".repeat(100)]);

    // One that takes its time holds up only those after it.
    world.send("NONSENSE\nPING|s\nNONSENSE\n").await;
    world.asked().await;
    assert_eq!(world.line().await, "ERROR|unknown command: NONSENSE");
    world.answer(Reply::Pong);
    assert_eq!(world.line().await, "PONG");
    world.line().await;
    let error = "ERROR|unknown command: NONSENSE\n";
    assert_eq!(world.writes()[1..], [error.to_owned(), format!("PONG\n{error}")]);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_at_once_is_bounded() {
    let World { client, writes, task, messages: _messages, .. } = World::new(None).await;
    let (mut reader, mut writer) = tokio::io::split(client);
    let lines = 10_000;
    let error = "ERROR|unknown command: NONSENSE\n";
    let sent =
        tokio::spawn(async move { writer.write_all("NONSENSE\n".repeat(lines).as_bytes()).await });
    let mut received = vec![0; lines * error.len()];
    reader.read_exact(&mut received).await.unwrap();
    sent.await.unwrap().unwrap();
    drop(reader);
    task.await.unwrap();
    let writes = writes.lock().unwrap();
    assert!(writes.iter().all(|write| write.len() < FLUSH_BYTES + error.len()));
}

/// Longer than anything lasts here.
const LONG: Duration = Duration::from_hours(1);

/// The connection under test between a client and a machine.
struct World {
    client: DuplexStream,
    task: JoinHandle<()>,
    messages: mpsc::Receiver<Message>,
    mailbox: Arc<Mailbox>,
    writes: Writes,
}

type Writes = Arc<Mutex<Vec<Vec<u8>>>>;

impl World {
    async fn new(token: Option<Secret>) -> Self {
        Self::with_pipe(64 << 10, token).await
    }

    async fn with_pipe(bytes: usize, token: Option<Secret>) -> Self {
        let (client, server) = duplex(bytes);
        let writes = Writes::default();
        let server = Recorded { stream: server, writes: writes.clone() };
        let (handle, mut messages, _) = Handle::new();
        let clock = Clock::starting_at(UnixMillis(0));
        let task = tokio::spawn(converse(server, Peer::Local, credentials(token), handle, clock));
        let Some(Message::Connected(_, Peer::Local, mailbox)) = messages.recv().await else {
            panic!("nobody connected");
        };
        Self { client, task, messages, mailbox, writes }
    }

    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next command that reaches the machine.
    async fn asked(&mut self) -> Request {
        match self.message().await {
            Some(Message::Line(_, line)) => line.request,
            other => panic!("{other:?}"),
        }
    }

    fn nothing_asked(&mut self) -> bool {
        !matches!(self.messages.try_recv(), Ok(Message::Line(..)))
    }

    fn answer(&self, reply: Reply) {
        self.mailbox.answer(Answer { txn: None, reply });
    }

    async fn line(&mut self) -> String {
        self.line_within(LONG.as_secs()).await.expect("no line came")
    }

    async fn line_within(&mut self, seconds: u64) -> Option<String> {
        let read = async {
            let mut line = Vec::new();
            loop {
                match self.client.read_u8().await.unwrap() {
                    b'\n' => return String::from_utf8(line).unwrap(),
                    byte => line.push(byte),
                }
            }
        };
        timeout(Duration::from_secs(seconds), read).await.ok()
    }

    /// Everything up to the end.
    async fn rest(&mut self) -> String {
        let mut text = String::new();
        timeout(LONG, self.client.read_to_string(&mut text)).await.expect("it is open").unwrap();
        text
    }

    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// The machine was told that the connection is gone.
    async fn ended(&mut self) {
        loop {
            match self.message().await {
                Some(Message::Lost(_)) => break,
                Some(_) => {}
                None => panic!("the machine was not told"),
            }
        }
        (&mut self.task).await.unwrap();
        assert!(self.message().await.is_none());
    }

    /// A test that waits for what never comes ends, in no time.
    async fn message(&mut self) -> Option<Message> {
        timeout(LONG, self.messages.recv()).await.expect("the machine hears nothing")
    }

    fn writes(&self) -> Vec<String> {
        let writes = self.writes.lock().unwrap();
        writes.iter().map(|write| String::from_utf8(write.clone()).unwrap()).collect()
    }
}

fn event() -> Push {
    Push::Event(Event::Drained { at: UnixMillis(0) })
}

/// Remembers each write.
struct Recorded {
    stream: DuplexStream,
    writes: Writes,
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        if let Ok(written) = &written {
            self.writes.lock().unwrap().push(bytes[..*written].to_vec());
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn credentials(token: Option<Secret>) -> Arc<Credentials> {
    let mut credentials = Credentials::default();
    if let Some(token) = token {
        let credential = session::Credential { name: "a".into(), grants: Default::default() };
        credentials.add_token(token, credential.into());
    }
    credentials.into()
}
