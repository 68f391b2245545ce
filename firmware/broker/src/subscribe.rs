//! SUBSCRIBE and UNSUBSCRIBE (MQTT 3.1.1 §3.8, §3.10), and the retained messages for new subscriptions.

use alloc::vec::Vec;

use espbroker_mqtt::{Packet, QoS, ReturnCodes, Suback, SubackCode, Subscribe, TopicFilter, Unsubscribe};

use crate::{
    access::Access,
    broker::Broker,
    counters::increment,
    event::{CloseReason, ConnectionId},
    message::OVERHEAD,
    replay::Replay,
    room::{ALLOCATION, Need, Room},
    session::Session,
    settings::{FILTER_BYTES_PER_SUBSCRIPTION, Settings},
    subscriptions::Subscriptions,
    time::Instant,
    traffic::Traffic,
};

/// Subscriptions in one SUBSCRIBE whose return codes are too short to be counted.
const FEW: usize = 32;

impl<A: Access> Broker<A> {
    pub(crate) fn subscribe(&mut self, id: ConnectionId, subscribe: &Subscribe<'_>, now: Instant) {
        let count = subscribe.subscriptions.iter().count();
        // The return codes, and once more in the SUBACK.
        if count > FEW && !self.room.take(2 * count + OVERHEAD + ALLOCATION, Need::Service) {
            return self.close(id, CloseReason::NoMemory, now);
        }
        let Self { settings, connections, retained, counters, access, room, .. } = self;
        let Some(session) = connections.get_mut(id).and_then(|connection| connection.session.as_mut()) else {
            return;
        };
        let mut codes = Vec::with_capacity(count);
        for subscription in subscribe.subscriptions.iter() {
            let (filter, qos) = (subscription.filter, subscription.qos);
            let code = if !session.subject(access).may_subscribe(filter) {
                increment(&mut counters.subscriptions_denied);
                SubackCode::Failure
            } else {
                let replay = Replay::new(filter, qos, retained);
                if make_room(replay.as_ref(), room) && add_subscription(session, filter, qos, settings, room)
                {
                    start_replay(session, filter, replay);
                    SubackCode::Granted(qos)
                } else {
                    increment(&mut counters.subscriptions_refused);
                    SubackCode::Failure
                }
            };
            codes.push(code.number());
        }
        self.outbox.backlog |= !session.is_idle();
        let Ok(return_codes) = ReturnCodes::new(&codes) else { return };
        self.answer(id, &Packet::Suback(Suback { packet_id: subscribe.packet_id, return_codes }), now);
        for (subscription, code) in subscribe.subscriptions.iter().zip(&codes) {
            if *code != SubackCode::Failure.number() {
                self.show_system(id, subscription.filter, now);
            }
        }
    }

    pub(crate) fn unsubscribe(&mut self, id: ConnectionId, unsubscribe: &Unsubscribe<'_>, now: Instant) {
        let Self { connections, room, .. } = self;
        let connection = connections.get_mut(id);
        if let Some(session) = connection.and_then(|connection| connection.session.as_mut()) {
            for filter in unsubscribe.filters.iter() {
                session.subscriptions.remove(filter);
                if let Some(traffic) = session.traffic.as_deref_mut() {
                    traffic.replays.retain(|replay| !replay.is_for(filter));
                }
            }
            if room.has(Need::Growth) {
                session.subscriptions.shrink();
            }
            session.settle();
        }
        self.answer(id, &Packet::Unsuback(unsubscribe.packet_id), now);
    }
}

/// Is there memory to send the retained messages for a subscription; without that it is not granted.
fn make_room(replay: Option<&Replay>, room: &mut Room) -> bool {
    let bytes = |replay: &Replay| size_of::<Traffic>() + size_of::<Replay>() + replay.memory();
    replay.is_none_or(|replay| room.take(bytes(replay), Need::Growth))
}

/// Begins with the retained messages for a subscription, from the start also for a repeated one (§3.8.4).
fn start_replay(session: &mut Session, filter: TopicFilter<'_>, replay: Option<Replay>) {
    if let Some(traffic) = session.traffic.as_deref_mut() {
        traffic.replays.retain(|replay| !replay.is_for(filter));
    }
    if let Some(replay) = replay {
        session.traffic().replay(replay);
    }
}

/// Adds or changes a subscription; `false` when that would break a limit.
fn add_subscription(
    session: &mut Session,
    filter: TopicFilter<'_>,
    qos: QoS,
    settings: &Settings,
    room: &mut Room,
) -> bool {
    if session.subscriptions.grant(filter, qos) {
        return true;
    }
    let limit = usize::from(settings.subscriptions_per_client);
    let (count, bytes) = session.subscriptions.totals();
    let length = filter.as_str().len();
    let fits = count < limit
        && bytes + length <= limit * FILTER_BYTES_PER_SUBSCRIPTION
        && session.subscriptions.can_hold(length)
        // The list is moved to make it longer.
        && room.take(session.subscriptions.memory() + Subscriptions::growth(length), Need::Growth);
    if fits {
        session.subscriptions.add(filter, qos);
    }
    fits
}
