//! Erasing whole sectors, and the rule for the boot ROM's eraser.
//!
//! ESP8266 boot ROM, SPIEraseArea: it erases sector by sector up to the next 64 KiB block, counts those sectors down
//! to zero, and then subtracts the zero from what is left. So asked for `n` sectors it erases `n + min(n, head)`,
//! where `head` is the distance to the block. A smaller request makes up for it, except that an odd number of
//! sectors below twice the head, one above all, cannot be had: the last one is erased through the flash controller's
//! registers instead, since erasing config slot A must not take slot B with it. A stub erases what it is asked for.

use std::ops::Range;
use std::time::Duration;

use crate::event::Stage;
use crate::link::CommandError;
use crate::protocol::{Command, ROM_FLASH_BLOCK};
use crate::session::{Loader, SECTOR, Session};

/// Sectors in the block that the boot ROM erases at once.
const SECTORS_PER_BLOCK: u32 = 16;
/// Erased in one command, so that progress moves and cancelling does not take long.
const STEP: u32 = 0x4_0000;
/// Bytes that must read as erased after an erase through registers.
const BLANK_SAMPLE: u32 = 64;

/// Which spans of flash may be erased: what the user, or the plan that was shown, has agreed to lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EraseAllowed {
    spans: Vec<Range<u32>>,
}

impl EraseAllowed {
    /// These and no other; neighbours count as one.
    pub fn only(spans: impl IntoIterator<Item = Range<u32>>) -> Self {
        let mut spans: Vec<_> = spans.into_iter().collect();
        spans.sort_by_key(|span| span.start);
        Self { spans }
    }

    /// The whole flash.
    pub fn everything() -> Self {
        Self::only(std::iter::once(0..u32::MAX))
    }

    /// Whether all of `span` may be erased.
    pub fn covers(&self, span: &Range<u32>) -> bool {
        let reached = self.spans.iter().fold(span.start, |reached, allowed| {
            if allowed.contains(&reached) { allowed.end } else { reached }
        });
        reached >= span.end
    }
}

/// Why an erase failed; sectors before the offset are erased.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EraseError {
    /// Not whole sectors.
    #[error("erase is not aligned to sectors of {SECTOR} bytes: {start:#x}..{end:#x}")]
    Misaligned {
        /// First byte.
        start: u32,
        /// Behind the last byte.
        end: u32,
    },
    /// More than [`EraseAllowed`] covers.
    #[error("erase was not agreed to: {start:#x}..{end:#x}")]
    NotAllowed {
        /// First byte.
        start: u32,
        /// Behind the last byte.
        end: u32,
    },
    /// A command failed.
    #[error("cannot erase at {offset:#x}: {source}")]
    Command {
        /// Where it was.
        offset: u32,
        /// What happened.
        source: CommandError,
    },
    /// The flash took the command and kept its content: write protection or a bad chip.
    #[error("flash is not blank after erasing at: {offset:#x}")]
    NotBlank {
        /// The sector.
        offset: u32,
    },
}

/// The end of the sector that holds the byte before `position`.
pub(crate) const fn sector_end(position: u32) -> u32 {
    position.saturating_add(SECTOR - 1) / SECTOR * SECTOR
}

/// The most that erasing `length` bytes takes by the data sheets of common chips: 400 ms a sector.
pub(crate) fn erase_timeout(length: u32) -> Duration {
    (Duration::from_millis(400) * length.div_ceil(SECTOR)).max(Duration::from_secs(3))
}

/// How many sectors the boot ROM erases from `start` when it is asked for `requested`.
const fn rom_erases(start: u32, requested: u32) -> u32 {
    let head = SECTORS_PER_BLOCK - start % SECTORS_PER_BLOCK;
    requested + if requested < head { requested } else { head }
}

/// The smallest request that makes the boot ROM erase at least `wanted` sectors from `start`.
const fn rom_request(start: u32, wanted: u32) -> u32 {
    let head = SECTORS_PER_BLOCK - start % SECTORS_PER_BLOCK;
    if wanted < 2 * head { wanted.div_ceil(2) } else { wanted - head }
}

/// How to erase an exact number of sectors with the boot ROM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RomErase {
    /// Sectors to ask FLASH_BEGIN for; 0 leaves it out.
    request: u32,
    /// The sector to erase through registers.
    single: Option<u32>,
}

impl RomErase {
    const fn plan(start: u32, wanted: u32) -> Self {
        let request = rom_request(start, wanted);
        if rom_erases(start, request) == wanted {
            return Self { request, single: None };
        }
        Self { request: rom_request(start, wanted - 1), single: Some(start + wanted - 1) }
    }
}

impl Session<'_> {
    /// Erases whole sectors; `name` is for progress events.
    ///
    /// # Errors
    /// [`EraseError`]; nothing was touched when it is `Misaligned` or `NotAllowed`.
    pub fn erase(&mut self, name: &str, span: Range<u32>, allowed: &EraseAllowed) -> Result<(), EraseError> {
        let Range { start, end } = span;
        if !start.is_multiple_of(SECTOR) || !end.is_multiple_of(SECTOR) || start > end {
            return Err(EraseError::Misaligned { start, end });
        }
        if !allowed.covers(&span) {
            return Err(EraseError::NotAllowed { start, end });
        }
        self.link.stage(Stage::Erase);
        let total = end - start;
        let mut offset = start;
        while offset < end {
            let step_end = ((offset / STEP).saturating_add(1).saturating_mul(STEP)).min(end);
            self.erase_sectors(offset..step_end)?;
            offset = step_end;
            self.link.progress(Stage::Erase, name, offset - start, total);
        }
        Ok(())
    }

    /// Erases an aligned span and not one sector more.
    pub(crate) fn erase_sectors(&mut self, span: Range<u32>) -> Result<(), EraseError> {
        let offset = span.start;
        self.erase_command(span).map_err(|source| EraseError::Command { offset, source }).and_then(|single| {
            match single {
                Some(sector) if !self.is_blank(sector)? => Err(EraseError::NotBlank { offset: sector }),
                _ => Ok(()),
            }
        })
    }

    /// Erases, and tells which sector was erased through registers, where nobody checks the flash's status.
    fn erase_command(&mut self, span: Range<u32>) -> Result<Option<u32>, CommandError> {
        let size = span.end.saturating_sub(span.start);
        if size == 0 {
            return Ok(None);
        }
        if self.loader == Loader::Stub {
            let command = Command::EraseRegion { offset: span.start, size };
            return self.repeatable(&command, erase_timeout(size)).map(|_| None);
        }
        let plan = RomErase::plan(span.start / SECTOR, size / SECTOR);
        if plan.request > 0 {
            let block_size = u32::try_from(ROM_FLASH_BLOCK).unwrap_or(u32::MAX);
            let command = Command::FlashBegin {
                erase_size: plan.request * SECTOR,
                blocks: 0,
                block_size,
                offset: span.start,
            };
            self.repeatable(&command, erase_timeout(size))?;
            self.flash_attached = true;
        }
        let single = plan.single.map(|sector| sector * SECTOR);
        if let Some(offset) = single {
            self.erase_sector_by_register(offset)?;
        }
        Ok(single)
    }

    fn is_blank(&mut self, offset: u32) -> Result<bool, EraseError> {
        let bytes = self
            .guarded(&(offset..offset + BLANK_SAMPLE), |session| {
                session.read_by_register(offset, BLANK_SAMPLE, |_, _| {})
            })
            .map_err(|source| EraseError::Command { offset, source })?;
        Ok(bytes.iter().all(|&byte| byte == 0xFF))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The boot ROM's loops, written down as they run.
    fn erased_by_the_rom(start: u32, requested: u32) -> Vec<u32> {
        let mut erased = Vec::new();
        let mut sector = start;
        let mut head = (SECTORS_PER_BLOCK - start % SECTORS_PER_BLOCK).min(requested);
        while head > 0 {
            erased.push(sector);
            sector += 1;
            head -= 1;
        }
        let mut left = requested - head;
        while left > SECTORS_PER_BLOCK {
            erased.extend(sector..sector + SECTORS_PER_BLOCK);
            sector += SECTORS_PER_BLOCK;
            left -= SECTORS_PER_BLOCK;
        }
        erased.extend(sector..sector + left);
        erased
    }

    #[test]
    fn the_smallest_request_erases_what_is_wanted_and_at_most_one_sector_more() {
        for start in 0..32 {
            for wanted in 0..=300 {
                let request = rom_request(start, wanted);
                let erased = erased_by_the_rom(start, request);
                assert_eq!(erased.len(), rom_erases(start, request) as usize, "{start} {wanted}");
                assert!(erased.len() >= wanted as usize, "{start} {wanted}");
                assert!(erased.len() <= wanted as usize + 1, "{start} {wanted}");
                if request > 0 {
                    assert!(
                        erased_by_the_rom(start, request - 1).len() < wanted as usize,
                        "{start} {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_plan_erases_exactly_what_is_wanted() {
        for start in 0..32 {
            for wanted in 1..=300 {
                let plan = RomErase::plan(start, wanted);
                let mut erased = erased_by_the_rom(start, plan.request);
                erased.extend(plan.single);
                assert_eq!(erased, (start..start + wanted).collect::<Vec<_>>(), "{start} {wanted}");
            }
        }
    }

    #[test]
    fn one_sector_always_goes_through_the_registers() {
        for start in 0..16 {
            assert_eq!(RomErase::plan(start, 1), RomErase { request: 0, single: Some(start) });
        }
    }

    #[test]
    fn neighbouring_agreements_count_as_one_and_gaps_do_not() {
        let allowed = EraseAllowed::only([0x2000..0x3000, 0x1000..0x2000, 0x8000..0x9000]);
        assert!(allowed.covers(&(0x1000..0x3000)));
        assert!(allowed.covers(&(0x8000..0x9000)));
        assert!(!allowed.covers(&(0x1000..0x4000)));
        assert!(!allowed.covers(&(0x0000..0x2000)));
        assert!(!allowed.covers(&(0x3000..0x8000)));
        assert!(EraseAllowed::everything().covers(&(0..0x40_0000)));
    }
}
