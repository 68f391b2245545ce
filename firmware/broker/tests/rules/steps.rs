//! What clients in a [`World`] usually do, and what they expect.

use espbroker_broker::Transport;
use espbroker_mqtt::{
    Connack, Connect, ConnectReturnCode, Delivery, Packet, Publish, QoS, ReturnCodes, Suback, Subscribe,
    Subscription, SubscriptionList, TopicFilter,
};

use crate::{
    script::{connack, encoded, id, message},
    world::{Unit, World},
};

/// A PUBLISH of QoS 1.
pub(crate) fn at_least_once<'a>(
    topic: &'a str,
    payload: &'a [u8],
    number: u16,
    duplicate: bool,
) -> Packet<'a> {
    let delivery = Delivery::AtLeastOnce { packet_id: id(number), duplicate };
    Packet::Publish(Publish { delivery, ..message(topic, payload) })
}

/// A PUBLISH of QoS 2.
pub(crate) fn exactly_once<'a>(
    topic: &'a str,
    payload: &'a [u8],
    number: u16,
    duplicate: bool,
) -> Packet<'a> {
    let delivery = Delivery::ExactlyOnce { packet_id: id(number), duplicate };
    Packet::Publish(Publish { delivery, ..message(topic, payload) })
}

/// The same as `connect`, as a user with the right password.
pub(crate) fn as_user<'a>(name: &'a str, connect: Connect<'a>) -> Connect<'a> {
    Connect { user_name: Some(name), password: Some(b"secret"), ..connect }
}

/// CONNACK for a client that was let in.
pub(crate) fn accepted(session_present: bool) -> Packet<'static> {
    Packet::Connack(Connack { session_present, return_code: ConnectReturnCode::Accepted })
}

impl World {
    /// Packets that arrived since this was last asked; nothing else may have.
    #[track_caller]
    pub(crate) fn packets(&mut self, connection: u16) -> Vec<Vec<u8>> {
        let units = self.arrived(connection).into_iter();
        let packets = units.map(|unit| match unit {
            Unit::Packet(packet) => packet,
            other => panic!("no packet: {other:?}"),
        });
        packets.collect()
    }

    /// Checks that exactly `packets` arrived since the last look.
    #[track_caller]
    pub(crate) fn expect(&mut self, connection: u16, packets: &[Packet<'_>]) {
        let (found, expected) = (self.packets(connection).concat(), encoded(packets));
        assert_eq!(found.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    /// Opens a connection over TCP and sends CONNECT, with any outcome.
    pub(crate) fn knock(&mut self, connection: u16, connect: Connect<'_>) {
        self.open(connection, Transport::Tcp);
        self.send(connection, &[Packet::Connect(connect)]);
    }

    /// Connects a client, which must be let in.
    #[track_caller]
    pub(crate) fn connect(&mut self, connection: u16, connect: Connect<'_>) {
        self.knock(connection, connect);
        self.expect(connection, &[connack(ConnectReturnCode::Accepted)]);
    }

    /// Connects a client over WebSocket, which must be let in.
    #[track_caller]
    pub(crate) fn connect_web(&mut self, connection: u16, connect: Connect<'_>) {
        self.open(connection, Transport::WebSocket);
        assert!(matches!(&self.arrived(connection)[..], [Unit::Http(_)]));
        self.send(connection, &[Packet::Connect(connect)]);
        self.expect(connection, &[connack(ConnectReturnCode::Accepted)]);
    }

    /// Subscribes at a QoS; what is retained follows the SUBACK, whose codes must be `codes`.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, connection: u16, filters: &[&str], qos: QoS, codes: &[u8]) {
        let subscriptions: Vec<_> = filters
            .iter()
            .map(|text| Subscription { filter: TopicFilter::new(text).unwrap(), qos })
            .collect();
        let subscriptions = SubscriptionList::new(&subscriptions);
        self.send(connection, &[Packet::Subscribe(Subscribe { packet_id: id(77), subscriptions })]);
        let suback = Suback { packet_id: id(77), return_codes: ReturnCodes::new(codes).unwrap() };
        let arrived = &mut self.links.get_mut(&connection).unwrap().arrived;
        assert_eq!(arrived.first(), Some(&Unit::Packet(encoded(&[Packet::Suback(suback)]))));
        arrived.remove(0);
    }
    /// Subscribes at QoS 0 without waiting for the SUBACK.
    pub(crate) fn subscribe_held(&mut self, connection: u16, filter: &str) {
        let filter = TopicFilter::new(filter).unwrap();
        let subscriptions = [Subscription { filter, qos: QoS::AtMostOnce }];
        let subscriptions = SubscriptionList::new(&subscriptions);
        self.send(connection, &[Packet::Subscribe(Subscribe { packet_id: id(77), subscriptions })]);
    }
}
