//! [`Timers`]: FRC1, which counts down, and FRC2, which counts up to an alarm.
//!
//! Follows the vendor SDK's headers: a prescaler of 1, 16 or 256 on the peripheral clock, automatic reload for FRC1.
//! Both announce themselves with an edge, whatever the "level" bit of their control register says.

use crate::machine::time::Ticks;

const ENABLE: u32 = 1 << 7;
const RELOAD: u32 = 1 << 6;
const FIRED: u32 = 1 << 8;
const FRC1_BITS: u32 = 23;
const FRC1_MASK: u32 = (1 << FRC1_BITS) - 1;

/// Which of the two reached its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// FRC1 came to 0.
    Frc1,
    /// FRC2 came to its alarm.
    Frc2,
}

/// The two timers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    frc1: Counter,
    frc2: Counter,
    load1: u32,
    load2: u32,
    alarm: u32,
}

/// Steps since a known moment.
#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    control: u32,
    base: u32,
    since: Ticks,
}

impl Counter {
    const fn prescaler(self) -> Ticks {
        match self.control >> 2 & 3 {
            0 => 1,
            1 => 16,
            _ => 256,
        }
    }

    const fn is_enabled(self) -> bool {
        self.control & ENABLE != 0
    }

    const fn steps(self, now: Ticks) -> Ticks {
        if self.is_enabled() { now.saturating_sub(self.since) / self.prescaler() } else { 0 }
    }

    /// Starts anew from `value`.
    const fn set(&mut self, value: u32, now: Ticks) {
        self.base = value;
        self.since = now;
    }
}

impl Timers {
    fn count1(&self, now: Ticks) -> u32 {
        let [a, b, c, d, ..] = self.frc1.steps(now).to_le_bytes();
        self.frc1.base.wrapping_sub(u32::from_le_bytes([a, b, c, d])) & FRC1_MASK
    }

    fn count2(&self, now: Ticks) -> u32 {
        let [a, b, c, d, ..] = self.frc2.steps(now).to_le_bytes();
        self.frc2.base.wrapping_add(u32::from_le_bytes([a, b, c, d]))
    }

    /// Reads the register at `offset`.
    pub(crate) fn read(&self, offset: u32, now: Ticks) -> u32 {
        match offset {
            0x00 => self.load1,
            0x04 => self.count1(now),
            0x08 => self.frc1.control,
            0x20 => self.load2,
            0x24 => self.count2(now),
            0x28 => self.frc2.control,
            0x30 => self.alarm,
            _ => 0,
        }
    }

    /// Writes the register at `offset`.
    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Ticks) {
        match offset {
            0x00 => {
                self.load1 = value & FRC1_MASK;
                self.frc1.set(self.load1, now);
            }
            0x08 => {
                let count = self.count1(now);
                self.frc1.set(count, now);
                self.frc1.control = value & !FIRED | self.frc1.control & FIRED;
            }
            0x0C => self.frc1.control &= !FIRED,
            0x20 => {
                self.load2 = value;
                self.frc2.set(value, now);
            }
            0x28 => {
                let count = self.count2(now);
                self.frc2.set(count, now);
                self.frc2.control = value & !FIRED | self.frc2.control & FIRED;
            }
            0x2C => self.frc2.control &= !FIRED,
            0x30 => {
                let count = self.count2(now);
                self.frc2.set(count, now);
                self.alarm = value;
            }
            _ => {}
        }
    }

    fn fires1_at(&self) -> Option<Ticks> {
        let steps = if self.frc1.base == 0 { FRC1_MASK + 1 } else { self.frc1.base };
        self.frc1.is_enabled().then(|| self.frc1.since + Ticks::from(steps) * self.frc1.prescaler())
    }

    fn fires2_at(&self) -> Option<Ticks> {
        let steps = match self.alarm.wrapping_sub(self.frc2.base) {
            0 => 1 << 32,
            steps => Ticks::from(steps),
        };
        self.frc2.is_enabled().then(|| self.frc2.since + steps * self.frc2.prescaler())
    }

    /// When one of the timers reaches its end next.
    pub(crate) fn next_event(&self) -> Option<Ticks> {
        [self.fires1_at(), self.fires2_at()].into_iter().flatten().min()
    }

    /// The timer that has reached its end by `now`, if there is one; to be called until there is none.
    pub(crate) fn fire(&mut self, now: Ticks) -> Option<Timer> {
        if let Some(at) = self.fires1_at().filter(|&at| at <= now) {
            self.frc1.set(if self.frc1.control & RELOAD == 0 { 0 } else { self.load1 }, at);
            self.frc1.control |= FIRED;
            return Some(Timer::Frc1);
        }
        let at = self.fires2_at().filter(|&at| at <= now)?;
        self.frc2.set(self.alarm, at);
        self.frc2.control |= FIRED;
        Some(Timer::Frc2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frc1_counts_down_and_reloads() {
        let mut timers = Timers::default();
        timers.write(0x08, ENABLE | RELOAD | 1 << 2, 0);
        timers.write(0x00, 100, 1000);
        assert_eq!(timers.read(0x04, 1000 + 16 * 30), 70);
        assert_eq!(timers.next_event(), Some(1000 + 1600));
        assert_eq!(timers.fire(2599), None);
        assert_eq!((timers.fire(2600), timers.fire(2600)), (Some(Timer::Frc1), None));
        assert_eq!((timers.read(0x04, 2616), timers.next_event()), (99, Some(4200)));
        assert_ne!(timers.read(0x08, 2600) & FIRED, 0);
        timers.write(0x0C, 1, 2600);
        assert_eq!(timers.read(0x08, 2600) & FIRED, 0);
    }

    #[test]
    fn frc1_without_reload_wraps_at_23_bits() {
        let mut timers = Timers::default();
        timers.write(0x08, ENABLE, 0);
        timers.write(0x00, 5, 0);
        assert_eq!(timers.fire(5), Some(Timer::Frc1));
        assert_eq!(timers.read(0x04, 6), FRC1_MASK);
    }

    #[test]
    fn frc2_counts_up_and_fires_at_its_alarm_once_in_a_round() {
        let mut timers = Timers::default();
        timers.write(0x28, ENABLE | 3 << 2, 0);
        timers.write(0x20, 0, 0);
        timers.write(0x30, 10, 256 * 2);
        assert_eq!(timers.read(0x24, 256 * 9), 9);
        assert_eq!((timers.fire(256 * 10 - 1), timers.fire(256 * 10)), (None, Some(Timer::Frc2)));
        assert_eq!(timers.next_event(), Some(256 * (10 + (1 << 32))));
        timers.write(0x28, 0, 256 * 12);
        assert_eq!((timers.next_event(), timers.read(0x24, 256 * 99)), (None, 12));
    }
}
