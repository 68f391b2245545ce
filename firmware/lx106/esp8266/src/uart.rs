//! The serial port: UART0, which the SDK leaves at the boot ROM's baud rate.

use crate::{
    bindings::{system_get_time, system_set_os_print, uart_div_modify},
    registers::{uart_can_send, uart_receive, uart_send},
};

const CLOCK: u32 = 80_000_000;
const BAUD: u32 = 115_200;
/// Longest wait for room for one byte, microseconds: a byte takes 87.
const PATIENCE: u32 = 10_000;

/// Sets the baud rate, and keeps the SDK's own messages out of the status lines.
pub(crate) fn set_up() {
    system_set_os_print(0);
    uart_div_modify(0, CLOCK / BAUD);
}

/// Sends text, waiting for the line.
pub(crate) fn print(text: &str) {
    write_all(text.as_bytes());
}

/// Sends bytes, waiting for the line.
pub(crate) fn write_all(bytes: &[u8]) {
    for &byte in bytes {
        let begun = system_get_time();
        while !uart_can_send() && system_get_time().wrapping_sub(begun) < PATIENCE {}
        uart_send(byte);
    }
}

/// The next byte that came in.
pub(crate) fn receive() -> Option<u8> {
    uart_receive()
}
