//! Messages on their way: QoS, wildcards, overlapping subscriptions, `$` topics (MQTT 3.1.1 §3.3, §4.3, §4.7).

use espbroker_mqtt::{Delivery, Packet, Publish};

use crate::script::{Script, id, message, publish};

fn at_least_once(topic: &str, packet_id: u16, duplicate: bool) -> Packet<'_> {
    let delivery = Delivery::AtLeastOnce { packet_id: id(packet_id), duplicate };
    Packet::Publish(Publish { delivery, ..message(topic, b"x") })
}

fn exactly_once(topic: &str, packet_id: u16, duplicate: bool) -> Packet<'_> {
    let delivery = Delivery::ExactlyOnce { packet_id: id(packet_id), duplicate };
    Packet::Publish(Publish { delivery, ..message(topic, b"x") })
}

fn two() -> Script {
    let mut script = Script::open();
    script.join(1, "subscriber");
    script.join(2, "publisher");
    script
}

#[test]
fn a_message_reaches_matching_subscribers_and_nobody_else() {
    let mut script = two();
    script.join(3, "other");
    script.subscribe(1, &["a/+"]);
    script.subscribe(3, &["b/#"]);
    script.send(2, publish("a/b", b"x"));
    script.expect(1, &[publish("a/b", b"x")]);
    script.expect(2, &[]);
    script.expect(3, &[]);
    assert_eq!(script.counters().messages_received, 1);
    assert_eq!(script.counters().messages_sent, 1);
}

#[test]
fn a_publisher_that_subscribed_gets_its_own_message() {
    let mut script = two();
    script.subscribe(2, &["t"]);
    script.send(2, publish("t", b"x"));
    script.expect(2, &[publish("t", b"x")]);
}

#[test]
fn every_payload_passes_unchanged() {
    let mut script = two();
    script.subscribe(1, &["t"]);
    let long: Vec<u8> = (0..=255).cycle().take(4000).collect();
    for payload in [&b""[..], b"\0", b"\xff\xfe\0\0", &long] {
        script.send(2, publish("t", payload));
        script.expect(1, &[publish("t", payload)]);
    }
}

#[test]
fn qos_1_is_acknowledged_each_time_and_delivered_at_qos_0() {
    let mut script = two();
    script.subscribe(1, &["t"]);
    script.send(2, at_least_once("t", 5, false));
    script.send(2, at_least_once("t", 5, true));
    script.expect(2, &[Packet::Puback(id(5)), Packet::Puback(id(5))]);
    script.expect(1, &[publish("t", b"x"), publish("t", b"x")]);
}

#[test]
fn qos_2_is_delivered_once_however_often_it_is_sent() {
    let mut script = two();
    script.subscribe(1, &["t"]);
    script.send(2, exactly_once("t", 5, false));
    script.send(2, exactly_once("t", 5, true));
    // §4.3.3: it is the same message also without DUP.
    script.send(2, exactly_once("t", 5, false));
    script.expect(2, &[Packet::Pubrec(id(5)), Packet::Pubrec(id(5)), Packet::Pubrec(id(5))]);
    script.send(2, Packet::Pubrel(id(5)));
    script.send(2, Packet::Pubrel(id(5)));
    script.expect(2, &[Packet::Pubcomp(id(5)), Packet::Pubcomp(id(5))]);
    script.expect(1, &[publish("t", b"x")]);
    assert_eq!(script.counters().duplicates, 2);
    assert_eq!(script.counters().messages_received, 1);
    // Released, the identifier is free for the next message.
    script.send(2, exactly_once("t", 5, false));
    script.expect(1, &[publish("t", b"x")]);
}

#[test]
fn identifiers_of_qos_2_belong_to_one_client() {
    let mut script = two();
    script.subscribe(1, &["t"]);
    script.send(2, exactly_once("t", 5, false));
    script.join(3, "another");
    script.send(3, exactly_once("t", 5, false));
    script.expect(1, &[publish("t", b"x"), publish("t", b"x")]);
}

#[test]
fn acknowledgements_nobody_waits_for_are_counted() {
    let mut script = two();
    for packet in [Packet::Puback(id(1)), Packet::Pubrec(id(2)), Packet::Pubcomp(id(3))] {
        script.send(2, packet);
    }
    // The client's side of an exchange that is forgotten here comes to an end.
    script.expect(2, &[Packet::Pubrel(id(2))]);
    assert_eq!(script.end(2), None);
    assert_eq!(script.counters().unexpected_acknowledgements, 3);
}

#[test]
fn overlapping_subscriptions_deliver_once() {
    let mut script = two();
    script.subscribe(1, &["a/b", "a/+", "#", "a/#"]);
    script.subscribe(1, &["a/b"]);
    script.send(2, publish("a/b", b"x"));
    script.expect(1, &[publish("a/b", b"x")]);
}

#[test]
fn unsubscribe_ends_exactly_the_filter_named() {
    let mut script = two();
    script.subscribe(1, &["a/b", "a/+"]);
    script.unsubscribe(1, &["a/#", "a/b", "never"]);
    script.send(2, publish("a/b", b"1"));
    script.expect(1, &[publish("a/b", b"1")]);
    script.unsubscribe(1, &["a/+"]);
    script.send(2, publish("a/b", b"2"));
    script.expect(1, &[]);
}

#[test]
fn clients_cannot_publish_to_reserved_topics() {
    let mut script = two();
    script.subscribe(1, &["#", "$SYS/#", "+/x"]);
    script.send(2, publish("$SYS/x", b"fake"));
    script.send(2, at_least_once("$aws/x", 6, false));
    script.send(2, exactly_once("$x", 7, false));
    script.expect(1, &[]);
    // The sender would repeat what is not acknowledged.
    script.expect(2, &[Packet::Puback(id(6)), Packet::Pubrec(id(7))]);
    assert_eq!(script.counters().reserved_topics, 3);
    assert_eq!(script.end(2), None);
}

#[test]
fn several_packets_in_one_piece_are_all_handled_in_order() {
    let mut script = two();
    script.subscribe(1, &["#"]);
    let packets = [publish("a", b"1"), Packet::Pingreq, publish("b", b"2"), at_least_once("c", 9, false)];
    script.bytes(2, &crate::script::encoded(&packets));
    script.expect(1, &[publish("a", b"1"), publish("b", b"2"), publish("c", b"x")]);
    script.expect(2, &[Packet::Pingresp, Packet::Puback(id(9))]);
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    let mut script = two();
    script.subscribe(1, &["t"]);
    let payloads: Vec<[u8; 1]> = (0..100).map(|number| [number]).collect();
    let packets: Vec<_> = payloads.iter().map(|payload| publish("t", payload)).collect();
    packets.iter().for_each(|packet| script.send(2, *packet));
    script.expect(1, &packets);
}
