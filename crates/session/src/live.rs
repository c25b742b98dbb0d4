//! Who waits until a publication is live: served by every worker, and every request that began
//! before has ended (SPEC 12, "Applying").

use std::collections::BTreeMap;

use model::{Generation, Now, Push, Reply, TxnId};

use crate::bounds::{LIVE_ANSWER_WITHIN, LIVE_WITHIN};
use crate::deadline::Due;
use crate::state::{Standing, Ticket};
use crate::{Output, Registry};

/// Maintenance commands that took effect and are not reported as live yet.
#[derive(Debug, Default)]
pub(crate) struct LiveWaits {
    by_generation: BTreeMap<Generation, LiveWait>,
}

#[derive(Debug)]
struct LiveWait {
    ticket: Ticket,
    told: Told,
}

/// How a client is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// v1: by the answer itself.
    ByTheAnswer,
    /// v2: by a line after the `ACK`.
    Afterwards { txn: Option<TxnId>, target: Box<str> },
}

impl Registry {
    /// Tells a client when a generation is live, or after 3 s.
    pub(crate) fn tell_when_live(
        &mut self,
        generation: Generation,
        ticket: Ticket,
        told: Told,
        now: Now,
    ) {
        let at = match told {
            Told::ByTheAnswer => {
                now.mono.after(LIVE_WITHIN).min(ticket.asked.after(LIVE_ANSWER_WITHIN))
            }
            Told::Afterwards { .. } => now.mono.after(LIVE_WITHIN),
        };
        // What waited for the disk for long is told at once.
        self.deadlines.set(Due::Live(generation), at.max(now.mono));
        self.live.by_generation.insert(generation, LiveWait { ticket, told });
    }

    /// Everything up to a generation is live.
    pub(crate) fn live_at(&mut self, generation: Generation) {
        while let Some((first, _)) = self.live.by_generation.first_key_value()
            && *first <= generation
        {
            let first = *first;
            self.live_now(first);
        }
    }

    /// One generation counts as live.
    pub(crate) fn live_now(&mut self, generation: Generation) {
        self.deadlines.clear(Due::Live(generation));
        let Some(LiveWait { ticket, told }) = self.live.by_generation.remove(&generation) else {
            return;
        };
        match told {
            Told::ByTheAnswer => self.answer(ticket, Reply::MaintenanceLive),
            Told::Afterwards { txn, target } => {
                let open = |conn: &crate::state::Conn| conn.standing != Standing::Closing;
                if self.conns.get(&ticket.conn).is_some_and(open) {
                    let push = Push::MaintenanceLive { txn, target };
                    self.emit(Output::Push(ticket.conn, push));
                }
            }
        }
    }
}
