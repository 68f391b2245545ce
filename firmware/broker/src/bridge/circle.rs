//! [`Circle`]: keeps messages from going round for ever where bridges lead round in a circle.
//!
//! The bridge bit stops a message on the link that it came over. It does not stop one that goes on over another link and
//! comes back: two brokers with a bridge to each other are enough, and mosquitto lets such a message go round until
//! somebody takes the bridges down. MQTT 3.1.1 has no place in a message for where it has been, so this remembers what
//! was passed on to other brokers.
//!
//! A message that comes from a link although it was first seen elsewhere may have gone round, or somebody else says the
//! same. Nobody says the same again and again within moments, or nearly always, so this happening a few times a second or
//! with most messages is the proof. From then on, and until it has not happened for a minute, a message from another
//! broker that was passed on in the last ten seconds is ignored. In a circle each message then comes to everybody once.
//! When more go round than can be remembered, those from other brokers reach clients here and are not passed on.
//!
//! Limits: before there is proof, messages go round, each some eight times and all about four times a second. What takes
//! longer than ten seconds for its way, or changes its topic on it, is not recognised. A bridge that does not say that
//! it is one (no `try_private`) counts as any client. If many clients of several brokers really say the same within
//! moments, some of that is lost: at most [`PATIENCE`] messages, which then show that it is no circle.

use crate::{bridge::hash::hash, routing::Origin, time::Instant};

/// Messages remembered.
const ENTRIES: usize = 32;

/// For how long, in units of [`unit()`]: ten seconds.
const LIFE: u32 = 40;

/// For how long a message keeps its place if it has not come back, and after which that is no mere delay: two seconds.
const HOLD: u32 = 8;

/// Times within moments that are the proof; one is forgiven in each unit.
const PROOF: u32 = 8;

/// How many more messages come back than do not, which is the other proof.
const SURPLUS: u8 = 16;

/// For how long that holds: a minute.
const MINUTE: u32 = 234;

/// Times that one message comes back although it is not passed on any more, which shows that it does not go round.
pub(crate) const PATIENCE: u8 = 64;

/// What was passed on to other brokers, and whether it comes back: 532 bytes.
#[derive(Clone, Debug)]
pub(crate) struct Circle {
    entries: [Entry; ENTRIES],
    /// Times that a message may have gone round, less one for each unit since.
    level: u32,
    /// When `level` was calculated.
    at: u32,
    /// Until when messages that come round are ignored.
    until: u32,
    /// Messages that came back, less those that did not; at most twice [`SURPLUS`].
    balance: u8,
}

/// How far a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// To everybody.
    GoesOn,
    /// To clients here, and to no other broker.
    Stays,
    /// To nobody: it has gone round.
    Ends,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    /// Unit at which it is forgotten; 0 when there is nothing.
    until: u32,
    /// Where it was seen first.
    origin: Origin,
    /// It was passed on since it came the last time.
    is_out: bool,
    /// How often it came back.
    returns: u8,
}

impl Circle {
    pub(crate) const fn new() -> Self {
        let none = Entry { hash: 0, until: 0, origin: Origin::Here, is_out: false, returns: 0 };
        Self { entries: [none; ENTRIES], level: 0, at: 0, until: 0, balance: 0 }
    }

    /// Judges a message that came over a link from another broker.
    pub(crate) fn judge(&mut self, message: (&[u8], &[u8]), link: Origin, now: Instant) -> Passage {
        let (hash, now) = (hash(message.0, message.1), unit(now));
        self.level = self.level.saturating_sub(now.saturating_sub(self.at));
        self.at = now;
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.is(hash, now)) else {
            // What cannot be remembered would go round unseen.
            let must_stay = self.is_proved(now) && self.place(now).is_none();
            return if must_stay { Passage::Stays } else { Passage::GoesOn };
        };
        if entry.origin != link && core::mem::take(&mut entry.is_out) {
            self.level += 1;
            if self.level >= PROOF {
                self.until = now + MINUTE;
            }
            if entry.returns == 0 {
                self.balance = (self.balance + 1).min(2 * SURPLUS);
            }
            entry.returns = entry.returns.max(1);
        }
        if self.until <= now && self.balance < SURPLUS {
            return Passage::GoesOn;
        }
        entry.returns = entry.returns.saturating_add(1);
        if entry.returns >= PATIENCE {
            (entry.origin, entry.returns) = (link, 0);
            (self.level, self.until, self.balance) = (0, 0, 0);
            return Passage::GoesOn;
        }
        self.until = now + MINUTE;
        Passage::Ends
    }

    /// A message was passed on to another broker, for which `origin` is the link that it came over, or here.
    pub(crate) fn passed_on(&mut self, message: (&[u8], &[u8]), origin: Origin, now: Instant) {
        let (hash, now) = (hash(message.0, message.1), unit(now));
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.is(hash, now)) {
            entry.is_out = true;
        } else if let Some(place) = self.place(now) {
            let new = Entry { hash, until: now + LIFE, origin, is_out: true, returns: 0 };
            let old = core::mem::replace(place, new);
            if old.until > 0 && old.returns == 0 {
                self.balance = self.balance.saturating_sub(1);
            }
        }
    }

    /// Is it sure that there is a circle.
    const fn is_proved(&self, now: u32) -> bool {
        self.until > now || self.balance >= SURPLUS
    }

    /// Where the next message is remembered: in the place of one that is forgotten, of one that has come back, or of
    /// the oldest; `None` when all are too new.
    fn place(&mut self, now: u32) -> Option<&mut Entry> {
        let rank = |entry: &&mut Entry| (entry.until > now, entry.returns == 0, entry.until);
        let place = self.entries.iter_mut().min_by_key(rank)?;
        (place.returns > 0 || place.until <= now + LIFE - HOLD).then_some(place)
    }
}

impl Entry {
    const fn is(&self, hash: u32, now: u32) -> bool {
        self.hash == hash && self.until > now
    }
}

/// `now` in 256 ms, which 32 bits hold for 34 years.
fn unit(now: Instant) -> u32 {
    u32::try_from(now.0 >> 8).unwrap_or(u32::MAX - MINUTE).min(u32::MAX - MINUTE)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::event::{BridgeId, ConnectionId};

    const NOW: Instant = Instant(5_000);
    const A: Origin = Origin::Bridge(BridgeId(0));
    const B: Origin = Origin::Client(ConnectionId(7));

    fn number(number: &u32) -> (&[u8], [u8; 4]) {
        (b"t", number.to_be_bytes())
    }

    /// A message of which the payload is a number goes out, and comes from a link after each so many milliseconds.
    fn rounds(circle: &mut Circle, value: u32, every: u64, times: u64) -> Vec<bool> {
        let (topic, payload) = number(&value);
        circle.passed_on((topic, &payload), Origin::Here, NOW);
        let round = |time| {
            let now = NOW.after(time * every);
            let ignored = circle.judge((topic, &payload), A, now) == Passage::Ends;
            if !ignored {
                circle.passed_on((topic, &payload), A, now);
            }
            ignored
        };
        (1..=times).map(round).collect()
    }

    #[test]
    fn a_message_that_goes_round_fast_is_stopped_and_every_other_one_at_once() {
        let mut circle = Circle::new();
        assert_eq!(rounds(&mut circle, 0, 5, 9), [[false; 7].as_slice(), &[true; 2]].concat());
        assert_eq!(rounds(&mut circle, 1, 5, 2), [true, true]);
    }

    #[test]
    fn what_is_said_elsewhere_at_a_human_pace_is_no_proof() {
        let mut circle = Circle::new();
        assert!(!rounds(&mut circle, 0, 300, 30).contains(&true));
    }

    #[test]
    fn what_always_comes_over_the_same_link_is_no_proof() {
        let mut circle = Circle::new();
        for time in 0..1_000 {
            let message: (&[u8], &[u8]) = (b"t", b"tick");
            assert_eq!(circle.judge(message, A, NOW.after(time)), Passage::GoesOn);
            circle.passed_on(message, A, NOW.after(time));
        }
    }

    #[test]
    fn after_a_minute_without_circle_there_is_none() {
        for (pause, expected) in [(59_000, Passage::Ends), (61_000, Passage::GoesOn)] {
            let mut circle = Circle::new();
            rounds(&mut circle, 0, 5, 9);
            let later = NOW.after(pause);
            circle.passed_on((b"t", b"other"), Origin::Here, later);
            assert_eq!(circle.judge((b"t", b"other"), B, later), expected);
        }
    }

    #[test]
    fn a_stream_that_goes_on_although_it_is_ignored_is_no_circle() {
        let mut circle = Circle::new();
        let ignored = rounds(&mut circle, 0, 5, 500).iter().filter(|ignored| **ignored).count();
        assert_eq!(ignored, usize::from(PATIENCE) - 2);
    }

    #[test]
    fn messages_that_come_back_slowly_are_a_proof_if_most_do() {
        for (of_three, expected) in [(3, Passage::Ends), (2, Passage::Ends), (1, Passage::GoesOn)] {
            let mut circle = Circle::new();
            let mut last = Passage::GoesOn;
            for value in 0..150 {
                let (topic, payload) = number(&value);
                let now = NOW.after(u64::from(value) * 1_000);
                circle.passed_on((topic, &payload), Origin::Here, now);
                if value % 3 < of_three {
                    last = circle.judge((topic, &payload), A, now.after(500));
                }
            }
            assert_eq!(last, expected);
        }
    }

    #[test]
    fn more_messages_than_can_be_remembered_stay_here() {
        let mut circle = Circle::new();
        rounds(&mut circle, 9_999, 5, 9);
        let mut stay = 0;
        for value in 0..500 {
            let (topic, payload) = number(&value);
            match circle.judge((topic, &payload), A, NOW.after(50)) {
                Passage::GoesOn => circle.passed_on((topic, &payload), A, NOW.after(50)),
                passage => {
                    assert_eq!(passage, Passage::Stays);
                    stay += 1;
                }
            }
        }
        assert_eq!(stay, 500 - ENTRIES);
    }

    #[test]
    fn it_fits_in_532_bytes() {
        assert!(size_of::<Circle>() <= 532, "{}", size_of::<Circle>());
    }
}
