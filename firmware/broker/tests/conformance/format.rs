//! How texts, flags and packet identifiers are written (MQTT 3.1.1 §1.5, §2).

use espbroker_broker::CloseReason;
use espbroker_mqtt::{Malformed, Packet, QoS};

use crate::{
    packets::{at_least_once, exactly_once, field, raw},
    script::{Script, id, publish},
};

/// Sends packets with this text in every place where a packet has one, and checks that each closes its connection.
#[track_caller]
fn refused_everywhere(text: &[u8], malformed: Malformed) {
    let text = &field(text)[..];
    let (name, none) = (&field(b"MQTT")[..], &field(b"")[..]);
    let connects = [
        raw(0x10, &[name, &[4, 0x02, 0, 0], text]),
        raw(0x10, &[name, &[4, 0x06, 0, 0], none, text, none]),
        raw(0x10, &[name, &[4, 0x82, 0, 0], none, text]),
    ];
    for bytes in connects {
        let mut script = Script::open();
        script.accept(1);
        script.bytes(1, &bytes);
        assert_eq!(script.end(1), Some(CloseReason::Malformed(malformed)), "{}", bytes.escape_ascii());
        script.gets(1, b"");
    }
    let good = &field(b"good")[..];
    for bytes in [
        raw(0x30, &[text, b"payload"]),
        raw(0x34, &[text, &[0, 9], b"payload"]),
        raw(0x82, &[&[0, 9], text, &[0]]),
        raw(0x82, &[&[0, 9], good, &[0], text, &[0]]),
        raw(0xa2, &[&[0, 9], text]),
        raw(0xa2, &[&[0, 9], good, text]),
    ] {
        let mut script = Script::open();
        script.join(1, "a");
        script.bytes(1, &bytes);
        assert_eq!(script.end(1), Some(CloseReason::Malformed(malformed)), "{}", bytes.escape_ascii());
        script.gets(1, b"");
    }
}

// [MQTT-1.5.3-1], [MQTT-3.1.3-4], [MQTT-3.1.3-10], [MQTT-3.1.3-11], [MQTT-3.3.2-1], [MQTT-3.8.3-1], [MQTT-3.10.3-1]
#[test]
fn a_text_that_is_not_utf_8_closes_the_connection() {
    // A lone byte, half a character, U+D800 and U+DFFF, U+0000 in two bytes, one above U+10FFFF.
    let texts: [&[u8]; 6] =
        [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xc0\x80", b"\xf4\x90\x80\x80"];
    for text in texts {
        refused_everywhere(text, Malformed::NotUtf8);
    }
}

// [MQTT-1.5.3-2], [MQTT-4.7.3-2]
#[test]
fn a_text_with_u_0000_closes_the_connection() {
    for text in [&b"\0"[..], b"a\0", b"\0a"] {
        refused_everywhere(text, Malformed::NullCharacter);
    }
}

// [MQTT-1.5.3-3]
#[test]
fn a_byte_order_mark_is_a_character_of_the_topic() {
    let mut script = Script::open();
    script.join(1, "a");
    script.subscribe(1, &["\u{feff}t"]);
    script.bytes(1, b"\x30\x07\x00\x04\xef\xbb\xbft1");
    script.bytes(1, b"\x30\x04\x00\x01t2");
    script.gets(1, b"\x30\x07\x00\x04\xef\xbb\xbft1");
}

// [MQTT-2.2.2-1], [MQTT-2.2.2-2], [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1], [MQTT-3.14.1-1]
#[test]
fn flags_other_than_those_of_the_packet_close_the_connection() {
    let connect = raw(0x10, &[&field(b"MQTT"), &[4, 2, 0, 0], &field(b"b")]);
    for (right, body) in [
        (0x10, &connect[2..]),
        (0x40, b"\x00\x01"),
        (0x50, b"\x00\x01"),
        (0x62, b"\x00\x01"),
        (0x70, b"\x00\x01"),
        (0x82, b"\x00\x01\x00\x01t\x00"),
        (0xa2, b"\x00\x01\x00\x01t"),
        (0xc0, b""),
        (0xe0, b""),
    ] {
        for flags in 0..=15 {
            let first = right & 0xf0 | flags;
            let mut script = Script::open();
            if right == 0x10 {
                script.accept(1);
            } else {
                script.join(1, "a");
            }
            script.bytes(1, &raw(first, &[body]));
            let malformed = CloseReason::Malformed(Malformed::FixedHeaderFlags(flags));
            let disconnected = (first == 0xe0).then_some(CloseReason::Disconnected);
            let expected = if first == right { disconnected } else { Some(malformed) };
            assert_eq!(script.end(1), expected, "{first:#x}");
        }
    }
}

// [MQTT-2.2.2-1], [MQTT-2.3.1-6], [MQTT-2.3.1-7], [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.10.4-4], [MQTT-3.12.4-1]
#[test]
fn every_answer_has_the_flags_of_its_type_and_names_the_packet_that_it_answers() {
    let mut script = Script::open();
    script.accept(1);
    let connect = raw(0x10, &[&field(b"MQTT"), &[4, 2, 0, 0], &field(b"a")]);
    for (sent, answer) in [
        (&connect[..], &b"\x20\x02\x00\x00"[..]),
        (b"\x32\x05\x00\x01t\x12\x34", b"\x40\x02\x12\x34"),
        (b"\x34\x05\x00\x01t\x00\x01", b"\x50\x02\x00\x01"),
        (b"\x62\x02\x00\x01", b"\x70\x02\x00\x01"),
        (b"\x50\x02\xab\xcd", b"\x62\x02\xab\xcd"),
        (b"\x82\x06\xff\xff\x00\x01f\x00", b"\x90\x03\xff\xff\x00"),
        (b"\xa2\x05\x01\x00\x00\x01f", b"\xb0\x02\x01\x00"),
        (b"\xc0\x00", b"\xd0\x00"),
    ] {
        script.bytes(1, sent);
        script.gets(1, answer);
    }
    assert_eq!(script.end(1), None);
}

// [MQTT-2.3.1-1]
#[test]
fn a_packet_identifier_of_0_closes_the_connection() {
    for bytes in [
        &b"\x32\x05\x00\x01t\x00\x00"[..],
        b"\x34\x05\x00\x01t\x00\x00",
        b"\x82\x06\x00\x00\x00\x01t\x00",
        b"\xa2\x05\x00\x00\x00\x01t",
        b"\x40\x02\x00\x00",
        b"\x50\x02\x00\x00",
        b"\x62\x02\x00\x00",
        b"\x70\x02\x00\x00",
    ] {
        let mut script = Script::open();
        script.join(1, "a");
        script.bytes(1, bytes);
        assert_eq!(script.end(1), Some(CloseReason::Malformed(Malformed::ZeroPacketId)));
        script.gets(1, b"");
    }
}

// [MQTT-2.3.1-4], [MQTT-4.3.2-1], [MQTT-4.3.3-1]
#[test]
fn a_packet_identifier_is_given_again_only_after_its_last_acknowledgement() {
    let mut script = Script::open();
    script.join(1, "subscriber");
    script.subscribe_at(1, &["t"], QoS::ExactlyOnce);
    script.join(2, "publisher");
    // Two messages stay in flight: one of QoS 1, and one of QoS 2 whose PUBREC has come.
    script.send(2, Packet::Publish(at_least_once("t", 1, b"")));
    script.send(2, Packet::Publish(exactly_once("t", 2, b"")));
    script.send(1, Packet::Pubrec(id(2)));
    let messages = [at_least_once("t", 1, b""), exactly_once("t", 2, b"")].map(Packet::Publish);
    script.expect(1, &[messages[0], messages[1], Packet::Pubrel(id(2))]);
    let next = |script: &mut Script, number: u16| {
        let [high, low] = number.to_be_bytes();
        script.bytes(2, b"\x32\x05\x00\x01t\x00\x09");
        assert_eq!(script.take(1), [0x32, 5, 0, 1, b't', high, low]);
        script.bytes(1, &[0x40, 2, high, low]);
    };
    (3..=65_535).for_each(|number| next(&mut script, number));
    script.send(1, Packet::Pubcomp(id(2)));
    // Not 0, which is none, and not 1, which is in use.
    (2..=5).for_each(|number| next(&mut script, number));
}

// [MQTT-2.3.1-5], [MQTT-4.3.1-1]
#[test]
fn a_message_of_qos_0_has_no_packet_identifier() {
    let mut script = Script::open();
    script.join(1, "a");
    script.subscribe_at(1, &["a/b"], QoS::ExactlyOnce);
    // What would be the identifier is payload.
    script.bytes(1, b"\x30\x07\x00\x03a/b\x00\x0a");
    script.gets(1, b"\x30\x07\x00\x03a/b\x00\x0a");
    script.send(1, publish("a/b", b""));
    script.gets(1, b"\x30\x05\x00\x03a/b");
}
