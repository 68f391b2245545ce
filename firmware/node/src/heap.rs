//! [`HeapGauge`]: memory left, from the allocator's figures or from a budget, told to the broker and to people.

use espbroker_broker::{Access, Broker};

use crate::{interface::Heap, status::Status};

/// The figures, and whether they are the allocator's.
pub(crate) struct HeapGauge {
    budget: Option<u32>,
    /// When it was last known exactly.
    free: u32,
    lowest: u32,
}

impl HeapGauge {
    pub(crate) const fn new(heap: Heap) -> Self {
        match heap {
            Heap::Measured { free, lowest } => Self { budget: None, free, lowest },
            Heap::Budget(bytes) => Self { budget: Some(bytes), free: bytes, lowest: bytes },
        }
    }

    /// Takes the allocator's figures.
    pub(crate) fn measured<A: Access>(&mut self, free: u32, lowest: u32, broker: &mut Broker<A>) {
        if self.budget.is_none() {
            (self.free, self.lowest) = (free, lowest);
            broker.set_free(free);
            broker.set_heap(free, lowest);
        }
    }

    /// Keeps a budget up to date.
    ///
    /// What the broker accounts for is added up only when its own estimate, which is never too high, says that much was
    /// taken since, or that there was never less: adding up looks at every client.
    pub(crate) fn follow<A: Access>(&mut self, broker: &mut Broker<A>) {
        let estimate = u32::try_from(broker.free()).unwrap_or(u32::MAX);
        if estimate == u32::MAX || estimate < self.free / 4 * 3 || estimate < self.lowest {
            self.settle(broker);
        }
    }

    fn settle<A: Access>(&mut self, broker: &mut Broker<A>) {
        if let Some(free) = self.left(broker) {
            self.free = free;
            self.lowest = self.lowest.min(free);
            broker.set_free(free);
            broker.set_heap(self.free, self.lowest);
        }
    }

    /// What is left of a budget.
    fn left<A: Access>(&self, broker: &Broker<A>) -> Option<u32> {
        let memory = u32::try_from(broker.memory()).unwrap_or(u32::MAX);
        self.budget.map(|budget| budget.saturating_sub(memory))
    }

    /// The status line.
    pub(crate) fn status<A: Access>(&self, broker: &Broker<A>) -> Status {
        let free = self.free(broker);
        Status::Heap { free, lowest: self.lowest.min(free) }
    }

    /// Bytes that are left.
    pub(crate) fn free<A: Access>(&self, broker: &Broker<A>) -> u32 {
        self.left(broker).unwrap_or(self.free)
    }
}
