//! [`Frames`]: the client's frames after the opening handshake, and the frames of ours.
//!
//! Implements RFC 6455 §5 and §7.4 for a server without extensions.

use alloc::boxed::Box;

use super::{Scratch, Step, WebSocketError};
use crate::room::{Need, Room};

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Most bytes of a control frame's payload (RFC 6455 §5.5).
const CONTROL_MAX: usize = 125;
/// Most bytes before a payload: two, a length of eight, and the mask.
const HEADER_MAX: usize = 14;

/// Where in its frames the client is.
pub(super) struct Frames {
    part: Part,
    expected: Expected,
}

/// What the next data frame must be.
#[derive(Clone, Copy)]
enum Expected {
    /// The first or only one of a message.
    Message,
    /// The next fragment of a message.
    Continuation,
}

enum Part {
    Header(HeaderBytes),
    Data { missing: u64, mask: [u8; 4] },
    Control(Box<Control>),
}

/// The beginning of a header.
struct HeaderBytes {
    bytes: [u8; HEADER_MAX],
    length: u8,
}

/// A control frame whose end may not have arrived.
struct Control {
    kind: ControlKind,
    mask: [u8; 4],
    length: usize,
    collected: usize,
    payload: [u8; CONTROL_MAX],
}

#[derive(Clone, Copy)]
enum ControlKind {
    Close,
    Ping,
    Pong,
}

/// A whole header of a valid frame.
enum Header {
    Data { next: Expected, length: u64, mask: [u8; 4] },
    Control { kind: ControlKind, length: u8, mask: [u8; 4] },
}

/// A step, and how many bytes at the front of the scratch it is made of.
type Found<'a> = (fn(&'a [u8]) -> Step<'a>, usize);

impl Frames {
    pub(super) const fn new() -> Self {
        Self { part: Part::START, expected: Expected::Message }
    }

    /// Takes the front of `input`. After [`Step::Close`], [`Step::NoMemory`] or an error it is of no use.
    pub(super) fn next<'a>(
        &mut self,
        input: &mut &[u8],
        scratch: &'a mut Scratch,
        room: &mut Room,
    ) -> Result<Step<'a>, WebSocketError> {
        let (step, length): Found<'a> = loop {
            let found = match &mut self.part {
                Part::Data { missing: 0, .. } => {
                    self.part = Part::START;
                    continue;
                }
                _ if input.is_empty() => return Ok(Step::NeedMore),
                Part::Header(begun) => match begun.next(input, self.expected)? {
                    Some(header) => self.begin(&header, input, scratch, room)?,
                    None => None,
                },
                Part::Data { missing, mask } => {
                    let most = usize::try_from(*missing).unwrap_or(usize::MAX);
                    let length = unmask(input, most, mask, scratch);
                    *missing = missing.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
                    Some((Step::Data as fn(&'a [u8]) -> Step<'a>, length))
                }
                Part::Control(control) => {
                    if !control.collect(input) {
                        continue;
                    }
                    let found = control.answer(scratch)?;
                    self.part = Part::START;
                    found
                }
            };
            if let Some(found) = found {
                break found;
            }
        };
        Ok(step(scratch.get(..length).unwrap_or_default()))
    }

    /// Goes on behind `header`, with what has arrived of a control frame.
    fn begin<'a>(
        &mut self,
        header: &Header,
        input: &mut &[u8],
        scratch: &mut Scratch,
        room: &mut Room,
    ) -> Result<Option<Found<'a>>, WebSocketError> {
        match *header {
            Header::Data { next, length, mask } => {
                self.expected = next;
                self.part = Part::Data { missing: length, mask };
            }
            Header::Control { kind, length, mask } => {
                let length = usize::from(length);
                let mut control = Control { kind, mask, length, collected: 0, payload: [0; CONTROL_MAX] };
                if control.collect(input) {
                    self.part = Part::START;
                    return control.answer(scratch);
                }
                if !room.take(size_of::<Control>(), Need::Service) {
                    return Ok(Some((|_| Step::NoMemory, 0)));
                }
                self.part = Part::Control(Box::new(control));
            }
        }
        Ok(None)
    }

    /// Heap bytes in use, without itself.
    pub(super) fn memory(&self) -> usize {
        match &self.part {
            Part::Header { .. } | Part::Data { .. } => 0,
            Part::Control(control) => size_of_val(&**control),
        }
    }
}

impl Part {
    const START: Self = Self::Header(HeaderBytes { bytes: [0; HEADER_MAX], length: 0 });
}

impl HeaderBytes {
    /// Takes bytes from the front of `input` until the header is whole; `None` when `input` is used up.
    fn next(&mut self, input: &mut &[u8], expected: Expected) -> Result<Option<Header>, WebSocketError> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if let Some(next) = self.bytes.get_mut(usize::from(self.length)) {
                *next = byte;
                self.length += 1;
            }
            let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
            if let Some(header) = Header::parse(bytes, expected)? {
                return Ok(Some(header));
            }
        }
        Ok(None)
    }
}

impl Header {
    /// Reads a header as soon as it is whole, and refuses it as soon as it cannot become valid.
    fn parse(bytes: &[u8], expected: Expected) -> Result<Option<Self>, WebSocketError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(WebSocketError::ReservedBits);
        }
        let control = match (first & 0x0f, expected) {
            (BINARY, Expected::Message) | (CONTINUATION, Expected::Continuation) => None,
            (CONTINUATION, Expected::Message) => return Err(WebSocketError::Continuation),
            (BINARY, Expected::Continuation) => return Err(WebSocketError::Interleaved),
            (TEXT, _) => return Err(WebSocketError::Text),
            (CLOSE, _) => Some(ControlKind::Close),
            (PING, _) => Some(ControlKind::Ping),
            (PONG, _) => Some(ControlKind::Pong),
            _ => return Err(WebSocketError::Opcode),
        };
        let last = first & FIN != 0;
        if control.is_some() && !last {
            return Err(WebSocketError::FragmentedControl);
        }
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        if second & MASKED == 0 {
            return Err(WebSocketError::Unmasked);
        }
        let short = second & !MASKED;
        if let Some(kind) = control {
            if usize::from(short) > CONTROL_MAX {
                return Err(WebSocketError::ControlTooLong);
            }
            return Ok(rest.first_chunk().map(|&mask| Self::Control { kind, length: short, mask }));
        }
        let (length, rest) = match short {
            126 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                let length = u64::from(u16::from_be_bytes(*length));
                if length < 126 {
                    return Err(WebSocketError::LengthNotMinimal);
                }
                (length, rest)
            }
            127 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                let length = u64::from_be_bytes(*length);
                if length > u64::MAX / 2 {
                    return Err(WebSocketError::Length);
                }
                if length <= u64::from(u16::MAX) {
                    return Err(WebSocketError::LengthNotMinimal);
                }
                (length, rest)
            }
            _ => (u64::from(short), rest),
        };
        let next = if last { Expected::Message } else { Expected::Continuation };
        Ok(rest.first_chunk().map(|&mask| Self::Data { next, length, mask }))
    }
}

impl Control {
    /// Takes what has arrived of the payload; whether that is all of it.
    fn collect(&mut self, input: &mut &[u8]) -> bool {
        let free = self.payload.get_mut(self.collected..self.length).unwrap_or_default();
        self.collected += unmask(input, free.len(), &mut self.mask, free);
        self.collected == self.length
    }

    /// Writes the frame that answers this one, if any, to `scratch`.
    fn answer<'a>(&self, scratch: &mut Scratch) -> Result<Option<Found<'a>>, WebSocketError> {
        let payload = self.payload.get(..self.length).unwrap_or_default();
        match self.kind {
            ControlKind::Pong => Ok(None),
            ControlKind::Ping => {
                let [first, second, rest @ ..] = scratch;
                *first = FIN | PONG;
                // At most 125.
                *second = u8::try_from(self.length).unwrap_or_default();
                for (to, byte) in rest.iter_mut().zip(payload) {
                    *to = *byte;
                }
                Ok(Some((Step::Pong, 2 + payload.len())))
            }
            ControlKind::Close => {
                let length = match payload {
                    [] => put(scratch, &[FIN | CLOSE, 0]),
                    [_] => return Err(WebSocketError::TruncatedCloseCode),
                    [high, low, reason @ ..] => {
                        let code = u16::from_be_bytes([*high, *low]);
                        if !may_be_sent(code) {
                            return Err(WebSocketError::CloseCode(code));
                        }
                        core::str::from_utf8(reason).map_err(|_| WebSocketError::CloseReasonNotUtf8)?;
                        put(scratch, &closing(code))
                    }
                };
                Ok(Some((Step::Close, length)))
            }
        }
    }
}

/// Whether `code` may stand in a closing frame: RFC 6455 §7.4.1, what IANA added to it, and the ranges for libraries
/// and applications (§7.4.2).
const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Moves up to `most` bytes from the front of `input` to the front of `output`, unmasked; how many.
///
/// `mask` is turned, so that its first byte belongs to the next byte of the payload (RFC 6455 §5.3).
fn unmask(input: &mut &[u8], most: usize, mask: &mut [u8; 4], output: &mut [u8]) -> usize {
    let length = most.min(input.len()).min(output.len());
    let Some((front, rest)) = input.split_at_checked(length) else { return 0 };
    *input = rest;
    for ((to, from), key) in output.iter_mut().zip(front).zip(mask.iter().cycle()) {
        *to = from ^ key;
    }
    mask.rotate_left(length % 4);
    length
}

/// Copies a short frame to the front of `scratch`; its length.
pub(super) fn put(scratch: &mut Scratch, frame: &[u8]) -> usize {
    for (to, byte) in scratch.iter_mut().zip(frame) {
        *to = *byte;
    }
    frame.len()
}

/// A closing frame with a status code and no reason.
pub(super) const fn closing(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [FIN | CLOSE, 2, high, low]
}

/// The header of a binary frame of ours: 2 bytes, 4 from a payload of 126 bytes, 10 from 65,536 bytes.
pub(crate) struct DataHeader {
    bytes: [u8; 10],
    length: u8,
}

impl core::ops::Deref for DataHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// The header of a frame that is a whole binary message of `length` bytes; a server does not mask (RFC 6455 §5.1).
pub(super) fn data_header(length: usize) -> DataHeader {
    const FIRST: u8 = FIN | BINARY;
    if let Ok(short @ 0..=125) = u8::try_from(length) {
        DataHeader { bytes: [FIRST, short, 0, 0, 0, 0, 0, 0, 0, 0], length: 2 }
    } else if let Ok(length) = u16::try_from(length) {
        let [a, b] = length.to_be_bytes();
        DataHeader { bytes: [FIRST, 126, a, b, 0, 0, 0, 0, 0, 0], length: 4 }
    } else {
        let [a, b, c, d, e, f, g, h] = u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes();
        DataHeader { bytes: [FIRST, 127, a, b, c, d, e, f, g, h], length: 10 }
    }
}
