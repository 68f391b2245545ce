//! [`Ledger`]: what the faithful clients have published, and whether it came to everybody whom it was for.
//!
//! The broker may drop a message for one of its subscribers for want of memory, if it counts that. So what it has counted
//! while it took a message is so often excused, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use espbroker_mqtt::{Packet, Publish, TopicName};

use super::{FAITHFUL, faithful::Faithful, site::Site};

/// What becomes of a topic: its first level.
pub(super) const KINDS: [&str; 4] = ["own", "up", "down", "both"];

struct Sent {
    topic: String,
    /// Where it was published.
    site: usize,
    in_storm: bool,
    /// Deliveries that the broker has counted as dropped.
    excused: u64,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// By the number in the message.
    sent: Vec<Sent>,
    pub(super) is_storm: bool,
}

/// Messages, one for each subscriber.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) published: usize,
    pub(super) arrived: u64,
    /// Came more than once, at QoS 1.
    pub(super) repeated: u64,
    /// Did not come, and were counted.
    pub(super) refused: u64,
    /// The same without those that were published in a storm.
    pub(super) refused_in_peace: u64,
}

impl Ledger {
    /// Notes a message that a client is about to publish; its payload.
    pub(super) fn publish(&mut self, topic: &str, site: usize, padding: usize) -> Vec<u8> {
        let payload = format!("{} {}", self.sent.len(), "x".repeat(padding));
        self.sent.push(Sent { topic: topic.into(), site, in_storm: self.is_storm, excused: 0 });
        payload.into_bytes()
    }

    /// Hands a whole packet to a broker with `hand_in`, and notes what was dropped meanwhile.
    pub(super) fn watch(&mut self, site: &mut Site, packet: &[u8], hand_in: impl FnOnce(&mut Site)) {
        let before = site.dropped();
        hand_in(site);
        if let Ok(Packet::Publish(publish)) = Packet::decode(packet)
            && let Some(sent) = number(&publish).and_then(|number| self.sent.get_mut(number))
        {
            sent.excused += site.dropped() - before;
        }
    }

    /// Compares with what was seen.
    pub(super) fn settle(&self, clients: &[Faithful]) -> Outcome {
        let mut outcome = Outcome { published: self.sent.len(), ..Outcome::default() };
        let mut missed = vec![[0; 2]; self.sent.len()];
        for client in clients {
            let mut expected: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
            for (number, sent) in self.sent.iter().enumerate() {
                if sent.is_for(client.site) {
                    expected.entry(&sent.topic).or_default().insert(number);
                }
            }
            for topic in client.seen.keys() {
                assert!(expected.contains_key(topic.as_str()), "{topic} at {}", client.name);
            }
            for (topic, expected) in expected {
                let seen = client.seen.get(topic).map_or(&[][..], |seen| seen);
                let mut first = BTreeSet::new();
                for number in seen {
                    assert!(expected.contains(number), "{number} under {topic} at {}", client.name);
                    if first.contains(number) {
                        assert!(topic.ends_with("q1"), "{number} of {topic} twice at {}", client.name);
                        outcome.repeated += 1;
                        continue;
                    }
                    // One that was dropped may come when it is sent again, and then it comes late.
                    let is_late = first.last() > Some(number) && self.sent[*number].excused == 0;
                    assert!(!is_late, "{number} of {topic} out of order at {}", client.name);
                    first.insert(*number);
                }
                outcome.arrived += u64::try_from(first.len()).unwrap();
                for number in expected.difference(&first) {
                    missed[*number][client.site] += 1;
                    outcome.refused += 1;
                    outcome.refused_in_peace += u64::from(!self.sent[*number].in_storm);
                }
            }
        }
        let far = u64::try_from(FAITHFUL[1]).unwrap();
        for (number, (sent, missed)) in self.sent.iter().zip(missed).enumerate() {
            // The other broker has room for everything: what comes there comes to everybody.
            assert_eq!(missed[1] % far, 0, "{number} of {} lost", sent.topic);
            assert!(missed[0] + missed[1] / far <= sent.excused, "{number} of {} lost", sent.topic);
        }
        outcome
    }
}

impl Sent {
    fn is_for(&self, site: usize) -> bool {
        let kind = self.topic.split('/').next();
        let crosses = matches!((kind, self.site), (Some("up"), 0) | (Some("down"), 1) | (Some("both"), _));
        self.site == site || crosses
    }
}

/// The number in a faithful client's message.
pub(super) fn number(publish: &Publish<'_>) -> Option<usize> {
    if !is_faithful(publish.topic) {
        return None;
    }
    let text = std::str::from_utf8(publish.payload).unwrap();
    text.split(' ').next()?.parse().ok()
}

fn is_faithful(topic: TopicName<'_>) -> bool {
    topic.as_str().split('/').next().is_some_and(|kind| KINDS.contains(&kind))
}
