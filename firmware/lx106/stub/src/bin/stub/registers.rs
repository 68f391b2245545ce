//! Registers of UART0 and of the flash's controller SPI0, by the vendor SDK's `uart_register.h` and `spi_register.h`.

use espbroker_stub::Lost;

const UART: u32 = 0x6000_0000;
const UART_FIFO: u32 = UART;
const UART_INT_ST: u32 = UART + 0x08;
const UART_INT_ENA: u32 = UART + 0x0C;
const UART_INT_CLR: u32 = UART + 0x10;
const UART_CLKDIV: u32 = UART + 0x14;
const UART_STATUS: u32 = UART + 0x1C;
pub(crate) const UART_CONF1: u32 = UART + 0x24;

const RECEIVE_FULL: u32 = 1 << 0;
const RECEIVE_OVERFLOW: u32 = 1 << 4;
const RECEIVE_TIMEOUT: u32 = 1 << 8;
const CLKDIV_MASK: u32 = 0xF_FFFF;
/// Interrupt at 64 bytes of the 128, and where fewer are followed by two characters' time of silence.
const CONF1: u32 = 1 << 31 | 2 << 24 | 64;
/// Bytes that the transmit queue takes.
const TRANSMIT_MAX: u32 = 126;
/// The CPU's number for both UARTs.
pub(crate) const UART_INTERRUPT: u32 = 5;

const SPI: u32 = 0x6000_0200;
pub(crate) const SPI_CMD: u32 = SPI;
pub(crate) const SPI_ADDR: u32 = SPI + 0x04;
pub(crate) const SPI_USER: u32 = SPI + 0x1C;
pub(crate) const SPI_USER1: u32 = SPI + 0x20;
pub(crate) const SPI_USER2: u32 = SPI + 0x24;
pub(crate) const SPI_W0: u32 = SPI + 0x40;
const SPI_EXT2: u32 = SPI + 0xF8;
pub(crate) const CMD_USR: u32 = 1 << 18;
pub(crate) const USER_COMMAND: u32 = 1 << 31;
pub(crate) const USER_ADDR: u32 = 1 << 30;
pub(crate) const USER_MISO: u32 = 1 << 28;
pub(crate) const USER_MOSI: u32 = 1 << 27;

/// Reads any word of the chip.
pub(crate) fn read(address: u32) -> u32 {
    // SAFETY: a load of an aligned word. Registers and RAM that the stub does not own are the host's business: it asks
    // for them by address, as it may of the boot ROM. RAM of the stub's own holds plain words in any case.
    unsafe { core::ptr::with_exposed_provenance::<u32>(address as usize).read_volatile() }
}

/// Writes any word of the chip.
pub(crate) fn write(address: u32, value: u32) {
    // SAFETY: a store of an aligned word. The stub's own stores go to the registers above; where the host stores, by
    // WRITE_REG and MEM_DATA, is the host's responsibility, and it is told in `Operation` what RAM is taken.
    unsafe { core::ptr::with_exposed_provenance_mut::<u32>(address as usize).write_volatile(value) }
}

/// Lets UART0 ask for its interrupt when it has received something.
pub(crate) fn receive_by_interrupt() {
    write(UART_CONF1, CONF1);
    clear_interrupts();
    write(UART_INT_ENA, RECEIVE_FULL | RECEIVE_OVERFLOW | RECEIVE_TIMEOUT);
}

pub(crate) fn interrupts_enabled() -> u32 {
    read(UART_INT_ENA)
}

pub(crate) fn enable_interrupts(bits: u32) {
    write(UART_INT_ENA, bits);
}

pub(crate) fn clear_interrupts() {
    write(UART_INT_CLR, u32::MAX);
}

/// Whether the receive queue was full since the last time.
pub(crate) fn receive_overflowed() -> Lost {
    if read(UART_INT_ST) & RECEIVE_OVERFLOW == 0 { Lost::None } else { Lost::Some }
}

/// The bytes of the receive queue.
pub(crate) fn received() -> impl FnMut() -> Option<u8> {
    let mut count = 0;
    move || {
        if count == 0 {
            count = read(UART_STATUS) & 0xFF;
            if count == 0 {
                return None;
            }
        }
        count -= 1;
        let [byte, ..] = read(UART_FIFO).to_le_bytes();
        Some(byte)
    }
}

fn unsent() -> u32 {
    read(UART_STATUS) >> 16 & 0xFF
}

/// Puts a byte into the transmit queue, when it has room.
pub(crate) fn send(byte: u8) {
    while unsent() >= TRANSMIT_MAX {}
    write(UART_FIFO, u32::from(byte));
}

/// Waits until the transmit queue is empty; the last byte may still be on its way.
pub(crate) fn wait_until_sent() {
    while unsent() > 0 {}
}

pub(crate) fn divider() -> u32 {
    read(UART_CLKDIV) & CLKDIV_MASK
}

/// Waits until the controller of the flash takes a command.
pub(crate) fn wait_for_controller() {
    while read(SPI_CMD) != 0 || read(SPI_EXT2) & 7 != 0 {}
}
