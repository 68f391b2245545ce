//! SUBSCRIBE and UNSUBSCRIBE (MQTT 3.1.1 §3.8, §3.10), and the retained messages for new subscriptions.

use alloc::vec::Vec;

use espbroker_mqtt::{Packet, QoS, ReturnCodes, Suback, SubackCode, Subscribe, TopicFilter, Unsubscribe};

use crate::{
    access::Access,
    broker::Broker,
    bytes::Bytes,
    counters::{add, increment},
    event::ConnectionId,
    outbox::Class,
    retained::{Next, Replay},
    session::Session,
    settings::{FILTER_BYTES_PER_SUBSCRIPTION, Settings},
    time::Instant,
};

impl<A: Access> Broker<A> {
    pub(crate) fn subscribe(&mut self, id: ConnectionId, subscribe: &Subscribe<'_>, now: Instant) {
        let Self { settings, connections, retained, counters, .. } = self;
        let Some(session) = connections
            .iter_mut()
            .find(|connection| connection.id == id)
            .and_then(|connection| connection.session.as_deref_mut())
        else {
            return;
        };
        let mut codes = Vec::new();
        for subscription in subscribe.subscriptions.iter() {
            let filter = subscription.filter;
            if !add_subscription(session, filter, settings) {
                increment(&mut counters.subscriptions_refused);
                codes.push(SubackCode::Failure.number());
                continue;
            }
            // §3.8.4: also a repeated subscription gets the retained messages again.
            session.replays.retain(|replay| !replay.is_for(filter));
            session.replays.extend(Replay::new(filter, retained));
            // §3.8.4: the server may grant a lower QoS than was asked for.
            codes.push(SubackCode::Granted(QoS::AtMostOnce).number());
        }
        let Ok(return_codes) = ReturnCodes::new(&codes) else { return };
        self.answer(id, &Packet::Suback(Suback { packet_id: subscribe.packet_id, return_codes }), now);
        self.replay(id, now);
    }

    pub(crate) fn unsubscribe(&mut self, id: ConnectionId, unsubscribe: &Unsubscribe<'_>, now: Instant) {
        if let Some(session) = self.find(id).and_then(|connection| connection.session.as_deref_mut()) {
            for filter in unsubscribe.filters.iter() {
                session.subscriptions.remove(filter);
                session.replays.retain(|replay| !replay.is_for(filter));
            }
        }
        self.answer(id, &Packet::Unsuback(unsubscribe.packet_id), now);
    }

    /// Goes on with retained messages for new subscriptions, as far as there is room.
    pub(crate) fn replay(&mut self, id: ConnectionId, now: Instant) {
        let Self { connections, retained, outbox, counters, .. } = self;
        let Some(connection) = connections.iter_mut().find(|connection| connection.id == id) else { return };
        let Some(mut session) = connection.session.take() else { return };
        while let Some(replay) = session.replays.first_mut() {
            match replay.next(retained, |length| outbox.has_room(connection, length, Class::Replayed)) {
                Next::Packet(packet) => {
                    add(&mut counters.messages_sent, 1);
                    add(&mut counters.bytes_sent, packet.len());
                    outbox.send(connection, Bytes::from(packet), now);
                }
                Next::NoRoom => break,
                Next::Done => {
                    session.replays.remove(0);
                }
            }
        }
        if session.replays.is_empty() {
            session.replays = Vec::new();
        }
        connection.session = Some(session);
    }
}

/// Adds a subscription unless it is there; `false` when that would break a limit.
fn add_subscription(session: &mut Session, filter: TopicFilter<'_>, settings: &Settings) -> bool {
    if session.subscriptions.contains(filter) {
        return true;
    }
    let limit = usize::from(settings.subscriptions_per_client);
    let (count, bytes) = session.subscriptions.totals();
    let fits = count < limit && bytes + filter.as_str().len() <= limit * FILTER_BYTES_PER_SUBSCRIPTION;
    if fits {
        session.subscriptions.add(filter);
    }
    fits
}
