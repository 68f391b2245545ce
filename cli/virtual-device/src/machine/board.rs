//! [`Board`]: what the CPU reaches by address, and what reaches it by interrupt.
//!
//! The CPU sees it as its [`espbroker_lx106::Bus`] (in [`super::bus`]). Device time is lazy: peripherals are brought up
//! to date when one is accessed or when the earliest of their next events is due, which the CPU is told when it polls. The serial loader of the boot ROM uses the same registers with [`Board::read`] and [`Board::write`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use espbroker_flasher::protocol::CHIP_MAGIC;
use espbroker_lx106::{Bus as _, Width};

use crate::boot::{Cause, FLASH_STRAP, Strap};
use crate::fault::Faults;
use crate::line::Line;
use crate::machine::dport::{CACHE_SIZE, Dport};
use crate::machine::gpio::Gpio;
use crate::machine::memory::Memory;
use crate::machine::paravirtual::Paravirtual;
use crate::machine::registers::{
    GPIO, MICROSECONDS, PARAVIRTUAL, Plain, RANDOM, RTC, RTC_MEMORY, SPI0, SPI1, SYSTEM_REGISTERS, TIMERS,
    UART_INTERRUPTS, UART0, UART1, WATCHDOG,
};
use crate::machine::rtc::Rtc;
use crate::machine::spi::Spi;
use crate::machine::time::{self, Ticks, Timebase};
use crate::machine::timers::{Timer, Timers};
use crate::machine::uart::{FIFO_LENGTH, RX_FULL, Uart};
use crate::machine::watchdog::{Bite, Watchdog};
use crate::machine::window::Window;
use crate::nor::Nor;
use crate::random::Random;
use crate::timing::Pace;
use crate::uart;

/// The flash chip, shared between the loader, the flash controller and running firmware.
#[derive(Clone, Debug)]
pub(crate) struct SharedNor(Arc<Mutex<Nor>>);

impl SharedNor {
    /// Shares `nor`.
    pub(crate) fn new(nor: Nor) -> Self {
        Self(Arc::new(Mutex::new(nor)))
    }

    /// Waits for the others to be done with it. A holder that panicked leaves the array as it was.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Nor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Interrupt numbers of the CPU. That of the radio is the paravirtual device's, which is in its place.
const INTERRUPT_RADIO: u32 = 1 << 0;
const INTERRUPT_GPIO: u32 = 1 << 4;
const INTERRUPT_UART: u32 = 1 << 5;
const INTERRUPT_WATCHDOG: u32 = 1 << 8;
const INTERRUPT_FRC1: u32 = 1 << 9;
const INTERRUPT_FRC2: u32 = 1 << 10;
const INTERRUPT_NMI: u32 = 1 << 14;

/// The paravirtual device's registers.
const PARAVIRTUAL_REGISTERS: u32 = PARAVIRTUAL.start;

/// Everything around the CPU.
#[derive(Debug)]
pub(crate) struct Board {
    /// RAM and ROM.
    pub(crate) memory: Memory,
    /// UART0, on the line, and UART1, on nothing.
    pub(crate) uart: [Uart; 2],
    /// The line to the host.
    pub(crate) line: Line,
    /// SPI0, with the flash.
    pub(crate) spi: Spi,
    /// SPI1, with nothing.
    pub(crate) hspi: Spi,
    /// FRC1 and FRC2.
    pub(crate) timers: Timers,
    /// The watchdog.
    pub(crate) watchdog: Watchdog,
    /// RTC registers and memory.
    pub(crate) rtc: Rtc,
    /// Pins and straps.
    pub(crate) gpio: Gpio,
    /// System registers and eFuses.
    pub(crate) dport: Dport,
    /// In place of radio and network stack.
    pub(crate) paravirtual: Paravirtual,
    /// The flash chip on SPI0's pins.
    pub(crate) nor: SharedNor,
    /// From cycles to chip time.
    pub(crate) time: Timebase,
    /// What machine code and the ROM had to say that nobody else hears.
    pub(crate) trace: Vec<String>,
    /// The chip was reset by its own code, which has no more effect on anything.
    pub(crate) reset: Option<Cause>,
    /// The decoded code may be out of date.
    code_changed: bool,
    /// The flash as the cache shows it.
    pub(super) window: Window,
    random: Random,
    others: Plain,
    /// Something happened since the last settling.
    pub(super) touched: bool,
    /// The cycle of the next event.
    pub(super) due: u64,
    pub(super) levels: u32,
    pub(super) edges: u32,
}

impl Board {
    /// A chip with this flash and MAC address on a line, before its first start.
    pub(crate) fn new(nor: SharedNor, mac: [u8; 6], pace: Pace, faults: Faults, seed: u64) -> Self {
        Self {
            memory: Memory::new(CHIP_MAGIC),
            uart: [Uart::default(), Uart::default()],
            line: Line::new(pace, faults),
            spi: Spi::default(),
            hspi: Spi::default(),
            timers: Timers::default(),
            watchdog: Watchdog::default(),
            rtc: Rtc::default(),
            gpio: Gpio::default(),
            dport: Dport::new(mac),
            paravirtual: Paravirtual::default(),
            nor,
            time: Timebase::default(),
            trace: Vec::new(),
            reset: None,
            code_changed: false,
            window: Window::default(),
            random: Random::new(seed),
            others: Plain::default(),
            touched: true,
            due: 0,
            levels: 0,
            edges: 0,
        }
    }

    /// A chip on a line where nothing goes wrong.
    #[cfg(test)]
    pub(crate) fn without_faults(nor: SharedNor, mac: [u8; 6]) -> Self {
        Self::new(nor, mac, Pace::RealTime, Faults::new(Vec::new(), 0), 0)
    }

    /// UART0's clock divider.
    pub(crate) const fn divider(&self) -> u32 {
        self.uart[0].divider
    }

    /// Sets UART0's clock divider.
    pub(crate) const fn set_divider(&mut self, divider: u32) {
        self.uart[0].divider = divider;
    }

    /// Supply off and on: flash and registers as after that, RAM empty (on the chip it holds anything).
    pub(crate) fn power_cycle(&mut self) {
        self.nor.lock().power_cycle();
        self.memory.clear();
        self.rtc = Rtc::default();
        self.restart(Cause::PowerOn, Strap::Flash);
    }

    /// Registers as after a reset; RAM keeps what it held, as on the chip.
    pub(crate) fn restart(&mut self, cause: Cause, strap: Strap) {
        self.uart = [Uart::default(), Uart::default()];
        // The ROM receives by interrupt.
        self.uart[0].enabled = RX_FULL;
        self.spi = Spi::default();
        self.hspi = Spi::default();
        self.timers = Timers::default();
        self.watchdog = Watchdog::default();
        self.rtc.restart(cause);
        self.gpio.restart(strap as u8, FLASH_STRAP);
        self.dport.restart();
        self.paravirtual.reset();
        self.window = Window::default();
        self.others = Plain::default();
        self.time = Timebase::default();
        self.reset = None;
        self.code_changed = true;
        self.touched = true;
        self.edges = 0;
    }

    /// Reads a word for the serial loader at `now`; the two lowest address bits do not count.
    pub(crate) fn read(&mut self, address: u32, now: Duration) -> u32 {
        let address = address & !3;
        if self.is_device(address) {
            return self.read_device(address, now, time::ticks(now));
        }
        // What the loader does when an access faults was never looked at.
        self.load(address, Width::Word, 0).unwrap_or(0)
    }

    /// Writes a word for the serial loader at `now`; writes to ROM and flash do nothing.
    pub(crate) fn write(&mut self, address: u32, value: u32, now: Duration) {
        let address = address & !3;
        if self.is_device(address) {
            self.write_device(address, value, now, time::ticks(now));
        } else if self.memory.fill(address, &value.to_le_bytes()) {
            self.code_changed = true;
        }
    }

    /// Copies `bytes` into RAM; false when not all of it is RAM, and then nothing is copied.
    pub(crate) fn upload(&mut self, address: u32, bytes: &[u8]) -> bool {
        self.code_changed = true;
        self.memory.fill(address, bytes)
    }

    /// The host sent something, or the board changed: interrupt lines are looked at again.
    pub(crate) const fn touch(&mut self) {
        self.touched = true;
    }

    /// The CPU stood still at `cycle` until `now`.
    pub(crate) fn start_clock(&mut self, cycle: u64, now: Duration) {
        self.time.align(cycle, now);
        self.code_changed = true;
        self.touched = true;
    }

    /// The cycle of the next event, as the last [`Bus::poll`] found it.
    pub(crate) const fn due(&self) -> u64 {
        self.due
    }

    /// Whether decoded code may have become out of date since the last call.
    pub(crate) const fn take_code_changed(&mut self) -> bool {
        std::mem::replace(&mut self.code_changed, false)
    }

    /// Reads a device register.
    pub(super) fn read_device(&mut self, address: u32, now: Duration, tick: Ticks) -> u32 {
        let offset = address & 0xFF;
        match address & !0xFF {
            UART0 => {
                self.touched |= offset == 0;
                self.uart[0].read(offset)
            }
            UART1 => self.uart[1].read(offset),
            SPI0 => self.spi.read(offset, now),
            SPI1 => self.hspi.read(offset, now),
            GPIO => self.gpio.read(offset),
            TIMERS => self.timers.read(offset, tick),
            RTC => self.rtc.read(offset, tick),
            WATCHDOG => self.watchdog.read(offset),
            SYSTEM_REGISTERS => self.dport.read(offset),
            PARAVIRTUAL_REGISTERS => self.paravirtual.read(offset, now),
            _ => match address {
                UART_INTERRUPTS => {
                    u32::from(self.uart[0].interrupts()) | u32::from(self.uart[1].interrupts()) << 2
                }
                RANDOM => u32::from_le_bytes(std::array::from_fn(|_| self.random.byte())),
                MICROSECONDS => {
                    let [a, b, c, d, ..] = (tick / u64::from(uart::CLOCK / 1_000_000)).to_le_bytes();
                    u32::from_le_bytes([a, b, c, d])
                }
                _ if RTC_MEMORY.contains(&address) => {
                    self.rtc.memory(address - RTC_MEMORY.start).map_or(0, |word| *word)
                }
                _ => self.others.read(address),
            },
        }
    }

    /// Writes a device register.
    pub(super) fn write_device(&mut self, address: u32, value: u32, now: Duration, tick: Ticks) {
        let offset = address & 0xFF;
        self.touched = true;
        match address & !0xFF {
            UART0 => self.uart[0].write(offset, value, tick),
            UART1 => self.uart[1].write(offset, value, tick),
            SPI0 => self.spi.write(offset, value, Some(&mut self.nor.lock()), now),
            SPI1 => self.hspi.write(offset, value, None, now),
            GPIO => self.gpio.write(offset, value),
            TIMERS => self.timers.write(offset, value, tick),
            RTC => {
                if self.rtc.write(offset, value) {
                    self.reset = Some(Cause::External);
                }
            }
            WATCHDOG => self.watchdog.write(offset, value, tick),
            SYSTEM_REGISTERS => {
                if self.dport.write(offset, value) {
                    let other = self.window.show(self.dport.flash_address(0), self.nor.lock().operations());
                    self.code_changed |= other || offset == CACHE_SIZE;
                }
            }
            PARAVIRTUAL_REGISTERS => self.paravirtual.write(offset, value, &mut self.memory, now),
            _ if RTC_MEMORY.contains(&address) => {
                if let Some(word) = self.rtc.memory(address - RTC_MEMORY.start) {
                    *word = value;
                }
            }
            _ => self.others.write(address, value),
        }
    }

    /// Brings everything up to `at`: bytes arrive and leave, timers fire.
    pub(super) fn settle(&mut self, at: u64) {
        self.touched = false;
        let tick = self.time.tick(at);
        let now = time::duration(tick);
        let [uart0, uart1] = &mut self.uart;
        // Bytes that take no time would find a full FIFO; on such a line they wait for room.
        let patient = self.line.to_device.pace() == Pace::Instant;
        let has_room = |uart: &Uart| !patient || uart.received() < FIFO_LENGTH;
        while has_room(uart0)
            && let Some(symbol) = self.line.to_device.receive(now)
        {
            let at = time::ticks(symbol.at);
            uart0.settle(at);
            uart0.receive(symbol, at);
        }
        while let Some((byte, from)) = uart0.next_to_send(tick) {
            let until = self.line.chip_sends(byte, uart::baud(uart0.divider), time::duration(from));
            uart0.sending(Some(until));
        }
        while uart1.next_to_send(tick).is_some() {
            uart1.sending(None);
        }
        uart0.settle(tick);
        uart1.settle(tick);
        while let Some(timer) = self.timers.fire(tick) {
            self.edges |= match timer {
                Timer::Frc1 if self.dport.frc1_is_nmi() => INTERRUPT_NMI,
                Timer::Frc1 if self.dport.edges() & 2 != 0 => INTERRUPT_FRC1,
                Timer::Frc2 if self.dport.edges() & 4 != 0 => INTERRUPT_FRC2,
                Timer::Frc1 | Timer::Frc2 => 0,
            };
        }
        match self.watchdog.bite(tick) {
            Some(Bite::Interrupt) if self.dport.edges() & 1 != 0 => self.edges |= INTERRUPT_WATCHDOG,
            Some(Bite::Reset) => self.reset = Some(Cause::Watchdog),
            Some(Bite::Interrupt) | None => {}
        }
        self.paravirtual.look(now);
        self.levels = 0;
        if self.paravirtual.interrupts(now) {
            self.levels |= INTERRUPT_RADIO;
        }
        if self.uart.iter().any(Uart::interrupts) {
            self.levels |= INTERRUPT_UART;
        }
        if self.gpio.interrupts() {
            self.levels |= INTERRUPT_GPIO;
        }
        let [uart0, uart1] = &self.uart;
        let arrival = self.line.to_device.peek().filter(|_| has_room(uart0));
        let arrival = arrival.map(|symbol| time::ticks_until(symbol.at));
        let spi = self.spi.next_event(now).map(time::ticks_until);
        let events = [
            arrival,
            uart0.next_event(),
            uart1.next_event(),
            self.timers.next_event(),
            self.watchdog.next_event(),
            spi,
            self.paravirtual.next_event(now).map(time::ticks_until),
        ];
        self.due = events.into_iter().flatten().min().map_or(u64::MAX, |tick| self.time.cycle(tick));
    }
}
