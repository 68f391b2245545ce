//! [`Outbox`]: outputs in their order, and the bounds on what the network below holds.
//!
//! A message that goes to many connections is one entry here, and two bytes for each of them.

use alloc::{boxed::Box, collections::VecDeque};

use espbroker_mqtt::{FixedHeader, PacketId, PacketType, QoS};

use crate::{
    bridges::bit,
    bytes::{Bytes, INLINE},
    connection::{Connection, Peer},
    counters::{Counters, add},
    event::{ConnectionId, Output},
    message::Message,
    room::{Need, Room},
    settings::{ANSWER_BYTES, Network, STALL_TIME, STALL_TIME_IN_NEED, Settings},
    table::Table,
    time::{Instant, Moment},
    traffic::Retain,
    websocket::WebSocket,
};

/// Entries for which room is kept while there are none.
const KEPT: usize = 8;

/// What is to be polled.
enum Entry {
    Output(Output),
    FanOut(FanOut),
}

/// A message for so many of [`Outbox::recipients`], at least one.
struct FanOut {
    message: Message,
    recipients: usize,
}

/// What came of bytes that the network has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Done,
    /// There is more to do: [`Outbox::calls`].
    Calls,
    /// The connection is not where it was the last time, and nothing was done.
    Unknown,
}

/// A message on its way to many.
pub(crate) struct Wave {
    length: usize,
    now: Instant,
    /// The same.
    moment: Moment,
    /// What the network holds for each.
    cost: usize,
    /// What it may still hold for them.
    room: usize,
    /// How many were listed before the first that it went to.
    first: usize,
}

/// The most outputs that a message takes.
const PARTS: usize = 4;

/// Places that messages and answers leave free, so that an end or the word of a bridge takes no memory: those of a client
/// and of the one that it takes over, with their closing frames.
const SPARE: usize = 4;

/// Outputs to be polled, and when to look at the time again.
pub(crate) struct Outbox {
    queue: VecDeque<Entry>,
    /// The fan-out that is before the queue.
    fan_out: Option<FanOut>,
    /// Places for the connections that messages go to, for one fan-out after the other.
    recipients: Box<[ConnectionId]>,
    /// How many of the places are in use.
    listed: usize,
    /// How many of those in use had theirs.
    served: usize,
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
    /// Something waits until the outputs are polled.
    pub(crate) is_crowded: bool,
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
            fan_out: None,
            recipients: (0..settings.clients).map(|_| ConnectionId(0)).collect(),
            listed: 0,
            served: 0,
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
            is_crowded: false,
            backlog: false,
            wake: None,
        }
    }

    /// Begins a round over all connections.
    pub(crate) const fn begin_round(&mut self) {
        self.was_in_need = self.in_need;
        self.in_need = false;
    }

    /// Is there memory for the outputs of one more message, which may take some of `room`.
    #[inline]
    fn has_place(&mut self, room: &mut Room) -> bool {
        self.queue.len() + PARTS + SPARE <= self.queue.capacity() || self.make_place(room)
    }

    fn make_place(&mut self, room: &mut Room) -> bool {
        let more = self.queue.len() / 2 + PARTS + SPARE;
        let bytes = (self.queue.len() + more) * size_of::<Entry>();
        let fits = room.take(bytes, Need::Message);
        if fits {
            self.queue.reserve_exact(more);
        }
        self.is_crowded |= !fits;
        fits
    }

    /// Is there memory for one more end, or word of a bridge; if not, there is when the outputs are polled.
    pub(crate) fn has_place_for_end(&mut self, room: &mut Room) -> bool {
        self.queue.len() + SPARE <= self.queue.capacity() || self.make_place(room)
    }

    /// May a message of `length` bytes be handed out for `connection`.
    pub(crate) fn has_room(&mut self, connection: &Connection, length: usize, room: &mut Room) -> bool {
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
        fits && self.has_place(room)
    }

    /// May an answer of `length` bytes be handed out, which can neither be dropped nor wait.
    pub(crate) const fn has_room_for_answer(&self, connection: &Connection, length: usize) -> bool {
        // In a frame of its own, the shortest answer is twice as long as its request.
        let frames = if connection.is_websocket() { ANSWER_BYTES } else { 0 };
        connection.unsent == 0
            || connection.unsent.saturating_add(length) <= self.network.answers.saturating_add(frames)
    }

    /// How long a connection may take no bytes, ms.
    pub(crate) const fn stall_time(&self) -> u64 {
        if self.in_need { STALL_TIME_IN_NEED } else { STALL_TIME }
    }

    /// Hands out an answer, together with an earlier one if nothing is between them; `false` if there is no memory.
    pub(crate) fn answer(
        &mut self,
        connection: &mut Connection,
        bytes: Bytes,
        room: &mut Room,
        now: Instant,
    ) -> bool {
        let growth = match self.queue.back_mut() {
            Some(Entry::Output(Output::Send { connection: last, bytes: before }))
                if *last == connection.id =>
            {
                before.growth(bytes.len()).map(|growth| (before, growth))
            }
            _ => None,
        };
        if let Some((before, growth)) = growth {
            let fits = growth == 0 || room.take(growth, Need::Service);
            if fits {
                before.append(&bytes);
                self.note(connection, bytes.len(), now);
            }
            return fits;
        }
        if self.queue.len() + SPARE >= self.queue.capacity() {
            let more = self.step() + SPARE;
            if !room.take((self.queue.len() + more) * size_of::<Entry>(), Need::Service) {
                return false;
            }
            self.queue.reserve_exact(more);
        }
        self.send(connection, bytes, now);
        true
    }

    /// Hands out `bytes`, whether there is room or not.
    pub(crate) fn send(&mut self, connection: &mut Connection, bytes: Bytes, now: Instant) {
        let length = bytes.len();
        self.note(connection, length, now);
        self.push(Output::Send { connection: connection.id, bytes });
    }

    /// Counts bytes that are handed out.
    fn note(&mut self, connection: &mut Connection, length: usize, now: Instant) {
        if connection.unsent == 0 {
            connection.progress = now.into();
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

    /// Begins to hand out a message of QoS 0 and `length` bytes to clients over TCP that the network holds nothing for: the
    /// way of almost all messages. [`Self::finish_fan_out`] comes before anything else is handed out.
    pub(crate) fn begin_fan_out(&self, length: usize, now: Instant) -> Wave {
        let has_place = self.queue.len() + SPARE < self.queue.capacity();
        // Else it is for the longer way, which asks for memory.
        let limit = if has_place { self.network.in_flight } else { 0 };
        let room = limit.saturating_sub(self.in_flight);
        Wave {
            length,
            now,
            moment: now.into(),
            cost: length.saturating_add(self.network.segment),
            room,
            first: self.listed,
        }
    }

    /// Hands it out to one of them, if there is room.
    #[inline]
    pub(crate) fn fan_out(&mut self, wave: &mut Wave, connection: &mut Connection) -> bool {
        if connection.unsent > 0 || wave.cost > wave.room {
            return false;
        }
        let Some(place) = self.recipients.get_mut(self.listed) else { return false };
        *place = connection.id;
        self.listed += 1;
        wave.room -= wave.cost;
        connection.unsent = wave.length;
        connection.progress = wave.moment;
        true
    }

    /// Did it go to anybody.
    pub(crate) const fn has_fanned_out(&self, wave: &Wave) -> bool {
        self.listed > wave.first
    }

    /// Ends [`Self::fan_out`] of one message to one or more.
    pub(crate) fn finish_fan_out(&mut self, wave: &Wave, message: &Message, counters: &mut Counters) {
        let recipients = self.listed - wave.first;
        add(&mut counters.messages_sent, recipients);
        self.bytes_sent += u64::try_from(wave.length * recipients).unwrap_or(0);
        self.in_flight += wave.cost * recipients;
        self.wake_at(wave.now.after(self.stall_time()));
        let fan_out = FanOut { message: message.clone(), recipients };
        if self.fan_out.is_none() && self.queue.is_empty() {
            self.fan_out = Some(fan_out);
        } else {
            self.queue.push_back(Entry::FanOut(fan_out));
        }
        // Whatever is polled meanwhile, the list is no longer than what is still to be sent.
        if self.served > 0 {
            self.recipients.copy_within(self.served..self.listed, 0);
            self.listed -= self.served;
            self.served = 0;
        }
    }

    /// Takes back [`Self::fan_out`] of a message that there is no memory for.
    pub(crate) fn give_up_fan_out(&mut self, wave: &Wave, connections: &mut Table) {
        for id in self.recipients.get(wave.first..self.listed).unwrap_or_default() {
            if let Some(connection) = connections.get_mut(*id) {
                connection.unsent = 0;
            }
        }
        self.listed = wave.first;
    }

    /// The network has taken `bytes` of a connection.
    ///
    /// As frequent as messages; calls nothing, for the price of that.
    #[inline(never)]
    pub(crate) fn sent(
        &mut self,
        connections: &mut Table,
        id: ConnectionId,
        bytes: usize,
        now: Instant,
    ) -> Sent {
        let Some(connection) = connections.noted_mut(id) else { return Sent::Unknown };
        let before = connection.unsent;
        if bytes >= before && before > 0 {
            connection.unsent = 0;
            self.in_flight -= before + self.network.segment;
        } else if bytes > 0 && before > 0 {
            connection.unsent -= bytes;
            connection.progress = now.into();
            self.in_flight -= bytes;
        }
        // What is due is done when the caller says that it is.
        if self.backlog || self.spoken != 0 { Sent::Calls } else { Sent::Done }
    }

    /// Is there more to do, after what happened at `now`, than that itself.
    #[inline]
    pub(crate) fn calls(&self, now: Instant) -> bool {
        self.backlog || self.spoken != 0 || self.wake.is_some_and(|wake| wake <= now)
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
        let wrapping = if connection.is_websocket() { 4 } else { 0 };
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
        if let (Delivery::Once, Retain::Live, false) = (delivery, retain, connection.is_websocket()) {
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
        if self.queue.len() == self.queue.capacity() {
            // Not twice as long, as it would by itself.
            self.queue.reserve_exact(self.step());
        }
        self.queue.push_back(Entry::Output(output));
    }

    /// Places by which a full queue becomes longer for what is not a message.
    fn step(&self) -> usize {
        self.queue.len() / 8 + PARTS
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        if self.fan_out.is_none() {
            let entry = self.queue.pop_front()?;
            if self.queue.is_empty() && self.queue.capacity() > KEPT {
                self.queue = VecDeque::new();
                self.queue.reserve_exact(KEPT);
            }
            match entry {
                Entry::Output(output) => return Some(output),
                Entry::FanOut(fan_out) => self.fan_out = Some(fan_out),
            }
        }
        let FanOut { message, recipients } = self.fan_out.as_mut()?;
        let connection = *self.recipients.get(self.served)?;
        let bytes = message.packet();
        self.served += 1;
        *recipients -= 1;
        if *recipients == 0 {
            self.end_fan_out();
        }
        Some(Output::Send { connection, bytes })
    }

    /// Everybody has the message.
    #[inline(never)]
    fn end_fan_out(&mut self) {
        self.fan_out = None;
        if self.served == self.listed {
            self.served = 0;
            self.listed = 0;
        }
    }

    /// Looks at the time at `instant` or before.
    pub(crate) fn wake_at(&mut self, instant: Instant) {
        self.wake = Some(self.wake.map_or(instant, |wake| wake.min(instant)));
    }

    /// Heap bytes in use, without those of the packets.
    pub(crate) fn memory(&self) -> usize {
        self.queue.capacity() * size_of::<Entry>() + size_of_val(&*self.recipients)
    }
}

/// What precedes the topic: WebSocket header, if there is one, and fixed header. `None` never happens: a message
/// that came in one packet fits in another.
fn publish_head(connection: &Connection, flags: u8, remaining: usize) -> Option<Bytes> {
    let header = FixedHeader::new(PacketType::Publish, flags, u32::try_from(remaining).ok()?).ok()?;
    let mut head = [0; INLINE];
    let mut start = 0;
    if connection.is_websocket() {
        let wrapping = WebSocket::data_header(usize::from(header.header_length) + remaining);
        start = wrapping.len();
        head.get_mut(..start)?.copy_from_slice(&wrapping);
    }
    let length = header.encode_to_slice(head.get_mut(start..)?).ok()?;
    Some(Bytes::join([head.get(..start + length)?, &[]]))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use espbroker_mqtt::TopicName;

    use super::*;
    use crate::event::{CloseReason, Transport};

    /// Hands a message out to connections with these numbers.
    fn fan_out(outbox: &mut Outbox, topic: &str, connections: &[u16]) {
        let message = Message::new(TopicName::new(topic).unwrap(), b"").unwrap();
        let mut wave = outbox.begin_fan_out(message.length(), Instant(0));
        for id in connections {
            let mut connection = Connection::new(ConnectionId(*id), Peer::Client, Transport::Tcp, Instant(0));
            assert!(outbox.fan_out(&mut wave, &mut connection));
        }
        outbox.finish_fan_out(&wave, &message, &mut Counters::default());
    }

    fn close(outbox: &mut Outbox, id: u16) {
        outbox.push(Output::Close { connection: ConnectionId(id), reason: CloseReason::Stalled });
    }

    /// Polls so many outputs: number of the connection, and the last byte of the topic or 0 for its end.
    fn poll(outbox: &mut Outbox, count: usize) -> Vec<(u16, u8)> {
        let said = |output| match output {
            Output::Send { connection, bytes } => (connection.0, bytes.last().copied().unwrap()),
            Output::Close { connection, .. } => (connection.0, 0),
            other => panic!("{other:?}"),
        };
        core::iter::from_fn(|| outbox.pop()).take(count).map(said).collect()
    }

    #[test]
    fn outputs_keep_their_order_whatever_is_polled_between_them() {
        let mut outbox = Outbox::new(&Settings { clients: 6, ..Settings::default() });
        let empty = outbox.memory();
        fan_out(&mut outbox, "a", &[1, 2, 3]);
        close(&mut outbox, 2);
        assert_eq!(poll(&mut outbox, 1), [(1, b'a')]);
        fan_out(&mut outbox, "b", &[3, 1]);
        assert_eq!(poll(&mut outbox, 2), [(2, b'a'), (3, b'a')]);
        fan_out(&mut outbox, "c", &[1]);
        close(&mut outbox, 1);
        assert_eq!(poll(&mut outbox, 9), [(2, 0), (3, b'b'), (1, b'b'), (1, b'c'), (1, 0)]);
        assert_eq!(outbox.memory(), empty);
    }
}
