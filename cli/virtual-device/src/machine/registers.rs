//! Where the peripherals are, and [`Plain`], the registers without behaviour.
//!
//! Addresses from the vendor SDK's register headers (`eagle_soc.h` and the headers of each peripheral).

use std::collections::BTreeMap;
use std::ops::Range;

use espbroker_paravirtual::BASE;

/// DPORT, the system registers beside the CPU, and the radio's registers behind them.
pub(crate) const SYSTEM: Range<u32> = 0x3FF0_0000..0x3FF4_0000;
/// All other peripherals.
pub(crate) const PERIPHERALS: Range<u32> = 0x6000_0000..0x6001_0000;

/// The paravirtual device, where no real chip has anything.
pub(crate) const PARAVIRTUAL: Range<u32> = BASE..BASE + 0x100;

/// DPORT's own registers.
pub(crate) const SYSTEM_REGISTERS: u32 = 0x3FF0_0000;
/// UART0.
pub(crate) const UART0: u32 = 0x6000_0000;
/// SPI1, which programs call HSPI.
pub(crate) const SPI1: u32 = 0x6000_0100;
/// SPI0, which the flash is connected to.
pub(crate) const SPI0: u32 = 0x6000_0200;
/// GPIO.
pub(crate) const GPIO: u32 = 0x6000_0300;
/// FRC1 and FRC2.
pub(crate) const TIMERS: u32 = 0x6000_0600;
/// RTC registers.
pub(crate) const RTC: u32 = 0x6000_0700;
/// Watchdog.
pub(crate) const WATCHDOG: u32 = 0x6000_0900;
/// UART1.
pub(crate) const UART1: u32 = 0x6000_0F00;
/// RTC memory: 512 bytes of the system, 512 bytes of the user.
pub(crate) const RTC_MEMORY: Range<u32> = 0x6000_1000..0x6000_1400;
/// Which UART interrupts: bit 0 UART0, bit 2 UART1.
pub(crate) const UART_INTERRUPTS: u32 = 0x3FF2_0020;
/// Microseconds.
pub(crate) const MICROSECONDS: u32 = 0x3FF2_0C00;
/// Random number.
pub(crate) const RANDOM: u32 = 0x3FF2_0E44;

/// Registers that read back what was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plain(BTreeMap<u32, u32>);

impl Plain {
    /// What was written, or 0.
    pub(crate) fn read(&self, address: u32) -> u32 {
        self.0.get(&address).copied().unwrap_or(0)
    }

    /// Keeps a word.
    pub(crate) fn write(&mut self, address: u32, value: u32) {
        self.0.insert(address, value);
    }
}
