//! [`Admin`]: connections of the administration on the MQTT port, and the guard before its key.
//!
//! The first byte of a connection tells it from MQTT. There is one at a time; one that has nothing under way makes room
//! for the next. A frame is collected while the heap has room for it, its config decoded and the sector made of it, and
//! must be whole within [`PATIENCE`]. What a client sends between a frame and its reply is dropped.

use alloc::{collections::VecDeque, rc::Rc, vec::Vec};
use core::time::Duration;

use espbroker_admin::{FIRST_BYTE, FrameError, FrameReader, Plain, device::Sealer};

use crate::{
    Instant,
    interface::{BootInfo, ConnectionId, Input, Output},
    online::Online,
    server::Server,
};

/// For a frame, and between two of them.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a reply that are given to the network at once.
const PIECE: usize = 1024;
/// Memory that a frame needs to be dealt with, as a multiple of its length: on the emulated CPU a config of 3,192 bytes,
/// most of it accounts, took 17,600 for a moment.
const COPIES: usize = 6;
/// Frames that may fail to open at once, and how long until one more may.
const WRONG_KEYS: u8 = 10;
const WRONG_KEY_REFILL: Duration = Duration::from_secs(1);

/// The administration's end of the network.
pub(crate) struct Admin {
    pub(crate) sealer: Sealer,
    link: Option<Link>,
    pub(crate) wrong_keys: u32,
    left: u8,
    refilled: Instant,
}

struct Link {
    connection: ConnectionId,
    reader: FrameReader,
    until: Instant,
    /// What the network has not been given yet of a reply, and how much of the rest it has not taken.
    unsent: Vec<u8>,
    in_flight: usize,
}

impl Admin {
    pub(crate) const fn new(seed: u64) -> Self {
        let (left, refilled) = (WRONG_KEYS, Instant::ZERO);
        Self { sealer: Sealer::new(seed), link: None, wrong_keys: 0, left, refilled }
    }

    /// Whether frames come over this connection.
    fn has(&self, connection: ConnectionId) -> bool {
        self.link.as_ref().is_some_and(|link| link.connection == connection)
    }

    /// Takes what concerns connections of the administration; gives a whole frame, to which a reply is due. What is for
    /// nobody else either is left for the broker, which does not know these connections.
    pub(crate) fn handle(
        &mut self,
        input: &Input<'_>,
        online: &mut Online,
        info: &BootInfo,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) -> Option<Vec<u8>> {
        match *input {
            Input::Received { connection, bytes } => {
                if online.server.begins_with(FIRST_BYTE, connection, bytes) {
                    online.server.release(connection, now, outputs);
                    self.begin(connection, &mut online.server, now, outputs);
                }
                if !self.has(connection) {
                    return None;
                }
                let longest = longest(online, info);
                self.received(bytes, longest, &mut online.server, outputs)
            }
            Input::Sent { connection, bytes } if self.has(connection) => {
                self.sent(bytes, outputs);
                None
            }
            _ => None,
        }
    }

    /// Takes a connection over from the broker.
    fn begin(
        &mut self,
        connection: ConnectionId,
        server: &mut Server,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) {
        if self.link.as_ref().is_some_and(|link| !link.is_idle()) {
            send(connection, Plain::Busy.frame(), outputs);
            server.end(connection, outputs);
            return;
        }
        self.end(server, outputs);
        let reader = FrameReader::default();
        self.link =
            Some(Link { connection, reader, until: now + PATIENCE, unsent: Vec::new(), in_flight: 0 });
    }

    /// Takes bytes of the connection that is there; gives a whole frame, of at most `longest` bytes.
    fn received(
        &mut self,
        bytes: &[u8],
        longest: usize,
        server: &mut Server,
        outputs: &mut VecDeque<Output>,
    ) -> Option<Vec<u8>> {
        let link = self.link.as_mut()?;
        if !link.unsent.is_empty() {
            return None;
        }
        let refusal = match link.reader.push(bytes) {
            Ok((Some(frame), _)) => return Some(frame),
            Ok((None, _)) => match link.reader.expected() {
                Some(length) if length > longest => Some(Plain::Busy),
                _ => return None,
            },
            Err(FrameError::TooLong(_)) => Some(Plain::TooLong),
            Err(FrameError::Version(_)) => Some(Plain::Version),
            Err(FrameError::Magic) => None,
        };
        if let Some(refusal) = refusal {
            send(link.connection, refusal.frame(), outputs);
        }
        self.end(server, outputs);
        None
    }

    /// Sends the reply to the frame that was received last.
    pub(crate) fn reply(&mut self, frame: Vec<u8>, now: Instant, outputs: &mut VecDeque<Output>) {
        if let Some(link) = &mut self.link {
            link.until = now + PATIENCE;
            link.unsent = frame;
            link.send(outputs);
        }
    }

    /// The network has taken bytes.
    fn sent(&mut self, bytes: usize, outputs: &mut VecDeque<Output>) {
        if let Some(link) = &mut self.link {
            link.in_flight = link.in_flight.saturating_sub(bytes);
            link.send(outputs);
        }
    }

    /// Closes a connection that takes too long, and forgets one that is gone.
    pub(crate) fn poll(&mut self, server: &mut Server, now: Instant, outputs: &mut VecDeque<Output>) {
        if self.link.as_ref().is_some_and(|link| now >= link.until || !server.has(link.connection)) {
            self.end(server, outputs);
        }
    }

    /// When [`Self::poll`] has something to do.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.link.as_ref().map(|link| link.until)
    }

    /// Whether a frame may be opened now: after ten under a wrong key, one a second. That is for the chip's time, which
    /// the broker needs; the key is too long to be guessed.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        let more = now.saturating_sub(self.refilled).as_secs() / WRONG_KEY_REFILL.as_secs();
        if more > 0 {
            self.left = u8::try_from(more).unwrap_or(WRONG_KEYS).saturating_add(self.left).min(WRONG_KEYS);
            self.refilled = now;
        }
        self.left > 0
    }

    /// A frame could not be opened.
    pub(crate) const fn failed(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.wrong_keys = self.wrong_keys.saturating_add(1);
    }

    fn end(&mut self, server: &mut Server, outputs: &mut VecDeque<Output>) {
        if let Some(link) = self.link.take() {
            server.end(link.connection, outputs);
        }
    }
}

impl Link {
    fn is_idle(&self) -> bool {
        self.reader.is_empty() && self.unsent.is_empty()
    }

    fn send(&mut self, outputs: &mut VecDeque<Output>) {
        if self.in_flight > 0 || self.unsent.is_empty() {
            return;
        }
        let rest = self.unsent.split_off(self.unsent.len().min(PIECE));
        let piece = core::mem::replace(&mut self.unsent, rest);
        self.in_flight = piece.len();
        send(self.connection, piece, outputs);
    }
}

/// Length of the longest frame that the memory is enough for.
pub(crate) fn longest(online: &Online, info: &BootInfo) -> usize {
    usize::try_from(online.free().saturating_sub(info.heap_floor)).unwrap_or(usize::MAX) / COPIES
}

fn send(connection: ConnectionId, bytes: Vec<u8>, outputs: &mut VecDeque<Output>) {
    outputs.push_back(Output::Send { connection, bytes: Rc::<[u8]>::from(bytes).into() });
}
