//! [`Sockets`]: the table of connections and ports, between lwIP's callbacks and the device.

use alloc::collections::VecDeque;
use core::ptr;

use espbroker_node::{
    Bytes, ConnectionId,
    status::{ListenFailure, Service},
};

use crate::{
    behind::Behind,
    bindings::{
        Address, ERR_OK, ERR_USE, PRIORITY_LOW, Pcb, tcp_abort, tcp_accept, tcp_arg, tcp_bind, tcp_close,
        tcp_listen_with_backlog, tcp_new, tcp_setprio,
    },
    callbacks,
    connection::{Connection, cost},
    openings::Openings,
    received::Received,
    table::Table,
};

/// Clients that wait for the device to hear of them.
const WAITING: usize = 8;
/// Connections that lwIP may hold something for however little is left of the heap, so that no lack of memory stops
/// everything, and no few peers that are gone stop everybody.
const BUSY_ALWAYS: usize = 4;
/// Clients that wait for lwIP to accept them; the vendor's lwIP has no such bound.
const BACKLOG: u8 = 8;

/// All that lwIP has of this device.
pub(crate) struct Sockets {
    connections: Table,
    /// What waits behind the first bytes of each connection.
    behind: Behind,
    /// The place in the table that is the first to get memory the next time.
    turn: usize,
    /// Bytes of the heap that lwIP holds for what the peers have not acknowledged.
    held: u32,
    listeners: [Option<*mut Pcb>; 2],
    /// Clients that the device has not heard of.
    arrived: VecDeque<(ConnectionId, Service)>,
    pub(crate) openings: Openings,
}

/// What the device is told of a connection.
pub(crate) enum News {
    /// The peer has so many bytes more.
    Sent(usize),
    /// Bytes came in.
    Received(Received),
    /// It is gone.
    Closed,
}

const fn index(service: Service) -> usize {
    match service {
        Service::Mqtt => 0,
        Service::WebSocket => 1,
    }
}

impl Sockets {
    pub(crate) const fn new() -> Self {
        Self {
            connections: Table::new(),
            behind: Behind::new(),
            turn: 0,
            held: 0,
            listeners: [None; 2],
            arrived: VecDeque::new(),
            openings: Openings::new(),
        }
    }

    /// Takes over a port that [`listen`] has opened.
    pub(crate) fn add_listener(&mut self, service: Service, Listener(listener): Listener) {
        if let Some(slot) = self.listeners.get_mut(index(service)) {
            *slot = Some(listener);
        }
    }

    /// Closes a port; connections over it stay.
    pub(crate) fn stop_listening(&mut self, service: Service) {
        if let Some(listener) = self.listeners.get_mut(index(service)).and_then(Option::take) {
            // SAFETY: a listener that lwIP has; closing one cannot fail.
            unsafe { tcp_close(listener) };
        }
    }

    /// Takes a client in that lwIP has accepted; `false` when there is no place for it.
    pub(crate) fn accept(&mut self, service: usize, pcb: *mut Pcb) -> bool {
        let services = [Service::Mqtt, Service::WebSocket];
        let Some(service) = services.into_iter().find(|it| index(*it) == service) else { return false };
        if self.arrived.len() >= WAITING {
            return false;
        }
        let Some(id) = self.connections.add(pcb) else { return false };
        self.arrived.push_back((id, service));
        true
    }

    /// Takes over a connection that an attempt has made; `false` when nobody asked for it any more.
    pub(crate) fn connected(&mut self, number: usize, pcb: *mut Pcb) -> bool {
        if !self.openings.awaits(number) {
            return false;
        }
        let Some(id) = self.connections.add(pcb) else { return false };
        self.openings.connected(number, id);
        true
    }

    /// The connection with this number.
    pub(crate) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get(id)
    }

    /// The next client that the device has not heard of.
    pub(crate) fn arrival(&mut self) -> Option<(ConnectionId, Service)> {
        self.arrived.pop_front()
    }

    /// The next connection with news, from the place `from` of the table on, and the place to go on from. A connection
    /// that is closed is gone from the table.
    pub(crate) fn news(&mut self, from: &mut usize) -> Option<(ConnectionId, News)> {
        while *from < self.connections.len() {
            let Some(connection) = self.connections.at(*from) else {
                *from += 1;
                continue;
            };
            let id = connection.id;
            let sent = connection.take_acknowledged();
            if sent > 0 {
                return Some((id, News::Sent(sent)));
            }
            if let Some(received) = connection.take_received() {
                // One piece of each before the next of anybody.
                *from += 1;
                return Some((id, News::Received(received)));
            }
            if connection.is_over() {
                self.close(id);
                return Some((id, News::Closed));
            }
            *from += 1;
        }
        None
    }

    /// Bytes of the heap that lwIP holds for what the peers have not acknowledged.
    pub(crate) const fn held(&self) -> u32 {
        self.held
    }

    /// Notes something that changes what lwIP holds for a connection.
    fn change(&mut self, id: ConnectionId, note: impl FnOnce(&mut Connection, &mut Behind)) {
        if let Some(connection) = self.connections.get(id) {
            let before = connection.held();
            note(connection, &mut self.behind);
            self.held = self.held.saturating_sub(before) + connection.held();
        }
    }

    /// Notes what a peer has acknowledged.
    pub(crate) fn acknowledged(&mut self, id: ConnectionId, length: u16) {
        self.change(id, |connection, _| connection.push_acknowledged(length));
    }

    /// Notes that lwIP has freed its side of a connection.
    pub(crate) fn gone(&mut self, id: ConnectionId) {
        self.change(id, |connection, _| connection.push_gone());
    }

    /// Whether [`Self::news`] would have anything.
    pub(crate) fn has_news(&self) -> bool {
        !self.arrived.is_empty()
            || self.openings.has_news()
            || self.connections.iter().any(Connection::has_news)
    }

    /// Lets bytes wait for lwIP.
    pub(crate) fn push(&mut self, id: ConnectionId, bytes: Bytes) {
        self.change(id, |connection, behind| {
            if !connection.push(bytes, behind) {
                // What cannot be sent whole must not be sent in part.
                connection.reset();
            }
        });
    }

    /// Gives lwIP what it may hold of a connection; `false` when so many bytes of `room` in the heap are too few.
    pub(crate) fn flush(&mut self, id: ConnectionId, room: u32) -> bool {
        let Self { connections, behind, .. } = self;
        let Some(connection) = connections.get(id).filter(|connection| connection.can_send()) else {
            return true;
        };
        let cost = cost(connection.portion(behind));
        let may_begin = !connection.is_busy();
        let busy = |connections: &Table| connections.iter().filter(|connection| connection.is_busy()).count();
        if cost > room && !(may_begin && busy(connections) < BUSY_ALWAYS) {
            return false;
        }
        self.change(id, Connection::flush);
        true
    }

    /// Gives lwIP what it may hold of every connection, as far as there is `room` in the heap beside what it holds. Begins
    /// with the first that there was none for the last time.
    pub(crate) fn flush_all(&mut self, room: impl Fn(u32) -> u32) {
        let count = self.connections.len();
        let first = self.turn.min(count);
        let mut refused = None;
        for place in (first..count).chain(0..first) {
            let waiting = self.connections.at(place).filter(|connection| connection.can_send());
            if let Some(id) = waiting.map(|connection| connection.id)
                && !self.flush(id, room(self.held))
            {
                refused = refused.or(Some(place));
            }
        }
        if let Some(place) = refused {
            self.turn = place;
            for place in 0..count {
                let silent = self.connections.at(place).filter(|connection| connection.is_silent());
                if let Some(id) = silent.map(|connection| connection.id) {
                    self.change(id, |connection, _| connection.reset());
                }
            }
        }
    }

    /// Sends what lwIP takes at once, and closes.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.remove(id) {
            self.held = self.held.saturating_sub(connection.held());
            connection.close(&mut self.behind);
        }
        self.arrived.retain(|(arrived, _)| *arrived != id);
    }
}

/// A port that is open.
pub(crate) struct Listener(*mut Pcb);

/// Opens a port for a service.
///
/// Called without the table in use: out of memory, lwIP ends other connections from within.
pub(crate) fn listen(service: Service, port: u16) -> Result<Listener, ListenFailure> {
    // SAFETY: a new block is used by nobody else; each path below hands it to lwIP or frees it.
    unsafe {
        let pcb = tcp_new();
        if pcb.is_null() {
            return Err(ListenFailure::Other);
        }
        let error = tcp_bind(pcb, &Address([0; 4]), port);
        if error != ERR_OK {
            tcp_abort(pcb);
            return Err(if error == ERR_USE { ListenFailure::InUse } else { ListenFailure::Other });
        }
        let listener = tcp_listen_with_backlog(pcb, BACKLOG);
        if listener.is_null() {
            tcp_abort(pcb);
            return Err(ListenFailure::Other);
        }
        // New connections have the listener's priority until the device has room for them: out of memory, lwIP ends one
        // of the lowest priority, which must not be a client at work.
        tcp_setprio(listener, PRIORITY_LOW);
        tcp_arg(listener, ptr::without_provenance_mut(index(service)));
        tcp_accept(listener, Some(callbacks::accepted));
        Ok(Listener(listener))
    }
}
