//! What happens to a bridge's connection goes to its [`Link`](crate::bridge::link::Link), and what that says is done.

use alloc::{boxed::Box, vec::Vec};

use espbroker_mqtt::{
    Connack, ConnectReturnCode, Packet, QoS, Suback, SubackCode, Subscribe, SubscriptionList, TopicFilter,
    TopicName,
};

use crate::{
    access::Access,
    bridge::{
        BridgeState,
        connect::{UP, connect, subscribe_lists},
        echo::Echo,
        level::Level,
        link::{Event, Step},
    },
    bridges::{Announced, bit},
    broker::Broker,
    bytes::Bytes,
    connection::{Connection, Peer},
    counters::increment,
    event::{BridgeId, CloseReason, ConnectionId, OpenFailure, Output, Transport},
    message::Message,
    replay::Replay,
    room::Need,
    routing::Origin,
    session::{Durability, Session},
    time::Instant,
    traffic::{Retain, Waiting},
};

impl<A: Access> Broker<A> {
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
            if !self.outbox.has_place_for_end(&mut self.room) {
                break;
            }
            self.bridge_event(id, Event::Tick, now);
        }
    }

    pub(crate) fn bridge_opened(&mut self, id: BridgeId, connection: ConnectionId, now: Instant) {
        self.close(connection, CloseReason::NetworkClosed, now);
        let known = self.bridges.get_mut(id).is_some_and(|bridge| bridge.connection.is_none());
        if !known || !self.has_room_for_connection(Transport::Tcp, Need::Growth) {
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
        if connack.return_code == ConnectReturnCode::Accepted && !self.room.has(Need::Growth) {
            // A link takes some hundred bytes for itself, far less than growth leaves.
            increment(&mut self.counters.no_memory);
            return self.bridge_event(id, Event::NoMemory, now);
        }
        if connack.return_code == ConnectReturnCode::Accepted
            && let Some(mut session) = self.bridges.get_mut(id).and_then(|bridge| bridge.session.take())
        {
            if !connack.session_present {
                // The other broker begins anew: nothing comes back any more, and its packet identifiers are free.
                if let Some(bridge) = self.bridges.get_mut(id) {
                    bridge.echo = None;
                }
                if let Some(traffic) = session.traffic.as_deref_mut() {
                    traffic.unreleased = Vec::new();
                }
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
        session: Option<Session>,
        reason: CloseReason,
        now: Instant,
    ) {
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        bridge.connection = None;
        if bridge.settings.clean_session {
            bridge.echo = None;
        }
        if let Some(mut session) = session {
            bridge.lost = now;
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
        self.watch_circles();
    }

    /// Tells a bridge's link what happened, and does what it says.
    pub(super) fn bridge_event(&mut self, id: BridgeId, event: Event, now: Instant) {
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
            let is_up = matches!(state, BridgeState::Connected { .. });
            self.announce(id, if is_up { Announced::Up } else { Announced::Down }, now);
        }
        if let Some(due) = self.bridges.get_mut(id).and_then(|bridge| bridge.link.poll_at()) {
            self.outbox.wake_at(due);
        }
    }

    /// The link is up: subscribes to what comes in, says so, and begins with the retained messages that go out.
    fn greet(&mut self, id: BridgeId, now: Instant) {
        let Some(bridge) = self.bridges.list.get_mut(usize::from(id.0)) else { return };
        let is_plain = bridge.link.state() == (BridgeState::Connected { private: false });
        let level = if is_plain { Level::Plain } else { Level::Private };
        match bridge.echo.as_deref_mut() {
            Some(echo) => echo.resume(level, bridge.lost, now),
            None if bridge.map.has_echoes() => bridge.echo = Some(Box::new(Echo::new(level))),
            None => {}
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
        let told = bridge.notification.as_deref().filter(|_| !bridge.settings.notifications_local_only);
        let message =
            told.and_then(|topic| TopicName::new(topic).ok()).and_then(|topic| Message::new(topic, UP));
        // One that an earlier link has not brought to its end says the same.
        if let Some(message) = message.filter(|message| !session.traffic().holds(message)) {
            let retain = bridge.retain_out(Retain::Retained);
            session.traffic().wait(Waiting { message, qos: QoS::AtLeastOnce, retain });
        }
        // Those that the link has broken off begin anew.
        session.traffic().replays.clear();
        if let Some(all) =
            all_topics().and_then(|filter| Replay::new(filter, QoS::ExactlyOnce, &self.retained))
        {
            session.traffic().replay(all);
        }
        connection.session = Some(session);
        self.outbox.backlog = true;
        self.schedule_system(now);
        self.watch_circles();
    }

    /// Publishes a bridge's state here, if it has changed: retained, unless it is one of the values of `$SYS` anyway.
    pub(super) fn announce(&mut self, id: BridgeId, state: Announced, now: Instant) {
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        if bridge.announced.replace(state) == Some(state) {
            return;
        }
        let Some(topic) = bridge.notification.clone() else { return };
        let Ok(topic) = TopicName::new(&topic) else { return };
        let retain = if topic.is_reserved() { Retain::Live } else { Retain::Retained };
        // Not over the bridge itself, which has told the other broker already. Without memory the state is seen when it
        // changes the next time.
        let _ = self.route(topic, state.payload(), QoS::AtLeastOnce, retain, Origin::Bridge(id), now);
    }
}

/// The filter for everything that is retained.
fn all_topics() -> Option<TopicFilter<'static>> {
    TopicFilter::new("#").ok()
}
