//! What the exception vectors report: cause, address of the instruction, address that was accessed.
//!
//! Causes: Xtensa ISA, table of EXCCAUSE; those that the LX106 has.

use core::fmt::Write as _;

use super::{Console, EXIT_EXCEPTION, exit};

/// Called by the vectors, on a stack of its own.
#[unsafe(no_mangle)]
extern "C" fn lx106_exception(
    cause: u32,
    instruction: u32,
    address: u32,
    return_address: u32,
    stack: u32,
    vector: u32,
) -> ! {
    let reason = match vector {
        1 => "break",
        2 => "non-maskable interrupt",
        3 => "exception during an exception",
        _ => name(cause),
    };
    // Nowhere is left to report a console that does not write.
    let _ = writeln!(
        Console,
        "exception: {reason} (cause {cause}) at {instruction:#010x}, address {address:#010x}, a0 \
         {return_address:#010x}, a1 {stack:#010x}"
    );
    exit(EXIT_EXCEPTION)
}

const fn name(cause: u32) -> &'static str {
    match cause {
        0 => "illegal instruction",
        1 => "system call",
        2 => "instruction fetch error",
        3 => "load or store error",
        4 => "interrupt",
        8 => "privileged instruction",
        9 => "unaligned load or store",
        20 => "instruction fetch prohibited",
        28 => "load prohibited",
        29 => "store prohibited",
        _ => "exception",
    }
}
