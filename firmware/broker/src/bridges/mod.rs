//! [`Bridges`]: bridges at work, each with a link, a session for what is on its way, and a map of topics.
//!
//! A bridge has no local subscriptions as clients have them: a message that its map sends out is queued in its session
//! under the topic that it has on the other broker. Over the network it is a [`Connection`](crate::connection::Connection)
//! like any other, at whose end there is a broker; only the packets of connecting are particular, and they go through
//! [`Link`].

mod circles;
mod events;
mod routing;

use alloc::{boxed::Box, format, string::String, vec::Vec};

use crate::{
    access::Access,
    bridge::{
        BridgeSettings, BridgeState,
        circle::Circle,
        connect::{DOWN, UP, notification_topic},
        echo::Echo,
        link::{Event, Link},
        topics::TopicMap,
    },
    broker::Broker,
    event::{BridgeId, CloseReason, ConnectionId, Output},
    session::{Durability, Session},
    system::PREFIX,
    time::Instant,
};

/// What `$SYS` shows of each bridge.
const SYSTEM_VALUES: usize = 2;

/// One bit for each of the first 32 bridges; the others are pinged more often than they need.
pub(crate) fn bit(id: BridgeId) -> u32 {
    1_u32.checked_shl(u32::from(id.0)).unwrap_or(0)
}

/// All bridges, by [`BridgeId`].
pub(crate) struct Bridges {
    #[expect(clippy::vec_box, reason = "a bridge is large, and most devices have none or one")]
    list: Vec<Box<Bridge>>,
    seed: u64,
    /// While there are so many links that some may lead back.
    pub(crate) circle: Option<Box<Circle>>,
}

struct Bridge {
    settings: BridgeSettings,
    map: TopicMap,
    link: Link,
    /// Where its state is published.
    notification: Option<Box<str>>,
    /// What was published there last.
    announced: Option<Announced>,
    /// What may come back, over the link and from one to the next.
    echo: Option<Box<Echo>>,
    /// When the link was lost, if `echo` is of before.
    lost: Instant,
    connection: Option<ConnectionId>,
    /// While there is no link. Else it is with the connection.
    session: Option<Session>,
}

/// Whether a link is up, as its notification says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announced {
    Up,
    Down,
}

impl Announced {
    const fn payload(self) -> &'static [u8] {
        match self {
            Self::Up => UP,
            Self::Down => DOWN,
        }
    }
}

impl Bridge {
    fn new(settings: BridgeSettings, seed: u64, now: Instant) -> Self {
        let durability = if settings.clean_session { Durability::Clean } else { Durability::Persistent };
        Self {
            map: TopicMap::new(&settings.topics),
            link: Link::new(&settings, seed, now),
            notification: notification_topic(&settings),
            announced: None,
            echo: None,
            lost: now,
            connection: None,
            session: Some(Session::new("", durability)),
            settings,
        }
    }

    /// Takes over what the bridge of this name had before its settings changed: what waits, what may come back, and what
    /// was said of it.
    fn inherit(&mut self, old: &mut Self) {
        if self.notification == old.notification {
            self.announced = old.announced;
        }
        if !self.settings.clean_session
            && let Some(session) =
                old.session.take().filter(|session| session.durability == Durability::Persistent)
        {
            self.session = Some(session);
            self.echo = old.echo.take().filter(|_| self.map.has_echoes());
            self.lost = old.lost;
        }
    }

    const fn is_up(&self) -> bool {
        matches!(self.link.state(), BridgeState::Connected { .. })
    }

    fn memory(&self) -> usize {
        size_of::<Self>()
            + self.settings.memory()
            + self.map.memory()
            + self.notification.as_ref().map_or(0, |topic| topic.len())
            + self.echo.as_ref().map_or(0, |_| size_of::<Echo>())
            + self.session.as_ref().map_or(0, Session::memory)
    }
}

impl Bridges {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { list: Vec::new(), seed, circle: None }
    }

    fn get_mut(&mut self, id: BridgeId) -> Option<&mut Bridge> {
        self.list.get_mut(usize::from(id.0)).map(Box::as_mut)
    }

    fn ids(&self) -> impl Iterator<Item = BridgeId> + use<> {
        (0..=u8::MAX).take(self.list.len()).map(BridgeId)
    }

    /// When something is due.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.list.iter().filter_map(|bridge| bridge.link.poll_at()).min()
    }

    /// Heap bytes in use.
    pub(crate) fn memory(&self) -> usize {
        self.circle.as_ref().map_or(0, |_| size_of::<Circle>())
            + self.list.capacity() * size_of::<Box<Bridge>>()
            + self.list.iter().map(|bridge| bridge.memory()).sum::<usize>()
    }

    /// Does a bridge that is up carry values of `$SYS`.
    pub(crate) fn want_system(&self) -> bool {
        self.list.iter().any(|bridge| bridge.is_up() && bridge.map.carries_reserved())
    }

    /// How many values `$SYS` has of bridges.
    pub(crate) const fn system_values(&self) -> usize {
        self.list.len() * SYSTEM_VALUES
    }

    /// Topic and payload of one of them: the state where it is not kept elsewhere, and the failure.
    pub(crate) fn system_value(&self, index: usize) -> Option<(String, String)> {
        let bridge = self.list.get(index / SYSTEM_VALUES)?;
        if index.is_multiple_of(SYSTEM_VALUES) {
            let topic = bridge.notification.as_deref().filter(|topic| topic.starts_with('$'))?;
            return Some((topic.into(), String::from(if bridge.is_up() { "1" } else { "0" })));
        }
        let topic = format!("{PREFIX}connection/{}/error", bridge.settings.client_id);
        let error = match bridge.link.state() {
            BridgeState::Failed(failure) => format!("{failure}"),
            BridgeState::Connecting => String::new(),
            BridgeState::Connected { .. } => match bridge.link.refused_subscriptions() {
                0 => String::new(),
                count => format!("subscriptions refused: {count}"),
            },
        };
        Some((topic, error))
    }
}

impl<A: Access> Broker<A> {
    /// Runs these bridges from now on, in the place of those before.
    ///
    /// A bridge that has the same settings as the one in its place goes on untouched. Any other connects anew; what waits
    /// in the one of the same name is kept, unless it is to begin with a clean session. Clients notice nothing.
    pub fn set_bridges(&mut self, settings: Vec<BridgeSettings>, now: Instant) {
        self.system.begin(now);
        let pairs = self.bridges.list.iter().zip(&settings);
        let unchanged: Vec<bool> = pairs.map(|(bridge, new)| bridge.settings == *new).collect();
        let is_unchanged = |id: BridgeId| unchanged.get(usize::from(id.0)).copied().unwrap_or(false);
        for id in self.bridges.ids().filter(|id| !is_unchanged(*id)) {
            self.stop_bridge(id, now);
        }
        let mut old: Vec<Option<Box<Bridge>>> = self.bridges.list.drain(..).map(Some).collect();
        let ids = (0..=u8::MAX).map(BridgeId);
        for (id, settings) in ids.zip(settings) {
            let index = usize::from(id.0);
            let kept = old.get_mut(index).filter(|_| is_unchanged(id)).and_then(Option::take);
            let bridge = kept.unwrap_or_else(|| {
                let seed = self.bridges.seed.wrapping_add(u64::from(id.0)).wrapping_add(now.0 << 8);
                let mut new = Box::new(Bridge::new(settings, seed, now));
                let named = old.iter_mut().flatten().find(|old| old.settings.name == new.settings.name);
                if let Some(old) = named {
                    new.inherit(old);
                }
                new
            });
            self.bridges.list.push(bridge);
        }
        self.bridges.list.shrink_to_fit();
        self.watch_circles();
        for id in self.bridges.ids() {
            self.bridge_event(id, Event::Tick, now);
        }
        self.pump(now);
    }

    /// How the bridges are doing, in the order of [`Self::set_bridges`].
    pub fn bridge_states(&self) -> impl Iterator<Item = BridgeState> {
        self.bridges.list.iter().map(|bridge| bridge.link.state())
    }

    /// Ends a bridge's connection or attempt; its session stays with it.
    fn stop_bridge(&mut self, id: BridgeId, now: Instant) {
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        let (connection, is_opening) = (bridge.connection, bridge.link.is_opening());
        if let Some(connection) = connection {
            // Without DISCONNECT, so that the other broker publishes the will: the link is down.
            self.close(connection, CloseReason::Bridge, now);
        } else if is_opening {
            self.outbox.push(Output::Abandon { bridge: id });
        }
        self.announce(id, Announced::Down, now);
    }
}
