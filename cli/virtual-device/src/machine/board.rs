//! [`Board`]: what the CPU reaches by address, and what reaches it by interrupt.
//!
//! Implements the [`Bus`] of the CPU with the chip's memory map and access rules. Device time is lazy: a peripheral is
//! brought up to date when it is accessed or when the earliest of its next events is due, which [`Board::poll`] tells
//! the CPU. The serial loader of the boot ROM uses the same registers with [`Board::read`] and [`Board::write`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use espbroker_flasher::protocol::CHIP_MAGIC;
use espbroker_lx106::{Bus, Fault, Poll, Width};

use crate::boot::{Cause, FLASH_STRAP, Strap};
use crate::fault::Faults;
use crate::line::Line;
use crate::machine::dport::Dport;
use crate::machine::gpio::Gpio;
use crate::machine::memory::{FLASH_WINDOW, IRAM, Memory, ROM};
use crate::machine::registers::{
    GPIO, MICROSECONDS, PERIPHERALS, Plain, RANDOM, RTC, RTC_MEMORY, SPI0, SPI1, SYSTEM, TIMERS,
    UART_INTERRUPTS, UART0, UART1, WATCHDOG,
};
use crate::machine::rtc::Rtc;
use crate::machine::spi::Spi;
use crate::machine::time::{self, Ticks, Timebase};
use crate::machine::timers::{Timer, Timers};
use crate::machine::uart::{RX_FULL, Uart};
use crate::machine::watchdog::{Bite, Watchdog};
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

/// Interrupt numbers of the CPU.
const INTERRUPT_GPIO: u32 = 1 << 4;
const INTERRUPT_UART: u32 = 1 << 5;
const INTERRUPT_WATCHDOG: u32 = 1 << 8;
const INTERRUPT_FRC1: u32 = 1 << 9;
const INTERRUPT_FRC2: u32 = 1 << 10;
const INTERRUPT_NMI: u32 = 1 << 14;

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
    random: Random,
    others: Plain,
    /// Something happened since the last settling.
    touched: bool,
    /// The cycle of the next event.
    due: u64,
    levels: u32,
    edges: u32,
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
            nor,
            time: Timebase::default(),
            trace: Vec::new(),
            reset: None,
            code_changed: false,
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
    fn read_device(&mut self, address: u32, now: Duration, tick: Ticks) -> u32 {
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
            0x3FF0_0000 => self.dport.read(offset),
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
    fn write_device(&mut self, address: u32, value: u32, now: Duration, tick: Ticks) {
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
            0x3FF0_0000 => self.code_changed |= self.dport.write(offset, value),
            _ if RTC_MEMORY.contains(&address) => {
                if let Some(word) = self.rtc.memory(address - RTC_MEMORY.start) {
                    *word = value;
                }
            }
            _ => self.others.write(address, value),
        }
    }

    /// Brings everything up to `at`: bytes arrive and leave, timers fire.
    fn settle(&mut self, at: u64) {
        self.touched = false;
        let tick = self.time.tick(at);
        let now = time::duration(tick);
        let [uart0, uart1] = &mut self.uart;
        loop {
            let arrived = self.line.to_device.receive(now);
            if let Some(symbol) = arrived {
                uart0.settle(time::ticks(symbol.at));
                uart0.receive(symbol, time::ticks(symbol.at));
            } else {
                break;
            }
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
        self.levels = 0;
        if self.uart.iter().any(Uart::interrupts) {
            self.levels |= INTERRUPT_UART;
        }
        if self.gpio.interrupts() {
            self.levels |= INTERRUPT_GPIO;
        }
        let arrival = self.line.to_device.peek().map(|symbol| time::ticks_until(symbol.at));
        let [uart0, uart1] = &self.uart;
        let spi = self.spi.next_event(now).map(time::ticks_until);
        let events = [
            arrival,
            uart0.next_event(),
            uart1.next_event(),
            self.timers.next_event(),
            self.watchdog.next_event(),
            spi,
        ];
        self.due = events.into_iter().flatten().min().map_or(u64::MAX, |tick| self.time.cycle(tick));
    }
}

impl Bus for Board {
    fn fetch(&mut self, address: u32) -> Result<u32, Fault> {
        if IRAM.contains(&address) && !self.dport.is_cache(address) {
            return self.memory.code(address).ok_or(Fault::FetchError);
        }
        match address {
            0..0x2000_0000 => Err(Fault::FetchProhibited),
            _ if FLASH_WINDOW.contains(&address) => Ok(self.flash_word(address)),
            _ => Err(Fault::FetchError),
        }
    }

    #[inline]
    fn load(&mut self, address: u32, width: Width, at: u64) -> Result<u32, Fault> {
        if let Some(value) = self.memory.load_data(address, width) {
            return Ok(value);
        }
        self.load_elsewhere(address, width, at)
    }

    #[inline]
    fn store(&mut self, address: u32, width: Width, value: u32, at: u64) -> Result<(), Fault> {
        if self.memory.store_data(address, width, value).is_some() {
            return Ok(());
        }
        self.store_elsewhere(address, width, value, at)
    }

    #[inline]
    fn is_device(&self, address: u32) -> bool {
        SYSTEM.contains(&address) || PERIPHERALS.contains(&address)
    }

    fn poll(&mut self, at: u64) -> Poll {
        if self.touched || at >= self.due {
            self.settle(at);
        }
        Poll { levels: self.levels, edges: std::mem::take(&mut self.edges), next: self.due }
    }

    fn is_native(&self, pc: u32) -> bool {
        ROM.contains(&pc)
    }

    fn is_idle_read(&self, address: u32) -> bool {
        match address & !0xFF {
            UART0 | UART1 => address & 0xFF != 0,
            SPI0 | SPI1 | GPIO | WATCHDOG | 0x3FF0_0000 => true,
            _ => RTC_MEMORY.contains(&address) || address == UART_INTERRUPTS,
        }
    }
}

impl Board {
    fn flash_word(&self, address: u32) -> u32 {
        let Some(place) = self.dport.flash_address(address & !3 & (0x10_0000 - 1)) else { return 0 };
        let mut word = [0; 4];
        // The cache waits for a flash that is busy; here the array is read as it is.
        self.nor.lock().read(place, &mut word, Duration::MAX);
        u32::from_le_bytes(word)
    }

    fn load_elsewhere(&mut self, address: u32, width: Width, at: u64) -> Result<u32, Fault> {
        if self.is_device(address) {
            if self.reset.is_some() {
                return Ok(0);
            }
            if self.touched || at >= self.due {
                self.settle(at);
            }
            let tick = self.time.tick(at);
            let word = self.read_device(address & !3, time::duration(tick), tick);
            // Narrow accesses to registers are not documented; they give a part of the word here.
            let part = word >> (8 * (address & 3));
            return Ok(match width {
                Width::Word => word,
                Width::Half => part & 0xFFFF,
                Width::Byte => part & 0xFF,
            });
        }
        let word = match address {
            0..0x2000_0000 => return Err(Fault::LoadProhibited),
            _ if IRAM.contains(&address) => {
                // RAM that serves as cache is not mapped and is said to read as 0.
                if self.dport.is_cache(address) { 0 } else { self.memory.code(address).unwrap_or(0) }
            }
            _ if ROM.contains(&address) => self.memory.rom(address),
            _ if FLASH_WINDOW.contains(&address) => self.flash_word(address),
            // Holes in the map are not documented.
            _ => return Err(Fault::LoadStoreError),
        };
        if width == Width::Word { Ok(word) } else { Err(Fault::LoadStoreError) }
    }

    fn store_elsewhere(&mut self, address: u32, width: Width, value: u32, at: u64) -> Result<(), Fault> {
        if self.is_device(address) {
            if self.reset.is_some() {
                return Ok(());
            }
            if self.touched || at >= self.due {
                self.settle(at);
            }
            let tick = self.time.tick(at);
            self.write_device(address & !3, value, time::duration(tick), tick);
            let cycles_per_tick = self.dport.cycles_per_tick();
            if self.time.cycles_per_tick() != cycles_per_tick {
                self.time.change_speed(at, cycles_per_tick);
            }
            return Ok(());
        }
        match address {
            0..0x2000_0000 => Err(Fault::StoreProhibited),
            _ if IRAM.contains(&address) && width == Width::Word => {
                if !self.dport.is_cache(address) {
                    self.memory.store_code(address, value);
                }
                Ok(())
            }
            _ => Err(Fault::LoadStoreError),
        }
    }
}
