//! [`Bridges`]: bridges at work, each with a link, a session for what is on its way, and a map of topics.
//!
//! A bridge has no local subscriptions as clients have them: a message that its map sends out is queued in its session
//! under the topic that it has on the other broker. Over the network it is a [`Connection`] like any other, at whose end
//! there is a broker; only the packets of connecting are particular, and they go through [`Link`].

use alloc::{boxed::Box, format, string::String, vec::Vec};

use espbroker_mqtt::{
    Connack, ConnectReturnCode, Packet, Publish, QoS, Suback, SubackCode, Subscribe, SubscriptionList,
    TopicName,
};

use crate::{
    access::Access,
    bridge::{
        BridgeSettings, BridgeState,
        connect::{DOWN, UP, connect, notification_topic, subscribe_lists},
        echo::Echo,
        link::{Event, Link, Step},
        topics::TopicMap,
    },
    broker::Broker,
    bytes::Bytes,
    connection::{Connection, Peer},
    counters::{add, increment},
    event::{BridgeId, CloseReason, ConnectionId, OpenFailure, Output, Transport},
    message::{Message, OVERHEAD},
    room::Need,
    routing::{NoMemory, Origin, Post},
    session::{Durability, Session},
    system::PREFIX,
    time::Instant,
    traffic::{Retain, Waiting},
};

/// What `$SYS` shows of each bridge.
const SYSTEM_VALUES: usize = 2;

/// One bit for each of the first 32 bridges; the others are pinged more often than they need.
pub(crate) fn bit(id: BridgeId) -> u32 {
    1_u32.checked_shl(u32::from(id.0)).unwrap_or(0)
}

/// All bridges, by [`BridgeId`].
pub(crate) struct Bridges {
    #[expect(clippy::vec_box, reason = "a bridge is large, and most devices have none or one")]
    list: Vec<Box<Bridge>>,
    seed: u64,
}

struct Bridge {
    settings: BridgeSettings,
    map: TopicMap,
    link: Link,
    /// Where its state is published.
    notification: Option<Box<str>>,
    /// While the other broker takes us for an ordinary client.
    echo: Option<Box<Echo>>,
    connection: Option<ConnectionId>,
    /// While there is no link. Else it is with the connection.
    session: Option<Box<Session>>,
}

impl Bridge {
    fn new(settings: BridgeSettings, session: Option<Box<Session>>, seed: u64, now: Instant) -> Self {
        let durability = if settings.clean_session { Durability::Clean } else { Durability::Persistent };
        let session = session.filter(|_| durability == Durability::Persistent);
        Self {
            map: TopicMap::new(&settings.topics),
            link: Link::new(&settings, seed, now),
            notification: notification_topic(&settings),
            echo: None,
            connection: None,
            session: Some(session.unwrap_or_else(|| Box::new(Session::new("".into(), durability)))),
            settings,
        }
    }

    const fn is_up(&self) -> bool {
        matches!(self.link.state(), BridgeState::Connected { .. })
    }

    fn memory(&self) -> usize {
        size_of::<Self>()
            + self.settings.memory()
            + self.map.memory()
            + self.notification.as_ref().map_or(0, |topic| topic.len())
            + self.echo.as_ref().map_or(0, |_| size_of::<Echo>())
            + self.session.as_deref().map_or(0, Session::memory)
    }
}

impl Bridges {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { list: Vec::new(), seed }
    }

    fn get_mut(&mut self, id: BridgeId) -> Option<&mut Bridge> {
        self.list.get_mut(usize::from(id.0)).map(Box::as_mut)
    }

    fn ids(&self) -> impl Iterator<Item = BridgeId> + use<> {
        (0..=u8::MAX).take(self.list.len()).map(BridgeId)
    }

    /// When something is due.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.list.iter().filter_map(|bridge| bridge.link.poll_at()).min()
    }

    /// Heap bytes in use.
    pub(crate) fn memory(&self) -> usize {
        self.list.capacity() * size_of::<Box<Bridge>>()
            + self.list.iter().map(|bridge| bridge.memory()).sum::<usize>()
    }

    /// How many values `$SYS` has of bridges.
    pub(crate) const fn system_values(&self) -> usize {
        self.list.len() * SYSTEM_VALUES
    }

    /// Topic and payload of one of them: the state where it is not kept elsewhere, and the failure.
    pub(crate) fn system_value(&self, index: usize) -> Option<(String, String)> {
        let bridge = self.list.get(index / SYSTEM_VALUES)?;
        if index.is_multiple_of(SYSTEM_VALUES) {
            let topic = bridge.notification.as_deref().filter(|topic| topic.starts_with('$'))?;
            return Some((topic.into(), String::from(if bridge.is_up() { "1" } else { "0" })));
        }
        let topic = format!("{PREFIX}connection/{}/error", bridge.settings.client_id);
        let error = match bridge.link.state() {
            BridgeState::Failed(failure) => format!("{failure}"),
            BridgeState::Connecting => String::new(),
            BridgeState::Connected { .. } => match bridge.link.refused_subscriptions() {
                0 => String::new(),
                count => format!("subscriptions refused: {count}"),
            },
        };
        Some((topic, error))
    }
}

impl<A: Access> Broker<A> {
    /// Runs these bridges from now on, in the place of those before.
    ///
    /// A bridge that has the same settings as the one in its place goes on untouched. Any other connects anew; what waits
    /// in the one of the same name is kept, unless it is to begin with a clean session. Clients notice nothing.
    pub fn set_bridges(&mut self, settings: Vec<BridgeSettings>, now: Instant) {
        self.system.begin(now);
        let pairs = self.bridges.list.iter().zip(&settings);
        let unchanged: Vec<bool> = pairs.map(|(bridge, new)| bridge.settings == *new).collect();
        let is_unchanged = |id: BridgeId| unchanged.get(usize::from(id.0)).copied().unwrap_or(false);
        for id in self.bridges.ids().filter(|id| !is_unchanged(*id)) {
            self.stop_bridge(id, now);
        }
        let mut old: Vec<Option<Box<Bridge>>> = self.bridges.list.drain(..).map(Some).collect();
        let ids = (0..=u8::MAX).map(BridgeId);
        for (id, settings) in ids.zip(settings) {
            let index = usize::from(id.0);
            let kept = old.get_mut(index).filter(|_| is_unchanged(id)).and_then(Option::take);
            let bridge = kept.unwrap_or_else(|| {
                let named = old.iter_mut().flatten().find(|bridge| bridge.settings.name == settings.name);
                let session = named.and_then(|bridge| bridge.session.take());
                let seed = self.bridges.seed.wrapping_add(u64::from(id.0)).wrapping_add(now.0 << 8);
                Box::new(Bridge::new(settings, session, seed, now))
            });
            self.bridges.list.push(bridge);
        }
        self.bridges.list.shrink_to_fit();
        for id in self.bridges.ids() {
            self.bridge_event(id, Event::Tick, now);
        }
        self.pump(now);
    }

    /// How the bridges are doing, in the order of [`Self::set_bridges`].
    pub fn bridge_states(&self) -> impl Iterator<Item = BridgeState> {
        self.bridges.list.iter().map(|bridge| bridge.link.state())
    }

    /// Ends a bridge's connection or attempt; its session stays with it.
    fn stop_bridge(&mut self, id: BridgeId, now: Instant) {
        let Some(connection) = self.bridges.get_mut(id).map(|bridge| bridge.connection) else { return };
        match connection {
            Some(connection) => {
                // Without DISCONNECT, so that the other broker publishes the will: the link is down.
                self.close(connection, CloseReason::Bridge, now);
            }
            None => self.outbox.push(Output::Abandon { bridge: id }),
        }
        self.announce(id, DOWN, now);
    }

    /// Tells the links of the bridges to which something was sent; a keep alive counts from there.
    pub(crate) fn note_sent(&mut self, now: Instant) {
        let spoken = core::mem::take(&mut self.outbox.spoken);
        for id in self.bridges.ids().filter(|id| spoken & bit(*id) != 0) {
            self.bridge_event(id, Event::Sent, now);
        }
    }

    /// Looks at the time for all bridges.
    pub(crate) fn run_bridges(&mut self, now: Instant) {
        for id in self.bridges.ids() {
            self.bridge_event(id, Event::Tick, now);
        }
    }

    pub(crate) fn bridge_opened(&mut self, id: BridgeId, connection: ConnectionId, now: Instant) {
        self.close(connection, CloseReason::NetworkClosed, now);
        let known = self.bridges.get_mut(id).is_some_and(|bridge| bridge.connection.is_none());
        if !known || !self.room.take(size_of::<Connection>(), Need::Growth) {
            self.outbox.push(Output::Close { connection, reason: CloseReason::Bridge });
            if known {
                increment(&mut self.counters.no_memory);
                self.bridge_event(id, Event::OpenFailed(OpenFailure::Other), now);
            }
            return;
        }
        self.connections.push(Connection::new(connection, Peer::Broker(id), Transport::Tcp, now));
        if let Some(bridge) = self.bridges.get_mut(id) {
            bridge.connection = Some(connection);
        }
        self.bridge_event(id, Event::Opened, now);
    }

    pub(crate) fn bridge_open_failed(&mut self, id: BridgeId, reason: OpenFailure, now: Instant) {
        self.bridge_event(id, Event::OpenFailed(reason), now);
    }

    pub(crate) fn bridge_connack(&mut self, connection: ConnectionId, connack: Connack, now: Instant) {
        let Some(Peer::Broker(id)) = self.find(connection).map(|connection| connection.peer) else { return };
        if connack.return_code == ConnectReturnCode::Accepted
            && let Some(mut session) = self.bridges.get_mut(id).and_then(|bridge| bridge.session.take())
        {
            if !connack.session_present
                && let Some(traffic) = session.traffic.as_deref_mut()
            {
                // The other broker begins anew, also with its packet identifiers.
                traffic.unreleased = Vec::new();
            }
            if let Some(connection) = self.find(connection) {
                connection.session = Some(session);
            }
        }
        self.bridge_event(id, Event::Connack(connack.return_code), now);
    }

    pub(crate) fn bridge_suback(&mut self, connection: ConnectionId, suback: &Suback<'_>, now: Instant) {
        let Some(Peer::Broker(id)) = self.find(connection).map(|connection| connection.peer) else { return };
        let refused = suback.return_codes.iter().filter(|code| *code == SubackCode::Failure).count();
        self.bridge_event(id, Event::Suback { refused: u8::try_from(refused).unwrap_or(u8::MAX) }, now);
    }

    /// Any other packet came from the other broker.
    pub(crate) fn bridge_heard(&mut self, id: BridgeId, now: Instant) {
        self.bridge_event(id, Event::Heard, now);
    }

    /// A bridge's connection is gone from the table.
    pub(crate) fn bridge_closed(
        &mut self,
        id: BridgeId,
        session: Option<Box<Session>>,
        reason: CloseReason,
        now: Instant,
    ) {
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        bridge.connection = None;
        bridge.echo = None;
        if let Some(mut session) = session {
            if session.durability == Durability::Clean {
                session.traffic = None;
            } else if let Some(traffic) = session.traffic.as_deref_mut() {
                traffic.park();
            }
            session.settle();
            bridge.session = Some(session);
        }
        match reason {
            // The link itself wanted it.
            CloseReason::Bridge => {}
            CloseReason::Malformed(_) | CloseReason::ClientPacket(_) | CloseReason::PacketTooLong => {
                self.bridge_event(id, Event::Violated, now);
            }
            _ => self.bridge_event(id, Event::Closed, now),
        }
    }

    /// Tells a bridge's link what happened, and does what it says.
    fn bridge_event(&mut self, id: BridgeId, event: Event, now: Instant) {
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        let step = bridge.link.handle(event, now);
        let connection = bridge.connection;
        let news = bridge.link.news();
        match step {
            None => {}
            Some(Step::Open) => {
                let (host, port) = (bridge.settings.host.clone(), bridge.settings.port);
                self.outbox.push(Output::Open { bridge: id, host, port });
            }
            Some(Step::Abandon) => self.outbox.push(Output::Abandon { bridge: id }),
            Some(Step::Connect(level)) => {
                let topic = bridge.notification.as_deref().and_then(|topic| TopicName::new(topic).ok());
                let packet = Packet::Connect(connect(&bridge.settings, topic, level));
                let found = connection.and_then(|connection| self.connections.get_mut(connection));
                // A CONNECT is never longer than a packet can be.
                if let (Some(found), Ok(bytes)) = (found, Bytes::encode(&[], &packet)) {
                    self.outbox.send(found, bytes, now);
                }
            }
            Some(Step::Greet) => self.greet(id, now),
            Some(Step::Ping) => {
                if let Some(connection) = connection {
                    self.answer(connection, &Packet::Pingreq, now);
                }
            }
            Some(Step::Close) => {
                if let Some(connection) = connection {
                    self.close(connection, CloseReason::Bridge, now);
                }
            }
        }
        if let Some(state) = news {
            self.outbox.push(Output::Bridge { bridge: id, state });
            let up = matches!(state, BridgeState::Connected { .. });
            self.announce(id, if up { UP } else { DOWN }, now);
        }
        if let Some(due) = self.bridges.get_mut(id).and_then(|bridge| bridge.link.poll_at()) {
            self.outbox.wake_at(due);
        }
    }

    /// The link is up: subscribes to what comes in, says so, and sends the retained messages that go out.
    ///
    /// Those that go both ways are left out: nobody knows which side has the newer one, and the other broker sends its own
    /// because of the subscription.
    fn greet(&mut self, id: BridgeId, now: Instant) {
        let Some(bridge) = self.bridges.list.get_mut(usize::from(id.0)) else { return };
        if bridge.link.state() == (BridgeState::Connected { private: false }) {
            bridge.echo = Some(Box::default());
        }
        let Some(connection) = bridge.connection.and_then(|connection| self.connections.get_mut(connection))
        else {
            return;
        };
        // Apart for a moment, so that both can be changed.
        let Some(mut session) = connection.session.take() else { return };
        let filters: Vec<_> = bridge.map.remote_filters().collect();
        for list in subscribe_lists(&filters) {
            let (packet_id, subscriptions) = (session.next_packet_id(), SubscriptionList::new(list));
            let subscribe = Packet::Subscribe(Subscribe { packet_id, subscriptions });
            if let Ok(bytes) = Bytes::encode(&[], &subscribe) {
                self.outbox.send(connection, bytes, now);
            }
        }
        let retain = if bridge.settings.outgoing_retain { Retain::Retained } else { Retain::Live };
        let told = bridge.notification.as_deref().filter(|_| !bridge.settings.notifications_local_only);
        let message =
            told.and_then(|topic| TopicName::new(topic).ok()).and_then(|topic| Message::new(topic, UP));
        if let Some(message) = message {
            session.traffic().wait(Waiting { message, qos: QoS::AtLeastOnce, retain });
        }
        connection.session = Some(session);
        let Self { outbox, room, counters, settings, retained, .. } = self;
        for kept in retained.iter() {
            let text = core::str::from_utf8(kept.message.topic()).unwrap_or_default();
            let Ok(topic) = TopicName::new(text) else { continue };
            let Some(mapped) = bridge.map.outgoing(topic).filter(|mapped| !bridge.map.comes_back(mapped))
            else {
                continue;
            };
            let remote = mapped.topic();
            let message = TopicName::new(&remote)
                .ok()
                .filter(|_| room.take(remote.len() + kept.message.length() + OVERHEAD, Need::Growth))
                .and_then(|remote| Message::new(remote, kept.message.payload()));
            let Some(message) = message else { continue };
            let qos = kept.qos.min(mapped.qos);
            Post { outbox, room, counters, settings }.deliver(connection, &message, qos, retain, now);
        }
        outbox.backlog = true;
    }

    /// Publishes a bridge's state here: retained, unless it is one of the values of `$SYS` anyway.
    fn announce(&mut self, id: BridgeId, payload: &[u8], now: Instant) {
        let Some(topic) = self.bridges.get_mut(id).and_then(|bridge| bridge.notification.clone()) else {
            return;
        };
        let Ok(topic) = TopicName::new(&topic) else { return };
        let retain = if topic.is_reserved() { Retain::Live } else { Retain::Retained };
        // Without memory the state is seen when it changes the next time.
        let _ = self.route(topic, payload, QoS::AtLeastOnce, retain, Origin::Here, now);
    }

    /// Publishes here what came from the other broker.
    ///
    /// # Errors
    /// There was no memory for it.
    pub(crate) fn bridge_publish(
        &mut self,
        id: BridgeId,
        publish: &Publish<'_>,
        now: Instant,
    ) -> Result<(), NoMemory> {
        let Some(bridge) = self.bridges.list.get_mut(usize::from(id.0)) else { return Ok(()) };
        let is_echo = |echo: &mut Box<Echo>| echo.is_echo(publish.topic, publish.payload, now);
        if bridge.echo.as_mut().is_some_and(is_echo) {
            increment(&mut self.counters.bridge_echoes);
            return Ok(());
        }
        let mapped = bridge.map.incoming(publish.topic);
        let Some((topic, qos)) = mapped.map(|mapped| (String::from(mapped.topic()), mapped.qos)) else {
            return Ok(());
        };
        let Ok(topic) = TopicName::new(&topic) else { return Ok(()) };
        let retain = if publish.retain { Retain::Retained } else { Retain::Live };
        let qos = publish.delivery.qos().min(qos);
        self.route(topic, publish.payload, qos, retain, Origin::Bridge(id), now)
    }

    /// Gives a message to the bridges whose maps send it out, but not back to where it came from.
    pub(crate) fn route_out(
        &mut self,
        topic: TopicName<'_>,
        payload: &[u8],
        qos: QoS,
        retain: Retain,
        origin: Origin,
        now: Instant,
    ) {
        let Self { bridges, connections, outbox, room, counters, settings, .. } = self;
        for (bridge, id) in bridges.list.iter_mut().zip((0..=u8::MAX).map(BridgeId)) {
            if origin == Origin::Bridge(id) {
                continue;
            }
            let Some(mapped) = bridge.map.outgoing(topic) else { continue };
            let qos = qos.min(mapped.qos);
            let waits = bridge.session.is_some();
            if waits && (qos == QoS::AtMostOnce || bridge.settings.clean_session) {
                add(&mut counters.messages_dropped, 1);
                continue;
            }
            let remote = mapped.topic();
            let message = TopicName::new(&remote)
                .ok()
                .filter(|_| room.take(remote.len() + payload.len() + OVERHEAD + 9, Need::Service))
                .and_then(|remote| Message::new(remote, payload));
            let Some(message) = message else {
                add(&mut counters.messages_dropped, 1);
                continue;
            };
            if let Some(echo) = bridge.echo.as_mut().filter(|_| bridge.map.comes_back(&mapped)) {
                echo.sent(&mapped, payload, now);
            }
            let retain = if bridge.settings.outgoing_retain { retain } else { Retain::Live };
            let mut post = Post { outbox, room, counters, settings };
            if let Some(session) = bridge.session.as_deref_mut() {
                post.queue(session, Waiting { message, qos, retain });
            } else if let Some(connection) =
                bridge.connection.and_then(|connection| connections.get_mut(connection))
            {
                post.deliver(connection, &message, qos, retain, now);
            }
        }
    }
}
