//! Handing out what waits: in turn for every connection, as far as the network has room (MQTT 3.1.1 §4.3, §4.4, §4.6).

use alloc::vec::Vec;

use espbroker_mqtt::{Packet, PacketId, QoS};

use crate::{
    access::Access,
    bridges::Bridges,
    broker::Broker,
    connection::{Connection, Peer},
    counters::{Counters, add},
    message::{Message, OVERHEAD},
    outbox::{Delivery, Outbox},
    permission::Wish,
    replay::Next,
    retained::Retained,
    room::{Need, Room},
    routing::Origin,
    session::Session,
    settings::IN_FLIGHT_MESSAGES,
    time::Instant,
    traffic::{Retain, Stage, Waiting},
};

impl<A: Access> Broker<A> {
    /// Hands out what waits and has room, beginning behind the connection that was the last to get something, so that
    /// each gets its share of a room that is too small for all.
    pub(crate) fn pump(&mut self, now: Instant) {
        if !self.outbox.backlog {
            return;
        }
        self.outbox.begin_round();
        let Self { connections, outbox, retained, counters, access, bridges, room, turn, .. } = self;
        let mut round = Round { outbox, retained, counters, access, bridges, room };
        let mut backlog = false;
        let count = connections.len();
        let first = (*turn).min(count);
        for (place, connection) in connections.round(first).enumerate() {
            let before = connection.unsent;
            backlog |= round.pump(connection, now) == Rest::Waits;
            if connection.unsent > before {
                *turn = (first + place + 1).checked_rem(count).unwrap_or(0);
            }
        }
        self.outbox.backlog = backlog;
    }
}

/// A round over all connections, with what it takes.
struct Round<'a, A> {
    outbox: &'a mut Outbox,
    retained: &'a Retained,
    counters: &'a mut Counters,
    access: &'a A,
    bridges: &'a mut Bridges,
    room: &'a mut Room,
}

/// What is left of a connection's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing, or only what waits for an acknowledgement.
    Done,
    /// Something that has no room yet.
    Waits,
}

enum Step {
    /// A message in flight that was not sent over this connection.
    Again(Stage, PacketId, Retain),
    /// A message that goes out for the first time.
    New(Waiting),
    Nothing,
    NoRoom,
}

impl<A: Access> Round<'_, A> {
    fn pump(&mut self, connection: &mut Connection, now: Instant) -> Rest {
        if connection.session.as_ref().is_none_or(|session| session.is_idle()) {
            return Rest::Done;
        }
        // Apart for a moment, so that both can be changed.
        let Some(mut session) = connection.session.take() else { return Rest::Done };
        let rest = loop {
            match self.next(connection, &mut session, now) {
                Step::Again(stage, packet_id, retain) => {
                    let message = match stage {
                        Stage::Puback(message) => Some((message, QoS::AtLeastOnce)),
                        Stage::Pubrec(message) => Some((message, QoS::ExactlyOnce)),
                        Stage::Pubcomp => None,
                    };
                    if let Some((message, qos)) = message {
                        self.note(connection, &message, now);
                        self.outbox.publish(
                            connection,
                            &message,
                            Delivery::Again(qos, packet_id),
                            retain,
                            now,
                        );
                    } else if let Ok(bytes) = connection.encode(&Packet::Pubrel(packet_id)) {
                        self.outbox.send(connection, bytes, now);
                    }
                }
                Step::New(Waiting { message, qos, retain }) => {
                    self.note(connection, &message, now);
                    let delivery = if qos == QoS::AtMostOnce {
                        Delivery::Once
                    } else {
                        let packet_id = session.next_packet_id();
                        session.traffic().launch(packet_id, message.clone(), qos, retain);
                        Delivery::First(qos, packet_id)
                    };
                    self.outbox.publish(connection, &message, delivery, retain, now);
                }
                Step::Nothing => break Rest::Done,
                Step::NoRoom => break Rest::Waits,
            }
        };
        session.settle();
        connection.session = Some(session);
        rest
    }

    /// Takes note of a message that is handed out.
    fn note(&mut self, connection: &Connection, message: &Message, now: Instant) {
        add(&mut self.counters.messages_sent, 1);
        if let Peer::Broker(id) = connection.peer {
            self.bridges.note_handed_out(id, message, now);
        }
    }

    /// Takes what is to be handed out next: what was in flight before, then what waits and retained messages, in the order
    /// in which they came about.
    fn next(&mut self, connection: &Connection, session: &mut Session, now: Instant) -> Step {
        let bridge = match connection.peer {
            Peer::Broker(id) => Some(id),
            Peer::Client => None,
        };
        let to_broker = bridge.is_some() || session.is_bridge;
        let Self { outbox, bridges, room, .. } = self;
        let (Some(traffic), subject) = session.traffic_and_subject(self.access) else { return Step::Nothing };
        if let Some(sent) = traffic.in_flight.get(traffic.resent) {
            let length = match &sent.stage {
                Stage::Puback(message) | Stage::Pubrec(message) => {
                    Outbox::publish_length(connection, message, QoS::ExactlyOnce)
                }
                Stage::Pubcomp => 8,
            };
            if !outbox.has_room(connection, length, room) {
                return Step::NoRoom;
            }
            traffic.resent += 1;
            return Step::Again(sent.stage.clone(), sent.packet_id, sent.retain);
        }
        let can_launch = traffic.in_flight.len() < IN_FLIGHT_MESSAGES;
        let growth = traffic.in_flight_growth();
        let has_place = |room: &mut Room| growth == 0 || room.take(growth, Need::Service);
        while let Some(replay) = traffic.replays.first_mut().filter(|replay| replay.behind == 0) {
            // Judged now and not when it was subscribed to: permissions may have changed since.
            let wanted = |message: &Message| match bridge {
                Some(id) => bridges.retained_out(id, message).is_some(),
                None => subject.may(Wish::Read, message.topic()),
            };
            let admit = |message: &Message, qos: QoS| {
                let mapped = bridge.and_then(|id| bridges.retained_out(id, message));
                let qos = mapped.map_or(qos, |mapped| qos.min(mapped.qos));
                let copied = mapped.map_or(0, |mapped| mapped.length() + message.length());
                // As it is, or longer by the topic there and perhaps one more byte of the remaining length.
                let length = Outbox::publish_length(connection, message, qos)
                    + mapped.map_or(0, |mapped| 1 + mapped.length().saturating_sub(message.topic().len()));
                (qos == QoS::AtMostOnce || can_launch && has_place(room))
                    && outbox.has_room(connection, length, room)
                    && (copied == 0 || room.take(copied + OVERHEAD, Need::Growth))
            };
            match replay.next(self.retained, wanted, admit) {
                Next::Message(message, qos) => {
                    if let Some(circle) = bridges.circle.as_deref_mut().filter(|_| to_broker) {
                        circle.passed_on((message.topic(), message.payload()), Origin::Here, now);
                    }
                    let waiting = match bridge {
                        Some(id) => bridges.carry_out(id, &message, qos),
                        None => Some(Waiting { message, qos, retain: Retain::Retained }),
                    };
                    if let Some(waiting) = waiting {
                        return Step::New(waiting);
                    }
                }
                // An acknowledgement, too, makes everything be looked at again.
                Next::NoRoom => return Step::NoRoom,
                Next::Done => {
                    traffic.replays.remove(0);
                    if traffic.replays.is_empty() {
                        traffic.replays = Vec::new();
                    }
                }
            }
        }
        if let Some(first) = traffic.waiting.front() {
            if first.qos != QoS::AtMostOnce && !can_launch {
                return Step::Nothing;
            }
            let length = Outbox::publish_length(connection, &first.message, first.qos);
            if !outbox.has_room(connection, length, room) || first.qos != QoS::AtMostOnce && !has_place(room)
            {
                return Step::NoRoom;
            }
            return traffic.next_waiting().map_or(Step::Nothing, Step::New);
        }
        Step::Nothing
    }
}
