//! [`Settings`]: the bounds on what clients may hold. Every one has a stated refusal and a counter.

/// Bounds and policy; plain data, checked by whoever makes it. Each bound may be 0, which refuses everything
/// that it bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Clients at once. One too many is answered with CONNACK 3.
    pub clients: u16,
    /// Subscriptions of one client; those beyond get 0x80 in the SUBACK. Together their filters may take 64 bytes
    /// for each subscription allowed.
    pub subscriptions_per_client: u16,
    /// Retained messages; one too many is delivered but not kept.
    pub retained_messages: u16,
    /// Bytes of all retained topics and payloads; beyond them a message is delivered but not kept.
    pub retained_bytes: u32,
    /// Bytes of the longest control packet taken from a client; a longer one closes the connection.
    pub packet_size: u32,
    /// Bytes handed out for one client and not yet reported as [`crate::Input::Sent`]; messages beyond are dropped.
    /// A client that nothing is waiting for is given any one message, however long.
    pub queue_bytes: u32,
    /// What a client without a user name may do.
    pub anonymous: Anonymous,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clients: 32,
            subscriptions_per_client: 16,
            retained_messages: 64,
            retained_bytes: 8192,
            packet_size: 4096,
            queue_bytes: 4096,
            anonymous: Anonymous::Refused,
        }
    }
}

/// What a client without a user name, or with one that nobody knows, may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Refused: CONNACK 5 without a user name, 4 with an unknown one.
    Refused,
    /// Treated as any user.
    Allowed,
}

/// Milliseconds from accepting a connection until its CONNECT must be complete.
pub(crate) const CONNECT_TIME: u64 = 10_000;

/// Milliseconds that a client may accept none of the bytes waiting for it.
pub(crate) const STALL_TIME: u64 = 60_000;

/// Connections beyond [`Settings::clients`] that may wait for their CONNACK, so that a client taking over its own
/// session, or one too many, gets an answer.
pub(crate) const SPARE_CONNECTIONS: usize = 4;

/// Bytes for acknowledgements and other answers, which cannot be dropped, beyond those that messages may take:
/// [`Settings::queue_bytes`], or [`Settings::packet_size`] if that is more. No answer is longer than its request, so
/// this covers one [`crate::Input::Received`] of this length.
pub(crate) const ANSWER_BYTES: usize = 2048;

/// Bytes of the longest client identifier taken. The standard asks for 23 (MQTT 3.1.1 §3.1.3.1).
pub(crate) const CLIENT_ID_LENGTH: usize = 128;

/// Average length of a filter that [`Settings::subscriptions_per_client`] stands for.
pub(crate) const FILTER_BYTES_PER_SUBSCRIPTION: usize = 64;

/// QoS 2 messages of one client between PUBLISH and PUBREL. Well above the 20 to 100 that client libraries keep
/// in flight by default.
pub(crate) const UNRELEASED_MESSAGES: usize = 128;
