//! Answers: exactly one for each command, in time.

use model::{Answer, ConnId, Line, Now, Refusal, Reply};

use crate::bounds::ANSWER_WITHIN;
use crate::deadline::Due;
use crate::state::{Pending, Standing, Ticket};
use crate::{Output, Registry};

/// What a command has come to.
pub(crate) enum Done {
    /// It is answered with this.
    Reply(Reply),
    /// It is answered later, by its ticket.
    Later,
}

impl From<Reply> for Done {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// A command is done, or refused.
pub(crate) type Outcome = Result<Done, Refusal>;

impl Registry {
    /// Takes a command, and sees to it that it is answered.
    pub(crate) fn line(&mut self, conn: ConnId, line: Line, now: Now) {
        let number = self.ids.next_ticket();
        let Some(held) = self.conns.get_mut(&conn) else { return };
        if held.standing == Standing::Closing || line.request == model::Request::Ack {
            return;
        }
        if held.pending.is_some() {
            // The shell sends one at a time; whoever breaks that is told, out of order.
            let reply =
                Reply::Refused(Refusal::new("busy: the command before is not answered yet"));
            return self.emit(Output::Answer(conn, Answer { txn: line.txn, reply }));
        }
        held.pending = Some(Pending { ticket: number, txn: line.txn.clone(), query: None });
        let ticket = Ticket { conn, number, asked: now.mono };
        self.resume(ticket, line, now);
        if self.is_pending(ticket) {
            self.deadlines.set(Due::Answer(conn), now.mono.after(ANSWER_WITHIN));
        }
    }

    /// Carries out a command that came now, or has waited.
    pub(crate) fn resume(&mut self, ticket: Ticket, line: Line, now: Now) {
        if !self.is_pending(ticket) {
            return;
        }
        match self.dispatch(ticket, line, now) {
            Ok(Done::Reply(reply)) => self.answer(ticket, reply),
            Ok(Done::Later) => {}
            Err(refusal) => self.answer(ticket, Reply::Refused(refusal)),
        }
    }

    /// Whether somebody still waits for this answer.
    pub(crate) fn is_pending(&self, ticket: Ticket) -> bool {
        let pending = self.conns.get(&ticket.conn).and_then(|conn| conn.pending.as_ref());
        pending.is_some_and(|pending| pending.ticket == ticket.number)
    }

    /// Answers a command, unless nobody waits for it any more.
    pub(crate) fn answer(&mut self, ticket: Ticket, reply: Reply) {
        if !self.is_pending(ticket) {
            return;
        }
        let Some(conn) = self.conns.get_mut(&ticket.conn) else { return };
        let Some(pending) = conn.pending.take() else { return };
        self.deadlines.clear(Due::Answer(ticket.conn));
        if let Some(query) = pending.query {
            self.queries.remove(&query);
        }
        self.emit(Output::Answer(ticket.conn, Answer { txn: pending.txn, reply }));
    }

    /// A command has waited too long: a printed client gives up after 5 s (SPEC 2.1). What was
    /// sent to the disk may still take effect.
    pub(crate) fn answer_overdue(&mut self, conn: ConnId) {
        let Some(pending) = self.conns.get(&conn).and_then(|held| held.pending.as_ref()) else {
            return;
        };
        let reason = match pending.query {
            Some(_) => "timeout: no answer from the data plane within 4 s",
            None => "timeout: not done within 4 s, it may still take effect",
        };
        let ticket = Ticket { conn, number: pending.ticket, asked: model::Instant::default() };
        self.answer(ticket, Reply::Refused(Refusal::new(reason)));
    }
}
