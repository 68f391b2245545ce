//! Accounts and permissions that change while clients are connected, and how often a password may be wrong.

use espbroker_broker::{Anonymous, CloseReason, Rights, Settings};
use espbroker_mqtt::{Connect, ConnectReturnCode, Packet, QoS};

use crate::{
    script::{connack, id, open, plain, publish, retained, will},
    steps::{accepted, as_user, at_least_once},
    world::{Accounts, World},
};

use QoS::{AtLeastOnce, AtMostOnce};
use Rights::{Deny, Read, ReadWrite};

fn refused() -> Settings {
    Settings { anonymous: Anonymous::Refused, ..open() }
}

fn persistent(client_id: &str) -> Connect<'_> {
    Connect { clean_session: false, ..plain(client_id) }
}

impl World {
    fn change(&mut self, accounts: Accounts, anonymous: Anonymous) {
        self.broker.set_access(accounts, anonymous, self.now);
        self.carry_out();
    }
}

#[test]
fn clients_stay_as_the_users_of_the_same_names() {
    let accounts = Accounts::default().user("ann", &[]).user("bob", &[]);
    let mut world = World::new(refused(), accounts);
    world.connect(1, as_user("ann", plain("a")));
    world.connect(2, as_user("bob", plain("b")));
    world.subscribe(1, &["#"], AtMostOnce, &[0]);
    world.subscribe(2, &["#"], AtMostOnce, &[0]);
    // Their numbers change places, and one has permissions now.
    world.change(Accounts::default().user("bob", &[("b", ReadWrite)]).user("ann", &[]), Anonymous::Refused);
    assert_eq!((world.end(1), world.end(2)), (None, None));
    world.send(1, &[publish("a", b"1"), publish("b", b"2")]);
    world.send(2, &[publish("a", b"3"), publish("b", b"4")]);
    world.expect(1, &[publish("a", b"1"), publish("b", b"2"), publish("b", b"4")]);
    world.expect(2, &[publish("b", b"2"), publish("b", b"4")]);
    // And back to everything.
    world.change(Accounts::default().user("bob", &[]).user("ann", &[]), Anonymous::Refused);
    world.send(1, &[publish("a", b"5")]);
    world.expect(2, &[publish("a", b"5")]);
}

#[test]
fn a_client_whose_user_is_gone_is_closed() {
    let accounts = Accounts::default().user("ann", &[]).user("bob", &[]);
    let mut world = World::new(refused(), accounts);
    world.connect(1, as_user("ann", plain("a")));
    world.connect(2, as_user("bob", plain("b")));
    world.change(Accounts::default().user("ann", &[]), Anonymous::Refused);
    assert_eq!((world.end(1), world.end(2)), (None, Some(CloseReason::NoLongerAllowed)));
    assert_eq!(world.broker.counters().closed.no_longer_allowed, 1);
    world.knock(3, as_user("bob", plain("b")));
    assert_eq!(world.end(3), Some(CloseReason::Refused(ConnectReturnCode::BadUserNameOrPassword)));
}

#[test]
fn nothing_is_left_of_the_session_of_a_user_that_is_gone() {
    for is_away in [false, true] {
        let accounts = Accounts::default().user("ann", &[]).user("bob", &[]);
        let mut world = World::new(refused(), accounts);
        world.connect(1, as_user("bob", plain("publisher")));
        world.connect(2, as_user("ann", persistent("sensor")));
        world.subscribe(2, &["#"], AtLeastOnce, &[1]);
        world.hold(2);
        if is_away {
            world.lose(2);
        }
        world.send(1, &[at_least_once("secret", b"1", 1, false)]);
        // Somebody else has the number of the user that is gone, and the same client identifier.
        world.change(Accounts::default().user("bob", &[]), Anonymous::Refused);
        assert_eq!(world.broker.sessions_away(), 0);
        world.knock(3, as_user("bob", persistent("sensor")));
        world.expect(3, &[accepted(false)]);
        world.change(Accounts::default().user("ann", &[]).user("bob", &[]), Anonymous::Refused);
        world.knock(4, as_user("ann", persistent("sensor")));
        world.expect(4, &[accepted(false)]);
    }
}

#[test]
fn the_will_of_a_user_that_is_gone_is_judged_by_what_that_user_might_do() {
    for (topic, expected) in [("allowed", true), ("denied", false)] {
        let accounts = Accounts::default().user("ann", &[]).user("bob", &[("allowed", ReadWrite)]);
        let mut world = World::new(refused(), accounts);
        world.connect(1, as_user("ann", plain("watch")));
        world.subscribe(1, &["#"], AtMostOnce, &[0]);
        world.connect(2, as_user("bob", Connect { will: Some(will(topic, b"gone")), ..plain("b") }));
        world.change(Accounts::default().user("ann", &[]), Anonymous::Refused);
        assert_eq!(world.end(2), Some(CloseReason::NoLongerAllowed));
        if expected {
            world.expect(1, &[publish(topic, b"gone")]);
        } else {
            world.expect(1, &[]);
        }
    }
}

#[test]
fn clients_without_an_account_are_closed_when_they_are_no_longer_allowed() {
    let accounts = Accounts::default().user("ann", &[]);
    let mut world = World::new(open(), accounts.clone());
    world.connect(1, plain("a"));
    world.connect(2, persistent("b"));
    world.lose(2);
    world.connect(3, as_user("ann", plain("c")));
    assert_eq!(world.broker.sessions_away(), 1);
    world.change(accounts, Anonymous::Refused);
    assert_eq!((world.end(1), world.end(3)), (Some(CloseReason::NoLongerAllowed), None));
    assert_eq!(world.broker.sessions_away(), 0);
    world.knock(4, plain("a"));
    assert_eq!(world.end(4), Some(CloseReason::Refused(ConnectReturnCode::NotAuthorized)));
}

#[test]
fn a_connection_before_its_connect_is_judged_by_the_new_accounts() {
    let mut world = World::new(open(), Accounts::default());
    world.open(1, espbroker_broker::Transport::Tcp);
    world.change(Accounts::default(), Anonymous::Refused);
    assert_eq!(world.end(1), None);
    world.send(1, &[Packet::Connect(plain("a"))]);
    world.expect(1, &[connack(ConnectReturnCode::NotAuthorized)]);
}

#[test]
fn a_subscription_that_is_there_gives_only_what_may_be_read_now() {
    let mut world = World::new(refused(), Accounts::default().user("ann", &[]));
    world.connect(1, as_user("ann", plain("a")));
    world.subscribe(1, &["#"], AtMostOnce, &[0]);
    world.change(Accounts::default().user("ann", &[("a", Deny), ("#", ReadWrite)]), Anonymous::Refused);
    world.send(1, &[publish("a", b"1"), publish("b", b"2")]);
    world.expect(1, &[publish("b", b"2")]);
    world.change(Accounts::default().user("ann", &[("+", Read)]), Anonymous::Refused);
    world.send(1, &[publish("b", b"3")]);
    world.expect(1, &[]);
    assert_eq!(world.broker.counters().publishes_denied, 2);
}

#[test]
fn what_is_still_to_be_shown_of_retained_messages_is_judged_anew() {
    let mut world = World::new(refused(), Accounts::default().user("ann", &[]).user("root", &[]));
    world.connect(1, as_user("ann", plain("a")));
    world.connect(2, as_user("root", plain("b")));
    let payload = [7; 4000];
    for topic in ["a", "b", "c", "d", "e", "f"] {
        world.send(2, &[retained(topic, &payload[..1300])]);
    }
    // The window is full of something else.
    world.subscribe(1, &["live"], AtMostOnce, &[0]);
    world.hold(1);
    for _ in 0..4 {
        world.send(2, &[publish("live", &payload)]);
    }
    world.subscribe_held(1, "#");
    world.change(
        Accounts::default().user("ann", &[("c", Deny), ("#", Read)]).user("root", &[]),
        Anonymous::Refused,
    );
    for _ in 0..40 {
        world.take(1, 1000);
    }
    let packets = world.packets(1);
    let topics = packets.iter().filter_map(|packet| match Packet::decode(packet) {
        Ok(Packet::Publish(publish)) if publish.retain => Some(publish.topic.as_str()),
        _ => None,
    });
    assert_eq!(topics.collect::<Vec<_>>(), ["a", "b", "d", "e", "f"]);
}

#[test]
fn after_ten_wrong_passwords_log_ins_wait_and_clients_are_served() {
    let mut world = World::new(refused(), Accounts::default().user("ann", &[]));
    let right = as_user("ann", plain("a"));
    let wrong = Connect { password: Some(b"guess"), ..as_user("ann", plain("b")) };
    world.connect(1, right);
    for _ in 0..10 {
        world.knock(2, wrong);
        world.expect(2, &[connack(ConnectReturnCode::BadUserNameOrPassword)]);
        world.lose(2);
    }
    for connect in [wrong, as_user("ann", plain("c"))] {
        world.knock(2, connect);
        world.expect(2, &[connack(ConnectReturnCode::ServerUnavailable)]);
        world.lose(2);
    }
    let counters = world.broker.counters();
    assert_eq!((counters.log_ins_failed, counters.log_ins_put_off), (10, 2));
    world.subscribe(1, &["t"], AtMostOnce, &[0]);
    world.send(1, &[at_least_once("t", b"x", 1, false)]);
    world.expect(1, &[publish("t", b"x"), Packet::Puback(id(1))]);
    world.pass(1_000);
    world.connect(2, as_user("ann", plain("c")));
}
