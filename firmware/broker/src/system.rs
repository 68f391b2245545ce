//! `$SYS`: what the broker says of itself (MQTT 3.1.1 §4.7.2 leaves these topics to the server).
//!
//! Names follow mosquitto where it has one. Nothing is stored: a message is made when somebody subscribes, with RETAIN
//! as for any retained message, and again in every round for those who are subscribed then.

use alloc::{format, string::String};

use espbroker_mqtt::{QoS, TopicFilter, TopicName};

use crate::{
    access::Access,
    broker::Broker,
    counters::Counters,
    event::ConnectionId,
    message::Message,
    permission::Wish,
    room::Need,
    routing::{Origin, Post},
    time::Instant,
    traffic::Retain,
};

/// What precedes every topic.
pub(crate) const PREFIX: &str = "$SYS/broker/";

/// Start, next round, and what the caller knows of the heap.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct System {
    started: Option<Instant>,
    due: Option<Instant>,
    pub(crate) heap: Option<HeapFigures>,
}

/// The allocator's figures, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeapFigures {
    pub(crate) free: u32,
    pub(crate) lowest: u32,
}

impl System {
    /// Notes when the broker began.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.started.get_or_insert(now);
    }

    /// When the next round is due.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }
}

/// What the values are calculated from.
struct Facts {
    counters: Counters,
    uptime: u64,
    connected: usize,
    away: usize,
    subscriptions: usize,
    retained: usize,
    retained_bytes: usize,
    unsaved: usize,
    heap: Option<HeapFigures>,
}

type Value = fn(&Facts) -> u64;

/// Topics behind [`PREFIX`] whose value is a number.
const NUMBERS: &[(&str, Value)] = &[
    ("uptime", |facts| facts.uptime),
    ("clients/connected", |facts| wide(facts.connected)),
    ("clients/disconnected", |facts| wide(facts.away)),
    ("clients/total", |facts| wide(facts.connected + facts.away)),
    ("connections/total", |facts| facts.counters.connections.into()),
    ("messages/received", |facts| facts.counters.messages_received),
    ("messages/sent", |facts| facts.counters.messages_sent),
    ("messages/duplicate", |facts| facts.counters.duplicates.into()),
    ("bytes/received", |facts| facts.counters.bytes_received),
    ("bytes/sent", |facts| facts.counters.bytes_sent),
    ("publish/messages/dropped", |facts| facts.counters.messages_dropped),
    ("subscriptions/count", |facts| wide(facts.subscriptions)),
    ("retained messages/count", |facts| wide(facts.retained)),
    ("retained messages/bytes", |facts| wide(facts.retained_bytes)),
    ("retained messages/unsaved", |facts| wide(facts.unsaved)),
    ("wills/sent", |facts| facts.counters.wills.into()),
    ("bridge/echoes", |facts| facts.counters.bridge_echoes.into()),
    ("bridge/circles", |facts| facts.counters.bridge_circles.into()),
    ("limits/connections", |facts| facts.counters.closed.too_many_connections.into()),
    ("limits/clients", |facts| facts.counters.closed.refused.into()),
    ("limits/memory", |facts| facts.counters.no_memory.into()),
    ("limits/subscriptions", |facts| facts.counters.subscriptions_refused.into()),
    ("limits/retained", |facts| facts.counters.retained_refused.into()),
    ("limits/sessions", |facts| facts.counters.sessions_forgotten.into()),
    ("limits/packet size", |facts| {
        u64::from(facts.counters.messages_too_long) + u64::from(facts.counters.closed.packet_too_long)
    }),
    ("limits/log-ins", |facts| facts.counters.log_ins_put_off.into()),
    ("denied/log-ins", |facts| facts.counters.log_ins_failed.into()),
    ("denied/subscriptions", |facts| facts.counters.subscriptions_denied.into()),
    ("denied/messages", |facts| facts.counters.publishes_denied.into()),
    ("closed/malformed", |facts| facts.counters.closed.malformed.into()),
    ("closed/keep alive", |facts| facts.counters.closed.keep_alive_timeout.into()),
    ("closed/stalled", |facts| facts.counters.closed.stalled.into()),
    ("closed/taken over", |facts| facts.counters.closed.taken_over.into()),
    ("closed/websocket", |facts| facts.counters.closed.websocket.into()),
];

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

impl<A: Access> Broker<A> {
    /// Takes the figures of the heap that `$SYS` shows, bytes: free now, and the fewest ever free.
    pub fn set_heap(&mut self, free: u32, lowest: u32) {
        self.system.heap = Some(HeapFigures { free, lowest });
    }

    /// Makes sure that there is a next round.
    pub(crate) fn schedule_system(&mut self, now: Instant) {
        if self.settings.system_interval > 0 && self.system.due.is_none() {
            let due = now.after(u64::from(self.settings.system_interval) * 1000);
            self.system.due = Some(due);
            self.outbox.wake_at(due);
        }
    }

    /// Sends every value to those who are subscribed, if that is due. Without clients there is no next round.
    pub(crate) fn publish_system(&mut self, now: Instant) {
        if self.system.due.is_none_or(|due| due > now) {
            return;
        }
        self.system.due = None;
        if !self.connections.iter().any(|connection| connection.session.is_some()) {
            return;
        }
        self.schedule_system(now);
        let sessions = self.connections.iter().filter_map(|connection| connection.session.as_ref());
        let is_wanted = sessions.into_iter().any(|session| session.subscriptions.want_system(&self.shared));
        if !is_wanted && !self.bridges.want_system() {
            return;
        }
        let facts = self.facts(now);
        for index in 0..self.system_values() {
            let Some((topic, value)) = self.system_value(index, &facts) else { continue };
            if let Ok(topic) = TopicName::new(&topic) {
                // What finds no memory now comes again in the next round.
                let _ = self.route(topic, value.as_bytes(), QoS::AtMostOnce, Retain::Live, Origin::Here, now);
            }
        }
    }

    /// Sends the values that match a new subscription.
    pub(crate) fn show_system(&mut self, id: ConnectionId, filter: TopicFilter<'_>, now: Instant) {
        if self.settings.system_interval == 0 || !filter.as_str().starts_with('$') {
            return;
        }
        let facts = self.facts(now);
        for index in 0..self.system_values() {
            let Some((topic, value)) = self.system_value(index, &facts) else { continue };
            let Ok(topic) = TopicName::new(&topic) else { continue };
            if !filter.matches(topic) {
                continue;
            }
            let Self { connections, access, outbox, room, counters, settings, .. } = self;
            let Some(connection) = connections.get_mut(id) else {
                return;
            };
            let may = connection
                .session
                .as_ref()
                .is_some_and(|session| session.subject(access).may(Wish::Read, topic.as_str().as_bytes()));
            if !may || !room.take(topic.as_str().len() + value.len() + 16, Need::Growth) {
                continue;
            }
            let Some(message) = Message::new(topic, value.as_bytes()) else { continue };
            Post { outbox, room, counters, settings }.deliver(
                connection,
                &message,
                QoS::AtMostOnce,
                Retain::Retained,
                now,
            );
        }
    }

    /// How many values there are.
    fn system_values(&self) -> usize {
        NUMBERS.len() + 3 + self.bridges.system_values()
    }

    /// Topic and payload of one of them; `None` for one that is not known.
    fn system_value(&self, index: usize, facts: &Facts) -> Option<(String, String)> {
        let behind = |name: &str, value: String| Some((format!("{PREFIX}{name}"), value));
        if let Some((name, value)) = NUMBERS.get(index) {
            return behind(name, format!("{}", value(facts)));
        }
        match index - NUMBERS.len() {
            0 => behind("version", format!("espbroker version {}", env!("CARGO_PKG_VERSION"))),
            1 => behind("heap/free", format!("{}", facts.heap?.free)),
            2 => behind("heap/lowest", format!("{}", facts.heap?.lowest)),
            index => self.bridges.system_value(index - 3),
        }
    }

    fn facts(&self, now: Instant) -> Facts {
        let sessions = self.connections.iter().filter_map(|connection| connection.session.as_ref());
        let started = self.system.started.unwrap_or(now);
        Facts {
            counters: self.counters(),
            uptime: now.0.saturating_sub(started.0) / 1000,
            connected: self.clients(),
            away: self.away.len(),
            subscriptions: sessions.map(|session| session.subscriptions.totals(&self.shared).0).sum(),
            retained: self.retained.count(),
            retained_bytes: self.retained.bytes(),
            unsaved: self.retained.unsaved(),
            heap: self.system.heap,
        }
    }
}
