//! [`Subscriptions`]: the topic filters of one session, packed into one allocation.
//!
//! First come the keys of all filters, four bytes each: the hash of a filter without wildcard, or [`ANY`] for one with (2),
//! and where its entry begins (2). Then the entries in the same order: filter, QoS and kind (1 byte). A message passes by
//! almost every session after looking at one bit for its hash, and by almost every filter after looking at its key; five
//! subscriptions to topics of 20 bytes take 125 bytes.

use alloc::vec::Vec;

use espbroker_mqtt::{QoS, TopicFilter, TopicName, filter_matches};

/// Bytes of a key.
const KEY: usize = 4;
/// Bytes of an entry behind its filter.
const TRAILER: usize = 1;
/// In the place of the hash of a filter with a wildcard, which has to be compared with every topic. No hash is the same.
const ANY: [u8; 2] = [0, 0];
/// Bits that every kind has and no byte of UTF-8 (RFC 3629 §3), so that a filter ends where one is met.
const KIND: u8 = 0xf8;
/// Bit of the kind: the filter has a wildcard. The bits below are the QoS granted.
const WILDCARD: u8 = 4;
const QOS: u8 = 3;

/// A topic name with its hash, computed once for a message.
pub(crate) struct HashedTopic<'a> {
    text: &'a [u8],
    /// The text once more for [`Self::kind_of`]: the words that begin it, and its last four bytes.
    words: &'a [[u8; 4]],
    last: [u8; 4],
    hash: [u8; 2],
    bit: u32,
}

impl<'a> HashedTopic<'a> {
    pub(crate) fn new(topic: TopicName<'a>) -> Self {
        let text = topic.as_str().as_bytes();
        // Of all but the last byte: the last four are compared as one.
        let words = text.split_last().map(|(_, text)| text.as_chunks().0).unwrap_or_default();
        let last = text.last_chunk().copied().unwrap_or_default();
        let hash = hash(text);
        Self { text, words, last, hash, bit: bit(hash) }
    }

    /// The kind of an entry if the topic is its filter, unless both are shorter than a word; `bytes` go on behind the entry.
    #[inline]
    fn kind_of(&self, bytes: &[u8]) -> Option<u8> {
        // Topics are too short for the machinery of a library's comparison to pay.
        let (filter, behind) = bytes.split_at_checked(self.text.len())?;
        let kind = behind.first()?;
        let equal = *filter.last_chunk()? == self.last
            && self.words.iter().zip(filter.as_chunks().0).all(|(a, b)| a == b)
            && *kind >= KIND;
        equal.then_some(*kind)
    }
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

/// Where the entry of a key begins.
fn start(&[_, _, low, high]: &[u8; KEY]) -> usize {
    usize::from(u16::from_le_bytes([low, high]))
}

impl Subscriptions {
    fn keys(&self) -> &[[u8; KEY]] {
        self.bytes.get(..self.keys_length()).unwrap_or_default().as_chunks().0
    }

    fn keys_length(&self) -> usize {
        usize::from(self.count) * KEY
    }

    /// Where the entry with this number begins; behind the last entry, where that ends.
    fn start(&self, number: usize) -> usize {
        self.keys().get(number).map_or(self.bytes.len(), start)
    }

    /// Kind and filter of the entry with this number.
    fn entry(&self, number: usize) -> Option<(u8, &[u8])> {
        let (kind, filter) = self.bytes.get(self.start(number)..self.start(number + 1))?.split_last()?;
        Some((*kind, filter))
    }

    /// The number of exactly this filter.
    fn find(&self, filter: TopicFilter<'_>) -> Option<usize> {
        let text = filter.as_str().as_bytes();
        (0..usize::from(self.count))
            .find(|number| self.entry(*number).is_some_and(|(_, filter)| filter == text))
    }

    /// Changes where entries begin, from the one with this number on.
    fn move_starts(&mut self, first: usize, moved: impl Fn(usize) -> usize) {
        let keys = self.keys_length();
        for key in self.bytes.get_mut(first * KEY..keys).unwrap_or_default().as_chunks_mut().0 {
            // `can_hold` sees to it that every place has a number.
            let [low, high] = u16::try_from(moved(start(key))).unwrap_or(0).to_le_bytes();
            let [hash, more, ..] = *key;
            *key = [hash, more, low, high];
        }
    }

    /// Number of subscriptions and length of their filters.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let count = usize::from(self.count);
        (count, self.bytes.len().saturating_sub(count * (KEY + TRAILER)))
    }

    /// Grants a subscription that is there another QoS; `false` when it is not there.
    pub(crate) fn grant(&mut self, filter: TopicFilter<'_>, qos: QoS) -> bool {
        let Some(number) = self.find(filter) else { return false };
        let end = self.start(number + 1);
        if let Some([.., kind]) = self.bytes.get_mut(..end) {
            *kind = *kind & !QOS | qos.number();
        }
        true
    }

    /// Whether another filter of this length can be told apart from the others; far beyond every limit.
    pub(crate) fn can_hold(&self, length: usize) -> bool {
        u16::try_from(self.bytes.len() + KEY + TRAILER + length).is_ok()
    }

    /// Adds a filter that is not there yet and for which there is room.
    pub(crate) fn add(&mut self, filter: TopicFilter<'_>, qos: QoS) {
        let text = filter.as_str().as_bytes();
        let Ok(start) = u16::try_from(self.bytes.len() + KEY) else { return };
        let (hash, wildcard) = if filter.has_wildcard() { (ANY, WILDCARD) } else { (hash(text), 0) };
        self.bytes.reserve_exact(KEY + TRAILER + text.len());
        self.move_starts(0, |start| start + KEY);
        let place = self.keys_length();
        self.bytes.splice(place..place, hash.into_iter().chain(start.to_le_bytes()));
        self.bytes.extend_from_slice(text);
        self.bytes.push(KIND | wildcard | qos.number());
        self.count += 1;
        self.wildcards += u16::from(filter.has_wildcard());
        self.bits |= if filter.has_wildcard() { u32::MAX } else { bit(hash) };
    }

    /// Gives back what is not used, which takes a copy of the rest.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Removes a filter, if it is there.
    pub(crate) fn remove(&mut self, filter: TopicFilter<'_>) {
        let Some(number) = self.find(filter) else { return };
        let (start, end) = (self.start(number), self.start(number + 1));
        self.move_starts(0, |start| start.saturating_sub(KEY));
        self.move_starts(number + 1, |moved| moved.saturating_sub(end - start));
        self.bytes.drain(start..end);
        self.bytes.drain(number * KEY..(number + 1) * KEY);
        self.count -= 1;
        self.wildcards -= u16::from(filter.has_wildcard());
        if self.count == 0 {
            self.shrink();
            self.bits = 0;
        }
    }

    /// The highest QoS of the filters that match; `None` when none does.
    #[inline]
    pub(crate) fn matches(&self, topic: &HashedTopic<'_>) -> Option<QoS> {
        if self.bits & topic.bit == 0 { None } else { self.compare(topic) }
    }

    #[inline(never)]
    fn compare(&self, topic: &HashedTopic<'_>) -> Option<QoS> {
        if self.wildcards == 0 {
            // Nearly all keys are passed by, so this loop does nothing else. There is one entry for a filter.
            let (keys, _) = self.bytes.split_at_checked(self.keys_length())?;
            let keys = keys.as_chunks::<KEY>().0;
            let number = keys.iter().position(|[a, b, ..]| [*a, *b] == topic.hash)?;
            if let Some(kind) = topic.kind_of(self.bytes.get(start(keys.get(number)?)..)?) {
                return QoS::from_number(kind & QOS);
            }
        }
        self.compare_all(topic)
    }

    /// Compares a topic with all filters.
    #[inline(never)]
    fn compare_all(&self, topic: &HashedTopic<'_>) -> Option<QoS> {
        let mut granted = None;
        for (number, &[a, b, ..]) in self.keys().iter().enumerate() {
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

    /// Can any filter match a topic that begins with `$` (§4.7.2).
    pub(crate) fn want_system(&self) -> bool {
        (0..usize::from(self.count))
            .any(|number| self.entry(number).is_some_and(|(_, filter)| filter.starts_with(b"$")))
    }

    /// Heap bytes in use.
    pub(crate) const fn memory(&self) -> usize {
        self.bytes.capacity()
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
                packed.matches(&HashedTopic::new(topic)),
                matching.map(|(_, qos)| *qos).max()
            );
            if map.is_empty() {
                prop_assert_eq!(packed.memory(), 0);
            }
        }
    }
}
