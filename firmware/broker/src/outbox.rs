//! [`Outbox`]: outputs in their order, and the bound on what waits for one connection.

use alloc::collections::VecDeque;

use crate::{
    bytes::Bytes,
    connection::Connection,
    event::Output,
    settings::{ANSWER_BYTES, STALL_TIME, Settings},
    time::Instant,
};

/// Outputs for which room is kept while there are none.
const KEPT: usize = 32;

/// Outputs to be polled, and when to look at the time again.
pub(crate) struct Outbox {
    queue: VecDeque<Output>,
    queue_bytes: usize,
    /// The most that messages can take of one connection: the queue, or one message that is longer.
    message_bytes: usize,
    /// No deadline of a connection is earlier.
    pub(crate) wake: Option<Instant>,
}

/// What a packet is, as far as room for it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A message at QoS 0, which may be dropped.
    Message,
    /// A retained message of a replay, which can wait: it leaves half of the room to live messages.
    Replayed,
    /// An answer to the client's own packet, which can neither be dropped nor wait.
    Answer,
}

impl Outbox {
    pub(crate) fn new(settings: &Settings) -> Self {
        let queue_bytes = usize::try_from(settings.queue_bytes).unwrap_or(usize::MAX);
        // A message goes out in a packet that is no longer than the one it came in.
        let longest = usize::try_from(settings.packet_size).unwrap_or(usize::MAX);
        Self {
            queue: VecDeque::with_capacity(KEPT),
            queue_bytes,
            message_bytes: queue_bytes.max(longest),
            wake: None,
        }
    }

    /// May `length` more bytes wait for `connection`.
    pub(crate) const fn has_room(&self, connection: &Connection, length: usize, class: Class) -> bool {
        let limit = match class {
            Class::Message => self.queue_bytes,
            Class::Replayed => self.queue_bytes / 2,
            Class::Answer => self.message_bytes.saturating_add(ANSWER_BYTES),
        };
        connection.unsent == 0 || connection.unsent.saturating_add(length) <= limit
    }

    /// Hands out `bytes`, whether there is room or not.
    pub(crate) fn send(&mut self, connection: &mut Connection, bytes: Bytes, now: Instant) {
        if connection.unsent == 0 {
            connection.progress = now;
            self.wake_at(now.after(STALL_TIME));
        }
        connection.unsent = connection.unsent.saturating_add(bytes.len());
        self.queue.push_back(Output::Send { connection: connection.id, bytes });
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        let output = self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > KEPT {
            self.queue.shrink_to(KEPT);
        }
        output
    }

    /// Looks at the time at `instant` or before.
    pub(crate) fn wake_at(&mut self, instant: Instant) {
        self.wake = Some(self.wake.map_or(instant, |wake| wake.min(instant)));
    }

    /// Heap bytes in use, without those of the packets.
    pub(crate) fn memory(&self) -> usize {
        self.queue.capacity() * size_of::<Output>()
    }
}
