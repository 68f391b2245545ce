//! [`Table`]: the network connections, found by their numbers.
//!
//! What happens comes in runs: all bytes of a packet from one connection, then the reports of what was sent, in the order
//! in which it was handed out. So a look begins where the last one ended, and almost always ends there or one further.

use alloc::{boxed::Box, vec::Vec};
use core::cell::Cell;

use crate::{connection::Connection, event::ConnectionId};

/// All connections in the order of their coming.
pub(crate) struct Table {
    #[expect(
        clippy::vec_box,
        reason = "the table has its full length from the start, the entries only when used"
    )]
    entries: Vec<Box<Connection>>,
    /// Where the last look ended.
    last: Cell<usize>,
}

impl Table {
    /// Room for `connections`, so that the table never moves.
    pub(crate) fn with_capacity(connections: usize) -> Self {
        Self { entries: Vec::with_capacity(connections), last: Cell::new(0) }
    }

    fn position(&self, id: ConnectionId) -> Option<usize> {
        let last = self.last.get();
        let is_at = |position: usize| self.entries.get(position).is_some_and(|known| known.id == id);
        if is_at(last) {
            return Some(last);
        }
        let position = if is_at(last + 1) {
            last + 1
        } else {
            self.entries.iter().position(|connection| connection.id == id)?
        };
        self.last.set(position);
        Some(position)
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.entries.get(self.position(id)?).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let position = self.position(id)?;
        self.entries.get_mut(position).map(Box::as_mut)
    }

    /// The same, and quicker where it is the one behind the last that was looked for.
    #[inline]
    pub(crate) fn next_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let next = self.last.get() + 1;
        if self.entries.get(next).is_none_or(|known| known.id != id) {
            return self.get_mut(id);
        }
        self.last.set(next);
        self.entries.get_mut(next).map(Box::as_mut)
    }

    pub(crate) fn push(&mut self, connection: Connection) {
        self.entries.push(Box::new(connection));
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        self.position(id).map(|position| self.entries.remove(position))
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.entries.iter().map(Box::as_ref)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.entries.iter_mut().map(Box::as_mut)
    }

    /// All connections, beginning with the one at `first`.
    pub(crate) fn round(&mut self, first: usize) -> impl Iterator<Item = &mut Connection> {
        let first = first.min(self.entries.len());
        let (before, from) = self.entries.split_at_mut(first);
        from.iter_mut().chain(before).map(Box::as_mut)
    }

    /// Heap bytes in use.
    pub(crate) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Box<Connection>>()
            + self.iter().map(Connection::memory).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{connection::Peer, event::Transport, time::Instant};

    #[test]
    fn every_connection_is_found_whichever_was_looked_for_before() {
        let mut table = Table::with_capacity(4);
        for id in [7, 3, 9, 1] {
            table.push(Connection::new(ConnectionId(id), Peer::Client, Transport::Tcp, Instant(0)));
        }
        for first in [7, 3, 9, 1, 5] {
            for second in [7, 3, 9, 1, 5] {
                for id in [first, second] {
                    let found = table.get(ConnectionId(id)).map(|connection| connection.id.0);
                    assert_eq!(found, Some(id).filter(|id| *id != 5));
                }
            }
        }
        assert!(table.remove(ConnectionId(1)).is_some());
        assert!(table.get(ConnectionId(1)).is_none() && table.get_mut(ConnectionId(9)).is_some());
        let round: Vec<u16> = table.round(2).map(|connection| connection.id.0).collect();
        assert_eq!(round, [9, 7, 3]);
    }
}
