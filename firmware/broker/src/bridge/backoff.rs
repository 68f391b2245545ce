//! [`Backoff`]: how long a bridge waits before it connects again.
//!
//! Decorrelated jitter, as mosquitto 2 does for `restart_timeout base cap`: each wait is drawn between the base and
//! three times the wait before, and is never above the cap (Brooker, "Exponential Backoff and Jitter", AWS
//! Architecture Blog, 2015). Where mosquitto waits exactly the base after a link that was up, this draws as well:
//! else all devices that lost the same broker would come back in the same second.

use crate::{bridge::settings::BridgeSettings, time::Instant};

/// The waits of one bridge; the same seed gives the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    /// Milliseconds, as all here.
    base: u64,
    cap: u64,
    wait: u64,
    random: SplitMix64,
}

impl Backoff {
    pub(crate) fn new(settings: &BridgeSettings, seed: u64) -> Self {
        let base = 1000 * u64::from(settings.restart_base.max(1));
        let cap = base.max(1000 * u64::from(settings.restart_cap));
        Self { base, cap, wait: base, random: SplitMix64(seed) }
    }

    /// When to connect again after a failure that may be over soon.
    pub(crate) fn soon(&mut self, now: Instant) -> Instant {
        // At least 1 ms wide, as the base is at least 1 s.
        let width = (3 * self.wait).saturating_sub(self.base).max(1);
        self.wait = self.cap.min(self.base + self.random.next() % width);
        now.after(self.wait)
    }

    /// When to connect again after a failure that lasts until somebody changes a setting: not before the cap.
    pub(crate) const fn late(&mut self, now: Instant) -> Instant {
        self.wait = self.cap;
        now.after(self.wait)
    }

    /// A link stayed up: the next wait is a short one again.
    pub(crate) const fn reset(&mut self) {
        self.wait = self.base;
    }
}

/// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. Any seed
/// will do, also the small numbers and addresses that devices have.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn backoff(restart_base: u16, restart_cap: u16, seed: u64) -> Backoff {
        let settings = BridgeSettings { restart_base, restart_cap, ..BridgeSettings::new("b", "h", "c") };
        Backoff::new(&settings, seed)
    }

    #[test]
    fn the_generator_gives_its_published_numbers() {
        // The first outputs for seed 1234567 of the reference implementation.
        let mut random = SplitMix64(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([(); 3].map(|()| random.next()), expected);
    }

    #[test]
    fn the_same_seed_gives_the_same_waits_and_another_seed_others() {
        let waits = |seed| {
            let mut backoff = backoff(5, 30, seed);
            [(); 8].map(|()| backoff.soon(Instant(0)))
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn waits_grow_until_a_reset() {
        // The mean of the first wait is twice the base, and that of the tenth is much nearer to the cap.
        let mean = |attempts: usize| {
            let waits = (0..200).map(|seed| {
                let mut backoff = backoff(1, 600, seed);
                (0..attempts).map(|_| backoff.soon(Instant(0)).0).last().unwrap()
            });
            waits.sum::<u64>() / 200
        };
        assert!((1_800..2_200).contains(&mean(1)), "{}", mean(1));
        assert!(mean(20) > 100_000, "{}", mean(20));
        for seed in 0..50 {
            let mut backoff = backoff(1, 600, seed);
            for _ in 0..20 {
                backoff.soon(Instant(0));
            }
            backoff.reset();
            assert!(backoff.soon(Instant(0)) < Instant(3_000));
        }
    }

    #[test]
    fn a_lasting_failure_waits_for_the_cap() {
        let mut backoff = backoff(5, 30, 7);
        assert_eq!(backoff.late(Instant(1_000)), Instant(31_000));
    }

    #[test]
    fn limits_that_contradict_each_other_still_give_a_wait() {
        assert_eq!(backoff(10, 5, 1).soon(Instant(0)), Instant(10_000));
        let waits: Vec<_> = (0..50).map(|seed| backoff(0, 0, seed).soon(Instant(0))).collect();
        assert!(waits.iter().all(|wait| *wait == Instant(1_000)), "{waits:?}");
    }

    proptest! {
        #[test]
        fn every_wait_is_between_base_and_cap(base in 1..3_600_u16, more in 0..3_600_u16, seed: u64) {
            let mut backoff = backoff(base, base + more, seed);
            for _ in 0..20 {
                let Instant(wait) = backoff.soon(Instant(0));
                prop_assert!(wait >= 1000 * u64::from(base) && wait <= 1000 * u64::from(base + more));
            }
        }
    }
}
