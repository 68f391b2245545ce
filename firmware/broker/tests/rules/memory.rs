//! What the broker holds for clients is given back when they leave.

use espbroker_broker::Settings;
use espbroker_mqtt::{Connect, Delivery, Packet, Publish, Will};

use crate::script::{Script, id, message, narrow, open, plain, publish, retained, will};

#[test]
fn memory_returns_to_its_start_after_all_clients_left() {
    let mut script = Script::new(Settings { queue_bytes: 256, ..open() });
    let start = script.broker.memory();
    for round in 0..20 {
        for connection in 0..36 {
            let name = format!("client {connection}");
            let will = Will { retain: true, ..will("w", b"") };
            script.accept(connection);
            script.send(
                connection,
                Packet::Connect(Connect { keep_alive: 10, will: Some(will), ..plain(&name) }),
            );
            let _ = script.take(connection);
            if script.end(connection).is_some() {
                continue;
            }
            if connection % 3 == 0 {
                script.stuck.push(connection);
            }
            script.send(connection, retained(&format!("topic/{connection}"), &[7; 90]));
            script.subscribe(connection, &["topic/+", "a/b", "c/#"]);
            let delivery = Delivery::ExactlyOnce { packet_id: id(3), duplicate: false };
            script.send(connection, Packet::Publish(Publish { delivery, ..message("a/b", b"x") }));
            script.bytes(connection, b"\x30\xf0\x01\x00\x10an unfinished packet");
        }
        assert!(script.broker.memory() > start + 32 * 100);
        for connection in 0..36 {
            match (connection + round) % 3 {
                0 => script.drop_link(connection),
                1 => script.bytes(connection, b"\xff\xff\xff\xff"),
                _ => script.pass(700),
            }
            let _ = script.take(connection);
        }
        script.pass(120_000);
        assert_eq!(script.broker.clients(), 0);
        script.join(99, "cleaner");
        for connection in 0..36 {
            script.send(99, retained(&format!("topic/{connection}"), b""));
        }
        script.send(99, Packet::Disconnect);
        script.stuck.clear();
        assert_eq!(script.broker.memory(), start);
        script.pass(60_000);
        assert_eq!(script.broker.poll_at(), None);
    }
}

#[test]
fn an_idle_client_keeps_no_buffers() {
    let mut script = Script::open();
    script.join(1, "a");
    let idle = script.broker.memory();
    let long = [0; 3000];
    let whole = crate::script::encoded(&[publish("t", &long)]);
    let (begin, end) = whole.split_at(1500);
    script.bytes(1, begin);
    let collecting = script.broker.memory();
    assert!(collecting > idle && collecting <= idle + 2 * begin.len());
    script.bytes(1, end);
    assert_eq!(script.broker.memory(), idle);
}

#[test]
fn a_finished_exchange_leaves_nothing_behind() {
    let mut script = Script::new(narrow(4096));
    script.join(1, "a");
    script.send(1, retained("t", b"x"));
    script.subscribe(1, &["t"]);
    script.expect(1, &[retained("t", b"x")]);
    let without = script.broker.memory();
    // Once more, with a replay that has to wait.
    script.stuck.push(1);
    script.send(1, publish("t", &[0; 3000]));
    let _ = script.take(1);
    script.subscribe(1, &["t"]);
    assert!(script.broker.memory() > without);
    script.stuck.clear();
    script.sent(1, usize::MAX);
    script.sent(1, usize::MAX);
    assert_eq!(script.broker.memory(), without);
    let delivery = Delivery::ExactlyOnce { packet_id: id(3), duplicate: false };
    script.send(1, Packet::Publish(Publish { delivery, ..message("t", b"x") }));
    assert!(script.broker.memory() > without);
    script.send(1, Packet::Pubrel(id(3)));
    assert_eq!(script.broker.memory(), without);
}

#[test]
fn five_subscriptions_of_20_bytes_cost_a_client_little() {
    let mut script = Script::open();
    let start = script.broker.memory();
    script.join(1, "client-0001");
    for index in 0..5 {
        script.subscribe(1, &[&format!("house/kitchen/lamp/{index}")]);
    }
    let cost = script.broker.memory() - start;
    // 11 bytes of identifier and 125 of filters; the rest is less on a chip with 32-bit pointers.
    assert!(cost <= 300, "{cost}");
}
