//! The log: which sectors of the ring count, in which order, and what they say.

use alloc::vec::Vec;

use embedded_storage::nor_flash::ReadNorFlash;

use super::{
    SECTOR,
    record::{Entry, Record},
    ring::{Place, SECTOR_HEADER, SectorHeader, SectorSet, Sectors, is_newer},
};

/// The sectors that count, around the ring from `oldest` to `newest`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    pub(super) oldest: Place,
    pub(super) newest: Place,
    /// Where in the newest sector the next record goes; its end if it takes no more.
    pub(super) end: u16,
}

impl<F: ReadNorFlash> Sectors<'_, F> {
    /// Finds the log, gives its records to `each`, the oldest first, and returns it and the highest sequence.
    pub(super) fn load(&mut self, mut each: impl FnMut(Record<'_>)) -> Result<(Option<Log>, u32), F::Error> {
        let mut found: Option<(u8, SectorHeader)> = None;
        for sector in self.ring.all_behind(0) {
            found = match (self.header(sector)?, found) {
                (Some(header), Some((_, best))) if is_newer(header.sequence, best.sequence) => {
                    Some((sector, header))
                }
                (Some(header), None) => Some((sector, header)),
                (_, found) => found,
            };
        }
        let Some((sector, header)) = found else { return Ok((None, 0)) };
        let newest = Place { sector, sequence: header.sequence };

        let oldest = self.next(Place { sector, sequence: header.oldest.wrapping_sub(1) }, newest)?;
        if self.ring.free(newest.sector, oldest.sector, SectorSet::default()).next().is_none() {
            // No log of this program: it always leaves a sector to go on in.
            return Ok((None, newest.sequence));
        }

        let mut buffer = Vec::new();
        let mut place = oldest;
        loop {
            let end = self.read_sector(place, &mut buffer, &mut each)?;
            if place.sector == newest.sector {
                // Bytes behind the last record are of one that was cut off: the sector takes no more.
                let end = match end {
                    Some(end) if self.is_blank(sector, end)? => end,
                    _ => SECTOR,
                };
                return Ok((Some(Log { oldest, newest, end }), newest.sequence));
            }
            place = self.next(place, newest)?;
        }
    }

    /// The sector that comes after `place` in the log: the next one around the ring that was written later.
    ///
    /// `newest` ends the log and is its own successor. What is garbage or left over between them is passed over.
    pub(super) fn next(&mut self, place: Place, newest: Place) -> Result<Place, F::Error> {
        for sector in self.ring.all_behind(place.sector) {
            if sector == newest.sector {
                break;
            }
            if let Some(SectorHeader { sequence, .. }) = self.header(sector)?
                && is_newer(sequence, place.sequence)
            {
                return Ok(Place { sector, sequence });
            }
        }
        Ok(newest)
    }

    /// Gives the records of a sector to `each` and returns where they end; `None` if anything was no record.
    fn read_sector(
        &mut self,
        place: Place,
        buffer: &mut Vec<u8>,
        each: &mut impl FnMut(Record<'_>),
    ) -> Result<Option<u16>, F::Error> {
        let mut offset = SECTOR_HEADER;
        let mut whole = true;
        loop {
            match self.entry(place.sector, offset)? {
                Entry::End => return Ok(whole.then_some(offset)),
                Entry::Damaged => return Ok(None),
                Entry::Record(header) => {
                    whole &= self.give(place, offset, header, buffer, each)?;
                    offset += header.length();
                }
            }
        }
    }
}
