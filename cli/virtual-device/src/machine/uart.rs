//! [`Uart`]: one of the chip's two UARTs, as its registers show it.
//!
//! Follows the vendor SDK's `uart_register.h`: FIFOs of 128 bytes, nine interrupt causes, thresholds, a time-out of
//! the receiver, baud rate detection. Full, empty and time-out behave as levels that latch: clearing one sticks only
//! when its reason is gone. The bits on the line are the business of [`crate::uart`]. Left out: parity (the other end
//! sends none), flow control, inverted lines, IrDA; DSR and CTS never change, as nothing is connected to them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::machine::time::{self, Ticks};
use crate::uart::{self, Autobaud, BOOT_DIVIDER, Symbol};

/// Bytes in each of the two FIFOs.
pub(crate) const FIFO_LENGTH: usize = 128;

/// Interrupt: as many bytes were received as CONF1 says.
pub(crate) const RX_FULL: u32 = 1 << 0;
/// Interrupt: fewer bytes are left to send than CONF1 says.
pub(crate) const TX_EMPTY: u32 = 1 << 1;
/// Interrupt: a byte without a stop bit.
pub(crate) const FRAME_ERROR: u32 = 1 << 3;
/// Interrupt: a byte came and found the FIFO full.
pub(crate) const RX_OVERFLOW: u32 = 1 << 4;
/// Interrupt: the line was low for longer than a byte.
pub(crate) const BREAK: u32 = 1 << 7;
/// Interrupt: bytes were received and then none for a while.
pub(crate) const RX_TIMEOUT: u32 = 1 << 8;
const CAUSES: u32 = 0x1FF;

/// CONF0: the receive FIFO is emptied and kept so.
pub(crate) const RX_RESET: u32 = 1 << 17;
/// CONF0: the transmit FIFO is emptied and kept so.
pub(crate) const TX_RESET: u32 = 1 << 18;
const LOOPBACK: u32 = 1 << 14;
const TIMEOUT_ENABLE: u32 = 1 << 31;
const AUTOBAUD_ENABLE: u32 = 1;
/// Bits of a byte on the line.
const SYMBOL_BITS: Ticks = 10;
/// What a counter of the rate detection holds before the first edge.
const NO_PULSE: u32 = 0xF_FFFF;

/// One UART.
#[derive(Debug)]
pub(crate) struct Uart {
    received: VecDeque<u8>,
    to_send: VecDeque<u8>,
    /// The byte being sent is through then.
    sent_at: Ticks,
    raw: u32,
    /// INT_ENA.
    pub(crate) enabled: u32,
    /// CLKDIV.
    pub(crate) divider: u32,
    autobaud_register: u32,
    autobaud: Autobaud,
    /// CONF0.
    pub(crate) conf0: u32,
    /// CONF1.
    pub(crate) conf1: u32,
    /// The receiver's time-out, once it is due.
    times_out_at: Option<Ticks>,
}

impl Default for Uart {
    /// As the boot ROM leaves it: 8N1 at "115200", an interrupt for each byte.
    fn default() -> Self {
        Self {
            received: VecDeque::with_capacity(FIFO_LENGTH),
            to_send: VecDeque::with_capacity(FIFO_LENGTH),
            sent_at: 0,
            raw: 0,
            enabled: 0,
            divider: BOOT_DIVIDER,
            autobaud_register: 0,
            autobaud: Autobaud::default(),
            conf0: 0x0C,
            conf1: 1,
            times_out_at: None,
        }
    }
}

impl Uart {
    /// Bytes in the receive FIFO.
    pub(crate) fn received(&self) -> usize {
        self.received.len()
    }

    /// Takes a byte out of the receive FIFO.
    pub(crate) fn pop(&mut self) -> Option<u8> {
        let byte = self.received.pop_front();
        if self.received.is_empty() {
            self.times_out_at = None;
        }
        byte
    }

    /// Puts a byte into the transmit FIFO; one that finds it full is lost.
    pub(crate) fn push(&mut self, byte: u8, now: Ticks) {
        if self.conf0 & TX_RESET == 0 && self.to_send.len() < FIFO_LENGTH {
            if self.to_send.is_empty() {
                self.sent_at = self.sent_at.max(now);
            }
            self.to_send.push_back(byte);
        }
    }

    /// Whether the interrupt line is up.
    pub(crate) const fn interrupts(&self) -> bool {
        self.raw & self.enabled != 0
    }

    /// INT_ST: the causes that are enabled.
    pub(crate) const fn status(&self) -> u32 {
        self.raw & self.enabled
    }

    /// INT_CLR.
    pub(crate) fn clear(&mut self, causes: u32) {
        self.raw &= !causes;
        self.latch();
    }

    /// How long a byte takes.
    const fn symbol_ticks(&self) -> Ticks {
        SYMBOL_BITS * if self.divider == 0 { (uart::CLOCK / 50) as Ticks } else { self.divider as Ticks }
    }

    /// What the receiver makes of a byte on the line.
    pub(crate) fn receive(&mut self, symbol: Symbol, at: Ticks) {
        if self.autobaud_register & AUTOBAUD_ENABLE != 0 {
            self.autobaud.measure(symbol);
        }
        let mut sampled = Vec::new();
        uart::sample(symbol.byte, symbol.baud, uart::baud(self.divider), &mut sampled);
        for uart::Sampled { byte, stop } in sampled {
            if !stop {
                self.raw |= if byte == 0 { FRAME_ERROR | BREAK } else { FRAME_ERROR };
            }
            self.take(byte);
        }
        let symbols = Ticks::from(self.conf1 >> 24 & 0x7F);
        let times_out = self.conf1 & TIMEOUT_ENABLE != 0 && !self.received.is_empty();
        self.times_out_at = times_out.then(|| at + symbols * self.symbol_ticks());
        self.latch();
    }

    fn take(&mut self, byte: u8) {
        if self.conf0 & RX_RESET != 0 {
            return;
        }
        if self.received.len() < FIFO_LENGTH {
            self.received.push_back(byte);
        } else {
            self.raw |= RX_OVERFLOW;
        }
    }

    /// The next byte to send, if its turn has come by `now`, and when that was. [`Self::sending`] must follow.
    pub(crate) fn next_to_send(&mut self, now: Ticks) -> Option<(u8, Ticks)> {
        if self.sent_at > now {
            return None;
        }
        let byte = self.to_send.pop_front()?;
        if self.conf0 & LOOPBACK != 0 {
            self.take(byte);
        }
        Some((byte, self.sent_at))
    }

    /// The byte just taken is on the line until `until`; `None` when nothing is connected, for as long as it takes.
    pub(crate) fn sending(&mut self, until: Option<Duration>) {
        let alone = self.sent_at + self.symbol_ticks();
        self.sent_at = until.map_or(alone, time::ticks_until);
    }

    /// Brings the causes up to date.
    pub(crate) fn settle(&mut self, now: Ticks) {
        if self.times_out_at.is_some_and(|at| at <= now) {
            self.times_out_at = None;
            self.raw |= RX_TIMEOUT;
        }
        self.latch();
    }

    fn latch(&mut self) {
        let full = (self.conf1 & 0x7F).max(1) as usize;
        if self.received.len() >= full {
            self.raw |= RX_FULL;
        }
        if self.to_send.len() < (self.conf1 >> 8 & 0x7F) as usize {
            self.raw |= TX_EMPTY;
        }
    }

    /// When this UART changes by itself next.
    pub(crate) fn next_event(&self) -> Option<Ticks> {
        let sends_at = (!self.to_send.is_empty()).then_some(self.sent_at);
        [sends_at, self.times_out_at].into_iter().flatten().min()
    }

    /// Reads the register at `offset`.
    pub(crate) fn read(&mut self, offset: u32) -> u32 {
        let count = |fifo: &VecDeque<u8>| u32::try_from(fifo.len()).unwrap_or(0xFF);
        match offset {
            0x00 => self.pop().map_or(0, u32::from),
            0x04 => self.raw,
            0x08 => self.status(),
            0x0C => self.enabled,
            0x14 => self.divider,
            0x18 => self.autobaud_register,
            // RXD is high between bytes; bit 31, the level of TXD, reads as 0 on real chips.
            0x1C => count(&self.received) | 1 << 15 | count(&self.to_send) << 16,
            0x20 => self.conf0,
            0x24 => self.conf1,
            0x28 => self.autobaud.shortest_low().unwrap_or(NO_PULSE),
            0x2C => self.autobaud.shortest_high().unwrap_or(NO_PULSE),
            0x30 => self.autobaud.edges().min(0x3FF),
            0x78 => 0x06_2000,
            _ => 0,
        }
    }

    /// Writes the register at `offset`.
    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Ticks) {
        match offset {
            0x00 => {
                let [byte, ..] = value.to_le_bytes();
                self.push(byte, now);
            }
            0x0C => self.enabled = value & CAUSES,
            0x10 => self.clear(value),
            0x14 => self.divider = value & 0xF_FFFF,
            0x18 => {
                if value & !self.autobaud_register & AUTOBAUD_ENABLE != 0 {
                    self.autobaud = Autobaud::default();
                }
                self.autobaud_register = value;
            }
            0x20 => {
                self.conf0 = value;
                if value & RX_RESET != 0 {
                    self.received.clear();
                    self.times_out_at = None;
                }
                if value & TX_RESET != 0 {
                    self.to_send.clear();
                }
            }
            0x24 => {
                self.conf1 = value;
                if value & TIMEOUT_ENABLE == 0 {
                    self.times_out_at = None;
                } else if self.times_out_at.is_none() && !self.received.is_empty() {
                    let symbols = Ticks::from(value >> 24 & 0x7F);
                    self.times_out_at = Some(now + symbols * self.symbol_ticks());
                }
                self.latch();
            }
            _ => {}
        }
    }
}
