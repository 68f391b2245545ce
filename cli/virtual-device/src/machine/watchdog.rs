//! [`Watchdog`]: two stages, an interrupt and a reset.
//!
//! Follows the vendor SDK's register names; what is not documented is a guess: a stage lasts 0.8 ms times two to the
//! power of its code, the first stage raises the interrupt, the second one resets the chip in every response mode.

use crate::machine::time::{Ticks, ticks};
use std::time::Duration;

const ENABLE: u32 = 1;
const FEED: u32 = 0x73;
const UNIT: Duration = Duration::from_micros(800);
/// The longest stage: codes have four bits.
const CODE_MASK: u32 = 0xF;

/// What the watchdog does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bite {
    /// The first stage ran out.
    Interrupt,
    /// The second one did too.
    Reset,
}

/// The watchdog.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watchdog {
    control: u32,
    stages: [u32; 2],
    state: u32,
    since: Ticks,
}

impl Watchdog {
    /// Reads the register at `offset`.
    pub(crate) const fn read(&self, offset: u32) -> u32 {
        match (offset, self.stages) {
            (0x00, _) => self.control,
            (0x04, [first, _]) => first,
            (0x08, [_, second]) => second,
            (0x10, _) => self.state,
            _ => 0,
        }
    }

    /// Writes the register at `offset`.
    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Ticks) {
        match (offset, value) {
            (0x00, _) => {
                if value & !self.control & ENABLE != 0 {
                    self.restart(now);
                }
                self.control = value;
            }
            (0x04, _) => self.stages[0] = value,
            (0x08, _) => self.stages[1] = value,
            (0x14 | 0x18, FEED) => self.restart(now),
            _ => {}
        }
    }

    fn restart(&mut self, now: Ticks) {
        self.state = 0;
        self.since = now;
    }

    fn length(code: u32) -> Ticks {
        ticks(UNIT) << (code & CODE_MASK)
    }

    /// When a stage runs out next.
    pub(crate) fn next_event(&self) -> Option<Ticks> {
        let [first, second] = self.stages.map(Self::length);
        let length = if self.state == 0 { first } else { first + second };
        (self.control & ENABLE != 0).then(|| self.since + length)
    }

    /// What it does if a stage has run out by `now`.
    pub(crate) fn bite(&mut self, now: Ticks) -> Option<Bite> {
        if self.next_event()? > now {
            return None;
        }
        if self.state == 0 {
            self.state = 1;
            return Some(Bite::Interrupt);
        }
        self.control = 0;
        Some(Bite::Reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfed_watchdog_warns_first_and_then_resets() {
        let mut watchdog = Watchdog::default();
        assert_eq!(watchdog.next_event(), None);
        watchdog.write(0x04, 11, 0);
        watchdog.write(0x08, 12, 0);
        watchdog.write(0x00, 0x3D, 0);
        let first = ticks(Duration::from_micros(800 << 11));
        watchdog.write(0x14, FEED, 1000);
        assert_eq!(watchdog.bite(first + 999), None);
        assert_eq!(watchdog.bite(first + 1000), Some(Bite::Interrupt));
        assert_eq!((watchdog.read(0x10), watchdog.bite(first + 1000)), (1, None));
        assert_eq!(watchdog.next_event(), Some(first * 3 + 1000));
        assert_eq!(watchdog.bite(first * 3 + 1000), Some(Bite::Reset));
    }
}
