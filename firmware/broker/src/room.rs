//! [`Room`]: how much memory there still is, as the caller last measured it less what was taken since.
//!
//! The allocator is the only one who knows what is free, so the caller tells it with [`crate::Broker::set_free`] as often
//! as it likes. Between two of its words every growth is counted and nothing that is given back, so that the figure is
//! never too high. What may be refused is refused while the floor is still out of reach: the network stack, which
//! shares the heap, must never find it empty.

use alloc::vec::Vec;

/// What an allocation takes beside its bytes on the chip: header and at most the rounding (SDK allocator: 16 B header, 8 B
/// alignment).
pub(crate) const ALLOCATION: usize = 16 + 7;

/// An allocation of so many bytes is tried before it is promised: what is free may be in pieces that are shorter. Shorter
/// ones find a place, in the floor if nowhere else.
const TRIED: usize = 1_024;

/// What an allocation may take beyond the bytes that were asked for: counts, and growth of what is already there.
const BESIDE: usize = 64;

/// Bytes free, and those that are to stay free.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    free: usize,
    floor: usize,
    /// Kept for what cannot be dropped, above the floor.
    slack: usize,
    /// Kept for what cannot even be refused, such as the word that a bridge wants its link: above the floor, too.
    rest: usize,
}

/// What memory is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Serves those that are in already: a message of QoS 1 or 2, a packet under way. Also a new connection: a client whose
    /// session is here comes to take what waits for it.
    Service,
    /// A message of QoS 0 for those who are in: can be dropped without harm, but only when nobody new is let in any more.
    Message,
    /// Can be refused or dropped without harm: a new client, a subscription, or a message for a client that is away and may
    /// never come back.
    Growth,
}

impl Room {
    pub(crate) fn new(floor: u32) -> Self {
        let floor = usize::try_from(floor).unwrap_or(usize::MAX);
        Self { free: usize::MAX, floor, slack: floor / 4, rest: floor / 32 }
    }

    /// Takes the caller's figure.
    pub(crate) fn set(&mut self, free: u32) {
        self.free = usize::try_from(free).unwrap_or(usize::MAX);
    }

    /// Bytes free, at least.
    pub(crate) const fn free(&self) -> usize {
        self.free
    }

    /// Takes `bytes` in one allocation, unless that would leave too little.
    pub(crate) fn take(&mut self, bytes: usize, need: Need) -> bool {
        let taken = bytes.saturating_add(ALLOCATION);
        match self.free.checked_sub(taken) {
            Some(free) if free >= self.kept(need) && (bytes < TRIED || is_there(bytes)) => {
                self.free = free;
                true
            }
            _ => false,
        }
    }

    /// Is there enough for what takes nothing more.
    pub(crate) fn has(&self, need: Need) -> bool {
        self.free >= self.kept(need)
    }

    const fn kept(&self, need: Need) -> usize {
        match need {
            Need::Service => self.floor.saturating_add(self.rest),
            Need::Message => self.floor.saturating_add(self.slack / 2),
            Need::Growth => self.floor.saturating_add(self.slack),
        }
    }
}

/// Whether the allocator has so many bytes in one piece, which it then still has for whoever asks next.
fn is_there(bytes: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(bytes.saturating_add(BESIDE)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_stops_before_service_and_service_before_the_floor() {
        let mut room = Room::new(1000);
        room.set(1400);
        assert!(!room.take(200, Need::Growth));
        assert!(room.take(100, Need::Growth));
        assert!(!room.take(100, Need::Growth));
        assert!(room.take(200, Need::Service));
        assert!(!room.take(100, Need::Service));
        assert_eq!(room.free(), 1400 - 100 - 200 - 2 * ALLOCATION);
        room.set(5000);
        assert!(room.take(100, Need::Growth));
    }

    #[test]
    fn without_a_figure_there_is_no_bound() {
        let mut room = Room::new(1000);
        assert!(room.take(1 << 20, Need::Growth));
    }

    #[test]
    fn what_the_allocator_does_not_have_in_one_piece_is_refused_and_costs_nothing() {
        let mut room = Room::new(0);
        assert!(!room.take(usize::MAX / 4, Need::Service));
        assert_eq!(room.free(), usize::MAX);
        assert!(room.take(4096, Need::Service));
    }
}
