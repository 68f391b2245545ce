//! [`Connection`]: one non-blocking socket, what is known about its readiness, and what waits to be sent.
//!
//! Readiness is edge-triggered, so a connection remembers what it was last known to be ready for until it turns out
//! otherwise.

use std::{
    collections::VecDeque,
    io::{ErrorKind, IoSlice, Read as _, Write as _},
    net::Shutdown,
};

use mio::{
    Registry,
    event::{Event, Source as _},
    net::TcpStream,
};

/// Parts handed to the network at once; with three or four parts a packet, some twenty packets.
const PARTS: usize = 64;
/// Bytes handed to the network at once, before others have their turn.
const BYTES: usize = 65_536;

/// Pieces that are read away from a connection that is being closed: as much as an honest client has on its way. One
/// that sends without end must not keep the device here.
const LAST_PIECES: usize = 16;

/// Whether a transfer of fewer bytes than asked for tells that the next one would block. That is so where mio waits
/// with epoll or kqueue (epoll(7), "Questions and answers"); elsewhere only an answer of `WouldBlock` brings the next
/// event.
const SHORT_IS_DRAINED: bool =
    cfg!(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "freebsd"));

/// `B` is what the bytes to send are kept in.
pub(crate) struct Connection<B> {
    stream: TcpStream,
    /// There may be something to read; such a connection stands in the list of those.
    pub(crate) readable: bool,
    /// There may be room to write.
    writable: bool,
    /// The selector has announced the end of what the client sends, and will not do so again.
    end_announced: bool,
    /// Writing has failed: what the client sent before can still be read, nothing more can be sent.
    broken: bool,
    /// Stands in the list of connections with something to send.
    pub(crate) listed: bool,
    outgoing: VecDeque<B>,
    /// Bytes of the first that the network has taken.
    taken: usize,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nothing ever again.
    End,
}

impl<B: AsRef<[u8]>> Connection<B> {
    /// A connection that may be readable and writable.
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            readable: true,
            writable: true,
            end_announced: false,
            broken: false,
            listed: false,
            outgoing: VecDeque::new(),
            taken: 0,
        }
    }

    /// Notes what the selector says.
    pub(crate) fn mark(&mut self, event: &Event) {
        self.end_announced |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Whether there is something to send and perhaps room for it.
    pub(crate) fn can_send(&self) -> bool {
        self.writable && !self.outgoing.is_empty()
    }

    /// Bytes that wait to be sent.
    pub(crate) fn waiting(&self) -> usize {
        let bytes: usize = self.outgoing.iter().map(|bytes| bytes.as_ref().len()).sum();
        bytes.saturating_sub(self.taken)
    }

    /// Whether nothing can be sent any more.
    #[cfg(test)]
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Queues bytes; [`Connection::write`] sends them.
    pub(crate) fn send(&mut self, bytes: B) {
        if !self.broken && !bytes.as_ref().is_empty() {
            self.outgoing.push_back(bytes);
        }
    }

    /// Reads once.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Read {
        match self.stream.read(buffer) {
            Ok(0) => Read::End,
            Ok(length) => {
                let drained =
                    SHORT_IS_DRAINED && length < buffer.len() && !self.end_announced && !self.broken;
                self.readable = !drained;
                Read::Bytes(length)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Read::Nothing,
            Err(error) if error.kind() == ErrorKind::WouldBlock && !self.broken => {
                self.readable = false;
                Read::Nothing
            }
            Err(_) => Read::End,
        }
    }

    /// Writes once what waits, as much of it as one call and the network take; returns how many bytes that was.
    ///
    /// A failure does not end the connection here: the client may have sent its last message and gone, and that
    /// message waits to be read. Reading finds the end.
    pub(crate) fn write(&mut self) -> usize {
        let mut parts = [IoSlice::new(&[]); PARTS];
        let (mut count, mut offered) = (0, 0);
        let mut skipped = self.taken;
        for (place, bytes) in parts.iter_mut().zip(&self.outgoing) {
            let rest = bytes.as_ref().get(skipped..).unwrap_or_default();
            skipped = 0;
            *place = IoSlice::new(rest);
            count += 1;
            offered += rest.len();
            if offered >= BYTES {
                break;
            }
        }
        let written = match parts.get(..count).unwrap_or_default() {
            // Cheaper than a list of one.
            [part] => self.stream.write(part),
            parts => self.stream.write_vectored(parts),
        };
        match written {
            Ok(length @ 1..) => {
                self.writable = !SHORT_IS_DRAINED || length == offered;
                self.sent(length);
                length
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.writable = false;
                0
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Ok(0) | Err(_) => {
                self.broken = true;
                self.readable = true;
                self.outgoing.clear();
                0
            }
        }
    }

    /// Drops what the network has taken.
    fn sent(&mut self, length: usize) {
        let mut left = self.taken + length;
        while let Some(first) =
            self.outgoing.front().map(|first| first.as_ref().len()).filter(|length| *length <= left)
        {
            left -= first;
            self.outgoing.pop_front();
        }
        self.taken = left;
    }

    /// Sends what the network takes at once, and closes.
    pub(crate) fn close(mut self, registry: &Registry) {
        while self.can_send() && self.write() > 0 {}
        // The end of the stream follows the last answer. What the client has sent meanwhile is read away, because a
        // socket closed over unread bytes resets the connection, and a reset may overtake that answer.
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut rest = [0; 2048];
        for _ in 0..LAST_PIECES {
            if !matches!(self.read(&mut rest), Read::Bytes(_)) {
                break;
            }
        }
        self.forget(registry);
    }

    /// Closes a connection that is gone.
    pub(crate) fn forget(mut self, registry: &Registry) {
        // Closing the socket takes it off the selector as well.
        let _ = self.stream.deregister(registry);
    }
}
