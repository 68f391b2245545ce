//! [`Sockets`]: the table of connections and ports, between lwIP's callbacks and the device.

use alloc::{collections::VecDeque, vec::Vec};
use core::ptr;

use espbroker_node::{
    Bytes, ConnectionId,
    status::{ListenFailure, Service},
};

use crate::{
    bindings::{
        Address, ERR_OK, ERR_USE, PRIORITY_LOW, Pcb, tcp_abort, tcp_accept, tcp_arg, tcp_bind, tcp_close,
        tcp_listen_with_backlog, tcp_new, tcp_setprio,
    },
    callbacks,
    connection::Connection,
    openings::Openings,
};

/// Clients that wait for the device to hear of them.
const WAITING: usize = 8;
/// Places by which the table grows.
const GROWTH: usize = 4;
/// Clients that wait for lwIP to accept them; the vendor's lwIP has no such bound.
const BACKLOG: u8 = 8;

/// All that lwIP has of this device.
pub(crate) struct Sockets {
    /// By the order of their arrival.
    connections: Vec<Connection>,
    listeners: [Option<*mut Pcb>; 2],
    /// Clients that the device has not heard of.
    arrived: VecDeque<(ConnectionId, Service)>,
    next: u16,
    pub(crate) openings: Openings,
}

/// What the device is told of a connection.
pub(crate) enum News {
    /// The peer has so many bytes more.
    Sent(usize),
    /// So many bytes came in.
    Received(usize),
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
            connections: Vec::new(),
            listeners: [None; 2],
            arrived: VecDeque::new(),
            next: 0,
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
        let Some(id) = self.add(pcb) else { return false };
        self.arrived.push_back((id, service));
        true
    }

    /// Takes over a connection that an attempt has made; `false` when nobody asked for it any more.
    pub(crate) fn connected(&mut self, number: usize, pcb: *mut Pcb) -> bool {
        if !self.openings.awaits(number) {
            return false;
        }
        let Some(id) = self.add(pcb) else { return false };
        self.openings.connected(number, id);
        true
    }

    fn add(&mut self, pcb: *mut Pcb) -> Option<ConnectionId> {
        // A growing table copies itself, so it grows by little; no memory for that refuses one client.
        if self.connections.len() == self.connections.capacity() {
            self.connections.try_reserve_exact(GROWTH).ok()?;
        }
        // Numbers go round, so that a late word about an old connection finds nobody.
        let mut ids = (0..=u16::MAX).map(|step| ConnectionId(self.next.wrapping_add(step)));
        let id = ids.find(|id| !self.connections.iter().any(|connection| connection.id == *id))?;
        self.next = id.0.wrapping_add(1);
        self.connections.push(Connection::new(id, pcb));
        Some(id)
    }

    /// The connection with this number.
    pub(crate) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.id == id)
    }

    /// The next client that the device has not heard of.
    pub(crate) fn arrival(&mut self) -> Option<(ConnectionId, Service)> {
        self.arrived.pop_front()
    }

    /// The next connection with news, from the place `from` of the table on, and the place to go on from. Bytes that
    /// came in are in `buffer` then. A connection that is closed is gone from the table.
    pub(crate) fn news(&mut self, from: &mut usize, buffer: &mut [u8]) -> Option<(ConnectionId, News)> {
        while let Some(connection) = self.connections.get_mut(*from) {
            let id = connection.id;
            let sent = connection.take_acknowledged();
            if sent > 0 {
                return Some((id, News::Sent(sent)));
            }
            let received = connection.take_received(buffer);
            if received > 0 {
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
    pub(crate) fn held(&self) -> u32 {
        self.connections.iter().map(Connection::held).sum()
    }

    /// Whether [`Self::news`] would have anything.
    pub(crate) fn has_news(&self) -> bool {
        !self.arrived.is_empty()
            || self.openings.has_news()
            || self.connections.iter().any(Connection::has_news)
    }

    /// Queues bytes and gives lwIP what it may hold.
    pub(crate) fn send(&mut self, id: ConnectionId, bytes: Bytes) {
        if let Some(connection) = self.connection(id) {
            connection.push(bytes);
        }
    }

    /// Goes on sending, now that the peer has acknowledged something.
    pub(crate) fn flush(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id) {
            connection.flush();
        }
    }

    /// Sends what lwIP takes at once, and closes.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        if let Some(place) = self.connections.iter().position(|connection| connection.id == id) {
            self.connections.swap_remove(place).close();
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
