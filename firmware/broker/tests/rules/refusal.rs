//! Every break of the protocol closes the connection, is counted, and publishes the will (MQTT 3.1.1 §4.8).

use espbroker_broker::{CloseReason, Closed};
use espbroker_mqtt::{Connect, Malformed, Packet, PacketType, TopicError};

use crate::script::{Script, encoded, plain, publish, will};

/// Sends `bytes` on a connected client with a will and checks how it ends.
#[track_caller]
fn ends(bytes: &[u8], reason: CloseReason, count: fn(&Closed) -> u32) {
    let mut script = Script::open();
    script.join(1, "watch");
    script.subscribe(1, &["#"]);
    script.connect(2, Connect { will: Some(will("w", b"gone")), ..plain("bad") });
    // What follows in the same piece is not looked at.
    let mut stream = bytes.to_vec();
    stream.extend_from_slice(&encoded(&[publish("never", b"")]));
    script.bytes(2, &stream);
    assert_eq!(script.end(2), Some(reason));
    assert_eq!(count(&script.counters().closed), 1);
    script.expect(1, &[publish("w", b"gone")]);
    script.expect(2, &[]);
    assert_eq!(script.broker.clients(), 1);
}

#[test]
fn a_second_connect_is_refused() {
    let connect = encoded(&[Packet::Connect(plain("bad"))]);
    ends(&connect, CloseReason::SecondConnect, |closed| closed.second_connect);
    // Also when its level is one that would else be answered.
    ends(b"\x10\x0c\x00\x04MQTT\x05\x02\x00\x00\x00\x00", CloseReason::SecondConnect, |closed| {
        closed.second_connect
    });
}

#[test]
fn packets_that_only_a_server_sends_are_refused() {
    for (bytes, packet_type) in [
        (&b"\x20\x02\x00\x00"[..], PacketType::Connack),
        (b"\x90\x03\x00\x01\x00", PacketType::Suback),
        (b"\xb0\x02\x00\x01", PacketType::Unsuback),
        (b"\xd0\x00", PacketType::Pingresp),
    ] {
        ends(bytes, CloseReason::ServerPacket(packet_type), |closed| closed.server_packet);
    }
}

#[test]
fn malformed_packets_are_refused_with_their_reason() {
    for (bytes, malformed) in [
        (&b"\x00\x00"[..], Malformed::ReservedPacketType(0)),
        (b"\xf0\x00", Malformed::ReservedPacketType(15)),
        (b"\xc1\x00", Malformed::FixedHeaderFlags(1)),
        (b"\xe1\x00", Malformed::FixedHeaderFlags(1)),
        (b"\x60\x02\x00\x01", Malformed::FixedHeaderFlags(0)),
        (b"\x80\x06\x00\x01\x00\x01t\x00", Malformed::FixedHeaderFlags(0)),
        (b"\x30\xff\xff\xff\xff", Malformed::RemainingLength),
        (b"\x36\x05\x00\x01t\x00\x01", Malformed::PublishQos),
        (b"\x38\x03\x00\x01t", Malformed::DuplicateAtQos0),
        (b"\x32\x05\x00\x01t\x00\x00", Malformed::ZeroPacketId),
        (b"\x30\x05\x00\x03a/#", Malformed::TopicName(TopicError::WildcardInName)),
        (b"\x30\x02\x00\x00", Malformed::TopicName(TopicError::Empty)),
        (b"\x30\x03\x00\x01\xff", Malformed::NotUtf8),
        (b"\x30\x03\x00\x01\x00", Malformed::NullCharacter),
        (b"\x82\x02\x00\x01", Malformed::SubscribeWithoutFilter),
        (b"\x82\x06\x00\x01\x00\x01t\x03", Malformed::SubscribeOptions(3)),
        (b"\x82\x07\x00\x01\x00\x02t#\x00", Malformed::TopicFilter(TopicError::MultiLevelWildcard)),
        (b"\xa2\x02\x00\x01", Malformed::UnsubscribeWithoutFilter),
        (b"\xe0\x01\x00", Malformed::TrailingBytes),
        (b"\x40\x01\x00", Malformed::Truncated),
    ] {
        ends(bytes, CloseReason::Malformed(malformed), |closed| closed.malformed);
    }
}

#[test]
fn a_malformed_connect_is_closed_without_an_answer() {
    for (bytes, malformed) in [
        (&b"\x10\x0c\x00\x04mqtt\x04\x02\x00\x00\x00\x00"[..], Malformed::ProtocolName),
        (b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00", Malformed::ConnectReservedFlag),
        (b"\x11\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00", Malformed::FixedHeaderFlags(1)),
        (b"\x10\x0c\x00\x04MQTT\x04\x0a\x00\x00\x00\x00", Malformed::WillFlagsWithoutWill),
        (b"\x10\x11\x00\x04MQTT\x04\x1e\x00\x00\x00\x00\x00\x01w\x00\x00", Malformed::WillQos),
        (b"\x10\x0e\x00\x04MQTT\x04\x42\x00\x00\x00\x00\x00\x00", Malformed::PasswordWithoutUserName),
        (b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x00!", Malformed::TrailingBytes),
        (
            b"\x10\x11\x00\x04MQTT\x04\x06\x00\x00\x00\x00\x00\x01+\x00\x00",
            Malformed::WillTopic(TopicError::WildcardInName),
        ),
    ] {
        let mut script = Script::open();
        script.accept(1);
        script.bytes(1, bytes);
        script.expect(1, &[]);
        assert_eq!(script.end(1), Some(CloseReason::Malformed(malformed)));
    }
}

#[test]
fn the_first_packet_must_be_connect() {
    for packet in [publish("t", b""), Packet::Pingreq, Packet::Disconnect] {
        let mut script = Script::open();
        script.accept(1);
        script.send(1, packet);
        script.expect(1, &[]);
        assert_eq!(script.end(1), Some(CloseReason::ConnectExpected));
        assert_eq!(script.counters().closed.connect_expected, 1);
        assert_eq!(script.counters().messages_received, 0);
    }
}

#[test]
fn the_first_packet_is_refused_by_its_header_alone() {
    let mut script = Script::open();
    script.accept(1);
    script.bytes(1, b"\x30\x7f");
    assert_eq!(script.end(1), Some(CloseReason::ConnectExpected));
}

#[test]
fn connections_that_nobody_knows_are_ignored() {
    let mut script = Script::open();
    let before = script.broker.memory();
    script.send(1, Packet::Connect(plain("a")));
    script.sent(1, 10);
    script.drop_link(1);
    script.expect(1, &[]);
    assert_eq!(script.end(1), None);
    assert_eq!(script.broker.memory(), before);
}

#[test]
fn a_number_that_is_accepted_again_replaces_the_old_connection_with_its_will() {
    let mut script = Script::open();
    script.join(1, "watch");
    script.subscribe(1, &["#"]);
    script.connect(2, Connect { will: Some(will("w", b"gone")), ..plain("a") });
    script.join(2, "b");
    script.expect(1, &[publish("w", b"gone")]);
    assert_eq!(script.broker.clients(), 2);
    assert_eq!(script.counters().closed.network_closed, 1);
}
