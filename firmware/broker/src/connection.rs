//! [`Connection`]: one network connection, what it waits for and what waits for it.

use alloc::boxed::Box;

use espbroker_mqtt::{QoS, TopicName};

use crate::{
    assembler::Assembler,
    event::{BridgeId, CloseReason, ConnectionId, Transport},
    message::Message,
    room::ALLOCATION,
    session::Session,
    settings::CONNECT_TIME,
    time::{Instant, Moment},
    traffic::Retain,
    websocket::WebSocket,
};

/// A network connection, before and after its CONNECT.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    /// Seconds, 0 for never; from the CONNECT.
    pub(crate) keep_alive: u16,
    pub(crate) peer: Peer,
    stream: Stream,
    /// Bytes handed out and not reported as sent.
    pub(crate) unsent: usize,
    /// When `unsent` last began to be more than 0, or became less.
    pub(crate) progress: Moment,
    /// When the last whole packet arrived; before the CONNECT, when the connection was accepted.
    pub(crate) heard: Moment,
    /// `None` before the CONNECT.
    pub(crate) session: Option<Session>,
    pub(crate) will: Option<Box<Will>>,
}

/// How packets come.
enum Stream {
    Tcp(Assembler),
    WebSocket(Box<Wrapped>),
}

/// Packets in a WebSocket.
struct Wrapped {
    websocket: WebSocket,
    assembler: Assembler,
}

impl Wrapped {
    /// Bytes beside those of the WebSocket.
    const BESIDE: usize = size_of::<Self>() - size_of::<WebSocket>();
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A client.
    Client,
    /// The broker that a bridge leads to; here we are the client.
    Broker(BridgeId),
}

/// The will of a CONNECT, kept for as long as the connection lasts (MQTT 3.1.1 §3.1.2.5).
pub(crate) struct Will {
    pub(crate) message: Message,
    pub(crate) qos: QoS,
    pub(crate) retain: Retain,
}

impl Will {
    /// `None` when it does not fit in a control packet, which a will from a CONNECT always does.
    pub(crate) fn new(will: &espbroker_mqtt::Will<'_>) -> Option<Self> {
        let retain = if will.retain { Retain::Retained } else { Retain::Live };
        Some(Self { message: Message::new(will.topic, will.payload)?, qos: will.qos, retain })
    }

    /// The topic; it was one in the CONNECT, so this is always `Some`.
    pub(crate) fn topic(&self) -> Option<TopicName<'_>> {
        core::str::from_utf8(self.message.topic()).ok().and_then(|text| TopicName::new(text).ok())
    }
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, peer: Peer, transport: Transport, now: Instant) -> Self {
        Self {
            id,
            keep_alive: 0,
            peer,
            stream: match transport {
                Transport::Tcp => Stream::Tcp(Assembler::new()),
                Transport::WebSocket => Stream::WebSocket(Box::new(Wrapped {
                    websocket: WebSocket::new(),
                    assembler: Assembler::new(),
                })),
            },
            unsent: 0,
            progress: now.into(),
            heard: now.into(),
            session: None,
            will: None,
        }
    }

    /// Heap bytes of a new one.
    pub(crate) const fn memory_of(transport: Transport) -> usize {
        size_of::<Self>()
            + match transport {
                Transport::Tcp => 0,
                Transport::WebSocket => Wrapped::BESIDE + WebSocket::MEMORY + 2 * ALLOCATION,
            }
    }

    /// Keeps a session and nothing else.
    pub(crate) fn park(&mut self, session: Session) {
        self.stream = Stream::Tcp(Assembler::new());
        self.session = Some(session);
    }

    /// Cuts what comes into packets.
    pub(crate) fn assembler(&mut self) -> &mut Assembler {
        match &mut self.stream {
            Stream::Tcp(assembler) => assembler,
            Stream::WebSocket(wrapped) => &mut wrapped.assembler,
        }
    }

    /// What wraps the packets; `None` over bare TCP.
    pub(crate) fn websocket(&mut self) -> Option<&mut WebSocket> {
        match &mut self.stream {
            Stream::Tcp(_) => None,
            Stream::WebSocket(wrapped) => Some(&mut wrapped.websocket),
        }
    }

    /// Does something wrap the packets.
    #[inline]
    pub(crate) const fn is_websocket(&self) -> bool {
        matches!(self.stream, Stream::WebSocket(_))
    }

    /// Is it a client that was let in.
    pub(crate) fn is_client(&self) -> bool {
        self.peer == Peer::Client && self.session.is_some()
    }

    /// May a [`Plain`](crate::plain::Plain) message that arrives next be taken without a closer look.
    pub(crate) fn takes_plain(&self) -> bool {
        let assembler = match &self.stream {
            Stream::Tcp(assembler) => assembler,
            Stream::WebSocket(wrapped) => &wrapped.assembler,
        };
        assembler.is_between_packets()
            && self.peer == Peer::Client
            && self.session.as_ref().is_some_and(|session| !session.restricted)
    }

    /// When it is to be closed if nothing happens, and why; `stall` is how long the network may take no bytes, ms.
    pub(crate) fn deadline(&self, stall: u64, now: Instant) -> Option<(Instant, CloseReason)> {
        let heard = self.heard.instant(now);
        let silence = match (self.peer, &self.session, self.keep_alive) {
            // A bridge looks after its own silence.
            (Peer::Broker(_), ..) => None,
            (Peer::Client, None, _) => Some((heard.after(CONNECT_TIME), CloseReason::ConnectTimeout)),
            (Peer::Client, Some(_), 0) => None,
            // MQTT 3.1.1 §3.1.2.10: one and a half times the keep alive.
            (Peer::Client, Some(_), seconds) => {
                Some((heard.after(u64::from(seconds) * 1500), CloseReason::KeepAliveTimeout))
            }
        };
        let stalled =
            (self.unsent > 0).then(|| (self.progress.instant(now).after(stall), CloseReason::Stalled));
        [silence, stalled].into_iter().flatten().min_by_key(|(instant, _)| *instant)
    }

    /// Heap bytes in use, itself included.
    pub(crate) fn memory(&self) -> usize {
        let will = |will: &Will| size_of::<Will>() + will.message.share();
        size_of::<Self>()
            + match &self.stream {
                Stream::Tcp(assembler) => assembler.memory(),
                Stream::WebSocket(wrapped) => {
                    Wrapped::BESIDE + wrapped.websocket.memory() + wrapped.assembler.memory()
                }
            }
            + self.session.as_ref().map_or(0, Session::memory)
            + self.will.as_deref().map_or(0, will)
    }
}
