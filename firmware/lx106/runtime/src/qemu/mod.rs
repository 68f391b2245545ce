//! QEMU's LX106 board (`-M sim -cpu lx106 -semihosting`): console, exit code, cycle counter, panics, exceptions, heap.
//!
//! The program defines `extern "C" fn lx106_main() -> u32`; its result is QEMU's exit code. A panic ends with
//! [`EXIT_PANIC`], an exception with [`EXIT_EXCEPTION`], each after one line on the console.
//!
//! Interrupts of level 1 end a [`wait`] and do nothing else; at all other times none is enabled.

mod exception;
mod heap;

pub use heap::Heap;

use core::{fmt, fmt::Write as _, panic::PanicInfo};

/// Exit code after a panic, as Rust's programs have it on a host.
pub const EXIT_PANIC: u32 = 101;
/// Exit code after an exception of the CPU.
pub const EXIT_EXCEPTION: u32 = 102;

unsafe extern "C" {
    safe fn lx106_exit(code: u32) -> !;
    safe fn lx106_cycles() -> u32;
    safe fn lx106_wait(cycles: u32);
    fn lx106_write(descriptor: u32, bytes: *const u8, length: u32) -> i32;
}

/// Standard output of the QEMU process.
#[derive(Debug)]
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let length = u32::try_from(rest.len()).map_err(|_| fmt::Error)?;
            // SAFETY: the pointer and the length are those of a slice that outlives the call.
            let written = unsafe { lx106_write(1, rest.as_ptr(), length) };
            let written = usize::try_from(written).map_err(|_| fmt::Error)?;
            rest = rest.get(written.max(1)..).ok_or(fmt::Error)?;
        }
        Ok(())
    }
}

/// Ends QEMU with an exit code.
pub fn exit(code: u32) -> ! {
    lx106_exit(code)
}

/// Returns the CPU's cycle counter, which wraps.
#[must_use]
pub fn cycles() -> u32 {
    lx106_cycles()
}

/// Sleeps for so many cycles, or until a device interrupts, whose reason is then still there.
pub fn wait(cycles: u32) {
    lx106_wait(cycles);
}

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    // Nowhere is left to report a console that does not write.
    let _ = writeln!(Console, "{panic}");
    exit(EXIT_PANIC)
}
