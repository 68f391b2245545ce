//! The way of a message from its publisher to its subscribers (MQTT 3.1.1 §3.3, §4.3).

use alloc::rc::Rc;

use espbroker_mqtt::{Delivery, Packet, Publish, TopicName};

use crate::{
    access::Access,
    broker::Broker,
    bytes::{Bytes, encode_shared},
    counters::{add, increment},
    event::{CloseReason, ConnectionId},
    outbox::Class,
    settings::UNRELEASED_MESSAGES,
    subscriptions::HashedTopic,
    time::Instant,
};

impl<A: Access> Broker<A> {
    /// Takes a message from a client and acknowledges it.
    pub(crate) fn publish(&mut self, id: ConnectionId, publish: &Publish<'_>, now: Instant) {
        let acknowledgement = match publish.delivery {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce { packet_id, .. } => Some(Packet::Puback(packet_id)),
            Delivery::ExactlyOnce { packet_id, .. } => Some(Packet::Pubrec(packet_id)),
        };
        let mut duplicate = false;
        if let Delivery::ExactlyOnce { packet_id, .. } = publish.delivery
            && let Some(session) = self.find(id).and_then(|connection| connection.session.as_deref_mut())
        {
            // §4.3.3: until PUBREL the identifier names the same message, whatever DUP says.
            duplicate = session.unreleased.contains(&packet_id);
            if !duplicate {
                if session.unreleased.len() >= UNRELEASED_MESSAGES {
                    return self.close(id, CloseReason::TooManyUnreleased, now);
                }
                session.unreleased.push(packet_id);
            }
        }
        if duplicate {
            increment(&mut self.counters.duplicates);
        } else {
            add(&mut self.counters.messages_received, 1);
            self.route(publish.topic, publish.payload, publish.retain, now);
        }
        if let Some(packet) = acknowledgement {
            self.answer(id, &packet, now);
        }
    }

    /// Keeps a retained message and gives the message to every client with a matching subscription, once.
    pub(crate) fn route(&mut self, topic: TopicName<'_>, payload: &[u8], retain: bool, now: Instant) {
        if topic.is_reserved() {
            // §4.7.2: `$` topics are the server's own.
            return increment(&mut self.counters.reserved_topics);
        }
        if retain && self.retained.set(topic, payload, &self.settings).is_err() {
            increment(&mut self.counters.retained_refused);
        }
        let hashed = HashedTopic::new(topic);
        let mut shared: Option<Rc<[u8]>> = None;
        for connection in &mut self.connections {
            if !connection.session.as_ref().is_some_and(|session| session.subscriptions.matches(hashed)) {
                continue;
            }
            let packet = match &shared {
                Some(packet) => Rc::clone(packet),
                None => {
                    // §3.3.1.3: RETAIN is 0 for a subscription that was there before the message.
                    let publish = Publish { topic, payload, retain: false, delivery: Delivery::AtMostOnce };
                    // It came in a packet that was longer or as long, so there is always room for its length.
                    let Ok(packet) = encode_shared(&Packet::Publish(publish)) else { return };
                    Rc::clone(shared.insert(packet))
                }
            };
            if self.outbox.has_room(connection, packet.len(), Class::Message) {
                add(&mut self.counters.messages_sent, 1);
                add(&mut self.counters.bytes_sent, packet.len());
                self.outbox.send(connection, Bytes::from(packet), now);
            } else {
                add(&mut self.counters.messages_dropped, 1);
            }
        }
    }
}
