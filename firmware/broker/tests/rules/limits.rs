//! Bounds on what clients may hold: each has a refusal and a counter.

use espbroker_broker::{CloseReason, Settings};
use espbroker_mqtt::{ConnectReturnCode, Delivery, Packet, Publish};

use crate::script::{Script, connack, encoded, id, message, open, plain, publish};

#[test]
fn one_client_too_many_is_told_after_its_connect() {
    let mut script = Script::new(Settings { clients: 2, ..open() });
    script.join(1, "a");
    script.join(2, "b");
    script.accept(3);
    script.send(3, Packet::Connect(plain("c")));
    script.expect(3, &[connack(ConnectReturnCode::ServerUnavailable)]);
    assert_eq!(script.end(3), Some(CloseReason::Refused(ConnectReturnCode::ServerUnavailable)));
    script.drop_link(1);
    script.join(3, "c");
}

#[test]
fn connections_beyond_a_small_reserve_are_refused_at_once() {
    let mut script = Script::new(Settings { clients: 2, ..open() });
    for connection in 0..6 {
        script.accept(connection);
        assert_eq!(script.end(connection), None);
    }
    script.accept(6);
    assert_eq!(script.end(6), Some(CloseReason::TooManyConnections));
    assert_eq!(script.counters().closed.too_many_connections, 1);
    // What it sends meanwhile is ignored.
    script.send(6, Packet::Connect(plain("a")));
    script.expect(6, &[]);
    // The silent ones make room when their time is over.
    script.pass(10_000);
    assert_eq!(script.counters().closed.connect_timeout, 6);
    script.join(7, "a");
}

#[test]
fn subscriptions_beyond_the_limit_get_0x80() {
    let mut script = Script::new(Settings { subscriptions_per_client: 2, ..open() });
    script.join(1, "a");
    script.ask(1, &["a", "b", "c"], &[0, 0, 0x80]);
    assert_eq!(script.counters().subscriptions_refused, 1);
    // One that is there already needs no room.
    script.ask(1, &["b", "d"], &[0, 0x80]);
    script.send(1, publish("c", b""));
    script.expect(1, &[]);
    script.unsubscribe(1, &["a"]);
    script.ask(1, &["c"], &[0]);
    script.send(1, publish("c", b""));
    script.expect(1, &[publish("c", b"")]);
}

#[test]
fn filters_of_one_client_may_take_64_bytes_a_subscription() {
    let mut script = Script::new(Settings { subscriptions_per_client: 2, ..open() });
    script.join(1, "a");
    let (long, rest) = ("x".repeat(120), "y".repeat(8));
    script.ask(1, &[&long, &"y".repeat(9), &rest], &[0, 0x80, 0]);
    assert_eq!(script.counters().subscriptions_refused, 1);
}

#[test]
fn a_packet_longer_than_the_limit_closes_as_soon_as_its_header_says_so() {
    let mut script = Script::new(Settings { packet_size: 128, ..open() });
    script.join(1, "a");
    let payload = [0; 123];
    assert_eq!(encoded(&[publish("t", &payload)]).len(), 128);
    script.send(1, publish("t", &payload));
    assert_eq!(script.end(1), None);
    script.bytes(1, b"\x32\x7f");
    assert_eq!(script.end(1), Some(CloseReason::PacketTooLong));
    assert_eq!(script.counters().closed.packet_too_long, 1);
    script.accept(2);
    script.bytes(2, b"\x10\xff\xff\xff\x7f");
    assert_eq!(script.end(2), Some(CloseReason::PacketTooLong));
}

#[test]
fn a_message_of_qos_0_that_is_too_long_is_read_over_and_counted() {
    let mut script = Script::new(Settings { packet_size: 128, ..open() });
    script.join(1, "a");
    script.subscribe(1, &["t"]);
    let long = encoded(&[publish("t", &[0; 100_000]), publish("t", b"x")]);
    for piece in long.chunks(1000) {
        script.bytes(1, piece);
    }
    script.expect(1, &[publish("t", b"x")]);
    assert_eq!(script.counters().messages_too_long, 1);
    assert_eq!(script.counters().bytes_received, 15 + 8 + u64::try_from(long.len()).unwrap());
}

#[test]
fn unreleased_qos_2_messages_are_bounded() {
    let mut script = Script::open();
    script.join(1, "a");
    let exactly_once = |packet_id| {
        let delivery = Delivery::ExactlyOnce { packet_id: id(packet_id), duplicate: false };
        Packet::Publish(Publish { delivery, ..message("t", b"") })
    };
    for packet_id in 1..=128 {
        script.send(1, exactly_once(packet_id));
    }
    assert_eq!(script.end(1), None);
    script.send(1, exactly_once(1));
    assert_eq!(script.end(1), None);
    script.send(1, exactly_once(129));
    assert_eq!(script.end(1), Some(CloseReason::TooManyUnreleased));
    assert_eq!(script.counters().closed.too_many_unreleased, 1);
}

#[test]
fn limits_of_0_refuse_everything_and_break_nothing() {
    let settings = Settings {
        clients: 0,
        subscriptions_per_client: 0,
        retained_messages: 0,
        retained_bytes: 0,
        packet_size: 0,
        queue_bytes: 0,
        ..open()
    };
    let mut script = Script::new(Settings { packet_size: 128, ..settings.clone() });
    script.accept(1);
    script.send(1, Packet::Connect(plain("a")));
    script.expect(1, &[connack(ConnectReturnCode::ServerUnavailable)]);
    let mut script = Script::new(Settings { clients: 1, packet_size: 128, ..settings.clone() });
    script.join(1, "a");
    script.ask(1, &["t"], &[0x80]);
    let mut script = Script::new(Settings { clients: 1, ..settings });
    script.accept(1);
    script.send(1, Packet::Connect(plain("a")));
    assert_eq!(script.end(1), Some(CloseReason::PacketTooLong));
}
