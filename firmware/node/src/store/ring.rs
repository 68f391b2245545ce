//! The sectors of the ring: where they are, what each begins with, and how one is erased.

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use espbroker_config::{
    crc::Crc32,
    flash_map::{Region, SECTOR_SIZE},
};

use super::{SECTOR, WriteFault};

/// Bytes read or programmed at once; on the stack, which is 4 KB on the chip, and a page of the flash.
pub(super) const PIECE: usize = 256;

/// First bytes of every sector in use.
const MAGIC: [u8; 4] = *b"EBRM";
/// Layout that this program reads and writes.
const FORMAT: u16 = 1;
/// Bytes before the first record.
pub(super) const SECTOR_HEADER: u16 = 20;
/// As a length of arrays.
const HEADER_BYTES: usize = SECTOR_HEADER as usize;

/// Some sectors in a row that take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    offset: u32,
    sectors: u8,
}

impl Ring {
    /// The first `sectors` of a region: 4, which leave room for one sector of messages, to 64.
    pub(super) const fn at_start_of(region: Region, sectors: u8) -> Self {
        assert!(sectors >= 4 && sectors <= 64, "the ring turns, and has a bit for each sector");
        assert!(sectors as u32 * SECTOR_SIZE <= region.length, "the ring is inside its region");
        Self { offset: region.offset, sectors }
    }

    pub(super) const fn sectors(self) -> u8 {
        self.sectors
    }

    /// The sector that follows.
    const fn behind(self, sector: u8) -> u8 {
        if sector + 1 < self.sectors { sector + 1 } else { 0 }
    }

    /// Every sector once, beginning with the one that follows `sector` and ending with `sector` itself.
    pub(super) fn all_behind(self, sector: u8) -> impl Iterator<Item = u8> {
        let first = self.behind(sector);
        (first..self.sectors).chain(0..first)
    }

    /// Sectors that can be written after `newest` without touching `oldest` or a worn one.
    pub(super) fn free(self, newest: u8, oldest: u8, worn: SectorSet) -> impl Iterator<Item = u8> {
        self.all_behind(newest)
            .take_while(move |sector| *sector != oldest && *sector != newest)
            .filter(move |sector| !worn.contains(*sector))
    }

    /// Offset in flash of the byte at `offset` of a sector.
    pub(super) fn address(self, sector: u8, offset: u16) -> u32 {
        self.offset + u32::from(sector) * SECTOR_SIZE + u32::from(offset)
    }
}

/// Some sectors of the ring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SectorSet(u64);

impl SectorSet {
    pub(super) const fn contains(self, sector: u8) -> bool {
        self.0 >> (sector & 63) & 1 == 1
    }

    pub(super) const fn insert(&mut self, sector: u8) {
        self.0 |= 1 << (sector & 63);
    }

    pub(super) const fn count(self) -> u32 {
        self.0.count_ones()
    }
}

/// A sector, and the turn in which it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sector: u8,
    pub(super) sequence: u32,
}

/// What a sector of the log begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SectorHeader {
    /// Turn in which the sector was written.
    pub(super) sequence: u32,
    /// Turn of the oldest sector that still counted then; the sector's own if there was none.
    pub(super) oldest: u32,
}

impl SectorHeader {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let [.., s0, s1, s2, s3, o0, o1, o2, o3, _, _, _, _] = *bytes;
        let header = Self {
            sequence: u32::from_le_bytes([s0, s1, s2, s3]),
            oldest: u32::from_le_bytes([o0, o1, o2, o3]),
        };
        (header.bytes() == *bytes).then_some(header)
    }

    fn bytes(self) -> [u8; HEADER_BYTES] {
        let [m0, m1, m2, m3] = MAGIC;
        let [f0, f1] = FORMAT.to_le_bytes();
        let [s0, s1, s2, s3] = self.sequence.to_le_bytes();
        let [o0, o1, o2, o3] = self.oldest.to_le_bytes();
        let checked = [m0, m1, m2, m3, f0, f1, 0, 0, s0, s1, s2, s3, o0, o1, o2, o3];
        let [c0, c1, c2, c3] = Crc32::new().update(&checked).finish().to_le_bytes();
        [m0, m1, m2, m3, f0, f1, 0, 0, s0, s1, s2, s3, o0, o1, o2, o3, c0, c1, c2, c3]
    }
}

/// Whether turn `this` comes after `that`, as serial numbers (RFC 1982 §3.2).
pub(super) const fn is_newer(this: u32, that: u32) -> bool {
    this.wrapping_sub(that).cast_signed() > 0
}

/// The ring in its flash.
pub(super) struct Sectors<'a, F> {
    pub(super) ring: Ring,
    pub(super) flash: &'a mut F,
}

impl<F: ReadNorFlash> Sectors<'_, F> {
    /// The header of a sector; of one that is blank, garbage or of another format there is none.
    pub(super) fn header(&mut self, sector: u8) -> Result<Option<SectorHeader>, F::Error> {
        let mut bytes = [0; HEADER_BYTES];
        self.flash.read(self.ring.address(sector, 0), &mut bytes)?;
        Ok(SectorHeader::parse(&bytes))
    }

    /// Whether a sector is erased from `offset` to its end.
    pub(super) fn is_blank(&mut self, sector: u8, offset: u16) -> Result<bool, F::Error> {
        let mut buffer = [0; PIECE];
        for start in (offset..SECTOR).step_by(PIECE) {
            let length = PIECE.min(usize::from(SECTOR - start));
            let (piece, _) = buffer.split_at_mut(length);
            self.flash.read(self.ring.address(sector, start), piece)?;
            if piece.iter().any(|byte| *byte != 0xFF) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<F: NorFlash> Sectors<'_, F> {
    /// Erases a sector and looks whether that worked.
    pub(super) fn erase(&mut self, sector: u8) -> Result<(), WriteFault<F::Error>> {
        let start = self.ring.address(sector, 0);
        self.flash.erase(start, start + SECTOR_SIZE).map_err(WriteFault::Refused)?;
        match self.is_blank(sector, 0).map_err(WriteFault::Read)? {
            true => Ok(()),
            false => Err(WriteFault::Differs),
        }
    }

    /// Makes a sector that has been erased, and may hold records, the newest of the log.
    pub(super) fn write_header(
        &mut self,
        sector: u8,
        header: SectorHeader,
    ) -> Result<(), WriteFault<F::Error>> {
        self.flash.write(self.ring.address(sector, 0), &header.bytes()).map_err(WriteFault::Refused)?;
        match self.header(sector).map_err(WriteFault::Read)? == Some(header) {
            true => Ok(()),
            false => Err(WriteFault::Differs),
        }
    }
}
