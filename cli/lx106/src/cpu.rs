//! The CPU's state: registers, time, and the loop that runs code.

use crate::bus::{Bus, Fault};
use crate::cache::Cache;
use crate::idle::Watch;
use crate::interrupts::Interrupts;
use crate::{Cause, Instruction, SpecialRegister};

/// PS: interrupts up to this level are masked.
pub(crate) const PS_INTLEVEL: u32 = 0xF;
/// PS: exception mode.
pub(crate) const PS_EXCM: u32 = 1 << 4;
/// PS: user vector mode.
pub(crate) const PS_UM: u32 = 1 << 5;
/// The bits of PS that hold what is written: without an MMU there is no RING.
const PS_WRITABLE: u32 = 0x0007_0F3F;

/// Offsets of the vectors from VECBASE.
pub(crate) const VECTOR_DEBUG: u32 = 0x10;
pub(crate) const VECTOR_NMI: u32 = 0x20;
const VECTOR_KERNEL: u32 = 0x30;
const VECTOR_USER: u32 = 0x50;
const VECTOR_DOUBLE: u32 = 0x70;
/// Where the chip starts: its reset vector is strapped to the ROM.
const RESET: u32 = 0x4000_0080;

/// Why [`Cpu::run`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The cycle was reached.
    Until,
    /// PC is at an address that the caller executes itself; nothing of it has been done.
    Native,
    /// WAITI was executed and no interrupt that would end it is pending. PC is behind it. Time has to pass.
    Waiting,
    /// A loop came round without changing anything and without an effect outside: only an interrupt or a
    /// device's event ends it. PC is at its head. [`Cpu::skip`] passes time; to go on at once is as right.
    Spinning,
    /// SIMCALL was executed. PC is behind it (3 bytes); the chip itself has no simulator to call.
    Simulator,
}

/// The LX106.
pub struct Cpu {
    /// The address registers.
    pub a: [u32; 16],
    /// The address of the next instruction.
    pub pc: u32,
    pub(crate) cycles: u64,
    /// The next cycle at which the loop has to look at anything but instructions; 0 = now.
    pub(crate) horizon: u64,
    pub(crate) sar: u32,
    pub(crate) ps: u32,
    pub(crate) litbase: u32,
    pub(crate) vecbase: u32,
    pub(crate) epc: [u32; 3],
    pub(crate) eps: [u32; 2],
    excsave: [u32; 3],
    pub(crate) depc: u32,
    exccause: u32,
    excvaddr: u32,
    pub(crate) debugcause: u32,
    ibreakenable: u32,
    ibreaka: u32,
    dbreaka: u32,
    dbreakc: u32,
    ddr: u32,
    icount: u32,
    icountlevel: u32,
    /// The attributes of the eight regions, for instructions and data.
    pub(crate) attributes: [[u32; 8]; 2],
    pub(crate) interrupts: Interrupts,
    pub(crate) watch: Watch,
    pub(crate) poll_due: bool,
    pub(crate) next_poll: u64,
    pub(crate) waiting: bool,
    pub(crate) simulator: bool,
    cache: Cache,
}

impl core::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "pc {:08x} ps {:x} sar {} cycles {}", self.pc, self.ps, self.sar, self.cycles)?;
        for (number, value) in self.a.iter().enumerate() {
            write!(f, " a{number} {value:08x}")?;
        }
        Ok(())
    }
}

impl Cpu {
    /// The CPU as it comes out of reset at cycle 0: PS 0x1F, VECBASE 0x40000000, PC at the ROM's reset vector.
    #[must_use]
    pub fn reset() -> Self {
        Self {
            a: [0; 16],
            pc: RESET,
            cycles: 0,
            horizon: 0,
            sar: 0,
            ps: PS_EXCM | PS_INTLEVEL,
            litbase: 0,
            vecbase: 0x4000_0000,
            epc: [0; 3],
            eps: [0; 2],
            excsave: [0; 3],
            depc: 0,
            exccause: 0,
            excvaddr: 0,
            debugcause: 0,
            ibreakenable: 0,
            ibreaka: 0,
            dbreaka: 0,
            dbreakc: 0,
            ddr: 0,
            icount: 0,
            icountlevel: 0,
            attributes: [[2; 8]; 2],
            interrupts: Interrupts::new(),
            watch: Watch::new(),
            poll_due: true,
            next_poll: 0,
            waiting: false,
            simulator: false,
            cache: Cache::new(),
        }
    }

    /// Cycles since reset.
    #[must_use]
    pub const fn cycles(&self) -> u64 {
        self.cycles
    }

    /// Lets time pass without executing: CCOUNT follows, and the timer interrupt fires where it is due.
    pub fn pass(&mut self, cycles: u64) {
        self.cycles = self.cycles.saturating_add(cycles);
        self.interrupts.match_timer(self.cycles);
    }

    /// After [`Stop::Spinning`]: lets whole rounds of the loop pass, as many as end by cycle `to`. The code
    /// sees the same CCOUNT as if they had been executed.
    pub fn skip(&mut self, to: u64) {
        let period = self.watch.period();
        let rounds = to.saturating_sub(self.cycles).checked_div(period).unwrap_or(0);
        self.pass(rounds.saturating_mul(period));
    }

    /// The cycle of the CPU's own next event: CCOUNT reaches CCOMPARE0.
    #[must_use]
    pub const fn timer_due(&self) -> u64 {
        self.interrupts.timer_due()
    }

    /// The next cycle at which anything can change by itself: the timer's, or the one that the last
    /// [`Bus::poll`] named.
    #[must_use]
    pub fn next_event(&self) -> u64 {
        self.next_poll.min(self.timer_due())
    }

    /// Drops all decoded instructions: code memory was changed from outside (an upload, a cache switch).
    pub fn forget_code(&mut self) {
        self.cache.forget();
    }

    /// Drops the decoded instructions in `length` bytes from `address` on, which were written from outside.
    pub fn forget_code_at(&mut self, address: u32, length: u32) {
        self.cache.written(address, length);
    }

    /// Raises an exception at PC as the hardware does: EPC1 (in exception mode DEPC), EXCCAUSE, EXCVADDR where
    /// the cause has an address, PS, and PC at the vector.
    pub fn raise(&mut self, cause: Cause, address: u32) {
        self.exccause = cause.number();
        if cause.has_address() {
            self.excvaddr = address;
        }
        self.enter_exception();
    }

    fn enter_exception(&mut self) {
        let vector = if self.ps & PS_EXCM != 0 {
            self.depc = self.pc;
            VECTOR_DOUBLE
        } else {
            self.epc[0] = self.pc;
            if self.ps & PS_UM != 0 { VECTOR_USER } else { VECTOR_KERNEL }
        };
        self.ps |= PS_EXCM;
        self.pc = self.vecbase.wrapping_add(vector);
        self.watch.disturb();
        self.attend_soon();
    }

    /// Whether the CPU has executed WAITI and still waits.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// The value of a special register, as RSR reads it; INTCLEAR, which cannot be read, gives 0.
    #[must_use]
    pub fn special(&self, register: SpecialRegister) -> u32 {
        use SpecialRegister as S;
        match register {
            S::Sar => self.sar,
            S::Litbase => self.litbase,
            S::Ibreakenable => self.ibreakenable,
            S::Ddr => self.ddr,
            S::Ibreaka0 => self.ibreaka,
            S::Dbreaka0 => self.dbreaka,
            S::Dbreakc0 => self.dbreakc,
            S::Configid0 => 0xC28C_DAFA,
            S::Epc1 => self.epc[0],
            S::Epc2 => self.epc[1],
            S::Epc3 => self.epc[2],
            S::Depc => self.depc,
            S::Eps2 => self.eps[0],
            S::Eps3 => self.eps[1],
            S::Configid1 => 0x1082_B6F6,
            S::Excsave1 => self.excsave[0],
            S::Excsave2 => self.excsave[1],
            S::Excsave3 => self.excsave[2],
            S::Interrupt => self.interrupts.pending(),
            S::Intclear | S::Prid => 0,
            S::Intenable => self.interrupts.enabled(),
            S::Ps => self.ps,
            S::Vecbase => self.vecbase,
            S::Exccause => self.exccause,
            S::Debugcause => self.debugcause,
            S::Ccount => self.interrupts.count(self.cycles),
            S::Icount => self.icount,
            S::Icountlevel => self.icountlevel,
            S::Excvaddr => self.excvaddr,
            S::Ccompare0 => self.interrupts.compare(),
        }
    }

    /// Writes a special register, as WSR does: INTERRUPT sets software interrupts, INTCLEAR clears latches,
    /// CCOMPARE0 clears the timer interrupt. Read-only registers stay as they are.
    pub fn set_special(&mut self, register: SpecialRegister, value: u32) {
        use SpecialRegister as S;
        match register {
            S::Sar => self.sar = value & 0x3F,
            S::Litbase => self.litbase = value & 0xFFFF_F001,
            S::Ibreakenable => self.ibreakenable = value & 1,
            S::Ddr => self.ddr = value,
            S::Ibreaka0 => self.ibreaka = value,
            S::Dbreaka0 => self.dbreaka = value,
            S::Dbreakc0 => self.dbreakc = value & 0xC000_003F,
            S::Epc1 => self.epc[0] = value,
            S::Epc2 => self.epc[1] = value,
            S::Epc3 => self.epc[2] = value,
            S::Depc => self.depc = value,
            S::Eps2 => self.eps[0] = value,
            S::Eps3 => self.eps[1] = value,
            S::Excsave1 => self.excsave[0] = value,
            S::Excsave2 => self.excsave[1] = value,
            S::Excsave3 => self.excsave[2] = value,
            S::Configid0 | S::Configid1 | S::Prid => {}
            S::Interrupt => self.interrupts.set_software(value),
            S::Intclear => self.interrupts.clear(value),
            S::Intenable => self.interrupts.enable(value),
            S::Ps => self.ps = value & PS_WRITABLE,
            S::Vecbase => self.vecbase = value,
            S::Exccause => self.exccause = value,
            S::Debugcause => self.debugcause = value & 0x3F,
            S::Ccount => self.interrupts.set_count(value, self.cycles),
            S::Icount => self.icount = value,
            S::Icountlevel => self.icountlevel = value & 0xF,
            S::Excvaddr => self.excvaddr = value,
            S::Ccompare0 => self.interrupts.set_compare(value, self.cycles),
        }
        if !matches!(register, S::Sar | S::Ps) {
            self.watch.disturb();
        }
        if matches!(register, S::Ps | S::Interrupt | S::Intclear | S::Intenable | S::Ccount | S::Ccompare0) {
            self.attend_soon();
        }
    }

    /// The loop looks at interrupts and time before the next instruction.
    #[inline(always)]
    pub(crate) fn attend_soon(&mut self) {
        self.horizon = 0;
    }

    /// The level that masks interrupts: PS.INTLEVEL, at least 1 in exception mode.
    #[must_use]
    pub fn interrupt_level(&self) -> u32 {
        let level = self.ps & PS_INTLEVEL;
        if self.ps & PS_EXCM != 0 { level.max(1) } else { level }
    }

    /// Executes until the cycle count reaches `until`, or until something happens that the caller has to act
    /// on. Interrupts are taken between instructions, also at addresses that the caller executes.
    pub fn run<B: Bus>(&mut self, bus: &mut B, until: u64) -> Stop {
        self.poll_due = true;
        self.watch.abandon();
        loop {
            if let Some(stop) = self.attend(bus, until) {
                return stop;
            }
            while self.cycles < self.horizon {
                let instruction = match self.cache.find(self.pc) {
                    Some(instruction) => instruction,
                    None => {
                        if bus.is_native(self.pc) {
                            return Stop::Native;
                        }
                        match self.fetch(bus) {
                            Ok(instruction) => instruction,
                            Err((fault, address)) => {
                                self.raise(fault.cause(), address);
                                self.cycles += 1;
                                continue;
                            }
                        }
                    }
                };
                self.execute(bus, instruction);
                self.cycles += 1;
            }
        }
    }

    /// Fetches and decodes the instruction at PC.
    #[cold]
    fn fetch<B: Bus>(&mut self, bus: &mut B) -> Result<Instruction, (Fault, u32)> {
        let pc = self.pc;
        let aligned = pc & !3;
        let skipped = pc & 3;
        let first = bus.fetch(aligned).map_err(|fault| (fault, pc))? >> (8 * skipped);
        let mut word = first;
        if skipped + Instruction::length_of(first.to_le_bytes()[0]) > 4 {
            let next = aligned.wrapping_add(4);
            word |= bus.fetch(next).map_err(|fault| (fault, next))? << (32 - 8 * skipped);
        }
        let instruction = Instruction::decode(word, pc);
        self.cache.keep(pc, instruction);
        Ok(instruction)
    }

    /// Code memory may have been written by a store.
    #[inline(always)]
    pub(crate) fn code_written(&mut self, address: u32, bytes: u32) {
        self.cache.written(address, bytes);
    }
}
