//! Retained messages (MQTT 3.1.1 §3.3.1.3, §3.8.4).

use espbroker_broker::Settings;
use espbroker_mqtt::{Delivery, Packet, Publish};

use crate::script::{Script, encoded, id, message, narrow, open, publish, retained};

fn two() -> Script {
    let mut script = Script::open();
    script.join(1, "subscriber");
    script.join(2, "publisher");
    script
}

#[test]
fn a_new_subscription_gets_the_last_message_with_retain_set() {
    let mut script = two();
    script.send(2, retained("t", b"old"));
    script.send(2, retained("t", b"new"));
    script.send(2, publish("t", b"not kept"));
    script.subscribe(1, &["t"]);
    script.expect(1, &[retained("t", b"new")]);
    assert_eq!(script.broker.retained_messages(), 1);
}

#[test]
fn an_existing_subscription_gets_it_with_retain_clear() {
    let mut script = two();
    script.subscribe(1, &["t"]);
    script.send(2, retained("t", b"x"));
    script.expect(1, &[publish("t", b"x")]);
}

#[test]
fn an_empty_payload_clears_and_is_delivered_as_a_normal_message() {
    let mut script = two();
    script.subscribe(1, &["t"]);
    script.send(2, retained("t", b"x"));
    script.send(2, retained("t", b""));
    script.expect(1, &[publish("t", b"x"), publish("t", b"")]);
    script.send(2, retained("never set", b""));
    assert_eq!(script.broker.retained_messages(), 0);
    script.subscribe(1, &["#"]);
    script.expect(1, &[]);
}

#[test]
fn every_filter_of_a_subscribe_gets_its_messages() {
    let mut script = two();
    for topic in ["a/1", "a/2", "b/1"] {
        script.send(2, retained(topic, b"x"));
    }
    // §3.8.4: as if each filter had come in a SUBSCRIBE of its own.
    script.subscribe(1, &["b/1", "a/+", "+/1"]);
    script.expect(
        1,
        &[
            retained("b/1", b"x"),
            retained("a/1", b"x"),
            retained("a/2", b"x"),
            retained("a/1", b"x"),
            retained("b/1", b"x"),
        ],
    );
}

#[test]
fn a_repeated_subscription_gets_them_again() {
    let mut script = two();
    script.send(2, retained("t", b"x"));
    for _ in 0..2 {
        script.subscribe(1, &["t"]);
        script.expect(1, &[retained("t", b"x")]);
    }
}

#[test]
fn messages_of_any_qos_are_kept() {
    let mut script = two();
    let at = |topic, delivery| Packet::Publish(Publish { retain: true, delivery, ..message(topic, b"x") });
    script.send(2, at("1", Delivery::AtLeastOnce { packet_id: id(1), duplicate: false }));
    script.send(2, at("2", Delivery::ExactlyOnce { packet_id: id(2), duplicate: false }));
    script.subscribe(1, &["+"]);
    script.expect(1, &[retained("1", b"x"), retained("2", b"x")]);
}

#[test]
fn they_outlive_their_publisher() {
    let mut script = two();
    script.send(2, retained("t", b"\0binary\xff"));
    script.drop_link(2);
    script.subscribe(1, &["t"]);
    script.expect(1, &[retained("t", b"\0binary\xff")]);
}

#[test]
fn one_too_many_is_delivered_but_not_kept_and_counted() {
    let mut script = Script::new(Settings { retained_messages: 2, ..open() });
    script.join(1, "subscriber");
    script.join(2, "publisher");
    script.subscribe(1, &["#"]);
    for topic in ["a", "b", "c"] {
        script.send(2, retained(topic, b"x"));
    }
    // Replacing and clearing need no room.
    script.send(2, retained("a", b"y"));
    script.expect(1, &[publish("a", b"x"), publish("b", b"x"), publish("c", b"x"), publish("a", b"y")]);
    assert_eq!(script.broker.retained_messages(), 2);
    assert_eq!(script.counters().retained_refused, 1);
    script.send(2, retained("b", b""));
    script.send(2, retained("c", b"x"));
    assert_eq!(script.counters().retained_refused, 1);
}

#[test]
fn their_bytes_are_bounded_and_an_outdated_value_is_not_kept_either() {
    let mut script = Script::new(Settings { retained_bytes: 10, ..open() });
    script.join(1, "subscriber");
    script.join(2, "publisher");
    script.send(2, retained("t", b"123456789"));
    assert_eq!((script.broker.retained_messages(), script.counters().retained_refused), (1, 0));
    script.send(2, retained("u", b"1"));
    assert_eq!((script.broker.retained_messages(), script.counters().retained_refused), (1, 1));
    script.send(2, retained("t", b"1234567890"));
    assert_eq!((script.broker.retained_messages(), script.counters().retained_refused), (0, 2));
    script.subscribe(1, &["#"]);
    script.expect(1, &[]);
}

#[test]
fn a_value_that_is_replaced_or_cleared_gives_its_room_back() {
    let mut script = Script::new(Settings { retained_bytes: 10, ..open() });
    script.join(1, "publisher");
    for _ in 0..10 {
        script.send(1, retained("t", b"123456789"));
        script.send(1, retained("t", b"987654321"));
        script.send(1, retained("t", b""));
    }
    assert_eq!(script.counters().retained_refused, 0);
}

#[test]
fn more_than_fits_the_queue_is_sent_in_the_pace_of_the_subscriber() {
    let mut script = Script::new(narrow(256));
    script.join(2, "publisher");
    let topics: Vec<String> = (0..40).map(|number| format!("topic/{number}")).collect();
    let payload = [7; 50];
    for topic in &topics {
        script.send(2, retained(topic, &payload));
    }
    script.join(1, "subscriber");
    script.stuck.push(1);
    script.subscribe(1, &["topic/+"]);
    script.sent(1, usize::MAX);
    let expected: Vec<_> = topics.iter().map(|topic| retained(topic, &payload)).collect();
    let mut received = script.take(1);
    assert_eq!(received.len(), encoded(&expected[..1]).len());
    while received.len() < encoded(&expected).len() {
        script.sent(1, 20);
        received.extend(script.take(1));
    }
    assert_eq!(received, encoded(&expected));
    assert_eq!(script.counters().messages_dropped, 0);
}

#[test]
fn a_slow_subscriber_is_never_sent_an_outdated_message() {
    let mut script = Script::new(narrow(256));
    script.join(2, "publisher");
    let payload = [7; 100];
    for topic in ["1", "2", "3", "4"] {
        script.send(2, retained(topic, &payload));
    }
    script.join(1, "subscriber");
    script.stuck.push(1);
    script.subscribe(1, &["#"]);
    script.sent(1, usize::MAX);
    script.expect(1, &[retained("1", &payload)]);
    script.send(2, retained("2", b"newer"));
    script.send(2, retained("3", b""));
    script.send(2, retained("5", b"later"));
    script.sent(1, 1000);
    script.expect(1, &[retained("4", &payload)]);
    for live in [publish("2", b"newer"), publish("3", b""), publish("5", b"later")] {
        script.sent(1, 1000);
        script.expect(1, &[live]);
    }
    script.sent(1, 1000);
    script.expect(1, &[]);
}

#[test]
fn unsubscribing_stops_what_was_still_to_be_sent() {
    let mut script = Script::new(narrow(256));
    script.join(2, "publisher");
    for topic in ["1", "2", "3"] {
        script.send(2, retained(topic, &[7; 200]));
    }
    script.join(1, "subscriber");
    script.stuck.push(1);
    script.subscribe(1, &["#"]);
    script.sent(1, usize::MAX);
    script.expect(1, &[retained("1", &[7; 200])]);
    script.unsubscribe(1, &["#"]);
    script.sent(1, 1000);
    script.expect(1, &[]);
}
