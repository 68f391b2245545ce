//! Why the program started: what it left in RTC memory before, if it was by its own doing, else what the chip says.
//!
//! | word | of the record that `start.S` leaves after an exception |
//! |---|---|
//! | 0 | `"EBcr"`, or `"EBrs"` after a restart that was asked for, and nothing else then |
//! | 1 | vector: 0 exception, 1 BREAK, 2 non-maskable interrupt, 3 exception during an exception |
//! | 2-7 | EXCCAUSE, EPC1, EPC2, EPC3, EXCVADDR, DEPC |
//! | 8, 9 | a0, a1 |

use core::fmt;

use espbroker_node::status::ResetCause;

use crate::{
    registers::{reset_cause, rtc_word, set_rtc_word},
    uart,
};

const CRASHED: u32 = u32::from_le_bytes(*b"EBcr");
const RESTARTED: u32 = u32::from_le_bytes(*b"EBrs");

unsafe extern "C" {
    safe fn board_reset() -> !;
}

/// What an exception has left.
pub(crate) struct Record([u32; 10]);

impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, vector, cause, epc1, epc2, epc3, address, depc, a0, a1] = self.0;
        write!(
            formatter,
            "crash: vector={vector} exccause={cause} epc1={epc1:08x} epc2={epc2:08x} epc3={epc3:08x} \
             excvaddr={address:08x} depc={depc:08x} a0={a0:08x} a1={a1:08x}"
        )
    }
}

/// Takes the cause, and the record out of RTC memory.
pub(crate) fn take() -> (ResetCause, Option<Record>) {
    let mut words = [0; 10];
    for (word, index) in words.iter_mut().zip(0..) {
        *word = rtc_word(index);
    }
    set_rtc_word(0, 0);
    match (words[0], reset_cause()) {
        (CRASHED, _) => (ResetCause::Exception, Some(Record(words))),
        (RESTARTED, _) => (ResetCause::Software, None),
        (_, 1) => (ResetCause::PowerOn, None),
        (_, 4) => (ResetCause::HardwareWatchdog, None),
        _ => (ResetCause::External, None),
    }
}

/// Starts the chip again, after its last words.
pub(crate) fn restart() -> ! {
    uart::drain();
    set_rtc_word(0, RESTARTED);
    board_reset()
}
