//! CONNECT and CONNACK (MQTT 3.1.1 §3.1, §3.2).

use espbroker_broker::{CloseReason, Settings};
use espbroker_mqtt::{Connect, ConnectReturnCode, Packet, QoS};

use crate::{
    packets::{accepted, again, at_least_once, field, persistent, raw},
    script::{Script, connack, encoded, id, plain, publish, will},
};

const WILL: u8 = 0x04;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// A CONNECT with these connect flags and fields in its payload.
fn connect(flags: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    raw(0x10, &[&field(b"MQTT"), &[4, flags, 0, 0], &fields.concat()])
}

/// The fields that these flags announce, in their order.
fn fields(flags: u8) -> Vec<Vec<u8>> {
    let mut fields = vec![field(b"c")];
    if flags & WILL != 0 {
        fields.extend([field(b"w"), field(b"gone")]);
    }
    if flags & USER_NAME != 0 {
        fields.push(field(b"u"));
    }
    if flags & PASSWORD != 0 {
        fields.push(field(b"p"));
    }
    fields
}

/// Do these flags say something that can be.
fn agree(flags: u8) -> bool {
    let (will_qos, will_retain) = (flags >> 3 & 3, flags & 0x20 != 0);
    let will = if flags & WILL == 0 { will_qos == 0 && !will_retain } else { will_qos < 3 };
    flags & 1 == 0 && will && (flags & PASSWORD == 0 || flags & USER_NAME != 0)
}

/// Sends a CONNECT on a new connection: is it let in. If not, it must be closed without an answer.
#[track_caller]
fn is_let_in(connect: &[u8]) -> bool {
    let mut script = Script::open();
    script.accept(1);
    script.bytes(1, connect);
    match script.end(1) {
        None => {
            script.gets(1, b"\x20\x02\x00\x00");
            true
        }
        Some(reason) => {
            assert!(matches!(reason, CloseReason::Malformed(_)), "{reason}");
            script.gets(1, b"");
            false
        }
    }
}

// [MQTT-3.1.2-3], [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT-3.1.2-14], [MQTT-3.1.2-15], [MQTT-3.1.2-22], [MQTT-3.1.4-1],
// [MQTT-3.1.4-4]
#[test]
fn connect_flags_that_contradict_each_other_close_without_an_answer_and_all_others_are_accepted() {
    // A session that is kept needs nothing else here: the client has an identifier.
    for flags in 0..=255 {
        assert_eq!(is_let_in(&connect(flags, &fields(flags))), agree(flags), "{flags:#010b}");
    }
}

// [MQTT-3.1.2-9], [MQTT-3.1.2-11], [MQTT-3.1.2-18], [MQTT-3.1.2-19], [MQTT-3.1.2-20], [MQTT-3.1.2-21], [MQTT-3.1.3-3],
// [MQTT-3.1.4-1]
#[test]
fn a_connect_has_exactly_the_fields_that_its_flags_announce() {
    for flags in (0..=255).filter(|flags| agree(*flags)) {
        let right = fields(flags);
        for missing in 0..right.len() {
            let mut fields = right.clone();
            fields.remove(missing);
            assert!(!is_let_in(&connect(flags, &fields)), "{flags:#010b} without {missing}");
        }
        let more = [&right[..], &[field(b"x")]].concat();
        assert!(!is_let_in(&connect(flags, &more)), "{flags:#010b}");
    }
}

// [MQTT-3.1.3-1]
#[test]
fn the_fields_of_a_connect_have_their_order() {
    let mut script = Script::new(Settings::default());
    let watch = Connect { user_name: Some("ann"), password: Some(b"secret"), ..plain("watch") };
    script.connect(1, watch);
    script.subscribe(1, &["#"]);
    script.accept(2);
    let fields = [&b"id"[..], b"topic", b"message", b"ann", b"secret"].map(field);
    script.bytes(2, &connect(0xc6, &fields));
    script.gets(2, b"\x20\x02\x00\x00");
    // The first was the identifier, as whoever takes it over shows; the will follows.
    script.connect(3, Connect { client_id: "id", ..watch });
    assert_eq!(script.end(2), Some(CloseReason::TakenOver));
    script.gets(1, b"\x30\x0e\x00\x05topicmessage");
}

// [MQTT-3.1.3-5]
#[test]
fn identifiers_of_1_to_23_letters_and_digits_are_allowed() {
    let letters = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for start in 0..letters.len() - 22 {
        for length in 1..=23 {
            let name = field(&letters[start..start + length]);
            assert!(is_let_in(&connect(0x02, std::slice::from_ref(&name))));
            assert!(is_let_in(&connect(0x00, &[name])));
        }
    }
}

// [MQTT-3.1.4-5]
#[test]
fn nothing_is_read_after_a_connect_that_was_refused() {
    let mut script = Script::new(Settings::default());
    let ann = Connect { user_name: Some("ann"), password: Some(b"secret"), ..plain("ann") };
    script.connect(1, ann);
    script.subscribe(1, &["#"]);
    script.accept(2);
    let refused = Connect { user_name: Some("ann"), password: Some(b"guess"), ..plain("b") };
    let right = Connect { client_id: "b", ..ann };
    script.bytes(
        2,
        &encoded(&[
            Packet::Connect(refused),
            publish("t", b"x"),
            Packet::Pingreq,
            Packet::Connect(right),
            publish("t", b"x"),
        ]),
    );
    script.gets(2, b"\x20\x02\x00\x04");
    script.send(2, publish("t", b"x"));
    script.gets(1, b"");
    assert_eq!(script.counters().messages_received, 0);
}

// [MQTT-3.2.2-4], [MQTT-3.2.2-5]
#[test]
fn a_refusal_closes_and_does_not_tell_of_the_session_that_is_there() {
    let mut script = Script::new(Settings::default());
    let ann = Connect { user_name: Some("ann"), password: Some(b"secret"), ..persistent("a") };
    script.connect(1, ann);
    script.drop_link(1);
    for (connect, code) in [
        (Connect { password: Some(b"guess"), ..ann }, ConnectReturnCode::BadUserNameOrPassword),
        (Connect { user_name: Some("bob"), ..ann }, ConnectReturnCode::NotAuthorized),
        (Connect { user_name: None, password: None, ..ann }, ConnectReturnCode::NotAuthorized),
    ] {
        script.accept(2);
        script.send(2, Packet::Connect(connect));
        script.gets(2, &[0x20, 2, 0, code.number()]);
        assert_eq!(script.end(2), Some(CloseReason::Refused(code)));
    }
    script.accept(2);
    script.send(2, Packet::Connect(ann));
    script.gets(2, b"\x20\x02\x01\x00");
}

// [MQTT-3.2.0-1]
#[test]
fn connack_goes_before_everything_that_waits() {
    let mut script = Script::open();
    script.connect(1, Connect { will: Some(will("w", b"gone")), ..persistent("a") });
    script.subscribe_at(1, &["#"], QoS::AtLeastOnce);
    let message = at_least_once("t", 1, b"x");
    script.send(1, Packet::Publish(message));
    script.expect(1, &[Packet::Puback(id(1)), Packet::Publish(message)]);
    script.accept(2);
    // Both in one piece: the will of the old connection, and a message to the client itself.
    script.bytes(2, &encoded(&[Packet::Connect(persistent("a")), publish("t", b"y")]));
    script.expect(2, &[accepted(true), Packet::Publish(again(message)), publish("t", b"y")]);
    script.accept(3);
    script.send(3, Packet::Connect(plain("a")));
    script.expect(3, &[connack(ConnectReturnCode::Accepted)]);
}
