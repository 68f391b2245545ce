//! The loop around the CPU: machine code, native ROM functions, waiting, and what ends it.

use std::time::Duration;

use espbroker_lx106::{Cpu, SpecialRegister, Stop};

use crate::boot::{Cause, Strap};
use crate::machine::{Machine, Step, rom};

/// Where the ROM's reset handler is: jumping to it starts the ROM anew.
const RESET_HANDLER: u32 = 0x4000_0080;
/// In the ROM's `main`: loads and starts the image in flash.
const BOOT_FROM_FLASH: u32 = 0x4000_10A8;
/// In the ROM's `main`: where code returns to that it has started.
const USER_CODE_DONE: u32 = 0x4000_1100;
/// The stack that is left when the ROM starts code.
const STACK: u32 = 0x3FFF_FFF0;
/// PS when the ROM starts code: exceptions at the user vector, no interrupt masked.
const STARTED: u32 = 0x20;
/// CCOMPARE0's interrupt.
const TIMER_INTERRUPT: u32 = 1 << 6;
/// Cycles after which the loop looks at supply and resets.
const SLICE: u64 = 52_000;
/// How far a busy CPU is looked ahead.
const BUSY_SLICE: Duration = Duration::from_micros(100);

/// Why machine code stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The time is reached, or the supply is gone.
    Until,
    /// The chip was reset by its own doing.
    Reset(Cause),
    /// The code went back into the ROM, to the place that boots from flash.
    BootFromFlash,
    /// The code cannot go on; [`crate::machine::Board::trace`] says why.
    Stuck,
}

/// What the CPU did last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Activity {
    /// It works.
    #[default]
    Busy,
    /// It waits; nothing changes by itself before this cycle.
    Idle(u64),
}

impl Machine {
    /// A reset: the ROM has started and filled its data in RAM.
    pub(crate) fn restart(&mut self, cause: Cause, strap: Strap) {
        self.cpu = Cpu::reset();
        self.bus.restart(cause, strap);
        rom::prepare(self);
    }

    /// Starts code at `now` as the boot ROM's `main` does.
    pub(crate) fn enter(&mut self, entry: u32, now: Duration) {
        self.bus.start_clock(self.cpu.cycles(), now);
        let [a0, a1, a2, ..] = &mut self.cpu.a;
        (*a0, *a1, *a2) = (USER_CODE_DONE, STACK, entry);
        self.cpu.pc = entry;
        self.cpu.set_special(SpecialRegister::Ps, STARTED);
        self.activity = Activity::Busy;
    }

    /// Runs until `to`, by a few cycles more.
    pub(crate) fn advance(&mut self, to: Duration) -> Halt {
        let until = self.bus.time.cycle_at(to);
        self.activity = Activity::Busy;
        self.bus.touch();
        loop {
            if let Some(cause) = self.bus.reset.take() {
                return Halt::Reset(cause);
            }
            if self.bus.take_code_changed() {
                self.cpu.forget_code();
            }
            let now = self.cpu.cycles();
            if now >= until || self.bus.nor.lock().power_lost_at().is_some() {
                return Halt::Until;
            }
            let stop = self.cpu.run(&mut self.bus, until.min(now + SLICE));
            // One cycle each, as the interpreter counts.
            self.executed += self.cpu.cycles() - now;
            match stop {
                // The chip has no simulator to call, and the instruction does nothing.
                Stop::Until | Stop::Simulator => self.activity = Activity::Busy,
                Stop::Waiting => {
                    let event = self.next_interruption();
                    self.cpu.pass(event.min(until).saturating_sub(self.cpu.cycles()));
                    self.activity = Activity::Idle(event);
                }
                Stop::Spinning => {
                    let event = self.next_interruption();
                    if self.bus.reset.is_none() {
                        self.cpu.skip(event.min(until));
                        if event > until {
                            self.activity = Activity::Idle(event);
                            return Halt::Until;
                        }
                    }
                }
                Stop::Native => {
                    if let Some(halt) = self.native(until) {
                        return halt;
                    }
                }
            }
        }
    }

    fn native(&mut self, until: u64) -> Option<Halt> {
        match self.cpu.pc {
            RESET_HANDLER => return Some(Halt::Reset(Cause::External)),
            BOOT_FROM_FLASH => return Some(Halt::BootFromFlash),
            _ => {}
        }
        self.activity = Activity::Busy;
        match rom::step(self) {
            Step::Return { cycles } => {
                let [a0, ..] = self.cpu.a;
                self.cpu.pc = a0;
                self.cpu.pass(cycles);
            }
            Step::Go { cycles } => self.cpu.pass(cycles),
            Step::Wait { until: ready } => {
                let now = self.cpu.cycles();
                let poll = espbroker_lx106::Bus::poll(&mut self.bus, now);
                self.cpu.latch_interrupts(poll.edges);
                let event = self.bus.time.cycle_at(ready).min(self.next_interruption());
                self.cpu.pass(event.min(until).saturating_sub(now).max(1));
                self.activity = Activity::Idle(event);
            }
            Step::Stuck(why) => {
                self.bus.trace.push(why);
                return Some(Halt::Stuck);
            }
        }
        None
    }

    /// The cycle at which a CPU that waits is called for next, by a device or by its own timer if that is enabled.
    fn next_interruption(&self) -> u64 {
        let timer = self.cpu.special(SpecialRegister::Intenable) & TIMER_INTERRUPT != 0;
        if timer { self.bus.due().min(self.cpu.timer_due()) } else { self.bus.due() }
    }

    /// When the CPU has something to do next; `None` when only the host can change that.
    pub(crate) fn next_event(&self) -> Option<Duration> {
        match self.activity {
            Activity::Busy => Some(self.now() + BUSY_SLICE),
            Activity::Idle(u64::MAX) => None,
            Activity::Idle(cycle) => Some(self.bus.time.at(cycle)),
        }
    }
}
