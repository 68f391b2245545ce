//! Sessions: how long they last and what they hold (MQTT 3.1.1 §3.1.2.4, §4.1).

use espbroker_broker::Settings;
use espbroker_mqtt::{Connect, Packet, QoS};

use crate::{
    packets::{accepted, again, at_least_once, exactly_once, persistent},
    script::{Script, id, open, plain, publish},
};

// [MQTT-3.1.2-4], [MQTT-4.1.0-1]
#[test]
fn a_take_over_costs_no_other_client_its_session() {
    let mut script = Script::new(Settings { sessions: 1, ..open() });
    script.connect(1, persistent("away"));
    script.drop_link(1);
    script.connect(2, persistent("here"));
    script.come_back(3, "here", &[accepted(true)]);
    assert_eq!((script.broker.sessions_away(), script.counters().sessions_forgotten), (1, 0));
    script.come_back(4, "away", &[accepted(true)]);
}

// [MQTT-4.1.0-2]
#[test]
fn a_session_lasts_as_long_as_its_connection_also_where_none_is_kept() {
    let mut script = Script::new(Settings { sessions: 0, ..open() });
    script.connect(1, persistent("a"));
    script.subscribe(1, &["t"]);
    script.come_back(2, "a", &[accepted(true)]);
    script.drop_link(2);
    assert_eq!((script.broker.sessions_away(), script.counters().sessions_forgotten), (0, 1));
    script.come_back(3, "a", &[accepted(false)]);
}

// [MQTT-3.1.2-4], [MQTT-3.2.2-2], [MQTT-4.1.0-1]
#[test]
fn a_session_holds_subscriptions_messages_and_both_sides_of_qos_2() {
    let mut script = Script::open();
    script.connect(1, persistent("a"));
    script.subscribe_at(1, &["t"], QoS::ExactlyOnce);
    script.join(2, "other");
    // On its way to the client, at every stage, and on its way from it.
    for number in 1..=3 {
        script.send(2, Packet::Publish(exactly_once("t", number, b"x")));
    }
    script.send(1, Packet::Pubrec(id(1)));
    script.send(1, Packet::Pubrec(id(2)));
    script.send(1, Packet::Pubcomp(id(1)));
    script.send(1, Packet::Publish(exactly_once("from", 50, b"x")));
    script.take(1);
    script.take(2);
    for _ in 0..2 {
        script.drop_link(1);
        let third = Packet::Publish(again(exactly_once("t", 3, b"x")));
        script.come_back(1, "a", &[accepted(true), Packet::Pubrel(id(2)), third]);
    }
    script.subscribe(2, &["from"]);
    script.send(1, Packet::Publish(again(exactly_once("from", 50, b"x"))));
    script.send(2, publish("t", b"y"));
    script.expect(1, &[Packet::Pubrec(id(50)), publish("t", b"y")]);
    script.take(2);
    assert_eq!(script.counters().duplicates, 1);
}

// [MQTT-3.1.2-6], [MQTT-3.2.2-1], [MQTT-3.2.2-3]
#[test]
fn a_clean_session_knows_nothing_of_an_earlier_one_and_leaves_nothing_to_a_later_one() {
    let mut script = Script::open();
    script.join(2, "other");
    script.subscribe(2, &["from"]);
    for clean_session in [true, false] {
        script.connect(1, persistent("a"));
        script.subscribe_at(1, &["t"], QoS::ExactlyOnce);
        script.send(2, Packet::Publish(exactly_once("t", 1, b"x")));
        script.send(1, Packet::Publish(exactly_once("from", 50, b"x")));
        script.drop_link(1);
        script.join(1, "a");
        script.subscribe(1, &["clean"]);
        script.send(1, Packet::Publish(exactly_once("from", 50, b"y")));
        script.drop_link(1);
        script.accept(1);
        script.send(1, Packet::Connect(Connect { clean_session, ..persistent("a") }));
        script.gets(1, b"\x20\x02\x00\x00");
        script.send(2, publish("t", b"x"));
        script.send(2, publish("clean", b"x"));
        script.gets(1, b"");
        // The identifier that was in use means a new message.
        script.take(2);
        script.send(1, Packet::Publish(exactly_once("from", 50, b"z")));
        script.expect(2, &[publish("from", b"z")]);
        script.drop_link(1);
        script.join(1, "a");
        script.drop_link(1);
    }
}

// [MQTT-3.1.3-2]
#[test]
fn a_session_belongs_to_one_identifier_letter_by_letter() {
    let mut script = Script::open();
    script.connect(1, persistent("name"));
    script.drop_link(1);
    for other in ["Name", "name ", "nam", "names"] {
        script.accept(1);
        script.send(1, Packet::Connect(plain(other)));
        script.gets(1, b"\x20\x02\x00\x00");
    }
    script.come_back(1, "name", &[accepted(true)]);
}

// [MQTT-3.1.2-4] is kept for the user that the session belongs to: what waits in it was meant for nobody else.
#[test]
fn another_user_with_the_identifier_gets_a_new_session() {
    let mut script = Script::open();
    let ann = Connect { user_name: Some("ann"), password: Some(b"secret"), ..persistent("a") };
    for connect in [ann, persistent("a"), ann] {
        script.accept(1);
        script.send(1, Packet::Connect(connect));
        script.gets(1, b"\x20\x02\x00\x00");
        script.subscribe(1, &["t"]);
        script.drop_link(1);
    }
    assert_eq!(script.broker.sessions_away(), 1);
}

// [MQTT-3.1.2-5], [MQTT-4.5.0-1]
#[test]
fn a_message_is_for_every_session_that_subscribed_here_or_away() {
    let mut script = Script::open();
    let names = ["a", "b", "c"];
    for (connection, name) in (1..).zip(names) {
        script.connect(connection, persistent(name));
        script.subscribe_at(connection, &["t"], QoS::AtLeastOnce);
    }
    script.join(9, "publisher");
    // One goes without a word, one takes leave, one stays.
    script.drop_link(1);
    script.send(2, Packet::Disconnect);
    script.drop_link(2);
    script.send(9, Packet::Publish(exactly_once("t", 1, b"x")));
    let message = Packet::Publish(at_least_once("t", 1, b"x"));
    script.expect(3, &[message]);
    script.come_back(1, "a", &[accepted(true), message]);
    script.come_back(2, "b", &[accepted(true), message]);
}
