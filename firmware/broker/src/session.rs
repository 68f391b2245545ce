//! [`Session`]: the state that MQTT 3.1.1 §4.1 calls the session, apart from the connection that it lives on.

use alloc::{boxed::Box, vec::Vec};

use espbroker_mqtt::PacketId;

use crate::{retained::Replay, subscriptions::Subscriptions};

/// What the broker knows of a client by its identifier.
pub(crate) struct Session {
    pub(crate) client_id: Box<str>,
    pub(crate) subscriptions: Subscriptions,
    /// QoS 2 messages delivered whose PUBREL has not come (§4.3.3, method B).
    pub(crate) unreleased: Vec<PacketId>,
    /// Retained messages still to be sent for new subscriptions, in the order of those.
    pub(crate) replays: Vec<Replay>,
}

impl Session {
    pub(crate) fn new(client_id: Box<str>) -> Self {
        Self {
            client_id,
            subscriptions: Subscriptions::default(),
            unreleased: Vec::new(),
            replays: Vec::new(),
        }
    }

    /// Forgets the identifier, which the client may then use for a new message.
    pub(crate) fn release(&mut self, packet_id: PacketId) {
        self.unreleased.retain(|unreleased| *unreleased != packet_id);
        if self.unreleased.is_empty() {
            self.unreleased = Vec::new();
        }
    }

    /// Heap bytes in use, itself included.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.client_id.len()
            + self.subscriptions.memory()
            + self.unreleased.capacity() * size_of::<PacketId>()
            + self.replays.capacity() * size_of::<Replay>()
            + self.replays.iter().map(Replay::memory).sum::<usize>()
    }
}
