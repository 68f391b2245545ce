//! [`Echo`]: recognises the bridge's own messages when the other broker sends them back.
//!
//! A broker that takes the bridge for an ordinary client (no `try_private`) sends it every message that matches its
//! subscriptions, also those that it has just published itself on a topic that goes both ways. Such an echo must not
//! be published here a second time. MQTT 3.1.1 has nothing to tell it by, so this remembers what was sent.
//!
//! Limits: 16 messages under way at once, the oldest is forgotten for a new one; an echo later than about 10 s is not
//! known any more; one echo is expected of each message, so that a broker which delivers once for each of several
//! overlapping subscriptions gets the others through. What gets through comes to local clients twice and goes no
//! further, as long as the bridge is not given what came from it. The other way round, a message of somebody else's
//! with the same topic and payload within 10 s is taken for the echo if that was lost, and two hashes of 32 bits can
//! be alike by chance or, as anybody can calculate them, by intent.

use espbroker_mqtt::TopicName;

use crate::{bridge::topics::Mapped, time::Instant};

/// Messages remembered.
const ENTRIES: usize = 16;

/// For how long, in units of [`unit()`]: between 9.2 and 10.3 s.
const LIFE: u32 = 10;

/// The messages sent last: 132 bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Echo {
    entries: [Entry; ENTRIES],
    /// Where the next one goes, which is where the oldest is.
    next: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    hash: u32,
    /// Unit at which it is forgotten; 0 when there is nothing.
    until: u32,
}

impl Echo {
    /// Remembers a message that goes to the other broker. To be called for each time it is sent, and only if the
    /// bridge has subscribed to its topic there ([`super::topics::TopicMap::comes_back`]).
    pub(crate) fn sent(&mut self, topic: &Mapped<'_>, payload: &[u8], now: Instant) {
        let entry = Entry { hash: hash(&[topic.prefix, topic.rest], payload), until: unit(now) + LIFE };
        if let Some(oldest) = self.entries.get_mut(usize::from(self.next)) {
            *oldest = entry;
        }
        self.next = if usize::from(self.next) + 1 < ENTRIES { self.next + 1 } else { 0 };
    }

    /// Is a message from the other broker the echo of one that was sent; then that one is forgotten.
    pub(crate) fn is_echo(&mut self, topic: TopicName<'_>, payload: &[u8], now: Instant) -> bool {
        let (hash, now) = (hash(&[topic.as_str()], payload), unit(now));
        let sent = self.entries.iter_mut().find(|entry| entry.hash == hash && entry.until > now);
        sent.map(|entry| *entry = Entry::default()).is_some()
    }
}

/// `now` in 1,024 ms, which 32 bits hold for 139 years.
fn unit(now: Instant) -> u32 {
    u32::try_from(now.0 >> 10).unwrap_or(u32::MAX - LIFE).min(u32::MAX - LIFE)
}

/// FNV-1a of 32 bits (RFC 9923) over the topic, a zero byte, which no topic has, and the payload.
fn hash(topic: &[&str], payload: &[u8]) -> u32 {
    let topic = topic.iter().flat_map(|part| part.bytes());
    let bytes = topic.chain([0]).chain(payload.iter().copied());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec::Vec};

    use espbroker_mqtt::QoS;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const NOW: Instant = Instant(5_000);

    fn mapped<'a>(prefix: &'a str, rest: &'a str) -> Mapped<'a> {
        Mapped { prefix, rest, qos: QoS::AtMostOnce }
    }

    fn name(text: &str) -> TopicName<'_> {
        TopicName::new(text).unwrap()
    }

    #[test]
    fn a_message_that_comes_back_is_an_echo_once() {
        let mut echo = Echo::default();
        echo.sent(&mapped("r/", "lamp"), b"on", NOW);
        assert!(!echo.is_echo(name("r/lamp"), b"off", NOW));
        assert!(!echo.is_echo(name("r/lam"), b"pon", NOW));
        assert!(echo.is_echo(name("r/lamp"), b"on", NOW));
        assert!(!echo.is_echo(name("r/lamp"), b"on", NOW));
    }

    #[test]
    fn the_same_message_sent_twice_is_an_echo_twice() {
        let mut echo = Echo::default();
        echo.sent(&mapped("", "t"), b"", NOW);
        echo.sent(&mapped("t", ""), b"", NOW);
        assert!(echo.is_echo(name("t"), b"", NOW));
        assert!(echo.is_echo(name("t"), b"", NOW));
        assert!(!echo.is_echo(name("t"), b"", NOW));
    }

    #[test]
    fn a_message_is_forgotten_after_ten_seconds() {
        for (later, expected) in [(9_000, true), (10_300, false), (1 << 45, false)] {
            let mut echo = Echo::default();
            echo.sent(&mapped("", "t"), b"x", NOW);
            assert_eq!(echo.is_echo(name("t"), b"x", NOW.after(later)), expected, "{later}");
        }
    }

    #[test]
    fn the_seventeenth_message_takes_the_place_of_the_first() {
        let mut echo = Echo::default();
        let topics: Vec<String> = (0..=ENTRIES).map(|number| format!("t/{number}")).collect();
        topics.iter().for_each(|topic| echo.sent(&mapped("", topic), b"x", NOW));
        let known: Vec<bool> = topics.iter().map(|topic| echo.is_echo(name(topic), b"x", NOW)).collect();
        assert!(!known[0] && known[1..].iter().all(|known| *known));
    }

    #[test]
    fn nothing_is_an_echo_before_something_was_sent() {
        // The hash of an empty entry is 0, which that of a message may be, too; its deadline tells.
        let mut echo = Echo::default();
        assert!(echo.entries.iter().all(|entry| entry.until <= unit(Instant(0))));
        assert!(!echo.is_echo(name("t"), b"x", Instant(0)));
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // RFC 9923 has 0xe40c292c for "a" and 0xbf9cf968 for "foobar"; one more byte 0 multiplies once more.
        for (text, expected) in [("a", 0xe40c_292c_u32), ("foobar", 0xbf9c_f968)] {
            assert_eq!(hash(&[text], b""), expected.wrapping_mul(0x0100_0193));
        }
        assert_eq!(hash(&["fo", "o"], b"bar"), hash(&["foo"], b"bar"));
        assert_ne!(hash(&["foo"], b"bar"), hash(&["foob"], b"ar"));
    }

    #[test]
    fn it_fits_in_132_bytes() {
        assert_eq!(size_of::<Echo>(), 132);
    }

    proptest! {
        #[test]
        fn up_to_sixteen_messages_come_back_in_any_order(
            messages in vec(("[a-c/]{1,3}", vec(any::<u8>(), 0..3)), 0..=ENTRIES),
            rotation in 0..ENTRIES,
        ) {
            let mut echo = Echo::default();
            messages.iter().for_each(|(topic, payload)| echo.sent(&mapped("", topic), payload, NOW));
            let mut back = messages.clone();
            back.rotate_left(rotation.min(messages.len()));
            for (topic, payload) in &back {
                prop_assert!(echo.is_echo(name(topic), payload, NOW.after(1_000)));
            }
            for (topic, payload) in &back {
                prop_assert!(!echo.is_echo(name(topic), payload, NOW.after(1_000)));
            }
        }
    }
}
