//! The port and the connections: non-blocking sockets behind the device's connection numbers.
//!
//! Readiness is edge-triggered, so each socket remembers what it was last known to be ready for until it says that it
//! would block.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr},
};

use espbroker_node::{Bytes, ConnectionId};
use mio::{
    Interest, Registry, Token,
    event::Event,
    net::{TcpListener, TcpStream},
};

/// Token of the waker; connections follow the listener's.
pub(crate) const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
const FIRST_CONNECTION: usize = 2;

/// Pieces that are read away from a connection that is being closed: as much as an honest client has on its way. One
/// that sends without end must not keep the device here.
const LAST_PIECES: usize = 16;

/// The device's sockets.
pub(crate) struct Sockets {
    registry: Registry,
    bind: IpAddr,
    listener: Option<TcpListener>,
    acceptable: bool,
    connections: BTreeMap<ConnectionId, Connection>,
    next: ConnectionId,
}

struct Connection {
    stream: TcpStream,
    readable: bool,
    writable: bool,
    outgoing: VecDeque<Bytes>,
    /// Bytes of the first that the network has taken.
    taken: usize,
}

/// What came of reading or writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The connection is gone and forgotten.
    Closed,
}

impl Sockets {
    pub(crate) const fn new(registry: Registry, bind: IpAddr) -> Self {
        Self {
            registry,
            bind,
            listener: None,
            acceptable: false,
            connections: BTreeMap::new(),
            next: ConnectionId(0),
        }
    }

    /// Opens the port and returns the real one.
    pub(crate) fn listen(&mut self, port: u16) -> io::Result<u16> {
        self.stop_listening();
        let mut listener = TcpListener::bind(SocketAddr::new(self.bind, port))?;
        self.registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        let port = listener.local_addr()?.port();
        self.listener = Some(listener);
        Ok(port)
    }

    pub(crate) fn stop_listening(&mut self) {
        if let Some(mut listener) = self.listener.take() {
            // Closing the socket takes it off the selector as well.
            let _ = self.registry.deregister(&mut listener);
        }
        self.acceptable = false;
    }

    /// Notes what the selector says.
    pub(crate) fn mark(&mut self, event: &Event) {
        match event.token() {
            LISTENER => self.acceptable = true,
            Token(token) => {
                let id = token.checked_sub(FIRST_CONNECTION).and_then(|id| u16::try_from(id).ok());
                if let Some(connection) = id.and_then(|id| self.connections.get_mut(&ConnectionId(id))) {
                    connection.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
                    connection.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
                }
            }
        }
    }

    /// The next client that waits to be let in.
    pub(crate) fn accept(&mut self) -> Option<ConnectionId> {
        while self.acceptable {
            let accepted = self.listener.as_ref()?.accept();
            match accepted {
                Ok((stream, _)) => match self.add(stream) {
                    Ok(id) => return Some(id),
                    // It is gone already, or there is no number or memory for it: the client sees it closed.
                    Err(_) => continue,
                },
                Err(error) if is_about_the_client(&error) => {}
                // Nobody waits, or no file descriptor is left; a new client brings the next try.
                Err(_) => self.acceptable = false,
            }
        }
        None
    }

    /// Connections with something to read.
    pub(crate) fn readable(&self) -> Vec<ConnectionId> {
        self.connections.iter().filter(|(_, connection)| connection.readable).map(|(&id, _)| id).collect()
    }

    /// Reads once from one of them; `None` when there is nothing after all.
    pub(crate) fn receive(&mut self, id: ConnectionId, buffer: &mut [u8]) -> Option<Transfer> {
        let connection = self.connections.get_mut(&id)?;
        match connection.stream.read(buffer) {
            Ok(0) => Some(self.forget(id)),
            Ok(length) => Some(Transfer::Bytes(length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                connection.readable = false;
                None
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => None,
            Err(_) => Some(self.forget(id)),
        }
    }

    /// Queues bytes; [`Sockets::flush`] sends them.
    pub(crate) fn send(&mut self, id: ConnectionId, bytes: Bytes) {
        if let Some(connection) = self.connections.get_mut(&id).filter(|_| !bytes.is_empty()) {
            connection.outgoing.push_back(bytes);
        }
    }

    /// Sends once for some connection that has something waiting and room for it.
    pub(crate) fn flush(&mut self) -> Option<(ConnectionId, Transfer)> {
        loop {
            let mut connections = self.connections.iter_mut();
            let (&id, connection) =
                connections.find(|(_, connection)| connection.writable && !connection.outgoing.is_empty())?;
            match connection.write() {
                Ok(length) => return Some((id, Transfer::Bytes(length))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => connection.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Some((id, self.forget(id))),
            }
        }
    }

    /// Sends what the network takes at once, and closes.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        let Some(mut connection) = self.connections.remove(&id) else { return };
        while !connection.outgoing.is_empty() && connection.write().is_ok_and(|length| length > 0) {}
        // The end of the stream follows the last answer. What the client has sent meanwhile is read away, because a
        // socket closed over unread bytes resets the connection, and a reset may overtake that answer.
        let _ = connection.stream.shutdown(Shutdown::Write);
        let mut rest = [0; 2048];
        for _ in 0..LAST_PIECES {
            if !connection.stream.read(&mut rest).is_ok_and(|length| length > 0) {
                break;
            }
        }
        let _ = self.registry.deregister(&mut connection.stream);
    }

    fn add(&mut self, mut stream: TcpStream) -> io::Result<ConnectionId> {
        // A small answer must not wait for the acknowledgement of the one before it.
        stream.set_nodelay(true)?;
        let id = self.free_id().ok_or(ErrorKind::QuotaExceeded)?;
        let token = Token(usize::from(id.0) + FIRST_CONNECTION);
        self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let outgoing = VecDeque::new();
        self.connections
            .insert(id, Connection { stream, readable: true, writable: true, outgoing, taken: 0 });
        Ok(id)
    }

    /// Numbers go round, so that a late word about an old connection finds nobody.
    fn free_id(&mut self) -> Option<ConnectionId> {
        let ids = (0..=u16::MAX).map(|step| ConnectionId(self.next.0.wrapping_add(step)));
        let id = ids.into_iter().find(|id| !self.connections.contains_key(id))?;
        self.next = ConnectionId(id.0.wrapping_add(1));
        Some(id)
    }

    fn forget(&mut self, id: ConnectionId) -> Transfer {
        if let Some(mut connection) = self.connections.remove(&id) {
            let _ = self.registry.deregister(&mut connection.stream);
        }
        Transfer::Closed
    }
}

impl Connection {
    /// Writes of the first piece what the network takes.
    fn write(&mut self) -> io::Result<usize> {
        let Some(first) = self.outgoing.front() else { return Ok(0) };
        let rest = first.get(self.taken..).unwrap_or_default();
        let length = self.stream.write(rest)?;
        if length == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        if length == rest.len() {
            self.outgoing.pop_front();
            self.taken = 0;
        } else {
            self.taken += length;
        }
        Ok(length)
    }
}

/// Errors of `accept` that concern one client only; the next one may wait behind it.
fn is_about_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream as Client};

    use mio::Poll;

    use super::*;

    /// Whether a client that has sent `bytes`, or as much of them as the network takes, is reset by the close.
    fn is_reset_after(bytes: &[u8]) -> bool {
        let poll = Poll::new().unwrap();
        let mut sockets = Sockets::new(poll.registry().try_clone().unwrap(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = sockets.listen(0).unwrap();
        let mut client = Client::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        client.set_nonblocking(true).unwrap();
        let mut rest = bytes;
        while let Ok(length @ 1..) = client.write(rest) {
            rest = &rest[length..];
        }
        sockets.acceptable = true;
        let id = sockets.accept().unwrap();
        sockets.close(id);
        client.write(b"x").is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
    }

    #[test]
    fn what_a_client_still_sends_is_read_away_up_to_a_bound() {
        assert!(!is_reset_after(&[0; 10_000]), "an answer could be lost");
        assert!(is_reset_after(&vec![0; 4 << 20]), "a flood is not read to its end");
    }
}
