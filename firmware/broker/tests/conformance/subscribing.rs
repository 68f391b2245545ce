//! SUBSCRIBE, UNSUBSCRIBE and their answers (MQTT 3.1.1 §3.8 to §3.11).

use espbroker_broker::{CloseReason, Settings};
use espbroker_mqtt::{Malformed, Packet, Publish, QoS};

use crate::{
    packets::{accepted, again, at_least_once, exactly_once, field, kept, persistent, raw},
    script::{Script, id, message, narrow, open, publish},
};

const EVERY_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// A message of this QoS under this identifier, if it has one.
fn at(qos: QoS, number: u16) -> Publish<'static> {
    match qos {
        QoS::AtMostOnce => message("t", b"x"),
        QoS::AtLeastOnce => at_least_once("t", number, b"x"),
        QoS::ExactlyOnce => exactly_once("t", number, b"x"),
    }
}

// [MQTT-3.8.4-1], [MQTT-3.8.4-4], [MQTT-3.8.4-5], [MQTT-3.9.3-1], [MQTT-3.9.3-2]
#[test]
fn one_suback_has_a_code_for_every_filter_in_their_order() {
    let mut script = Script::new(Settings { subscriptions_per_client: 4, ..open() });
    script.join(1, "a");
    let filters: [(&[u8], u8); 6] = [(b"a", 2), (b"b", 0), (b"c", 1), (b"d/#", 1), (b"e", 2), (b"a", 1)];
    let entries: Vec<Vec<u8>> =
        filters.iter().map(|(filter, qos)| [&field(filter)[..], &[*qos]].concat()).collect();
    script.bytes(1, &raw(0x82, &[&[0x12, 0x34], &entries.concat()]));
    // The fifth is one too many, the sixth is there already.
    script.gets(1, b"\x90\x08\x12\x34\x02\x00\x01\x01\x80\x01");
}

// [MQTT-3.8.4-6], [MQTT-3.3.5-1]
#[test]
fn a_message_has_the_lower_qos_of_publisher_and_subscription() {
    for granted in EVERY_QOS {
        for published in EVERY_QOS {
            let mut script = Script::open();
            script.join(1, "subscriber");
            script.join(2, "publisher");
            script.subscribe_at(1, &["t"], granted);
            script.send(2, Packet::Publish(at(published, 9)));
            script.expect(1, &[Packet::Publish(at(granted.min(published), 1))]);
            // The same for one that is retained.
            script.send(2, Packet::Publish(kept(at(published, 10))));
            script.take(1);
            script.subscribe_at(1, &["+"], granted);
            script.expect(1, &[Packet::Publish(kept(at(granted.min(published), 3)))]);
        }
    }
}

// [MQTT-3.8.3-4]
#[test]
fn a_requested_qos_above_2_or_a_reserved_bit_closes_the_connection() {
    for options in 3..=255 {
        let mut script = Script::open();
        script.join(1, "a");
        script.bytes(1, &[0x82, 10, 0, 1, 0, 1, b't', 0, 0, 1, b'u', options]);
        assert_eq!(script.end(1), Some(CloseReason::Malformed(Malformed::SubscribeOptions(options))));
        script.gets(1, b"");
    }
}

// [MQTT-3.8.3-3], [MQTT-3.10.3-2]
#[test]
fn a_request_without_a_filter_closes_the_connection() {
    for (bytes, malformed) in [
        (b"\x82\x02\x00\x01", Malformed::SubscribeWithoutFilter),
        (b"\xa2\x02\x00\x01", Malformed::UnsubscribeWithoutFilter),
    ] {
        let mut script = Script::open();
        script.join(1, "a");
        script.bytes(1, bytes);
        assert_eq!(script.end(1), Some(CloseReason::Malformed(malformed)));
        script.gets(1, b"");
    }
}

// [MQTT-3.8.4-3]
#[test]
fn a_filter_that_is_there_gets_the_new_qos_and_its_retained_messages_again() {
    let mut script = Script::open();
    script.join(1, "subscriber");
    script.join(2, "publisher");
    script.send(2, Packet::Publish(kept(at(QoS::ExactlyOnce, 1))));
    for (number, qos) in (1..).zip([QoS::ExactlyOnce, QoS::AtLeastOnce]) {
        script.subscribe_at(1, &["t"], qos);
        script.expect(1, &[Packet::Publish(kept(at(qos, number * 2 - 1)))]);
        script.send(2, Packet::Publish(at(QoS::ExactlyOnce, number + 1)));
        script.expect(1, &[Packet::Publish(at(qos, number * 2))]);
    }
    // It is one subscription still.
    script.unsubscribe(1, &["t"]);
    script.send(2, publish("t", b"x"));
    script.gets(1, b"");
}

// [MQTT-3.8.4-3]
#[test]
fn subscribing_again_loses_nothing_that_waits() {
    let mut script = Script::new(narrow(4096));
    script.join(2, "publisher");
    script.stuck.push(1);
    script.join(1, "subscriber");
    script.subscribe_at(1, &["t"], QoS::AtLeastOnce);
    for payload in [b"1", b"2"] {
        script.send(2, Packet::Publish(at_least_once("t", 1, payload)));
    }
    script.subscribe(1, &["t"]);
    script.send(2, publish("t", b"3"));
    for _ in 0..5 {
        script.sent(1, 1000);
    }
    let [one, two] = [(1, b"1"), (2, b"2")].map(|(number, payload)| at_least_once("t", number, payload));
    script.expect(1, &[Packet::Publish(one), Packet::Publish(two), publish("t", b"3")]);
}

// [MQTT-3.8.4-4]
#[test]
fn several_filters_in_one_packet_are_as_good_as_one_packet_for_each() {
    let filters = ["r/1", "r/+", "live", "r/1"];
    let (mut together, mut apart) = (Script::open(), Script::open());
    for script in [&mut together, &mut apart] {
        script.join(1, "subscriber");
        script.join(2, "publisher");
        for (topic, number) in [("r/1", 1), ("r/2", 2)] {
            script.send(2, Packet::Publish(kept(at_least_once(topic, number, b"x"))));
        }
    }
    let mut got = Vec::new();
    for filter in filters {
        apart.subscribe(1, &[filter]);
        got.extend(apart.take(1));
    }
    let [one, two] = [b"\x31\x06\x00\x03r/1x", b"\x31\x06\x00\x03r/2x"];
    assert_eq!(got, [&one[..], one, two, one].concat());
    // Mentioned again before anything was sent, a filter begins anew: its messages come once less.
    together.subscribe(1, &filters);
    together.gets(1, &[&one[..], two, one].concat());
    for script in [&mut together, &mut apart] {
        for topic in ["r/1", "r/3", "live", "other"] {
            script.send(2, publish(topic, b""));
        }
        script.expect(1, &["r/1", "r/3", "live"].map(|topic| publish(topic, b"")));
    }
}

// [MQTT-3.10.4-1], [MQTT-3.10.4-2], [MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-3.10.4-6]
#[test]
fn unsubscribe_takes_away_what_is_spelled_the_same_and_nothing_else() {
    let mut script = Script::open();
    script.join(1, "a");
    script.subscribe(1, &["a/+", "a/b", "A/b", "#"]);
    // None of these is there, though each matches something.
    script.bytes(1, b"\xa2\x14\x00\x05\x00\x03a/c\x00\x03+/b\x00\x02a/\x00\x02/#");
    script.gets(1, b"\xb0\x02\x00\x05");
    script.bytes(1, b"\xa2\x0e\x00\x06\x00\x03a/+\x00\x01#\x00\x02+/");
    script.gets(1, b"\xb0\x02\x00\x06");
    script.send(1, publish("a/c", b"x"));
    script.send(1, publish("a/b", b"x"));
    script.send(1, publish("A/b", b"x"));
    script.expect(1, &[publish("a/b", b"x"), publish("A/b", b"x")]);
}

// [MQTT-3.10.4-3]
#[test]
fn what_has_begun_is_brought_to_its_end_after_unsubscribe() {
    let mut script = Script::open();
    script.connect(1, persistent("subscriber"));
    script.subscribe_at(1, &["t"], QoS::ExactlyOnce);
    script.join(2, "publisher");
    script.send(2, Packet::Publish(at(QoS::AtLeastOnce, 1)));
    script.send(2, Packet::Publish(at(QoS::ExactlyOnce, 2)));
    script.take(1);
    script.unsubscribe(1, &["t"]);
    script.send(2, Packet::Publish(at(QoS::AtLeastOnce, 3)));
    script.expect(1, &[]);
    script.drop_link(1);
    let [first, second] = [at(QoS::AtLeastOnce, 1), at(QoS::ExactlyOnce, 2)].map(again);
    script.come_back(1, "subscriber", &[accepted(true), Packet::Publish(first), Packet::Publish(second)]);
    script.send(1, Packet::Puback(id(1)));
    script.send(1, Packet::Pubrec(id(2)));
    script.expect(1, &[Packet::Pubrel(id(2))]);
    script.send(1, Packet::Pubcomp(id(2)));
    assert_eq!(script.counters().unexpected_acknowledgements, 0);
}
