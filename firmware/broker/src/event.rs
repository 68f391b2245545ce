//! What goes into the broker and what comes out: [`Input`] and [`Output`].

use alloc::boxed::Box;
use core::fmt;

use espbroker_mqtt::{ConnectReturnCode, Malformed, PacketType};

use crate::{bridge::BridgeState, bytes::Bytes, websocket::WebSocketError};

/// The caller's number for a network connection. Free for a new connection once [`Input::Closed`] was handled or
/// [`Output::Close`] was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u16);

/// A bridge, by its place in the list of bridges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeId(pub u8);

/// What carries the bytes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// MQTT straight over TCP.
    Tcp,
    /// MQTT in binary WebSocket messages (MQTT 3.1.1 §6), from the HTTP request on.
    WebSocket,
}

/// Why a connection to another broker could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFailure {
    /// The host's name has no address.
    NameNotFound,
    /// The host is there and nothing listens on the port.
    Refused,
    /// There is no way to the host.
    Unreachable,
    /// No answer.
    TimedOut,
    /// Anything else, such as no memory for one more connection.
    Other,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A client opened a network connection.
    Accepted {
        /// Its new number.
        connection: ConnectionId,
        /// What it speaks.
        transport: Transport,
    },
    /// A connection that [`Output::Open`] asked for is there.
    Opened {
        /// Asked for by which bridge.
        bridge: BridgeId,
        /// Its new number.
        connection: ConnectionId,
    },
    /// A connection that [`Output::Open`] asked for could not be made.
    OpenFailed {
        /// Asked for by which bridge.
        bridge: BridgeId,
        /// Why.
        reason: OpenFailure,
    },
    /// Bytes arrived. Pieces of at most 2,048 bytes, with the outputs done between them, can never make a client
    /// that reads its answers fail with [`CloseReason::AnswersUnread`].
    Received {
        /// From whom.
        connection: ConnectionId,
        /// Any part of the stream; all of it is used.
        bytes: &'a [u8],
    },
    /// Bytes from [`Output::Send`] were taken by the network and need no memory of the caller's any more.
    Sent {
        /// To whom.
        connection: ConnectionId,
        /// How many more than at the last report.
        bytes: usize,
    },
    /// The network connection ended, by the client or by a failure.
    Closed {
        /// Whose.
        connection: ConnectionId,
    },
    /// Time passed; due at [`crate::Broker::poll_at`].
    Tick,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send `bytes` after all that was to be sent before, and report progress with [`Input::Sent`].
    Send {
        /// To whom.
        connection: ConnectionId,
        /// Control packets, or a part of one whose other parts follow at once; perhaps shared with other connections.
        bytes: Bytes,
    },
    /// Find the host, connect to it over TCP, and answer with [`Input::Opened`] or [`Input::OpenFailed`].
    Open {
        /// For which bridge; there is one attempt at a time for each.
        bridge: BridgeId,
        /// Host name or address.
        host: Box<str>,
        /// TCP port.
        port: u16,
    },
    /// Give up the attempt that [`Self::Open`] began. No answer is wanted.
    Abandon {
        /// For which bridge.
        bridge: BridgeId,
    },
    /// News of a bridge, for people; nothing is to be done.
    Bridge {
        /// Which.
        bridge: BridgeId,
        /// How it is doing now.
        state: BridgeState,
    },
    /// Send what is left, as far as the network takes it without delay, and close. The broker has forgotten the
    /// connection: [`Input::Closed`] is not needed.
    Close {
        /// Whose.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client sent DISCONNECT. The only end that does not publish the will.
    Disconnected,
    /// [`Input::Closed`]; not an output.
    NetworkClosed,
    /// One connection too many, refused before its CONNECT.
    TooManyConnections,
    /// No complete CONNECT within 10 s.
    ConnectTimeout,
    /// Another packet came before CONNECT (MQTT 3.1.1 §3.1).
    ConnectExpected,
    /// A second CONNECT (§3.1).
    SecondConnect,
    /// The CONNECT was answered with this code.
    Refused(ConnectReturnCode),
    /// A client with the same identifier connected (§3.1.4).
    TakenOver,
    /// Nothing heard for one and a half times the keep alive (§3.1.2.10).
    KeepAliveTimeout,
    /// Bytes that are not a control packet.
    Malformed(Malformed),
    /// A packet that only a server sends.
    ServerPacket(PacketType),
    /// A packet that only a client sends, from the broker at the other end of a bridge.
    ClientPacket(PacketType),
    /// A packet longer than [`crate::Settings::packet_size`].
    PacketTooLong,
    /// More than 128 messages of QoS 2 that the client has not released.
    TooManyUnreleased,
    /// The client goes on asking and does not read the answers.
    AnswersUnread,
    /// The client accepted none of the bytes waiting for it for 60 s, or for 10 s while others needed that memory.
    Stalled,
    /// There is no memory for what the client wants.
    NoMemory,
    /// The bytes are not those of a WebSocket that carries MQTT.
    WebSocket(WebSocketError),
    /// The client closed its WebSocket without DISCONNECT.
    WebSocketClosed,
    /// The accounts have changed and the client's is gone.
    NoLongerAllowed,
    /// The end of a connection to another broker; its state says why.
    Bridge,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Refused(code) => return write!(formatter, "CONNECT refused with code: {}", code.number()),
            Self::Malformed(malformed) => return write!(formatter, "malformed packet: {malformed}"),
            Self::ServerPacket(packet_type) => {
                return write!(formatter, "packet that only a server sends: {packet_type:?}");
            }
            Self::ClientPacket(packet_type) => {
                return write!(formatter, "packet that only a client sends: {packet_type:?}");
            }
            Self::Disconnected => "client disconnected",
            Self::NetworkClosed => "network connection closed",
            Self::TooManyConnections => "too many connections",
            Self::ConnectTimeout => "no CONNECT in time",
            Self::ConnectExpected => "first packet is not CONNECT",
            Self::SecondConnect => "second CONNECT",
            Self::TakenOver => "client identifier taken over by a new connection",
            Self::KeepAliveTimeout => "keep alive timed out",
            Self::PacketTooLong => "packet longer than the limit",
            Self::TooManyUnreleased => "too many QoS 2 messages without PUBREL",
            Self::AnswersUnread => "client does not read answers",
            Self::Stalled => "client stopped reading",
            Self::NoMemory => "not enough memory",
            Self::WebSocket(error) => return write!(formatter, "WebSocket: {error}"),
            Self::NoLongerAllowed => "account removed",
            Self::WebSocketClosed => "WebSocket closed",
            Self::Bridge => "end of a bridge",
        };
        formatter.write_str(text)
    }
}
