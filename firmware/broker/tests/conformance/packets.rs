//! Packets that most tests need, and the bytes that a client gets.

use espbroker_mqtt::{Connack, Connect, ConnectReturnCode, Delivery, Packet, Publish};

use crate::script::{Script, id, message, plain};

/// A PUBLISH of QoS 1.
pub(crate) fn at_least_once<'a>(topic: &'a str, number: u16, payload: &'a [u8]) -> Publish<'a> {
    let delivery = Delivery::AtLeastOnce { packet_id: id(number), duplicate: false };
    Publish { delivery, ..message(topic, payload) }
}

/// A PUBLISH of QoS 2.
pub(crate) fn exactly_once<'a>(topic: &'a str, number: u16, payload: &'a [u8]) -> Publish<'a> {
    let delivery = Delivery::ExactlyOnce { packet_id: id(number), duplicate: false };
    Publish { delivery, ..message(topic, payload) }
}

/// The same with DUP set.
pub(crate) fn again(publish: Publish<'_>) -> Publish<'_> {
    let delivery = match publish.delivery {
        Delivery::AtMostOnce => panic!("QoS 0 has no DUP"),
        Delivery::AtLeastOnce { packet_id, .. } => Delivery::AtLeastOnce { packet_id, duplicate: true },
        Delivery::ExactlyOnce { packet_id, .. } => Delivery::ExactlyOnce { packet_id, duplicate: true },
    };
    Publish { delivery, ..publish }
}

/// The same with RETAIN set.
pub(crate) fn kept(publish: Publish<'_>) -> Publish<'_> {
    Publish { retain: true, ..publish }
}

/// A control packet whose body is `parts` one after the other; shorter than 128 bytes.
pub(crate) fn raw(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    assert!(body.len() < 128);
    [&[first, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

/// Bytes with their length in front, as a text field has it.
pub(crate) fn field(text: &[u8]) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

/// A CONNECT for a session that outlives the connection.
pub(crate) fn persistent(client_id: &str) -> Connect<'_> {
    Connect { clean_session: false, ..plain(client_id) }
}

/// CONNACK for a client that was let in.
pub(crate) fn accepted(session_present: bool) -> Packet<'static> {
    Packet::Connack(Connack { session_present, return_code: ConnectReturnCode::Accepted })
}

impl Script {
    /// Checks that exactly these bytes were handed out since the last look.
    #[track_caller]
    pub(crate) fn gets(&mut self, connection: u16, expected: &[u8]) {
        assert_eq!(self.take(connection).escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    /// Accepts and connects a client whose session may be there already, and checks all that it gets at once.
    #[track_caller]
    pub(crate) fn come_back(&mut self, connection: u16, client_id: &str, expected: &[Packet<'_>]) {
        self.accept(connection);
        self.send(connection, Packet::Connect(persistent(client_id)));
        self.expect(connection, expected);
    }
}
