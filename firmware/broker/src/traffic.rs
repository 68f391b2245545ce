//! [`Traffic`]: the messages on their way to one client, and those on their way from it (MQTT 3.1.1 §4.3, §4.4).
//!
//! A message waits until the network has room for it. At QoS 0 it is gone when it is handed out; at QoS 1 and 2 it
//! stays until it is acknowledged, and goes out again, in the same order, when the client comes back.

use alloc::{collections::VecDeque, vec::Vec};

use espbroker_mqtt::{PacketId, QoS};

use crate::{message::Message, replay::Replay, room::ALLOCATION};

/// Fewest places by which a full list becomes longer.
const GROWTH: usize = 4;

/// Places by which a full list of `length` becomes longer: a list is moved for that, so not too few.
const fn step(length: usize) -> usize {
    if length / 2 > GROWTH { length / 2 } else { GROWTH }
}

/// Places of a list after one more, if it must be moved for that; else 0.
const fn grown(length: usize, capacity: usize) -> usize {
    if length < capacity { 0 } else { length + step(length) }
}

/// A message that was not handed out yet.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) message: Message,
    pub(crate) qos: QoS,
    pub(crate) retain: Retain,
}

/// RETAIN of a PUBLISH to a client (§3.3.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retain {
    /// Sent because of a subscription that was there before the message.
    Live,
    /// Sent because of a new subscription, or over a bridge that keeps the flag.
    Retained,
}

/// A message of QoS 1 or 2 that was handed out at least once.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) packet_id: PacketId,
    pub(crate) stage: Stage,
    pub(crate) retain: Retain,
}

/// What a message in flight waits for.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// QoS 1: PUBACK.
    Puback(Message),
    /// QoS 2: PUBREC.
    Pubrec(Message),
    /// QoS 2: PUBCOMP, after PUBREL. The message is the client's now.
    Pubcomp,
}

impl Stage {
    const fn message(&self) -> Option<&Message> {
        match self {
            Self::Puback(message) | Self::Pubrec(message) => Some(message),
            Self::Pubcomp => None,
        }
    }
}

/// State of messages of one session; there is none while nothing is on its way.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// In the order in which they came.
    pub(crate) waiting: VecDeque<Waiting>,
    /// In the order in which they were first handed out.
    pub(crate) in_flight: Vec<InFlight>,
    /// How many of `in_flight` were handed out over the present connection; the rest follows before anything new.
    pub(crate) resent: usize,
    /// Messages of QoS 2 from the client whose PUBREL has not come (§4.3.3, method B).
    pub(crate) unreleased: Vec<PacketId>,
    /// Retained messages still to be sent for new subscriptions, in the order of those.
    pub(crate) replays: Vec<Replay>,
    /// Packet bytes of the messages in `waiting` and `in_flight`.
    pub(crate) held_bytes: usize,
}

impl Traffic {
    /// Bytes of a new one with its first message that waits.
    pub(crate) const FIRST_WAITING: usize = size_of::<Self>() + ALLOCATION + GROWTH * size_of::<Waiting>();

    /// Bytes of a new one with its first message that is not released.
    pub(crate) const FIRST_UNRELEASED: usize =
        size_of::<Self>() + ALLOCATION + GROWTH * size_of::<PacketId>();

    /// Bytes that one more message that waits makes it take; 0 while there is a place.
    pub(crate) fn growth(&self) -> usize {
        grown(self.waiting.len(), self.waiting.capacity()) * size_of::<Waiting>()
    }

    /// The same for one more message in flight.
    pub(crate) fn in_flight_growth(&self) -> usize {
        grown(self.in_flight.len(), self.in_flight.capacity()) * size_of::<InFlight>()
    }

    /// The same for one more message that is not released.
    pub(crate) fn unreleased_growth(&self) -> usize {
        grown(self.unreleased.len(), self.unreleased.capacity()) * size_of::<PacketId>()
    }

    /// Remembers a message of QoS 2 until it is released.
    pub(crate) fn hold(&mut self, packet_id: PacketId) {
        if self.unreleased.len() == self.unreleased.capacity() {
            self.unreleased.reserve_exact(step(self.unreleased.len()));
        }
        self.unreleased.push(packet_id);
    }

    /// Is there nothing to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.in_flight.is_empty()
            && self.unreleased.is_empty()
            && self.replays.is_empty()
    }

    /// Is there something to hand out, now or after an acknowledgement.
    pub(crate) fn is_sending(&self) -> bool {
        self.resent < self.in_flight.len() || !self.waiting.is_empty() || !self.replays.is_empty()
    }

    /// Messages waiting or in flight.
    pub(crate) fn held(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    pub(crate) fn wait(&mut self, waiting: Waiting) {
        if self.waiting.len() == self.waiting.capacity() {
            self.waiting.reserve_exact(step(self.waiting.len()));
        }
        self.held_bytes += waiting.message.length();
        self.waiting.push_back(waiting);
    }

    /// Does this very message wait already, or is it in flight.
    pub(crate) fn holds(&self, message: &Message) -> bool {
        let waiting = self.waiting.iter().map(|waiting| &waiting.message);
        waiting
            .chain(self.in_flight.iter().filter_map(|sent| sent.stage.message()))
            .any(|held| held == message)
    }

    /// Begins with retained messages, after what waits already.
    pub(crate) fn replay(&mut self, mut replay: Replay) {
        replay.behind = self.waiting.len();
        self.replays.reserve_exact(1);
        self.replays.push(replay);
    }

    /// Takes the first message that waits; one of QoS 1 or 2 must be put in flight at once.
    pub(crate) fn next_waiting(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        for replay in &mut self.replays {
            replay.behind = replay.behind.saturating_sub(1);
        }
        self.held_bytes = self.held_bytes.saturating_sub(waiting.message.length());
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(waiting)
    }

    /// Remembers a message that is handed out under `packet_id` until it is acknowledged.
    pub(crate) fn launch(&mut self, packet_id: PacketId, message: Message, qos: QoS, retain: Retain) {
        self.held_bytes += message.length();
        let stage = match qos {
            QoS::ExactlyOnce => Stage::Pubrec(message),
            QoS::AtMostOnce | QoS::AtLeastOnce => Stage::Puback(message),
        };
        if self.resent == self.in_flight.len() {
            self.resent += 1;
        }
        if self.in_flight.len() == self.in_flight.capacity() {
            self.in_flight.reserve_exact(step(self.in_flight.len()));
        }
        self.in_flight.push(InFlight { packet_id, stage, retain });
    }

    /// PUBACK: ends a message of QoS 1; `false` for any other.
    pub(crate) fn acknowledge(&mut self, packet_id: PacketId) -> bool {
        self.finish(packet_id, |stage| matches!(stage, Stage::Puback(_)))
    }

    /// PUBREC: the client has a message of QoS 2; `false` for any other. One that came again changes nothing.
    pub(crate) fn received(&mut self, packet_id: PacketId) -> bool {
        let Some(sent) = self.in_flight.iter_mut().find(|sent| sent.packet_id == packet_id) else {
            return false;
        };
        match &sent.stage {
            Stage::Puback(_) => return false,
            Stage::Pubcomp => return true,
            Stage::Pubrec(message) => {
                self.held_bytes = self.held_bytes.saturating_sub(message.length());
                sent.stage = Stage::Pubcomp;
            }
        }
        true
    }

    /// PUBCOMP: ends a message of QoS 2; `false` for any other.
    pub(crate) fn complete(&mut self, packet_id: PacketId) -> bool {
        self.finish(packet_id, |stage| matches!(stage, Stage::Pubcomp))
    }

    fn finish(&mut self, packet_id: PacketId, is_last: impl Fn(&Stage) -> bool) -> bool {
        let found = |sent: &InFlight| sent.packet_id == packet_id && is_last(&sent.stage);
        let Some(index) = self.in_flight.iter().position(found) else { return false };
        let sent = self.in_flight.remove(index);
        if index < self.resent {
            self.resent -= 1;
        }
        let length = sent.stage.message().map_or(0, Message::length);
        self.held_bytes = self.held_bytes.saturating_sub(length);
        if self.in_flight.is_empty() {
            self.in_flight = Vec::new();
        }
        true
    }

    /// Is the identifier taken by a message in flight.
    pub(crate) fn uses(&self, packet_id: PacketId) -> bool {
        self.in_flight.iter().any(|sent| sent.packet_id == packet_id)
    }

    /// PUBREL: forgets the identifier, which the client may then use for a new message.
    pub(crate) fn release(&mut self, packet_id: PacketId) {
        self.unreleased.retain(|unreleased| *unreleased != packet_id);
        if self.unreleased.is_empty() {
            self.unreleased = Vec::new();
        }
    }

    /// The connection is gone: messages of QoS 0 go with it, the rest is sent over the next one.
    pub(crate) fn park(&mut self) {
        let stays = |waiting: &Waiting| waiting.qos != QoS::AtMostOnce;
        self.resent = 0;
        self.replays.retain(Replay::outlives_connection);
        if self.replays.is_empty() {
            self.replays = Vec::new();
        }
        for replay in &mut self.replays {
            replay.behind = self.waiting.iter().take(replay.behind).filter(|waiting| stays(waiting)).count();
        }
        self.waiting.retain(stays);
        // Moving the rest would take memory first.
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        let bytes = |message: Option<&Message>| message.map_or(0, Message::length);
        self.held_bytes = self.waiting.iter().map(|waiting| waiting.message.length()).sum::<usize>()
            + self.in_flight.iter().map(|sent| bytes(sent.stage.message())).sum::<usize>();
    }

    /// Heap bytes in use, itself included, with this client's share of the messages.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.waiting.capacity() * size_of::<Waiting>()
            + self.in_flight.capacity() * size_of::<InFlight>()
            + self.unreleased.capacity() * size_of::<PacketId>()
            + self.replays.capacity() * size_of::<Replay>()
            + self.waiting.iter().map(|waiting| waiting.message.share()).sum::<usize>()
            + self.in_flight.iter().filter_map(|sent| sent.stage.message()).map(Message::share).sum::<usize>()
            + self.replays.iter().map(Replay::memory).sum::<usize>()
    }
}
