//! Comparing flash with what should be in it; the device is always asked.
//!
//! A stub computes the MD5 of any span, the project's own that of many sectors in one answer. The boot ROM computes none: what is small is read back, and for the rest
//! the booted firmware's own digest of its image has to be compared by whoever waits for it.

use std::ops::Range;
use std::time::Duration;

use md5::{Digest as _, Md5};

use crate::differences::Digest;
use crate::event::{Secrecy, Stage};
use crate::link::CommandError;
use crate::pipeline::Queued;
use crate::program::Region;
use crate::protocol::{Command, Opcode};
use crate::read::ReadError;
use crate::session::{Loader, SECTOR, Session, length_of, part};

/// The most that is read back through the boot ROM to compare it: a config slot.
pub const ROM_READ_BACK_LIMIT: u32 = SECTOR;

/// What a comparison found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The flash holds the region's bytes.
    Matches,
    /// It does not.
    Differs(Difference),
    /// The region is too long to be read back through the boot ROM, which has no digest: compare the digest that the
    /// firmware reports.
    NotPossibleOnRom,
}

/// The first difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The region's name.
    pub region: String,
    /// The byte, or the first byte of the sector where only digests can be compared.
    pub offset: u32,
    /// What should be there.
    pub expected: Content,
    /// What is there.
    pub found: Content,
}

/// One side of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// One byte.
    Byte(u8),
    /// The MD5 of the sector, or of the region's last part of one.
    Digest([u8; 16]),
    /// The region is secret.
    Withheld,
}

impl std::fmt::Display for Content {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Byte(byte) => write!(formatter, "{byte:#04x}"),
            Self::Digest(digest) => {
                formatter.write_str("md5 ")?;
                digest.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
            Self::Withheld => formatter.write_str("(secret)"),
        }
    }
}

/// Why it could not be found out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The stub's digest did not come.
    #[error("cannot verify `{region}` at {offset:#x}: {source}")]
    Command {
        /// The region's name.
        region: String,
        /// First byte.
        offset: u32,
        /// What happened.
        source: CommandError,
    },
    /// Reading back failed.
    #[error("cannot verify `{region}`: {source}")]
    Read {
        /// The region's name.
        region: String,
        /// What happened.
        source: ReadError,
    },
}

/// Attempts at the digests of all regions.
const DIGEST_ATTEMPTS: u32 = 3;
/// Sectors that are asked for at once: little enough for progress to move.
const SECTORS_AT_ONCE: u32 = 64;

/// What is asked for at once: runs of whole sectors, and a part of one for itself.
fn digest_pieces(span: &Range<u32>) -> Vec<Range<u32>> {
    let whole = span.start..span.start + (span.end - span.start) / SECTOR * SECTOR;
    let step = usize::try_from(SECTORS_AT_ONCE * SECTOR).unwrap_or(usize::MAX);
    let starts = whole.clone().step_by(step);
    let mut pieces: Vec<_> =
        starts.map(|start| start..whole.end.min(start.saturating_add(SECTORS_AT_ONCE * SECTOR))).collect();
    if whole.end < span.end {
        pieces.push(whole.end..span.end);
    }
    pieces
}

/// Time for a digest, by the practice of the serial protocol's tools: 8 s a megabyte.
fn digest_timeout(length: u32) -> Duration {
    Duration::from_micros(u64::from(length) * 8).max(Duration::from_secs(3))
}

impl Session<'_> {
    /// Compares a region with the flash.
    ///
    /// # Errors
    /// [`VerifyError`] when it could not be found out; a difference is no error.
    pub fn verify(&mut self, region: &Region) -> Result<Verified, VerifyError> {
        self.link.stage(Stage::Verify);
        self.note_secrecy(region);
        let length = length_of(&region.bytes);
        let verified = match self.loader {
            Loader::Stub if self.stub_info.is_some() => self.verify_by_sector(region),
            Loader::Stub => self.guarded(&region.span(), |session| session.verify_by_digest(region)),
            Loader::Rom if length <= ROM_READ_BACK_LIMIT => {
                self.guarded(&region.span(), |session| session.verify_by_reading(region))
            }
            Loader::Rom => return Ok(Verified::NotPossibleOnRom),
        }?;
        self.link.progress(Stage::Verify, &region.name, length, length);
        Ok(verified)
    }

    fn verify_by_reading(&mut self, region: &Region) -> Result<Verified, VerifyError> {
        let found = self
            .read_span(&region.name, region.span())
            .map_err(|source| VerifyError::Read { region: region.name.clone(), source })?;
        let mut pairs = region.bytes.iter().zip(&found).zip(region.offset..);
        Ok(match pairs.find(|((expected, found), _)| expected != found) {
            None => Verified::Matches,
            Some(((&expected, &found), offset)) => {
                self.difference(region, offset, Content::Byte(expected), Content::Byte(found))
            }
        })
    }

    /// Through the project's own stub: the digest of every sector, and of what the region has of the last one.
    fn verify_by_sector(&mut self, region: &Region) -> Result<Verified, VerifyError> {
        let found = self.digest_spans(&[(region, region.span())])?;
        let sector_bytes = usize::try_from(SECTOR).unwrap_or(usize::MAX);
        let expected = region.bytes.chunks(sector_bytes).map(|sector| Digest::from(Md5::digest(sector)));
        let mut pairs = (0..).zip(expected.zip(found.into_iter().flatten()));
        Ok(match pairs.find(|(_, (expected, found))| expected != found) {
            None => Verified::Matches,
            Some((sector, (expected, found))) => {
                let offset = region.offset.saturating_add(SECTOR.saturating_mul(sector));
                self.difference(region, offset, Content::Digest(expected), Content::Digest(found))
            }
        })
    }

    /// The MD5 of each sector of each span, as the device has them, and of the part of the last sector that belongs to
    /// the span. Only the project's own stub can tell.
    pub(crate) fn digest_spans(
        &mut self,
        spans: &[(&Region, Range<u32>)],
    ) -> Result<Vec<Vec<Digest>>, VerifyError> {
        let mut attempt = 1;
        loop {
            let (region, offset, source) = match self.ask_for_digests(spans) {
                Ok(digests) => return Ok(digests),
                Err(failed) => failed,
            };
            let name = spans.get(region).map(|(region, _)| region.name.clone()).unwrap_or_default();
            let fail = |source| VerifyError::Command { region: name.clone(), offset, source };
            if !source.is_retryable() || attempt == DIGEST_ATTEMPTS {
                return Err(fail(source));
            }
            attempt += 1;
            self.resync().map_err(fail)?;
        }
    }

    fn ask_for_digests(
        &mut self,
        spans: &[(&Region, Range<u32>)],
    ) -> Result<Vec<Vec<Digest>>, (usize, u32, CommandError)> {
        let window = self.stub_info.map_or(0, |info| info.receive_window);
        let pieces: Vec<(usize, Range<u32>)> = spans
            .iter()
            .enumerate()
            .flat_map(|(index, (_, span))| digest_pieces(span).into_iter().map(move |piece| (index, piece)))
            .collect();
        let secrecy: Vec<Secrecy> = spans.iter().map(|(region, _)| self.secrecy(&region.sectors())).collect();
        let requests = pieces.iter().map(|(index, piece)| {
            let size = piece.end - piece.start;
            let command = if size.is_multiple_of(SECTOR) {
                Command::SectorDigests { offset: piece.start, count: size / SECTOR }
            } else {
                Command::SpiFlashMd5 { offset: piece.start, size }
            };
            let secrecy = secrecy.get(*index).copied().unwrap_or(Secrecy::Secret);
            Queued { command, secrecy, work: digest_timeout(size) }
        });
        let mut digests = vec![Vec::new(); spans.len()];
        let (mut answers, mut malformed) = (0, None);
        let result = self.link.pipeline(window, requests, |link, number, response| {
            answers = number + 1;
            let Some((index, piece)) = pieces.get(number) else { return };
            let (chunks, rest) = response.data.as_chunks::<16>();
            let wanted = (piece.end - piece.start).div_ceil(SECTOR);
            if !rest.is_empty() || u32::try_from(chunks.len()) != Ok(wanted) {
                malformed.get_or_insert((number, response.opcode, response.data.len()));
                return;
            }
            if let (Some(digests), Some((region, span))) = (digests.get_mut(*index), spans.get(*index)) {
                digests.extend_from_slice(chunks);
                let total = span.end - span.start;
                link.progress(Stage::Verify, &region.name, piece.end - span.start, total);
            }
        });
        let place = |number: usize| pieces.get(number).map_or((0, 0), |(index, piece)| (*index, piece.start));
        match (result, malformed) {
            (Err(source), _) => {
                let (index, offset) = place(answers);
                Err((index, offset, source))
            }
            (Ok(()), Some((number, opcode, length))) => {
                let (index, offset) = place(number);
                let opcode = Opcode::from_byte(opcode).unwrap_or(Opcode::SectorDigests);
                Err((index, offset, CommandError::Malformed { opcode, length }))
            }
            (Ok(()), None) => Ok(digests),
        }
    }

    fn verify_by_digest(&mut self, region: &Region) -> Result<Verified, VerifyError> {
        let all = 0..length_of(&region.bytes);
        let (expected, found) = self.digests(region, &all)?;
        if expected == found {
            return Ok(Verified::Matches);
        }
        // The first bad sector: everything before `low` fits, not everything before `high` does.
        let sectors = all.end.div_ceil(SECTOR);
        let (mut low, mut high) = (0, sectors);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            let (expected, found) = self.digests(region, &(low * SECTOR..middle * SECTOR))?;
            if expected == found { low = middle } else { high = middle }
        }
        let sector = low * SECTOR..(low + 1).saturating_mul(SECTOR).min(all.end);
        let (expected, found) = self.digests(region, &sector)?;
        let offset = region.offset + sector.start;
        Ok(self.difference(region, offset, Content::Digest(expected), Content::Digest(found)))
    }

    /// The MD5 of a part of the region, as it should be and as the device has it.
    fn digests(&mut self, region: &Region, span: &Range<u32>) -> Result<([u8; 16], [u8; 16]), VerifyError> {
        let size = span.end - span.start;
        let offset = region.offset + span.start;
        let fail = |source| VerifyError::Command { region: region.name.clone(), offset, source };
        let command = Command::SpiFlashMd5 { offset, size };
        let response = self.repeatable(&command, digest_timeout(size)).map_err(fail)?;
        let length = response.data.len();
        let found = response
            .data
            .try_into()
            .map_err(|_| fail(CommandError::Malformed { opcode: command.opcode(), length }))?;
        Ok((Md5::digest(part(&region.bytes, span.start, size)).into(), found))
    }

    pub(crate) fn difference(
        &self,
        region: &Region,
        offset: u32,
        expected: Content,
        found: Content,
    ) -> Verified {
        let (expected, found) = match self.secrecy(&region.span()) {
            Secrecy::Public => (expected, found),
            Secrecy::Secret => (Content::Withheld, Content::Withheld),
        };
        Verified::Differs(Difference { region: region.name.clone(), offset, expected, found })
    }
}
