//! Interrupts, the cycle counter and its comparator, and what happens between two instructions.

use crate::bus::Bus;
use crate::cpu::{PS_EXCM, PS_INTLEVEL, VECTOR_DEBUG, VECTOR_NMI};
use crate::{Cause, Cpu, Stop};

/// The interrupts that follow their line.
const LEVEL: u32 = 0x003F;
/// CCOMPARE0's interrupt.
const TIMER: u32 = 1 << 6;
/// The interrupt that only software sets.
const SOFTWARE: u32 = 1 << 7;
/// The interrupts that latch an edge.
const EDGE: u32 = 0x3F00;
/// The interrupt that nothing masks.
const NMI: u32 = 1 << 14;
/// The interrupts of level 1, which INTENABLE masks.
const LEVEL_ONE: u32 = 0x3FFF;
/// The cycles from one match to the next: CCOUNT has 32 bits.
const ROUND: u64 = 1 << 32;

/// INTERRUPT, INTENABLE, CCOUNT and CCOMPARE0.
pub(crate) struct Interrupts {
    levels: u32,
    latched: u32,
    enabled: u32,
    /// CCOUNT minus the cycle count.
    count_offset: u32,
    compare: u32,
    /// The cycle at which CCOUNT next becomes CCOMPARE0.
    due: u64,
}

/// The low half of a cycle count.
const fn low(cycles: u64) -> u32 {
    let [a, b, c, d, ..] = cycles.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl Interrupts {
    pub(crate) const fn new() -> Self {
        Self { levels: 0, latched: 0, enabled: 0, count_offset: 0, compare: 0, due: ROUND }
    }

    pub(crate) const fn pending(&self) -> u32 {
        self.levels | self.latched
    }

    pub(crate) const fn enabled(&self) -> u32 {
        self.enabled
    }

    pub(crate) fn enable(&mut self, value: u32) {
        self.enabled = value & (LEVEL_ONE | NMI);
    }

    pub(crate) fn set_software(&mut self, value: u32) {
        self.latched |= value & SOFTWARE;
    }

    pub(crate) fn clear(&mut self, value: u32) {
        self.latched &= !(value & (SOFTWARE | EDGE | NMI));
    }

    /// Takes over the lines; whether any interrupt is pending now that was not before, or the reverse.
    fn update(&mut self, levels: u32, edges: u32) -> bool {
        let before = self.pending();
        self.levels = levels & LEVEL;
        self.latched |= edges & (EDGE | NMI);
        self.pending() != before
    }

    pub(crate) const fn count(&self, cycles: u64) -> u32 {
        low(cycles).wrapping_add(self.count_offset)
    }

    pub(crate) const fn compare(&self) -> u32 {
        self.compare
    }

    pub(crate) const fn timer_due(&self) -> u64 {
        self.due
    }

    pub(crate) fn set_count(&mut self, value: u32, cycles: u64) {
        self.count_offset = value.wrapping_sub(low(cycles));
        self.schedule(cycles);
    }

    pub(crate) fn set_compare(&mut self, value: u32, cycles: u64) {
        self.compare = value;
        self.latched &= !TIMER;
        self.schedule(cycles);
    }

    /// The next match lies ahead: equal now means a whole round from now.
    fn schedule(&mut self, cycles: u64) {
        let ahead = u64::from(self.compare.wrapping_sub(self.count(cycles)).wrapping_sub(1)) + 1;
        self.due = cycles.saturating_add(ahead);
    }

    /// Latches the timer's interrupt where its cycle was reached; whether it was.
    pub(crate) fn match_timer(&mut self, cycles: u64) -> bool {
        let reached = cycles >= self.due;
        if reached {
            self.latched |= TIMER;
            self.schedule(cycles);
        }
        reached
    }
}

impl Cpu {
    /// Whether an interrupt would be taken before the next instruction.
    #[must_use]
    pub fn interrupt_pending(&self) -> bool {
        let pending = self.interrupts.pending();
        pending & NMI != 0
            || (pending & self.interrupts.enabled & LEVEL_ONE != 0 && self.interrupt_level() == 0)
    }

    /// Latches edge interrupts (bits 8 to 13, and 14 = NMI) as a device would, or software's (bit 7).
    pub fn latch_interrupts(&mut self, bits: u32) {
        self.interrupts.latched |= bits & (SOFTWARE | EDGE | NMI);
        self.attend_soon();
    }

    /// Clears latched interrupts (bits 7 to 14), as writing INTCLEAR does.
    pub fn clear_interrupts(&mut self, bits: u32) {
        self.interrupts.clear(bits);
        self.attend_soon();
    }

    /// Everything between two instructions: lines, timer, interrupts, the loop's stops. Sets the horizon up to
    /// which instructions may run without looking again.
    pub(crate) fn attend<B: Bus>(&mut self, bus: &mut B, until: u64) -> Option<Stop> {
        if core::mem::take(&mut self.simulator) {
            return Some(Stop::Simulator);
        }
        if self.watch.found() {
            return Some(Stop::Spinning);
        }
        if self.interrupts.match_timer(self.cycles) {
            self.watch.abandon();
        }
        let event = self.cycles >= self.next_poll;
        if event || self.poll_due {
            let poll = bus.poll(self.cycles);
            self.poll_due = false;
            self.next_poll = poll.next;
            if self.interrupts.update(poll.levels, poll.edges) || event {
                self.watch.abandon();
            }
        }
        if self.cycles >= until {
            return Some(Stop::Until);
        }
        if self.interrupt_pending() {
            self.waiting = false;
            self.interrupt();
        } else if self.waiting {
            return Some(Stop::Waiting);
        }
        let event = self.next_event().max(self.cycles.saturating_add(1));
        self.horizon = until.min(event);
        None
    }

    /// Enters the handler of what is pending.
    fn interrupt(&mut self) {
        if self.interrupts.pending() & NMI != 0 {
            self.interrupts.latched &= !NMI;
            self.epc[2] = self.pc;
            self.eps[1] = self.ps;
            self.ps = (self.ps & !PS_INTLEVEL) | PS_EXCM | 3;
            self.pc = self.vecbase.wrapping_add(VECTOR_NMI);
            self.watch.disturb();
        } else {
            self.raise(Cause::LevelOneInterrupt, 0);
        }
        self.cycles += 1;
    }

    /// BREAK: enters the debug vector, unless debug interrupts are masked.
    pub(crate) fn debug_break(&mut self, cause: u32) -> bool {
        let taken = self.interrupt_level() < 2;
        if taken {
            self.epc[1] = self.pc;
            self.eps[0] = self.ps;
            self.debugcause = cause;
            self.ps = (self.ps & !PS_INTLEVEL) | PS_EXCM | 2;
            self.pc = self.vecbase.wrapping_add(VECTOR_DEBUG);
            self.watch.disturb();
            self.attend_soon();
        }
        taken
    }
}
