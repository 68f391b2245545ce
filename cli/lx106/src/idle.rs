//! Recognises loops that wait: a round that changes nothing repeats until something outside changes.
//!
//! Now and then a backward jump is taken as the head of a round. When control comes back there with all
//! registers as before, and nothing was changed or read on the way that has an effect or depends on time, the
//! next round is the same. Looking at every round would slow down loops that work.

/// Cycles between two attempts.
const PAUSE: u64 = 256;
/// Backward jumps to elsewhere (calls, returns, inner loops) within one round before it is given up.
const JUMPS: u8 = 16;

/// The state that a round must leave as it was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) head: u32,
    pub(crate) a: [u32; 16],
    pub(crate) sar: u32,
    pub(crate) ps: u32,
}

/// What is watched.
pub(crate) struct Watch {
    /// Backward jumps before this cycle are not looked at.
    from: u64,
    started: u64,
    jumps: u8,
    round: Option<Snapshot>,
    disturbed: bool,
    found: bool,
    period: u64,
}

impl Watch {
    pub(crate) const fn new() -> Self {
        Self { from: 0, started: 0, jumps: 0, round: None, disturbed: false, found: false, period: 0 }
    }

    /// Whether a backward jump at this cycle is looked at.
    #[inline(always)]
    pub(crate) const fn is_due(&self, cycles: u64) -> bool {
        cycles >= self.from
    }

    /// Something happened that makes the next round another one.
    #[inline(always)]
    pub(crate) fn disturb(&mut self) {
        self.disturbed = true;
    }

    /// Whether a round is being watched in which nothing has changed so far.
    #[inline(always)]
    pub(crate) const fn is_comparing(&self) -> bool {
        self.round.is_some() && !self.disturbed
    }

    /// Forgets the round: the world outside may have changed.
    pub(crate) fn abandon(&mut self) {
        self.round = None;
        self.found = false;
    }

    /// A backward jump is about to be taken to the snapshot's head, where execution goes on at cycle `at`;
    /// whether that closes a round that repeats.
    #[cold]
    pub(crate) fn jump(&mut self, now: Snapshot, at: u64) -> bool {
        match self.round {
            None => {
                self.round = Some(now);
                self.started = at;
                self.jumps = 0;
                self.disturbed = false;
                self.from = 0;
            }
            Some(before) if before == now && !self.disturbed => {
                self.round = None;
                self.found = true;
                self.period = at - self.started;
            }
            Some(before) => {
                self.jumps += 1;
                if before.head == now.head || self.disturbed || self.jumps >= JUMPS {
                    self.round = None;
                    self.from = at + PAUSE;
                }
            }
        }
        self.found
    }

    /// Whether a repeating round was found since the last call.
    pub(crate) fn found(&mut self) -> bool {
        core::mem::take(&mut self.found)
    }

    /// The cycles of the round found last.
    pub(crate) const fn period(&self) -> u64 {
        self.period
    }
}
