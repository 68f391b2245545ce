//! The few registers that the SDK has no function for.

use core::ptr::without_provenance_mut;

use crate::pins::{self, Step};

/// lwIP's largest number of TCP connections, which the SDK keeps in RTC memory; it is compared for equality.
const TCP_CONNECTIONS: *mut u32 = without_provenance_mut(0x6000_11FC);
/// More than there is memory for: how many clients there may be is the broker's decision.
const UNBOUNDED: u32 = 0xFFFF;

const UART_DATA: *mut u32 = without_provenance_mut(0x6000_0000);
const UART_STATUS: *mut u32 = without_provenance_mut(0x6000_001C);
/// `GPIO_IN`, `RTC_GPIO_IN_DATA`.
const GPIO_IN: *mut u32 = without_provenance_mut(0x6000_0318);
const RTC_GPIO_IN: *mut u32 = without_provenance_mut(0x6000_078C);
/// Bytes that the transmitter's queue holds, of 128.
const UART_SEND_MAX: u32 = 126;

/// Leaves the number of TCP connections to the broker. After `lwip_init`, which sets it to 5.
pub(crate) fn unbound_tcp_connections() {
    // SAFETY: `lwipopts.h` of the SDK defines `MEMP_NUM_TCP_PCB` as this word.
    unsafe { TCP_CONNECTIONS.write_volatile(UNBOUNDED) };
}

/// Does one step of what a pin needs.
pub(crate) fn write_pin(step: Step) {
    let register = without_provenance_mut::<u32>(usize::try_from(step.register).unwrap_or(0));
    // SAFETY: `pins` names registers of the GPIO block, of the multiplexer and of the RTC's pin only; reading them
    // changes nothing, and nobody else writes them.
    unsafe {
        let kept = if step.keep == 0 { 0 } else { register.read_volatile() & step.keep };
        register.write_volatile(kept | step.set);
    }
}

/// The level of every pin, one bit each.
pub(crate) fn pin_levels() -> u32 {
    // SAFETY: the inputs of GPIO0 to 15, and that of GPIO16 in the RTC; reading them changes nothing.
    unsafe { pins::levels(GPIO_IN.read_volatile(), RTC_GPIO_IN.read_volatile()) }
}

fn uart_status() -> u32 {
    // SAFETY: `UART_STATUS` of UART0; reading it changes nothing.
    unsafe { UART_STATUS.read_volatile() }
}

/// Whether the serial port takes another byte.
pub(crate) fn uart_can_send() -> bool {
    uart_status() >> 16 & 0xFF < UART_SEND_MAX
}

/// Gives the serial port a byte.
pub(crate) fn uart_send(byte: u8) {
    // SAFETY: `UART_FIFO` of UART0; a byte too many is lost and does nothing else.
    unsafe { UART_DATA.write_volatile(u32::from(byte)) };
}

/// The next byte that came in.
pub(crate) fn uart_receive() -> Option<u8> {
    // SAFETY: `UART_FIFO` of UART0, and there is a byte in it: nobody else reads it.
    (uart_status() & 0xFF != 0).then(|| unsafe { UART_DATA.read_volatile() }.to_le_bytes()[0])
}
