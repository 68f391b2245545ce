//! Bridges that lead round in a circle: what goes round comes to an end.

use espbroker_broker::{BridgeSettings, Direction::*};

use super::lan::{ALL, Lan, bridge_to};

/// Brokers `a`, `b` and so on, each with bridges to those that it names, and a watcher at each.
fn circle(latency: u64, bridges: &[&[&str]]) -> (Lan, Vec<usize>) {
    let mut lan = Lan::of(u8::try_from(bridges.len()).unwrap());
    let clients = (0..bridges.len()).map(|host| lan.client(host, "watcher", &[("t/#", 2)])).collect();
    for (host, names) in bridges.iter().enumerate() {
        let name = char::from(b'a' + u8::try_from(host).unwrap());
        let own =
            |to: &&str| BridgeSettings { client_id: format!("{name}-to-{to}").into(), ..bridge_to(to, ALL) };
        lan.set_bridges(host, names.iter().map(own).collect());
    }
    lan.latency = latency;
    lan.pass(30_000);
    (lan, clients)
}

const CIRCLES: &[(&str, &[&[&str]])] = &[
    ("two that lead to each other", &[&["b"], &["a"]]),
    ("a triangle", &[&["b"], &["c"], &["a"]]),
    ("a triangle of two and one", &[&["b", "c"], &["c"], &[]]),
    ("all with all", &[&["b", "c"], &["a", "c"], &["a", "b"]]),
    ("a circle of four with one beside it", &[&["b", "e"], &["c"], &["d"], &["a"], &[]]),
];

/// Lets time pass until nothing moves any more, and tells how many messages that took.
fn rest(lan: &mut Lan) -> u64 {
    let sent = |lan: &mut Lan| lan.messages_sent().values().sum::<u64>();
    let start = sent(lan);
    for _ in 0..120 {
        let before = sent(lan);
        lan.pass(1_000);
        if sent(lan) == before {
            return before - start;
        }
    }
    panic!("no end: {:?}", lan.messages_sent());
}

#[test]
fn what_goes_round_comes_to_an_end_and_then_everything_comes_once() {
    for latency in [0, 5, 100] {
        for (name, bridges) in CIRCLES {
            let (mut lan, clients) = circle(latency, bridges);
            let before = lan.messages_sent().values().sum::<u64>();
            for number in 0..100 {
                lan.publish(clients[number % clients.len()], "t/first", &number.to_string(), 1);
                lan.pass(500);
            }
            rest(&mut lan);
            let first = lan.messages_sent().values().sum::<u64>() - before;
            assert!(first < 2_000, "{name}, {latency} ms: {first}");
            for client in &clients {
                let seen = lan.seen(*client);
                let times =
                    |number| seen.iter().filter(|text| **text == format!("t/first {number} 1")).count();
                assert!((0..100).all(|number| times(number) >= 1), "{name}, {latency} ms: {seen:?}");
            }
            for (number, qos) in (0..40).zip([0, 1, 2].into_iter().cycle()) {
                let publisher = clients[number % clients.len()];
                lan.publish(publisher, "t/then", &number.to_string(), qos);
                lan.pass(500);
                for client in &clients {
                    let seen = lan.seen(*client);
                    assert_eq!(seen.len(), 1, "{name}, {latency} ms, {number}: {seen:?}");
                }
            }
            let cut: u32 = (0..bridges.len()).map(|host| lan.counters(host).bridge_circles).sum();
            assert!(cut > 0);
        }
    }
}

#[test]
fn a_burst_into_a_circle_comes_to_an_end() {
    for (name, bridges) in CIRCLES {
        let (mut lan, clients) = circle(20, bridges);
        for number in 0..300 {
            lan.publish(clients[0], "t/burst", &number.to_string(), 1);
        }
        let sent = rest(&mut lan);
        assert!(sent < 30_000, "{name}: {sent}");
        for client in &clients {
            let seen = lan.seen(*client);
            assert!((0..300).all(|number| seen.contains(&format!("t/burst {number} 1"))), "{name}");
        }
    }
}

#[test]
fn retained_messages_that_links_exchange_when_they_come_up_do_not_go_round_for_ever() {
    for latency in [1, 20] {
        for (name, bridges) in CIRCLES {
            let (mut lan, clients) = circle(latency, bridges);
            for number in 0..20 {
                lan.retain(clients[0], &format!("t/{number}"), "x", 1);
                lan.pass(200);
            }
            rest(&mut lan);
            let links: Vec<(usize, usize)> = (0..bridges.len())
                .flat_map(|from| (0..bridges.len()).map(move |to| (from, to)))
                .filter(|(from, to)| lan.link(*from, *to).is_some())
                .collect();
            lan.pass(120_000);
            for (from, to) in links {
                lan.cut(from, to);
            }
            lan.pass(6_000);
            let sent = rest(&mut lan);
            assert!(sent < 10_000, "{name}: {sent}");
        }
    }
}

#[test]
fn what_is_said_on_several_sides_at_a_human_pace_is_all_passed_on() {
    // No circle: b has bridges to a and c.
    let (mut lan, clients) = circle(5, &[&[], &["a", "c"], &[]]);
    for number in 0..120 {
        lan.publish(clients[number % 3], "t/lamp", "TOGGLE", 1);
        lan.pass(400);
        for client in &clients {
            lan.expect(*client, &["t/lamp TOGGLE 1"]);
        }
    }
}

#[test]
fn a_fast_stream_of_equal_messages_is_all_passed_on() {
    let (mut lan, clients) = circle(5, &[&[], &["a", "c"], &[]]);
    for publisher in [clients[0], clients[1]] {
        for _ in 0..1_000 {
            lan.publish(publisher, "t/tick", "x", 1);
            lan.pass(10);
        }
        lan.pass(1_000);
        for client in &clients {
            assert_eq!(lan.seen(*client).len(), 1_000);
        }
    }
    assert_eq!(lan.counters(1).bridge_circles, 0);
}

#[test]
fn topics_that_grow_with_every_round_come_to_an_end() {
    let mut lan = Lan::of(2);
    let client = lan.client(0, "publisher", &[]);
    lan.set_bridges(0, vec![bridge_to("b", &[("#", Both, 0, "", "from-a/")])]);
    lan.set_bridges(1, vec![bridge_to("a", &[("#", Both, 0, "", "from-b/")])]);
    lan.hand_in(client, "t", "x", 0, false);
    assert!(lan.run(100_000), "longer than a packet may be");
}
