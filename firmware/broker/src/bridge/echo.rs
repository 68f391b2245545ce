//! [`Echo`]: recognises the bridge's own messages when the other broker sends them back.
//!
//! A broker that takes the bridge for an ordinary client (no `try_private`) sends it every message that matches its
//! subscriptions, also those that it has just published itself on a topic that goes both ways. Such an echo must not
//! be published here a second time. MQTT 3.1.1 has nothing to tell it by, so this remembers what was sent.
//!
//! A broker may also accept the bridge bit and pay no attention to it. So messages are remembered there as well, and
//! one that comes back is passed on; only when many in a row came back, the broker is found out and treated like one
//! without the bit.
//!
//! Limits: 32 messages under way at once, the oldest is forgotten for a new one; an echo later than about 10 s is not
//! known any more, not counting the time without a link; one echo is expected of each message, so that a broker which
//! delivers once for each of several overlapping subscriptions gets the others through. What gets through comes to
//! local clients twice and goes no further, as long as the bridge is not given what came from it. The other way round,
//! a message of somebody else's with the same topic and payload within 10 s is taken for the echo if that was lost,
//! and two hashes of 32 bits can be alike by chance or, as anybody can calculate them, by intent.

use crate::{
    bridge::{hash::hash, level::Level},
    message::Message,
    settings::IN_FLIGHT_MESSAGES,
    time::Instant,
};

/// Messages remembered: twice as many as can be in flight, because a broker may acknowledge before it sends back.
const ENTRIES: usize = 2 * IN_FLIGHT_MESSAGES;

/// For how long, in units of [`unit()`]: between 9.2 and 10.3 s.
const LIFE: u32 = 10;

/// Messages in a row that come back from a broker that does not do what it has accepted. That one has not come back is
/// seen when it is forgotten, so at least 16 of these are sure.
const PROOF: u8 = 48;

/// The messages sent last: 264 bytes.
#[derive(Clone, Debug)]
pub(crate) struct Echo {
    entries: [Entry; ENTRIES],
    /// Where the next one goes, which is where the oldest is.
    next: u8,
    /// Messages in a row that came back; [`PROOF`] when the broker is known to send everything back.
    returned: u8,
    /// The entries, as bits, of what went to the broker while that was known.
    awaited: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    hash: u32,
    /// Unit at which it is forgotten; 0 when there is nothing.
    until: u32,
}

/// What a message from the other broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Somebody else's.
    New,
    /// One that was sent from here.
    Echo,
    /// The same, from a broker of which it is known only now that it sends them back.
    FoundOut,
}

impl Echo {
    /// For a broker that is known to send everything back (without the bit), or that has said that it will not.
    pub(crate) fn new(level: Level) -> Self {
        let returned = if level == Level::Plain { PROOF } else { 0 };
        Self { entries: Default::default(), next: 0, returned, awaited: 0 }
    }

    /// Is the broker known to send everything back.
    const fn is_expected(&self) -> bool {
        self.returned == PROOF
    }

    /// Remembers a message that goes to the other broker, under its topic there. To be called for each time it is sent,
    /// and only if the bridge has subscribed to that ([`super::topics::TopicMap::comes_back`]).
    pub(crate) fn sent(&mut self, message: &Message, now: Instant) {
        let entry = Entry { hash: hash(message.topic(), message.payload()), until: unit(now) + LIFE };
        let is_expected = self.is_expected();
        if let Some(oldest) = self.entries.get_mut(usize::from(self.next)) {
            if oldest.until > 0 && !is_expected {
                // That one has not come back.
                self.returned = 0;
            }
            *oldest = entry;
        }
        let bit = 1 << self.next;
        self.awaited = if is_expected { self.awaited | bit } else { self.awaited & !bit };
        self.next = if usize::from(self.next) + 1 < ENTRIES { self.next + 1 } else { 0 };
    }

    /// Judges a message from the other broker; one that was sent comes back once.
    pub(crate) fn judge(&mut self, topic: &[u8], payload: &[u8], now: Instant) -> Verdict {
        let (hash, now) = (hash(topic, payload), unit(now));
        let is_awaited = |place: usize| self.returned == PROOF || self.awaited >> place & 1 == 1;
        let entries = self.entries.iter_mut().enumerate();
        let alike = entries.filter(|(_, entry)| entry.hash == hash && entry.until > now);
        // The same message may have been sent again over links of both kinds.
        let Some((place, sent)) = alike.max_by_key(|(place, _)| is_awaited(*place)) else {
            return Verdict::New;
        };
        *sent = Entry::default();
        if is_awaited(place) {
            return Verdict::Echo;
        }
        self.returned += 1;
        if self.is_expected() { Verdict::FoundOut } else { Verdict::New }
    }

    /// The link is lost at `lost`, and up again `now`: what was awaited then comes now.
    pub(crate) fn resume(&mut self, level: Level, lost: Instant, now: Instant) {
        if (level == Level::Plain) != self.is_expected() {
            self.returned = Self::new(level).returned;
        }
        let (lost, until) = (unit(lost), unit(now) + LIFE);
        self.entries.iter_mut().filter(|entry| entry.until > lost).for_each(|entry| entry.until = until);
    }
}

/// `now` in 1,024 ms, which 32 bits hold for 139 years.
fn unit(now: Instant) -> u32 {
    u32::try_from(now.0 >> 10).unwrap_or(u32::MAX - LIFE).min(u32::MAX - LIFE)
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec::Vec};

    use espbroker_mqtt::TopicName;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const NOW: Instant = Instant(5_000);

    fn message(topic: &str, payload: &[u8]) -> Message {
        Message::new(TopicName::new(topic).unwrap(), payload).unwrap()
    }

    fn is_echo(echo: &mut Echo, topic: &str, payload: &[u8], now: Instant) -> bool {
        echo.judge(topic.as_bytes(), payload, now) != Verdict::New
    }

    #[test]
    fn a_message_that_comes_back_is_an_echo_once() {
        let mut echo = Echo::new(Level::Plain);
        echo.sent(&message("r/lamp", b"on"), NOW);
        assert!(!is_echo(&mut echo, "r/lamp", b"off", NOW));
        assert!(!is_echo(&mut echo, "r/lam", b"pon", NOW));
        assert!(is_echo(&mut echo, "r/lamp", b"on", NOW));
        assert!(!is_echo(&mut echo, "r/lamp", b"on", NOW));
    }

    #[test]
    fn the_same_message_sent_twice_is_an_echo_twice() {
        let mut echo = Echo::new(Level::Plain);
        echo.sent(&message("t", b""), NOW);
        echo.sent(&message("t", b""), NOW);
        assert_eq!([(); 3].map(|()| is_echo(&mut echo, "t", b"", NOW)), [true, true, false]);
    }

    #[test]
    fn a_message_is_forgotten_after_ten_seconds() {
        for (later, expected) in [(9_000, true), (10_300, false), (1 << 45, false)] {
            let mut echo = Echo::new(Level::Plain);
            echo.sent(&message("t", b"x"), NOW);
            assert_eq!(is_echo(&mut echo, "t", b"x", NOW.after(later)), expected, "{later}");
        }
    }

    #[test]
    fn the_time_without_a_link_does_not_count() {
        let mut echo = Echo::new(Level::Plain);
        echo.sent(&message("old", b"x"), NOW);
        echo.sent(&message("t", b"x"), NOW.after(8_000));
        let (lost, up) = (NOW.after(12_000), NOW.after(600_000));
        echo.resume(Level::Plain, lost, up);
        assert!(!is_echo(&mut echo, "old", b"x", up));
        assert!(is_echo(&mut echo, "t", b"x", up.after(9_000)));
    }

    #[test]
    fn what_went_out_without_the_bit_is_still_an_echo_when_the_next_link_has_it() {
        let mut echo = Echo::new(Level::Plain);
        echo.sent(&message("t", b"x"), NOW);
        echo.resume(Level::Private, NOW, NOW);
        echo.sent(&message("t", b"y"), NOW);
        assert_eq!(echo.judge(b"t", b"x", NOW), Verdict::Echo);
        assert_eq!(echo.judge(b"t", b"y", NOW), Verdict::New);
    }

    #[test]
    fn one_message_too_many_takes_the_place_of_the_first() {
        let mut echo = Echo::new(Level::Plain);
        let topics: Vec<String> = (0..=ENTRIES).map(|number| format!("t/{number}")).collect();
        topics.iter().for_each(|topic| echo.sent(&message(topic, b"x"), NOW));
        let known: Vec<bool> = topics.iter().map(|topic| is_echo(&mut echo, topic, b"x", NOW)).collect();
        assert!(!known[0] && known[1..].iter().all(|known| *known));
    }

    #[test]
    fn a_broker_that_sends_everything_back_is_found_out() {
        let mut echo = Echo::new(Level::Private);
        for number in 1..100 {
            echo.sent(&message("t", b"x"), NOW);
            let expected = match number {
                ..PROOF => Verdict::New,
                PROOF => Verdict::FoundOut,
                _ => Verdict::Echo,
            };
            assert_eq!(echo.judge(b"t", b"x", NOW), expected);
        }
    }

    #[test]
    fn one_in_sixteen_that_does_not_come_back_shows_that_the_others_were_somebody_elses() {
        let mut echo = Echo::new(Level::Private);
        for number in 0..500 {
            echo.sent(&message("t", b"x"), NOW.after(number));
            if number % 16 != 7 {
                assert_eq!(echo.judge(b"t", b"x", NOW.after(number)), Verdict::New);
            } else {
                // It is forgotten, so that it is not taken for the next one either.
                echo.sent(&message("other", b"x"), NOW.after(number));
            }
        }
    }

    #[test]
    fn nothing_is_an_echo_before_something_was_sent() {
        // The hash of an empty entry is 0, which that of a message may be, too; its deadline tells.
        let mut echo = Echo::new(Level::Plain);
        assert!(echo.entries.iter().all(|entry| entry.until <= unit(Instant(0))));
        assert!(!is_echo(&mut echo, "t", b"x", Instant(0)));
    }

    #[test]
    fn it_fits_in_264_bytes() {
        assert_eq!(size_of::<Echo>(), 264);
    }

    proptest! {
        #[test]
        fn as_many_as_it_holds_come_back_in_any_order(
            messages in vec(("[a-c/]{1,3}", vec(any::<u8>(), 0..3)), 0..=ENTRIES),
            rotation in 0..ENTRIES,
        ) {
            let mut echo = Echo::new(Level::Plain);
            messages.iter().for_each(|(topic, payload)| echo.sent(&message(topic, payload), NOW));
            let mut back = messages.clone();
            back.rotate_left(rotation.min(messages.len()));
            for (topic, payload) in &back {
                prop_assert!(is_echo(&mut echo, topic, payload, NOW.after(1_000)));
            }
            for (topic, payload) in &back {
                prop_assert!(!is_echo(&mut echo, topic, payload, NOW.after(1_000)));
            }
        }
    }
}
