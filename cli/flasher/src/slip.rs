//! SLIP frames: `C0 … C0` with `C0` and `DB` escaped inside.
//!
//! Implements RFC 1055 as the ESP8266 boot ROM and the flasher stubs use it: every frame starts and ends with END,
//! and an empty frame means nothing. Bytes before the first END (a boot log, say) are skipped; bytes between two
//! frames come out as a frame of their own, so that one lost END costs one frame and never the rest of the stream.

/// Ends a frame, and starts one.
pub const END: u8 = 0xC0;
/// Announces an escaped byte.
pub const ESCAPE: u8 = 0xDB;
/// Stands for [`END`] after [`ESCAPE`].
pub const ESCAPED_END: u8 = 0xDC;
/// Stands for [`ESCAPE`] after [`ESCAPE`].
pub const ESCAPED_ESCAPE: u8 = 0xDD;

/// Wraps `payload` into one frame.
pub fn encode(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 2 + payload.len() / 64);
    frame.push(END);
    for &byte in payload {
        match byte {
            END => frame.extend([ESCAPE, ESCAPED_END]),
            ESCAPE => frame.extend([ESCAPE, ESCAPED_ESCAPE]),
            _ => frame.push(byte),
        }
    }
    frame.push(END);
    frame
}

/// Why a frame was thrown away; the decoder goes on with the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlipError {
    /// ESCAPE was followed by a byte that escapes nothing.
    #[error("invalid escape in SLIP frame: {0:#04x}")]
    InvalidEscape(u8),
    /// The frame grew past the decoder's limit.
    #[error("SLIP frame is longer than its limit: {0}")]
    TooLong(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No END seen yet.
    Outside,
    Inside,
    Escaped,
    /// The frame is lost; wait for the END behind it.
    Skipping,
}

/// Takes bytes one at a time and gives back whole frames.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    frame: Vec<u8>,
    limit: usize,
}

impl Decoder {
    /// A decoder that refuses frames of more than `limit` unescaped bytes.
    pub const fn new(limit: usize) -> Self {
        Self { state: State::Outside, frame: Vec::new(), limit }
    }

    /// Takes the next byte; gives the frame that it ended, or the reason why that frame is lost.
    ///
    /// # Errors
    /// A [`SlipError`] once per damaged frame, at the byte that damaged it.
    pub fn push(&mut self, byte: u8) -> Result<Option<Vec<u8>>, SlipError> {
        match (self.state, byte) {
            (State::Inside, END) if !self.frame.is_empty() => {
                return Ok(Some(std::mem::take(&mut self.frame)));
            }
            (_, END) => {
                self.frame.clear();
                self.state = State::Inside;
            }
            (State::Outside | State::Skipping, _) => {}
            (State::Inside, ESCAPE) => self.state = State::Escaped,
            (State::Inside, _) => return self.keep(byte),
            (State::Escaped, ESCAPED_END) => return self.keep(END),
            (State::Escaped, ESCAPED_ESCAPE) => return self.keep(ESCAPE),
            (State::Escaped, _) => {
                self.skip();
                return Err(SlipError::InvalidEscape(byte));
            }
        }
        Ok(None)
    }

    /// Forgets a half-received frame, as after a reset of the line.
    pub fn reset(&mut self) {
        self.frame.clear();
        self.state = State::Outside;
    }

    fn keep(&mut self, byte: u8) -> Result<Option<Vec<u8>>, SlipError> {
        if self.frame.len() >= self.limit {
            self.skip();
            return Err(SlipError::TooLong(self.limit));
        }
        self.frame.push(byte);
        self.state = State::Inside;
        Ok(None)
    }

    fn skip(&mut self) {
        self.frame.clear();
        self.state = State::Skipping;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Result<Vec<u8>, SlipError>> {
        let mut decoder = Decoder::new(1 << 16);
        bytes.iter().filter_map(|&byte| decoder.push(byte).transpose()).collect()
    }

    #[test]
    fn end_and_escape_are_escaped_inside_a_frame() {
        assert_eq!(encode(&[1, 0xC0, 0xDB, 2]), [0xC0, 1, 0xDB, 0xDC, 0xDB, 0xDD, 2, 0xC0]);
    }

    #[test]
    fn a_boot_log_before_the_first_frame_is_skipped() {
        let mut bytes = b"\r\n ets Jan  8 2013,rst cause:2\r\n".to_vec();
        bytes.extend(encode(b"OHAI"));
        assert_eq!(decode(&bytes), [Ok(b"OHAI".to_vec())]);
    }

    #[test]
    fn a_lost_end_costs_one_frame_and_not_the_next() {
        let mut bytes = encode(b"one");
        bytes.pop();
        bytes.extend(encode(b"two"));
        assert_eq!(decode(&bytes), [Ok(b"one".to_vec()), Ok(b"two".to_vec())]);
        let without_start = [&b"one\xC0"[..], &encode(b"two")].concat();
        assert_eq!(decode(&without_start), [Ok(b"two".to_vec())]);
    }

    #[test]
    fn a_bad_escape_is_reported_once_and_the_next_frame_is_whole() {
        let bytes = [&[0xC0, 1, 0xDB, 0x33, 4, 5, 0xC0][..], &encode(b"ok")].concat();
        assert_eq!(decode(&bytes), [Err(SlipError::InvalidEscape(0x33)), Ok(b"ok".to_vec())]);
    }

    #[test]
    fn a_frame_past_the_limit_is_dropped_and_the_next_one_kept() {
        let mut decoder = Decoder::new(3);
        let bytes = [encode(b"four"), encode(b"yes")].concat();
        let results: Vec<_> = bytes.iter().filter_map(|&byte| decoder.push(byte).transpose()).collect();
        assert_eq!(results, [Err(SlipError::TooLong(3)), Ok(b"yes".to_vec())]);
    }

    proptest! {
        #[test]
        fn every_payload_survives_the_round_trip(frames in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![Just(0xC0), Just(0xDB), Just(0xDC), any::<u8>()], 1..200), 1..5)) {
            let bytes: Vec<u8> = frames.iter().flat_map(|frame| encode(frame)).collect();
            let expected: Vec<_> = frames.into_iter().map(Ok).collect();
            prop_assert_eq!(decode(&bytes), expected);
        }

        #[test]
        fn any_bytes_neither_panic_nor_grow_past_the_limit(
            bytes in proptest::collection::vec(prop_oneof![Just(0xC0), Just(0xDB), any::<u8>()], 0..300)) {
            let mut decoder = Decoder::new(16);
            for byte in bytes {
                if let Ok(Some(frame)) = decoder.push(byte) {
                    prop_assert!((1..=16).contains(&frame.len()));
                }
            }
        }

        #[test]
        fn a_frame_behind_any_noise_arrives_once_the_line_is_clean(
            noise in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = [noise, encode(b"first"), encode(b"second")].concat();
            prop_assert_eq!(decode(&bytes).pop(), Some(Ok(b"second".to_vec())));
        }
    }
}
