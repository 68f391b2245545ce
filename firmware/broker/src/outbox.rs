//! [`Outbox`]: outputs in their order, and the bounds on what the network below holds.

use alloc::collections::VecDeque;

use espbroker_mqtt::{FixedHeader, PacketId, PacketType, QoS};

use crate::{
    bridges::bit,
    bytes::{Bytes, INLINE},
    connection::{Connection, Peer},
    event::Output,
    message::Message,
    settings::{ANSWER_BYTES, Network, STALL_TIME, STALL_TIME_IN_NEED, Settings},
    time::Instant,
    traffic::Retain,
    websocket::WebSocket,
};

/// Outputs for which room is kept while there are none.
const KEPT: usize = 8;

/// Outputs to be polled, and when to look at the time again.
pub(crate) struct Outbox {
    queue: VecDeque<Output>,
    network: Bounds,
    /// Bytes that the network holds for all connections, as [`Network::in_flight`] counts them.
    in_flight: usize,
    /// Packet bytes handed out since the broker was made.
    pub(crate) bytes_sent: u64,
    /// Bridges to which something was sent, as [`bit`]s.
    pub(crate) spoken: u32,
    /// Something waits although its own connection has room.
    in_need: bool,
    /// The same before the present round.
    was_in_need: bool,
    /// Some connection may have something that waits.
    pub(crate) backlog: bool,
    /// No deadline of a connection is earlier.
    pub(crate) wake: Option<Instant>,
}

struct Bounds {
    window: usize,
    in_flight: usize,
    segment: usize,
    /// The most that answers leave unsent for one connection.
    answers: usize,
}

/// One delivery of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delivery {
    /// QoS 0.
    Once,
    /// QoS 1 or 2, for the first time.
    First(QoS, PacketId),
    /// QoS 1 or 2 again, after the connection had broken (§4.4).
    Again(QoS, PacketId),
}

impl Outbox {
    pub(crate) fn new(settings: &Settings) -> Self {
        let Network { window, in_flight, segment } = settings.network;
        let size = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        // A message goes out in a packet that is hardly longer than the one it came in.
        let longest = size(window).max(size(settings.packet_size));
        Self {
            queue: VecDeque::with_capacity(KEPT),
            network: Bounds {
                window: size(window),
                in_flight: size(in_flight),
                segment: usize::from(segment),
                answers: longest.saturating_add(ANSWER_BYTES),
            },
            in_flight: 0,
            bytes_sent: 0,
            spoken: 0,
            in_need: false,
            was_in_need: false,
            backlog: false,
            wake: None,
        }
    }

    /// Begins a round over all connections.
    pub(crate) const fn begin_round(&mut self) {
        self.was_in_need = self.in_need;
        self.in_need = false;
    }

    /// May a message of `length` bytes be handed out for `connection`.
    pub(crate) fn has_room(&mut self, connection: &Connection, length: usize) -> bool {
        let unsent = connection.unsent.saturating_add(length);
        if connection.unsent > 0 && unsent > self.network.window {
            return false;
        }
        let segment = if connection.unsent == 0 { self.network.segment } else { 0 };
        let in_flight = self.in_flight.saturating_add(length).saturating_add(segment);
        let fits = self.in_flight == 0 || in_flight <= self.network.in_flight;
        if !fits {
            if !self.in_need && !self.was_in_need {
                // The deadlines of all that hold the room are nearer now.
                self.wake = Some(Instant(0));
            }
            self.in_need = true;
        }
        fits
    }

    /// May an answer of `length` bytes be handed out, which can neither be dropped nor wait.
    pub(crate) const fn has_room_for_answer(&self, connection: &Connection, length: usize) -> bool {
        // In a frame of its own, the shortest answer is twice as long as its request.
        let frames = if connection.websocket.is_some() { ANSWER_BYTES } else { 0 };
        connection.unsent == 0
            || connection.unsent.saturating_add(length) <= self.network.answers.saturating_add(frames)
    }

    /// How long a connection may take no bytes, ms.
    pub(crate) const fn stall_time(&self) -> u64 {
        if self.in_need { STALL_TIME_IN_NEED } else { STALL_TIME }
    }

    /// Hands out `bytes`, whether there is room or not.
    pub(crate) fn send(&mut self, connection: &mut Connection, bytes: Bytes, now: Instant) {
        let length = bytes.len();
        self.note(connection, length, now);
        self.queue.push_back(Output::Send { connection: connection.id, bytes });
    }

    /// Counts bytes that are handed out.
    fn note(&mut self, connection: &mut Connection, length: usize, now: Instant) {
        if connection.unsent == 0 {
            connection.progress = now;
            self.in_flight += self.network.segment;
            self.wake_at(now.after(self.stall_time()));
        }
        if let Peer::Broker(bridge) = connection.peer {
            self.spoken |= bit(bridge);
        }
        connection.unsent = connection.unsent.saturating_add(length);
        self.in_flight = self.in_flight.saturating_add(length);
        // 2^64 bytes are never sent.
        self.bytes_sent += u64::try_from(length).unwrap_or(0);
    }

    /// Hands out a message of QoS 0 to a client over TCP that the network holds nothing for, if there is room: the way of
    /// almost all messages. What is the same for all of them is done by [`Self::finish_fan_out`].
    #[inline]
    pub(crate) fn fan_out(&mut self, connection: &mut Connection, message: &Message, now: Instant) -> bool {
        let length = message.length();
        let in_flight = self.in_flight.saturating_add(length + self.network.segment);
        let fits = connection.unsent == 0 && in_flight <= self.network.in_flight;
        if fits {
            self.in_flight = in_flight;
            connection.unsent = length;
            connection.progress = now;
            self.queue.push_back(Output::Send { connection: connection.id, bytes: message.packet() });
        }
        fits
    }

    /// Ends [`Self::fan_out`] of one message to so many connections.
    pub(crate) fn finish_fan_out(&mut self, message: &Message, connections: u32, now: Instant) {
        if connections > 0 {
            let length = u64::try_from(message.length()).unwrap_or(0);
            self.bytes_sent += length * u64::from(connections);
            self.wake_at(now.after(self.stall_time()));
        }
    }

    /// The network has taken `bytes`.
    pub(crate) fn sent(&mut self, connection: &mut Connection, bytes: usize, now: Instant) {
        let before = connection.unsent;
        if bytes < before {
            connection.unsent -= bytes;
            connection.progress = now;
            self.in_flight -= bytes;
        } else if before > 0 {
            connection.unsent = 0;
            self.in_flight -= before + self.network.segment;
        }
    }

    /// A connection is gone, and the network has given back what it held for it.
    pub(crate) fn forget(&mut self, connection: &Connection) {
        if connection.unsent > 0 {
            self.in_flight = self.in_flight.saturating_sub(connection.unsent + self.network.segment);
        }
    }

    /// Bytes of the PUBLISH, with what wraps it, that [`Self::publish`] hands out.
    pub(crate) fn publish_length(connection: &Connection, message: &Message, qos: QoS) -> usize {
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { 2 };
        // The remaining length may need one byte more because of the identifier.
        let extra = if packet_id > 0 { 3 } else { 0 };
        let wrapping = if connection.websocket.is_some() { 4 } else { 0 };
        message.length() + extra + wrapping
    }

    /// Hands out a message as a PUBLISH.
    pub(crate) fn publish(
        &mut self,
        connection: &mut Connection,
        message: &Message,
        delivery: Delivery,
        retain: Retain,
        now: Instant,
    ) {
        if let (Delivery::Once, Retain::Live, None) = (delivery, retain, &connection.websocket) {
            return self.send(connection, message.packet(), now);
        }
        let (topic, payload) = message.parts();
        let (qos, packet_id, duplicate) = match delivery {
            Delivery::Once => (QoS::AtMostOnce, None, 0),
            Delivery::First(qos, packet_id) => (qos, Some(packet_id), 0),
            Delivery::Again(qos, packet_id) => (qos, Some(packet_id), 0b1000),
        };
        let flags = duplicate | qos.number() << 1 | u8::from(retain == Retain::Retained);
        let remaining = topic.len() + payload.len() + if packet_id.is_some() { 2 } else { 0 };
        let Some(head) = publish_head(connection, flags, remaining) else { return };
        self.send(connection, head, now);
        self.send(connection, topic, now);
        if let Some(packet_id) = packet_id {
            self.send(connection, Bytes::join([&packet_id.value().to_be_bytes(), &[]]), now);
        }
        if !payload.is_empty() {
            self.send(connection, payload, now);
        }
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        let output = self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > KEPT {
            self.queue.shrink_to(KEPT);
        }
        output
    }

    /// Looks at the time at `instant` or before.
    pub(crate) fn wake_at(&mut self, instant: Instant) {
        self.wake = Some(self.wake.map_or(instant, |wake| wake.min(instant)));
    }

    /// Heap bytes in use, without those of the packets.
    pub(crate) fn memory(&self) -> usize {
        self.queue.capacity() * size_of::<Output>()
    }
}

/// What precedes the topic: WebSocket header, if there is one, and fixed header. `None` never happens: a message
/// that came in one packet fits in another.
fn publish_head(connection: &Connection, flags: u8, remaining: usize) -> Option<Bytes> {
    let header = FixedHeader::new(PacketType::Publish, flags, u32::try_from(remaining).ok()?).ok()?;
    let mut head = [0; INLINE];
    let mut start = 0;
    if connection.websocket.is_some() {
        let wrapping = WebSocket::data_header(usize::from(header.header_length) + remaining);
        start = wrapping.len();
        head.get_mut(..start)?.copy_from_slice(&wrapping);
    }
    let length = header.encode_to_slice(head.get_mut(start..)?).ok()?;
    Some(Bytes::join([head.get(..start + length)?, &[]]))
}
