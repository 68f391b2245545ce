//! The registers that the program uses, by the vendor SDK's names, and those of the paravirtual device.

use core::ptr::without_provenance_mut;

use espbroker_paravirtual::BASE;

const UART_FIFO: u32 = 0x6000_0000;
const UART_CLKDIV: u32 = 0x6000_0014;
const UART_STATUS: u32 = 0x6000_001C;
const UART_INT_ENA: u32 = 0x6000_000C;
const UART_CONF1: u32 = 0x6000_0024;
const EFUSE: [u32; 4] = [0x3FF0_0050, 0x3FF0_0054, 0x3FF0_0058, 0x3FF0_005C];
const RANDOM: u32 = 0x3FF2_0E44;
/// `WDT_CTL`, and the registers behind it.
const WATCHDOG: u32 = 0x6000_0900;
/// `RTC_STATE1`, the cause of the last reset.
const RTC_STATE: u32 = 0x6000_0714;
/// The user's part of RTC memory.
const RTC_MEMORY: u32 = 0x6000_1200;

/// An interrupt for every byte that comes in.
const RECEIVED: u32 = 1;

fn register(address: u32) -> *mut u32 {
    without_provenance_mut(usize::try_from(address).unwrap_or(0))
}

fn read(address: u32) -> u32 {
    // SAFETY: every caller in this file names a register of the chip, or a word of RTC memory.
    unsafe { register(address).read_volatile() }
}

fn write(address: u32, value: u32) {
    // SAFETY: as above; none of them makes the chip touch memory but the paravirtual device's, which its caller
    // answers for.
    unsafe { register(address).write_volatile(value) };
}

/// Bytes that wait in the serial port's receiver, and in its transmitter.
pub(crate) fn uart_waiting() -> (u32, u32) {
    let status = read(UART_STATUS);
    (status & 0xFF, status >> 16 & 0xFF)
}

/// Sets the serial port's clock divider, and lets every byte that comes in interrupt.
pub(crate) fn uart_set_up(divider: u32) {
    write(UART_CLKDIV, divider);
    write(UART_CONF1, 1);
    write(UART_INT_ENA, RECEIVED);
}

/// Gives the serial port a byte; one too many is lost.
pub(crate) fn uart_send(byte: u8) {
    write(UART_FIFO, u32::from(byte));
}

/// Takes a byte that waits.
pub(crate) fn uart_take() -> u8 {
    read(UART_FIFO).to_le_bytes()[0]
}

/// The station's address, from the eFuses.
pub(crate) fn mac() -> [u8; 6] {
    let [last, middle, _, vendor] = EFUSE.map(read).map(u32::to_be_bytes);
    let ([f, ..], [_, _, d, e], [_, a, b, c]) = (last, middle, vendor);
    [a, b, c, d, e, f]
}

/// A random number.
pub(crate) fn random() -> u32 {
    read(RANDOM)
}

/// Writes a register of the watchdog.
pub(crate) fn watchdog(offset: u32, value: u32) {
    write(WATCHDOG + offset, value);
}

/// Number of the cause of the last reset.
pub(crate) fn reset_cause() -> u32 {
    read(RTC_STATE)
}

/// A word of RTC memory.
pub(crate) fn rtc_word(index: u32) -> u32 {
    read(RTC_MEMORY + 4 * index)
}

/// Writes a word of RTC memory.
pub(crate) fn set_rtc_word(index: u32, word: u32) {
    write(RTC_MEMORY + 4 * index, word);
}

/// A register of the paravirtual device.
pub(crate) fn outside(offset: u32) -> u32 {
    read(BASE + offset)
}

/// Writes a register of the paravirtual device.
///
/// # Safety
///
/// A command reads or writes the spans that the other registers name: they are the caller's for as long.
pub(crate) unsafe fn set_outside(offset: u32, value: u32) {
    write(BASE + offset, value);
}
