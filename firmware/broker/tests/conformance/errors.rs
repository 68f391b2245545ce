//! What happens when the broker cannot do what it is asked (MQTT 3.1.1 §4.8).

use espbroker_broker::{CloseReason, Settings};
use espbroker_mqtt::{Connect, Packet, QoS};

use crate::{
    packets::{at_least_once, kept},
    script::{Script, encoded, open, plain, publish, retained, will},
};

/// A publisher with a will on connection 2 and a subscriber to everything on connection 1, with no memory left for a
/// message.
fn without_memory() -> Script {
    let mut script = Script::new(Settings { heap_floor: 10_000, ..open() });
    script.join(1, "subscriber");
    script.connect(2, Connect { will: Some(will("w", b"gone")), ..plain("publisher") });
    script.send(2, retained("t", b"1"));
    script.subscribe(1, &["+"]);
    script.expect(1, &[retained("t", b"1")]);
    script.broker.set_free(10_372);
    script
}

// [MQTT-4.8.0-2]
#[test]
fn a_message_that_finds_no_memory_is_not_acknowledged_and_closes_the_connection() {
    let mut script = without_memory();
    let message = Packet::Publish(kept(at_least_once("t", 7, b"22222222222222222222")));
    script.bytes(2, &encoded(&[message, Packet::Pingreq]));
    assert_eq!(script.end(2), Some(CloseReason::NoMemory));
    script.expect(2, &[]);
    script.expect(1, &[publish("w", b"gone")]);
    // The sender has it still, so that what is retained is not outdated for long.
    script.broker.set_free(100_000);
    script.subscribe(1, &["t"]);
    script.expect(1, &[retained("t", b"1")]);
}

// [MQTT-4.8.0-2] is not kept for QoS 0: it is lost, as any message of QoS 0 may be.
#[test]
fn a_message_of_qos_0_that_finds_no_memory_is_dropped_and_counted() {
    let mut script = without_memory();
    script.send(2, publish("t", b"22222222222222222222"));
    assert_eq!((script.end(2), script.counters().messages_dropped), (None, 1));
    script.broker.set_free(100_000);
    script.subscribe(1, &["t"]);
    script.expect(1, &[retained("t", b"1")]);
}

// [MQTT-3.3.1-7]
#[test]
fn a_retained_message_of_qos_0_that_finds_no_memory_takes_the_outdated_one_with_it() {
    let mut script = without_memory();
    script.send(2, retained("t", b"22222222222222222222"));
    assert_eq!(script.broker.retained_messages(), 0);
    script.broker.set_free(100_000);
    script.subscribe(1, &["t"]);
    script.expect(1, &[]);
}

// [MQTT-3.3.1-6], [MQTT-3.8.4-5]
#[test]
fn a_subscription_whose_retained_messages_find_no_memory_is_refused() {
    let mut script = without_memory();
    script.broker.set_free(12_600);
    script.ask(2, &["t", "other"], &[0x80, 0]);
    script.expect(2, &[]);
    assert_eq!(script.counters().subscriptions_refused, 1);
    // The old subscription stays as it was.
    script.broker.set_free(100_000);
    script.subscribe_at(2, &["t"], QoS::AtLeastOnce);
    script.expect(2, &[retained("t", b"1")]);
    script.broker.set_free(12_600);
    script.ask_at(2, &["t"], QoS::AtMostOnce, &[0x80]);
    script.broker.set_free(100_000);
    let message = at_least_once("t", 1, b"2");
    script.send(1, Packet::Publish(message));
    script.expect(2, &[Packet::Publish(message)]);
}
