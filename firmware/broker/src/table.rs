//! [`Table`]: the network connections, found by their numbers.
//!
//! Callers number connections as they come, or by small places of their own. So of every 32 numbers in a row each has a
//! note of where the one that was looked for last was, and almost every look ends there.

use alloc::{boxed::Box, vec::Vec};
use core::cell::Cell;

use crate::{connection::Connection, event::ConnectionId};

/// Numbers that differ by a multiple of this share a note.
const NOTES: usize = 32;

/// Places by which the table grows.
const GROWTH: usize = 8;

/// All connections in the order of their coming.
pub(crate) struct Table {
    #[expect(
        clippy::vec_box,
        reason = "a table of the connections themselves would move them all to become longer"
    )]
    entries: Vec<Box<Connection>>,
    /// Where connections were when they were looked for, of the first 256 places.
    notes: [Cell<u8>; NOTES],
}

impl Table {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), notes: [const { Cell::new(0) }; NOTES] }
    }

    /// Bytes that one more makes the table itself take; 0 while there is a place.
    pub(crate) const fn growth(&self) -> usize {
        let length = self.entries.len();
        if length < self.entries.capacity() { 0 } else { (length + GROWTH) * size_of::<Box<Connection>>() }
    }

    /// Where the connection was the last time, perhaps.
    #[inline]
    fn noted(&self, id: ConnectionId) -> usize {
        self.notes.get(usize::from(id.0) % NOTES).map_or(0, |note| usize::from(note.get()))
    }

    fn position(&self, id: ConnectionId) -> Option<usize> {
        let noted = self.noted(id);
        if self.entries.get(noted).is_some_and(|known| known.id == id) {
            Some(noted)
        } else {
            self.search(id)
        }
    }

    #[inline(never)]
    pub(crate) fn search(&self, id: ConnectionId) -> Option<usize> {
        let position = self.entries.iter().position(|connection| connection.id == id)?;
        if let (Some(note), Ok(place)) = (self.notes.get(usize::from(id.0) % NOTES), u8::try_from(position)) {
            note.set(place);
        }
        Some(position)
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.entries.get(self.position(id)?).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let position = self.position(id)?;
        self.entries.get_mut(position).map(Box::as_mut)
    }

    /// The connection, if it is where it was the last time.
    #[inline]
    pub(crate) fn noted_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let noted = self.noted(id);
        self.entries.get_mut(noted).map(Box::as_mut).filter(|known| known.id == id)
    }

    /// The connection at this place.
    #[inline]
    pub(crate) fn at(&mut self, place: usize) -> Option<&mut Connection> {
        self.entries.get_mut(place).map(Box::as_mut)
    }

    /// The connections from the one at this place on.
    #[inline]
    pub(crate) fn from(&mut self, place: usize) -> &mut [Box<Connection>] {
        self.entries.get_mut(place..).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, connection: Connection) {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(GROWTH);
        }
        self.entries.push(Box::new(connection));
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let connection = self.position(id).map(|position| self.entries.remove(position));
        if self.entries.is_empty() {
            self.entries = Vec::new();
        }
        connection
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
        let mut table = Table::new();
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
