//! Time from the cycle counter, and waiting for an interrupt.

use core::{cell::Cell, time::Duration};

unsafe extern "C" {
    safe fn board_cycles() -> u32;
    safe fn board_wait(cycles: u32);
}

/// Cycles of the CPU in a microsecond: what the boot ROM makes of a 26 MHz crystal.
const PER_MICROSECOND: u32 = 52;
/// The longest wait: the watchdog bites after 1.6 s and 3.3 s more.
const WAIT_MAX: Duration = Duration::from_secs(1);

struct Counter {
    last: Cell<u32>,
    total: Cell<u64>,
}

// SAFETY: one thread, and no interrupt handler reaches here.
unsafe impl Sync for Counter {}

static COUNTER: Counter = Counter { last: Cell::new(0), total: Cell::new(0) };

/// Time since the counter's 0. To be called every 80 s at least.
pub(crate) fn now() -> Duration {
    let count = board_cycles();
    let total = COUNTER.total.get() + u64::from(count.wrapping_sub(COUNTER.last.get()));
    COUNTER.last.set(count);
    COUNTER.total.set(total);
    Duration::from_micros(total / u64::from(PER_MICROSECOND))
}

/// Waits for a byte or for news, or until `due`.
pub(crate) fn wait_until(due: Option<Duration>) {
    let now = now();
    let patience = due.map_or(WAIT_MAX, |due| due.saturating_sub(now).min(WAIT_MAX));
    let micros = u32::try_from(patience.as_micros()).unwrap_or_default();
    if micros > 0 {
        board_wait(micros.saturating_mul(PER_MICROSECOND));
    }
}
