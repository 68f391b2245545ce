//! [`Subscriptions`]: the topic filters of one session, packed into one allocation.
//!
//! First come the keys of all filters, four bytes each: the hash of a filter without wildcard, or [`ANY`] for one with (2),
//! and where its entry begins behind the keys (2). Then the entries in the same order: QoS and kind (1 byte), filter. A
//! message passes by almost every session after looking at one bit for its hash, and by almost every filter after looking at
//! its key; five subscriptions to topics of 20 bytes take 125 bytes.

use alloc::vec::Vec;

use espbroker_mqtt::{QoS, TopicFilter, TopicName, filter_matches};

/// Bytes of a key.
const KEY: usize = 4;
/// Bytes of an entry before its filter.
const HEADER: usize = 1;
/// In the place of the hash of a filter with a wildcard, which has to be compared with every topic. No hash is the same.
const ANY: [u8; 2] = [0, 0];
/// Bit of the kind: the filter has a wildcard. The bits below are the QoS granted.
const WILDCARD: u8 = 4;
const QOS: u8 = 3;

/// A topic name with its hash, computed once for a message.
#[derive(Clone, Copy)]
pub(crate) struct HashedTopic<'a> {
    text: &'a [u8],
    hash: [u8; 2],
    bit: u32,
}

impl<'a> HashedTopic<'a> {
    pub(crate) fn new(topic: TopicName<'a>) -> Self {
        let text = topic.as_str().as_bytes();
        let hash = hash(text);
        Self { text, hash, bit: bit(hash) }
    }
}

/// Are both equal. Topics are too short for the machinery of a library's comparison to pay.
fn same(a: &[u8], b: &[u8]) -> bool {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let word = |bytes: &[u8; 4]| u32::from_ne_bytes(*bytes);
    a.len() == b.len()
        && a_rest.len() == b_rest.len()
        && a.iter().zip(b).all(|(a, b)| word(a) == word(b))
        && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
}

/// One of 32, by the better mixed half of the hash.
fn bit(hash: [u8; 2]) -> u32 {
    1 << (hash[1] & 31)
}

/// FNV-1a, folded to 16 bits of which one is always set.
fn hash(text: &[u8]) -> [u8; 2] {
    let hash =
        text.iter().fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_le_bytes();
    [a ^ c | 1, b ^ d]
}

/// The filters of one session.
#[derive(Default)]
pub(crate) struct Subscriptions {
    bytes: Vec<u8>,
    /// The bits of all hashes; all of them as soon as a filter has a wildcard. Bits of removed filters stay until the last
    /// one goes.
    bits: u32,
    count: u16,
    /// How many of them have a wildcard.
    wildcards: u16,
}

/// Keys and entries, cut apart.
#[derive(Clone, Copy)]
struct Parts<'a> {
    keys: &'a [[u8; KEY]],
    entries: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Where the entry with this number begins; behind the last entry, where that ends.
    fn start(self, number: usize) -> usize {
        let start = |&[_, _, low, high]: &[u8; KEY]| usize::from(u16::from_le_bytes([low, high]));
        self.keys.get(number).map_or(self.entries.len(), start)
    }

    /// Kind and filter of an entry.
    fn entry(self, number: usize) -> Option<(u8, &'a [u8])> {
        let (kind, filter) = self.entries.get(self.start(number)..self.start(number + 1))?.split_first()?;
        Some((*kind, filter))
    }

    /// The number of exactly this filter.
    fn find(self, filter: TopicFilter<'_>) -> Option<usize> {
        let text = filter.as_str().as_bytes();
        (0..self.keys.len()).find(|number| self.entry(*number).is_some_and(|(_, filter)| filter == text))
    }
}

impl Subscriptions {
    fn parts(&self) -> Parts<'_> {
        let (keys, entries) = self.bytes.split_at_checked(self.keys_length()).unwrap_or_default();
        Parts { keys: keys.as_chunks().0, entries }
    }

    fn keys_length(&self) -> usize {
        usize::from(self.count) * KEY
    }

    /// Number of subscriptions and length of their filters.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let count = usize::from(self.count);
        (count, self.bytes.len().saturating_sub(count * (KEY + HEADER)))
    }

    /// Grants a subscription that is there another QoS; `false` when it is not there.
    pub(crate) fn grant(&mut self, filter: TopicFilter<'_>, qos: QoS) -> bool {
        let parts = self.parts();
        let Some(number) = parts.find(filter) else { return false };
        let place = self.keys_length() + parts.start(number);
        if let Some(kind) = self.bytes.get_mut(place) {
            *kind = *kind & WILDCARD | qos.number();
        }
        true
    }

    /// Whether another filter of this length can be told apart from the others; far beyond every limit.
    pub(crate) fn can_hold(&self, length: usize) -> bool {
        let (count, bytes) = self.totals();
        u16::try_from(count + 1).is_ok() && u16::try_from(bytes + count + length + HEADER).is_ok()
    }

    /// Adds a filter that is not there yet and for which there is room.
    pub(crate) fn add(&mut self, filter: TopicFilter<'_>, qos: QoS) {
        let text = filter.as_str().as_bytes();
        let Ok(start) = u16::try_from(self.parts().entries.len()) else { return };
        let (hash, kind) =
            if filter.has_wildcard() { (ANY, qos.number() | WILDCARD) } else { (hash(text), qos.number()) };
        self.bytes.reserve_exact(KEY + HEADER + text.len());
        let place = self.keys_length();
        self.bytes.splice(place..place, hash.into_iter().chain(start.to_le_bytes()));
        self.bytes.push(kind);
        self.bytes.extend_from_slice(text);
        self.count += 1;
        self.wildcards += u16::from(filter.has_wildcard());
        self.bits |= if filter.has_wildcard() { u32::MAX } else { bit(hash) };
    }

    /// Removes a filter, if it is there.
    pub(crate) fn remove(&mut self, filter: TopicFilter<'_>) {
        let parts = self.parts();
        let Some(number) = parts.find(filter) else { return };
        let (start, end, keys) = (parts.start(number), parts.start(number + 1), self.keys_length());
        self.bytes.drain(keys + start..keys + end);
        let behind = self.bytes.get_mut(number * KEY..keys).unwrap_or_default();
        for [_, _, low, high] in behind.as_chunks_mut().0 {
            let moved = usize::from(u16::from_le_bytes([*low, *high])).saturating_sub(end - start);
            [*low, *high] = u16::try_from(moved).unwrap_or(0).to_le_bytes();
        }
        self.bytes.drain(number * KEY..(number + 1) * KEY);
        self.bytes.shrink_to_fit();
        self.count -= 1;
        self.wildcards -= u16::from(filter.has_wildcard());
        if self.count == 0 {
            self.bits = 0;
        }
    }

    /// The highest QoS of the filters that match; `None` when none does.
    #[inline]
    pub(crate) fn matches(&self, topic: HashedTopic<'_>) -> Option<QoS> {
        if self.bits & topic.bit == 0 { None } else { self.compare(topic) }
    }

    #[inline(never)]
    fn compare(&self, topic: HashedTopic<'_>) -> Option<QoS> {
        let parts = self.parts();
        if self.wildcards == 0 {
            // Nearly all keys are passed by, so this loop does nothing else. There is one entry for a filter.
            let number = parts.keys.iter().position(|[a, b, ..]| [*a, *b] == topic.hash)?;
            let (kind, filter) = parts.entry(number)?;
            if same(filter, topic.text) {
                return QoS::from_number(kind & QOS);
            }
        }
        parts.compare_all(topic)
    }

    /// Can any filter match a topic that begins with `$` (§4.7.2).
    pub(crate) fn want_system(&self) -> bool {
        let parts = self.parts();
        (0..parts.keys.len())
            .any(|number| parts.entry(number).is_some_and(|(_, filter)| filter.starts_with(b"$")))
    }

    /// Heap bytes in use.
    pub(crate) const fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Parts<'_> {
    /// Compares a topic with all filters.
    #[inline(never)]
    fn compare_all(self, topic: HashedTopic<'_>) -> Option<QoS> {
        let mut granted = None;
        for (number, &[a, b, ..]) in self.keys.iter().enumerate() {
            if [a, b] != ANY && [a, b] != topic.hash {
                continue;
            }
            let Some((kind, filter)) = self.entry(number) else { break };
            let matches = match kind & WILDCARD {
                0 => filter == topic.text,
                _ => filter_matches(filter, topic.text),
            };
            if matches {
                granted = granted.max(QoS::from_number(kind & QOS));
            }
        }
        granted
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
