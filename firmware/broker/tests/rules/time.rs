//! Keep alive and time-outs, to the millisecond.

use espbroker_broker::{CloseReason, Input, Instant};
use espbroker_mqtt::{Connect, Packet};

use crate::script::{Script, encoded, plain, publish, will};

#[test]
fn silence_for_one_and_a_half_times_the_keep_alive_closes_with_the_will() {
    for keep_alive in [1_u16, 5, 60, 65_535] {
        let mut script = Script::open();
        script.join(1, "watch");
        script.subscribe(1, &["#"]);
        let connect = Connect { keep_alive, will: Some(will("w", b"gone")), ..plain("a") };
        script.connect(2, connect);
        script.pass(u64::from(keep_alive) * 1500 - 1);
        assert_eq!(script.end(2), None);
        script.pass(1);
        assert_eq!(script.end(2), Some(CloseReason::KeepAliveTimeout));
        assert_eq!(script.counters().closed.keep_alive_timeout, 1);
        script.expect(1, &[publish("w", b"gone")]);
    }
}

#[test]
fn every_packet_starts_the_keep_alive_again() {
    let mut script = Script::open();
    script.connect(1, Connect { keep_alive: 10, ..plain("a") });
    for packet in [Packet::Pingreq, publish("t", b"x"), Packet::Puback(crate::script::id(1))] {
        script.pass(14_999);
        script.send(1, packet);
        assert_eq!(script.end(1), None);
    }
    script.expect(1, &[Packet::Pingresp]);
    script.pass(15_000);
    assert_eq!(script.end(1), Some(CloseReason::KeepAliveTimeout));
}

#[test]
fn a_part_of_a_packet_does_not_start_the_keep_alive_again() {
    let mut script = Script::open();
    script.connect(1, Connect { keep_alive: 10, ..plain("a") });
    script.pass(14_000);
    script.bytes(1, b"\x30\x05\x00");
    script.pass(999);
    assert_eq!(script.end(1), None);
    script.pass(1);
    assert_eq!(script.end(1), Some(CloseReason::KeepAliveTimeout));
}

#[test]
fn what_the_broker_sends_does_not_start_the_keep_alive_again() {
    let mut script = Script::open();
    script.connect(1, Connect { keep_alive: 10, ..plain("a") });
    script.subscribe(1, &["t"]);
    script.join(2, "b");
    script.pass(14_999);
    script.send(2, publish("t", b"x"));
    script.pass(1);
    assert_eq!(script.end(1), Some(CloseReason::KeepAliveTimeout));
}

#[test]
fn keep_alive_0_never_times_out() {
    let mut script = Script::open();
    script.join(1, "a");
    script.pass(1_000 * 365 * 86_400_000);
    assert_eq!(script.end(1), None);
    assert_eq!(script.broker.poll_at(), None);
}

#[test]
fn a_connection_without_connect_is_closed_after_10_seconds() {
    let mut script = Script::open();
    script.accept(1);
    // An unfinished CONNECT gains no time.
    script.pass(9_000);
    script.bytes(1, b"\x10\x0c\x00\x04MQTT");
    script.pass(999);
    assert_eq!(script.end(1), None);
    script.pass(1);
    assert_eq!(script.end(1), Some(CloseReason::ConnectTimeout));
    assert_eq!(script.counters().closed.connect_timeout, 1);
    script.expect(1, &[]);
}

#[test]
fn a_connect_in_the_last_millisecond_is_in_time() {
    let mut script = Script::open();
    script.accept(1);
    script.pass(9_999);
    script.send(1, Packet::Connect(plain("a")));
    script.pass(60_000);
    assert_eq!(script.end(1), None);
}

#[test]
fn any_input_closes_what_is_overdue() {
    let mut script = Script::open();
    script.connect(1, Connect { keep_alive: 10, ..plain("a") });
    script.now = script.now.after(15_000);
    script.accept(2);
    assert_eq!(script.end(1), Some(CloseReason::KeepAliveTimeout));
}

#[test]
fn a_packet_that_is_handled_before_the_tick_still_counts() {
    let mut script = Script::open();
    script.connect(1, Connect { keep_alive: 10, ..plain("a") });
    script.now = script.now.after(15_000);
    script.send(1, Packet::Pingreq);
    assert_eq!(script.end(1), None);
    script.expect(1, &[Packet::Pingresp]);
}

#[test]
fn an_early_tick_does_nothing_and_the_deadline_only_moves_on() {
    let mut script = Script::open();
    script.connect(1, Connect { keep_alive: 10, ..plain("a") });
    let first = script.broker.poll_at().unwrap();
    script.handle(Input::Tick);
    assert_eq!(script.broker.poll_at(), Some(first));
    script.pass(5_000);
    script.send(1, Packet::Pingreq);
    // The CONNECT's time is over, so the broker looks again and finds the keep alive.
    script.pass(6_000);
    assert!(script.broker.poll_at().unwrap() > script.now);
    assert!(script.broker.poll_at().unwrap() <= script.now.after(14_000));
}

#[test]
fn the_end_of_the_clock_is_no_deadline_in_the_past() {
    let mut script = Script::open();
    script.now = Instant(u64::MAX - 1);
    script.accept(1);
    script.bytes(1, &encoded(&[Packet::Connect(Connect { keep_alive: 1, ..plain("a") })]));
    assert_eq!(script.end(1), None);
}
