//! What the CPU sees of the chip: memory, devices, interrupt lines.

use crate::Cause;

/// The size of a data access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
}

impl Width {
    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
        }
    }
}

/// An access that the bus refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing to fetch instructions from: cause 2.
    FetchError,
    /// The memory cannot be accessed in this width or direction: cause 3.
    LoadStoreError,
    /// The region's attribute forbids fetching: cause 20.
    FetchProhibited,
    /// The region's attribute forbids loading: cause 28.
    LoadProhibited,
    /// The region's attribute forbids storing: cause 29.
    StoreProhibited,
}

impl Fault {
    /// The exception cause that the CPU reports for it.
    #[must_use]
    pub const fn cause(self) -> Cause {
        match self {
            Self::FetchError => Cause::FetchError,
            Self::LoadStoreError => Cause::LoadStoreError,
            Self::FetchProhibited => Cause::FetchProhibited,
            Self::LoadProhibited => Cause::LoadProhibited,
            Self::StoreProhibited => Cause::StoreProhibited,
        }
    }
}

/// The interrupt lines at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// The level interrupts (bits 0 to 5) that are asserted now.
    pub levels: u32,
    /// The edge interrupts (bits 8 to 13, and 14 = NMI) that fired since the last poll.
    pub edges: u32,
    /// The cycle of the next poll at the latest; no device changes by itself before it.
    pub next: u64,
}

/// Memory and devices around the CPU. `at` is the CPU's cycle count.
pub trait Bus {
    /// Fetches the instruction word at a word-aligned address.
    ///
    /// # Errors
    /// The fault that the fetch raises.
    fn fetch(&mut self, address: u32) -> Result<u32, Fault>;

    /// Loads from an address that is a multiple of the width; the value is zero-extended.
    ///
    /// # Errors
    /// The fault that the access raises; nothing has changed then.
    fn load(&mut self, address: u32, width: Width, at: u64) -> Result<u32, Fault>;

    /// Stores the low bits of `value` at an address that is a multiple of the width.
    ///
    /// # Errors
    /// The fault that the access raises; nothing has changed then.
    fn store(&mut self, address: u32, width: Width, value: u32, at: u64) -> Result<(), Fault>;

    /// Whether accesses to this address can change interrupt lines: the CPU polls after each.
    fn is_device(&self, address: u32) -> bool;

    /// Reports the interrupt lines and when to ask again.
    fn poll(&mut self, at: u64) -> Poll;

    /// Whether the caller executes this address itself: the CPU stops there. Must not change over time.
    fn is_native(&self, pc: u32) -> bool;

    /// Whether loading this device address has no effect and gives the same value until a store, or until
    /// the cycle that the last [`Poll::next`] named. A loop of such loads can be recognised as waiting.
    fn is_idle_read(&self, _address: u32) -> bool {
        false
    }
}
