//! [`Session`]: the state that MQTT 3.1.1 §4.1 calls the session, apart from the connection that it lives on.

use alloc::boxed::Box;

use espbroker_mqtt::PacketId;

use crate::{
    access::{Access, UserId},
    packed::Packed,
    permission::Subject,
    subscriptions::Subscriptions,
    traffic::Traffic,
};

/// In front of and behind the client identifier in the topic of a bridge's notification.
const CONNECTION: &str = "$SYS/broker/connection/";
const STATE: &str = "/state";

/// What the broker knows of a client by its identifier.
pub(crate) struct Session {
    /// With the client identifier.
    pub(crate) subscriptions: Subscriptions,
    /// `None` while nothing is on its way.
    pub(crate) traffic: Option<Box<Traffic>>,
    /// The last identifier given to a message for the client.
    last_packet_id: u16,
    pub(crate) user: Option<UserId>,
    /// Whether its user has permissions to be looked at.
    pub(crate) restricted: bool,
    pub(crate) durability: Durability,
    /// The client is another broker's bridge and said so: it does not get its own messages back, and RETAIN stays as
    /// it was published, as mosquitto does it.
    pub(crate) is_bridge: bool,
}

/// What becomes of a session when its connection ends (§3.1.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It ends as well.
    Clean,
    /// It waits for the client.
    Persistent,
}

impl Session {
    pub(crate) fn new(client_id: &str, durability: Durability) -> Self {
        Self {
            subscriptions: Subscriptions::new(client_id),
            traffic: None,
            last_packet_id: 0,
            user: None,
            restricted: false,
            durability,
            is_bridge: false,
        }
    }

    /// What is on its way, from now on if need be.
    pub(crate) fn traffic(&mut self) -> &mut Traffic {
        self.traffic.get_or_insert_default()
    }

    /// Is this the topic under which the client, if it is a bridge, tells whether it is connected.
    pub(crate) fn is_own_state(&self, topic: &str) -> bool {
        let middle = topic.strip_prefix(CONNECTION).and_then(|rest| rest.strip_suffix(STATE));
        middle.is_some_and(|middle| self.is_of(middle))
    }

    /// Is it the session of the client with this identifier.
    pub(crate) fn is_of(&self, client_id: &str) -> bool {
        self.subscriptions.client_id().is(client_id.as_bytes())
    }

    /// Gives back what an empty [`Traffic`] takes.
    pub(crate) fn settle(&mut self) {
        if self.traffic.as_ref().is_some_and(|traffic| traffic.is_empty()) {
            self.traffic = None;
        }
    }

    /// May it get every message as it is: it has no permissions to be looked at and is no bridge.
    pub(crate) const fn is_ordinary(&self) -> bool {
        !self.restricted && !self.is_bridge
    }

    /// May a message be handed out without regard to others.
    pub(crate) fn is_idle(&self) -> bool {
        self.traffic.as_ref().is_none_or(|traffic| !traffic.is_sending())
    }

    /// An identifier that no message in flight has (§2.3.1). There are never so many in flight that none is free.
    pub(crate) fn next_packet_id(&mut self) -> PacketId {
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1);
            let used = |packet_id| self.traffic.as_ref().is_some_and(|traffic| traffic.uses(packet_id));
            if let Some(packet_id) = PacketId::new(self.last_packet_id).filter(|packet_id| !used(*packet_id))
            {
                return packet_id;
            }
        }
    }

    /// The client as its permissions see it.
    pub(crate) fn subject<'a>(&'a self, access: &'a impl Access) -> Subject<'a> {
        subject(self.subscriptions.client_id(), self.user, self.restricted, access)
    }

    /// What is on its way, and the client as its permissions see it.
    pub(crate) fn traffic_and_subject<'a>(
        &'a mut self,
        access: &'a impl Access,
    ) -> (Option<&'a mut Traffic>, Subject<'a>) {
        let subject = subject(self.subscriptions.client_id(), self.user, self.restricted, access);
        (self.traffic.as_deref_mut(), subject)
    }

    /// Heap bytes in use.
    pub(crate) fn memory(&self) -> usize {
        self.subscriptions.memory() + self.traffic.as_ref().map_or(0, |traffic| traffic.memory())
    }
}

fn subject<'a>(
    client_id: Packed<'a>,
    user: Option<UserId>,
    restricted: bool,
    access: &'a impl Access,
) -> Subject<'a> {
    Subject {
        permissions: if restricted { access.permissions(user) } else { &[] },
        user_name: user.map(|user| access.user_name(user)),
        client_id,
    }
}
