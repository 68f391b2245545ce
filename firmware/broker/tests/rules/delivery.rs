//! Messages of QoS 1 and 2 to subscribers, and sessions that outlive their connection (MQTT 3.1.1 §4.1, §4.3, §4.4).

use espbroker_broker::Settings;
use espbroker_mqtt::{Connack, Connect, ConnectReturnCode, Delivery, Packet, PacketId, Publish, QoS};

use crate::script::{Script, id, message, narrow, open, plain, publish};

fn at_least_once(packet_id: PacketId, duplicate: bool, payload: &[u8]) -> Packet<'_> {
    let delivery = Delivery::AtLeastOnce { packet_id, duplicate };
    Packet::Publish(Publish { delivery, ..message("t", payload) })
}

fn exactly_once(packet_id: PacketId, duplicate: bool, payload: &[u8]) -> Packet<'_> {
    let delivery = Delivery::ExactlyOnce { packet_id, duplicate };
    Packet::Publish(Publish { delivery, ..message("t", payload) })
}

fn resumed(session_present: bool) -> Packet<'static> {
    Packet::Connack(Connack { session_present, return_code: ConnectReturnCode::Accepted })
}

fn persistent(client_id: &str) -> Connect<'_> {
    Connect { clean_session: false, ..plain(client_id) }
}

/// A persistent subscriber to `t` at `qos` on connection 1, a publisher on connection 2.
fn pair(settings: Settings, qos: QoS) -> Script {
    let mut script = Script::new(settings);
    script.connect(1, persistent("subscriber"));
    script.subscribe_at(1, &["t"], qos);
    script.join(2, "publisher");
    script
}

/// The publisher sends at QoS 1 and gets its PUBACK.
fn send(script: &mut Script, payload: &[u8]) {
    script.send(2, at_least_once(id(900), false, payload));
    script.expect(2, &[Packet::Puback(id(900))]);
}

fn come_back(script: &mut Script, expected: &[Packet<'_>]) {
    script.accept(1);
    script.send(1, Packet::Connect(persistent("subscriber")));
    script.expect(1, expected);
}

#[test]
fn a_message_is_delivered_at_the_lower_qos_of_both_sides() {
    let mut script = pair(open(), QoS::AtLeastOnce);
    script.send(2, publish("t", b"0"));
    script.send(2, exactly_once(id(5), false, b"2"));
    script.expect(1, &[publish("t", b"0"), at_least_once(id(1), false, b"2")]);
    script.send(1, Packet::Puback(id(1)));
    script.expect(1, &[]);
    assert_eq!(script.counters().unexpected_acknowledgements, 0);
}

#[test]
fn overlapping_subscriptions_deliver_once_at_the_highest_qos() {
    let mut script = pair(open(), QoS::AtMostOnce);
    script.subscribe_at(1, &["#"], QoS::ExactlyOnce);
    script.subscribe_at(1, &["+"], QoS::AtLeastOnce);
    script.send(2, exactly_once(id(5), false, b"x"));
    script.expect(1, &[exactly_once(id(1), false, b"x")]);
}

#[test]
fn a_message_that_was_not_acknowledged_comes_again_with_dup_set() {
    let mut script = pair(open(), QoS::AtLeastOnce);
    send(&mut script, b"1");
    send(&mut script, b"2");
    script.expect(1, &[at_least_once(id(1), false, b"1"), at_least_once(id(2), false, b"2")]);
    script.send(1, Packet::Puback(id(1)));
    script.drop_link(1);
    come_back(&mut script, &[resumed(true), at_least_once(id(2), true, b"2")]);
    script.send(1, Packet::Puback(id(2)));
    script.drop_link(1);
    come_back(&mut script, &[resumed(true)]);
}

#[test]
fn a_message_of_qos_2_goes_through_its_four_packets_over_any_number_of_connections() {
    let mut script = pair(open(), QoS::ExactlyOnce);
    script.send(2, exactly_once(id(5), false, b"x"));
    script.expect(1, &[exactly_once(id(1), false, b"x")]);
    script.drop_link(1);
    come_back(&mut script, &[resumed(true), exactly_once(id(1), true, b"x")]);
    script.send(1, Packet::Pubrec(id(1)));
    script.expect(1, &[Packet::Pubrel(id(1))]);
    script.drop_link(1);
    come_back(&mut script, &[resumed(true), Packet::Pubrel(id(1))]);
    script.send(1, Packet::Pubcomp(id(1)));
    script.drop_link(1);
    come_back(&mut script, &[resumed(true)]);
}

#[test]
fn messages_of_qos_1_and_2_wait_for_a_client_that_is_away_and_those_of_qos_0_do_not() {
    let mut script = pair(open(), QoS::ExactlyOnce);
    script.drop_link(1);
    script.send(2, publish("t", b"0"));
    send(&mut script, b"1");
    script.send(2, exactly_once(id(5), false, b"2"));
    assert_eq!(script.broker.sessions_away(), 1);
    come_back(
        &mut script,
        &[resumed(true), at_least_once(id(1), false, b"1"), exactly_once(id(2), false, b"2")],
    );
    assert_eq!(script.broker.sessions_away(), 0);
}

#[test]
fn a_clean_session_begins_with_nothing_and_leaves_nothing() {
    let mut script = pair(open(), QoS::AtLeastOnce);
    script.drop_link(1);
    send(&mut script, b"1");
    script.accept(1);
    script.send(1, Packet::Connect(plain("subscriber")));
    script.expect(1, &[resumed(false)]);
    send(&mut script, b"2");
    script.expect(1, &[]);
    script.drop_link(1);
    assert_eq!(script.broker.sessions_away(), 0);
    come_back(&mut script, &[resumed(false)]);
}

#[test]
fn no_more_than_16_messages_are_in_flight_and_the_rest_follows_in_order() {
    let mut script = pair(open(), QoS::AtLeastOnce);
    let payloads: Vec<[u8; 1]> = (0..40).map(|number| [number]).collect();
    for payload in &payloads {
        send(&mut script, payload);
    }
    let sent = |range: core::ops::Range<u16>| -> Vec<Packet<'_>> {
        range.map(|index| at_least_once(id(index + 1), false, &payloads[usize::from(index)])).collect()
    };
    script.expect(1, &sent(0..16));
    for index in 0..24 {
        script.send(1, Packet::Puback(id(index + 1)));
        script.expect(1, &sent(index + 16..index + 17));
    }
    for index in 24..40 {
        script.send(1, Packet::Puback(id(index + 1)));
    }
    script.expect(1, &[]);
}

#[test]
fn what_waits_for_a_client_that_is_away_is_bounded_and_the_rest_is_counted() {
    let mut script = pair(Settings { queue_messages: 3, ..open() }, QoS::AtLeastOnce);
    script.drop_link(1);
    for payload in [b"1", b"2", b"3", b"4", b"5"] {
        send(&mut script, payload);
    }
    assert_eq!(script.counters().messages_dropped, 2);
    let kept = |index: u16, payload| at_least_once(id(index), false, payload);
    come_back(&mut script, &[resumed(true), kept(1, b"1"), kept(2, b"2"), kept(3, b"3")]);
}

#[test]
fn the_session_that_is_away_longest_makes_room_for_another() {
    let mut script = Script::new(Settings { sessions: 2, ..open() });
    for (connection, name) in [(1, "a"), (2, "b"), (3, "c")] {
        script.connect(connection, persistent(name));
        script.drop_link(connection);
    }
    assert_eq!((script.broker.sessions_away(), script.counters().sessions_forgotten), (2, 1));
    for (name, present) in [("b", true), ("c", true), ("a", false)] {
        script.accept(1);
        script.send(1, Packet::Connect(persistent(name)));
        script.expect(1, &[resumed(present)]);
    }
}

#[test]
fn a_take_over_goes_on_with_the_session_at_once() {
    let mut script = pair(open(), QoS::AtLeastOnce);
    send(&mut script, b"1");
    script.expect(1, &[at_least_once(id(1), false, b"1")]);
    script.accept(3);
    script.send(3, Packet::Connect(persistent("subscriber")));
    script.expect(3, &[resumed(true), at_least_once(id(1), true, b"1")]);
}

#[test]
fn a_message_of_qos_2_that_comes_again_after_a_lost_connection_is_not_published_twice() {
    let mut script = Script::open();
    script.join(1, "subscriber");
    script.subscribe(1, &["t"]);
    script.connect(2, persistent("publisher"));
    script.send(2, exactly_once(id(5), false, b"x"));
    script.expect(2, &[Packet::Pubrec(id(5))]);
    script.drop_link(2);
    script.accept(2);
    script.send(2, Packet::Connect(persistent("publisher")));
    script.expect(2, &[resumed(true)]);
    script.send(2, exactly_once(id(5), true, b"x"));
    script.send(2, Packet::Pubrel(id(5)));
    script.expect(2, &[Packet::Pubrec(id(5)), Packet::Pubcomp(id(5))]);
    script.expect(1, &[publish("t", b"x")]);
    assert_eq!(script.counters().duplicates, 1);
}

#[test]
fn a_slow_subscriber_gets_qos_1_in_its_own_pace() {
    let mut script = pair(narrow(4096), QoS::AtLeastOnce);
    script.stuck.push(1);
    for payload in [b"1", b"2", b"3"] {
        send(&mut script, payload);
    }
    for (index, payload) in [(1, b"1"), (2, b"2"), (3, b"3")] {
        script.expect(1, &[at_least_once(id(index), false, payload)]);
        script.sent(1, usize::MAX);
    }
}
