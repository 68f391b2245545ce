//! The link of a bridge when the floor is near: what it says and brings takes no memory that is not there.

use espbroker_broker::{
    BridgeId, BridgeSettings, BridgeState, BridgeTopic, ConnectionId, Direction, Input, Settings, Transport,
};
use espbroker_mqtt::{Connect, Delivery, QoS};

use crate::{
    floods::{at_least_once, chip, fill, join, leave, name, plain, publish, settings},
    heap,
    world::{Said, World},
};

/// The bridge's connection.
const LINK: u16 = 3_000;

fn bridge(prefix: &str) -> BridgeSettings {
    let topic = BridgeTopic {
        pattern: "#".into(),
        direction: Direction::Both,
        qos: QoS::ExactlyOnce,
        local_prefix: prefix.into(),
        remote_prefix: "".into(),
    };
    BridgeSettings { topics: vec![topic], ..BridgeSettings::new("there", "there", "bridge") }
}

/// A chip whose bridge waits for the CONNACK.
fn asking(prefix: &str) -> (World, usize) {
    let mut world = chip(Settings { queue_bytes: 65_535, queue_messages: 1_000, ..settings() });
    let start = heap::held();
    let now = world.now;
    heap::count(&mut || world.broker.set_bridges(vec![bridge(prefix)], now));
    world.carry_out();
    world.link(LINK, Transport::Tcp);
    world.handle(Input::Opened { bridge: BridgeId(0), connection: ConnectionId(LINK) });
    (world, start)
}

fn end(mut world: World, start: usize) {
    let now = world.now;
    heap::count(&mut || world.broker.set_bridges(vec![], now));
    world.carry_out();
    leave(world, start);
}

#[test]
fn messages_that_come_over_a_bridge() {
    for prefix in ["", "a/long/prefix/of/this/side/"] {
        for length in [1, 20, 250, 500, 1_000, 2_000] {
            let (mut world, start) = asking(prefix);
            world.bytes(LINK, b"\x20\x02\0\0");
            fill(&mut world);
            let topic = "t".repeat(length);
            for number in 1..20 {
                let delivery = if number % 2 == 0 { Delivery::AtMostOnce } else { at_least_once(number) };
                if world.end(LINK).is_none() {
                    world.send(LINK, &[publish(&topic, b"", delivery)]);
                }
            }
            end(world, start);
        }
    }
}

#[test]
fn an_answer_for_which_there_is_no_memory_does_not_cost_the_bridge_bit() {
    let (mut world, start) = asking("");
    fill(&mut world);
    world.bytes(LINK, b"\x20\x02\0\0");
    assert!(world.end(LINK).is_some());
    assert_eq!(world.broker.counters().no_memory, 1);
    // Those that fill the memory go, and it is asked again, with the bit.
    (2_000..2_007).for_each(|connection| world.lose(connection));
    world.pass(60_000);
    assert!(world.said().contains(&Said::Open(BridgeId(0))));
    world.link(LINK + 1, Transport::Tcp);
    world.handle(Input::Opened { bridge: BridgeId(0), connection: ConnectionId(LINK + 1) });
    world.bytes(LINK + 1, b"\x20\x02\0\0");
    let up = Said::News(BridgeId(0), BridgeState::Connected { private: true });
    assert!(world.said().contains(&up));
    end(world, start);
}

#[test]
fn many_ends_at_once_and_the_word_of_a_bridge() {
    let (mut world, start) = asking("");
    for client in 0..20 {
        let name = name(client);
        assert!(join(&mut world, client, Transport::WebSocket, Connect { keep_alive: 10, ..plain(&name) }));
    }
    fill(&mut world);
    // All are silent, and so is the other broker.
    world.pass(60_000);
    assert!((0..20).all(|client| world.end(client).is_some()) && world.end(LINK).is_some());
    assert_eq!(world.broker.counters().closed.keep_alive_timeout, 20);
    end(world, start);
}
