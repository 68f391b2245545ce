//! [`Group`]: one publisher and its subscribers, in one thread, so that the broker has the other core.
//!
//! A payload begins with the message's number and the time at which it was due, so that every subscriber's copy tells
//! whether one was lost before it and how long it took.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use espbroker_mqtt::{Delivery, Packet, PacketId, Publish, QoS, TopicName};
use mio::{Events, Interest, Poll, Token};

use super::connection::Connection;
use crate::process::Failure;

const TOPIC: &str = "bench/load/1";
/// Number and time.
const HEAD: usize = 16;
/// Without any message for so long, those under way are lost.
const SILENCE: Duration = Duration::from_secs(2);
/// A publisher and its subscribers.
#[derive(Debug)]
pub(crate) struct Group {
    poll: Poll,
    events: Events,
    publisher: Connection,
    subscribers: Vec<Subscriber>,
    qos: QoS,
    payload: Vec<u8>,
    /// Number of the next message.
    next: u64,
    /// Zero of the times in payloads.
    epoch: Instant,
    /// PUBACKs that have come for the publisher's messages.
    acknowledged: u64,
}

#[derive(Debug)]
struct Subscriber {
    connection: Connection,
    granted: QoS,
    /// Number of the next message that it has not seen.
    expected: u64,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Messages that came, over all subscribers.
    pub(crate) deliveries: u64,
    /// Messages that did not come, over all subscribers.
    pub(crate) lost: u64,
    /// Messages that came again, or after they were taken for lost.
    pub(crate) duplicates: u64,
    /// Messages of QoS 1 that the broker did not acknowledge to the publisher.
    pub(crate) unacknowledged: u64,
    /// From the beginning to the last arrival.
    pub(crate) took: Duration,
    /// Nanoseconds from when each was due to its arrival.
    pub(crate) latencies: Vec<u64>,
}

impl Group {
    /// Connects everybody.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub(crate) fn open(
        address: SocketAddr,
        subscribers: usize,
        payload: usize,
        qos: QoS,
    ) -> Result<Self, Failure> {
        let poll = Poll::new()?;
        let register = |connection: Connection, token| {
            let mut connection = connection.never_wait()?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut connection.stream, Token(token), interest)?;
            Ok::<_, Failure>(connection)
        };
        let subscribe = |index: usize| {
            let mut connection = Connection::open(address, &format!("bench-{index}"))?;
            let granted = connection.subscribe(TOPIC, qos)?;
            Ok(Subscriber { connection: register(connection, index)?, granted, expected: 0 })
        };
        let group: Vec<_> = (0..subscribers).map(subscribe).collect::<Result<_, Failure>>()?;
        let publisher = register(Connection::open(address, "bench-publisher")?, subscribers)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(128),
            publisher,
            subscribers: group,
            qos,
            payload: vec![0; payload.max(HEAD)],
            next: 0,
            epoch: Instant::now(),
            acknowledged: 0,
        })
    }

    /// The lowest QoS that a subscriber was granted.
    pub(crate) fn granted(&self) -> QoS {
        self.subscribers.iter().map(|subscriber| subscriber.granted).min().unwrap_or(self.qos)
    }

    /// Publishes as fast as messages arrive: never more than `window` are under way to the slowest subscriber.
    ///
    /// # Errors
    ///
    /// When a connection is lost.
    pub(crate) fn closed_loop(&mut self, duration: Duration, window: u64) -> Result<Outcome, Failure> {
        let (begun, first) = (Instant::now(), self.next);
        let mut outcome = Outcome::default();
        let mut heard = begun;
        loop {
            let running = begun.elapsed() < duration;
            while running && self.next - self.slowest() < window {
                self.publish(self.epoch.elapsed())?;
            }
            self.publisher.flush()?;
            if !running && (self.is_settled() || heard.elapsed() >= SILENCE) {
                break;
            }
            self.wait(SILENCE)?;
            if self.receive(&mut outcome)? {
                heard = Instant::now();
                outcome.took = heard - begun;
            } else if heard.elapsed() >= SILENCE {
                self.give_up();
            }
        }
        self.close(outcome, first)
    }

    /// Publishes at a fixed rate, whether messages arrive or not.
    ///
    /// # Errors
    ///
    /// When a connection is lost.
    pub(crate) fn paced(&mut self, duration: Duration, interval: Duration) -> Result<Outcome, Failure> {
        let (begun, first) = (Instant::now(), self.next);
        let mut outcome = Outcome::default();
        let (mut heard, mut due) = (begun, begun);
        loop {
            let now = Instant::now();
            let running = due - begun < duration;
            if running && now >= due {
                // A message that leaves late counts from when it should have left.
                self.publish(due - self.epoch)?;
                self.publisher.flush()?;
                due += interval;
            }
            if !running && (self.is_settled() || heard.elapsed() >= SILENCE) {
                break;
            }
            let patience = if running { due.saturating_duration_since(now) } else { SILENCE };
            // The selector rounds up to whole milliseconds; the rest is waited for by looking again and again.
            self.wait(Duration::from_millis(u64::try_from(patience.as_millis())?))?;
            if self.receive(&mut outcome)? {
                heard = Instant::now();
                outcome.took = heard - begun;
            }
        }
        self.close(outcome, first)
    }

    /// Up to which message every subscriber has got everything, or lost it.
    fn slowest(&self) -> u64 {
        self.subscribers.iter().map(|subscriber| subscriber.expected).min().unwrap_or(self.next)
    }

    /// Has everything arrived that can still arrive.
    fn is_settled(&self) -> bool {
        self.slowest() == self.next && (self.qos == QoS::AtMostOnce || self.acknowledged >= self.next)
    }

    /// Takes what has not arrived for lost.
    fn give_up(&mut self) {
        for subscriber in &mut self.subscribers {
            subscriber.expected = self.next;
        }
    }

    fn close(&mut self, mut outcome: Outcome, first: u64) -> Result<Outcome, Failure> {
        self.give_up();
        let copies = u64::try_from(self.subscribers.len())?;
        outcome.lost = ((self.next - first) * copies).saturating_sub(outcome.deliveries);
        if self.qos == QoS::AtLeastOnce {
            outcome.unacknowledged = self.next.saturating_sub(self.acknowledged);
            self.acknowledged += outcome.unacknowledged;
        }
        Ok(outcome)
    }

    fn publish(&mut self, due: Duration) -> Result<(), Failure> {
        let due = u64::try_from(due.as_nanos())?;
        if let Some(head) = self.payload.first_chunk_mut::<HEAD>() {
            *head = (u128::from(self.next) | u128::from(due) << 64).to_le_bytes();
        }
        let delivery = match self.qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            // The window is far below 65,535, so that an identifier is free again when its turn comes.
            _ => Delivery::AtLeastOnce {
                packet_id: PacketId::new(u16::try_from(self.next % 65_535)? + 1)
                    .ok_or("packet identifier 0")?,
                duplicate: false,
            },
        };
        let topic = TopicName::new(TOPIC)?;
        self.publisher.push(&Packet::Publish(Publish {
            topic,
            payload: &self.payload,
            retain: false,
            delivery,
        }))?;
        self.next += 1;
        Ok(())
    }

    fn wait(&mut self, patience: Duration) -> Result<(), Failure> {
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Reads all that has come and answers; `true` when there were messages among it.
    fn receive(&mut self, outcome: &mut Outcome) -> Result<bool, Failure> {
        let Self { events, publisher, subscribers, epoch, acknowledged, .. } = self;
        let before = outcome.deliveries + outcome.duplicates;
        for event in events.iter() {
            match subscribers.get_mut(event.token().0) {
                Some(subscriber) => subscriber.receive(*epoch, outcome)?,
                None => {
                    let mut count = |packet: &Packet<'_>, _: &mut Vec<u8>| {
                        *acknowledged += u64::from(matches!(packet, Packet::Puback(_)));
                        Ok(())
                    };
                    while publisher.read(&mut count)? {}
                    publisher.flush()?;
                }
            }
        }
        Ok(outcome.deliveries + outcome.duplicates > before)
    }
}

impl Subscriber {
    fn receive(&mut self, epoch: Instant, outcome: &mut Outcome) -> Result<(), Failure> {
        let expected = &mut self.expected;
        loop {
            let mut now = None;
            let read = self.connection.read(|packet, answers| {
                let Packet::Publish(publish) = packet else { return Ok(()) };
                if let Delivery::AtLeastOnce { packet_id, .. } = publish.delivery {
                    Packet::Puback(packet_id).encode(answers)?;
                }
                let head = publish.payload.first_chunk::<HEAD>().ok_or("a payload came back shorter")?;
                let head = u128::from_le_bytes(*head);
                let (number, due) = (u64::try_from(head & u128::from(u64::MAX))?, u64::try_from(head >> 64)?);
                if number < *expected {
                    outcome.duplicates += 1;
                    return Ok(());
                }
                *expected = number + 1;
                outcome.deliveries += 1;
                // One look at the clock for all that was read at once.
                let now = match now {
                    Some(now) => now,
                    None => *now.insert(u64::try_from(epoch.elapsed().as_nanos())?),
                };
                outcome.latencies.push(now.saturating_sub(due));
                Ok(())
            })?;
            if !read {
                return self.connection.flush();
            }
        }
    }
}
