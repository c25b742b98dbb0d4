//! Batches that the store has no room for yet.

use std::collections::VecDeque;

use model::Batch;

/// Oldest first. As long as it holds any, nothing new is taken that could make more; so it never
/// holds more than what one turn leaves.
#[derive(Debug, Default)]
pub(crate) struct Unsaved(VecDeque<Batch>);

impl Unsaved {
    /// Hands a batch to the store, behind all that wait; `submit` gives back what it has no room
    /// for.
    pub(crate) fn add(&mut self, batch: Batch, submit: impl FnMut(Batch) -> Result<(), Batch>) {
        self.0.push_back(batch);
        self.retry(submit);
    }

    /// Hands in as many as there is room for.
    pub(crate) fn retry(&mut self, mut submit: impl FnMut(Batch) -> Result<(), Batch>) {
        while let Some(batch) = self.0.pop_front() {
            if let Err(batch) = submit(batch) {
                return self.0.push_front(batch);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_reach_the_store_in_order_whatever_room_it_has() {
        let mut unsaved = Unsaved::default();
        let mut saved = Vec::new();
        let mut room = 2;
        let mut steps = Vec::new();
        for seq in 1..=5 {
            let batch = Batch { seq, urgent: false, records: Vec::new() };
            unsaved.add(batch, |batch| store(batch, &mut room, &mut saved));
            steps.push((saved.len(), unsaved.is_empty()));
        }
        for _ in 0..3 {
            room = 1;
            unsaved.retry(|batch| store(batch, &mut room, &mut saved));
            steps.push((saved.len(), unsaved.is_empty()));
        }
        let full = [(2, false); 3];
        let then = [(3, false), (4, false), (5, true)];
        assert_eq!(steps, [&[(1, true), (2, true)][..], &full, &then].concat());
        assert_eq!(saved, [1, 2, 3, 4, 5]);
    }

    fn store(batch: Batch, room: &mut u32, saved: &mut Vec<u64>) -> Result<(), Batch> {
        if *room == 0 {
            return Err(batch);
        }
        *room -= 1;
        saved.push(batch.seq);
        Ok(())
    }
}
