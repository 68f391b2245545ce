//! One hand-made vector or more for each of the 14 packet types, decoded and encoded.

use espbroker_mqtt::{
    Connack, Connect, ConnectReturnCode, Delivery, EncodeError, FilterList, Packet, PacketId, Protocol,
    Publish, QoS, ReturnCodes, Suback, SubackCode, Subscribe, Subscription, SubscriptionList, TopicFilter,
    TopicName, Unsubscribe, Will,
};

fn name(text: &str) -> TopicName<'_> {
    TopicName::new(text).unwrap()
}

fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::new(text).unwrap()
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

fn check(bytes: &[u8], packet: Packet<'_>) {
    assert_eq!(Packet::decode(bytes), Ok(packet));
    let mut encoded = vec![0xaa];
    packet.encode(&mut encoded).unwrap();
    assert_eq!(encoded[1..], *bytes);
    assert_eq!(packet.encoded_length(), Ok(bytes.len()));
    let mut short = vec![0; bytes.len() - 1];
    assert_eq!(packet.encode_to_slice(&mut short), Err(EncodeError::BufferTooSmall));
}

const PLAIN: Connect<'_> = Connect {
    protocol: Protocol::Mqtt311,
    bridge: false,
    client_id: "",
    clean_session: true,
    keep_alive: 0,
    will: None,
    user_name: None,
    password: None,
};

#[test]
fn connect_with_nothing_optional() {
    check(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00", Packet::Connect(PLAIN));
}

#[test]
fn connect_with_everything() {
    // The variable header of MQTT 3.1.1 figure 3.6: flags 0xce, keep alive 10.
    let will = Will { topic: name("will"), payload: b"gone\0\xff", qos: QoS::AtLeastOnce, retain: false };
    check(
        b"\x10\x2a\x00\x04MQTT\x04\xce\x00\x0a\x00\x03dev\x00\x04will\x00\x06gone\0\xff\x00\x04user\x00\x05pa\0ss",
        Packet::Connect(Connect {
            client_id: "dev",
            keep_alive: 10,
            will: Some(will),
            user_name: Some("user"),
            password: Some(b"pa\0ss"),
            ..PLAIN
        }),
    );
}

#[test]
fn connect_of_mqtt_3_1_with_a_retained_will_at_qos_2() {
    let will = Will { topic: name("w"), payload: b"", qos: QoS::ExactlyOnce, retain: true };
    check(
        b"\x10\x14\x00\x06MQIsdp\x03\x34\xff\xff\x00\x01c\x00\x01w\x00\x00",
        Packet::Connect(Connect {
            protocol: Protocol::Mqtt31,
            client_id: "c",
            clean_session: false,
            keep_alive: 65_535,
            will: Some(will),
            ..PLAIN
        }),
    );
}

#[test]
fn connect_of_a_bridge_has_the_high_bit_of_its_level() {
    // mosquitto 2 with `try_private true`, and `bridge_protocol_version mqttv311` and `mqttv31`.
    let bridge = Connect { bridge: true, client_id: "b", clean_session: false, keep_alive: 60, ..PLAIN };
    check(b"\x10\x0d\x00\x04MQTT\x84\x00\x00\x3c\x00\x01b", Packet::Connect(bridge));
    let protocol = Protocol::Mqtt31;
    check(
        b"\x10\x0f\x00\x06MQIsdp\x83\x00\x00\x3c\x00\x01b",
        Packet::Connect(Connect { protocol, ..bridge }),
    );
}

#[test]
fn connect_with_a_user_name_and_no_password() {
    check(
        b"\x10\x0f\x00\x04MQTT\x04\x82\x00\x00\x00\x00\x00\x01u",
        Packet::Connect(Connect { user_name: Some("u"), ..PLAIN }),
    );
}

#[test]
fn connack_with_every_code() {
    for (number, return_code) in [
        (0, ConnectReturnCode::Accepted),
        (1, ConnectReturnCode::UnacceptableProtocolVersion),
        (2, ConnectReturnCode::IdentifierRejected),
        (3, ConnectReturnCode::ServerUnavailable),
        (4, ConnectReturnCode::BadUserNameOrPassword),
        (5, ConnectReturnCode::NotAuthorized),
    ] {
        check(&[0x20, 2, 0, number], Packet::Connack(Connack { session_present: false, return_code }));
    }
    let return_code = ConnectReturnCode::Accepted;
    check(b"\x20\x02\x01\x00", Packet::Connack(Connack { session_present: true, return_code }));
}

#[test]
fn publish_at_every_qos() {
    // MQTT 3.1.1 figure 3.11: topic a/b, packet identifier 10.
    let publish = Publish { topic: name("a/b"), payload: b"", retain: false, delivery: Delivery::AtMostOnce };
    check(b"\x30\x05\x00\x03a/b", Packet::Publish(publish));
    let delivery = Delivery::AtLeastOnce { packet_id: id(10), duplicate: false };
    check(b"\x32\x07\x00\x03a/b\x00\x0a", Packet::Publish(Publish { delivery, ..publish }));
    let delivery = Delivery::ExactlyOnce { packet_id: id(0x1234), duplicate: true };
    check(
        b"\x3d\x09\x00\x03a/b\x12\x34\x00\xff",
        Packet::Publish(Publish { delivery, retain: true, payload: b"\x00\xff", ..publish }),
    );
}

#[test]
fn publish_with_a_long_payload_has_a_longer_length() {
    let payload = [7; 125];
    let mut bytes = b"\x31\x80\x01\x00\x01t".to_vec();
    bytes.extend_from_slice(&payload);
    let publish =
        Publish { topic: name("t"), payload: &payload, retain: true, delivery: Delivery::AtMostOnce };
    check(&bytes, Packet::Publish(publish));
}

#[test]
fn a_topic_may_be_any_utf_8() {
    // MQTT 3.1.1 figure 1.2: "A" and U+2A6D4; also U+FEFF is kept (§1.5.3).
    let publish = |topic| {
        Packet::Publish(Publish { topic, payload: b"", retain: false, delivery: Delivery::AtMostOnce })
    };
    check(b"\x30\x07\x00\x05A\xf0\xaa\x9b\x94", publish(name("A\u{2a6d4}")));
    check(b"\x30\x05\x00\x03\xef\xbb\xbf", publish(name("\u{feff}")));
}

#[test]
fn acknowledgements() {
    check(b"\x40\x02\x00\x01", Packet::Puback(id(1)));
    check(b"\x50\x02\x01\x00", Packet::Pubrec(id(256)));
    check(b"\x62\x02\xff\xff", Packet::Pubrel(id(65_535)));
    check(b"\x70\x02\x00\x0a", Packet::Pubcomp(id(10)));
    check(b"\xb0\x02\x00\x0a", Packet::Unsuback(id(10)));
}

#[test]
fn subscribe_with_two_filters() {
    // MQTT 3.1.1 figure 3.23: a/b at QoS 1, c/d at QoS 2.
    let entries = [
        Subscription { filter: filter("a/b"), qos: QoS::AtLeastOnce },
        Subscription { filter: filter("c/d"), qos: QoS::ExactlyOnce },
    ];
    let subscribe = Subscribe { packet_id: id(10), subscriptions: SubscriptionList::new(&entries) };
    check(b"\x82\x0e\x00\x0a\x00\x03a/b\x01\x00\x03c/d\x02", Packet::Subscribe(subscribe));
}

#[test]
fn suback_with_every_code() {
    let return_codes = ReturnCodes::new(&[0, 1, 2, 0x80]).unwrap();
    assert!(return_codes.iter().eq([
        SubackCode::Granted(QoS::AtMostOnce),
        SubackCode::Granted(QoS::AtLeastOnce),
        SubackCode::Granted(QoS::ExactlyOnce),
        SubackCode::Failure,
    ]));
    let suback = Suback { packet_id: id(10), return_codes };
    check(b"\x90\x06\x00\x0a\x00\x01\x02\x80", Packet::Suback(suback));
}

#[test]
fn unsubscribe_with_two_filters() {
    // MQTT 3.1.1 figure 3.30.
    let filters = [filter("a/b"), filter("c/d")];
    let unsubscribe = Unsubscribe { packet_id: id(10), filters: FilterList::new(&filters) };
    check(b"\xa2\x0c\x00\x0a\x00\x03a/b\x00\x03c/d", Packet::Unsubscribe(unsubscribe));
}

#[test]
fn packets_without_a_body() {
    check(b"\xc0\x00", Packet::Pingreq);
    check(b"\xd0\x00", Packet::Pingresp);
    check(b"\xe0\x00", Packet::Disconnect);
}

#[test]
fn what_the_standard_does_not_allow_cannot_be_encoded() {
    let mut bytes = b"before".to_vec();
    let long = "x".repeat(65_536);
    for (packet, error) in [
        (Packet::Connect(Connect { client_id: &long, ..PLAIN }), EncodeError::FieldTooLong),
        (Packet::Connect(Connect { client_id: "a\0", ..PLAIN }), EncodeError::NullCharacter),
        (Packet::Connect(Connect { password: Some(b""), ..PLAIN }), EncodeError::PasswordWithoutUserName),
        (
            Packet::Subscribe(Subscribe { packet_id: id(1), subscriptions: SubscriptionList::new(&[]) }),
            EncodeError::EmptyList,
        ),
        (
            Packet::Unsubscribe(Unsubscribe { packet_id: id(1), filters: FilterList::new(&[]) }),
            EncodeError::EmptyList,
        ),
        (
            Packet::Connack(Connack { session_present: true, return_code: ConnectReturnCode::NotAuthorized }),
            EncodeError::SessionPresentWithRefusal,
        ),
    ] {
        assert_eq!(packet.encode(&mut bytes), Err(error));
        assert_eq!(bytes, b"before");
    }
}

#[test]
fn a_password_is_not_shown() {
    let connect = Connect { user_name: Some("u"), password: Some(b"secret"), ..PLAIN };
    let shown = format!("{:?}", Packet::Connect(connect));
    assert!(!shown.contains("secret") && !shown.contains("115") && shown.contains("****"), "{shown}");
}
