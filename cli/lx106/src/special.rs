//! The special registers that the LX106 has, and which of RSR, WSR and XSR reach them.

/// A special register, by its number in RSR, WSR and XSR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SpecialRegister {
    /// Shift amount, 6 bits.
    Sar = 3,
    /// Base of L32R when bit 0 is set.
    Litbase = 5,
    /// Enables the instruction breakpoint.
    Ibreakenable = 96,
    /// Debug data.
    Ddr = 104,
    /// Address of the instruction breakpoint.
    Ibreaka0 = 128,
    /// Address of the data breakpoint.
    Dbreaka0 = 144,
    /// Control of the data breakpoint.
    Dbreakc0 = 160,
    /// First half of the configuration's identity; read only.
    Configid0 = 176,
    /// Where RFE returns to.
    Epc1 = 177,
    /// Where RFI 2 returns to.
    Epc2 = 178,
    /// Where RFI 3 returns to.
    Epc3 = 179,
    /// Where RFDE returns to.
    Depc = 192,
    /// The PS that RFI 2 restores.
    Eps2 = 194,
    /// The PS that RFI 3 restores.
    Eps3 = 195,
    /// Second half of the configuration's identity; read only.
    Configid1 = 208,
    /// Scratch of exception code, level 1.
    Excsave1 = 209,
    /// Scratch of exception code, level 2.
    Excsave2 = 210,
    /// Scratch of exception code, level 3.
    Excsave3 = 211,
    /// Pending interrupts; written as INTSET, which sets software interrupts.
    Interrupt = 226,
    /// Clears software, edge and NMI latches; write only.
    Intclear = 227,
    /// Which level-1 interrupts are enabled.
    Intenable = 228,
    /// Processor state.
    Ps = 230,
    /// Base of the vectors.
    Vecbase = 231,
    /// Cause of the last exception.
    Exccause = 232,
    /// Cause of the last debug exception.
    Debugcause = 233,
    /// Cycle count.
    Ccount = 234,
    /// Processor identity; read only.
    Prid = 235,
    /// Instruction count; holds what is written.
    Icount = 236,
    /// Level below which instructions are counted; holds what is written.
    Icountlevel = 237,
    /// Address of the last faulting access.
    Excvaddr = 238,
    /// Cycle count at which the timer interrupt fires.
    Ccompare0 = 240,
}

impl SpecialRegister {
    /// All of them, by number.
    pub const ALL: [Self; 31] = [
        Self::Sar,
        Self::Litbase,
        Self::Ibreakenable,
        Self::Ddr,
        Self::Ibreaka0,
        Self::Dbreaka0,
        Self::Dbreakc0,
        Self::Configid0,
        Self::Epc1,
        Self::Epc2,
        Self::Epc3,
        Self::Depc,
        Self::Eps2,
        Self::Eps3,
        Self::Configid1,
        Self::Excsave1,
        Self::Excsave2,
        Self::Excsave3,
        Self::Interrupt,
        Self::Intclear,
        Self::Intenable,
        Self::Ps,
        Self::Vecbase,
        Self::Exccause,
        Self::Debugcause,
        Self::Ccount,
        Self::Prid,
        Self::Icount,
        Self::Icountlevel,
        Self::Excvaddr,
        Self::Ccompare0,
    ];

    /// The register with this number, where the LX106 has one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|register| register.number() == number)
    }

    /// The number in the instruction word.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether RSR exists for it.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        !matches!(self, Self::Intclear)
    }

    /// Whether WSR exists for it.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        !matches!(self, Self::Prid | Self::Configid0 | Self::Configid1)
    }

    /// Whether XSR exists for it: it can be read and written, and both mean the same register.
    #[must_use]
    pub const fn is_exchangeable(self) -> bool {
        self.is_readable() && self.is_writable() && !matches!(self, Self::Interrupt)
    }

    /// The assembler's name, as RSR names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sar => "sar",
            Self::Litbase => "litbase",
            Self::Ibreakenable => "ibreakenable",
            Self::Ddr => "ddr",
            Self::Ibreaka0 => "ibreaka0",
            Self::Dbreaka0 => "dbreaka0",
            Self::Dbreakc0 => "dbreakc0",
            Self::Configid0 => "configid0",
            Self::Epc1 => "epc1",
            Self::Epc2 => "epc2",
            Self::Epc3 => "epc3",
            Self::Depc => "depc",
            Self::Eps2 => "eps2",
            Self::Eps3 => "eps3",
            Self::Configid1 => "configid1",
            Self::Excsave1 => "excsave1",
            Self::Excsave2 => "excsave2",
            Self::Excsave3 => "excsave3",
            Self::Interrupt => "interrupt",
            Self::Intclear => "intclear",
            Self::Intenable => "intenable",
            Self::Ps => "ps",
            Self::Vecbase => "vecbase",
            Self::Exccause => "exccause",
            Self::Debugcause => "debugcause",
            Self::Ccount => "ccount",
            Self::Prid => "prid",
            Self::Icount => "icount",
            Self::Icountlevel => "icountlevel",
            Self::Excvaddr => "excvaddr",
            Self::Ccompare0 => "ccompare0",
        }
    }
}
