//! [`Instant`]: the caller's clock.

/// Milliseconds since a point that the caller chose and keeps; never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The instant `milliseconds` later; stays at the largest one.
    #[must_use]
    pub const fn after(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

/// An [`Instant`] of the last 49 days, in half of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(u32);

impl Moment {
    /// The instant, looked back at from `now`.
    pub(crate) fn instant(self, now: Instant) -> Instant {
        let Self(present) = now.into();
        Instant(now.0.saturating_sub(u64::from(present.wrapping_sub(self.0))))
    }
}

impl From<Instant> for Moment {
    #[inline]
    fn from(instant: Instant) -> Self {
        let [a, b, c, d, ..] = instant.0.to_le_bytes();
        Self(u32::from_le_bytes([a, b, c, d]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_its_instant_for_49_days() {
        for then in [0, 1, u64::from(u32::MAX), 1 << 33] {
            for passed in [0, 1, 1000, u64::from(u32::MAX)] {
                let moment = Moment::from(Instant(then));
                assert_eq!(moment.instant(Instant(then + passed)), Instant(then));
            }
        }
    }
}
