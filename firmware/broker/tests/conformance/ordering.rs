//! The order of messages and of their acknowledgements (MQTT 3.1.1 §4.6).

use espbroker_mqtt::{Delivery, FixedHeader, Packet, QoS};

use crate::{
    packets::{accepted, again, at_least_once, exactly_once, kept, persistent},
    script::{Script, encoded, id, narrow, publish, retained},
};

/// A network that takes one packet at a time, a publisher on connection 2, and a persistent subscriber on
/// connection 1 that has not read its CONNACK.
fn slow() -> Script {
    let mut script = Script::new(narrow(4096));
    script.join(2, "publisher");
    script.stuck.push(1);
    script.connect(1, persistent("subscriber"));
    script
}

/// The network takes one packet after another from the broker's hands.
fn catch_up(script: &mut Script) {
    for _ in 0..20 {
        script.sent(1, 1000);
    }
}

// [MQTT-4.6.0-6]
#[test]
fn a_retained_message_goes_before_what_the_same_publisher_sent_later() {
    let mut script = slow();
    script.send(2, retained("a", b"1"));
    script.send(2, retained("b", b"1"));
    script.subscribe(1, &["#"]);
    script.send(2, publish("b", b"2"));
    catch_up(&mut script);
    script.expect(1, &[retained("a", b"1"), retained("b", b"1"), publish("b", b"2")]);
}

// [MQTT-4.6.0-6]
#[test]
fn a_retained_message_goes_behind_what_waited_before_the_subscription() {
    let mut script = slow();
    script.subscribe(1, &["b"]);
    script.send(2, publish("b", b"1"));
    script.send(2, publish("b", b"2"));
    script.send(2, retained("b", b"3"));
    script.send(2, retained("a", b"3"));
    script.subscribe(1, &["+"]);
    script.send(2, publish("b", b"4"));
    script.subscribe(1, &["b"]);
    script.send(2, publish("b", b"5"));
    catch_up(&mut script);
    script.expect(
        1,
        &[
            publish("b", b"1"),
            publish("b", b"2"),
            publish("b", b"3"),
            retained("b", b"3"),
            retained("a", b"3"),
            publish("b", b"4"),
            retained("b", b"3"),
            publish("b", b"5"),
        ],
    );
}

// [MQTT-3.3.1-6], [MQTT-4.1.0-1]
#[test]
fn retained_messages_that_a_subscription_is_owed_follow_over_the_next_connection() {
    let mut script = slow();
    let at = |topic, number| kept(at_least_once(topic, number, b"x"));
    for (topic, number) in [("a", 1), ("b", 2), ("c", 3)] {
        script.send(2, Packet::Publish(at(topic, number)));
    }
    script.subscribe(1, &["live"]);
    script.send(2, publish("live", b"0"));
    script.subscribe_at(1, &["live"], QoS::AtLeastOnce);
    script.send(2, publish("live", b"0"));
    script.send(2, Packet::Publish(at_least_once("live", 4, b"1")));
    script.subscribe_at(1, &["+"], QoS::AtLeastOnce);
    // Nobody relies on what comes at QoS 0: this one ends with the connection.
    script.subscribe(1, &["c"]);
    script.send(2, Packet::Publish(at_least_once("live", 5, b"2")));
    for _ in 0..4 {
        script.sent(1, 1000);
    }
    let first = Packet::Publish(at_least_once("live", 1, b"1"));
    script.expect(1, &[publish("live", b"0"), publish("live", b"0"), first, Packet::Publish(at("a", 2))]);
    script.drop_link(1);
    script.stuck.clear();
    script.come_back(
        1,
        "subscriber",
        &[
            accepted(true),
            Packet::Publish(again(at_least_once("live", 1, b"1"))),
            Packet::Publish(again(at("a", 2))),
            Packet::Publish(at("b", 3)),
            Packet::Publish(at("c", 4)),
            Packet::Publish(at_least_once("live", 5, b"2")),
        ],
    );
}

// [MQTT-4.4.0-1], [MQTT-4.6.0-1]
#[test]
fn what_was_not_acknowledged_comes_again_in_its_order_under_its_identifier() {
    let mut script = Script::open();
    script.connect(1, persistent("subscriber"));
    script.subscribe_at(1, &["t"], QoS::ExactlyOnce);
    script.join(2, "publisher");
    let messages = [
        at_least_once("t", 1, b"1"),
        exactly_once("t", 2, b"2"),
        exactly_once("t", 3, b"3"),
        at_least_once("t", 4, b"4"),
        exactly_once("t", 5, b"5"),
        at_least_once("t", 6, b"6"),
    ];
    let [one, _, three, _, five, six] = messages.map(|message| Packet::Publish(again(message)));
    messages.iter().for_each(|message| script.send(2, Packet::Publish(*message)));
    script.take(1);
    script.send(1, Packet::Puback(id(4)));
    script.send(1, Packet::Pubrec(id(2)));
    let rest = [accepted(true), one, Packet::Pubrel(id(2)), three, five, six];
    for _ in 0..2 {
        script.drop_link(1);
        script.come_back(1, "subscriber", &rest);
    }
    // A message that came meanwhile follows, with the next identifier.
    script.drop_link(1);
    script.send(2, Packet::Publish(at_least_once("t", 9, b"7")));
    let new = Packet::Publish(at_least_once("t", 7, b"7"));
    script.come_back(1, "subscriber", &[&rest[..], &[new]].concat());
}

// [MQTT-4.6.0-1]
#[test]
fn what_comes_again_goes_before_anything_new_also_to_a_slow_client() {
    let mut script = slow();
    script.subscribe_at(1, &["t"], QoS::AtLeastOnce);
    let send = |script: &mut Script, payload| {
        script.send(2, Packet::Publish(at_least_once("t", 9, payload)));
    };
    send(&mut script, b"1");
    send(&mut script, b"2");
    catch_up(&mut script);
    script.take(1);
    script.drop_link(1);
    script.come_back(1, "subscriber", &[accepted(true)]);
    send(&mut script, b"3");
    script.send(2, publish("t", b"4"));
    catch_up(&mut script);
    script.expect(
        1,
        &[
            Packet::Publish(again(at_least_once("t", 1, b"1"))),
            Packet::Publish(again(at_least_once("t", 2, b"2"))),
            Packet::Publish(at_least_once("t", 3, b"3")),
            publish("t", b"4"),
        ],
    );
}

// [MQTT-4.6.0-2], [MQTT-4.6.0-3], [MQTT-4.6.0-4], which bind clients, and the broker by [MQTT-4.6.0-6]
#[test]
fn acknowledgements_go_in_the_order_of_what_they_acknowledge() {
    let mut script = Script::open();
    script.join(1, "a");
    let messages = [
        Packet::Publish(exactly_once("t", 7, b"")),
        Packet::Publish(at_least_once("t", 3, b"")),
        Packet::Publish(exactly_once("t", 2, b"")),
        Packet::Publish(at_least_once("t", 9, b"")),
        Packet::Pubrec(id(8)),
        Packet::Pubrec(id(5)),
    ];
    script.bytes(1, &encoded(&messages));
    script.gets(
        1,
        b"\x50\x02\x00\x07\x40\x02\x00\x03\x50\x02\x00\x02\x40\x02\x00\x09\x62\x02\x00\x08\x62\x02\x00\x05",
    );
}

// [MQTT-4.6.0-5], [MQTT-4.6.0-6]
#[test]
fn every_subscriber_gets_every_topic_in_the_order_of_its_publisher() {
    let mut script = slow();
    script.connect(3, persistent("away"));
    script.subscribe_at(3, &["#"], QoS::ExactlyOnce);
    script.drop_link(3);
    script.join(4, "quick");
    script.subscribe(4, &["#"]);
    script.subscribe_at(1, &["a", "+/b"], QoS::ExactlyOnce);
    let payloads: Vec<[u8; 1]> = (0..30).map(|number| [number]).collect();
    let messages: Vec<Packet<'_>> = payloads
        .iter()
        .zip(["a", "a/b", "a"].iter().cycle())
        .zip((0..4).cycle())
        .map(|((payload, topic), kind)| match kind {
            0 => publish(topic, payload),
            1 => Packet::Publish(at_least_once(topic, 1, payload)),
            2 => Packet::Publish(exactly_once(topic, 1 + u16::from(payload[0]), payload)),
            _ => retained(topic, payload),
        })
        .collect();
    messages.iter().for_each(|message| script.send(2, *message));
    let all: Vec<u8> = (0..30).collect();
    assert_eq!(payloads_of(&mut script, 1), all);
    assert_eq!(payloads_of(&mut script, 4), all);
    // What came at QoS 0 is not for who is away.
    script.accept(3);
    script.send(3, Packet::Connect(persistent("away")));
    let kept: Vec<u8> = all.into_iter().filter(|number| matches!(number % 4, 1 | 2)).collect();
    assert_eq!(payloads_of(&mut script, 3), kept);
}

/// Takes and acknowledges one packet after the other until none comes any more: the payloads of the messages.
fn payloads_of(script: &mut Script, connection: u16) -> Vec<u8> {
    let mut payloads = Vec::new();
    loop {
        script.sent(connection, 1000);
        let stream = script.take(connection);
        if stream.is_empty() {
            return payloads;
        }
        let mut rest = &stream[..];
        while let Some(header) = FixedHeader::parse(rest).unwrap() {
            let (packet, behind) = rest.split_at(usize::try_from(header.packet_length()).unwrap());
            rest = behind;
            let answer = match Packet::decode(packet).unwrap() {
                Packet::Publish(publish) => {
                    payloads.push(publish.payload[0]);
                    match publish.delivery {
                        Delivery::AtMostOnce => None,
                        Delivery::AtLeastOnce { packet_id, .. } => Some(Packet::Puback(packet_id)),
                        Delivery::ExactlyOnce { packet_id, .. } => Some(Packet::Pubrec(packet_id)),
                    }
                }
                Packet::Pubrel(packet_id) => Some(Packet::Pubcomp(packet_id)),
                _ => None,
            };
            if let Some(answer) = answer {
                script.send(connection, answer);
            }
        }
    }
}
