//! PUBLISH: DUP, RETAIN, and the answer to each QoS (MQTT 3.1.1 §3.3).

use espbroker_broker::CloseReason;
use espbroker_mqtt::{Malformed, Packet, QoS};

use crate::{
    packets::{accepted, again, at_least_once, exactly_once, kept, persistent},
    script::{Script, id, message, publish, retained},
};

/// A subscriber to `t` at QoS 2 on connection 1, which is persistent, and a publisher on connection 2.
fn pair() -> Script {
    let mut script = Script::open();
    script.connect(1, persistent("subscriber"));
    script.subscribe_at(1, &["t"], QoS::ExactlyOnce);
    script.join(2, "publisher");
    script
}

// [MQTT-3.3.1-3]
#[test]
fn dup_of_the_publisher_is_not_passed_on() {
    let mut script = pair();
    for (number, message) in [at_least_once("t", 1, b"x"), exactly_once("t", 2, b"x")].into_iter().enumerate()
    {
        script.send(2, Packet::Publish(again(message)));
        script.expect(1, &[Packet::Publish(message)]);
        assert_eq!(script.counters().messages_received, number as u64 + 1);
    }
}

// [MQTT-3.3.1-1], [MQTT-3.3.1-2]
#[test]
fn dup_is_set_when_a_message_is_sent_again_and_never_at_qos_0() {
    let mut script = pair();
    script.bytes(2, b"\x32\x06\x00\x01t\x00\x01x\x34\x06\x00\x01t\x00\x02y\x30\x04\x00\x01tz");
    script.gets(1, b"\x32\x06\x00\x01t\x00\x01x\x34\x06\x00\x01t\x00\x02y\x30\x04\x00\x01tz");
    script.drop_link(1);
    script.come_back(
        1,
        "subscriber",
        &[
            accepted(true),
            Packet::Publish(again(at_least_once("t", 1, b"x"))),
            Packet::Publish(again(exactly_once("t", 2, b"y"))),
        ],
    );
    script.bytes(2, b"\x30\x04\x00\x01tz");
    script.gets(1, b"\x30\x04\x00\x01tz");
    script.bytes(2, b"\x38\x04\x00\x01tz");
    assert_eq!(script.end(2), Some(CloseReason::Malformed(Malformed::DuplicateAtQos0)));
}

// [MQTT-3.3.1-4]
#[test]
fn qos_3_closes_the_connection_whatever_the_other_flags() {
    for first in [0x36, 0x37, 0x3e, 0x3f] {
        let mut script = pair();
        script.bytes(2, &[first, 6, 0, 1, b't', 0, 1, b'x']);
        assert_eq!(script.end(2), Some(CloseReason::Malformed(Malformed::PublishQos)));
        script.gets(1, b"");
    }
}

// [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-8]
#[test]
fn a_retained_message_is_kept_with_its_qos() {
    let mut script = pair();
    let messages =
        [kept(message("r/0", b"x")), kept(at_least_once("r/1", 1, b"x")), kept(exactly_once("r/2", 2, b"x"))];
    messages.iter().for_each(|message| script.send(2, Packet::Publish(*message)));
    script.subscribe_at(1, &["r/+"], QoS::ExactlyOnce);
    script.expect(1, &messages.map(Packet::Publish));
    script.join(3, "another");
    script.subscribe_at(3, &["r/#"], QoS::AtLeastOnce);
    let lower = [messages[0], messages[1], kept(at_least_once("r/2", 2, b"x"))];
    script.expect(3, &lower.map(Packet::Publish));
}

// [MQTT-3.3.1-7], [MQTT-3.3.1-12]
#[test]
fn only_a_message_with_retain_replaces_or_removes_what_is_kept() {
    let mut script = pair();
    script.send(2, Packet::Publish(kept(exactly_once("r", 1, b"first"))));
    for live in [publish("r", b"live"), publish("r", b""), Packet::Publish(at_least_once("r", 2, b""))] {
        script.send(2, live);
    }
    script.join(3, "later");
    script.subscribe(3, &["r"]);
    script.expect(3, &[retained("r", b"first")]);
    script.send(2, retained("r", b"second"));
    script.take(3);
    script.subscribe_at(3, &["r"], QoS::ExactlyOnce);
    script.expect(3, &[retained("r", b"second")]);
}

// [MQTT-3.3.1-9]
#[test]
fn retain_is_clear_for_every_subscription_that_was_there() {
    let mut script = pair();
    for message in [at_least_once("t", 1, b"x"), exactly_once("t", 2, b"x")] {
        script.send(2, Packet::Publish(kept(message)));
        script.expect(1, &[Packet::Publish(message)]);
    }
    // It stays clear while the message waits for a client that is away.
    script.drop_link(1);
    script.send(2, Packet::Publish(kept(at_least_once("t", 3, b"y"))));
    let in_flight = [again(at_least_once("t", 1, b"x")), again(exactly_once("t", 2, b"x"))];
    let waiting = at_least_once("t", 3, b"y");
    let [first, second] = in_flight.map(Packet::Publish);
    script.come_back(1, "subscriber", &[accepted(true), first, second, Packet::Publish(waiting)]);
}

// [MQTT-3.3.4-1], [MQTT-4.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.3-2]
#[test]
fn each_qos_has_its_answer() {
    let mut script = pair();
    script.bytes(2, b"\x30\x03\x00\x01t");
    script.gets(2, b"");
    script.bytes(2, b"\x32\x05\x00\x01t\x00\x0a");
    script.gets(2, b"\x40\x02\x00\x0a");
    script.bytes(2, b"\x34\x05\x00\x01t\x00\x0b");
    script.gets(2, b"\x50\x02\x00\x0b");
    script.bytes(2, b"\x62\x02\x00\x0b");
    script.gets(2, b"\x70\x02\x00\x0b");
}

// [MQTT-3.3.4-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1]
#[test]
fn the_broker_goes_through_the_steps_of_each_qos_as_sender() {
    let mut script = pair();
    script.bytes(2, b"\x30\x03\x00\x01t\x32\x05\x00\x01t\x00\x0a\x34\x05\x00\x01t\x00\x0b");
    script.gets(1, b"\x30\x03\x00\x01t\x32\x05\x00\x01t\x00\x01\x34\x05\x00\x01t\x00\x02");
    script.send(1, Packet::Puback(id(1)));
    script.gets(1, b"");
    script.send(1, Packet::Pubrec(id(2)));
    script.gets(1, b"\x62\x02\x00\x02");
    script.send(1, Packet::Pubcomp(id(2)));
    script.gets(1, b"");
    assert_eq!(script.counters().unexpected_acknowledgements, 0);
    script.drop_link(1);
    script.come_back(1, "subscriber", &[accepted(true)]);
}

// [MQTT-4.4.0-1]
#[test]
fn nothing_is_sent_again_while_the_connection_lasts() {
    let mut script = pair();
    script.bytes(2, b"\x32\x05\x00\x01t\x00\x0a\x34\x05\x00\x01t\x00\x0b\x34\x05\x00\x01t\x00\x0c");
    script.send(1, Packet::Pubrec(id(3)));
    script.take(1);
    script.pass(86_400_000);
    script.gets(1, b"");
    assert_eq!(script.end(1), None);
}
