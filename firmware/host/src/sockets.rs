//! The ports and the connections: non-blocking sockets behind the device's connection numbers.
//!
//! Two lists keep the work per event small, however many connections there are: those that may have something to read,
//! and those with something to send and room for it.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
};

use espbroker_node::{ConnectionId, status::Service};
use mio::{
    Interest, Registry, Token,
    event::Event,
    net::{TcpListener, TcpStream},
};

use crate::{
    connection::{Connection, Read},
    datagrams::SOCKETS_MAX,
};

/// Token of the waker; listeners, UDP sockets and connections follow.
pub(crate) const WAKER: Token = Token(0);
/// First token of the UDP sockets.
pub(crate) const DATAGRAMS: usize = 3;
/// First token that is none of theirs.
pub(crate) const AFTER_DATAGRAMS: usize = DATAGRAMS + SOCKETS_MAX;
const FIRST_CONNECTION: usize = AFTER_DATAGRAMS;
/// First token that is no connection's.
pub(crate) const AFTER_CONNECTIONS: usize = FIRST_CONNECTION + (1 << 16);

/// The device's sockets; `B` is what the bytes to send are kept in.
pub(crate) struct Sockets<B> {
    registry: Registry,
    bind: IpAddr,
    listeners: Vec<Listener>,
    connections: BTreeMap<ConnectionId, Connection<B>>,
    next: ConnectionId,
    /// Connections that may have something to read, each once.
    readable: VecDeque<ConnectionId>,
    /// Connections with something to send and room for it, each once.
    sendable: VecDeque<ConnectionId>,
}

struct Listener {
    service: Service,
    socket: TcpListener,
    acceptable: bool,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The connection is gone and forgotten.
    Closed,
}

impl<B: AsRef<[u8]>> Sockets<B> {
    pub(crate) const fn new(registry: Registry, bind: IpAddr) -> Self {
        Self {
            registry,
            bind,
            listeners: Vec::new(),
            connections: BTreeMap::new(),
            next: ConnectionId(0),
            readable: VecDeque::new(),
            sendable: VecDeque::new(),
        }
    }

    /// Opens a port for a service and returns the real one.
    pub(crate) fn listen(&mut self, service: Service, port: u16) -> io::Result<u16> {
        self.stop_listening(service);
        let mut socket = TcpListener::bind(SocketAddr::new(self.bind, port))?;
        self.registry.register(&mut socket, token_of(service), Interest::READABLE)?;
        let port = socket.local_addr()?.port();
        self.listeners.push(Listener { service, socket, acceptable: false });
        Ok(port)
    }

    pub(crate) fn stop_listening(&mut self, service: Service) {
        for listener in self.listeners.extract_if(.., |listener| listener.service == service) {
            let Listener { mut socket, .. } = listener;
            // Closing the socket takes it off the selector as well.
            let _ = self.registry.deregister(&mut socket);
        }
    }

    /// Notes what the selector says.
    pub(crate) fn mark(&mut self, event: &Event) {
        let token = event.token();
        if let Some(id) = token.0.checked_sub(FIRST_CONNECTION) {
            let id = u16::try_from(id).map(ConnectionId);
            let Some((id, connection)) = id.ok().and_then(|id| Some((id, self.connections.get_mut(&id)?)))
            else {
                return;
            };
            let was_readable = connection.readable;
            connection.mark(event);
            if connection.readable && !was_readable {
                self.readable.push_back(id);
            }
            self.list(id);
        } else if let Some(listener) =
            self.listeners.iter_mut().find(|listener| token_of(listener.service) == token)
        {
            listener.acceptable = true;
        }
    }

    /// The next client that waits to be let in, and the service that it wants.
    pub(crate) fn accept(&mut self) -> Option<(ConnectionId, Service)> {
        loop {
            let listener = self.listeners.iter_mut().find(|listener| listener.acceptable)?;
            let service = listener.service;
            match listener.socket.accept() {
                Ok((stream, _)) => match self.add(stream) {
                    Ok(id) => return Some((id, service)),
                    // It is gone already, or there is no number or memory for it: the client sees it closed.
                    Err(_) => continue,
                },
                Err(error) if is_about_the_client(&error) => {}
                // Nobody waits, or no file descriptor is left; a new client brings the next try.
                Err(_) => listener.acceptable = false,
            }
        }
    }

    /// Takes over a connected stream that is with no selector.
    pub(crate) fn add(&mut self, mut stream: TcpStream) -> io::Result<ConnectionId> {
        // A small answer must not wait for the acknowledgement of the one before it.
        stream.set_nodelay(true)?;
        let id = self.free_id().ok_or(ErrorKind::QuotaExceeded)?;
        let token = Token(usize::from(id.0) + FIRST_CONNECTION);
        self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.connections.insert(id, Connection::new(stream));
        self.readable.push_back(id);
        Ok(id)
    }

    /// Whether there is work that no event will announce.
    pub(crate) fn is_busy(&self) -> bool {
        !self.readable.is_empty()
            || !self.sendable.is_empty()
            || self.listeners.iter().any(|listener| listener.acceptable)
    }

    /// How many connections [`Sockets::receive`] has to look at.
    pub(crate) fn readable(&self) -> usize {
        self.readable.len()
    }

    /// Whether there is such a connection.
    pub(crate) fn contains(&self, id: ConnectionId) -> bool {
        self.connections.contains_key(&id)
    }

    /// Reads once from the next connection that may have something; `None` when it has not after all.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Option<(ConnectionId, Received)> {
        let id = self.readable.pop_front()?;
        let connection = self.connections.get_mut(&id)?;
        let read = connection.read(buffer);
        if connection.readable && read != Read::End {
            self.readable.push_back(id);
        }
        match read {
            Read::Nothing => None,
            Read::Bytes(length) => Some((id, Received::Bytes(length))),
            Read::End => {
                if let Some(connection) = self.connections.remove(&id) {
                    connection.forget(&self.registry);
                }
                Some((id, Received::Closed))
            }
        }
    }

    /// Queues bytes; [`Sockets::flush`] sends them.
    pub(crate) fn send(&mut self, id: ConnectionId, bytes: B) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.send(bytes);
            self.list(id);
        }
    }

    /// Bytes that wait to be sent; 0 where there is no such connection.
    pub(crate) fn waiting(&self, id: ConnectionId) -> usize {
        self.connections.get(&id).map_or(0, Connection::waiting)
    }

    /// Sends once for the next connection that has something waiting and room for it; returns how many bytes the
    /// network took, at least one.
    pub(crate) fn flush(&mut self) -> Option<(ConnectionId, usize)> {
        while let Some(id) = self.sendable.pop_front() {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            connection.listed = false;
            let was_readable = connection.readable;
            let length = connection.write();
            if connection.readable && !was_readable {
                self.readable.push_back(id);
            }
            self.list(id);
            if length > 0 {
                return Some((id, length));
            }
        }
        None
    }

    /// Sends what the network takes at once, and closes.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.remove(&id) {
            connection.close(&self.registry);
        }
    }

    /// Puts a connection that can send on the list, once.
    fn list(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id).filter(|it| it.can_send() && !it.listed) {
            connection.listed = true;
            self.sendable.push_back(id);
        }
    }

    /// Numbers go round, so that a late word about an old connection finds nobody.
    fn free_id(&mut self) -> Option<ConnectionId> {
        let mut ids = (0..=u16::MAX).map(|step| ConnectionId(self.next.0.wrapping_add(step)));
        let id = ids.find(|id| !self.connections.contains_key(id))?;
        self.next = ConnectionId(id.0.wrapping_add(1));
        Some(id)
    }
}

const fn token_of(service: Service) -> Token {
    match service {
        Service::Mqtt => Token(1),
        Service::WebSocket => Token(2),
    }
}

/// Errors of `accept` that concern one client only; the next one may wait behind it.
fn is_about_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests;
