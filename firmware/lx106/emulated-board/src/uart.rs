//! The board's 16550 UART, polled: the device's serial port.

use core::ptr::without_provenance_mut;

/// Registers, 4 bytes apart.
const UART: *mut u32 = without_provenance_mut(0x9D05_0020);
const DATA: usize = 0;
const INTERRUPTS: usize = 1;
const LINE_STATUS: usize = 5;
const RECEIVED: u32 = 1;
const CAN_SEND: u32 = 0x20;

fn read(register: usize) -> u32 {
    // SAFETY: the board has the UART there.
    unsafe { UART.add(register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: as above.
    unsafe { UART.add(register).write_volatile(value) };
}

/// Lets a byte that comes in end a wait.
pub(crate) fn set_up() {
    write(INTERRUPTS, 1);
}

/// Sends bytes, waiting for the line.
pub(crate) fn write_all(bytes: &[u8]) {
    for byte in bytes {
        while read(LINE_STATUS) & CAN_SEND == 0 {}
        write(DATA, u32::from(*byte));
    }
}

/// The next byte that came in.
pub(crate) fn receive() -> Option<u8> {
    (read(LINE_STATUS) & RECEIVED != 0).then(|| read(DATA).to_le_bytes()[0])
}
