//! [`Site`]: a broker in its world, and numbers for its connections.

use std::cell::Cell;

use espbroker_broker::{Anonymous, Broker, Network, Settings, Transport};
use espbroker_mqtt::{Connect, Delivery, Packet, Protocol, Publish, TopicName};

use crate::{
    heap::{self, FLOOR},
    world::{Accounts, Platform, World},
};

thread_local! {
    /// The fewest bytes of heap that the chip had free.
    static LOWEST: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The fewest bytes of heap that the chip had free.
pub(super) fn lowest() -> usize {
    LOWEST.get()
}

/// Room for 64 clients and the sessions of all who ever come.
pub(super) fn settings() -> Settings {
    Settings {
        anonymous: Anonymous::Allowed,
        clients: 64,
        sessions: 100,
        system_interval: 0,
        ..Settings::default()
    }
}

pub(super) struct Site {
    pub(super) world: World,
    last: u16,
}

impl Site {
    /// A broker in a chip's memory, on a chip's network.
    pub(super) fn chip() -> Self {
        let platform = Platform {
            run: heap::count,
            before: |broker| broker.set_free(heap::free()),
            after: |broker: &Broker<Accounts>| {
                let lowest = heap::lowest();
                LOWEST.set(LOWEST.get().min(lowest));
                let floor = usize::try_from(FLOOR).unwrap();
                assert!(lowest >= floor, "{lowest} bytes free, {:?}", broker.counters());
            },
        };
        heap::lowest();
        let network = Network { window: 1_072, in_flight: 8_192, segment: 296 };
        let settings = Settings { network, heap_floor: FLOOR, system_interval: 10, ..settings() };
        Self { world: World::on(platform, settings, Accounts::default()), last: 0 }
    }

    pub(super) fn computer(settings: Settings) -> Self {
        Self { world: World::new(settings, Accounts::default()), last: 0 }
    }

    /// A number that no connection has.
    pub(super) fn number(&mut self) -> u16 {
        loop {
            self.last = self.last.wrapping_add(1);
            if !self.world.links.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    pub(super) fn open(&mut self, transport: Transport) -> u16 {
        let connection = self.number();
        self.world.open(connection, transport);
        connection
    }

    pub(super) fn is_open(&self, connection: u16) -> bool {
        self.world.links.get(&connection).is_some_and(|link| link.end.is_none())
    }

    /// Forgets the connections that the broker has closed.
    pub(super) fn reap(&mut self) {
        self.world.links.retain(|_, link| link.end.is_none());
    }

    /// Messages that the broker has dropped, and counted.
    pub(super) fn dropped(&self) -> u64 {
        self.world.broker.counters().messages_dropped
    }

    /// Ends the session of a client, and clears a message that it has left.
    pub(super) fn forget(&mut self, client_id: &str, kept: Option<&str>) {
        let connection = self.open(Transport::Tcp);
        self.world.send(connection, &[Packet::Connect(plain(client_id))]);
        if let Some(topic) = kept {
            let topic = TopicName::new(topic).unwrap();
            let delivery = Delivery::AtMostOnce;
            let cleared = Publish { topic, payload: b"", retain: true, delivery };
            self.world.send(connection, &[Packet::Publish(cleared)]);
        }
        self.world.send(connection, &[Packet::Disconnect]);
        self.world.lose(connection);
    }
}

/// A CONNECT with a clean session and nothing else.
pub(super) fn plain(client_id: &str) -> Connect<'_> {
    Connect {
        protocol: Protocol::Mqtt311,
        bridge: false,
        client_id,
        clean_session: true,
        keep_alive: 0,
        will: None,
        user_name: None,
        password: None,
    }
}
