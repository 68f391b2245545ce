//! [`Shared`]: topic filters without wildcards that several sessions have, kept once for all of them.
//!
//! A session has the number of such a filter in place of its text. So a message for many is compared with one text only,
//! and in each session with numbers. Of every filter either all sessions have the number, or all have the text.

use alloc::{boxed::Box, vec::Vec};

use espbroker_mqtt::TopicFilter;

use crate::{
    connection::Connection,
    packed::{Packed, words},
    room::{ALLOCATION, Need, Room},
    session::Session,
    subscriptions::{Subscriptions, hash},
    table::Table,
};

/// So many sessions must have a filter, before which its text takes less memory in each of them.
const SESSIONS: usize = 3;
/// Places by which the list grows.
const GROWTH: usize = 4;
/// The most numbers that there are.
const FILTERS: usize = 0x3fff;

/// The number of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SharedId(pub(crate) u32);

/// The filters by their numbers.
#[derive(Default)]
pub(crate) struct Shared {
    list: Vec<Filter>,
}

struct Filter {
    /// Empty while the number is nobody's.
    text: Box<[u32]>,
    hash: u16,
    sessions: u16,
}

impl Shared {
    /// The number of the text with this hash.
    #[inline]
    pub(crate) fn find(&self, text: &[u8], hash: u32) -> Option<SharedId> {
        let is_it = |filter: &Filter| u32::from(filter.hash) == hash && filter.text().is(text);
        let place = self.list.iter().position(is_it)?;
        u32::try_from(place).ok().map(SharedId)
    }

    /// The number of exactly this filter.
    pub(crate) fn find_filter(&self, filter: TopicFilter<'_>) -> Option<SharedId> {
        let text = filter.as_str().as_bytes();
        if self.list.is_empty() || filter.has_wildcard() { None } else { self.find(text, hash(words(text))) }
    }

    fn filter(&self, SharedId(number): SharedId) -> Option<&Filter> {
        self.list.get(usize::try_from(number).ok()?)
    }

    /// The text with this number.
    pub(crate) fn text(&self, id: SharedId) -> Packed<'_> {
        self.filter(id).map(Filter::text).unwrap_or_default()
    }

    /// Its hash.
    pub(crate) fn hash(&self, id: SharedId) -> u32 {
        self.filter(id).map_or(0, |filter| filter.hash.into())
    }

    /// One more session has it.
    pub(crate) fn take(&mut self, SharedId(number): SharedId) {
        let filter = usize::try_from(number).ok().and_then(|number| self.list.get_mut(number));
        if let Some(filter) = filter {
            filter.sessions += 1;
        }
    }

    /// One session less has it.
    pub(crate) fn release(&mut self, SharedId(number): SharedId) {
        let filter = usize::try_from(number).ok().and_then(|number| self.list.get_mut(number));
        if let Some(filter) = filter {
            filter.sessions = filter.sessions.saturating_sub(1);
            if filter.sessions == 0 {
                filter.text = Box::default();
            }
        }
        while self.list.pop_if(|filter| filter.sessions == 0).is_some() {}
        if self.list.is_empty() {
            self.list = Vec::new();
        }
    }

    /// A session is gone.
    pub(crate) fn release_all(&mut self, session: &Session) {
        for id in session.subscriptions.shared() {
            self.release(id);
        }
    }

    /// Shares a filter if enough sessions have it and there is memory for that; none of them may have its number.
    pub(crate) fn share(
        &mut self,
        filter: TopicFilter<'_>,
        connections: &mut Table,
        away: &mut [Box<Connection>],
        room: &mut Room,
    ) {
        let text = filter.as_str().as_bytes();
        let all = connections.len() + away.len();
        let having =
            (0..all).filter(|place| subscriptions(connections, away, *place).is_some_and(|it| it.has(text)));
        if filter.has_wildcard()
            || having.count() < SESSIONS
            || self.list.len() >= FILTERS
            || !room.take(self.growth(text.len()), Need::Growth)
        {
            return;
        }
        let id = self.add(text);
        for place in 0..all {
            let Some(subscriptions) = subscriptions(connections, away, place).filter(|it| it.has(text))
            else {
                continue;
            };
            subscriptions.share(text, id);
            if room.take(subscriptions.memory(), Need::Growth) {
                subscriptions.shrink();
            }
            self.take(id);
        }
    }

    /// Bytes that one more takes.
    fn growth(&self, length: usize) -> usize {
        let list = if self.list.len() < self.list.capacity() { 0 } else { self.list.len() + GROWTH };
        Subscriptions::growth(length) + ALLOCATION + list * size_of::<Filter>()
    }

    /// Adds a filter that nobody has yet.
    pub(crate) fn add(&mut self, text: &[u8]) -> SharedId {
        let hash = hash(words(text));
        let mut all = Vec::with_capacity(text.len().div_ceil(size_of::<u32>()));
        all.extend(words(text));
        let text = all.into_boxed_slice();
        let new = Filter { text, hash: u16::try_from(hash).unwrap_or(0), sessions: 0 };
        let free = self.list.iter().position(|filter| filter.sessions == 0);
        let place = free.unwrap_or(self.list.len());
        if let Some(filter) = self.list.get_mut(place) {
            *filter = new;
        } else {
            if self.list.len() == self.list.capacity() {
                self.list.reserve_exact(GROWTH);
            }
            self.list.push(new);
        }
        SharedId(u32::try_from(place).unwrap_or(0))
    }

    /// Heap bytes in use.
    pub(crate) fn memory(&self) -> usize {
        self.list.capacity() * size_of::<Filter>()
            + self.list.iter().map(|filter| size_of_val(&*filter.text)).sum::<usize>()
    }
}

impl Filter {
    fn text(&self) -> Packed<'_> {
        Packed { head: &self.text, tail: &[] }
    }
}

/// Those at this place among those who are here and those away.
#[inline(never)]
fn subscriptions<'a>(
    connections: &'a mut Table,
    away: &'a mut [Box<Connection>],
    place: usize,
) -> Option<&'a mut Subscriptions> {
    let connection = match place.checked_sub(connections.len()) {
        None => connections.at(place),
        Some(place) => away.get_mut(place).map(Box::as_mut),
    };
    connection?.session.as_mut().map(|session| &mut session.subscriptions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_free_again_when_nobody_has_the_filter_any_more() {
        let mut shared = Shared::default();
        let [first, second] = ["a/b", "house/kitchen"].map(|text| {
            let id = shared.add(text.as_bytes());
            shared.take(id);
            id
        });
        shared.take(second);
        let find = |shared: &Shared, text| shared.find_filter(TopicFilter::new(text).unwrap());
        assert_eq!((find(&shared, "a/b"), find(&shared, "house/kitchen")), (Some(first), Some(second)));
        assert_eq!(shared.text(second).to_text(), "house/kitchen");
        shared.release(first);
        assert_eq!((find(&shared, "a/b"), find(&shared, "house/kitchen")), (None, Some(second)));
        assert_eq!(shared.add(b"c"), first);
        shared.take(first);
        for id in [second, first, second] {
            shared.release(id);
        }
        assert_eq!(shared.memory(), 0);
    }
}
