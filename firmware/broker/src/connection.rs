//! [`Connection`]: one network connection, what it waits for and what waits for it.

use alloc::boxed::Box;

use espbroker_mqtt::TopicName;

use crate::{
    assembler::Assembler,
    event::{CloseReason, ConnectionId},
    session::Session,
    settings::{CONNECT_TIME, STALL_TIME},
    time::Instant,
};

/// A network connection, before and after its CONNECT.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    /// Seconds, 0 for never; from the CONNECT.
    pub(crate) keep_alive: u16,
    pub(crate) assembler: Assembler,
    /// Bytes handed out and not reported as sent.
    pub(crate) unsent: usize,
    /// When `unsent` last began to be more than 0, or became less.
    pub(crate) progress: Instant,
    /// When the last whole packet arrived; before the CONNECT, when the connection was accepted.
    pub(crate) heard: Instant,
    /// `None` before the CONNECT.
    pub(crate) session: Option<Box<Session>>,
    pub(crate) will: Option<Box<Will>>,
}

/// The will of a CONNECT, kept for as long as the connection lasts (MQTT 3.1.1 §3.1.2.5).
pub(crate) struct Will {
    pub(crate) topic: Box<str>,
    pub(crate) payload: Box<[u8]>,
    pub(crate) retain: bool,
}

impl Will {
    pub(crate) fn new(will: &espbroker_mqtt::Will<'_>) -> Self {
        Self { topic: will.topic.as_str().into(), payload: will.payload.into(), retain: will.retain }
    }

    /// The topic; it was one in the CONNECT, so this is always `Some`.
    pub(crate) fn topic(&self) -> Option<TopicName<'_>> {
        TopicName::new(&self.topic).ok()
    }
}

impl Connection {
    pub(crate) const fn new(id: ConnectionId, now: Instant) -> Self {
        Self {
            id,
            keep_alive: 0,
            assembler: Assembler::new(),
            unsent: 0,
            progress: now,
            heard: now,
            session: None,
            will: None,
        }
    }

    /// When it is to be closed if nothing happens, and why.
    pub(crate) fn deadline(&self) -> Option<(Instant, CloseReason)> {
        let silence = match (&self.session, self.keep_alive) {
            (None, _) => Some((self.heard.after(CONNECT_TIME), CloseReason::ConnectTimeout)),
            (Some(_), 0) => None,
            // MQTT 3.1.1 §3.1.2.10: one and a half times the keep alive.
            (Some(_), seconds) => {
                Some((self.heard.after(u64::from(seconds) * 1500), CloseReason::KeepAliveTimeout))
            }
        };
        let stall = (self.unsent > 0).then(|| (self.progress.after(STALL_TIME), CloseReason::Stalled));
        [silence, stall].into_iter().flatten().min_by_key(|(instant, _)| *instant)
    }

    /// Heap bytes in use, itself included.
    pub(crate) fn memory(&self) -> usize {
        let will = |will: &Will| size_of::<Will>() + will.topic.len() + will.payload.len();
        size_of::<Self>()
            + self.assembler.memory()
            + self.session.as_deref().map_or(0, Session::memory)
            + self.will.as_deref().map_or(0, will)
    }
}
