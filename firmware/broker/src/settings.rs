//! [`Settings`]: the bounds on what clients may hold. Every one has a stated refusal and a counter.

/// Bounds and policy; plain data, checked by whoever makes it. Each bound may be 0, which refuses everything
/// that it bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Clients at once. One too many is answered with CONNACK 3.
    pub clients: u16,
    /// Sessions kept for clients that are away and asked for it; beyond them the one that is away longest is forgotten.
    pub sessions: u16,
    /// Subscriptions of one client; those beyond get 0x80 in the SUBACK. Together their filters may take 64 bytes
    /// for each subscription allowed.
    pub subscriptions_per_client: u16,
    /// Retained messages; one too many is delivered but not kept.
    pub retained_messages: u16,
    /// Bytes of all retained topics and payloads; beyond them a message is delivered but not kept.
    pub retained_bytes: u32,
    /// Bytes of the longest control packet taken from a client, at most 65,535. A longer message of QoS 0 is read
    /// over and counted, any other longer packet closes the connection.
    pub packet_size: u32,
    /// Bytes of messages that wait for one client, also one that is away, or for its acknowledgement; messages beyond
    /// are dropped. A client that nothing is waiting for is given any one message, however long.
    pub queue_bytes: u32,
    /// Number of those messages.
    pub queue_messages: u16,
    /// What a client without a user name may do.
    pub anonymous: Anonymous,
    /// Seconds between two rounds of `$SYS` messages; 0 turns the whole tree off.
    pub system_interval: u16,
    /// What the network below may be given.
    pub network: Network,
    /// Bytes of heap that stay free, in the figures of [`crate::Broker::set_free`]: nothing that would leave less is
    /// accepted, and new clients and other growth not before a quarter more is free.
    pub heap_floor: u32,
    /// Any number; makes the pauses before bridges connect again differ from device to device.
    pub seed: u64,
}

/// Bounds on bytes handed out and not yet reported as [`crate::Input::Sent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Bytes for one connection. One packet may be longer.
    pub window: u32,
    /// Bytes for all connections together, with [`Self::segment`] for each that has any. Answers to packets that a client
    /// has sent come on top.
    pub in_flight: u32,
    /// Bytes that the network takes for a connection with unsent bytes, beyond those. The SDK's lwIP takes a whole
    /// maximum segment for a write that is not acknowledged, and fills it with the next ones.
    pub segment: u16,
}

impl Default for Network {
    /// An operating system's: 16 KB for each connection, as good as no bound for all.
    fn default() -> Self {
        Self { window: 16_384, in_flight: u32::MAX, segment: 0 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clients: 32,
            sessions: 16,
            subscriptions_per_client: 16,
            retained_messages: 64,
            retained_bytes: 8192,
            packet_size: 4096,
            queue_bytes: 4096,
            queue_messages: 100,
            anonymous: Anonymous::Refused,
            system_interval: 10,
            network: Network::default(),
            heap_floor: 0,
            seed: 0,
        }
    }
}

/// What a client without a user name, or with one that nobody knows, may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Refused: CONNACK 5 without a user name, 4 with an unknown one.
    Refused,
    /// Treated as the user without a name, see [`crate::Access::permissions`].
    Allowed,
}

/// Milliseconds from accepting a connection until its CONNECT must be complete.
pub(crate) const CONNECT_TIME: u64 = 10_000;

/// Milliseconds that a client may accept none of the bytes waiting for it.
pub(crate) const STALL_TIME: u64 = 60_000;

/// The same while others wait for the network memory that it holds.
pub(crate) const STALL_TIME_IN_NEED: u64 = 10_000;

/// Connections beyond [`Settings::clients`] that may wait for their CONNACK, so that a client taking over its own
/// session, or one too many, gets an answer.
pub(crate) const SPARE_CONNECTIONS: usize = 4;

/// Bytes for acknowledgements and other answers, which cannot be dropped, beyond those that messages may take:
/// [`Network::window`], or [`Settings::packet_size`] if that is more. No answer is longer than its request, so
/// this covers one [`crate::Input::Received`] of this length; over WebSocket there is twice as much.
pub(crate) const ANSWER_BYTES: usize = 2048;

/// Bytes of the longest client identifier taken. The standard asks for 23 (MQTT 3.1.1 §3.1.3.1).
pub(crate) const CLIENT_ID_LENGTH: usize = 128;

/// Average length of a filter that [`Settings::subscriptions_per_client`] stands for.
pub(crate) const FILTER_BYTES_PER_SUBSCRIPTION: usize = 64;

/// QoS 2 messages of one client between PUBLISH and PUBREL. Well above the 20 to 100 that client libraries keep
/// in flight by default.
pub(crate) const UNRELEASED_MESSAGES: usize = 128;

/// Messages of QoS 1 and 2 sent to one client and not acknowledged; the others wait. Client libraries for small
/// devices often take 10 to 20.
pub(crate) const IN_FLIGHT_MESSAGES: usize = 16;
