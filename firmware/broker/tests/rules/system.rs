//! `$SYS`: what the broker says of itself.

use std::collections::BTreeMap;

use espbroker_broker::{Anonymous, Rights, Settings};
use espbroker_mqtt::{Connect, Packet, QoS};

use crate::{
    script::{open, plain, publish, retained},
    steps::{as_user, at_least_once},
    world::{Accounts, World},
};

use QoS::AtMostOnce;
use Rights::{Deny, Read, ReadWrite};

fn settings() -> Settings {
    Settings { system_interval: 10, ..open() }
}

fn world() -> World {
    World::new(settings(), Accounts::default())
}

impl World {
    /// Topic, value and RETAIN of the messages that arrived.
    fn values(&mut self, connection: u16) -> BTreeMap<String, (String, bool)> {
        let packets = self.packets(connection);
        let values = packets.iter().map(|packet| match Packet::decode(packet) {
            Ok(Packet::Publish(publish)) => {
                assert_eq!(publish.delivery.qos(), AtMostOnce);
                let value = String::from_utf8(publish.payload.to_vec()).unwrap();
                (publish.topic.as_str().to_owned(), (value, publish.retain))
            }
            other => panic!("{other:?}"),
        });
        let count = packets.len();
        let values: BTreeMap<_, _> = values.collect();
        assert_eq!(values.len(), count, "a value came twice");
        values
    }
}

fn number(values: &BTreeMap<String, (String, bool)>, name: &str) -> u64 {
    values[&format!("$SYS/broker/{name}")].0.parse().unwrap()
}

#[test]
fn a_new_subscription_gets_every_value_as_retained_and_each_round_as_live() {
    let mut world = world();
    world.connect(1, plain("a"));
    world.subscribe(1, &["$SYS/#"], AtMostOnce, &[0]);
    let first = world.values(1);
    assert!(first.len() > 30 && first.values().all(|(_, retain)| *retain), "{first:?}");
    for round in 1..4 {
        world.pass(9_999);
        assert!(world.values(1).is_empty());
        world.pass(1);
        let values = world.values(1);
        assert!(values.keys().eq(first.keys()) && values.values().all(|(_, retain)| !retain));
        assert_eq!(number(&values, "uptime"), 10 * round);
    }
}

#[test]
fn only_the_new_subscription_is_told_at_once() {
    let mut world = world();
    world.connect(1, plain("a"));
    world.subscribe(1, &["$SYS/broker/uptime"], AtMostOnce, &[0]);
    assert_eq!(world.values(1).len(), 1);
    world.connect(2, plain("b"));
    world.subscribe(2, &["$SYS/broker/clients/+", "$SYS/broker/uptime"], AtMostOnce, &[0, 0]);
    assert_eq!(world.values(2).len(), 4);
    assert!(world.values(1).is_empty());
    // Once more for a repeated subscription, as of every retained message.
    world.subscribe(1, &["$SYS/broker/uptime"], AtMostOnce, &[0]);
    assert_eq!(world.values(1).len(), 1);
}

#[test]
fn wildcards_at_the_front_do_not_match_it() {
    let mut world = world();
    world.connect(1, plain("a"));
    world.subscribe(1, &["#", "+/broker/uptime", "+/#"], AtMostOnce, &[0, 0, 0]);
    world.pass(100_000);
    world.expect(1, &[]);
}

#[test]
fn the_values_are_those_of_the_broker() {
    let mut world = world();
    world.connect(1, plain("a"));
    world.connect(2, Connect { clean_session: false, ..plain("b") });
    world.subscribe(2, &["t", "u"], AtMostOnce, &[0, 0]);
    world.lose(2);
    world.connect(3, plain("c"));
    world.subscribe(3, &["t", "x/#", "$own"], AtMostOnce, &[0, 0, 0]);
    world.send(1, &[retained("t", b"12345"), publish("x/y", b"1"), publish("z", b"2")]);
    world.send(1, &[at_least_once("$SYS/x", b"", 1, false)]);
    world.bytes(1, b"\0");
    world.broker.set_heap(20_000, 15_000);
    world.expect(3, &[publish("t", b"12345"), publish("x/y", b"1")]);
    let counters = world.broker.counters().clone();
    world.subscribe(3, &["$SYS/#"], AtMostOnce, &[0]);
    let values = world.values(3);
    for (name, expected) in [
        ("clients/connected", 1),
        ("clients/disconnected", 1),
        ("clients/total", 2),
        ("connections/total", 3),
        ("messages/received", 4),
        ("messages/sent", 2),
        ("subscriptions/count", 4),
        ("retained messages/count", 1),
        ("retained messages/bytes", 6),
        ("publish/messages/dropped", 0),
        ("heap/free", 20_000),
        ("heap/lowest", 15_000),
        ("closed/malformed", 1),
        ("uptime", 0),
    ] {
        assert_eq!(number(&values, name), expected, "{name}");
    }
    let subscribe = 2 + 2 + 2 + 6 + 1;
    assert_eq!(number(&values, "bytes/received"), counters.bytes_received + subscribe);
    let suback = 2 + 2 + 1;
    assert_eq!(number(&values, "bytes/sent"), counters.bytes_sent + suback);
    let version = &values["$SYS/broker/version"].0;
    assert_eq!(*version, format!("espbroker version {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_value_that_nobody_knows_is_not_there() {
    let mut world = world();
    world.connect(1, plain("a"));
    world.subscribe(1, &["$SYS/broker/heap/#"], AtMostOnce, &[0]);
    assert!(world.values(1).is_empty());
    world.broker.set_heap(2, 1);
    world.pass(10_000);
    assert_eq!(world.values(1).len(), 2);
}

#[test]
fn every_limit_has_a_value() {
    let mut world = World::new(
        Settings { clients: 1, subscriptions_per_client: 1, retained_messages: 0, ..settings() },
        Accounts::default(),
    );
    world.connect(1, plain("a"));
    world.knock(2, plain("b"));
    world.subscribe(1, &["$SYS/broker/limits/#", "x", "y"], AtMostOnce, &[0, 0x80, 0x80]);
    world.send(1, &[retained("t", b"x"), publish("t", &[0; 5000])]);
    world.values(1);
    world.pass(10_000);
    let values = world.values(1);
    let found = ["clients", "subscriptions", "retained", "packet size", "memory", "sessions", "connections"]
        .map(|name| number(&values, &format!("limits/{name}")));
    assert_eq!(found, [1, 2, 1, 1, 0, 0, 0]);
}

#[test]
fn it_is_shown_only_to_who_may_read_it() {
    let accounts = Accounts::default()
        .user("ann", &[("#", ReadWrite)])
        .user("bob", &[("$SYS/#", Read), ("$SYS/broker/clients/#", Deny)]);
    let settings = Settings { anonymous: Anonymous::Refused, ..settings() };
    let mut world = World::new(settings, accounts);
    world.connect(1, as_user("ann", plain("a")));
    world.connect(2, as_user("bob", plain("b")));
    world.subscribe(1, &["$SYS/#"], AtMostOnce, &[0x80]);
    world.subscribe(2, &["$SYS/#"], AtMostOnce, &[0]);
    let first = world.values(2);
    world.subscribe(2, &["$SYS/broker/clients/total"], AtMostOnce, &[0x80]);
    world.pass(10_000);
    let round = world.values(2);
    assert!(first.len() > 30 && first.keys().eq(round.keys()));
    assert!(first.keys().all(|topic| !topic.contains("/clients/")));
    world.expect(1, &[]);
}

#[test]
fn with_an_interval_of_0_there_is_none() {
    let mut world = World::new(open(), Accounts::default());
    world.connect(1, plain("a"));
    world.subscribe(1, &["$SYS/#"], AtMostOnce, &[0]);
    world.pass(100_000);
    world.expect(1, &[]);
    assert_eq!(world.broker.poll_at(), None);
}

#[test]
fn without_clients_the_broker_does_not_wake_up() {
    let mut world = world();
    world.connect(1, plain("a"));
    world.subscribe(1, &["$SYS/broker/uptime"], AtMostOnce, &[0]);
    assert!(world.broker.poll_at().is_some());
    world.lose(1);
    world.pass(20_000);
    assert_eq!(world.broker.poll_at(), None);
    world.connect(1, plain("a"));
    world.subscribe(1, &["$SYS/broker/uptime"], AtMostOnce, &[0]);
    world.values(1);
    world.pass(10_000);
    assert_eq!(number(&world.values(1), "uptime"), 30);
}

#[test]
fn a_client_cannot_publish_there() {
    let mut world = world();
    world.connect(1, plain("a"));
    world.subscribe(1, &["$SYS/broker/uptime"], AtMostOnce, &[0]);
    world.values(1);
    world.connect(2, plain("b"));
    world.send(2, &[retained("$SYS/broker/uptime", b"fake"), publish("$SYS/broker/uptime", b"fake")]);
    world.expect(1, &[]);
    world.subscribe(2, &["$SYS/broker/uptime"], AtMostOnce, &[0]);
    assert_eq!(number(&world.values(2), "uptime"), 0);
    assert_eq!(world.broker.counters().reserved_topics, 2);
}
