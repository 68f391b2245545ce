//! Permissions: who may read and write which topics.

use espbroker_broker::{Anonymous, Network, Rights, Settings};
use espbroker_mqtt::{Connect, Packet, QoS, Will};

use crate::{
    script::{id, open, plain, publish, retained, will},
    steps::{accepted, as_user, at_least_once, exactly_once},
    world::{Accounts, World},
};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use Rights::{Deny, Read, ReadWrite, Write};

const FAILURE: u8 = 0x80;

/// `ann` on connection 1 may do what `lines` say, `root` on connection 2 everything and has subscribed to all.
fn with(lines: &[(&str, Rights)]) -> World {
    let accounts = Accounts::default().user("ann", lines).user("root", &[]);
    let network = Network { window: 1000, ..Network::default() };
    let mut world = World::new(Settings { anonymous: Anonymous::Refused, network, ..open() }, accounts);
    world.connect(1, as_user("ann", plain("lamp")));
    world.connect(2, as_user("root", plain("watch")));
    world.subscribe(2, &["#"], AtMostOnce, &[0]);
    world
}

#[test]
fn a_subscription_is_refused_where_nothing_may_be_read() {
    let mut world = with(&[("a/#", Read), ("b", Write), ("c", ReadWrite), ("a/x", Deny)]);
    let filters = ["a/b", "b", "c", "d", "a/x", "#"];
    world.subscribe(1, &filters, ExactlyOnce, &[2, FAILURE, 2, FAILURE, FAILURE, 2]);
    assert_eq!(world.broker.counters().subscriptions_denied, 3);
    assert_eq!(world.broker.counters().subscriptions_refused, 0);
}

#[test]
fn a_wider_subscription_gets_only_what_may_be_read() {
    let mut world = with(&[("a/#", Read), ("a/x", Deny), ("b", Write)]);
    world.subscribe(1, &["#"], AtMostOnce, &[0]);
    for topic in ["a/x", "a/y", "b", "c"] {
        world.send(2, &[publish(topic, b"1")]);
    }
    world.expect(1, &[publish("a/y", b"1")]);
}

#[test]
fn what_is_retained_and_may_not_be_read_is_not_shown() {
    let mut world = with(&[("secret/#", Deny), ("#", ReadWrite)]);
    for topic in ["open/1", "secret/1", "open/2", "secret"] {
        world.send(2, &[retained(topic, b"kept")]);
    }
    world.subscribe(1, &["#"], AtMostOnce, &[0]);
    world.expect(1, &[retained("open/1", b"kept"), retained("open/2", b"kept")]);
    world.subscribe(1, &["+/1"], AtMostOnce, &[0]);
    world.expect(1, &[retained("open/1", b"kept")]);
    assert_eq!(world.broker.counters().messages_sent, 4 + 3);
}

#[test]
fn what_is_retained_is_not_shown_to_a_slow_reader_either() {
    let mut world = with(&[("secret/#", Deny), ("#", ReadWrite)]);
    for index in 0..20 {
        let topic = format!("{}/{index}", if index % 2 == 0 { "open" } else { "secret" });
        world.send(2, &[retained(&topic, &[7; 300])]);
    }
    world.hold(1);
    world.subscribe_held(1, "#");
    let mut seen = 0;
    for _ in 0..200 {
        world.take(1, 100);
        for packet in world.packets(1) {
            if let Ok(Packet::Publish(publish)) = Packet::decode(&packet) {
                assert!(publish.topic.as_str().starts_with("open/"), "{}", publish.topic.as_str());
                seen += 1;
            }
        }
    }
    assert_eq!(seen, world.broker.retained_messages() / 2);
}

#[test]
fn a_message_that_may_not_be_written_is_acknowledged_and_goes_nowhere() {
    let mut world = with(&[("a", Write), ("b", Read), ("c/+", ReadWrite), ("c/x", Deny)]);
    world.send(1, &[publish("b", b"0"), at_least_once("d", b"1", 5, false)]);
    world.send(1, &[exactly_once("c/x", b"2", 6, false), Packet::Pubrel(id(6)), retained("b", b"3")]);
    world.expect(1, &[Packet::Puback(id(5)), Packet::Pubrec(id(6)), Packet::Pubcomp(id(6))]);
    world.expect(2, &[]);
    assert_eq!(world.broker.counters().publishes_denied, 4);
    assert_eq!(world.broker.retained_messages(), 0);
    world.send(1, &[publish("a", b"4"), publish("c/y", b"5")]);
    world.expect(2, &[publish("a", b"4"), publish("c/y", b"5")]);
}

#[test]
fn a_retained_message_cannot_be_cleared_by_who_may_not_write_it() {
    let mut world = with(&[("a", Read)]);
    world.send(2, &[retained("a", b"kept")]);
    world.send(1, &[retained("a", b"")]);
    assert_eq!(world.broker.retained_message("a"), Some((&b"kept"[..], AtMostOnce)));
}

#[test]
fn a_will_that_may_not_be_written_is_not_published() {
    for (topic, allowed) in [("a", true), ("b", false)] {
        let mut world = with(&[("a", ReadWrite)]);
        let will = Will { retain: true, qos: AtLeastOnce, ..will(topic, b"gone") };
        world.connect(3, as_user("ann", Connect { will: Some(will), ..plain("other") }));
        world.lose(3);
        if allowed {
            world.expect(2, &[publish("a", b"gone")]);
        } else {
            world.expect(2, &[]);
        }
        let counters = world.broker.counters();
        assert_eq!((counters.wills, counters.publishes_denied), if allowed { (1, 0) } else { (0, 1) });
        assert_eq!(world.broker.retained_messages(), usize::from(allowed));
    }
}

#[test]
fn the_user_s_and_the_client_s_name_stand_in_patterns() {
    let mut world = with(&[("home/%u/%c/#", ReadWrite), ("all/%c", Read)]);
    world.subscribe(1, &["home/ann/lamp/on"], AtMostOnce, &[0]);
    world.subscribe(1, &["home/root/lamp/on", "home/ann/other"], AtMostOnce, &[FAILURE, FAILURE]);
    world.subscribe(1, &["all/+"], AtMostOnce, &[0]);
    world.send(2, &[publish("all/lamp", b"1"), publish("all/other", b"2")]);
    world.expect(1, &[publish("all/lamp", b"1")]);
    world.expect(2, &[publish("all/lamp", b"1"), publish("all/other", b"2")]);
    world.send(1, &[publish("home/ann/lamp/on", b"3"), publish("home/ann/other/on", b"4")]);
    world.expect(2, &[publish("home/ann/lamp/on", b"3")]);
}

#[test]
fn a_client_identifier_with_wildcards_in_it_reaches_nothing() {
    for client_id in ["+", "#", "a/b"] {
        let mut world = with(&[("home/%c/#", ReadWrite), ("own", ReadWrite)]);
        world.connect(3, as_user("ann", plain(client_id)));
        world.subscribe(3, &["home/#", "own"], AtMostOnce, &[FAILURE, 0]);
        world.send(3, &[publish("home/lamp/on", b"1")]);
        world.expect(2, &[]);
    }
}

#[test]
fn clients_without_an_account_have_permissions_of_their_own() {
    let accounts =
        Accounts::default().user("ann", &[]).everybody(&[("open/#", ReadWrite), ("%u", ReadWrite)]);
    let mut world = World::new(open(), accounts);
    world.connect(1, plain("a"));
    // Nobody knows this name, so it stands for nobody.
    world.connect(2, Connect { user_name: Some("DVES_USER"), password: Some(b"x"), ..plain("b") });
    for connection in [1, 2] {
        let filters = ["open/1", "private", "DVES_USER", "#"];
        world.subscribe(connection, &filters, AtMostOnce, &[0, FAILURE, FAILURE, 0]);
    }
    world.connect(3, as_user("ann", plain("c")));
    world.send(3, &[publish("private", b"1"), publish("open/1", b"2")]);
    for connection in [1, 2] {
        world.expect(connection, &[publish("open/1", b"2")]);
        world.send(connection, &[publish("private", b"3")]);
    }
    assert_eq!(world.broker.counters().publishes_denied, 2);
}

#[test]
fn messages_that_may_not_be_read_do_not_wait_for_a_client_that_is_away() {
    let mut world = with(&[("a", Read)]);
    let kept = Connect { clean_session: false, ..plain("sensor") };
    world.connect(3, as_user("ann", kept));
    world.subscribe(3, &["#"], AtLeastOnce, &[1]);
    world.lose(3);
    world.send(2, &[at_least_once("b", b"1", 1, false), at_least_once("a", b"2", 2, false)]);
    world.knock(3, as_user("ann", kept));
    world.expect(3, &[accepted(true), at_least_once("a", b"2", 1, false)]);
}

#[test]
fn reserved_topics_are_ignored_whoever_writes_them() {
    let mut world = with(&[("#", ReadWrite), ("$SYS/#", ReadWrite), ("$own", ReadWrite)]);
    world.subscribe(1, &["$own"], AtMostOnce, &[0]);
    for connection in [1, 2] {
        world.send(connection, &[publish("$own", b"0"), retained("$SYS/x", b"1")]);
        world.send(connection, &[at_least_once("$own", b"2", 9, false)]);
        world.expect(connection, &[Packet::Puback(id(9))]);
    }
    assert_eq!(world.broker.counters().reserved_topics, 6);
    assert_eq!(world.broker.retained_messages(), 0);
}
