//! The device's own part in the traffic: it publishes and hears messages without being a client.
//!
//! There is no connection, no session and no permission to ask for. What it hears waits here until it is asked for, in
//! bounded room: a message too long or too many is dropped and counted, as for a slow client.

use alloc::{boxed::Box, collections::VecDeque};

use espbroker_mqtt::{QoS, TopicFilter, TopicName};

use crate::{
    access::Access,
    broker::Broker,
    counters::{Counters, add},
    routing::Origin,
    time::Instant,
    traffic::Retain,
};

/// Bytes of the longest payload that the device hears.
const PAYLOAD_MAX: usize = 32;
/// Messages that wait for the device at most.
const WAITING_MAX: usize = 8;

/// A message that the device has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMessage {
    /// A topic name.
    pub topic: Box<str>,
    /// At most 32 bytes.
    pub payload: Box<[u8]>,
}

/// What the device listens to, and what it has not asked for yet.
pub(crate) struct Own {
    filter: Box<str>,
    waiting: VecDeque<OwnMessage>,
}

impl Own {
    /// Heap bytes in use.
    pub(crate) fn memory(&self) -> usize {
        let waiting = self.waiting.iter().map(|message| message.topic.len() + message.payload.len());
        size_of::<Self>()
            + self.filter.len()
            + self.waiting.capacity() * size_of::<OwnMessage>()
            + waiting.sum::<usize>()
    }

    /// Notes a message if the device listens to its topic.
    #[inline(never)]
    pub(crate) fn hear(&mut self, topic: TopicName<'_>, payload: &[u8], counters: &mut Counters) {
        if !TopicFilter::new(&self.filter).is_ok_and(|filter| filter.matches(topic)) {
            return;
        }
        if payload.len() > PAYLOAD_MAX || self.waiting.len() >= WAITING_MAX {
            return add(&mut counters.messages_dropped, 1);
        }
        self.waiting.push_back(OwnMessage { topic: topic.as_str().into(), payload: payload.into() });
    }
}

impl<A: Access> Broker<A> {
    /// Listens to the topics of a filter for the device itself, in the place of one before. Retained messages are not
    /// heard: only what is published from now on.
    pub fn listen(&mut self, filter: &str) {
        self.own = Some(Box::new(Own { filter: filter.into(), waiting: VecDeque::new() }));
    }

    /// The next message that the device has heard; the outputs of one [`Broker::handle`] are polled first or after, as
    /// the caller likes.
    pub fn poll_own(&mut self) -> Option<OwnMessage> {
        self.own.as_deref_mut()?.waiting.pop_front()
    }

    /// Publishes a message of the device's own with QoS 1. The device does not hear it.
    ///
    /// `false` if it was not: the topic is none or the server's, or there is no memory, which is counted.
    pub fn publish_own(&mut self, topic: &str, payload: &[u8], now: Instant) -> bool {
        self.route_own(topic, payload, Retain::Live, now)
    }

    /// The same with RETAIN.
    pub fn retain_own(&mut self, topic: &str, payload: &[u8], now: Instant) -> bool {
        self.route_own(topic, payload, Retain::Retained, now)
    }

    fn route_own(&mut self, topic: &str, payload: &[u8], retain: Retain, now: Instant) -> bool {
        let Ok(topic) = TopicName::new(topic) else { return false };
        if topic.is_reserved() {
            return false;
        }
        let own = self.own.take();
        let published = self.route(topic, payload, QoS::AtLeastOnce, retain, Origin::Here, now);
        self.own = own;
        self.pump(now);
        published.is_ok()
    }
}
