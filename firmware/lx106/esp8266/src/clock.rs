//! Time since the start, from the SDK's counter of microseconds, which wraps after 71 minutes.

use core::time::Duration;

/// The counter with its rounds counted.
#[derive(Debug)]
pub(crate) struct Clock {
    last: u32,
    total: u64,
}

impl Clock {
    /// A clock that begins with the counter's 0.
    pub(crate) const fn new() -> Self {
        Self { last: 0, total: 0 }
    }

    /// The time at this count. To be called once in a round of the counter at least.
    pub(crate) fn at(&mut self, count: u32) -> Duration {
        self.total += u64::from(count.wrapping_sub(self.last));
        self.last = count;
        Duration::from_micros(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_when_the_counter_has_gone_round() {
        let mut clock = Clock::new();
        assert_eq!(clock.at(5_000_000), Duration::from_secs(5));
        let before = clock.at(u32::MAX - 1);
        assert_eq!(clock.at(8) - before, Duration::from_micros(10));
        assert_eq!(clock.at(8) - before, Duration::from_micros(10), "no time, no progress");
    }
}
