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
    shared::Shared,
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
        let Self { settings, connections, away, shared, retained, counters, access, room, outbox, .. } = self;
        let mut codes = Vec::with_capacity(count);
        for subscription in subscribe.subscriptions.iter() {
            let Some(session) = connections.get_mut(id).and_then(|connection| connection.session.as_mut())
            else {
                return;
            };
            let (filter, qos) = (subscription.filter, subscription.qos);
            let code = if !session.subject(access).may_subscribe(filter) {
                increment(&mut counters.subscriptions_denied);
                SubackCode::Failure
            } else {
                let replay = Replay::new(filter, qos, retained);
                if make_room(replay.as_ref(), room)
                    && let Some(added) = add_subscription(session, filter, qos, settings, shared, room)
                {
                    start_replay(session, filter, replay);
                    outbox.backlog |= !session.is_idle();
                    if added == Added::Text {
                        shared.share(filter, connections, away, room);
                    }
                    SubackCode::Granted(qos)
                } else {
                    increment(&mut counters.subscriptions_refused);
                    SubackCode::Failure
                }
            };
            codes.push(code.number());
        }
        let Ok(return_codes) = ReturnCodes::new(&codes) else { return };
        self.answer(id, &Packet::Suback(Suback { packet_id: subscribe.packet_id, return_codes }), now);
        for (subscription, code) in subscribe.subscriptions.iter().zip(&codes) {
            if *code != SubackCode::Failure.number() {
                self.show_system(id, subscription.filter, now);
            }
        }
    }

    pub(crate) fn unsubscribe(&mut self, id: ConnectionId, unsubscribe: &Unsubscribe<'_>, now: Instant) {
        let Self { connections, shared, room, .. } = self;
        let connection = connections.get_mut(id);
        if let Some(session) = connection.and_then(|connection| connection.session.as_mut()) {
            for filter in unsubscribe.filters.iter() {
                session.subscriptions.remove(filter, shared);
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

/// How a subscription is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    /// As before.
    Nothing,
    /// By the number of a shared filter.
    Number,
    Text,
}

/// Adds or changes a subscription; `None` when that would break a limit.
fn add_subscription(
    session: &mut Session,
    filter: TopicFilter<'_>,
    qos: QoS,
    settings: &Settings,
    shared: &mut Shared,
    room: &mut Room,
) -> Option<Added> {
    let subscriptions = &mut session.subscriptions;
    if subscriptions.grant(filter, qos, shared) {
        return Some(Added::Nothing);
    }
    let limit = usize::from(settings.subscriptions_per_client);
    let (count, bytes) = subscriptions.totals(shared);
    let length = filter.as_str().len();
    if count >= limit || bytes + length > limit * FILTER_BYTES_PER_SUBSCRIPTION {
        return None;
    }
    // Everything is moved to make it longer.
    let mut has_room = |growth| room.take(subscriptions.memory() + growth, Need::Growth);
    if let Some(id) = shared.find_filter(filter) {
        if !has_room(Subscriptions::growth(0)) {
            return None;
        }
        subscriptions.add_shared(id, qos, shared);
        shared.take(id);
        return Some(Added::Number);
    }
    if !subscriptions.can_hold(length) || !has_room(Subscriptions::growth(length)) {
        return None;
    }
    subscriptions.add(filter, qos);
    subscriptions.look_for_common(filter, room);
    Some(Added::Text)
}
