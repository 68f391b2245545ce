//! Decoded instructions by their address: direct mapped, filled as code runs.

use crate::Instruction;

/// Slots; addresses that differ by a multiple of this share one.
const SLOTS: usize = 1 << 15;

/// One slot.
#[derive(Clone, Copy)]
struct Slot {
    /// The instruction's address; an address that is not in `slot(address)` where nothing is.
    address: u32,
    instruction: Instruction,
}

/// The instructions decoded so far.
pub(crate) struct Cache {
    slots: Box<[Slot; SLOTS]>,
    /// All cached instructions lie in `low..high`.
    low: u32,
    high: u32,
}

/// The slot of an address.
const fn index(address: u32) -> usize {
    address as usize & (SLOTS - 1)
}

/// An address that never matches in the slot with this index: its low bits belong to another slot.
fn vacant(index: usize) -> Slot {
    Slot { address: u32::from(index == 0), instruction: Instruction::decode(0, 0) }
}

impl Cache {
    /// Nothing cached.
    pub(crate) fn new() -> Self {
        let slots: Vec<Slot> = (0..SLOTS).map(vacant).collect();
        let slots = slots.try_into().unwrap_or_else(|_| Box::new([vacant(1); SLOTS]));
        Self { slots, low: u32::MAX, high: 0 }
    }

    /// The instruction at this address, where it was decoded before.
    #[inline(always)]
    pub(crate) fn find(&self, address: u32) -> Option<Instruction> {
        match self.slots.get(index(address)) {
            Some(slot) if slot.address == address => Some(slot.instruction),
            _ => None,
        }
    }

    /// Keeps a decoded instruction.
    pub(crate) fn keep(&mut self, address: u32, instruction: Instruction) {
        if let Some(slot) = self.slots.get_mut(index(address)) {
            *slot = Slot { address, instruction };
            self.low = self.low.min(address);
            self.high = self.high.max(address.saturating_add(3));
        }
    }

    /// Drops everything.
    pub(crate) fn forget(&mut self) {
        if self.low < self.high {
            for (index, slot) in self.slots.iter_mut().enumerate() {
                *slot = vacant(index);
            }
        }
        (self.low, self.high) = (u32::MAX, 0);
    }

    /// Drops what the bytes from `address` on belong to, after they were written.
    #[inline(always)]
    pub(crate) fn written(&mut self, address: u32, bytes: u32) {
        if address < self.high && address.saturating_add(bytes) > self.low {
            self.drop_at(address, bytes);
        }
    }

    #[cold]
    fn drop_at(&mut self, address: u32, bytes: u32) {
        // An instruction is at most 3 bytes long.
        for behind in 0..bytes.saturating_add(2) {
            let start = address.wrapping_sub(2).wrapping_add(behind);
            if let Some(slot) = self.slots.get_mut(index(start))
                && slot.address == start
            {
                *slot = vacant(index(start));
            }
        }
    }
}
