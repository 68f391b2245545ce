//! [`Subscriptions`]: the client identifier and the topic filters of one session, packed into one allocation.
//!
//! All of it is words ([`Packed`]). First come the numbers of filters that are [`Shared`], each with its QoS (2 bits). Then
//! come the keys of all others, a word each: the hash of a filter without
//! wildcard, or [`ANY`] for one with (12 bits), the number of words before its own (14), how many words it has in common
//! with the others (4), the QoS granted (2). One more key ends them. Then comes, once, what filters have in common, since
//! devices like to subscribe to topics that begin alike; then the rest of each filter, in the order of the keys, and last
//! the client identifier, whose number of words is in the place of the last two parts of the last key.
//!
//! A message passes by almost every session after looking at two bits for its hash, and by almost every filter after
//! looking at its key. Five subscriptions to topics of 20 bytes take 124 bytes, or 60 if 16 bytes are the same in all.

use alloc::{boxed::Box, vec::Vec};

use espbroker_mqtt::{QoS, TopicFilter, TopicName, filter_bytes_match};

use crate::{
    packed::{Packed, WORD, words},
    room::{Need, Room},
    shared::{Shared, SharedId},
};

/// In the place of the hash of a filter with a wildcard, which has to be compared with every topic. No hash is the same.
const ANY: u32 = 0;
/// Where the parts of a key begin.
const HASH_SHIFT: u32 = 20;
const START_SHIFT: u32 = 6;
const COMMON_SHIFT: u32 = 2;
/// The most that the parts of a key can be.
const START: u32 = 0x3fff;
const COMMON: u32 = 0xf;
const QOS: u32 = 3;
/// Where the number of a shared filter begins.
const SHARED_SHIFT: u32 = 2;
/// Bits of the last key that are the length of the client identifier.
const CLIENT_ID: u32 = 0x3f;
/// Words that filters may have in common.
const COMMON_MAX: usize = 15;
/// Words of the longest topic that is compared by words: longer ones are rare.
const HEAD: usize = 12;

/// Where the words of a topic are put together.
pub(crate) type Scratch = [u32; HEAD];

/// A topic name with its hash, computed once for a message.
pub(crate) struct HashedTopic<'a> {
    text: &'a [u8],
    /// The words of the text; none if they are too many.
    words: &'a [u32],
    hash: u32,
    bits: u32,
    /// Its number if it is the text of a shared filter.
    shared: Option<SharedId>,
}

impl<'a> HashedTopic<'a> {
    pub(crate) fn new(topic: TopicName<'a>, scratch: &'a mut Scratch, shared: &Shared) -> Self {
        let text = topic.as_str().as_bytes();
        scratch.iter_mut().zip(words(text)).for_each(|(place, word)| *place = word);
        let (words, hash) = match scratch.get(..text.len().div_ceil(WORD)) {
            Some(whole) => {
                let mut hash = SEED;
                for word in whole {
                    hash = mixed(hash, *word);
                }
                (whole, folded(hash))
            }
            None => (Default::default(), hash(words(text))),
        };
        Self { text, words, hash, bits: bits(hash), shared: shared.find(text, hash) }
    }
}

/// Two of 32, or one, by bits of the hash that are as good as any.
const fn bits(hash: u32) -> u32 {
    1 << (hash >> 7) | 1 << (hash >> 2 & 0x1f)
}

/// A multiplicative hash of words, folded to 12 bits of which one is always set. Its factor is that of FNV-1a for 32 bits.
pub(crate) fn hash(words: impl Iterator<Item = u32>) -> u32 {
    folded(words.fold(SEED, mixed))
}

/// The hash of no words.
const SEED: u32 = 0x811c_9dc5;

/// The hash with one more word.
#[inline(always)]
const fn mixed(hash: u32, word: u32) -> u32 {
    let mixed = (hash ^ word).wrapping_mul(0x0100_0193);
    mixed ^ mixed >> 15
}

/// The bits of it that are used.
#[inline(always)]
const fn folded(hash: u32) -> u32 {
    (hash ^ hash >> 16) & 0xfff | 1
}

/// Client identifier and filters of one session.
#[derive(Default)]
pub(crate) struct Subscriptions {
    /// What is behind the client identifier is not used: filters that were there take the block as long as they may.
    words: Box<[u32]>,
    /// The [`bits`] of all hashes; all of them as soon as a filter has a wildcard.
    bits: u32,
    /// Filters that are shared.
    shared: u16,
    /// Those that are not.
    count: u16,
}

/// What came of a quick look.
#[derive(Clone, Copy)]
pub(crate) enum Found {
    Nothing,
    Granted(QoS),
    /// Only comparing with all filters can tell.
    Perhaps,
}

/// What filters have in common.
#[derive(Clone, Copy, Default)]
struct Common {
    words: [u32; COMMON_MAX],
    count: usize,
}

impl Common {
    fn new(words: impl Iterator<Item = u32>) -> Self {
        let mut common = Self::default();
        for (place, word) in common.words.iter_mut().zip(words) {
            *place = word;
            common.count += 1;
        }
        common
    }

    fn words(&self) -> &[u32] {
        self.words.get(..self.count).unwrap_or_default()
    }

    /// How many words another text begins with.
    fn with(&self, text: impl Iterator<Item = u32>) -> usize {
        self.words().iter().zip(text).take_while(|(word, other)| *word == other).count()
    }
}

/// The key of a filter whose own words begin at the word `start`, of which there are few enough.
fn key(hash: u32, start: usize, common: usize, qos: QoS) -> u32 {
    let bits = |value: usize, most: u32| u32::try_from(value).unwrap_or(0) & most;
    hash << HASH_SHIFT
        | bits(start, START) << START_SHIFT
        | bits(common, COMMON) << COMMON_SHIFT
        | u32::from(qos.number())
}

/// The hash of a key.
#[inline]
const fn hash_of(key: u32) -> u32 {
    key >> HASH_SHIFT
}

/// Where the own words of a key's filter begin.
#[inline]
fn start(key: u32) -> usize {
    usize::try_from(key >> START_SHIFT & START).unwrap_or(0)
}

/// How many words are in common.
#[inline]
fn common(key: u32) -> usize {
    usize::try_from(key >> COMMON_SHIFT & COMMON).unwrap_or(0)
}

/// The length of the client identifier, by the last key.
fn client_id_words(end: u32) -> usize {
    usize::try_from(end & CLIENT_ID).unwrap_or(0)
}

/// The word of a shared filter.
fn number(SharedId(id): SharedId, qos: QoS) -> u32 {
    id << SHARED_SHIFT | u32::from(qos.number())
}

/// The QoS of a key, or of the word of a shared filter.
#[inline]
const fn granted(key: u32) -> QoS {
    match key & QOS {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

impl Subscriptions {
    /// None yet.
    pub(crate) fn new(client_id: &str) -> Self {
        let mut new = Self::default();
        let text = client_id.as_bytes();
        let length = u32::try_from(text.len().div_ceil(WORD)).ok();
        if let Some(length @ 1..=CLIENT_ID) = length {
            let mut all = Vec::with_capacity(Self::memory_of(client_id) / WORD);
            all.push(length);
            all.extend(words(text));
            new.words = all.into_boxed_slice();
        }
        new
    }

    /// Heap bytes of new ones.
    pub(crate) const fn memory_of(client_id: &str) -> usize {
        (1 + client_id.len().div_ceil(WORD)) * WORD
    }

    /// The client identifier.
    pub(crate) fn client_id(&self) -> Packed<'_> {
        let end = self.used();
        let start = end.saturating_sub(client_id_words(self.end().0));
        let tail = self.words.get(start..end).unwrap_or_default();
        Packed { head: &[], tail }
    }

    /// The numbers of the filters that are shared, with QoS.
    fn numbers(&self) -> &[u32] {
        self.words.get(..usize::from(self.shared)).unwrap_or_default()
    }

    /// What is behind these.
    fn own(&self) -> &[u32] {
        self.words.get(usize::from(self.shared)..).unwrap_or_default()
    }

    /// The filters that are shared.
    pub(crate) fn shared(&self) -> impl Iterator<Item = SharedId> {
        self.numbers().iter().map(|number| SharedId(number >> SHARED_SHIFT))
    }

    /// The last key, and what is behind it.
    fn end(&self) -> (u32, &[u32]) {
        match self.own().get(usize::from(self.count)..) {
            Some([end, rest @ ..]) => (*end, rest),
            _ => (0, &[]),
        }
    }

    /// Words in use.
    fn used(&self) -> usize {
        if self.words.is_empty() {
            return 0;
        }
        let (end, _) = self.end();
        usize::from(self.shared) + usize::from(self.count) + 1 + start(end) + client_id_words(end)
    }

    /// What the filters have in common.
    fn common(&self) -> Common {
        let (_, rest) = self.end();
        // The first filter's own words are behind it.
        let count = self.own().first().map_or(0, |key| start(*key));
        Common::new(rest.iter().take(count).copied())
    }

    /// The filter with this number.
    fn filter(&self, number: usize) -> Packed<'_> {
        let Some((keys, rest)) = self.own().split_at_checked(usize::from(self.count) + 1) else {
            return Packed::default();
        };
        let Some([key, next, ..]) = keys.get(number..) else { return Packed::default() };
        Packed {
            head: rest.get(..common(*key)).unwrap_or_default(),
            tail: rest.get(start(*key)..start(*next)).unwrap_or_default(),
        }
    }

    /// The keys, without the last one.
    fn keys(&self) -> &[u32] {
        let first = usize::from(self.shared);
        self.words.get(first..first + usize::from(self.count)).unwrap_or_default()
    }

    fn filters(&self) -> impl Iterator<Item = Packed<'_>> + Clone {
        (0..usize::from(self.count)).map(|number| self.filter(number))
    }

    /// Where the key of exactly this filter, which is not shared, is among the words.
    fn find(&self, text: &[u8]) -> Option<usize> {
        let place = self.filters().position(|known| known.is(text))?;
        Some(usize::from(self.shared) + place)
    }

    /// Is exactly this filter among those that are not shared.
    pub(crate) fn has(&self, text: &[u8]) -> bool {
        self.bits | bits(hash(words(text))) == self.bits && self.find(text).is_some()
    }

    /// Where the number of exactly this filter, which is shared, is among the words.
    fn find_shared(&self, text: &[u8], shared: &Shared) -> Option<usize> {
        if self.shared == 0 {
            return None;
        }
        let id = shared.find(text, hash(words(text)))?;
        self.shared().position(|known| known == id)
    }

    /// Number of subscriptions and length of their filters.
    pub(crate) fn totals(&self, shared: &Shared) -> (usize, usize) {
        let all = self.filters().chain(self.shared().map(|id| shared.text(id)));
        (usize::from(self.count) + usize::from(self.shared), all.map(Packed::length).sum())
    }

    /// Grants a subscription that is there another QoS; `false` when it is not there.
    pub(crate) fn grant(&mut self, filter: TopicFilter<'_>, qos: QoS, shared: &Shared) -> bool {
        let text = filter.as_str().as_bytes();
        let Some(place) = self.find(text).or_else(|| self.find_shared(text, shared)) else { return false };
        if let Some(key) = self.words.get_mut(place) {
            *key = *key & !QOS | u32::from(qos.number());
        }
        true
    }

    /// Adds a shared filter that is not there yet and for which there is room.
    pub(crate) fn add_shared(&mut self, id: SharedId, qos: QoS, shared: &Shared) {
        self.reserve(1);
        self.put_number(id, qos);
        self.bits |= bits(shared.hash(id));
    }

    /// Puts the number of a filter behind the others; there is a place for it.
    fn put_number(&mut self, id: SharedId, qos: QoS) {
        let (used, place) = (self.used(), usize::from(self.shared));
        self.words.copy_within(place..used, place + 1);
        if let Some(place) = self.words.get_mut(place) {
            *place = number(id, qos);
        }
        self.shared += 1;
    }

    /// Makes room for so many words more.
    #[inline(never)]
    fn reserve(&mut self, more: usize) {
        // There is always a last key.
        let used = self.used().max(1);
        if used + more > self.words.len() {
            let mut new = Vec::with_capacity(used + more);
            new.extend_from_slice(self.words.get(..used).unwrap_or_default());
            new.resize(used + more, 0);
            self.words = new.into_boxed_slice();
        }
    }

    /// Has the number of a filter from now on in place of its text.
    pub(crate) fn share(&mut self, text: &[u8], id: SharedId) {
        let Some(place) = self.find(text) else { return };
        let qos = self.words.get(place).map_or(QoS::AtMostOnce, |key| granted(*key));
        self.remove_at(place);
        // The key has left a place.
        self.put_number(id, qos);
    }

    /// Bytes by which another filter of this length makes them longer at most.
    pub(crate) const fn growth(length: usize) -> usize {
        (1 + length.div_ceil(WORD)) * WORD
    }

    /// Whether another filter of this length can be told apart from the others; far beyond every limit.
    pub(crate) fn can_hold(&self, length: usize) -> bool {
        let (end, _) = self.end();
        u32::try_from(start(end) + length.div_ceil(WORD)).is_ok_and(|words| words <= START)
    }

    /// Adds a filter that is not there yet and for which there is room.
    pub(crate) fn add(&mut self, filter: TopicFilter<'_>, qos: QoS) {
        let text = filter.as_str().as_bytes();
        let hash = if filter.has_wildcard() { ANY } else { hash(words(text)) };
        let common = self.common().with(words(text));
        let own = text.len().div_ceil(WORD) - common;
        self.reserve(1 + own);
        let (used, place) = (self.used(), usize::from(self.shared) + usize::from(self.count));
        let begin = start(self.end().0);
        let behind = place + 1 + begin;
        self.words.copy_within(behind..used, behind + 1 + own);
        self.words.copy_within(place..behind, place + 1);
        if let Some([new, end, texts @ ..]) = self.words.get_mut(place..) {
            *new = key(hash, begin, common, qos);
            *end = key(ANY, begin + own, 0, QoS::AtMostOnce) | *end & CLIENT_ID;
            let free = texts.get_mut(begin..).unwrap_or_default();
            free.iter_mut().zip(words(text).skip(common)).for_each(|(place, word)| *place = word);
        }
        self.count += 1;
        self.bits |= if hash == ANY { u32::MAX } else { bits(hash) };
    }

    /// Looks whether the filters take less when they have in common what this one, which was added, begins with.
    pub(crate) fn look_for_common(&mut self, filter: TopicFilter<'_>, room: &mut Room) {
        let (common, other) = (self.common(), Common::new(words(filter.as_str().as_bytes())));
        if common.with(other.words().iter().copied()) == 0
            && self.saved(&other) + common.count > self.saved(&common) + other.count
            && room.take(self.memory(), Need::Growth)
        {
            self.pack(&other);
        }
    }

    /// Words that the filters do not take because they have these in common.
    fn saved(&self, common: &Common) -> usize {
        self.filters().map(|filter| common.with(filter.words())).sum()
    }

    /// Puts everything into a new block without a gap.
    #[inline(never)]
    fn pack(&mut self, common: &Common) {
        let (client_id, numbers) = (self.client_id(), self.numbers());
        let all = self.filters().map(Packed::count).sum::<usize>() - self.saved(common);
        let keys = numbers.len() + self.keys().len() + 1;
        let mut words = Vec::with_capacity(keys + common.count + all + client_id.count());
        words.extend_from_slice(numbers);
        let mut begin = common.count;
        for (old, filter) in self.keys().iter().zip(self.filters()) {
            let with = common.with(filter.words());
            words.push(key(hash_of(*old), begin, with, granted(*old)));
            begin += filter.count() - with;
        }
        words.push(key(ANY, begin, 0, QoS::AtMostOnce) | self.end().0 & CLIENT_ID);
        words.extend_from_slice(common.words());
        for filter in self.filters() {
            let own = filter.behind(common.with(filter.words()));
            words.extend_from_slice(own.head);
            words.extend_from_slice(own.tail);
        }
        words.extend_from_slice(client_id.tail);
        self.words = words.into_boxed_slice();
    }

    /// Gives back what is not used, which takes a copy of the rest.
    pub(crate) fn shrink(&mut self) {
        if self.used() < self.words.len() {
            let mut common = self.common();
            if self.saved(&common) <= common.count {
                common.count = 0;
            }
            self.pack(&common);
        }
    }

    /// Removes a filter, if it is there. What it took is not given back.
    pub(crate) fn remove(&mut self, filter: TopicFilter<'_>, shared: &mut Shared) {
        let text = filter.as_str().as_bytes();
        if let Some(place) = self.find(text) {
            self.remove_at(place);
        } else if let Some(place) = self.find_shared(text, shared) {
            let used = self.used();
            if let Some(number) = self.words.get(place) {
                shared.release(SharedId(number >> SHARED_SHIFT));
            }
            self.words.copy_within(place + 1..used, place);
            self.shared -= 1;
        }
        let keys = self.keys().iter().map(|key| hash_of(*key));
        let hashes = keys.chain(self.shared().map(|id| shared.hash(id)));
        self.bits = hashes.fold(0, |all, hash| if hash == ANY { u32::MAX } else { all | bits(hash) });
    }

    /// Removes a filter that is not shared.
    fn remove_at(&mut self, number: usize) {
        let length = self.filter(number - usize::from(self.shared)).tail.len();
        let (used, keys) = (self.used(), usize::from(self.shared) + usize::from(self.count) + 1);
        let behind = keys + self.words.get(number).map_or(0, |key| start(*key));
        for place in self.words.get_mut(number + 1..keys).unwrap_or_default() {
            let start = u32::try_from(start(*place).saturating_sub(length)).unwrap_or(0);
            *place = *place & !(START << START_SHIFT) | start << START_SHIFT;
        }
        self.words.copy_within(behind + length..used, behind);
        self.words.copy_within(number + 1..used - length, number);
        self.count -= 1;
    }

    /// The highest QoS of the filters that match; `None` when none does.
    #[cfg(test)]
    fn matches(&self, topic: &HashedTopic<'_>) -> Option<QoS> {
        let found = if self.may_match(topic) { self.look_up(topic) } else { Found::Nothing };
        match found {
            Found::Nothing => None,
            Found::Granted(qos) => Some(qos),
            Found::Perhaps => self.compare(topic),
        }
    }

    /// Is there a filter that the topic may match.
    #[inline]
    pub(crate) const fn may_match(&self, topic: &HashedTopic<'_>) -> bool {
        self.bits & topic.bits == topic.bits
    }

    /// Looks for the one filter that a topic can match when none has a wildcard.
    #[inline]
    pub(crate) fn look_up(&self, topic: &HashedTopic<'_>) -> Found {
        if self.bits == u32::MAX {
            return Found::Perhaps;
        }
        let Some(SharedId(id)) = topic.shared else {
            return self.with_hash(topic.hash).map_or(Found::Nothing, |number| self.look_at(number, topic));
        };
        match self.numbers().iter().find(|number| *number >> SHARED_SHIFT == id) {
            Some(number) => Found::Granted(granted(*number)),
            None => Found::Nothing,
        }
    }

    /// Looks for a filter that is not shared by its hash, as nearly every filter is passed by.
    ///
    /// Calls nothing, so that all it needs stays in registers.
    #[inline(never)]
    fn with_hash(&self, hash: u32) -> Option<usize> {
        self.keys().iter().position(|key| hash_of(*key) == hash)
    }

    /// Is the filter with this number the topic.
    #[inline(never)]
    fn look_at(&self, number: usize, topic: &HashedTopic<'_>) -> Found {
        let Packed { head, tail } = self.filter(number);
        // No filter has no words, nor has a topic that is too long for this.
        if let Some((start, end)) = topic.words.split_at_checked(head.len())
            && tail.len() == end.len()
            && are_same(tail, end)
            && are_same(head, start)
        {
            Found::Granted(self.keys().get(number).map_or(QoS::AtMostOnce, |key| granted(*key)))
        } else {
            Found::Perhaps
        }
    }

    /// Compares a topic with all filters. The highest QoS of those that match; `None` when none does.
    #[inline(never)]
    pub(crate) fn compare(&self, topic: &HashedTopic<'_>) -> Option<QoS> {
        let shared = topic
            .shared
            .and_then(|SharedId(id)| self.numbers().iter().find(|number| *number >> SHARED_SHIFT == id));
        let mut highest = shared.map(|number| granted(*number));
        for (number, key) in self.keys().iter().enumerate() {
            let matches = match hash_of(*key) {
                ANY => filter_bytes_match(self.filter(number).bytes(), topic.text),
                hash => hash == topic.hash && self.filter(number).is(topic.text),
            };
            if matches {
                highest = highest.max(Some(granted(*key)));
            }
        }
        highest
    }

    /// Can any filter match a topic that begins with `$` (§4.7.2).
    pub(crate) fn want_system(&self, shared: &Shared) -> bool {
        let mut all = self.filters().chain(self.shared().map(|id| shared.text(id)));
        all.any(|filter| filter.bytes().next() == Some(b'$'))
    }

    /// Heap bytes in use.
    pub(crate) const fn memory(&self) -> usize {
        self.words.len() * WORD
    }
}

/// Are they the same, of which there are as many.
#[inline]
fn are_same(words: &[u32], others: &[u32]) -> bool {
    words.iter().zip(others).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, string::String};

    use proptest::prelude::*;

    use super::*;

    fn add(subscriptions: &mut Subscriptions, text: &str, qos: QoS) {
        let filter = TopicFilter::new(text).unwrap();
        subscriptions.add(filter, qos);
        subscriptions.look_for_common(filter, &mut Room::new(0));
    }

    fn five(topic: impl Fn(u8) -> String) -> Subscriptions {
        let mut subscriptions = Subscriptions::default();
        for index in 0..5 {
            add(&mut subscriptions, &topic(index), QoS::AtLeastOnce);
        }
        assert_eq!(subscriptions.totals(&Shared::default()), (5, 100));
        subscriptions
    }

    #[test]
    fn five_subscriptions_to_topics_of_20_bytes_take_124_bytes_or_60_if_they_begin_alike() {
        assert_eq!(five(|index| alloc::format!("{index}/house/kitchen/lamp")).memory(), 124);
        assert_eq!(five(|index| alloc::format!("house/kitchen/lamp/{index}")).memory(), 60);
    }

    #[test]
    fn what_the_others_have_in_common_is_found_whichever_comes_first() {
        let mut lengths = [0; 3];
        for (order, length) in [[0, 1, 2, 3], [3, 0, 1, 2], [0, 3, 1, 2]].into_iter().zip(&mut lengths) {
            let mut subscriptions = Subscriptions::new("client");
            for index in order {
                let filter =
                    if index == 3 { "all".into() } else { alloc::format!("house/kitchen/lamp/{index}") };
                add(&mut subscriptions, &filter, QoS::AtMostOnce);
            }
            assert_eq!(subscriptions.client_id().to_text(), "client");
            *length = subscriptions.memory();
        }
        // Keys, their end, what is not in common, what is, the identifier.
        assert_eq!(lengths, [(4 + 1 + 3 + 5 + 2) * WORD; 3]);
    }

    proptest! {
        #[test]
        fn packed_filters_behave_like_a_map_of_filters(
            client_id in "[ab]{0,9}",
            steps in proptest::collection::vec(
                (0_u8..3, "[ab+]/[ab#]|[ab]|#|(abcd){0,4}[ab]{1,5}|a{46,48}[ab]{0,2}|a{60,64}", 0_u8..3),
                0..20,
            ),
            topic in "[ab]/[ab]|[ab]|(abcd){0,4}[ab]{1,5}|a{46,48}[ab]{0,2}|a{60,64}",
            shrinks: bool,
            are_shared in proptest::collection::vec(any::<bool>(), 20),
        ) {
            let mut packed = Subscriptions::new(&client_id);
            let mut shared = Shared::default();
            let mut map = BTreeMap::<String, QoS>::new();
            for ((step, text, qos), is_shared) in steps.iter().zip(are_shared) {
                let filter = TopicFilter::new(text).unwrap();
                let qos = QoS::from_number(*qos).unwrap();
                if *step > 0 {
                    let known = packed.grant(filter, qos, &shared);
                    prop_assert_eq!(known, map.insert(text.clone(), qos).is_some());
                    let most = packed.memory() + Subscriptions::growth(text.len()) + WORD;
                    if !known && let Some(id) = shared.find_filter(filter) {
                        packed.add_shared(id, qos, &shared);
                        shared.take(id);
                    } else if !known {
                        add(&mut packed, text, qos);
                    }
                    if is_shared && !filter.has_wildcard() && shared.find_filter(filter).is_none() {
                        let id = shared.add(text.as_bytes());
                        // Another session has it as well, which keeps it.
                        shared.take(id);
                        shared.take(id);
                        packed.share(text.as_bytes(), id);
                    }
                    prop_assert!(packed.memory() <= most);
                } else {
                    map.remove(text);
                    packed.remove(filter, &mut shared);
                    if shrinks {
                        packed.shrink();
                    }
                }
                prop_assert_eq!(packed.client_id().to_text(), client_id.as_str());
            }
            prop_assert_eq!(packed.totals(&shared), (map.len(), map.keys().map(String::len).sum()));
            let topic = TopicName::new(&topic).unwrap();
            let matching = map.iter().filter(|(text, _)| TopicFilter::new(text).unwrap().matches(topic));
            prop_assert_eq!(
                packed.matches(&HashedTopic::new(topic, &mut [0; HEAD], &shared)),
                matching.map(|(_, qos)| *qos).max()
            );
            packed.shrink();
            if map.is_empty() {
                prop_assert!(packed.memory() <= Subscriptions::memory_of(&client_id));
            }
        }
    }
}
