//! Frames as text, for the serial console.
//!
//! A request is the command `admin` and the frame in base64 (RFC 4648 §4, without padding) on one line of at most
//! [`LINE_MAX`] bytes. The reply comes in status lines of kind `admin` with at most [`PART_MAX`] bytes each: `part`
//! counts from 1 to `of`, `data` is base64 of that part.

use alloc::{string::String, vec::Vec};

use base64ct::{Base64Unpadded, Encoding as _};

use crate::frame::FRAME_MAX;

/// The command.
pub const COMMAND: &str = "admin ";
/// Longest line of a request, without its line end.
pub const LINE_MAX: usize = COMMAND.len() + FRAME_MAX.div_ceil(3) * 4;
/// Bytes of a reply in one status line.
pub const PART_MAX: usize = 192;

/// The line of a request, without line end.
pub fn line(frame: &[u8]) -> String {
    let mut line = String::from(COMMAND);
    line.push_str(&text(frame));
    line
}

/// Bytes as base64.
pub fn text(bytes: &[u8]) -> String {
    Base64Unpadded::encode_string(bytes)
}

/// Base64 as bytes; `None` when it is none.
pub fn bytes(text: &[u8]) -> Option<Vec<u8>> {
    // Written with padding by hand, it is the same.
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    Base64Unpadded::decode_vec(core::str::from_utf8(text.get(..end)?).ok()?).ok()
}

/// Puts the parts of a reply together.
#[derive(Debug, Default)]
pub struct Parts {
    bytes: Vec<u8>,
    /// Parts that have come in order.
    parts: u16,
}

impl Parts {
    /// Takes a part; gives the frame when it was the last. The first part begins anew, and one that does not follow the
    /// one before is left out, so that the frame will not be given.
    pub fn push(&mut self, part: u16, of: u16, data: &[u8]) -> Option<Vec<u8>> {
        if part == 1 {
            *self = Self::default();
        }
        if part != self.parts.saturating_add(1) || part > of || self.bytes.len() + data.len() > FRAME_MAX {
            return None;
        }
        self.bytes.extend_from_slice(data);
        self.parts = part;
        (part == of).then(|| core::mem::take(self).bytes)
    }
}
