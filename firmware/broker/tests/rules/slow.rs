//! Clients that read slowly or not at all.

use espbroker_broker::{CloseReason, Settings};
use espbroker_mqtt::{Connect, Packet};

use crate::script::{Script, encoded, narrow, open, plain, publish, will};

/// A subscriber to `t` on connection 1 that takes nothing more, with a will, watched by connection 2.
fn stuck(queue_bytes: u32) -> Script {
    let mut script = Script::new(narrow(queue_bytes));
    script.connect(1, Connect { will: Some(will("w", b"gone")), ..plain("slow") });
    script.subscribe(1, &["t"]);
    script.join(2, "quick");
    script.subscribe(2, &["w"]);
    script.stuck.push(1);
    script
}

#[test]
fn what_waits_for_one_client_is_bounded_and_the_rest_dropped_and_counted() {
    let mut script = stuck(256);
    let length = encoded(&[publish("t", &[0; 50])]).len();
    for _ in 0..20 {
        script.send(2, publish("t", &[0; 50]));
    }
    // One is with the network, the others wait.
    let fit = 1 + 256 / length;
    assert_eq!(script.take(1).len(), length);
    assert_eq!(script.counters().messages_dropped, 20 - fit as u64);
    assert_eq!(script.end(1), None);
    // Room for one more message is given back.
    script.sent(1, length);
    script.send(2, publish("t", &[1; 50]));
    script.send(2, publish("t", &[2; 50]));
    for _ in 1..fit {
        script.expect(1, &[publish("t", &[0; 50])]);
        script.sent(1, length);
    }
    script.expect(1, &[publish("t", &[1; 50])]);
    script.sent(1, length);
    script.expect(1, &[]);
}

#[test]
fn a_message_longer_than_the_queue_passes_when_nothing_waits() {
    let mut script = stuck(256);
    script.send(2, publish("t", &[0; 1200]));
    script.expect(1, &[publish("t", &[0; 1200])]);
    // It is with the network; another one may wait, and no third.
    script.send(2, publish("t", &[1; 1200]));
    script.send(2, publish("t", b"x"));
    script.expect(1, &[]);
    assert_eq!(script.counters().messages_dropped, 1);
    script.sent(1, usize::MAX);
    script.expect(1, &[publish("t", &[1; 1200])]);
}

#[test]
fn one_slow_subscriber_does_not_slow_the_others() {
    let mut script = stuck(256);
    script.join(3, "other");
    script.subscribe(3, &["t"]);
    let payload = [0; 200];
    for _ in 0..10 {
        script.send(2, publish("t", &payload));
    }
    script.expect(3, &[publish("t", &payload); 10]);
}

#[test]
fn a_subscriber_that_accepts_nothing_for_60_seconds_is_closed_with_its_will() {
    let mut script = stuck(4096);
    script.pass(100_000);
    script.send(2, publish("t", b"x"));
    script.pass(30_000);
    script.send(2, publish("t", b"y"));
    script.pass(29_999);
    assert_eq!(script.end(1), None);
    script.pass(1);
    assert_eq!(script.end(1), Some(CloseReason::Stalled));
    assert_eq!(script.counters().closed.stalled, 1);
    script.expect(2, &[publish("w", b"gone")]);
}

#[test]
fn a_subscriber_that_accepts_a_byte_a_minute_stays() {
    let mut script = stuck(4096);
    script.send(2, publish("t", &[0; 100]));
    for _ in 0..10 {
        script.pass(59_999);
        script.sent(1, 1);
    }
    assert_eq!(script.end(1), None);
    // A report of nothing is no progress.
    script.pass(59_999);
    script.sent(1, 0);
    script.pass(1);
    assert_eq!(script.end(1), Some(CloseReason::Stalled));
}

#[test]
fn a_client_that_took_everything_has_no_deadline() {
    let mut script = stuck(4096);
    script.send(2, publish("t", b"x"));
    let length = script.take(1).len();
    script.sent(1, length);
    script.pass(1_000_000);
    assert_eq!(script.end(1), None);
    assert_eq!(script.broker.poll_at(), None);
}

#[test]
fn keep_alive_does_not_save_a_client_that_stopped_reading() {
    let mut script = stuck(4096);
    script.send(2, publish("t", b"x"));
    for _ in 0..6 {
        script.send(1, Packet::Pingreq);
        script.pass(10_000);
    }
    assert_eq!(script.end(1), Some(CloseReason::Stalled));
}

#[test]
fn answers_to_a_client_that_does_not_read_them_are_bounded() {
    let mut script = stuck(8000);
    // The longest packet, and an answer to 2,048 bytes of requests.
    for _ in 0..(4096 + 2048) / 2 {
        script.send(1, Packet::Pingreq);
    }
    assert_eq!(script.end(1), None);
    script.send(1, Packet::Pingreq);
    assert_eq!(script.end(1), Some(CloseReason::AnswersUnread));
    assert_eq!(script.counters().closed.answers_unread, 1);
    script.expect(2, &[publish("w", b"gone")]);
}

#[test]
fn a_client_that_asks_while_a_message_longer_than_its_queue_is_on_its_way_stays() {
    let mut script = stuck(256);
    script.send(2, publish("t", &[0; 4000]));
    let on_its_way = script.take(1).len();
    script.send(1, Packet::Pingreq);
    assert_eq!(script.end(1), None);
    script.expect(1, &[Packet::Pingresp]);
    script.sent(1, on_its_way + 2);
    script.pass(1_000_000);
    assert_eq!(script.end(1), None);
}

#[test]
fn a_piece_of_2048_bytes_full_of_requests_is_answered_whole() {
    let mut script = Script::new(Settings { queue_bytes: 256, ..open() });
    script.join(1, "a");
    script.bytes(1, &encoded(&[Packet::Pingreq; 1024]));
    script.expect(1, &[Packet::Pingresp; 1024]);
}

#[test]
fn more_reported_as_sent_than_was_handed_out_does_no_harm() {
    let mut script = stuck(256);
    script.sent(1, usize::MAX);
    script.send(2, publish("t", b"x"));
    script.sent(1, usize::MAX);
    script.expect(1, &[publish("t", b"x")]);
}
