//! [`WebSocket`]: MQTT over WebSocket for one connection, from the client's first byte to the closing frame.
//!
//! Implements the server's side of RFC 6455 and MQTT 3.1.1 §6. A frame is not collected: what arrives of it is
//! unmasked and handed on, so the longest frame costs no more memory than the shortest, and a control packet may
//! lie in as many frames as the client likes ([MQTT-6.0.0-2]). Only a control frame, at most 125 bytes, waits for
//! its end.
//!
//! Left out: extensions, so no reserved bit is ever valid; pings of our own, since PINGREQ does their work; the
//! reason in a closing frame of the client, which is checked and dropped.
mod error;
mod frame;
mod handshake;
#[cfg(test)]
mod tests;
mod word;

use alloc::boxed::Box;
use core::fmt;

use frame::{DataHeader, Frames};
use handshake::Handshake;

use crate::room::Room;

pub use error::WebSocketError;

/// Where one step puts its bytes. Holds every answer whole; data comes in pieces of this length.
pub(crate) type Scratch = [u8; 256];

/// The WebSocket of one connection.
pub(crate) struct WebSocket {
    state: State,
}

enum State {
    Handshake(Box<Handshake>),
    Open(Frames),
    /// After a closing frame in either direction, or an error. What else arrives is dropped (RFC 6455 §5.5.1).
    Closed,
}

/// What the front of the input was. The bytes lie in the scratch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// All of the input is used.
    NeedMore,
    /// The opening handshake is done: this answer is to be sent.
    Upgraded(&'a [u8]),
    /// The next bytes of the MQTT stream, at least one.
    Data(&'a [u8]),
    /// A ping: this frame is to be sent.
    Pong(&'a [u8]),
    /// The client closes: this frame is to be sent and the connection to be closed.
    Close(&'a [u8]),
    /// A control frame has to wait for its end, and there is no memory for that.
    NoMemory,
}

impl WebSocket {
    /// Heap bytes of a new one.
    pub(crate) const MEMORY: usize = size_of::<Self>() + size_of::<Handshake>();

    /// Waits for the client's opening handshake.
    pub(crate) fn new() -> Self {
        Self { state: State::Handshake(Box::new(Handshake::new())) }
    }

    /// Takes the front of `input`. To be called until [`Step::NeedMore`].
    ///
    /// After an error [`WebSocketError::answer`] is to be sent and the connection to be closed.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &[u8],
        scratch: &'a mut Scratch,
        room: &mut Room,
    ) -> Result<Step<'a>, WebSocketError> {
        let step = match &mut self.state {
            State::Handshake(handshake) => match handshake.next(input) {
                Ok(None) => Ok(Step::NeedMore),
                Ok(Some(upgrade)) => {
                    self.state = State::Open(Frames::new());
                    Ok(Step::Upgraded(upgrade.answer(scratch)))
                }
                Err(error) => Err(error),
            },
            State::Open(frames) => frames.next(input, scratch, room),
            State::Closed => {
                *input = &[];
                Ok(Step::NeedMore)
            }
        };
        if matches!(step, Err(_) | Ok(Step::Close(_))) {
            self.state = State::Closed;
        }
        step
    }

    /// The closing frame that ends the connection from our side, with a status code of RFC 6455 §7.4.1.
    ///
    /// `None` if the client could not read it: before the end of the handshake, or after a closing frame.
    pub(crate) fn close(&mut self, code: u16) -> Option<[u8; 4]> {
        match core::mem::replace(&mut self.state, State::Closed) {
            State::Open(_) => Some(frame::closing(code)),
            State::Handshake(_) | State::Closed => None,
        }
    }

    /// The header of a frame that carries `length` bytes of the MQTT stream to the client: one frame for each packet.
    pub(crate) fn data_header(length: usize) -> DataHeader {
        frame::data_header(length)
    }

    /// Heap bytes in use, itself included.
    pub(crate) fn memory(&self) -> usize {
        let waiting = match &self.state {
            State::Handshake(handshake) => size_of_val(&**handshake),
            State::Open(frames) => frames.memory(),
            State::Closed => 0,
        };
        size_of::<Self>() + waiting
    }
}

/// Writes `text` to the front of `scratch`, which every answer fits; its length, or 0 if it did not.
fn write(scratch: &mut Scratch, text: fmt::Arguments<'_>) -> usize {
    struct Front<'a> {
        scratch: &'a mut Scratch,
        length: usize,
    }

    impl fmt::Write for Front<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = self.length + text.len();
            self.scratch.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
            self.length = end;
            Ok(())
        }
    }

    let mut front = Front { scratch, length: 0 };
    fmt::write(&mut front, text).map_or(0, |()| front.length)
}
