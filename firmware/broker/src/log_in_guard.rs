//! [`LogInGuard`]: how often a wrong password may be tried.
//!
//! Judging one costs the chip up to seconds, in which it does nothing else, so the cost is bounded for all clients
//! together: the broker does not know their addresses. While wrong ones come faster, log-ins wait; clients that are in
//! already are served.

use crate::time::Instant;

/// Failures that may come at once.
const BURST: u8 = 10;

/// Milliseconds until one more is allowed.
const REFILL: u64 = 1000;

/// A bucket of failures that are still allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogInGuard {
    left: u8,
    refilled: Instant,
}

impl LogInGuard {
    pub(crate) const fn new() -> Self {
        Self { left: BURST, refilled: Instant(0) }
    }

    /// May a password be judged now.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        let more = now.0.saturating_sub(self.refilled.0) / REFILL;
        if more > 0 {
            self.left = u8::try_from(more).unwrap_or(BURST).saturating_add(self.left).min(BURST);
            self.refilled = now;
        }
        self.left > 0
    }

    /// It was wrong.
    pub(crate) const fn failed(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_at_once_and_then_one_a_second() {
        let mut guard = LogInGuard::new();
        let mut allowed = |milliseconds: u64| {
            let allowed = guard.allows(Instant(milliseconds));
            if allowed {
                guard.failed();
            }
            allowed
        };
        assert_eq!((0..20).filter(|_| allowed(100_000)).count(), 10);
        assert!(!allowed(100_999));
        assert_eq!((0..20).filter(|_| allowed(101_000)).count(), 1);
        assert_eq!((0..20).filter(|_| allowed(103_500)).count(), 2);
        assert_eq!((0..20).filter(|_| allowed(10_000_000)).count(), 10);
    }
}
