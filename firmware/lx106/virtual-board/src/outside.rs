//! The paravirtual device: radio and network, as `espbroker-paravirtual` has it.

use espbroker_node::{Input, Output, status::Mode};
use espbroker_paravirtual::{Command, ORDER_MAX, Order, read_news, register};

use crate::registers::{outside, set_outside};

/// A span of memory as the registers have it.
fn span(bytes: &[u8]) -> (u32, u32) {
    let number = |number| u32::try_from(number).unwrap_or(0);
    (number(bytes.as_ptr().expose_provenance()), number(bytes.len()))
}

/// Gives a command with both spans, and returns its result.
///
/// # Safety
///
/// As the command has it: it may write to the first span.
unsafe fn command(command: Command, (address, length): (u32, u32), (more, more_length): (u32, u32)) -> u32 {
    let registers = [
        (register::ADDRESS, address),
        (register::LENGTH, length),
        (register::MORE_ADDRESS, more),
        (register::MORE_LENGTH, more_length),
        (register::COMMAND, command as u32),
    ];
    for (offset, value) in registers {
        // SAFETY: as the caller promises.
        unsafe { set_outside(offset, value) };
    }
    outside(register::RESULT)
}

/// Connects to the outside, and lets news interrupt.
pub(crate) fn attach() {
    // SAFETY: this command touches no memory.
    unsafe {
        command(Command::Attach, (0, 0), (0, 0));
        set_outside(register::INTERRUPT, 1);
    }
}

/// Whether there may be news.
pub(crate) fn is_pending() -> bool {
    outside(register::PENDING) != 0
}

/// Gives an order. One that is refused has done nothing, as when a chip's network stack has no memory: what should come
/// of it does not come, and the node's own time-outs end it.
pub(crate) fn order(output: &Output) {
    let mut head = [0; ORDER_MAX];
    let order = Order::of(output);
    let Some((length, rest)) = order.as_ref().and_then(|order| order.write(&mut head)) else { return };
    let head = head.get(..length).unwrap_or_default();
    // SAFETY: this command only reads.
    unsafe { command(Command::Order, span(head), span(rest)) };
}

/// The next news, read into `buffer`.
pub(crate) fn news(buffer: &mut [u8], mode: Mode) -> Option<Input<'_>> {
    let (address, length) = span(buffer);
    // SAFETY: the span is this buffer, which nobody else has.
    let result = unsafe { command(Command::News, (address, length), (0, 0)) };
    let length = usize::try_from(result).ok().filter(|length| *length > 0)?;
    read_news(buffer.get(..length)?, mode).ok()
}
