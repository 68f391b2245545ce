//! [`TopicMap`]: which messages a bridge carries, and what their topics become on the other side.
//!
//! Follows mosquitto 2 (mosquitto.conf(5) `topic`, and how its bridges behave): the first line that goes the right way
//! and matches decides, lines with a prefix before those without, wherever they stand. Different from mosquitto:
//! - A message that no line matches is dropped instead of passed on under its own topic, so that what a persistent
//!   session on the other broker still holds of an older setting does not come in.
//! - With `#` behind a prefix, the topic that is the prefix without its last `/` is mapped to the other prefix without
//!   it. mosquitto puts the other prefix in front of the whole topic.
//! - A topic that would begin with `$` is refused: those are each broker's own (MQTT 3.1.1 §4.7.2).
//! - A filter that another line's filter covers is not subscribed a second time.

use alloc::{borrow::Cow, boxed::Box, format, vec::Vec};

use espbroker_mqtt::{
    QoS, Subscription, TopicFilter, TopicName, filter_covers, filter_matches, filters_overlap,
};

use crate::{
    bridge::settings::{BridgeTopic, Direction},
    room::{Need, Room},
};

/// The lines of one bridge. Takes the place of the [`BridgeTopic`]s, which are not needed any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicMap(Box<[Line]>);

#[derive(Clone, Debug)]
struct Line {
    local: Side,
    remote: Side,
    direction: Direction,
    qos: QoS,
}

/// What a line is about on one side.
#[derive(Clone, Debug)]
struct Side {
    /// Prefix and pattern.
    filter: Box<str>,
    prefix_length: u16,
}

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    In,
}

/// A message's topic on the other side: `prefix` and `rest` in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapped<'a> {
    /// From the map.
    pub(crate) prefix: &'a str,
    /// The end of the message's own topic.
    pub(crate) rest: &'a str,
    /// Highest QoS for it on the other side.
    pub(crate) qos: QoS,
}

impl<'a> Mapped<'a> {
    /// In one piece; a copy only if it has two.
    pub(crate) fn topic(&self) -> Cow<'a, str> {
        match (self.prefix, self.rest) {
            ("", topic) | (topic, "") => Cow::Borrowed(topic),
            (prefix, rest) => Cow::Owned(format!("{prefix}{rest}")),
        }
    }

    /// The same; `None` if there is no memory for the copy.
    pub(crate) fn topic_within(&self, room: &mut Room) -> Option<Cow<'a, str>> {
        let is_copied = !self.prefix.is_empty() && !self.rest.is_empty();
        (!is_copied || room.take(self.length(), Need::Service)).then(|| self.topic())
    }

    /// Bytes of the topic.
    pub(crate) const fn length(&self) -> usize {
        self.prefix.len() + self.rest.len()
    }

    /// Not empty, not too long, not reserved; the parts themselves have no wildcards.
    fn is_topic_name(&self) -> bool {
        let first = self.prefix.bytes().chain(self.rest.bytes()).next();
        first.is_some_and(|first| first != b'$') && u16::try_from(self.length()).is_ok()
    }
}

impl Side {
    fn new(prefix: &str, pattern: &str) -> Option<Self> {
        let filter = format!("{prefix}{pattern}").into_boxed_str();
        TopicFilter::new(&filter).ok()?;
        if prefix.bytes().any(|byte| matches!(byte, b'+' | b'#')) {
            return None;
        }
        let prefix_length = u16::try_from(prefix.len()).ok()?;
        Some(Self { filter, prefix_length })
    }

    fn prefix(&self) -> &str {
        self.filter.get(..usize::from(self.prefix_length)).unwrap_or_default()
    }
}

impl Line {
    /// `None` for a line that mosquitto refuses, see [`BridgeTopic`].
    fn new(topic: &BridgeTopic) -> Option<Self> {
        let side = |prefix| Side::new(prefix, &topic.pattern);
        let (local, remote) = (side(&topic.local_prefix)?, side(&topic.remote_prefix)?);
        Some(Self { local, remote, direction: topic.direction, qos: topic.qos })
    }

    fn goes(&self, way: Way) -> bool {
        match self.direction {
            Direction::Both => true,
            Direction::Out => way == Way::Out,
            Direction::In => way == Way::In,
        }
    }

    const fn sides(&self, way: Way) -> (&Side, &Side) {
        match way {
            Way::Out => (&self.local, &self.remote),
            Way::In => (&self.remote, &self.local),
        }
    }

    const fn is_plain(&self) -> bool {
        self.local.prefix_length == 0 && self.remote.prefix_length == 0
    }
}

impl TopicMap {
    /// Keeps the lines that carry something.
    pub(crate) fn new(topics: &[BridgeTopic]) -> Self {
        let mut lines: Vec<Line> = Vec::with_capacity(topics.len());
        let mut others = 0;
        // Apart from this, lines stay in their order.
        for line in topics.iter().filter_map(Line::new) {
            if line.is_plain() {
                lines.push(line);
            } else {
                lines.insert(others, line);
                others += 1;
            }
        }
        Self(lines.into_boxed_slice())
    }

    /// Heap bytes in use.
    pub(crate) fn memory(&self) -> usize {
        let texts = self.0.iter().map(|line| line.local.filter.len() + line.remote.filter.len());
        size_of_val(&*self.0) + texts.sum::<usize>()
    }

    /// What the bridge subscribes to on the other broker.
    ///
    /// Filters that only overlap stay apart, and the standard lets the other broker send a message once for each
    /// (MQTT 3.1.1 §3.3.5); such a message comes twice.
    pub(crate) fn remote_filters(&self) -> impl Iterator<Item = Subscription<'_>> {
        self.subscriptions(Way::In)
    }

    /// Where a message with this topic here goes on the other broker; `None` when nowhere.
    pub(crate) fn outgoing<'a>(&'a self, local: TopicName<'a>) -> Option<Mapped<'a>> {
        self.map(Way::Out, local)
    }

    /// Where a message with this topic on the other broker goes here; `None` when nowhere.
    pub(crate) fn incoming<'a>(&'a self, remote: TopicName<'a>) -> Option<Mapped<'a>> {
        self.map(Way::In, remote)
    }

    /// Does a topic that starts with `$` go out.
    pub(crate) fn carries_reserved(&self) -> bool {
        self.sources(Way::Out).any(|(side, _)| side.filter.starts_with('$'))
    }

    /// Does the other broker send back what the bridge publishes there on this topic, if it takes the bridge for an
    /// ordinary client.
    pub(crate) fn comes_back(&self, remote: &[u8]) -> bool {
        self.sources(Way::In).any(|(side, _)| filter_matches(side.filter.as_bytes(), remote))
    }

    /// Are there topics of which it does.
    pub(crate) fn has_echoes(&self) -> bool {
        let mut out = self.0.iter().filter(|line| line.goes(Way::Out));
        out.any(|line| {
            let filter = line.remote.filter.as_bytes();
            self.sources(Way::In).any(|(side, _)| filters_overlap(side.filter.as_bytes(), filter))
        })
    }

    fn map<'a>(&'a self, way: Way, topic: TopicName<'a>) -> Option<Mapped<'a>> {
        let topic = topic.as_str();
        let line = self.0.iter().find(|line| {
            line.goes(way) && filter_matches(line.sides(way).0.filter.as_bytes(), topic.as_bytes())
        })?;
        let (from, to) = line.sides(way);
        let (prefix, rest) = match topic.strip_prefix(from.prefix()) {
            Some(rest) => (to.prefix(), rest),
            // Matched without the prefix: the pattern is `#` and the topic the level above.
            None => (to.prefix().strip_suffix('/')?, ""),
        };
        Some(Mapped { prefix, rest, qos: line.qos }).filter(Mapped::is_topic_name)
    }

    fn sources(&self, way: Way) -> impl Iterator<Item = (&Side, QoS)> {
        let lines = self.0.iter().filter(move |line| line.goes(way));
        lines.map(move |line| (line.sides(way).0, line.qos))
    }

    /// The filters that no other stands for, each with the highest QoS of those that it stands for.
    fn subscriptions(&self, way: Way) -> impl Iterator<Item = Subscription<'_>> {
        // Out, a message comes once, however many filters match it, and one of QoS 0 does not wait for the link. So a
        // filter takes in another one only if its QoS need not be raised. In, a message may come once for each filter,
        // and it is better that some come with a higher QoS.
        let stands_for = move |(wide, most): (&Side, QoS), (narrow, qos): (&Side, QoS)| {
            filter_covers(wide.filter.as_bytes(), narrow.filter.as_bytes()) && (way == Way::In || most >= qos)
        };
        self.sources(way).enumerate().filter_map(move |(place, source)| {
            // Of those that stand for each other the first is left.
            let taken_in = self.sources(way).enumerate().any(|(other_place, other)| {
                stands_for(other, source) && (other_place < place || !stands_for(source, other))
            });
            let own = self.sources(way).filter(|other| stands_for(source, *other));
            let qos = own.map(|(_, qos)| qos).max()?;
            let filter = TopicFilter::new(&source.0.filter).ok()?;
            (!taken_in).then_some(Subscription { filter, qos })
        })
    }
}

#[cfg(test)]
mod tests;
