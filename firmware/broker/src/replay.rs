//! [`Replay`]: the retained messages for one new subscription, handed out in the pace of a slow subscriber.
//!
//! It walks along the order in which messages were set: what is set or replaced after it began lies behind its end,
//! because the subscriber gets that as a live message, and what is cleared is gone, so nothing outdated is sent late.
//! Its place is between the messages that waited when it began and those that came after, because a message must not
//! overtake an earlier one of the same publisher (MQTT 3.1.1 §4.6).

use alloc::boxed::Box;

use espbroker_mqtt::{QoS, TopicFilter};

use crate::{
    message::Message,
    retained::{Retained, Sequence},
};

/// Delivery of retained messages for one new subscription, under way.
#[derive(Debug)]
pub(crate) struct Replay {
    filter: Box<str>,
    /// What the subscription was granted.
    qos: QoS,
    next: Sequence,
    end: Sequence,
    /// How many of the messages that wait for the client go before it.
    pub(crate) behind: usize,
}

impl Replay {
    /// All that is kept now and matches `filter`; `None` when there is nothing.
    pub(crate) fn new(filter: TopicFilter<'_>, qos: QoS, retained: &Retained) -> Option<Self> {
        let end = retained.end();
        let (next, _) = retained.find(filter.as_str().as_bytes(), 0, end)?;
        Some(Self { filter: filter.as_str().into(), qos, next, end, behind: 0 })
    }

    /// Does it go on over the next connection, as messages of QoS 1 and 2 do.
    pub(crate) const fn outlives_connection(&self) -> bool {
        !matches!(self.qos, QoS::AtMostOnce)
    }

    /// The message to be sent next and its QoS, once `admit` agrees to it. Those that `may_read` forbids are left out.
    pub(crate) fn next(
        &mut self,
        retained: &Retained,
        may_read: impl Fn(&Message) -> bool,
        mut admit: impl FnMut(&Message, QoS) -> bool,
    ) -> Next {
        while let Some((sequence, kept)) = retained.find(self.filter.as_bytes(), self.next, self.end) {
            if may_read(&kept.message) {
                let qos = kept.qos.min(self.qos);
                if !admit(&kept.message, qos) {
                    return Next::NoRoom;
                }
                self.next = sequence + 1;
                return Next::Message(kept.message.clone(), qos);
            }
            self.next = sequence + 1;
        }
        Next::Done
    }

    /// Is it for exactly this filter.
    pub(crate) fn is_for(&self, filter: TopicFilter<'_>) -> bool {
        *self.filter == *filter.as_str()
    }

    /// Heap bytes in use.
    pub(crate) const fn memory(&self) -> usize {
        self.filter.len()
    }
}

/// What [`Replay::next`] found.
pub(crate) enum Next {
    /// To be sent now.
    Message(Message, QoS),
    /// To be asked again when there is room.
    NoRoom,
    /// Everything was sent.
    Done,
}
