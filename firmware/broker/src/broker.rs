//! [`Broker`]: connections from their start to their end, and the way of bytes to packets.

use alloc::{boxed::Box, vec::Vec};

use espbroker_mqtt::{ConnectReturnCode, FixedHeader, Malformed, Packet, PacketType, QoS};

use crate::{
    access::Access,
    assembler::{Admission, Assembled},
    bridges::Bridges,
    bytes::Bytes,
    connection::{Connection, Peer},
    counters::{Counters, add, increment},
    event::{BridgeId, CloseReason, ConnectionId, Input, Output, Transport},
    log_in_guard::LogInGuard,
    outbox::{Outbox, Sent},
    own::Own,
    permission::Wish,
    plain::Plain,
    retained::Retained,
    room::{Need, Room},
    routing::Origin,
    session::{Durability, Session},
    settings::{SPARE_CONNECTIONS, Settings},
    shared::Shared,
    system::System,
    table::Table,
    time::Instant,
};

/// An MQTT broker without sockets and clock.
///
/// All memory that it holds for clients is theirs to fill only within [`Settings`], and is given back when they
/// leave. It is not `Send`, because outbound packets are shared without atomic counts.
pub struct Broker<A> {
    pub(crate) settings: Settings,
    pub(crate) access: A,
    pub(crate) connections: Table,
    /// Sessions of clients that are away, the longest first.
    #[expect(
        clippy::vec_box,
        reason = "an end of a connection must not take memory, so each session stays where it is"
    )]
    pub(crate) away: Vec<Box<Connection>>,
    pub(crate) shared: Shared,
    pub(crate) retained: Retained,
    pub(crate) outbox: Outbox,
    pub(crate) counters: Counters,
    pub(crate) room: Room,
    pub(crate) log_in_guard: LogInGuard,
    pub(crate) system: System,
    pub(crate) bridges: Bridges,
    /// While the device itself listens.
    pub(crate) own: Option<Box<Own>>,
    /// Where the next round over all connections begins.
    pub(crate) turn: usize,
    /// Number of the next client identifier that the broker itself assigns.
    pub(crate) next_client: u32,
}

impl<A: Access> Broker<A> {
    /// A broker without connections and retained messages.
    pub fn new(settings: Settings, access: A) -> Self {
        Self {
            connections: Table::with_capacity(usize::from(settings.clients) + SPARE_CONNECTIONS),
            // One more while a client takes over its own session.
            away: Vec::with_capacity(usize::from(settings.sessions) + 1),
            shared: Shared::default(),
            retained: Retained::default(),
            outbox: Outbox::new(&settings),
            counters: Counters::default(),
            room: Room::new(settings.heap_floor),
            log_in_guard: LogInGuard::new(),
            system: System::default(),
            bridges: Bridges::new(settings.seed),
            own: None,
            turn: 0,
            next_client: 0,
            settings,
            access,
        }
    }

    /// Takes what happened at `now`. Anything about an unknown connection is ignored; one that is accepted
    /// under the number of another replaces it as if that had been closed first.
    #[inline(always)]
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        let Self { connections, outbox, .. } = self;
        let sent = match input {
            Input::Sent { connection, bytes } => outbox.sent(connections, connection, bytes, now),
            _ => Sent::Unknown,
        };
        if sent != Sent::Done {
            self.take(input, sent, now);
        }
    }

    /// Takes anything but the most frequent input, and does what follows.
    #[inline(never)]
    fn take(&mut self, input: Input<'_>, sent: Sent, now: Instant) {
        match input {
            Input::Accepted { connection, transport } => self.accepted(connection, transport, now),
            Input::Opened { bridge, connection } => self.bridge_opened(bridge, connection, now),
            Input::OpenFailed { bridge, reason } => self.bridge_open_failed(bridge, reason, now),
            Input::Received { connection, bytes } => self.received(connection, bytes, now),
            Input::Closed { connection } => self.close(connection, CloseReason::NetworkClosed, now),
            Input::Sent { connection, bytes } if sent == Sent::Unknown => {
                let Self { connections, outbox, .. } = self;
                if connections.search(connection).is_some() {
                    outbox.sent(connections, connection, bytes, now);
                }
            }
            Input::Sent { .. } | Input::Tick => {}
        }
        if self.outbox.calls(now) {
            self.follow_up(now);
        }
    }

    /// Hands out what waits, and does what is due.
    #[inline(never)]
    fn follow_up(&mut self, now: Instant) {
        self.pump(now);
        if self.outbox.wake.is_some_and(|wake| wake <= now) {
            self.do_what_is_due(now);
            self.pump(now);
        }
        if self.outbox.spoken != 0 {
            self.note_sent(now);
        }
        if core::mem::take(&mut self.outbox.is_crowded) {
            // Once the outputs are polled.
            self.outbox.wake_at(now);
        }
    }

    /// What to do next; `None` until something else is handled.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// When to send [`Input::Tick`]: never later than the next thing that is due, sometimes earlier; `None` when
    /// nothing is.
    pub const fn poll_at(&self) -> Option<Instant> {
        self.outbox.wake
    }

    /// Takes the allocator's figure: bytes of heap free now. As often as the caller likes; without any there is no
    /// bound but those of [`Settings`].
    pub fn set_free(&mut self, free: u32) {
        self.room.set(free);
    }

    /// Bytes of heap free: the last figure of [`Self::set_free`] less all that was taken since and nothing that was
    /// given back, so at least as many are.
    pub const fn free(&self) -> usize {
        self.room.free()
    }

    /// Counts since the broker was made.
    pub fn counters(&self) -> Counters {
        Counters { bytes_sent: self.outbox.bytes_sent, ..self.counters.clone() }
    }

    /// Clients connected now.
    pub fn clients(&self) -> usize {
        self.connections.iter().filter(|connection| connection.is_client()).count()
    }

    /// Sessions kept for clients that are away.
    pub const fn sessions_away(&self) -> usize {
        self.away.len()
    }

    /// Retained messages kept now.
    pub const fn retained_messages(&self) -> usize {
        self.retained.count()
    }

    /// Bytes that the broker's own structures take now, without the allocator's and without packets handed out.
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + self.connections.memory()
            + self.away.capacity() * size_of::<Box<Connection>>()
            + self.away.iter().map(|connection| connection.memory()).sum::<usize>()
            + self.shared.memory()
            + self.retained.memory()
            + self.outbox.memory()
            + self.bridges.memory()
            + self.own.as_deref().map_or(0, Own::memory)
    }

    pub(crate) fn find(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(id)
    }

    fn accepted(&mut self, id: ConnectionId, transport: Transport, now: Instant) {
        self.close(id, CloseReason::NetworkClosed, now);
        increment(&mut self.counters.connections);
        self.system.begin(now);
        let to_clients = self.connections.iter().filter(|connection| connection.peer == Peer::Client);
        let reason = if to_clients.count() >= usize::from(self.settings.clients) + SPARE_CONNECTIONS {
            CloseReason::TooManyConnections
        } else if !self.room.take(Connection::memory_of(transport), Need::Service) {
            increment(&mut self.counters.no_memory);
            CloseReason::NoMemory
        } else {
            let connection = Connection::new(id, Peer::Client, transport, now);
            if let Some((deadline, _)) = connection.deadline(self.outbox.stall_time(), now) {
                self.outbox.wake_at(deadline);
            }
            return self.connections.push(connection);
        };
        self.counters.closed.count(reason);
        self.outbox.push(Output::Close { connection: id, reason });
    }

    fn received(&mut self, id: ConnectionId, bytes: &[u8], now: Instant) {
        match self.find(id).map(|connection| connection.is_websocket()) {
            Some(true) => self.unwrap(id, bytes, now),
            Some(false) => self.stream(id, bytes, now),
            None => {}
        }
    }

    /// Takes the next bytes of the MQTT stream.
    pub(crate) fn stream(&mut self, id: ConnectionId, mut bytes: &[u8], now: Instant) {
        if Plain::begins(bytes) && self.connections.get(id).is_some_and(Connection::takes_plain) {
            let longest = usize::try_from(self.settings.packet_size).unwrap_or(usize::MAX);
            while let Some((plain, rest)) =
                Plain::split(bytes).filter(|(plain, _)| plain.packet.len() <= longest)
            {
                bytes = rest;
                self.plain(id, &plain, now);
            }
        }
        if !bytes.is_empty() {
            self.packets(id, bytes, now);
        }
    }

    /// Takes the next bytes of the MQTT stream, whatever they are.
    #[inline(never)]
    fn packets(&mut self, id: ConnectionId, mut bytes: &[u8], now: Instant) {
        let packet_size = self.settings.packet_size;
        while !bytes.is_empty() {
            let Self { connections, room, counters, .. } = self;
            let Some(connection) = connections.get_mut(id) else {
                return;
            };
            let role = Role::of(connection);
            let admit = |header| admit(header, role, packet_size);
            match connection.assembler().next(&mut bytes, admit, room) {
                Ok(Assembled::Packet(packet)) => {
                    connection.heard = now.into();
                    add(&mut counters.bytes_received, packet.len());
                    self.packet(id, role, &packet, now);
                    // At once, so that what goes out does not depend on how the bytes were cut.
                    self.pump(now);
                }
                Ok(Assembled::Skipped { length, first }) => {
                    connection.heard = now.into();
                    add(&mut counters.bytes_received, length);
                    if first {
                        increment(&mut counters.messages_too_long);
                        self.heard_from(role, now);
                    }
                }
                Ok(Assembled::Identified { length, packet_id, qos }) => {
                    connection.heard = now.into();
                    add(&mut counters.bytes_received, length);
                    increment(&mut counters.messages_too_long);
                    // A PUBREL for it is answered like any other.
                    let exactly_once = qos == QoS::ExactlyOnce;
                    let packet =
                        if exactly_once { Packet::Pubrec(packet_id) } else { Packet::Puback(packet_id) };
                    self.heard_from(role, now);
                    self.answer(id, &packet, now);
                }
                Ok(Assembled::Nothing) => return,
                Err(reason) => return self.close(id, reason, now),
            }
        }
    }

    fn packet(&mut self, id: ConnectionId, role: Role, bytes: &[u8], now: Instant) {
        let packet = Packet::decode(bytes);
        if let Ok(packet) = &packet
            && !matches!(packet, Packet::Connack(_) | Packet::Suback(_))
        {
            self.heard_from(role, now);
        }
        match packet {
            Ok(Packet::Connect(connect)) => self.connect(id, &connect, now),
            Ok(Packet::Publish(publish)) => self.publish(id, &publish, now),
            Ok(Packet::Puback(packet_id)) => self.puback(id, packet_id),
            Ok(Packet::Pubrec(packet_id)) => self.pubrec(id, packet_id, now),
            Ok(Packet::Pubrel(packet_id)) => self.pubrel(id, packet_id, now),
            Ok(Packet::Pubcomp(packet_id)) => self.pubcomp(id, packet_id),
            Ok(Packet::Subscribe(subscribe)) => self.subscribe(id, &subscribe, now),
            Ok(Packet::Unsubscribe(unsubscribe)) => self.unsubscribe(id, &unsubscribe, now),
            Ok(Packet::Pingreq) => self.answer(id, &Packet::Pingresp, now),
            Ok(Packet::Disconnect) => self.close(id, CloseReason::Disconnected, now),
            // Only brokers at the other end of a bridge are let through with these.
            Ok(Packet::Connack(connack)) => self.bridge_connack(id, connack, now),
            Ok(Packet::Suback(suback)) => self.bridge_suback(id, &suback, now),
            Ok(Packet::Pingresp | Packet::Unsuback(_)) => {}
            Err(Malformed::ProtocolLevel(_)) => {
                self.refuse(id, ConnectReturnCode::UnacceptableProtocolVersion, now);
            }
            Err(malformed) => self.close(id, CloseReason::Malformed(malformed), now),
        }
    }

    /// A packet came that is not about connecting; between brokers that shows that the link is alive.
    fn heard_from(&mut self, role: Role, now: Instant) {
        if let Role::Broker(bridge) = role {
            self.bridge_heard(bridge, now);
        }
    }

    /// Sends a packet that cannot wait, or closes the connection when too many are unread.
    pub(crate) fn answer(&mut self, id: ConnectionId, packet: &Packet<'_>, now: Instant) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        // No answer is longer than a packet can be.
        if let Ok(bytes) = connection.encode(packet) {
            self.answer_bytes(id, bytes, now);
        }
    }

    /// Sends bytes that cannot wait, or closes the connection when too many are unread or there is no memory.
    pub(crate) fn answer_bytes(&mut self, id: ConnectionId, bytes: Bytes, now: Instant) {
        let Self { connections, outbox, room, .. } = self;
        let Some(connection) = connections.get_mut(id) else { return };
        if !outbox.has_room_for_answer(connection, bytes.len()) {
            self.close(id, CloseReason::AnswersUnread, now);
        } else if !outbox.answer(connection, bytes, room, now) {
            self.close(id, CloseReason::NoMemory, now);
        }
    }

    /// Ends a connection, if it is there: keeps the session of a client that wants it, and publishes its will unless
    /// the client took leave.
    pub(crate) fn close(&mut self, id: ConnectionId, reason: CloseReason, now: Instant) {
        let Some(mut connection) = self.connections.remove(id) else { return };
        self.outbox.forget(&connection);
        self.counters.closed.count(reason);
        if reason != CloseReason::NetworkClosed {
            if let Some(frame) = connection.closing_frame(reason) {
                self.outbox.push(Output::Send { connection: id, bytes: Bytes::join([&frame, &[]]) });
            }
            self.outbox.push(Output::Close { connection: id, reason });
        }
        let session = connection.session.take();
        if let Peer::Broker(bridge) = connection.peer {
            return self.bridge_closed(bridge, session, reason, now);
        }
        if session.as_ref().is_some_and(|session| session.is_bridge) {
            self.watch_circles();
        }
        let (mut may_publish, mut reserved) = (true, false);
        if let (Some(session), Some(will)) = (&session, &connection.will) {
            may_publish = session.subject(&self.access).may(Wish::Write, will.message.topic());
            reserved = will
                .topic()
                .is_some_and(|topic| topic.is_reserved() && !session.is_own_state(topic.as_str()));
        }
        let will = connection.will.take();
        if let Some(session) = session {
            if session.durability == Durability::Clean {
                self.shared.release_all(&session);
            } else {
                self.park(connection, session);
            }
            // The client that takes over claims it at once, so that no other need be forgotten for it.
            if reason != CloseReason::TakenOver {
                self.forget_sessions();
            }
        }
        if let Some(will) = will
            && let Some(topic) = will.topic()
            && reason != CloseReason::Disconnected
        {
            if reserved {
                return increment(&mut self.counters.reserved_topics);
            }
            if !may_publish {
                return increment(&mut self.counters.publishes_denied);
            }
            increment(&mut self.counters.wills);
            // Without memory it is dropped and counted, as any message that nobody can send again.
            let _ = self.route(topic, will.message.payload(), will.qos, will.retain, Origin::Here, now);
        }
    }

    /// Keeps the session of a client that has gone.
    fn park(&mut self, mut connection: Box<Connection>, mut session: Session) {
        if let Some(traffic) = session.traffic.as_deref_mut() {
            traffic.park();
        }
        session.settle();
        connection.park(session);
        self.away.push(connection);
    }

    /// Forgets the sessions that are one too many.
    pub(crate) fn forget_sessions(&mut self) {
        while self.away.len() > usize::from(self.settings.sessions) {
            if let Some(session) = &self.away.remove(0).session {
                self.shared.release_all(session);
            }
            increment(&mut self.counters.sessions_forgotten);
        }
    }

    /// Closes what is overdue, publishes `$SYS`, and settles when to look again.
    fn do_what_is_due(&mut self, now: Instant) {
        let stall = self.outbox.stall_time();
        let overdue = |connection: &Connection| {
            let (deadline, reason) = connection.deadline(stall, now)?;
            (deadline <= now).then_some((connection.id, reason))
        };
        loop {
            // One after the other, because a will can reach those that are still there.
            let next = self.connections.iter().find_map(overdue);
            let Some((id, reason)) = next else { break };
            if !self.outbox.has_place_for_end(&mut self.room) {
                break;
            }
            self.close(id, reason, now);
        }
        self.publish_system(now);
        self.run_bridges(now);
        let deadlines = self.connections.iter().filter_map(|connection| connection.deadline(stall, now));
        self.outbox.wake = deadlines
            .map(|(deadline, _)| deadline)
            .chain(self.system.due())
            .chain(self.bridges.poll_at())
            .min();
    }
}

/// Who speaks, as far as the kinds of packets are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Nobody yet: a CONNECT must come.
    Stranger,
    Client,
    /// The remote end of a bridge.
    Broker(BridgeId),
}

impl Role {
    const fn of(connection: &Connection) -> Self {
        match (connection.peer, &connection.session) {
            (Peer::Broker(bridge), _) => Self::Broker(bridge),
            (Peer::Client, Some(_)) => Self::Client,
            (Peer::Client, None) => Self::Stranger,
        }
    }
}

/// Judges a packet by its fixed header, before any of its body is collected.
fn admit(header: FixedHeader, role: Role, packet_size: u32) -> Result<Admission, CloseReason> {
    let by_server = matches!(
        header.packet_type,
        PacketType::Connack | PacketType::Suback | PacketType::Unsuback | PacketType::Pingresp
    );
    let by_client = matches!(
        header.packet_type,
        PacketType::Connect
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::Pingreq
            | PacketType::Disconnect
    );
    match role {
        Role::Stranger if header.packet_type != PacketType::Connect => Err(CloseReason::ConnectExpected),
        Role::Client if header.packet_type == PacketType::Connect => Err(CloseReason::SecondConnect),
        Role::Client if by_server => Err(CloseReason::ServerPacket(header.packet_type)),
        Role::Broker(_) if by_client => Err(CloseReason::ClientPacket(header.packet_type)),
        Role::Stranger | Role::Client | Role::Broker(_) => Ok(()),
    }?;
    let qos = QoS::from_number(header.flags >> 1 & 3);
    if header.packet_length() <= packet_size {
        Ok(Admission::Take)
    } else if header.packet_type == PacketType::Publish && qos == Some(QoS::AtMostOnce) {
        // Nobody waits for an answer, so the connection need not suffer.
        Ok(Admission::Skip)
    } else if header.packet_type == PacketType::Publish && matches!(role, Role::Broker(_)) {
        // The other broker would send it again over the next link, and over every one after that.
        Ok(Admission::Identify { limit: usize::try_from(packet_size).unwrap_or(usize::MAX) })
    } else {
        Err(CloseReason::PacketTooLong)
    }
}
