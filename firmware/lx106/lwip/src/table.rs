//! [`Table`]: the connections, found by their numbers.
//!
//! In blocks: one list would copy itself whenever it grows, and the heap would have to have both copies.

use alloc::{boxed::Box, vec::Vec};

use espbroker_node::ConnectionId;

use crate::{bindings::Pcb, connection::Connection};

/// Connections of a block.
const BLOCK: usize = 8;
/// Connections at most: the low byte of a number is a place.
const PLACES: usize = 256;

type Block = Box<[Option<Connection>; BLOCK]>;

/// The connections; a block is there while it, or a later one, is in use.
pub(crate) struct Table {
    blocks: Vec<Block>,
    /// The high byte of the next number, so that a late word about an old connection finds nobody.
    generation: u8,
}

impl Table {
    pub(crate) const fn new() -> Self {
        Self { blocks: Vec::new(), generation: 0 }
    }

    /// Places, in use or not.
    pub(crate) const fn len(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    /// Adds a connection; `None` when there is no memory for it.
    pub(crate) fn add(&mut self, pcb: *mut Pcb) -> Option<ConnectionId> {
        let free = (0..self.len()).find(|place| self.at(*place).is_none());
        let place = match free {
            Some(place) => place,
            None => self.grow()?,
        };
        self.generation = self.generation.wrapping_add(1);
        let id = ConnectionId(u16::from_le_bytes([u8::try_from(place).ok()?, self.generation]));
        *self.place(place)? = Some(Connection::new(id, pcb));
        Some(id)
    }

    /// One block more; its first place.
    fn grow(&mut self) -> Option<usize> {
        let place = self.len();
        if place >= PLACES {
            return None;
        }
        // The list of blocks is short; a block that there is no memory for refuses one client.
        self.blocks.try_reserve_exact(1).ok()?;
        let mut block: Vec<Option<Connection>> = Vec::new();
        block.try_reserve_exact(BLOCK).ok()?;
        block.resize_with(BLOCK, || None);
        self.blocks.push(block.into_boxed_slice().try_into().ok()?);
        Some(place)
    }

    fn place(&mut self, place: usize) -> Option<&mut Option<Connection>> {
        self.blocks.get_mut(place / BLOCK)?.get_mut(place % BLOCK)
    }

    /// The connection at a place.
    pub(crate) fn at(&mut self, place: usize) -> Option<&mut Connection> {
        self.place(place)?.as_mut()
    }

    /// The connection with this number.
    pub(crate) fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let [place, _] = id.0.to_le_bytes();
        self.at(place.into()).filter(|connection| connection.id == id)
    }

    /// Takes a connection out, and gives back blocks that nobody is in.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.get(id)?;
        let [place, _] = id.0.to_le_bytes();
        let connection = self.place(place.into())?.take();
        while self.blocks.last().is_some_and(|block| block.iter().all(Option::is_none)) {
            self.blocks.pop();
        }
        if self.blocks.is_empty() {
            self.blocks = Vec::new();
        }
        connection
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.blocks.iter().flat_map(|block| block.iter().flatten())
    }
}
