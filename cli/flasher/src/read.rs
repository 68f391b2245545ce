//! Reading flash back: through a stub in frames with a digest, through the boot ROM by register.

use std::ops::Range;
use std::time::Duration;

use md5::{Digest, Md5};

use crate::event::{Event, Stage};
use crate::link::{COMMAND_TIMEOUT, CommandError, wire_time};
use crate::protocol::{Command, Opcode};
use crate::session::{Loader, Session, length_of};

/// Bytes in one frame: the most that a stub sends.
const FRAME: u32 = 0x1000;
/// Frames that may be unacknowledged; newer stubs take 1 whatever is asked for.
const IN_FLIGHT: u32 = 2;
/// The same for the project's own stub: an adapter's latency is over before the third is.
const OWN_IN_FLIGHT: u32 = 4;
/// Bytes that are asked for, and asked for again after an error, at once.
const PIECE: u32 = 0x1_0000;
const ATTEMPTS: u32 = 3;
/// What one request and its reply cost apart from the wire: an adapter's latency.
const ROUND_TRIP: Duration = Duration::from_millis(2);
/// READ_REG and its reply, framed.
const REGISTER_BYTES: usize = 28;

/// Why flash could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A command failed, every time.
    #[error("cannot read `{region}` at {offset:#x}: {source}")]
    Command {
        /// The caller's name for it.
        region: String,
        /// Where it was.
        offset: u32,
        /// What happened last.
        source: CommandError,
    },
    /// What came is not what the stub says it sent, every time.
    #[error("digest of what was read from `{region}` does not fit at: {offset:#x}")]
    Digest {
        /// The caller's name for it.
        region: String,
        /// First byte of the piece.
        offset: u32,
    },
}

enum PieceError {
    Command(CommandError),
    Digest,
}

impl<E: Into<CommandError>> From<E> for PieceError {
    fn from(error: E) -> Self {
        Self::Command(error.into())
    }
}

impl Session<'_> {
    /// Reads a span; `name` is for events and errors.
    ///
    /// # Errors
    /// [`ReadError`] after three attempts at one piece.
    pub fn read(&mut self, name: &str, span: Range<u32>) -> Result<Vec<u8>, ReadError> {
        self.link.stage(Stage::Read);
        self.guarded(&span.clone(), |session| session.read_span(name, span))
    }

    /// About how long [`Session::read`] will take: a whole image takes minutes through the boot ROM.
    pub fn estimate_read(&self, length: u32) -> Duration {
        estimate_read(self.loader(), self.baud(), length)
    }

    pub(crate) fn read_span(&mut self, name: &str, span: Range<u32>) -> Result<Vec<u8>, ReadError> {
        let total = span.end.saturating_sub(span.start);
        let mut bytes = Vec::new();
        while length_of(&bytes) < total {
            let done = length_of(&bytes);
            let offset = span.start + done;
            let length = (total - done).min(PIECE);
            bytes.extend(self.read_piece(name, offset, length, done, total)?);
        }
        Ok(bytes)
    }

    fn read_piece(
        &mut self,
        name: &str,
        offset: u32,
        length: u32,
        before: u32,
        total: u32,
    ) -> Result<Vec<u8>, ReadError> {
        let mut attempt = 1;
        loop {
            let result = match self.loader {
                Loader::Rom => self
                    .read_by_register(offset, length, |session, done| {
                        session.link.progress(Stage::Read, name, before + done, total);
                    })
                    .map_err(PieceError::Command),
                Loader::Stub => self.read_frames(name, offset, length, before, total),
            };
            let region = name.to_owned();
            let error = match result {
                Ok(bytes) => return Ok(bytes),
                Err(PieceError::Digest) => ReadError::Digest { region, offset },
                Err(PieceError::Command(source)) => {
                    let is_retryable = source.is_retryable();
                    let error = ReadError::Command { region, offset, source };
                    if !is_retryable {
                        return Err(error);
                    }
                    error
                }
            };
            if attempt == ATTEMPTS {
                return Err(error);
            }
            attempt += 1;
            let reason = error.to_string();
            self.link.event(Event::Retry { stage: Stage::Read, attempt, attempts: ATTEMPTS, reason });
            self.resync().map_err(|source| ReadError::Command { region: name.to_owned(), offset, source })?;
        }
    }

    fn read_frames(
        &mut self,
        name: &str,
        offset: u32,
        length: u32,
        before: u32,
        total: u32,
    ) -> Result<Vec<u8>, PieceError> {
        let in_flight = if self.stub_info.is_some() { OWN_IN_FLIGHT } else { IN_FLIGHT };
        let command = Command::ReadFlash { offset, size: length, block_size: FRAME, in_flight };
        self.link.command(&command, COMMAND_TIMEOUT)?;
        let mut bytes = Vec::new();
        while length_of(&bytes) < length {
            let frame = self.read_frame()?;
            if length_of(&frame) > length - length_of(&bytes) {
                return Err(malformed(&frame).into());
            }
            bytes.extend(frame);
            self.link.send_frame(&length_of(&bytes).to_le_bytes())?;
            self.link.progress(Stage::Read, name, before + length_of(&bytes), total);
        }
        let digest = self.read_frame()?;
        if digest.len() != 16 {
            return Err(malformed(&digest).into());
        }
        if Md5::digest(&bytes)[..] == digest[..] { Ok(bytes) } else { Err(PieceError::Digest) }
    }

    fn read_frame(&mut self) -> Result<Vec<u8>, CommandError> {
        let timeout = COMMAND_TIMEOUT + wire_time(2 * 0x1000, self.link.baud());
        let no_reply = CommandError::NoReply { opcode: Opcode::ReadFlash, waited: timeout };
        self.link.frame(timeout)?.ok_or(no_reply)
    }
}

fn malformed(frame: &[u8]) -> CommandError {
    CommandError::Malformed { opcode: Opcode::ReadFlash, length: frame.len() }
}

/// About how long reading takes.
pub fn estimate_read(loader: Loader, baud: u32, length: u32) -> Duration {
    match loader {
        Loader::Stub => wire_time(usize::try_from(length).unwrap_or(usize::MAX), baud),
        Loader::Rom => {
            // 64 bytes need one WRITE_REG of five registers, a look at CMD, and 16 READ_REGs.
            let chunks = length.div_ceil(64);
            let exchange = |bytes| wire_time(bytes, baud) + ROUND_TRIP;
            chunks * (exchange(REGISTER_BYTES + 80) + 17 * exchange(REGISTER_BYTES))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_sector_takes_seconds_and_an_image_minutes_through_the_boot_rom() {
        let sector = estimate_read(Loader::Rom, 115_200, 4096);
        assert!((3..10).contains(&sector.as_secs()), "{sector:?}");
        assert!(estimate_read(Loader::Rom, 115_200, 500_000) > Duration::from_secs(300));
        assert_eq!(estimate_read(Loader::Stub, 460_800, 0x40_0000).as_secs(), 91);
    }
}
