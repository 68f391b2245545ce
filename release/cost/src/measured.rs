//! The only way to the broker. Callgrind collects while one of these functions runs, and nothing else.
//!
//! They are not inlined, so that callgrind finds them by name; each adds some ten instructions of its own to what it
//! calls. Dropping an output belongs to the broker's work too: it gives the shared bytes back.

use espbroker_broker::{Broker, Input, Instant, NoAccounts, Output};

use crate::heap;

/// [`Broker::handle`].
#[inline(never)]
pub(crate) fn handle(broker: &mut Broker<NoAccounts>, input: Input<'_>, now: Instant) {
    heap::count(|| broker.handle(input, now));
}

/// [`Broker::poll_output`].
#[inline(never)]
pub(crate) fn poll_output(broker: &mut Broker<NoAccounts>) -> Option<Output> {
    heap::count(|| broker.poll_output())
}

/// The platform is done with an output.
#[inline(never)]
pub(crate) fn release(output: Output) {
    heap::count(|| drop(output));
}
