//! [`Timebase`]: from the CPU's cycles to chip time and back.
//!
//! The peripheral clock is 52 MHz, what the ROM makes of a 26 MHz crystal; the CPU runs at it or at twice that
//! (0x3FF00014, bit 0). The vendor SDK corrects the PLL to 80 MHz later, which is not modelled.

use std::time::Duration;

use crate::uart::CLOCK;

/// Chip time in periods of the peripheral clock.
pub(crate) type Ticks = u64;

const MEGAHERTZ: u64 = (CLOCK / 1_000_000) as u64;

/// A cycle whose time is known, and how fast cycles go by from there on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timebase {
    cycle: u64,
    tick: Ticks,
    cycles_per_tick: u64,
}

impl Default for Timebase {
    fn default() -> Self {
        Self { cycle: 0, tick: 0, cycles_per_tick: 1 }
    }
}

/// The last tick that has begun at `time`.
pub(crate) fn ticks(time: Duration) -> Ticks {
    u64::try_from(time.as_nanos() * u128::from(MEGAHERTZ) / 1000).unwrap_or(Ticks::MAX)
}

/// The first tick that has not begun before `time`.
pub(crate) fn ticks_until(time: Duration) -> Ticks {
    u64::try_from((time.as_nanos() * u128::from(MEGAHERTZ)).div_ceil(1000)).unwrap_or(Ticks::MAX)
}

/// When a tick begins, at the latest.
pub(crate) const fn duration(ticks: Ticks) -> Duration {
    // The two parts keep the product inside 64 bits for 11 000 years of chip time.
    let seconds = ticks / CLOCK as u64;
    let rest = ticks % CLOCK as u64;
    let nanoseconds = (rest * 1000).div_ceil(MEGAHERTZ);
    match Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanoseconds)) {
        Some(time) => time,
        None => Duration::MAX,
    }
}

impl Timebase {
    /// How fast the CPU runs.
    pub(crate) const fn cycles_per_tick(&self) -> u64 {
        self.cycles_per_tick
    }

    /// The tick of a cycle; cycles before the known one count as it.
    pub(crate) const fn tick(&self, cycle: u64) -> Ticks {
        self.tick + cycle.saturating_sub(self.cycle) / self.cycles_per_tick
    }

    /// Chip time of a cycle.
    pub(crate) const fn at(&self, cycle: u64) -> Duration {
        duration(self.tick(cycle))
    }

    /// The first cycle of a tick.
    pub(crate) const fn cycle(&self, tick: Ticks) -> u64 {
        if tick == Ticks::MAX {
            return u64::MAX;
        }
        let ahead = tick.saturating_sub(self.tick);
        self.cycle.saturating_add(ahead.saturating_mul(self.cycles_per_tick))
    }

    /// The first cycle that is not before `time`.
    pub(crate) fn cycle_at(&self, time: Duration) -> u64 {
        self.cycle(ticks_until(time))
    }

    /// The CPU stood still until `time`, with its counter at `cycle`.
    pub(crate) fn align(&mut self, cycle: u64, time: Duration) {
        self.tick = ticks_until(time).max(self.tick(cycle));
        self.cycle = cycle;
    }

    /// From `cycle` on the CPU runs at the peripheral clock times `cycles_per_tick`.
    pub(crate) const fn change_speed(&mut self, cycle: u64, cycles_per_tick: u64) {
        self.tick = self.tick(cycle);
        self.cycle = cycle;
        self.cycles_per_tick = cycles_per_tick;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_and_time_come_back_to_each_other() {
        let mut base = Timebase::default();
        for time in [0, 1, 19, 20, 999_999, 123_456_789_012].map(Duration::from_nanos) {
            let cycle = base.cycle_at(time);
            assert!(base.at(cycle) >= time && base.at(cycle) < time + Duration::from_nanos(40));
        }
        assert_eq!(base.at(52_000_000), Duration::from_secs(1));
        base.change_speed(52_000_000, 2);
        assert_eq!(base.at(156_000_000), Duration::from_secs(2));
        base.align(156_000_000, Duration::from_secs(10));
        assert_eq!(base.cycle_at(Duration::from_secs(11)), 260_000_000);
    }

    #[test]
    fn no_time_is_too_long() {
        let mut base = Timebase::default();
        base.align(5, Duration::from_secs(1));
        assert_eq!(base.cycle_at(Duration::MAX), u64::MAX);
        assert_eq!(ticks(Duration::MAX), u64::MAX);
    }
}
