//! [`Device`]: the node, with everything that is carried in and out of it.

use alloc::{boxed::Box, vec};

use espbroker_node::{BootInfo, Input, Instant, Node, Output, status::Mode};
use espbroker_paravirtual::NEWS_HEAD;

use crate::{clock, crash, flash::Flash, memory, outside, uart};

/// Bytes given to the node at once; as on the chip, where a segment brings as many.
const PIECE: usize = 536;
/// News taken before the rest of the device has its turn.
const NEWS: usize = 16;

/// The whole device.
pub(crate) struct Device {
    node: Node<Flash>,
    buffer: Box<[u8]>,
    /// The figures of the heap that the node was told last.
    heap: (u32, u32),
}

impl Device {
    /// Starts the device; [`Self::turn`] does the rest.
    pub(crate) fn boot(flash: Flash, info: BootInfo) -> Self {
        let node = Node::boot(flash, info);
        let buffer = vec![0; NEWS_HEAD + PIECE].into_boxed_slice();
        let mut device = Self { node, buffer, heap: (0, 0) };
        device.obey();
        device
    }

    /// Bytes from the serial port.
    pub(crate) fn console(&mut self, bytes: &[u8]) {
        self.feed(Input::Console(bytes));
    }

    /// Carries in what has happened outside, and what the time brings; returns when to call again at the latest, unless
    /// something happens before.
    pub(crate) fn turn(&mut self) -> Option<Instant> {
        let mut buffer = core::mem::take(&mut self.buffer);
        for _ in 0..NEWS {
            let mode = self.node.mode().unwrap_or(Mode::AccessPoint);
            self.tell_heap();
            let Some(input) = outside::news(&mut buffer, mode) else { break };
            self.feed(input);
        }
        self.buffer = buffer;
        if self.node.poll_at().is_some_and(|due| due <= clock::now()) {
            self.tell_heap();
            self.feed(Input::Tick);
        }
        self.node.poll_at()
    }

    /// Tells the node what is left of the heap, if that has changed.
    fn tell_heap(&mut self) {
        let heap = memory::figures();
        if heap != self.heap {
            self.heap = heap;
            self.feed(Input::Heap { free: heap.0, lowest: heap.1 });
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.node.handle(input, clock::now());
        self.obey();
    }

    /// Carries out what the node wants.
    fn obey(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match &output {
                Output::Console(text) => uart::print(text.as_bytes()),
                Output::ConsoleBytes(bytes) => uart::print(bytes),
                Output::Restart => crash::restart(),
                outside => outside::order(outside),
            }
        }
    }
}
