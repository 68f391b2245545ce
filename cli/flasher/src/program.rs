//! Writing regions in an order that a power cut cannot turn into a device that starts half an image.
//!
//! A region that is started by the boot ROM loses its first sector before anything else happens and gets it back
//! after everything else was written, so that until the last moment the ROM finds nothing to start. Through the boot
//! ROM, blocks go out one by one, of that sector the first one last, and a failed one is repeated from the beginning
//! of its sector, which is erased again: the ROM counts blocks, and a reply may have been lost after its block was
//! written. Through a stub, compressed spans are repeated as a whole, since the stream cannot be entered in the middle;
//! a stub acknowledges a block before it writes it, so a write error arrives with the next reply, and the end command
//! collects the last. Through the project's own stub, only sectors that differ are written ([`crate::differences`]).
//! FLASH_END is never sent through the boot ROM: it would leave the loader with the flash write-protected.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use crate::deflate::{compress, unpacked_lengths};
use crate::erase::{EraseAllowed, EraseError, sector_end};
use crate::event::{Event, Secrecy, Stage};
use crate::link::{COMMAND_TIMEOUT, CommandError};
use crate::protocol::{Command, ROM_FLASH_BLOCK, STUB_FLASH_BLOCK};
use crate::session::{Loader, SECTOR, Session, length_of, part};
use crate::verify::{Verified, VerifyError};

/// Written, and through a stub repeated, at once.
const SPAN: u32 = 0x4_0000;
/// Attempts at a sector (boot ROM) or a span (stub) before giving up.
pub(crate) const ATTEMPTS: u32 = 3;
/// Attempts at a region whose content differs afterwards.
pub(crate) const REGION_ATTEMPTS: u32 = 2;
/// What erased flash reads as, and what the last block is filled up with.
const FILLER: u8 = 0xFF;

/// When a region's first sector is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// With the others, from the first byte to the last.
    #[default]
    Ascending,
    /// Erased before and written after everything else of the same call, through the boot ROM with the first block at
    /// the end: for what the boot ROM starts.
    FirstSectorLast,
}

/// Bytes and where they go.
#[derive(Clone, PartialEq, Eq)]
pub struct Region {
    /// Short name for events, errors and reports.
    pub name: String,
    /// First byte, a multiple of [`SECTOR`].
    pub offset: u32,
    /// What to write, at least one byte. The rest of the last sector is erased with it.
    pub bytes: Vec<u8>,
    /// Whether the content may show up in traces and differences.
    pub secrecy: Secrecy,
    /// When the first sector is written.
    pub order: Order,
}

impl std::fmt::Debug for Region {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Region({} at {:#x}, {} bytes)", self.name, self.offset, self.bytes.len())
    }
}

impl Region {
    /// The bytes' place in flash.
    pub fn span(&self) -> Range<u32> {
        self.offset..self.offset.saturating_add(length_of(&self.bytes))
    }

    /// The sectors that writing it erases.
    pub fn sectors(&self) -> Range<u32> {
        self.offset..sector_end(self.span().end)
    }
}

/// What became of one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programmed {
    /// Its name.
    pub region: String,
    /// Bytes of it.
    pub bytes: u32,
    /// Bytes that were written, once or more often; the others were there already.
    pub written: u32,
    /// Time spent erasing and writing it.
    pub elapsed: Duration,
    /// What the device says about it now.
    pub verified: Verified,
}

/// Why programming failed. Unless it says otherwise, nothing was touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The region does not begin with a sector.
    #[error("region `{region}` does not begin with a sector of {SECTOR} bytes: {offset:#x}")]
    Misaligned {
        /// Its name.
        region: String,
        /// Its first byte.
        offset: u32,
    },
    /// The region is empty or reaches past the end of the address space.
    #[error("region `{region}` cannot have this length: {length}")]
    Length {
        /// Its name.
        region: String,
        /// Its bytes.
        length: usize,
    },
    /// Two regions share a sector.
    #[error("region `{region}` shares a sector with: `{other}`")]
    Overlap {
        /// One.
        region: String,
        /// The other.
        other: String,
    },
    /// The sectors are not covered by [`EraseAllowed`].
    #[error("erasing for region `{region}` was not agreed to: {start:#x}..{end:#x}")]
    NotAllowed {
        /// Its name.
        region: String,
        /// First byte.
        start: u32,
        /// Behind the last byte.
        end: u32,
    },
    /// Erasing failed; the region is lost, and so is every region whose first sector goes last.
    #[error("cannot erase for region `{region}`: {source}")]
    Erase {
        /// Its name.
        region: String,
        /// What happened.
        source: EraseError,
    },
    /// Writing failed, every time; the region is lost from this offset on, and so is every region whose first sector
    /// goes last.
    #[error("cannot write region `{region}` at {offset:#x}: {source}")]
    Write {
        /// Its name.
        region: String,
        /// The block, or the first byte of the compressed span.
        offset: u32,
        /// What happened last.
        source: CommandError,
    },
    /// Everything is written, but the device could not be asked.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Time for a stub to erase and write what one block unpacks to: 40 s a megabyte, which the serial protocol's tools
/// have found to be enough for slow chips.
fn write_timeout(unpacked: u32) -> Duration {
    let unpacked = u64::from(unpacked);
    let erased = (unpacked.div_ceil(0x8000) + 1) * 0x1_0000;
    Duration::from_micros((unpacked + erased) * 40).max(COMMAND_TIMEOUT)
}

impl Session<'_> {
    /// Erases, writes and verifies regions in the given order; a region that differs is written once more.
    ///
    /// The results come in the order of `regions`. `Ok` means that every byte was sent and acknowledged: look at [`Programmed::verified`] for the truth.
    ///
    /// # Errors
    /// [`ProgramError`], which says what is lost. The loader still answers unless the port is gone.
    pub fn program(
        &mut self,
        regions: &[Region],
        allowed: &EraseAllowed,
    ) -> Result<Vec<Programmed>, ProgramError> {
        check(regions, allowed)?;
        for region in regions {
            self.note_secrecy(region);
        }
        if let Some(info) = self.stub_info {
            return self.program_differences(regions, info);
        }
        let mut results = Vec::new();
        let mut pending: Vec<usize> = (0..regions.len()).collect();
        for attempt in 1..=REGION_ATTEMPTS {
            let chosen: Vec<&Region> = pending.iter().filter_map(|&index| regions.get(index)).collect();
            let elapsed = self.write_regions(&chosen)?;
            let mut different = Vec::new();
            for ((index, region), elapsed) in pending.into_iter().zip(chosen).zip(elapsed) {
                let verified = self.verify(region)?;
                if attempt < REGION_ATTEMPTS && matches!(verified, Verified::Differs(_)) {
                    let reason = format!("region `{}` differs from what was written", region.name);
                    let (stage, attempt) = (Stage::Verify, attempt + 1);
                    self.link.event(Event::Retry { stage, attempt, attempts: REGION_ATTEMPTS, reason });
                    different.push(index);
                    continue;
                }
                let bytes = length_of(&region.bytes);
                let region = region.name.clone();
                results.push((index, Programmed { region, bytes, written: bytes, elapsed, verified }));
            }
            pending = different;
            if pending.is_empty() {
                break;
            }
        }
        results.sort_by_key(|(index, _)| *index);
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }

    pub(crate) fn note_secrecy(&mut self, region: &Region) {
        if region.secrecy == Secrecy::Secret {
            self.mark_secret(region.sectors());
        }
    }

    /// Writes everything in the power-cut-safe order and gives the time for each region.
    fn write_regions(&mut self, regions: &[&Region]) -> Result<Vec<Duration>, ProgramError> {
        let mut elapsed = vec![Duration::ZERO; regions.len()];
        for region in regions.iter().filter(|region| region.order == Order::FirstSectorLast) {
            self.link.stage(Stage::Erase);
            let first = region.offset..region.offset + SECTOR;
            self.erase_sectors(first)
                .map_err(|source| ProgramError::Erase { region: region.name.clone(), source })?;
        }
        self.link.stage(Stage::Write);
        for (region, elapsed) in regions.iter().zip(&mut elapsed) {
            let from = match region.order {
                Order::Ascending => 0,
                Order::FirstSectorLast => SECTOR,
            };
            *elapsed += self.write_part(region, from..length_of(&region.bytes))?;
        }
        for (region, elapsed) in regions.iter().zip(&mut elapsed) {
            if region.order == Order::FirstSectorLast {
                *elapsed += self.write_part(region, 0..SECTOR.min(length_of(&region.bytes)))?;
            }
        }
        Ok(elapsed)
    }

    /// Erases and writes a part of a region that begins with a sector; takes no time when it is empty.
    fn write_part(&mut self, region: &Region, part: Range<u32>) -> Result<Duration, ProgramError> {
        let started = self.link.now();
        let mut start = part.start;
        while start < part.end {
            let absolute = region.offset + start;
            let step = SPAN - absolute % SPAN;
            let span = start..start.saturating_add(step).min(part.end);
            start = span.end;
            self.guarded(&region.span(), |session| match session.loader {
                Loader::Rom => session.write_blocks(region, span),
                Loader::Stub => session.write_compressed(region, span),
            })?;
        }
        Ok(self.link.now().saturating_sub(started))
    }

    /// Progress as bytes of the region; the first sector counts last where it is written last.
    fn report(&mut self, region: &Region, written_to: u32) {
        let total = length_of(&region.bytes);
        let done = match region.order {
            Order::FirstSectorLast if written_to > SECTOR => written_to - SECTOR,
            Order::FirstSectorLast => total.saturating_sub(SECTOR) + written_to,
            Order::Ascending => written_to,
        };
        self.link.progress(Stage::Write, &region.name, done.min(total), total);
    }

    /// Boot ROM: erases a span and writes its blocks.
    fn write_blocks(&mut self, region: &Region, span: Range<u32>) -> Result<(), ProgramError> {
        let erase = |source| ProgramError::Erase { region: region.name.clone(), source };
        self.erase_sectors(region.offset + span.start..sector_end(region.offset + span.end))
            .map_err(erase)?;
        let mut next = span.start;
        let mut attempt = 1;
        let mut failed_sector = None;
        while next < span.end {
            let Err((reached, source)) = self.write_block_run(region, next..span.end) else { break };
            let sector = reached / SECTOR * SECTOR;
            attempt = if failed_sector == Some(sector) { attempt + 1 } else { 2 };
            failed_sector = Some(sector);
            let offset = region.offset + reached;
            let fail = |source| ProgramError::Write { region: region.name.clone(), offset, source };
            if !source.is_retryable() || attempt > ATTEMPTS {
                return Err(fail(source));
            }
            let reason = source.to_string();
            self.link.event(Event::Retry { stage: Stage::Write, attempt, attempts: ATTEMPTS, reason });
            self.resync().map_err(fail)?;
            let start = region.offset + sector;
            self.erase_sectors(start..start + SECTOR).map_err(erase)?;
            next = sector;
        }
        Ok(())
    }

    /// Boot ROM: sends blocks until the end or the first failure, and says which byte that was at.
    fn write_block_run(&mut self, region: &Region, run: Range<u32>) -> Result<(), (u32, CommandError)> {
        let first = u32::try_from(ROM_FLASH_BLOCK).unwrap_or(u32::MAX);
        if region.order == Order::FirstSectorLast && run.start == 0 && run.end > first {
            // The header in the first block is what makes the ROM start an image. FLASH_BEGIN takes whole sectors, so
            // the block goes out as erased flash, which leaves it as it is, and at the end as what it is.
            self.send_blocks(region, run.clone(), 0..first, |end| end - first)?;
            return self.send_blocks(region, 0..first, 0..0, |_| run.end);
        }
        self.send_blocks(region, run, 0..0, |end| end)
    }

    /// Sends the blocks of a run, those in `blank` as erased flash; `written_to` makes the progress of the region from
    /// the end of a block.
    fn send_blocks(
        &mut self,
        region: &Region,
        run: Range<u32>,
        blank: Range<u32>,
        written_to: impl Fn(u32) -> u32,
    ) -> Result<(), (u32, CommandError)> {
        let block_size = u32::try_from(ROM_FLASH_BLOCK).unwrap_or(u32::MAX);
        let blocks = (run.end - run.start).div_ceil(block_size);
        let offset = region.offset + run.start;
        let begin = Command::FlashBegin { erase_size: 0, blocks, block_size, offset };
        self.link.command(&begin, COMMAND_TIMEOUT).map_err(|error| (run.start, error))?;
        for sequence in 0..blocks {
            let start = run.start + sequence * block_size;
            let end = (start + block_size).min(run.end);
            let content = if blank.contains(&start) { &[] } else { part(&region.bytes, start, end - start) };
            let mut block = content.to_vec();
            block.resize(ROM_FLASH_BLOCK, FILLER);
            let command = Command::FlashData { sequence, block: Cow::Owned(block) };
            self.link.command(&command, COMMAND_TIMEOUT).map_err(|error| (start, error))?;
            self.report(region, written_to(end));
        }
        Ok(())
    }

    /// Stub: writes a span as one compressed stream; the stub erases as it goes.
    fn write_compressed(&mut self, region: &Region, span: Range<u32>) -> Result<(), ProgramError> {
        let mut bytes = part(&region.bytes, span.start, span.end - span.start).to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), FILLER);
        let compressed = compress(&bytes);
        let mut attempt = 1;
        loop {
            let Err(source) = self.send_compressed(region, &span, &bytes, &compressed) else { return Ok(()) };
            let offset = region.offset + span.start;
            let fail = |source| ProgramError::Write { region: region.name.clone(), offset, source };
            if !source.is_retryable() || attempt == ATTEMPTS {
                return Err(fail(source));
            }
            attempt += 1;
            let reason = source.to_string();
            self.link.event(Event::Retry { stage: Stage::Write, attempt, attempts: ATTEMPTS, reason });
            self.resync().map_err(fail)?;
        }
    }

    fn send_compressed(
        &mut self,
        region: &Region,
        span: &Range<u32>,
        bytes: &[u8],
        compressed: &[u8],
    ) -> Result<(), CommandError> {
        let block_size = u32::try_from(STUB_FLASH_BLOCK).unwrap_or(u32::MAX);
        let begin = Command::FlashDeflateBegin {
            size: length_of(bytes),
            blocks: length_of(compressed).div_ceil(block_size),
            block_size,
            offset: region.offset + span.start,
        };
        self.link.command(&begin, COMMAND_TIMEOUT)?;
        let shares = unpacked_lengths(compressed, STUB_FLASH_BLOCK, bytes.len());
        let mut timeout = COMMAND_TIMEOUT;
        let mut done = span.start;
        for ((block, unpacked), sequence) in compressed.chunks(STUB_FLASH_BLOCK).zip(shares).zip(0..) {
            let command = Command::FlashDeflateData { sequence, block: Cow::Borrowed(block) };
            // The reply comes when the block before this one is written.
            self.link.command(&command, timeout)?;
            timeout = write_timeout(unpacked);
            done = done.saturating_add(unpacked);
            self.report(region, done.min(span.end));
        }
        self.link.command(&Command::FlashDeflateEnd { stay: 1 }, timeout).map(|_| ())
    }
}

/// Refuses a plan before anything is touched.
fn check(regions: &[Region], allowed: &EraseAllowed) -> Result<(), ProgramError> {
    for (index, region) in regions.iter().enumerate() {
        let name = || region.name.clone();
        if !region.offset.is_multiple_of(SECTOR) {
            return Err(ProgramError::Misaligned { region: name(), offset: region.offset });
        }
        let length = region.bytes.len();
        let end = u32::try_from(length).ok().and_then(|length| region.offset.checked_add(length));
        if length == 0 || end.is_none_or(|end| end > u32::MAX - SECTOR) {
            return Err(ProgramError::Length { region: name(), length });
        }
        let sectors = region.sectors();
        let shares = |other: &&Region| {
            let other = other.sectors();
            sectors.start < other.end && other.start < sectors.end
        };
        if let Some(other) = regions.iter().take(index).find(shares) {
            return Err(ProgramError::Overlap { region: name(), other: other.name.clone() });
        }
        if !allowed.covers(&sectors) {
            let Range { start, end } = sectors;
            return Err(ProgramError::NotAllowed { region: name(), start, end });
        }
    }
    Ok(())
}
