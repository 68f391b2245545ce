//! [`Message`]: one application message, kept once for everybody who waits for it.
//!
//! It is stored as the PUBLISH of QoS 0 without RETAIN, so that the usual delivery hands out the stored bytes as they
//! are; another QoS or flag only replaces the fixed header and puts a packet identifier between topic and payload.

use alloc::rc::Rc;

use espbroker_mqtt::{Delivery, FixedHeader, Packet, Publish, TopicName};

use crate::{
    bytes::{Bytes, encode_shared},
    room::{Need, Room},
};

/// Bytes that a message takes beside its packet: the two counts of the sharing.
pub(crate) const OVERHEAD: usize = size_of::<[usize; 2]>();

/// Bytes of the longest packet that a message may be kept as: positions in it have two bytes.
const LENGTH_MAX: usize = 65_535;

/// Topic and payload, shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message(Rc<[u8]>);

/// The packet that a message is kept as.
const fn packet<'a>(topic: TopicName<'a>, payload: &'a [u8]) -> Packet<'a> {
    Packet::Publish(Publish { topic, payload, retain: false, delivery: Delivery::AtMostOnce })
}

impl Message {
    /// `None` for a message that does not fit.
    pub(crate) fn new(topic: TopicName<'_>, payload: &[u8]) -> Option<Self> {
        if Self::fits(topic, payload) { encode_shared(&packet(topic, payload)).ok().map(Self) } else { None }
    }

    /// Bytes of the packet that it would be kept as.
    pub(crate) fn length_of(topic: TopicName<'_>, payload: &[u8]) -> usize {
        packet(topic, payload).encoded_length().unwrap_or(usize::MAX)
    }

    /// Takes the memory for it out of `room` first; `None` also when there is too little.
    pub(crate) fn within(room: &mut Room, topic: TopicName<'_>, payload: &[u8]) -> Option<Self> {
        // A little more than the packet will take.
        let length = topic.as_str().len() + payload.len() + OVERHEAD + 9;
        if room.take(length, Need::Service) { Self::new(topic, payload) } else { None }
    }

    /// The same for one that came as the packet in which it is kept, no longer than a packet can be.
    pub(crate) fn copy(room: &mut Room, packet: &[u8]) -> Option<Self> {
        room.take(OVERHEAD + packet.len(), Need::Service).then(|| Self(packet.into()))
    }

    /// Is it short enough, as every message from a client is. Over a bridge its topic may have become longer.
    pub(crate) const fn fits(topic: TopicName<'_>, payload: &[u8]) -> bool {
        // Of so long a packet the fixed header has four bytes, the topic's length two.
        topic.as_str().len() + payload.len() + 6 <= LENGTH_MAX
    }

    /// The whole packet for QoS 0 without RETAIN.
    pub(crate) fn packet(&self) -> Bytes {
        Bytes::from(Rc::clone(&self.0))
    }

    /// Bytes of the packet.
    pub(crate) fn length(&self) -> usize {
        self.0.len()
    }

    /// Where the topic's length field begins, and where the topic ends.
    fn topic_bounds(&self) -> (usize, usize) {
        let header = FixedHeader::parse(&self.0).ok().flatten();
        let start = header.map_or(0, |header| usize::from(header.header_length));
        let length = self.0.get(start..).and_then(|rest| rest.first_chunk::<2>());
        let length = length.map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
        (start, start + 2 + length)
    }

    /// The topic as text that was a topic name when the message was made.
    pub(crate) fn topic(&self) -> &[u8] {
        let (start, end) = self.topic_bounds();
        self.0.get(start + 2..end).unwrap_or_default()
    }

    /// What follows the topic.
    pub(crate) fn payload(&self) -> &[u8] {
        self.0.get(self.topic_bounds().1..).unwrap_or_default()
    }

    /// The topic with its length field, and the payload, as parts of a packet.
    pub(crate) fn parts(&self) -> (Bytes, Bytes) {
        let (start, end) = self.topic_bounds();
        let part = |start, end| Bytes::part(&self.0, start, end);
        (part(start, end), part(end, self.0.len()))
    }

    /// Bytes of topic and payload.
    pub(crate) fn size(&self) -> usize {
        self.0.len() - self.topic_bounds().0 - 2
    }

    /// This holder's share of the heap bytes in use, rounded up.
    pub(crate) fn share(&self) -> usize {
        (OVERHEAD + self.0.len()).div_ceil(Rc::strong_count(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::room::ALLOCATION;

    #[test]
    fn a_message_is_made_only_when_the_room_has_its_memory() {
        let topic = TopicName::new("t").unwrap();
        let mut room = Room::new(1000);
        room.set(1000);
        assert!(Message::within(&mut room, topic, b"payload").is_none());
        room.set(1100);
        let message = Message::within(&mut room, topic, b"payload").unwrap();
        let taken = 1100 - room.free();
        assert!(taken >= OVERHEAD + message.length() + ALLOCATION, "{taken}");
    }

    #[test]
    fn topic_and_payload_are_found_again_whatever_their_lengths() {
        for (topic, payload) in [("a", 0), ("a/b", 3), ("long/topic", 200), ("t", 20_000)] {
            let payload = vec![7; payload];
            let message = Message::new(TopicName::new(topic).unwrap(), &payload).unwrap();
            assert_eq!((message.topic(), message.payload()), (topic.as_bytes(), &payload[..]));
            assert_eq!(message.size(), topic.len() + payload.len());
            let (head, tail) = message.parts();
            assert_eq!(head.len() + tail.len(), 2 + message.size());
            assert!(message.packet().ends_with(&payload));
        }
    }

    #[test]
    fn a_message_too_long_for_positions_of_two_bytes_is_none() {
        let topic = TopicName::new("t").unwrap();
        let longest = vec![7; 65_535 - 7];
        let message = Message::new(topic, &longest).unwrap();
        assert_eq!((message.packet().len(), message.parts().1.len()), (65_535, longest.len()));
        assert!(Message::new(topic, &[&longest[..], &[7]].concat()).is_none());
    }

    #[test]
    fn the_shares_of_all_holders_make_the_whole() {
        let message = Message::new(TopicName::new("t").unwrap(), b"payload").unwrap();
        let alone = message.share();
        let other = message.clone();
        assert_eq!(alone, OVERHEAD + message.length());
        assert!((alone..=alone + 1).contains(&(message.share() + other.share())));
    }
}
