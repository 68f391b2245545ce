//! [`Memory`]: data RAM, instruction RAM and what of the boot ROM can be read.
//!
//! Addresses and access rules of the vendor's memory map: data RAM takes every width, instruction RAM, ROM and the
//! flash window only aligned words. The ROM's contents are the vendor's and not here: its words read as 0 but for the
//! one that tells chips apart. On the chip, RAM holds anything after power-up; here it is 0.

use std::ops::Range;

use espbroker_flasher::protocol::CHIP_MAGIC_REGISTER;
use espbroker_lx106::Width;

/// Data RAM: the user's 80 KiB and the ROM's 16 KiB.
pub(crate) const DRAM: Range<u32> = 0x3FFE_8000..0x4000_0000;
/// The boot ROM.
pub(crate) const ROM: Range<u32> = 0x4000_0000..0x4001_0000;
/// Instruction RAM, with both blocks that could be cache.
pub(crate) const IRAM: Range<u32> = 0x4010_0000..0x4011_0000;
/// The part of the flash that the cache shows.
pub(crate) const FLASH_WINDOW: Range<u32> = 0x4020_0000..0x4030_0000;

/// RAM and ROM.
#[derive(Debug)]
pub(crate) struct Memory {
    dram: Vec<u8>,
    iram: Vec<u8>,
    /// What [`CHIP_MAGIC_REGISTER`] holds.
    pub(crate) magic: u32,
}

impl Memory {
    /// RAM that holds 0.
    pub(crate) fn new(magic: u32) -> Self {
        let length = |range: &Range<u32>| (range.end - range.start) as usize;
        Self { dram: vec![0; length(&DRAM)], iram: vec![0; length(&IRAM)], magic }
    }

    /// The supply went: RAM forgets.
    pub(crate) fn clear(&mut self) {
        self.dram.fill(0);
        self.iram.fill(0);
    }

    /// Whether instructions can be fetched from this RAM address.
    pub(crate) const fn is_code(&self, address: u32) -> bool {
        address >= IRAM.start && address < IRAM.end
    }

    /// A word of instruction RAM.
    #[inline]
    pub(crate) fn code(&self, address: u32) -> Option<u32> {
        word(&self.iram, address.wrapping_sub(IRAM.start) & !3)
    }

    /// A word of the ROM.
    pub(crate) const fn rom(&self, address: u32) -> u32 {
        if address & !3 == CHIP_MAGIC_REGISTER { self.magic } else { 0 }
    }

    /// Reads data RAM; `None` outside of it.
    #[inline]
    pub(crate) fn load_data(&self, address: u32, width: Width) -> Option<u32> {
        let offset = address.wrapping_sub(DRAM.start);
        match width {
            Width::Word => word(&self.dram, offset),
            Width::Half => {
                let bytes = self.dram.get(offset as usize..)?.first_chunk()?;
                Some(u16::from_le_bytes(*bytes).into())
            }
            Width::Byte => self.dram.get(offset as usize).map(|&byte| byte.into()),
        }
    }

    /// Writes data RAM; `None` outside of it.
    #[inline]
    pub(crate) fn store_data(&mut self, address: u32, width: Width, value: u32) -> Option<()> {
        let offset = address.wrapping_sub(DRAM.start) as usize;
        let [low, high, ..] = value.to_le_bytes();
        match width {
            Width::Word => *self.dram.get_mut(offset..)?.first_chunk_mut()? = value.to_le_bytes(),
            Width::Half => *self.dram.get_mut(offset..)?.first_chunk_mut()? = [low, high],
            Width::Byte => *self.dram.get_mut(offset)? = low,
        }
        Some(())
    }

    /// Writes a word of instruction RAM; `None` outside of it.
    #[inline]
    pub(crate) fn store_code(&mut self, address: u32, value: u32) -> Option<()> {
        let offset = address.wrapping_sub(IRAM.start) & !3;
        *self.iram.get_mut(offset as usize..)?.first_chunk_mut()? = value.to_le_bytes();
        Some(())
    }

    /// Copies `bytes` into RAM; false when not all of it is RAM, and then nothing is copied.
    pub(crate) fn fill(&mut self, address: u32, bytes: &[u8]) -> bool {
        let target =
            [(&DRAM, &mut self.dram), (&IRAM, &mut self.iram)].into_iter().find_map(|(range, memory)| {
                let start = address.checked_sub(range.start)? as usize;
                memory.get_mut(start..start.checked_add(bytes.len())?)
            });
        match target {
            Some(target) => {
                target.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }

    /// `length` bytes of data RAM from `address` on; `None` when not all of it is data RAM.
    pub(crate) fn data(&self, address: u32, length: usize) -> Option<&[u8]> {
        let start = address.checked_sub(DRAM.start)? as usize;
        self.dram.get(start..start.checked_add(length)?)
    }

    /// The same, to be written.
    pub(crate) fn data_mut(&mut self, address: u32, length: usize) -> Option<&mut [u8]> {
        let start = address.checked_sub(DRAM.start)? as usize;
        self.dram.get_mut(start..start.checked_add(length)?)
    }

    /// `length` bytes of RAM from `address` on; `None` when not all of it is RAM.
    #[cfg(test)]
    pub(crate) fn ram(&self, address: u32, length: usize) -> Option<&[u8]> {
        [(&DRAM, &self.dram), (&IRAM, &self.iram)].into_iter().find_map(|(range, memory)| {
            let start = address.checked_sub(range.start)? as usize;
            memory.get(start..start.checked_add(length)?)
        })
    }
}

#[inline]
fn word(memory: &[u8], offset: u32) -> Option<u32> {
    memory.get(offset as usize..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_takes_bytes_up_to_its_last_and_not_one_more() {
        let mut memory = Memory::new(0);
        assert!(memory.fill(0x4010_C504, &[1, 2, 3, 4, 5]));
        assert_eq!(memory.code(0x4010_C505), Some(0x0403_0201));
        assert!(memory.fill(0x3FFF_FFFF, &[9]));
        assert!(!memory.fill(0x3FFF_FFFF, &[9, 9]));
        assert!(!memory.fill(0x4000_0000, &[9]));
        assert!(!memory.fill(u32::MAX, &[9, 9]));
    }

    #[test]
    fn data_ram_takes_every_width() {
        let mut memory = Memory::new(0);
        memory.store_data(0x3FFE_8000, Width::Word, 0x4433_2211).unwrap();
        memory.store_data(0x3FFE_8001, Width::Byte, 0xAA).unwrap();
        memory.store_data(0x3FFE_8002, Width::Half, 0xCCBB).unwrap();
        assert_eq!(memory.load_data(0x3FFE_8000, Width::Word), Some(0xCCBB_AA11));
        assert_eq!(memory.load_data(0x3FFE_8002, Width::Half), Some(0xCCBB));
        assert_eq!(memory.load_data(0x4000_0000, Width::Byte), None);
        assert_eq!(memory.store_data(0x3FFE_7FFF, Width::Byte, 0), None);
    }
}
