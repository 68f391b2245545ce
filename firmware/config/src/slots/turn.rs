//! Which sector goes before which: sequences, and what is worth keeping.

use super::Slot;

/// Whether sequence `this` comes after `that` (RFC 1982 §3.2).
pub(super) const fn is_newer(this: u32, that: u32) -> bool {
    this.wrapping_sub(that).cast_signed() > 0
}

/// As much of a [`SlotState`](super::SlotState) as decides about the next write; what is worth more comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Free,
    GivenUp(u32),
    Newer(u32),
    OnTrial(u32),
    Valid(u32),
}

impl Turn {
    const fn sequence(self) -> Option<u32> {
        match self {
            Self::Valid(sequence)
            | Self::OnTrial(sequence)
            | Self::Newer(sequence)
            | Self::GivenUp(sequence) => Some(sequence),
            Self::Free => None,
        }
    }

    const fn worth(self) -> u8 {
        match self {
            Self::Free => 0,
            Self::GivenUp(_) => 1,
            Self::Newer(_) => 2,
            Self::OnTrial(_) => 3,
            Self::Valid(_) => 4,
        }
    }
}

/// Where the next write goes, and with which sequence; see [`next`](super::next).
pub(super) fn next_turn(a: Turn, b: Turn) -> (Slot, u32) {
    let highest = match (a.sequence(), b.sequence()) {
        (Some(a), Some(b)) if is_newer(b, a) => Some((Slot::B, b)),
        (Some(a), _) => Some((Slot::A, a)),
        (None, b) => b.map(|b| (Slot::B, b)),
    };
    let keep = match (a.worth(), b.worth()) {
        (a, b) if a > b => Slot::A,
        (a, b) if a < b => Slot::B,
        // Slot A is the first to be written on a blank device.
        _ => highest.map_or(Slot::B, |(slot, _)| slot),
    };
    (keep.other(), highest.map_or(0, |(_, sequence)| sequence).wrapping_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_compared_as_serial_numbers() {
        assert!(is_newer(1, 0) && is_newer(0, u32::MAX) && is_newer(0x7FFF_FFFF, 0));
        assert!(!is_newer(0, 0) && !is_newer(0, 1) && !is_newer(u32::MAX, 0));
        assert!(
            !is_newer(0x8000_0000, 0) && !is_newer(0, 0x8000_0000),
            "neither is newer at half the circle"
        );
    }

    #[test]
    fn the_next_write_spares_the_config_and_then_a_newer_programs_one() {
        use Turn::{Free, GivenUp, Newer, OnTrial, Valid};
        let cases = [
            (Free, Free, (Slot::A, 1)),
            (Valid(1), Free, (Slot::B, 2)),
            (Free, Valid(7), (Slot::A, 8)),
            (Valid(1), Valid(2), (Slot::A, 3)),
            (Valid(3), Valid(2), (Slot::B, 4)),
            (Valid(u32::MAX), Valid(u32::MAX - 1), (Slot::B, 0)),
            (Valid(u32::MAX), Valid(0), (Slot::A, 1)),
            (Valid(7), Newer(8), (Slot::B, 9)),
            (Newer(8), Valid(7), (Slot::A, 9)),
            (Newer(9), Free, (Slot::B, 10)),
            (Free, Newer(9), (Slot::A, 10)),
            (Newer(9), Newer(10), (Slot::A, 11)),
            (Newer(10), Newer(9), (Slot::B, 11)),
            // What is on trial goes before what has proved itself, newer or not.
            (Valid(7), OnTrial(8), (Slot::B, 9)),
            (OnTrial(8), Valid(7), (Slot::A, 9)),
            (Valid(8), OnTrial(7), (Slot::B, 9)),
            (OnTrial(7), OnTrial(8), (Slot::A, 9)),
            (OnTrial(1), Free, (Slot::B, 2)),
            // A sequence that was given up is used up.
            (Valid(7), GivenUp(8), (Slot::B, 9)),
            (GivenUp(8), Valid(7), (Slot::A, 9)),
            (GivenUp(1), Free, (Slot::B, 2)),
            (GivenUp(8), Newer(7), (Slot::A, 9)),
            (OnTrial(7), Newer(8), (Slot::B, 9)),
            (GivenUp(7), GivenUp(8), (Slot::A, 9)),
        ];
        for (a, b, expected) in cases {
            assert_eq!(next_turn(a, b), expected, "{a:?} {b:?}");
        }
    }
}
