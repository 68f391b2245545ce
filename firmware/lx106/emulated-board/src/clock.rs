//! Time from the cycle counter, and waiting for an interrupt.

use core::{cell::Cell, time::Duration};

use espbroker_lx106_runtime::qemu::{cycles, wait};

/// Cycles of the lx60's CPU in a microsecond.
const PER_MICROSECOND: u32 = 40;
/// The longest wait: the counter must be looked at before it has gone round.
const WAIT_MAX: Duration = Duration::from_millis(100);

struct Counter {
    last: Cell<u32>,
    total: Cell<u64>,
}

// SAFETY: one thread, and no interrupt handler reaches here.
unsafe impl Sync for Counter {}

static COUNTER: Counter = Counter { last: Cell::new(0), total: Cell::new(0) };

/// Time since the start. To be called every 100 s at least.
pub(crate) fn now() -> Duration {
    let count = cycles();
    let total = COUNTER.total.get() + u64::from(count.wrapping_sub(COUNTER.last.get()));
    COUNTER.last.set(count);
    COUNTER.total.set(total);
    Duration::from_micros(total / u64::from(PER_MICROSECOND))
}

/// Waits for a frame or a byte, or until `due`.
pub(crate) fn wait_until(due: Option<Duration>) {
    let now = now();
    let patience = due.map_or(WAIT_MAX, |due| due.saturating_sub(now).min(WAIT_MAX));
    let micros = u32::try_from(patience.as_micros()).unwrap_or_default();
    if micros > 0 {
        wait(micros.saturating_mul(PER_MICROSECOND));
    }
}

/// lwIP's clock.
#[unsafe(no_mangle)]
extern "C" fn sys_now() -> u32 {
    // It wraps, as lwIP expects.
    #[expect(clippy::cast_possible_truncation, reason = "lwIP's clock wraps")]
    let millis = now().as_millis() as u32;
    millis
}

/// lwIP's random numbers, for ports and sequence numbers: an xorshift generator over the cycle counter.
#[unsafe(no_mangle)]
extern "C" fn board_random() -> u32 {
    let mut word = cycles() ^ 0x9E37_79B9;
    word ^= word << 13;
    word ^= word >> 17;
    word ^ word << 5
}
