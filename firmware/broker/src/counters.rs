//! [`Counters`]: what the broker did, took, dropped and refused since it was made. They stop at their largest value.

use crate::event::CloseReason;

/// Counts since [`crate::Broker::new`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Network connections accepted.
    pub connections: u32,
    /// CONNECTs accepted.
    pub clients: u32,
    /// PUBLISH packets taken from clients, duplicates not counted.
    pub messages_received: u64,
    /// PUBLISH packets handed out.
    pub messages_sent: u64,
    /// Messages not given to a subscriber, because too much waits for it or there is no memory.
    pub messages_dropped: u64,
    /// Bytes of whole packets taken from clients.
    pub bytes_received: u64,
    /// Bytes handed out.
    pub bytes_sent: u64,
    /// Wills published.
    pub wills: u32,
    /// Messages of clients to topics starting with `$`, acknowledged and ignored.
    pub reserved_topics: u32,
    /// QoS 2 messages that came again before their PUBREL and were not delivered again.
    pub duplicates: u32,
    /// PUBACK, PUBREC and PUBCOMP for messages that are not in flight.
    pub unexpected_acknowledgements: u32,
    /// Retained messages delivered but not kept, because of a limit.
    pub retained_refused: u32,
    /// Subscriptions answered with 0x80, because of a limit.
    pub subscriptions_refused: u32,
    /// Subscriptions answered with 0x80, because the user may not read there.
    pub subscriptions_denied: u32,
    /// Messages acknowledged and ignored, because the user may not write there.
    pub publishes_denied: u32,
    /// Messages of QoS 0 longer than [`crate::Settings::packet_size`], read over.
    pub messages_too_long: u32,
    /// CONNECTs with a wrong user name or password.
    pub log_ins_failed: u32,
    /// CONNECTs answered with CONNACK 3 because too many passwords were wrong just before.
    pub log_ins_put_off: u32,
    /// Connections and CONNECTs refused because memory is short.
    pub no_memory: u32,
    /// Sessions of clients that are away, forgotten because they were too many.
    pub sessions_forgotten: u32,
    /// Messages of a bridge that came back from the remote broker and were ignored.
    pub bridge_echoes: u32,
    /// Messages that came round in a circle of bridges and were ignored, or not passed on.
    pub bridge_circles: u32,
    /// Ended connections by reason.
    pub closed: Closed,
}

/// Ended connections, one field for each [`CloseReason`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is described by the reason of the same name")]
pub struct Closed {
    pub disconnected: u32,
    pub network_closed: u32,
    pub too_many_connections: u32,
    pub connect_timeout: u32,
    pub connect_expected: u32,
    pub second_connect: u32,
    pub refused: u32,
    pub taken_over: u32,
    pub keep_alive_timeout: u32,
    pub malformed: u32,
    pub server_packet: u32,
    pub client_packet: u32,
    pub packet_too_long: u32,
    pub too_many_unreleased: u32,
    pub answers_unread: u32,
    pub stalled: u32,
    pub no_memory: u32,
    pub websocket: u32,
    pub websocket_closed: u32,
    pub no_longer_allowed: u32,
    pub bridge: u32,
}

impl Closed {
    pub(crate) fn count(&mut self, reason: CloseReason) {
        increment(match reason {
            CloseReason::Disconnected => &mut self.disconnected,
            CloseReason::NetworkClosed => &mut self.network_closed,
            CloseReason::TooManyConnections => &mut self.too_many_connections,
            CloseReason::ConnectTimeout => &mut self.connect_timeout,
            CloseReason::ConnectExpected => &mut self.connect_expected,
            CloseReason::SecondConnect => &mut self.second_connect,
            CloseReason::Refused(_) => &mut self.refused,
            CloseReason::TakenOver => &mut self.taken_over,
            CloseReason::KeepAliveTimeout => &mut self.keep_alive_timeout,
            CloseReason::Malformed(_) => &mut self.malformed,
            CloseReason::ServerPacket(_) => &mut self.server_packet,
            CloseReason::ClientPacket(_) => &mut self.client_packet,
            CloseReason::PacketTooLong => &mut self.packet_too_long,
            CloseReason::TooManyUnreleased => &mut self.too_many_unreleased,
            CloseReason::AnswersUnread => &mut self.answers_unread,
            CloseReason::Stalled => &mut self.stalled,
            CloseReason::NoMemory => &mut self.no_memory,
            CloseReason::WebSocket(_) => &mut self.websocket,
            CloseReason::WebSocketClosed => &mut self.websocket_closed,
            CloseReason::NoLongerAllowed => &mut self.no_longer_allowed,
            CloseReason::Bridge => &mut self.bridge,
        });
    }
}

pub(crate) const fn increment(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

pub(crate) fn add(counter: &mut u64, amount: usize) {
    *counter = counter.saturating_add(u64::try_from(amount).unwrap_or(u64::MAX));
}
