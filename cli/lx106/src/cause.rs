//! The causes of exceptions: values of EXCCAUSE.

/// Why an exception was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// An instruction that does not exist.
    IllegalInstruction = 0,
    /// SYSCALL.
    SystemCall = 1,
    /// Nothing to fetch from at this address.
    FetchError = 2,
    /// The memory refuses the width or the direction of the access.
    LoadStoreError = 3,
    /// An interrupt of level 1.
    LevelOneInterrupt = 4,
    /// MOVSP needs a window spill; the LX106 never raises it.
    Alloca = 5,
    /// Division by zero; the LX106 has no divider and never raises it.
    DivideByZero = 6,
    /// A privileged instruction outside ring 0; the LX106 has one ring and never raises it.
    Privileged = 8,
    /// A load or store at an address that is not a multiple of its width.
    Unaligned = 9,
    /// A data error on the bus while fetching.
    FetchDataError = 12,
    /// A data error on the bus while loading or storing.
    LoadStoreDataError = 13,
    /// An address error on the bus while fetching.
    FetchAddressError = 14,
    /// An address error on the bus while loading or storing.
    LoadStoreAddressError = 15,
    /// The region's attribute forbids fetching.
    FetchProhibited = 20,
    /// The region's attribute forbids loading.
    LoadProhibited = 28,
    /// The region's attribute forbids storing.
    StoreProhibited = 29,
}

impl Cause {
    /// The value of EXCCAUSE.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Whether EXCVADDR receives the address with this cause.
    #[must_use]
    pub const fn has_address(self) -> bool {
        !matches!(
            self,
            Self::IllegalInstruction
                | Self::SystemCall
                | Self::LevelOneInterrupt
                | Self::Alloca
                | Self::DivideByZero
                | Self::Privileged
        )
    }
}
