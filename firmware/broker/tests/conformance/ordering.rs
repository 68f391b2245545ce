//! The order of messages and of their acknowledgements (MQTT 3.1.1 §4.6).

use espbroker_mqtt::{Packet, QoS};

use crate::{
    packets::{accepted, again, at_least_once, kept, persistent},
    script::{Script, narrow, publish, retained},
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
