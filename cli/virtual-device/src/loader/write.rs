//! [`Write`]: a flash write through a stub, raw or as a zlib stream, which erases just ahead of itself.

use flate2::{Decompress, FlushDecompress, Status};

use espbroker_flasher::protocol::Refusal;

use super::stub::Generation;
use crate::flash_routines::{Flash, FlashResult};
use crate::nor::{BLOCK, SECTOR};

/// Bytes that a stub unpacks before it writes them.
const UNPACK_BUFFER: usize = 0x8000;

/// How far a write has come.
#[derive(Debug)]
pub(super) struct Write {
    address: u32,
    remaining: u32,
    next_erase: u32,
    erase_end: u32,
    /// No sector with data in it was met yet.
    all_blank: bool,
    stream: Option<Decompress>,
    error: Option<Refusal>,
}

impl Write {
    /// A write of `size` bytes as they are.
    pub(super) const fn raw(address: u32, size: u32) -> Self {
        let erase_end = match address.saturating_add(size).checked_next_multiple_of(SECTOR) {
            Some(end) => end,
            None => u32::MAX,
        };
        let next_erase = address - address % SECTOR;
        Self { address, remaining: size, next_erase, erase_end, all_blank: true, stream: None, error: None }
    }

    /// A write of `size` bytes that arrive compressed.
    pub(super) fn compressed(address: u32, size: u32) -> Self {
        Self { stream: Some(Decompress::new(true)), ..Self::raw(address, size) }
    }

    /// Bytes that are still to come, unpacked.
    pub(super) const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// What went wrong with a block that was acknowledged already.
    pub(super) const fn error(&self) -> Option<Refusal> {
        self.error
    }

    /// Takes the next block and writes what it gives.
    pub(super) fn take(&mut self, block: &[u8], flash: &mut Flash<'_>, generation: Generation) {
        let result = match self.stream.take() {
            None => self.program(block, flash, generation),
            Some(mut stream) => {
                let result = self.unpack(&mut stream, block, flash, generation);
                self.stream = Some(stream);
                result
            }
        };
        self.error = result.err();
    }

    fn unpack(
        &mut self,
        stream: &mut Decompress,
        block: &[u8],
        flash: &mut Flash<'_>,
        generation: Generation,
    ) -> Result<(), Refusal> {
        let mut rest = block;
        let mut output = vec![0; UNPACK_BUFFER];
        loop {
            let (taken, given) = (stream.total_in(), stream.total_out());
            let status = stream
                .decompress(rest, &mut output, FlushDecompress::None)
                .map_err(|_| Refusal::StubInflate)?;
            let taken = usize::try_from(stream.total_in() - taken).unwrap_or(usize::MAX);
            let given = usize::try_from(stream.total_out() - given).unwrap_or(usize::MAX);
            let unpacked = output.get(..given).unwrap_or_default();
            if u32::try_from(given).is_ok_and(|given| given > self.remaining) {
                return Err(Refusal::StubTooMuchData);
            }
            self.program(unpacked, flash, generation)?;
            rest = rest.get(taken..).unwrap_or_default();
            match status {
                Status::StreamEnd if self.remaining > 0 => return Err(Refusal::StubNotEnoughData),
                Status::StreamEnd => return Ok(()),
                _ if taken == 0 && given == 0 => return Ok(()),
                _ => {}
            }
        }
    }

    /// Programs as much of `bytes` as was announced; the rest is padding.
    fn program(
        &mut self,
        bytes: &[u8],
        flash: &mut Flash<'_>,
        generation: Generation,
    ) -> Result<(), Refusal> {
        let bytes = bytes.get(..self.remaining as usize).unwrap_or(bytes);
        let length = u32::try_from(bytes.len()).map_err(|_| Refusal::StubTooMuchData)?;
        let end = self.address.saturating_add(length);
        self.erase_to(end, flash, generation)
            .and_then(|()| flash.write(self.address, bytes))
            .map_err(|_| Refusal::StubSpiOperation)?;
        self.address = end;
        self.remaining -= length;
        Ok(())
    }

    /// Erases the whole span at once.
    pub(super) fn erase_all(&mut self, flash: &mut Flash<'_>, generation: Generation) -> FlashResult {
        self.erase_to(self.erase_end, flash, generation)
    }

    /// Erases what is not erased yet before `end`, whole blocks where they fit into the span.
    fn erase_to(&mut self, end: u32, flash: &mut Flash<'_>, generation: Generation) -> FlashResult {
        while self.next_erase < end.min(self.erase_end) {
            let block = self.next_erase.is_multiple_of(BLOCK) && self.erase_end - self.next_erase >= BLOCK;
            let unit = if block { BLOCK } else { SECTOR };
            if !(generation == Generation::Current && self.skip_blank(unit, flash)?) {
                if block {
                    flash.erase_block(self.next_erase / BLOCK)?;
                } else {
                    flash.erase_sector(self.next_erase / SECTOR)?;
                }
            }
            self.next_erase += unit;
        }
        Ok(())
    }

    /// Whether the next unit is blank, and all before it were: after the first one with data nothing is looked at.
    fn skip_blank(
        &mut self,
        unit: u32,
        flash: &mut Flash<'_>,
    ) -> Result<bool, crate::flash_routines::FlashFailure> {
        if self.all_blank {
            let mut contents = vec![0; unit as usize];
            flash.read(self.next_erase, &mut contents)?;
            self.all_blank = contents.iter().all(|&byte| byte == 0xFF);
        }
        Ok(self.all_blank)
    }
}
