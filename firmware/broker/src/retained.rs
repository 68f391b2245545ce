//! [`Retained`]: the last retained message of each topic (MQTT 3.1.1 §3.3.1.3), as the packet to be sent.
//!
//! Messages are kept in the order in which they were set. A [`Replay`] walks along that order in the pace of a
//! slow subscriber: what is set or replaced after it began lies behind its end, because the subscriber gets that
//! as a live message, and what is cleared is gone, so nothing outdated is sent late.

use alloc::{boxed::Box, rc::Rc, vec::Vec};

use espbroker_mqtt::{Delivery, Packet, Publish, TopicFilter, TopicName, filter_matches};

use crate::{bytes::encode_shared, settings::Settings};

/// Entries for which room is made at once.
const GROWTH: usize = 4;

/// Position in the order of setting; a new one for every message kept.
type Sequence = u64;

struct Message {
    sequence: Sequence,
    packet: Rc<[u8]>,
    /// Where in the packet the topic begins, and its length; the payload is what follows.
    topic: (u8, u16),
}

impl Message {
    fn new(sequence: Sequence, topic: TopicName<'_>, payload: &[u8]) -> Option<Self> {
        let publish = Publish { topic, payload, retain: true, delivery: Delivery::AtMostOnce };
        let packet = encode_shared(&Packet::Publish(publish)).ok()?;
        let length = topic.as_str().len();
        let start = packet.len().checked_sub(length + payload.len())?;
        Some(Self { sequence, packet, topic: (u8::try_from(start).ok()?, u16::try_from(length).ok()?) })
    }

    fn topic(&self) -> &[u8] {
        let start = usize::from(self.topic.0);
        self.packet.get(start..start + usize::from(self.topic.1)).unwrap_or_default()
    }

    /// Bytes of topic and payload.
    fn size(&self) -> usize {
        self.packet.len().saturating_sub(usize::from(self.topic.0))
    }
}

/// Retained messages of all topics.
#[derive(Default)]
pub(crate) struct Retained {
    messages: Vec<Message>,
    next: Sequence,
    bytes: usize,
}

/// A message could not be kept because of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Retained {
    /// Keeps `payload` for `topic` in place of what was kept before; an empty one only clears.
    ///
    /// After an error nothing is kept for the topic: an old value would be taken for the new one.
    pub(crate) fn set(
        &mut self,
        topic: TopicName<'_>,
        payload: &[u8],
        settings: &Settings,
    ) -> Result<(), Full> {
        let old = self.messages.iter().position(|message| message.topic() == topic.as_str().as_bytes());
        if let Some(index) = old {
            let old = self.messages.remove(index);
            self.bytes -= old.size();
        }
        if payload.is_empty() {
            if self.messages.capacity() - self.messages.len() > GROWTH || self.messages.is_empty() {
                self.messages.shrink_to_fit();
            }
            return Ok(());
        }
        let size = topic.as_str().len() + payload.len();
        let limit = usize::try_from(settings.retained_bytes).unwrap_or(usize::MAX);
        if self.messages.len() >= usize::from(settings.retained_messages) || self.bytes + size > limit {
            return Err(Full);
        }
        let message = Message::new(self.next, topic, payload).ok_or(Full)?;
        if self.messages.len() == self.messages.capacity() {
            self.messages.reserve_exact(GROWTH);
        }
        self.messages.push(message);
        self.next += 1;
        self.bytes += size;
        Ok(())
    }

    /// Number of messages kept.
    pub(crate) const fn count(&self) -> usize {
        self.messages.len()
    }

    /// Heap bytes in use.
    pub(crate) fn memory(&self) -> usize {
        // A shared packet carries its two reference counts.
        let packets = self.messages.iter().map(|message| size_of::<[usize; 2]>() + message.packet.len());
        self.messages.capacity() * size_of::<Message>() + packets.sum::<usize>()
    }
}

/// Delivery of retained messages for one new subscription, under way.
pub(crate) struct Replay {
    filter: Box<str>,
    next: Sequence,
    end: Sequence,
}

impl Replay {
    /// All that is kept now and matches `filter`; `None` when there is nothing.
    pub(crate) fn new(filter: TopicFilter<'_>, retained: &Retained) -> Option<Self> {
        let replay = Self { filter: filter.as_str().into(), next: 0, end: retained.next };
        replay.peek(retained).map(|message| message.0).map(|next| Self { next, ..replay })
    }

    fn peek<'a>(&self, retained: &'a Retained) -> Option<(Sequence, &'a Rc<[u8]>)> {
        let start = retained.messages.partition_point(|message| message.sequence < self.next);
        retained
            .messages
            .iter()
            .skip(start)
            .take_while(|message| message.sequence < self.end)
            .find(|message| filter_matches(self.filter.as_bytes(), message.topic()))
            .map(|message| (message.sequence, &message.packet))
    }

    /// The packet to be sent next, once `admit` agrees to its length.
    pub(crate) fn next(&mut self, retained: &Retained, admit: impl Fn(usize) -> bool) -> Next {
        match self.peek(retained) {
            None => Next::Done,
            Some((sequence, packet)) if admit(packet.len()) => {
                self.next = sequence + 1;
                Next::Packet(Rc::clone(packet))
            }
            Some(_) => Next::NoRoom,
        }
    }

    /// Is it for exactly this filter.
    pub(crate) fn is_for(&self, filter: TopicFilter<'_>) -> bool {
        *self.filter == *filter.as_str()
    }

    /// Heap bytes in use.
    pub(crate) const fn memory(&self) -> usize {
        self.filter.len()
    }
}

/// What [`Replay::next`] found.
pub(crate) enum Next {
    /// To be sent now.
    Packet(Rc<[u8]>),
    /// To be asked again when there is room.
    NoRoom,
    /// Everything was sent.
    Done,
}
