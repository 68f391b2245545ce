//! [`Subscriptions`]: the topic filters of one session, packed into one allocation.
//!
//! All of it is words, because the chip has to put together from single bytes whatever may lie across two of them. First
//! come the keys of all filters, a word each: the hash of a filter without wildcard, or [`ANY`] for one with (16 bits),
//! the number of words of all filters before it (14), the QoS granted (2). Then the filters in the same order, each
//! filled up to whole words with zeros, which no filter has in it (MQTT 3.1.1 §1.5.3). A message passes by almost every
//! session after looking at one bit for its hash, and by almost every filter after looking at its key; five subscriptions
//! to topics of 20 bytes take 120 bytes.

use alloc::vec::Vec;

use espbroker_mqtt::{QoS, TopicFilter, TopicName, filter_bytes_match};

/// Bytes of a word.
const WORD: usize = size_of::<u32>();
/// In the place of the hash of a filter with a wildcard, which has to be compared with every topic. No hash is the same.
const ANY: u16 = 0;
/// Bits of a key that tell where its filter begins, and how far they are shifted.
const START: u32 = 0x3fff;
const START_SHIFT: u32 = 2;
/// Bits of a key that are the QoS granted.
const QOS: u32 = 3;
/// Words of the longest topic that is compared by words: longer ones are rare.
const HEAD: usize = 12;

/// Where the words of a topic are put together.
pub(crate) type Scratch = [u32; HEAD];

/// A topic name with its hash, computed once for a message.
pub(crate) struct HashedTopic<'a> {
    text: &'a [u8],
    /// The words of the text; none if they are too many.
    words: &'a [u32],
    hash: u16,
    bit: u32,
}

impl<'a> HashedTopic<'a> {
    pub(crate) fn new(topic: TopicName<'a>, scratch: &'a mut Scratch) -> Self {
        let text = topic.as_str().as_bytes();
        scratch.iter_mut().zip(words(text)).for_each(|(place, word)| *place = word);
        let (words, hash) = match scratch.get(..text.len().div_ceil(WORD)) {
            Some(whole) => (whole, hash(whole.iter().copied())),
            None => (Default::default(), hash(words(text))),
        };
        Self { text, words, hash, bit: bit(hash) }
    }

    /// Is the topic this filter, which has no wildcard.
    fn is(&self, filter: &[u32]) -> bool {
        words(self.text).eq(filter.iter().copied())
    }
}

/// The words of a text, the last one filled up with zeros.
#[inline]
fn words(text: &[u8]) -> impl Iterator<Item = u32> {
    let (whole, rest) = text.as_chunks::<WORD>();
    let last = (!rest.is_empty())
        .then(|| rest.iter().rev().fold(0, |word, byte| word << u8::BITS | u32::from(*byte)));
    whole.iter().map(|word| u32::from_le_bytes(*word)).chain(last)
}

/// The bytes of a text that is kept in words.
struct Text<'a> {
    words: core::slice::Iter<'a, u32>,
    /// What is left of the present word.
    word: u32,
}

impl Iterator for Text<'_> {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        if self.word == 0 {
            self.word = *self.words.next()?;
        }
        let [byte, ..] = self.word.to_le_bytes();
        self.word >>= u8::BITS;
        Some(byte)
    }
}

/// One of 32, by bits of the hash that are as good as any.
const fn bit(hash: u16) -> u32 {
    1 << (hash >> 11)
}

/// A multiplicative hash of words, folded to 16 bits of which one is always set. Its factor is that of FNV-1a for 32 bits.
fn hash(words: impl Iterator<Item = u32>) -> u16 {
    let hash = words.fold(0x811c_9dc5_u32, |hash, word| {
        let mixed = (hash ^ word).wrapping_mul(0x0100_0193);
        mixed ^ mixed >> 15
    });
    let [a, b, c, d] = hash.to_le_bytes();
    u16::from_le_bytes([a ^ c | 1, b ^ d])
}

/// The filters of one session.
#[derive(Default)]
pub(crate) struct Subscriptions {
    words: Vec<u32>,
    /// The bits of all hashes; all of them as soon as a filter has a wildcard. Bits of removed filters stay until the last
    /// one goes.
    bits: u32,
    count: u16,
    /// How many of them have a wildcard.
    wildcards: u16,
}

/// Where the filter with this number begins and ends.
#[inline]
fn bounds(keys: &[u32], filters: &[u32], number: usize) -> Option<(usize, usize)> {
    let end = keys.get(number + 1).map_or(filters.len(), |next| start(*next));
    keys.get(number).map(|key| (start(*key), end))
}

/// What came of a quick look.
#[derive(Clone, Copy)]
pub(crate) enum Found {
    Nothing,
    Granted(QoS),
    /// Only comparing with all filters can tell.
    Perhaps,
}

/// The key of a filter that begins at the word `start`, of which there are few enough.
fn key(hash: u16, start: usize, qos: QoS) -> u32 {
    let start = u32::try_from(start).unwrap_or(0) & START;
    u32::from(hash) << 16 | start << START_SHIFT | u32::from(qos.number())
}

/// Where the filter of a key begins.
#[inline]
fn start(key: u32) -> usize {
    let [low, high, ..] = key.to_le_bytes();
    usize::from(u16::from_le_bytes([low, high]) >> START_SHIFT)
}

/// The QoS of a key.
#[inline]
fn granted(key: u32) -> QoS {
    match key & QOS {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

impl Subscriptions {
    /// Keys and filters.
    #[inline]
    fn parts(&self) -> (&[u32], &[u32]) {
        self.words.split_at_checked(usize::from(self.count)).unwrap_or_default()
    }

    /// The filter with this number.
    fn filter(&self, number: usize) -> &[u32] {
        let (keys, filters) = self.parts();
        bounds(keys, filters, number).and_then(|(start, end)| filters.get(start..end)).unwrap_or_default()
    }

    /// The number of exactly this filter.
    fn find(&self, filter: TopicFilter<'_>) -> Option<usize> {
        let text = filter.as_str().as_bytes();
        (0..usize::from(self.count)).find(|number| words(text).eq(self.filter(*number).iter().copied()))
    }

    /// Lets the filters from the one with this number on begin so many words earlier.
    fn move_starts(&mut self, first: usize, earlier: usize) {
        for place in self.words.get_mut(first..usize::from(self.count)).unwrap_or_default() {
            let [.., low, high] = place.to_le_bytes();
            let start = start(*place).saturating_sub(earlier);
            *place = key(u16::from_le_bytes([low, high]), start, granted(*place));
        }
    }

    /// Number of subscriptions and length of their filters.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let count = usize::from(self.count);
        let length = |number| {
            let filter = self.filter(number);
            let zeros =
                filter.last().map_or(0, |word| word.to_le_bytes().iter().filter(|b| **b == 0).count());
            filter.len() * WORD - zeros
        };
        (count, (0..count).map(length).sum())
    }

    /// Grants a subscription that is there another QoS; `false` when it is not there.
    pub(crate) fn grant(&mut self, filter: TopicFilter<'_>, qos: QoS) -> bool {
        let Some(number) = self.find(filter) else { return false };
        if let Some(key) = self.words.get_mut(number) {
            *key = *key & !QOS | u32::from(qos.number());
        }
        true
    }

    /// Bytes by which another filter of this length makes them longer.
    pub(crate) const fn growth(length: usize) -> usize {
        (1 + length.div_ceil(WORD)) * WORD
    }

    /// Whether another filter of this length can be told apart from the others; far beyond every limit.
    pub(crate) fn can_hold(&self, length: usize) -> bool {
        u32::try_from(self.words.len() + Self::growth(length) / WORD).is_ok_and(|words| words <= START)
    }

    /// Adds a filter that is not there yet and for which there is room.
    pub(crate) fn add(&mut self, filter: TopicFilter<'_>, qos: QoS) {
        let text = filter.as_str().as_bytes();
        let hash = if filter.has_wildcard() { ANY } else { hash(words(text)) };
        self.words.reserve_exact(Self::growth(text.len()) / WORD);
        self.words.insert(usize::from(self.count), key(hash, self.parts().1.len(), qos));
        self.words.extend(words(text));
        self.count += 1;
        self.wildcards += u16::from(filter.has_wildcard());
        self.bits |= if filter.has_wildcard() { u32::MAX } else { bit(hash) };
    }

    /// Gives back what is not used, which takes a copy of the rest.
    pub(crate) fn shrink(&mut self) {
        self.words.shrink_to_fit();
    }

    /// Removes a filter, if it is there.
    pub(crate) fn remove(&mut self, filter: TopicFilter<'_>) {
        let Some(number) = self.find(filter) else { return };
        let (keys, filters) = self.parts();
        let Some((start, end)) = bounds(keys, filters, number) else { return };
        let before = keys.len();
        self.move_starts(number + 1, end - start);
        self.words.drain(before + start..before + end);
        self.words.remove(number);
        self.count -= 1;
        self.wildcards -= u16::from(filter.has_wildcard());
        if self.count == 0 {
            self.shrink();
            self.bits = 0;
        }
    }

    /// The highest QoS of the filters that match; `None` when none does.
    #[cfg(test)]
    fn matches(&self, topic: &HashedTopic<'_>) -> Option<QoS> {
        match self.look_up(topic) {
            Found::Nothing => None,
            Found::Granted(qos) => Some(qos),
            Found::Perhaps => self.compare(topic),
        }
    }

    /// Looks for the one filter that a topic can match when none has a wildcard.
    #[inline]
    pub(crate) fn look_up(&self, topic: &HashedTopic<'_>) -> Found {
        if self.bits & topic.bit == 0 {
            return Found::Nothing;
        }
        if self.wildcards != 0 {
            return Found::Perhaps;
        }
        let (mut keys, filters) = self.parts();
        // Nearly all keys are passed by, so this loop does nothing else.
        let key = loop {
            let [key, others @ ..] = keys else { return Found::Nothing };
            keys = others;
            if key >> 16 == u32::from(topic.hash) {
                break *key;
            }
        };
        let (start, end) = (start(key), keys.first().map_or(filters.len(), |next| start(*next)));
        // No filter has no words.
        if end == start + topic.words.len()
            && let Some(filter) = filters.get(start..)
            && filter.iter().zip(topic.words).all(|(a, b)| a == b)
        {
            Found::Granted(granted(key))
        } else {
            Found::Perhaps
        }
    }

    /// Compares a topic with all filters. The highest QoS of those that match; `None` when none does.
    #[inline(never)]
    pub(crate) fn compare(&self, topic: &HashedTopic<'_>) -> Option<QoS> {
        let mut highest = None;
        for (number, key) in self.parts().0.iter().enumerate() {
            let hash = key >> 16;
            let matches = if hash == u32::from(ANY) {
                filter_bytes_match(Text { words: self.filter(number).iter(), word: 0 }, topic.text)
            } else {
                hash == u32::from(topic.hash) && topic.is(self.filter(number))
            };
            if matches {
                highest = highest.max(Some(granted(*key)));
            }
        }
        highest
    }

    /// Can any filter match a topic that begins with `$` (§4.7.2).
    pub(crate) fn want_system(&self) -> bool {
        (0..usize::from(self.count)).any(|number| {
            self.filter(number).first().is_some_and(|word| word.to_le_bytes().starts_with(b"$"))
        })
    }

    /// Heap bytes in use.
    pub(crate) const fn memory(&self) -> usize {
        self.words.capacity() * WORD
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, string::String};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn five_subscriptions_to_topics_of_20_bytes_take_120_bytes() {
        let mut subscriptions = Subscriptions::default();
        for index in 0..5 {
            let filter = alloc::format!("house/kitchen/lamp/{index}");
            subscriptions.add(TopicFilter::new(&filter).unwrap(), QoS::AtLeastOnce);
        }
        assert_eq!(subscriptions.memory(), 120);
        assert_eq!(subscriptions.totals(), (5, 100));
    }

    proptest! {
        #[test]
        fn packed_filters_behave_like_a_map_of_filters(
            steps in proptest::collection::vec((any::<bool>(), "[ab+]/[ab#]|[ab]|#|a{46,48}[ab]{0,2}", 0_u8..3), 0..20),
            topic in "[ab]/[ab]|[ab]|a{46,48}[ab]{0,2}",
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
                packed.matches(&HashedTopic::new(topic, &mut [0; HEAD])),
                matching.map(|(_, qos)| *qos).max()
            );
            if map.is_empty() {
                prop_assert_eq!(packed.memory(), 0);
            }
        }
    }
}
