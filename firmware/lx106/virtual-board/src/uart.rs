//! The serial port: UART0, at the rate of the status lines once the boot ROM's log is through.

use crate::registers::{uart_send, uart_set_up, uart_take, uart_waiting};

/// 115,200 baud from a clock of 52 MHz.
const DIVIDER: u32 = 52_000_000 / 115_200;
/// Bytes that the transmitter's queue holds, of 128.
const SEND_MAX: u32 = 126;

/// Sets the rate.
pub(crate) fn set_up() {
    drain();
    uart_set_up(DIVIDER);
}

/// Waits until everything is sent.
pub(crate) fn drain() {
    while uart_waiting().1 > 0 {}
}

/// Sends bytes, waiting for the line.
pub(crate) fn print(bytes: &[u8]) {
    for &byte in bytes {
        while uart_waiting().1 >= SEND_MAX {}
        uart_send(byte);
    }
}

/// The next byte that came in.
pub(crate) fn receive() -> Option<u8> {
    (uart_waiting().0 > 0).then(uart_take)
}
