//! [`Retained`]: the last retained message of each topic (MQTT 3.1.1 §3.3.1.3), in the order in which they were set.
//!
//! Where messages outlive a restart, each knows whether it is in the store already; one that was cleared stays as an
//! empty message, which nobody gets, until the store knows that, too.

use alloc::vec::Vec;

use espbroker_mqtt::{QoS, TopicName, filter_matches};

use crate::{
    message::Message,
    room::{Need, Room},
    settings::Settings,
    store::Saving,
};

/// Entries for which room is made at once.
const GROWTH: usize = 4;

/// Position in the order of setting; a new one for every message kept.
pub(crate) type Sequence = u64;

/// A retained message.
pub(crate) struct Kept {
    sequence: Sequence,
    pub(crate) message: Message,
    pub(crate) qos: QoS,
    stored: Stored,
}

/// Whether the store has the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It has, or there is no store.
    Yes,
    /// It has something older, or nothing.
    NotYet,
    /// It has something older, which is to be cleared.
    NotCleared,
}

/// Retained messages of all topics.
#[derive(Default)]
pub(crate) struct Retained {
    messages: Vec<Kept>,
    next: Sequence,
    /// Of topics and payloads.
    bytes: usize,
    /// Messages that the store does not have as they are.
    unsaved: usize,
    cleared: usize,
    /// Whether there is a store.
    pub(crate) is_saved: bool,
}

/// A message could not be kept because of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Retained {
    /// Keeps `message` in place of what was kept for its topic before; one without payload only clears.
    ///
    /// After an error nothing is kept for the topic: an old value would be taken for the new one.
    pub(crate) fn set(
        &mut self,
        message: Message,
        qos: QoS,
        settings: &Settings,
        room: &mut Room,
    ) -> Result<(), Full> {
        let old = self.remove(message.topic());
        let clears = message.payload().is_empty();
        let limit = usize::try_from(settings.retained_bytes).unwrap_or(usize::MAX);
        let full =
            self.count() >= usize::from(settings.retained_messages) || self.bytes + message.size() > limit;
        // The list is moved to make it longer.
        let grows = !clears && !full && self.messages.len() == self.messages.capacity();
        let places = self.messages.len() + GROWTH;
        let full = full
            || old == Old::Unknown && !room.has(Need::Growth)
            || grows && !room.take(places * size_of::<Kept>(), Need::Growth);
        if clears || full {
            // What the store has must go, whether the message was cleared or found no place.
            self.end_clearing(old, || cleared(&message));
            if room.has(Need::Growth) {
                self.shrink();
            }
            return if clears { Ok(()) } else { Err(Full) };
        }
        let stored = if self.is_saved && !is_reserved(&message) { Stored::NotYet } else { Stored::Yes };
        self.push(message, qos, stored);
        Ok(())
    }

    /// Keeps nothing for a topic any more.
    pub(crate) fn forget(&mut self, topic: TopicName<'_>) {
        let old = self.remove(topic.as_str().as_bytes());
        self.end_clearing(old, || Message::new(topic, &[]));
    }

    fn end_clearing(&mut self, old: Old, empty: impl FnOnce() -> Option<Message>) {
        if self.is_saved
            && old == Old::Known
            && let Some(empty) = empty().filter(|empty| !is_reserved(empty))
        {
            self.push(empty, QoS::AtMostOnce, Stored::NotCleared);
        }
        self.give_back();
    }

    /// Keeps a message that the store has.
    pub(crate) fn restore(&mut self, message: Message, qos: QoS, settings: &Settings) -> Result<(), Full> {
        let is_saved = core::mem::replace(&mut self.is_saved, false);
        let result = self.set(message, qos, settings, &mut Room::new(0));
        self.is_saved = is_saved;
        result
    }

    fn push(&mut self, message: Message, qos: QoS, stored: Stored) {
        if self.messages.len() == self.messages.capacity() {
            self.messages.reserve_exact(GROWTH);
        }
        match stored {
            Stored::Yes => {}
            Stored::NotYet => self.unsaved += 1,
            Stored::NotCleared => {
                self.unsaved += 1;
                self.cleared += 1;
            }
        }
        if stored != Stored::NotCleared {
            self.bytes += message.size();
        }
        self.messages.push(Kept { sequence: self.next, message, qos, stored });
        self.next += 1;
    }

    fn remove(&mut self, topic: &[u8]) -> Old {
        let Some(index) = self.messages.iter().position(|kept| kept.message.topic() == topic) else {
            return Old::Unknown;
        };
        let old = self.messages.remove(index);
        match old.stored {
            Stored::Yes => {}
            Stored::NotYet => self.unsaved -= 1,
            Stored::NotCleared => {
                self.unsaved -= 1;
                self.cleared -= 1;
            }
        }
        if old.stored != Stored::NotCleared {
            self.bytes -= old.message.size();
        }
        Old::Known
    }

    /// Gives back what is not used, which takes a copy of the rest.
    fn shrink(&mut self) {
        if self.messages.capacity() - self.messages.len() > GROWTH {
            self.messages.shrink_to_fit();
        }
    }

    /// Gives back everything when there is nothing.
    fn give_back(&mut self) {
        if self.messages.is_empty() {
            self.messages = Vec::new();
        }
    }

    /// Gives the first message that the store does not have to `write`, if there is one.
    pub(crate) fn save_next(&mut self, write: impl FnOnce(&Message, QoS) -> Saving) {
        let Some(index) = self.messages.iter().position(|kept| kept.stored != Stored::Yes) else { return };
        let Some(kept) = self.messages.get_mut(index) else { return };
        if write(&kept.message, kept.qos) == Saving::Again {
            return;
        }
        self.unsaved -= 1;
        if kept.stored == Stored::NotCleared {
            self.cleared -= 1;
            self.messages.remove(index);
            self.give_back();
        } else {
            kept.stored = Stored::Yes;
        }
    }

    /// What is kept for a topic.
    pub(crate) fn of(&self, topic: &[u8]) -> Option<&Kept> {
        self.messages.iter().find(|kept| kept.stored != Stored::NotCleared && kept.message.topic() == topic)
    }

    /// The first message from position `next` to before `end` whose topic matches `filter`.
    pub(crate) fn find(&self, filter: &[u8], next: Sequence, end: Sequence) -> Option<(Sequence, &Kept)> {
        let start = self.messages.partition_point(|kept| kept.sequence < next);
        self.messages
            .iter()
            .skip(start)
            .take_while(|kept| kept.sequence < end)
            .find(|kept| kept.stored != Stored::NotCleared && filter_matches(filter, kept.message.topic()))
            .map(|kept| (kept.sequence, kept))
    }

    /// Behind the last message.
    pub(crate) const fn end(&self) -> Sequence {
        self.next
    }

    /// Number of messages kept.
    pub(crate) const fn count(&self) -> usize {
        self.messages.len() - self.cleared
    }

    /// Bytes of the topics and payloads kept.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of messages that the store does not have as they are.
    pub(crate) const fn unsaved(&self) -> usize {
        self.unsaved
    }

    /// Heap bytes in use.
    pub(crate) fn memory(&self) -> usize {
        self.messages.capacity() * size_of::<Kept>()
            + self.messages.iter().map(|kept| kept.message.share()).sum::<usize>()
    }
}

/// Is it about the present, such as the state of a bridge's link, and not to outlive a restart.
fn is_reserved(message: &Message) -> bool {
    message.topic().first() == Some(&b'$')
}

/// What was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Old {
    Known,
    Unknown,
}

/// The topic of `message` without payload.
fn cleared(message: &Message) -> Option<Message> {
    let topic = core::str::from_utf8(message.topic()).ok()?;
    Message::new(TopicName::new(topic).ok()?, &[])
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn message(topic: &str, payload: &[u8]) -> Message {
        Message::new(TopicName::new(topic).unwrap(), payload).unwrap()
    }

    fn set(retained: &mut Retained, topic: &str, payload: &[u8]) {
        let _ =
            retained.set(message(topic, payload), QoS::AtMostOnce, &Settings::default(), &mut Room::new(0));
    }

    fn save_all(retained: &mut Retained) -> String {
        let mut saved = String::new();
        while retained.unsaved() > 0 {
            // What is not saved yet is offered again, first of all.
            let mut offered = None;
            retained.save_next(|message, _| {
                offered = Some(message.topic().to_vec());
                Saving::Again
            });
            retained.save_next(|message, _| {
                assert_eq!(offered.as_deref(), Some(message.topic()));
                let text = [message.topic(), b"=", message.payload(), b" "].concat();
                saved.push_str(core::str::from_utf8(&text).unwrap());
                Saving::Over
            });
        }
        saved
    }

    #[test]
    fn the_store_is_told_of_the_last_value_only_and_of_what_was_cleared() {
        let mut retained = Retained { is_saved: true, ..Retained::default() };
        set(&mut retained, "a", b"1");
        set(&mut retained, "b", b"1");
        set(&mut retained, "a", b"2");
        assert_eq!(retained.unsaved(), 2);
        assert_eq!(save_all(&mut retained), "b=1 a=2 ");
        assert_eq!(save_all(&mut retained), "");
        set(&mut retained, "b", b"");
        assert_eq!((retained.count(), retained.unsaved()), (1, 1));
        assert!(retained.of(b"b").is_none());
        assert_eq!(save_all(&mut retained), "b= ");
        set(&mut retained, "c", b"");
        assert_eq!(retained.unsaved(), 0, "nothing was kept and nothing is cleared");
        set(&mut retained, "a", b"");
        set(&mut retained, "a", b"3");
        assert_eq!(save_all(&mut retained), "a=3 ");
        set(&mut retained, "a", b"");
        assert_eq!((save_all(&mut retained), retained.memory()), (String::from("a= "), 0));
    }

    #[test]
    fn a_message_that_finds_no_place_is_taken_from_the_store_as_well() {
        let mut retained = Retained { is_saved: true, ..Retained::default() };
        let settings = Settings { retained_bytes: 10, ..Settings::default() };
        assert_eq!(retained.set(message("a", b"1"), QoS::AtMostOnce, &settings, &mut Room::new(0)), Ok(()));
        assert_eq!(save_all(&mut retained), "a=1 ");
        assert_eq!(
            retained.set(message("a", &[b'x'; 10]), QoS::AtMostOnce, &settings, &mut Room::new(0)),
            Err(Full)
        );
        assert_eq!(
            (save_all(&mut retained), retained.count(), retained.bytes()),
            (String::from("a= "), 0, 0)
        );
    }

    #[test]
    fn a_message_that_is_forgotten_is_taken_from_the_store_as_well() {
        let mut retained = Retained { is_saved: true, ..Retained::default() };
        set(&mut retained, "a", b"1");
        assert_eq!(save_all(&mut retained), "a=1 ");
        let topic = |text| TopicName::new(text).unwrap();
        retained.forget(topic("a"));
        retained.forget(topic("b"));
        assert_eq!((save_all(&mut retained), retained.memory()), (String::from("a= "), 0));
    }

    #[test]
    fn the_store_is_told_nothing_of_reserved_topics() {
        let mut retained = Retained { is_saved: true, ..Retained::default() };
        set(&mut retained, "$SYS/x", b"1");
        assert_eq!((retained.count(), retained.unsaved()), (1, 0));
        set(&mut retained, "$SYS/x", b"");
        assert_eq!((retained.count(), retained.unsaved()), (0, 0));
    }

    #[test]
    fn what_comes_from_the_store_need_not_go_there() {
        let mut retained = Retained { is_saved: true, ..Retained::default() };
        assert_eq!(retained.restore(message("a", b"1"), QoS::AtLeastOnce, &Settings::default()), Ok(()));
        assert_eq!((retained.unsaved(), retained.count()), (0, 1));
    }
}
