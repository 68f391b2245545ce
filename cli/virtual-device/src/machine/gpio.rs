//! [`Gpio`]: sixteen pins, the straps that were read at reset, and pin interrupts.
//!
//! Follows the vendor SDK's `gpio_register.h`. A pin that is not driven by the chip or the board is pulled up. Left
//! out: sigma-delta, wake-up, open drain and what the pin multiplexer would route elsewhere.

use crate::machine::registers::Plain;

const PIN_0: u32 = 0x28;
const PIN_15: u32 = PIN_0 + 4 * 15;
const PINS: u32 = 0xFFFF;
/// GPIO0 is the only pin that something on the board pulls low.
const GPIO0: u32 = 1;

/// The pins.
#[derive(Clone, Debug)]
pub(crate) struct Gpio {
    output: u32,
    enabled: u32,
    /// What the board does to the pins.
    outside: u32,
    status: u32,
    /// Bits 16 to 18 and 29 to 31 of the input register.
    straps: u32,
    others: Plain,
    before: u32,
}

impl Default for Gpio {
    fn default() -> Self {
        Self {
            output: 0,
            enabled: 0,
            outside: PINS,
            status: 0,
            straps: 0,
            others: Plain::default(),
            before: PINS,
        }
    }
}

impl Gpio {
    /// The chip was reset with these straps.
    pub(crate) fn restart(&mut self, strap: u8, flash_strap: u8) {
        let outside = self.outside;
        let straps = u32::from(strap) << 16 | u32::from(flash_strap) << 29;
        *self = Self { outside, straps, before: outside, ..Self::default() };
    }

    /// The board pulls GPIO0 low or lets it go.
    pub(crate) fn pull_gpio0(&mut self, low: bool) {
        self.outside = if low { PINS & !GPIO0 } else { PINS };
        self.settle();
    }

    fn levels(&self) -> u32 {
        self.output & self.enabled & PINS | self.outside & !self.enabled
    }

    /// Latches the pins whose change or level is one to interrupt at.
    fn settle(&mut self) {
        let now = self.levels();
        let changed = now ^ self.before;
        self.before = now;
        for pin in 0..16 {
            let bit = 1 << pin;
            let high = now & bit != 0;
            let wanted = match self.others.read(PIN_0 + 4 * pin) >> 7 & 7 {
                1 => changed & bit != 0 && high,
                2 => changed & bit != 0 && !high,
                3 => changed & bit != 0,
                4 => !high,
                5 => high,
                _ => false,
            };
            if wanted {
                self.status |= bit;
            }
        }
    }

    /// Whether the interrupt line is up.
    pub(crate) const fn interrupts(&self) -> bool {
        self.status != 0
    }

    /// Reads the register at `offset`.
    pub(crate) fn read(&self, offset: u32) -> u32 {
        match offset {
            0x00 => self.output,
            0x0C => self.enabled,
            0x18 => self.levels() | self.straps,
            0x1C => self.status,
            // Calibration is always ready, with nothing counted.
            0x70 => 1 << 31,
            _ => self.others.read(offset),
        }
    }

    /// Writes the register at `offset`.
    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        match offset {
            0x00 => self.output = value,
            0x04 => self.output |= value,
            0x08 => self.output &= !value,
            0x0C => self.enabled = value,
            0x10 => self.enabled |= value,
            0x14 => self.enabled &= !value,
            0x1C => self.status = value & PINS,
            0x20 => self.status |= value & PINS,
            0x24 => self.status &= !value,
            PIN_0..=PIN_15 | 0x68 | 0x6C => self.others.write(offset, value),
            _ => {}
        }
        self.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driven_pin_reads_back_and_the_straps_stay() {
        let mut gpio = Gpio::default();
        gpio.restart(3, 6);
        gpio.write(0x10, 1 << 4);
        assert_eq!(gpio.read(0x18), 6 << 29 | 3 << 16 | (PINS & !(1 << 4)));
        gpio.write(0x04, 1 << 4);
        assert_eq!(gpio.read(0x18) & PINS, PINS);
    }

    #[test]
    fn a_falling_edge_on_gpio0_interrupts_until_it_is_cleared() {
        let mut gpio = Gpio::default();
        gpio.write(PIN_0, 2 << 7);
        assert!(!gpio.interrupts());
        gpio.pull_gpio0(true);
        assert!(gpio.interrupts());
        gpio.write(0x24, 1);
        assert!(!gpio.interrupts());
        gpio.pull_gpio0(false);
        assert!(!gpio.interrupts());
    }
}
