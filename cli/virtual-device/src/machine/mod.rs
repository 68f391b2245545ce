//! [`Machine`]: the CPU and everything on its bus, running machine code.
//!
//! ```text
//!  chip --> Machine::advance --> Cpu::run --(load, store, fetch, poll)--> Board
//!                 |                                                        |- memory: DRAM, IRAM, flash window
//!                 +-- pc in the boot ROM --> rom::step (native functions)  |- uart, spi, timers, watchdog, rtc, gpio, ...
//! ```
//!
//! Time is the CPU's cycle counter; [`time`] translates it into the [`Duration`] that line and flash work with.

pub(crate) mod board;
mod bus;
pub(crate) mod dport;
pub(crate) mod gpio;
pub(crate) mod memory;
pub(crate) mod paravirtual;
pub(crate) mod registers;
pub(crate) mod rom;
pub(crate) mod rtc;
mod run;
pub(crate) mod spi;
pub(crate) mod time;
pub(crate) mod timers;
pub(crate) mod uart;
pub(crate) mod watchdog;
mod window;

use std::time::Duration;

use espbroker_lx106::{Bus, Cpu, Fault, Width};

pub(crate) use board::Board;
use run::Activity;
pub(crate) use run::Halt;

/// What a native function of the boot ROM has done with the CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The function is done: its result is in a2, and execution goes on at a0.
    Return {
        /// What it took.
        cycles: u64,
    },
    /// The program counter was set by the function, as in a call into machine code or an exception.
    Go {
        /// What it took.
        cycles: u64,
    },
    /// Nothing to do before `until`: the same address is called again then, or after an interrupt in between.
    Wait {
        /// Chip time; [`Duration::MAX`] waits for an interrupt alone.
        until: Duration,
    },
    /// The code cannot go on, and why.
    Stuck(String),
}

/// CPU and bus.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The LX106.
    pub(crate) cpu: Cpu,
    /// Everything that has an address.
    pub(crate) bus: Board,
    activity: Activity,
    /// Instructions executed, over all resets.
    pub(crate) executed: u64,
}

impl Machine {
    /// A machine that does not run yet.
    pub(crate) fn new(bus: Board) -> Self {
        Self { cpu: Cpu::reset(), bus, activity: Activity::Busy, executed: 0 }
    }

    /// Chip time: that of the CPU's present cycle.
    pub(crate) fn now(&self) -> Duration {
        self.bus.time.at(self.cpu.cycles())
    }

    /// Reads as machine code does, with the same faults.
    ///
    /// # Errors
    /// The exception that the access raises; the program counter is left alone.
    pub(crate) fn load(&mut self, address: u32, width: Width) -> Result<u32, Fault> {
        self.bus.load(address, width, self.cpu.cycles())
    }

    /// Writes as machine code does, with the same faults.
    ///
    /// # Errors
    /// The exception that the access raises; the program counter is left alone.
    pub(crate) fn store(&mut self, address: u32, width: Width, value: u32) -> Result<(), Fault> {
        self.bus.store(address, width, value, self.cpu.cycles())?;
        if self.bus.memory.is_code(address) {
            self.cpu.forget_code();
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
