//! Retained messages that outlive a restart: the caller keeps them, the broker says which.

use espbroker_mqtt::{QoS, TopicName};

use crate::{access::Access, broker::Broker, message::Message};

/// A retained message on its way to the caller's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsaved<'a> {
    /// A topic name.
    pub topic: &'a str,
    /// Empty when the message is to be forgotten.
    pub payload: &'a [u8],
    /// The QoS that it was published with.
    pub qos: QoS,
}

/// What came of saving a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saving {
    /// It is in the store, or never will be.
    Over,
    /// It is to be offered again.
    Again,
}

impl<A: Access> Broker<A> {
    /// Begins to remember which retained messages the store does not have. Before this, none counts as unsaved.
    pub const fn keep_retained(&mut self) {
        self.retained.is_saved = true;
    }

    /// Keeps a message that the store has; nobody is told. `false` if a limit, or the topic, forbids it.
    pub fn restore_retained(&mut self, topic: &str, payload: &[u8], qos: QoS) -> bool {
        let Ok(topic) = TopicName::new(topic) else { return false };
        let Some(message) = Message::new(topic, payload).filter(|_| !topic.is_reserved()) else {
            return false;
        };
        self.retained.restore(message, qos, &self.settings).is_ok()
    }

    /// How many retained messages there may be, from [`crate::Settings`].
    pub const fn retained_limit(&self) -> u16 {
        self.settings.retained_messages
    }

    /// Number of retained messages that the store does not have as they are.
    pub const fn unsaved(&self) -> usize {
        self.retained.unsaved()
    }

    /// Gives one of them to `write`, the oldest first. Does nothing when there is none.
    pub fn save_next(&mut self, write: impl FnOnce(Unsaved<'_>) -> Saving) {
        self.retained.save_next(|message, qos| {
            let topic = core::str::from_utf8(message.topic()).unwrap_or_default();
            write(Unsaved { topic, payload: message.payload(), qos })
        });
    }

    /// What is kept for a topic now: payload and QoS.
    pub fn retained_message(&self, topic: &str) -> Option<(&[u8], QoS)> {
        self.retained.of(topic.as_bytes()).map(|kept| (kept.message.payload(), kept.qos))
    }
}
