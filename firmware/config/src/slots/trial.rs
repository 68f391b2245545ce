//! A config on trial: the sector's last words, and why one was given up.
//!
//! A config that came over the network is tried before it counts for good. What became of it stands in the last 24 bytes
//! of its sector, each word programmed at most once after the sector was erased:
//!
//! | offset | word | meaning when it is not `FF FF FF FF` |
//! |---|---|---|
//! | 4072 | on trial | seconds to try for `u16`, the same with every bit turned |
//! | 4076 | first start | zeros: the device has started with it once |
//! | 4080 | second start | zeros |
//! | 4084 | third start | zeros: with the next start it is given up |
//! | 4088 | kept | zeros: the trial has succeeded |
//! | 4092 | rolled back | reason, the same again, two zeros |
//!
//! The word *on trial* is programmed before the magic, so it is whole where the sector counts. Of the others one may be
//! half done when the power goes: a word counts from 16 cleared bits on, and what counts less is done again. A sector
//! whose payload reaches into these bytes has none of them, and neither has one of an older program, which leaves them
//! erased: both were kept from the beginning. What does not fit the table, a bit that has flipped, is ignored.

use core::ops::RangeInclusive;

use crate::{flash_map::SECTOR_SIZE, slots::HEADER_LENGTH, words::words};

/// Bytes of these words.
pub const TAIL_LENGTH: usize = 24;
/// Where in the sector they begin.
pub const TAIL: usize = SECTOR_SIZE as usize - TAIL_LENGTH;
/// Most bytes of payload in a sector that can be on trial.
pub const TRIAL_PAYLOAD_MAX: usize = TAIL - HEADER_LENGTH;
/// Seconds that a config may be tried for.
pub const TRY_FOR: RangeInclusive<u16> = 10..=600;

/// For a word that does not say: see [`TRY_FOR`].
const TRY_FOR_DEFAULT: u16 = 60;
/// Bits that must be cleared for a word to count.
const ENOUGH: u32 = 16;

/// What is known of a config besides that it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was written to be used, over the serial port or by an older program.
    Settled,
    /// It has not proved itself yet.
    OnTrial {
        /// Seconds that it is to be tried for.
        try_for: u16,
        /// Starts of the device with it, at most 3.
        starts: u8,
    },
    /// It has proved itself.
    Kept,
    /// It has failed and is no config any more; its sequence is used up.
    RolledBack(RollBack),
}

/// Why a config that was on trial was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollBack {
    /// It is not known any more, or only to a newer program.
    Unknown,
    /// The device was started again too often before the trial had ended.
    Interrupted,
    /// The Wi-Fi network was not found.
    NetworkNotFound,
    /// The Wi-Fi network refused the passphrase.
    WrongPassphrase,
    /// The Wi-Fi network gave no address.
    NoAddress,
    /// The Wi-Fi network could not be joined in time, for another reason.
    NotJoined,
    /// A bridge was refused by the other broker: user name, password, or what they may do.
    BridgeRefused,
    /// A bridge was not connected in time.
    BridgeNotConnected,
    /// A port could not be opened.
    NotListening,
    /// The firmware cannot run on it.
    Invalid,
}

words!(RollBack {
    Unknown = 0 "unknown",
    Interrupted = 1 "interrupted",
    NetworkNotFound = 2 "network-not-found",
    WrongPassphrase = 3 "wrong-passphrase",
    NoAddress = 4 "no-address",
    NotJoined = 5 "not-joined",
    BridgeRefused = 6 "bridge-refused",
    BridgeNotConnected = 7 "bridge-not-connected",
    NotListening = 8 "not-listening",
    Invalid = 9 "invalid",
});

impl Standing {
    /// What the last [`TAIL_LENGTH`] bytes of a sector with so much payload say; `None` stands for bytes that were not
    /// read.
    pub(super) fn of(payload_length: usize, tail: Option<&[u8; TAIL_LENGTH]>) -> Self {
        let Some(tail) = tail.filter(|_| payload_length <= TRIAL_PAYLOAD_MAX) else { return Self::Settled };
        let mut words = [0; TAIL_LENGTH / 4];
        let (chunks, _) = tail.as_chunks::<4>();
        words.iter_mut().zip(chunks).for_each(|(word, chunk)| *word = u32::from_le_bytes(*chunk));
        let [trial, starts @ .., kept, rolled_back] = words;

        if counts(rolled_back) {
            let [reason, again, ..] = rolled_back.to_le_bytes();
            let reason = RollBack::from_number(reason).filter(|_| reason == again);
            return Self::RolledBack(reason.unwrap_or(RollBack::Unknown));
        }
        let [s0, s1, i0, i1] = trial.to_le_bytes();
        let (seconds, inverse) = (u16::from_le_bytes([s0, s1]), u16::from_le_bytes([i0, i1]));
        // Whole words have 16 cleared bits; one that has lost a bit more still tells that there was a trial.
        match (trial.count_zeros() >= ENOUGH / 2, counts(kept)) {
            (false, _) => Self::Settled,
            (true, true) => Self::Kept,
            (true, false) => Self::OnTrial {
                try_for: if seconds == !inverse && TRY_FOR.contains(&seconds) {
                    seconds
                } else {
                    TRY_FOR_DEFAULT
                },
                starts: starts.iter().map(|start| u8::from(counts(*start))).sum(),
            },
        }
    }

    /// Whether the device may run on it.
    pub(super) const fn is_usable(self) -> bool {
        !matches!(self, Self::RolledBack(_) | Self::OnTrial { starts: STARTS_MAX.., .. })
    }
}

/// Starts after which a config on trial is given up.
const STARTS_MAX: u8 = 3;

const fn counts(word: u32) -> bool {
    word.count_zeros() >= ENOUGH
}

/// A word of the tail to be programmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The device starts with it: `starts` times before, fewer than 3.
    Start {
        /// As [`Standing::OnTrial`] says.
        starts: u8,
    },
    /// The trial has succeeded.
    Kept,
    /// The trial has failed.
    RolledBack(RollBack),
}

impl Mark {
    /// Offset in the sector, and the word.
    pub(super) const fn word(self) -> (u32, [u8; 4]) {
        match self {
            Self::Start { starts: 0 } => (4076, [0; 4]),
            Self::Start { starts: 1 } => (4080, [0; 4]),
            Self::Start { .. } => (4084, [0; 4]),
            Self::Kept => (4088, [0; 4]),
            Self::RolledBack(reason) => (4092, [reason.number(), reason.number(), 0, 0]),
        }
    }
}

/// The word *on trial*.
pub(super) const fn trial_word(try_for: u16) -> [u8; 4] {
    let ([s0, s1], [i0, i1]) = (try_for.to_le_bytes(), (!try_for).to_le_bytes());
    [s0, s1, i0, i1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(words: [[u8; 4]; 6]) -> [u8; TAIL_LENGTH] {
        let mut bytes = [0; TAIL_LENGTH];
        bytes.iter_mut().zip(words.as_flattened()).for_each(|(place, byte)| *place = *byte);
        bytes
    }

    fn standing(words: [[u8; 4]; 6]) -> Standing {
        Standing::of(100, Some(&tail(words)))
    }

    const ERASED: [u8; 4] = [0xFF; 4];
    const ZEROS: [u8; 4] = [0; 4];

    #[test]
    fn every_word_of_the_table_has_its_meaning() {
        let trial = trial_word(60);
        assert_eq!(trial, [60, 0, 0xC3, 0xFF]);
        let on_trial = |starts| Standing::OnTrial { try_for: 60, starts };
        assert_eq!(standing([ERASED; 6]), Standing::Settled);
        assert_eq!(standing([trial, ERASED, ERASED, ERASED, ERASED, ERASED]), on_trial(0));
        assert_eq!(standing([trial, ZEROS, ERASED, ERASED, ERASED, ERASED]), on_trial(1));
        assert_eq!(standing([trial, ZEROS, ZEROS, ZEROS, ERASED, ERASED]), on_trial(3));
        assert_eq!(standing([trial, ZEROS, ERASED, ERASED, ZEROS, ERASED]), Standing::Kept);
        let back = Mark::RolledBack(RollBack::WrongPassphrase).word();
        assert_eq!(back, (4092, [3, 3, 0, 0]));
        let rolled_back = Standing::RolledBack(RollBack::WrongPassphrase);
        assert_eq!(standing([trial, ZEROS, ERASED, ERASED, ERASED, back.1]), rolled_back);
        assert_eq!(standing([trial, ZEROS, ERASED, ERASED, ZEROS, back.1]), rolled_back);
        let newer = [0x0E, 0x0E, 0, 0];
        assert_eq!(
            standing([trial, ERASED, ERASED, ERASED, ERASED, newer]),
            Standing::RolledBack(RollBack::Unknown)
        );
        assert_eq!(Standing::of(100, None), Standing::Settled);
        let reaches_in = Standing::of(TRIAL_PAYLOAD_MAX + 1, Some(&[0; TAIL_LENGTH]));
        assert_eq!(reaches_in, Standing::Settled);
    }

    #[test]
    fn a_flipped_bit_changes_no_standing() {
        let trial = trial_word(600);
        let back = Mark::RolledBack(RollBack::Invalid).word().1;
        for words in [
            [ERASED; 6],
            [trial, ZEROS, ERASED, ERASED, ERASED, ERASED],
            [trial, ZEROS, ERASED, ERASED, ZEROS, ERASED],
            [trial, ERASED, ERASED, ERASED, ERASED, back],
        ] {
            let (whole, bytes) = (standing(words), tail(words));
            for bit in 0..TAIL_LENGTH * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                match (whole, Standing::of(100, Some(&flipped))) {
                    // The seconds and the reason may be lost with it, nothing else.
                    (Standing::OnTrial { starts: a, .. }, Standing::OnTrial { starts: b, .. }) => {
                        assert_eq!(a, b, "{bit}");
                    }
                    (Standing::RolledBack(_), Standing::RolledBack(_)) => {}
                    (whole, found) => assert_eq!(found, whole, "{bit}"),
                }
            }
        }
    }
}
