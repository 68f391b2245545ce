//! Links that are lost at any byte, again and again: what each QoS promises holds.

use espbroker_broker::{BridgeSettings, Direction::*};
use proptest::{collection::vec, prelude::*};

use super::lan::{Lan, Taste, bridge_to};

#[derive(Clone, Debug)]
enum Step {
    /// From here or from there.
    Publish {
        here: bool,
        qos: u8,
    },
    CutAfter(usize),
    Pass(u64),
    /// The settings change, and with them the connection.
    Change,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), 0..=2_u8).prop_map(|(here, qos)| Step::Publish { here, qos }),
        3 => (1..60_usize).prop_map(Step::CutAfter),
        2 => prop_oneof![0..100_u64, 4_000..6_000_u64].prop_map(Step::Pass),
        1 => Just(Step::Change),
    ]
}

/// The numbers in messages of one QoS, in the order in which they came.
fn numbers(seen: &[String], qos: &str) -> Vec<usize> {
    let of_qos = seen.iter().filter_map(|text| {
        let mut words = text.split(' ');
        let (topic, number) = (words.next()?, words.next()?);
        topic.ends_with(qos).then(|| number.parse().unwrap())
    });
    of_qos.collect()
}

fn first_of_each(numbers: &[usize]) -> Vec<usize> {
    let mut first = numbers.to_vec();
    let mut known = std::collections::BTreeSet::new();
    first.retain(|number| known.insert(*number));
    first
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn every_message_of_qos_1_arrives_and_every_one_of_qos_2_once_and_in_order(
        steps in vec(step(), 1..60),
        piece in prop_oneof![Just(usize::MAX), 1..20_usize],
        latency in prop_oneof![Just(0), 1..2_000_u64],
        private: bool,
    ) {
        let mut lan = Lan::of(2);
        lan.host(1).taste = if private { Taste::Takes } else { Taste::Refuses };
        lan.piece = piece;
        let bridge = |keep_alive| BridgeSettings {
            keep_alive,
            ..bridge_to("b", &[("up/#", Out, 2, "", ""), ("down/#", In, 2, "", ""), ("both/#", Both, 2, "", "")])
        };
        lan.set_bridges(0, vec![bridge(60)]);
        lan.pass(10_000);
        let publishers = [0, 1].map(|host| lan.client(host, "publisher", &[]));
        let watchers = [0, 1].map(|host| lan.client(host, "watcher", &[("#", 2)]));
        lan.latency = latency;
        let mut sent = [vec![], vec![], vec![], vec![]];
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Publish { here, qos } => {
                    let from = usize::from(!here);
                    let topic = if number % 2 == 0 { "both" } else if *here { "up" } else { "down" };
                    lan.publish(publishers[from], &format!("{topic}/q{qos}"), &number.to_string(), *qos);
                    if *qos > 0 {
                        sent[2 * from + usize::from(*qos) - 1].push(number);
                    }
                }
                Step::CutAfter(bytes) => lan.cut_after(0, 1, *bytes),
                Step::Pass(milliseconds) => lan.pass(*milliseconds),
                Step::Change => lan.set_bridges(0, vec![bridge(60 + u16::try_from(number).unwrap())]),
            }
        }
        if let Some(wire) = lan.link(0, 1) {
            lan.cut_never(wire);
        }
        lan.pass(120_000);
        for (to, from) in [(1, 0), (0, 1)] {
            let seen = lan.seen(watchers[to]);
            let others = |numbers: Vec<usize>| {
                let theirs = sent[2 * to].iter().chain(&sent[2 * to + 1]).copied().collect::<Vec<_>>();
                numbers.into_iter().filter(|number| !theirs.contains(number)).collect::<Vec<_>>()
            };
            let (once, twice) = (numbers(&seen, "q1"), numbers(&seen, "q2"));
            prop_assert_eq!(others(first_of_each(&once)), sent[2 * from].clone());
            prop_assert_eq!(others(twice.clone()), sent[2 * from + 1].clone());
            // Its own messages are not published there a second time.
            let own: Vec<usize> = twice.into_iter().filter(|number| sent[2 * to + 1].contains(number)).collect();
            prop_assert_eq!(own, sent[2 * to + 1].clone());
        }
    }
}
