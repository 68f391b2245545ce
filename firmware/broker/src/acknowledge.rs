//! Acknowledgements from a client for messages that it was sent, and PUBREL for those that it sent (MQTT 3.1.1 §4.3).

use espbroker_mqtt::{Packet, PacketId};

use crate::{
    access::Access, broker::Broker, counters::increment, event::ConnectionId, time::Instant, traffic::Traffic,
};

impl<A: Access> Broker<A> {
    /// PUBACK.
    pub(crate) fn puback(&mut self, id: ConnectionId, packet_id: PacketId) {
        self.acknowledged(id, |traffic| traffic.acknowledge(packet_id));
    }

    /// PUBREC. Answered also when the message is not known, as it may belong to a session that is gone, so that the
    /// client comes to an end with it.
    pub(crate) fn pubrec(&mut self, id: ConnectionId, packet_id: PacketId, now: Instant) {
        self.acknowledged(id, |traffic| traffic.received(packet_id));
        self.answer(id, &Packet::Pubrel(packet_id), now);
    }

    /// PUBCOMP.
    pub(crate) fn pubcomp(&mut self, id: ConnectionId, packet_id: PacketId) {
        self.acknowledged(id, |traffic| traffic.complete(packet_id));
    }

    /// PUBREL. Answered also when the message is not known, because the answer to an earlier one may be lost.
    pub(crate) fn pubrel(&mut self, id: ConnectionId, packet_id: PacketId, now: Instant) {
        if let Some(session) = self.find(id).and_then(|connection| connection.session.as_mut()) {
            if let Some(traffic) = session.traffic.as_deref_mut() {
                traffic.release(packet_id);
            }
            session.settle();
        }
        self.answer(id, &Packet::Pubcomp(packet_id), now);
    }

    fn acknowledged(&mut self, id: ConnectionId, acknowledge: impl FnOnce(&mut Traffic) -> bool) {
        let session = self.find(id).and_then(|connection| connection.session.as_mut());
        let Some(session) = session else { return };
        let known = session.traffic.as_deref_mut().is_some_and(acknowledge);
        let waits = !session.is_idle();
        session.settle();
        self.outbox.backlog |= waits;
        if !known {
            increment(&mut self.counters.unexpected_acknowledgements);
        }
    }
}
