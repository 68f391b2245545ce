//! [`Broker`]: connections from their start to their end, and the way of bytes to packets.

use alloc::{boxed::Box, vec::Vec};

use espbroker_mqtt::{ConnectReturnCode, FixedHeader, Malformed, Packet, PacketType};

use crate::{
    access::Access,
    bytes::Bytes,
    connection::Connection,
    counters::{Counters, add, increment},
    event::{CloseReason, ConnectionId, Input, Output},
    outbox::{Class, Outbox},
    retained::Retained,
    settings::{CONNECT_TIME, SPARE_CONNECTIONS, Settings},
    time::Instant,
};

/// An MQTT broker without sockets and clock.
///
/// All memory that it holds for clients is theirs to fill only within [`Settings`], and is given back when they
/// leave. It is not `Send`, because outbound packets are shared without atomic counts.
pub struct Broker<A> {
    pub(crate) settings: Settings,
    pub(crate) access: A,
    #[expect(
        clippy::vec_box,
        reason = "the table has its full length from the start, the entries only when used"
    )]
    pub(crate) connections: Vec<Box<Connection>>,
    pub(crate) retained: Retained,
    pub(crate) outbox: Outbox,
    pub(crate) counters: Counters,
    /// Number of the next client identifier that the broker itself assigns.
    pub(crate) next_client: u32,
}

impl<A: Access> Broker<A> {
    /// A broker without connections and retained messages.
    pub fn new(settings: Settings, access: A) -> Self {
        Self {
            connections: Vec::with_capacity(usize::from(settings.clients) + SPARE_CONNECTIONS),
            retained: Retained::default(),
            outbox: Outbox::new(&settings),
            counters: Counters::default(),
            next_client: 0,
            settings,
            access,
        }
    }

    /// Takes what happened at `now`. Anything about an unknown connection is ignored; one that is accepted
    /// under the number of another replaces it as if that had been closed first.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Accepted { connection, transport: _ } => self.accepted(connection, now),
            Input::Received { connection, bytes } => self.received(connection, bytes, now),
            Input::Sent { connection, bytes } => self.sent(connection, bytes, now),
            Input::Closed { connection } => self.close(connection, CloseReason::NetworkClosed, now),
            Input::Tick => {}
        }
        self.close_overdue(now);
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

    /// Counts since the broker was made.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Clients connected now.
    pub fn clients(&self) -> usize {
        self.connections.iter().filter(|connection| connection.session.is_some()).count()
    }

    /// Retained messages kept now.
    pub const fn retained_messages(&self) -> usize {
        self.retained.count()
    }

    /// Bytes that the broker's own structures take now, without the allocator's and without packets handed out.
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + self.connections.capacity() * size_of::<Box<Connection>>()
            + self.connections.iter().map(|connection| connection.memory()).sum::<usize>()
            + self.retained.memory()
            + self.outbox.memory()
    }

    pub(crate) fn find(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.id == id).map(Box::as_mut)
    }

    fn accepted(&mut self, id: ConnectionId, now: Instant) {
        self.close(id, CloseReason::NetworkClosed, now);
        increment(&mut self.counters.connections);
        if self.connections.len() >= usize::from(self.settings.clients) + SPARE_CONNECTIONS {
            let reason = CloseReason::TooManyConnections;
            self.counters.closed.count(reason);
            self.outbox.push(Output::Close { connection: id, reason });
            return;
        }
        self.connections.push(Box::new(Connection::new(id, now)));
        self.outbox.wake_at(now.after(CONNECT_TIME));
    }

    fn received(&mut self, id: ConnectionId, mut bytes: &[u8], now: Instant) {
        let packet_size = self.settings.packet_size;
        while !bytes.is_empty() {
            let Some(connection) = self.find(id) else { return };
            let connected = connection.session.is_some();
            match connection.assembler.next(&mut bytes, |header| admit(header, connected, packet_size)) {
                Ok(Some(packet)) => {
                    connection.heard = now;
                    add(&mut self.counters.bytes_received, packet.len());
                    self.packet(id, &packet, now);
                }
                Ok(None) => return,
                Err(reason) => return self.close(id, reason, now),
            }
        }
    }

    fn packet(&mut self, id: ConnectionId, bytes: &[u8], now: Instant) {
        match Packet::decode(bytes) {
            Ok(Packet::Connect(connect)) => self.connect(id, &connect, now),
            Ok(Packet::Publish(publish)) => self.publish(id, &publish, now),
            Ok(Packet::Pubrel(packet_id)) => {
                if let Some(session) = self.find(id).and_then(|connection| connection.session.as_mut()) {
                    session.release(packet_id);
                }
                self.answer(id, &Packet::Pubcomp(packet_id), now);
            }
            Ok(Packet::Puback(_) | Packet::Pubrec(_) | Packet::Pubcomp(_)) => {
                increment(&mut self.counters.unexpected_acknowledgements);
            }
            Ok(Packet::Subscribe(subscribe)) => self.subscribe(id, &subscribe, now),
            Ok(Packet::Unsubscribe(unsubscribe)) => self.unsubscribe(id, &unsubscribe, now),
            Ok(Packet::Pingreq) => self.answer(id, &Packet::Pingresp, now),
            Ok(Packet::Disconnect) => self.close(id, CloseReason::Disconnected, now),
            Ok(packet) => self.close(id, CloseReason::ServerPacket(packet.packet_type()), now),
            Err(Malformed::ProtocolLevel(_)) => {
                self.refuse(id, ConnectReturnCode::UnacceptableProtocolVersion, now);
            }
            Err(malformed) => self.close(id, CloseReason::Malformed(malformed), now),
        }
    }

    fn sent(&mut self, id: ConnectionId, bytes: usize, now: Instant) {
        if let Some(connection) = self.find(id).filter(|_| bytes > 0) {
            connection.unsent = connection.unsent.saturating_sub(bytes);
            connection.progress = now;
            if connection.session.as_ref().is_some_and(|session| !session.replays.is_empty()) {
                self.replay(id, now);
            }
        }
    }

    /// Sends the answer to a client's packet, or closes the connection when too many are unread.
    pub(crate) fn answer(&mut self, id: ConnectionId, packet: &Packet<'_>, now: Instant) {
        // No answer is longer than a packet can be.
        let Ok(bytes) = Bytes::encode(packet) else { return };
        let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) else {
            return;
        };
        if self.outbox.has_room(connection, bytes.len(), Class::Answer) {
            add(&mut self.counters.bytes_sent, bytes.len());
            self.outbox.send(connection, bytes, now);
        } else {
            self.close(id, CloseReason::AnswersUnread, now);
        }
    }

    /// Ends a connection, if it is there, and publishes its will unless the client took leave.
    pub(crate) fn close(&mut self, id: ConnectionId, reason: CloseReason, now: Instant) {
        let Some(index) = self.connections.iter().position(|connection| connection.id == id) else { return };
        let connection = self.connections.remove(index);
        self.counters.closed.count(reason);
        if reason != CloseReason::NetworkClosed {
            self.outbox.push(Output::Close { connection: id, reason });
        }
        if let Some(will) = connection.will
            && let Some(topic) = will.topic()
            && reason != CloseReason::Disconnected
        {
            increment(&mut self.counters.wills);
            self.route(topic, &will.payload, will.retain, now);
        }
    }

    fn close_overdue(&mut self, now: Instant) {
        if self.outbox.wake.is_none_or(|wake| wake > now) {
            return;
        }
        while let Some((id, reason)) = self.connections.iter().find_map(|connection| {
            connection
                .deadline()
                .filter(|(deadline, _)| *deadline <= now)
                .map(|(_, reason)| (connection.id, reason))
        }) {
            self.close(id, reason, now);
        }
        let deadlines = self.connections.iter().filter_map(|connection| connection.deadline());
        self.outbox.wake = deadlines.map(|(deadline, _)| deadline).min();
    }
}

/// Judges a packet by its fixed header, before any of its body is collected.
fn admit(header: FixedHeader, connected: bool, packet_size: u32) -> Result<(), CloseReason> {
    match (header.packet_type, connected) {
        (PacketType::Connect, true) => Err(CloseReason::SecondConnect),
        (PacketType::Connect, false) => Ok(()),
        (_, false) => Err(CloseReason::ConnectExpected),
        (PacketType::Connack | PacketType::Suback | PacketType::Unsuback | PacketType::Pingresp, true) => {
            Err(CloseReason::ServerPacket(header.packet_type))
        }
        (_, true) => Ok(()),
    }?;
    if header.packet_length() > packet_size { Err(CloseReason::PacketTooLong) } else { Ok(()) }
}
