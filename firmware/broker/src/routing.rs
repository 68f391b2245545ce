//! The way of a message from its publisher to its subscribers (MQTT 3.1.1 §3.3, §4.3).

use espbroker_mqtt::{Delivery as Received, Packet, Publish, QoS, TopicName};

use crate::{
    access::Access,
    bridge::circle::Passage,
    broker::Broker,
    connection::{Connection, Peer},
    counters::{Counters, add, increment},
    event::{BridgeId, CloseReason, ConnectionId},
    fan_out::FanOut,
    message::Message,
    outbox::{Delivery, Outbox},
    permission::Wish,
    plain::Plain,
    room::{Need, Room},
    session::Session,
    settings::{Settings, UNRELEASED_MESSAGES},
    subscriptions::{HashedTopic, Scratch},
    time::Instant,
    traffic::{Retain, Traffic, Waiting},
};

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The broker itself, or a will.
    Here,
    /// A client; it does not get the message back if it is a bridge.
    Client(ConnectionId),
    /// The remote end of a bridge, which must not get it back.
    Bridge(BridgeId),
}

/// There is no memory for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

impl<A: Access> Broker<A> {
    /// Takes a message from a client and acknowledges it.
    pub(crate) fn publish(&mut self, id: ConnectionId, publish: &Publish<'_>, now: Instant) {
        let (acknowledgement, exactly_once) = match publish.delivery {
            Received::AtMostOnce => (None, None),
            Received::AtLeastOnce { packet_id, .. } => (Some(Packet::Puback(packet_id)), None),
            Received::ExactlyOnce { packet_id, .. } => (Some(Packet::Pubrec(packet_id)), Some(packet_id)),
        };
        let Self { connections, access, room, .. } = self;
        let Some(connection) = connections.get(id) else { return };
        let peer = connection.peer;
        let Some(session) = connection.session.as_ref() else { return };
        // §4.3.3: until PUBREL the identifier names the same message, whatever DUP says.
        let duplicate = exactly_once.is_some_and(|packet_id| {
            session.traffic.as_ref().is_some_and(|traffic| traffic.unreleased.contains(&packet_id))
        });
        if duplicate {
            increment(&mut self.counters.duplicates);
        } else {
            if exactly_once.is_some()
                && session
                    .traffic
                    .as_ref()
                    .is_some_and(|traffic| traffic.unreleased.len() >= UNRELEASED_MESSAGES)
            {
                return self.close(id, CloseReason::TooManyUnreleased, now);
            }
            // What is published must be remembered until it is released.
            let growth = match (exactly_once, &session.traffic) {
                (None, _) => 0,
                (Some(_), None) => Traffic::FIRST_UNRELEASED,
                (Some(_), Some(traffic)) => traffic.unreleased_growth(),
            };
            if growth > 0 && !room.take(growth, Need::Service) {
                return self.close(id, CloseReason::NoMemory, now);
            }
            let allowed = !session.restricted
                || session.subject(access).may(Wish::Write, publish.topic.as_str().as_bytes());
            // §4.7.2: `$` topics are the server's own. Like mosquitto, this one lets bridges tell of themselves.
            let reserved = publish.topic.is_reserved() && !session.is_own_state(publish.topic.as_str());
            let retain = if publish.retain { Retain::Retained } else { Retain::Live };
            add(&mut self.counters.messages_received, 1);
            let taken = match peer {
                Peer::Broker(bridge) => self.bridge_publish(bridge, publish, now),
                Peer::Client if reserved => {
                    increment(&mut self.counters.reserved_topics);
                    Ok(())
                }
                Peer::Client if !allowed => {
                    // §3.3.5: acknowledged, because 3.1.1 has no word for a refusal.
                    increment(&mut self.counters.publishes_denied);
                    Ok(())
                }
                Peer::Client => {
                    let qos = publish.delivery.qos();
                    self.route(publish.topic, publish.payload, qos, retain, Origin::Client(id), now)
                }
            };
            if taken.is_err() && acknowledgement.is_some() {
                // Without an acknowledgement it is sent again.
                return self.close(id, CloseReason::NoMemory, now);
            }
            if let Some(packet_id) = exactly_once
                && let Some(session) = self.find(id).and_then(|connection| connection.session.as_mut())
            {
                session.traffic().hold(packet_id);
            }
        }
        if let Some(packet) = acknowledgement {
            self.answer(id, &packet, now);
        }
    }

    /// Takes a [`Plain`] message from a client that may publish everywhere.
    pub(crate) fn plain(&mut self, id: ConnectionId, plain: &Plain<'_>, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.heard = now.into();
        add(&mut self.counters.bytes_received, plain.packet.len());
        add(&mut self.counters.messages_received, 1);
        let Plain { packet, topic, payload } = *plain;
        let content = Content { topic, payload, packet: Some(packet) };
        // Without memory it is dropped and counted, as any message of QoS 0.
        let _ = self.route_content(&content, QoS::AtMostOnce, Retain::Live, Origin::Client(id), now);
        self.pump(now);
    }

    /// Keeps a retained message and gives the message to every client with a matching subscription, once, at the
    /// highest QoS of those (§3.3.5).
    ///
    /// # Errors
    /// There was no memory for it; nobody got it. Of its topic nothing is kept if it was lost for good.
    pub(crate) fn route(
        &mut self,
        topic: TopicName<'_>,
        payload: &[u8],
        qos: QoS,
        retain: Retain,
        origin: Origin,
        now: Instant,
    ) -> Result<(), NoMemory> {
        self.route_content(&Content { topic, payload, packet: None }, qos, retain, origin, now)
    }

    fn route_content(
        &mut self,
        content: &Content<'_>,
        qos: QoS,
        retain: Retain,
        origin: Origin,
        now: Instant,
    ) -> Result<(), NoMemory> {
        let Content { topic, payload, .. } = *content;
        let passage = self.passage(topic, payload, origin, now);
        if passage == Passage::Ends {
            return Ok(());
        }
        let Self {
            connections, away, shared, retained, settings, counters, room, outbox, access, own, ..
        } = self;
        if let Some(own) = own.as_deref_mut() {
            own.hear(topic, payload, counters);
        }
        let mut passed_on = false;
        let mut draft = Draft { content, made: None };
        if retain == Retain::Retained {
            let Ok(message) = draft.message(room, counters) else {
                // §3.3.1.3: what was kept is outdated, unless the sender, not being answered, sends this again.
                if qos == QoS::AtMostOnce || origin == Origin::Here {
                    retained.forget(topic);
                }
                return Err(NoMemory);
            };
            if retained.set(message.clone(), qos, settings, room).is_err() {
                increment(&mut counters.retained_refused);
            }
        }
        let mut scratch = Scratch::default();
        let hashed = HashedTopic::new(topic, &mut scratch, shared);
        let mut first = 0;
        loop {
            let draft = &mut draft;
            let mut fan_out = FanOut { connections, outbox, room, counters, draft, qos, now };
            let Some((place, qos)) = fan_out.go_on(&hashed, first)? else { break };
            first = place + 1;
            let Some(connection) = connections.at(place) else { break };
            let Some(session) = connection.session.as_ref() else { continue };
            if session.restricted && !session.subject(access).may(Wish::Read, topic.as_str().as_bytes()) {
                continue;
            }
            if session.is_bridge && (origin == Origin::Client(connection.id) || passage == Passage::Stays) {
                continue;
            }
            // §3.3.1.3: RETAIN is 0 for a subscription that was there before the message.
            let retain = if session.is_bridge { retain } else { Retain::Live };
            passed_on |= session.is_bridge;
            let message = draft.message(room, counters)?;
            Post { outbox, room, counters, settings }.deliver(connection, message, qos, retain, now);
        }
        if qos != QoS::AtMostOnce {
            for session in away.iter_mut().filter_map(|connection| connection.session.as_mut()) {
                let granted = session.subscriptions.compare(&hashed);
                let Some(granted) = granted.filter(|granted| *granted != QoS::AtMostOnce) else { continue };
                if session.is_bridge && passage == Passage::Stays {
                    continue;
                }
                if session.restricted && !session.subject(access).may(Wish::Read, topic.as_str().as_bytes()) {
                    continue;
                }
                let retain = if session.is_bridge { retain } else { Retain::Live };
                passed_on |= session.is_bridge;
                let message = draft.message(room, counters)?;
                let waiting = Waiting { message: message.clone(), qos: qos.min(granted), retain };
                Post { outbox, room, counters, settings }.queue(session, waiting);
            }
        }
        if passage == Passage::GoesOn {
            passed_on |= self.route_out(topic, payload, qos, retain, origin, now);
        }
        if passed_on {
            self.passed_on(topic, payload, origin, now);
        }
        Ok(())
    }
}

/// What a message says.
struct Content<'a> {
    topic: TopicName<'a>,
    payload: &'a [u8],
    /// The packet that it came in, if it is kept in the same bytes.
    packet: Option<&'a [u8]>,
}

/// A message that is made for the first one who takes it; often nobody does.
pub(crate) struct Draft<'a> {
    content: &'a Content<'a>,
    pub(crate) made: Option<Message>,
}

impl Draft<'_> {
    /// Bytes of the packet that it is kept as.
    pub(crate) fn length(&self) -> usize {
        match (&self.made, self.content) {
            (Some(message), _) => message.length(),
            (None, Content { packet: Some(packet), .. }) => packet.len(),
            (None, Content { topic, payload, packet: None }) => Message::length_of(*topic, payload),
        }
    }

    /// # Errors
    /// There is no memory for it, which is counted.
    #[inline]
    pub(crate) fn message(&mut self, room: &mut Room, counters: &mut Counters) -> Result<&Message, NoMemory> {
        match self.made {
            Some(ref message) => Ok(message),
            None => self.make(room, counters),
        }
    }

    /// The rare part of [`Draft::message`].
    #[inline(never)]
    fn make(&mut self, room: &mut Room, counters: &mut Counters) -> Result<&Message, NoMemory> {
        let message = match *self.content {
            Content { packet: Some(packet), .. } => Message::copy(room, packet),
            Content { topic, payload, packet: None } => Message::within(room, topic, payload),
        };
        let Some(message) = message else {
            add(&mut counters.messages_dropped, 1);
            return Err(NoMemory);
        };
        Ok(self.made.insert(message))
    }
}

/// What it takes to deliver a message.
pub(crate) struct Post<'a> {
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) room: &'a mut Room,
    pub(crate) counters: &'a mut Counters,
    pub(crate) settings: &'a Settings,
}

impl Post<'_> {
    /// Hands a message out at once if nothing is before it and there is room, else lets it wait, or drops it.
    pub(crate) fn deliver(
        &mut self,
        connection: &mut Connection,
        message: &Message,
        qos: QoS,
        retain: Retain,
        now: Instant,
    ) {
        let Some(session) = connection.session.as_ref() else { return };
        if qos == QoS::AtMostOnce && session.is_idle() {
            let length = Outbox::publish_length(connection, message, qos);
            if self.outbox.has_room(connection, length, self.room) {
                add(&mut self.counters.messages_sent, 1);
                return self.outbox.publish(connection, message, Delivery::Once, retain, now);
            }
        }
        if let Some(session) = connection.session.as_mut() {
            let need = if qos == QoS::AtMostOnce { Need::Message } else { Need::Service };
            self.wait(session, Waiting { message: message.clone(), qos, retain }, need);
            self.outbox.backlog = true;
        }
    }

    /// Lets a message wait for a client that is away.
    pub(crate) fn queue(&mut self, session: &mut Session, waiting: Waiting) {
        self.wait(session, waiting, Need::Growth);
    }

    /// Lets a message wait, or drops it when too much waits already.
    fn wait(&mut self, session: &mut Session, waiting: Waiting, need: Need) {
        let limit = usize::try_from(self.settings.queue_bytes).unwrap_or(usize::MAX);
        let (held, bytes) =
            session.traffic.as_ref().map_or((0, 0), |traffic| (traffic.held(), traffic.held_bytes));
        let fits = held == 0
            || (held < usize::from(self.settings.queue_messages)
                && bytes.saturating_add(waiting.message.length()) <= limit);
        let growth = session.traffic.as_ref().map_or(Traffic::FIRST_WAITING, |traffic| traffic.growth());
        if fits && if growth == 0 { self.room.has(need) } else { self.room.take(growth, need) } {
            session.traffic().wait(waiting);
        } else {
            add(&mut self.counters.messages_dropped, 1);
        }
    }
}
