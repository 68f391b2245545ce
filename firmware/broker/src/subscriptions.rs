//! [`Subscriptions`]: the topic filters of one session, packed into one allocation.
//!
//! An entry is: kind and QoS (1 byte), hash (2), length (2), filter. The hash lets a message pass by almost every filter
//! without wildcard after comparing two bytes; five subscriptions to topics of 20 bytes take 125 bytes.

use alloc::vec::Vec;

use espbroker_mqtt::{QoS, TopicFilter, TopicName, filter_matches};

const HEADER: usize = 5;
/// Bit of the kind: the filter has a wildcard. The bits below are the QoS granted.
const WILDCARD: u8 = 4;
const QOS: u8 = 3;

/// A topic name with its hash, computed once for a message.
#[derive(Clone, Copy)]
pub(crate) struct HashedTopic<'a> {
    text: &'a [u8],
    hash: [u8; 2],
}

impl<'a> HashedTopic<'a> {
    pub(crate) fn new(topic: TopicName<'a>) -> Self {
        let text = topic.as_str().as_bytes();
        Self { text, hash: hash(text) }
    }
}

/// FNV-1a, folded to 16 bits.
fn hash(text: &[u8]) -> [u8; 2] {
    let hash =
        text.iter().fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_le_bytes();
    [a ^ c, b ^ d]
}

/// The filters of one session.
#[derive(Default)]
pub(crate) struct Subscriptions {
    entries: Vec<u8>,
}

struct Entry<'a> {
    kind: u8,
    hash: [u8; 2],
    filter: &'a [u8],
}

struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let (&[kind, hash_a, hash_b, low, high], rest) = self.0.split_first_chunk::<HEADER>()?;
        let (filter, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
        self.0 = rest;
        Some(Entry { kind, hash: [hash_a, hash_b], filter })
    }
}

impl Subscriptions {
    fn iter(&self) -> Entries<'_> {
        Entries(&self.entries)
    }

    /// Number of subscriptions and length of their filters.
    pub(crate) fn totals(&self) -> (usize, usize) {
        self.iter().fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.filter.len()))
    }

    /// Grants a subscription that is there another QoS; `false` when it is not there.
    pub(crate) fn grant(&mut self, filter: TopicFilter<'_>, qos: QoS) -> bool {
        let mut start = 0;
        let found = self.iter().any(|entry| {
            let found = entry.filter == filter.as_str().as_bytes();
            if !found {
                start += HEADER + entry.filter.len();
            }
            found
        });
        if let Some(kind) = self.entries.get_mut(start).filter(|_| found) {
            *kind = *kind & WILDCARD | qos.number();
        }
        found
    }

    /// Adds a filter that is not there yet.
    pub(crate) fn add(&mut self, filter: TopicFilter<'_>, qos: QoS) {
        let text = filter.as_str().as_bytes();
        // A filter is never longer than 65,535 bytes.
        let Ok(length) = u16::try_from(text.len()) else { return };
        self.entries.reserve_exact(HEADER + text.len());
        self.entries.push(qos.number() | if filter.has_wildcard() { WILDCARD } else { 0 });
        self.entries.extend_from_slice(&hash(text));
        self.entries.extend_from_slice(&length.to_le_bytes());
        self.entries.extend_from_slice(text);
    }

    /// Removes a filter, if it is there.
    pub(crate) fn remove(&mut self, filter: TopicFilter<'_>) {
        let mut start = 0;
        for entry in self.iter() {
            let end = start + HEADER + entry.filter.len();
            if entry.filter == filter.as_str().as_bytes() {
                self.entries.drain(start..end);
                self.entries.shrink_to_fit();
                return;
            }
            start = end;
        }
    }

    /// The highest QoS of the filters that match; `None` when none does.
    pub(crate) fn matches(&self, topic: HashedTopic<'_>) -> Option<QoS> {
        let mut granted = None;
        for entry in self.iter() {
            let matches = if entry.kind & WILDCARD == 0 {
                entry.hash == topic.hash && entry.filter == topic.text
            } else {
                filter_matches(entry.filter, topic.text)
            };
            if matches {
                granted = granted.max(QoS::from_number(entry.kind & QOS));
            }
        }
        granted
    }

    /// Can any filter match a topic that begins with `$` (§4.7.2).
    pub(crate) fn want_system(&self) -> bool {
        self.iter().any(|entry| entry.filter.first() == Some(&b'$'))
    }

    /// Heap bytes in use.
    pub(crate) const fn memory(&self) -> usize {
        self.entries.capacity()
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, string::String};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn five_subscriptions_to_topics_of_20_bytes_take_125_bytes() {
        let mut subscriptions = Subscriptions::default();
        for index in 0..5 {
            let filter = alloc::format!("house/kitchen/lamp/{index}");
            subscriptions.add(TopicFilter::new(&filter).unwrap(), QoS::AtLeastOnce);
        }
        assert_eq!(subscriptions.memory(), 125);
        assert_eq!(subscriptions.totals(), (5, 100));
    }

    proptest! {
        #[test]
        fn packed_filters_behave_like_a_map_of_filters(
            steps in proptest::collection::vec((any::<bool>(), "[ab+]/[ab#]|[ab]|#", 0_u8..3), 0..20),
            topic in "[ab]/[ab]|[ab]",
        ) {
            let mut packed = Subscriptions::default();
            let mut map = BTreeMap::<String, QoS>::new();
            for (add, text, qos) in &steps {
                let filter = TopicFilter::new(text).unwrap();
                let qos = QoS::from_number(*qos).unwrap();
                if *add {
                    let known = packed.grant(filter, qos);
                    prop_assert_eq!(known, map.insert(text.clone(), qos).is_some());
                    if !known {
                        packed.add(filter, qos);
                    }
                } else {
                    map.remove(text);
                    packed.remove(filter);
                }
            }
            prop_assert_eq!(packed.totals(), (map.len(), map.keys().map(String::len).sum()));
            let topic = TopicName::new(&topic).unwrap();
            let matching = map.iter().filter(|(text, _)| TopicFilter::new(text).unwrap().matches(topic));
            prop_assert_eq!(
                packed.matches(HashedTopic::new(topic)),
                matching.map(|(_, qos)| *qos).max()
            );
            if map.is_empty() {
                prop_assert_eq!(packed.memory(), 0);
            }
        }
    }
}
