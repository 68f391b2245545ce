//! Panics: a record for the next start, then an exception.

use core::{fmt::Write as _, panic::PanicInfo};

use crate::{bindings::abort, crash::Record, rtc};

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    let mut record = Record::new();
    if let Some(location) = panic.location() {
        // A record takes what fits and never refuses.
        let _ = write!(record, "{}:{}: ", location.file(), location.line());
    }
    let _ = write!(record, "{}", panic.message());
    rtc::keep(&record);
    abort()
}
