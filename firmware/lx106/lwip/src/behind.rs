//! [`Behind`]: what waits for lwIP behind the first bytes of its connection.
//!
//! One list for all connections: most have nothing here most of the time, and a list of its own for each would take
//! more than what is in it. It holds no memory while it is empty.

use alloc::vec::Vec;

use espbroker_node::{Bytes, ConnectionId};

/// Places by which the list grows: a growing list copies itself.
const GROWTH: usize = 8;

/// In the order in which they came.
pub(crate) struct Behind(Vec<(ConnectionId, Bytes)>);

impl Behind {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds bytes of a connection; `false` when there is no memory for that.
    pub(crate) fn push(&mut self, id: ConnectionId, bytes: Bytes) -> bool {
        if self.0.len() == self.0.capacity() && self.0.try_reserve_exact(GROWTH).is_err() {
            return false;
        }
        self.0.push((id, bytes));
        true
    }

    /// How many bytes of a connection there are.
    pub(crate) fn length(&self, id: ConnectionId) -> usize {
        self.0.iter().filter(|(of, _)| *of == id).map(|(_, bytes)| bytes.len()).sum()
    }

    /// Takes the first bytes of a connection, and tells whether there are more.
    pub(crate) fn next(&mut self, id: ConnectionId) -> (Option<Bytes>, bool) {
        let place = self.0.iter().position(|(of, _)| *of == id);
        let bytes = place.map(|place| self.0.remove(place).1);
        self.release();
        (bytes, self.0.iter().any(|(of, _)| *of == id))
    }

    /// Drops what there is of a connection.
    pub(crate) fn forget(&mut self, id: ConnectionId) {
        self.0.retain(|(of, _)| *of != id);
        self.release();
    }

    fn release(&mut self) {
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}
