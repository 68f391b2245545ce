//! [`Chip`]: the virtual ESP8266 itself, without a clock of its own.
//!
//! Bytes, control lines and time go in, bytes come out: [`Chip::advance`] is the only way in which time passes, and
//! whoever drives the chip decides whether that is the wall clock or a simulated one. Inside, everything that happens
//! is an event with a time: the rise of EN, the end of the boot log, the CPU picking up a byte, the step behind a
//! request. Running firmware is behind the [`Firmware`] trait; it lives in real time and is polled.
//!
//! A request that keeps the CPU busy is worked through when it begins. If EN is pulled before it would have ended,
//! what it did to the flash stays done, where a real chip would have been stopped in the middle.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use espbroker_flasher::slip;
use espbroker_flasher::transport::ControlLines;

use crate::boot::{self, Cause, Outcome, Strap};
use crate::fault::Fault;
use crate::line::Line;
use crate::lines::{EN_RISE_TIME, Flashed, Pins, Wiring};
use crate::loader::rom::{RECEIVE_QUEUE, RomLoader};
use crate::loader::{Next, Reaction};
use crate::machine::board::SharedNor;
use crate::machine::{Board, Halt, Machine};
use crate::uart::{self, Autobaud, Symbol, Traffic};

/// Code that runs on the chip after the boot ROM jumped to it; dropping it is a reset.
pub(crate) trait Firmware: Send {
    /// Takes what the firmware has written to its console since; 0 when nothing.
    fn console_read(&mut self, buffer: &mut [u8]) -> usize;
    /// Gives it what came in on its console.
    fn console_write(&mut self, bytes: &[u8]);
    /// Whether it has ended and asks for a reset of the chip.
    fn wants_restart(&self) -> bool;
}

/// Finds out what the image in flash is and starts it; `None` for code that this device cannot run.
pub(crate) type Launcher = Box<dyn FnMut(&SharedNor, Cause) -> Option<Box<dyn Firmware>> + Send>;

enum Cpu {
    Unpowered,
    InReset,
    /// The ROM prints and loads until `until`.
    Booting {
        until: Duration,
        then: Then,
    },
    Autobaud(Autobaud),
    Rom(Box<RomLoader>),
    /// Machine code runs.
    Code,
    Firmware(Box<dyn Firmware>),
    /// It spins, or runs code that nobody here knows.
    Stuck,
}

#[derive(Clone, Copy)]
enum Then {
    Download,
    Start { entry: u32 },
    Stuck,
}

/// A virtual ESP8266 with its flash, its board's wiring and the adapter at the other end of the line.
pub(crate) struct Chip {
    now: Duration,
    wiring: Wiring,
    pins: Pins,
    en_rises_at: Option<Duration>,
    strap: Strap,
    cause: Cause,
    machine: Box<Machine>,
    cpu: Cpu,
    /// The CPU picks up nothing before this.
    busy_until: Duration,
    /// What it does at `busy_until`.
    next: Next,
    /// Bytes picked up late in a row.
    queued: usize,
    received: VecDeque<u8>,
    launcher: Launcher,
    adapter: Adapter,
    /// How many clients have the port open over the network.
    clients: u32,
}

/// The adapter between host and board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapter {
    /// Plugged in for the time with this number.
    Plugged(u32),
    /// Pulled, after the time with this number.
    Pulled(u32),
}

/// How far ahead of the line firmware may write.
const CONSOLE_AHEAD: Duration = Duration::from_millis(20);

/// The least time that passes when machine code has something to do at once.
const SHORTEST_STEP: Duration = Duration::from_micros(1);

/// Bytes that the adapter and the operating system keep for a host that does not read; further ones are lost.
const RECEIVED_LIMIT: usize = 1 << 20;

impl fmt::Debug for Chip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Chip")
            .field("now", &self.now)
            .field("strap", &self.strap)
            .finish_non_exhaustive()
    }
}

impl Chip {
    /// A chip on a plugged-in board: it gets power at time 0.
    pub(crate) fn new(board: Board, wiring: Wiring, launcher: Launcher) -> Self {
        let mut chip = Self {
            now: Duration::ZERO,
            wiring,
            pins: Pins::default(),
            en_rises_at: None,
            strap: Strap::Flash,
            cause: Cause::PowerOn,
            machine: Box::new(Machine::new(board)),
            cpu: Cpu::Unpowered,
            busy_until: Duration::ZERO,
            next: Next::Stay,
            queued: 0,
            received: VecDeque::new(),
            launcher,
            adapter: Adapter::Plugged(0),
            clients: 0,
        };
        chip.power_cycle();
        chip
    }

    const fn line(&self) -> &Line {
        &self.machine.bus.line
    }

    const fn line_mut(&mut self) -> &mut Line {
        &mut self.machine.bus.line
    }

    /// What machine code and the boot ROM's functions had to say about themselves.
    pub(crate) fn trace(&self) -> &[String] {
        &self.machine.bus.trace
    }

    /// Time since the device was made.
    pub(crate) const fn now(&self) -> Duration {
        self.now
    }

    /// The flash chip.
    pub(crate) const fn nor(&self) -> &SharedNor {
        &self.machine.bus.nor
    }

    /// What has gone over the line so far: to the device, and to the host.
    pub(crate) const fn traffic(&self) -> [Traffic; 2] {
        [self.line().to_device.traffic(), self.line().to_host.traffic()]
    }

    /// Sends the CPU where nothing can be executed.
    #[cfg(test)]
    pub(crate) fn derail(&mut self) {
        self.machine.cpu.pc = 0x3FFE_8000;
    }

    /// Instructions executed so far.
    pub(crate) const fn instructions(&self) -> u64 {
        self.machine.executed
    }

    /// Whether the adapter is there, and since when.
    pub(crate) const fn adapter(&self) -> Adapter {
        self.adapter
    }

    /// Whether the adapter is there.
    pub(crate) const fn is_plugged(&self) -> bool {
        matches!(self.adapter, Adapter::Plugged(_))
    }

    /// Whether firmware runs, so that the chip has to be polled in real time.
    pub(crate) fn runs_firmware(&self) -> bool {
        matches!(self.cpu, Cpu::Firmware(_)) || self.executes_firmware()
    }

    /// Whether machine code runs that has clients outside.
    pub(crate) fn executes_firmware(&self) -> bool {
        matches!(self.cpu, Cpu::Code) && self.machine.bus.paravirtual.is_attached()
    }

    /// Whether machine code runs.
    pub(crate) const fn runs_code(&self) -> bool {
        matches!(self.cpu, Cpu::Code)
    }

    /// Takes the supply away and gives it back; also ends a power cut. RAM and what was on the line are lost.
    pub(crate) fn power_cycle(&mut self) {
        self.lose_power(self.now);
        self.machine.bus.power_cycle();
        if self.is_plugged() {
            self.cause = Cause::PowerOn;
            self.cpu = Cpu::InReset;
            if !self.pins.reset {
                self.en_rises_at = Some(self.now + EN_RISE_TIME);
            }
        }
    }

    /// Pulls the adapter, which also carries the supply.
    pub(crate) fn unplug(&mut self) {
        if let Adapter::Plugged(number) = self.adapter {
            self.adapter = Adapter::Pulled(number);
        }
        self.received.clear();
        self.machine.bus.line.to_device.cut(self.now);
        self.lose_power(self.now);
    }

    /// Puts the adapter back, with both lines released.
    pub(crate) fn plug_in(&mut self) {
        let (Adapter::Plugged(number) | Adapter::Pulled(number)) = self.adapter;
        self.adapter = Adapter::Plugged(number.wrapping_add(1));
        self.line_mut().faults.plugged_in();
        self.pins = Pins::default();
        self.power_cycle();
    }

    /// Changes DTR and RTS, both at once.
    pub(crate) fn set_lines(&mut self, lines: ControlLines) {
        let before = self.pins;
        self.pins = self.wiring.pins(lines);
        self.machine.bus.gpio.pull_gpio0(self.pins.gpio0_low);
        if matches!(self.cpu, Cpu::Unpowered) {
            return;
        }
        if self.pins.reset && !before.reset {
            self.en_rises_at = None;
            self.cause = Cause::External;
            self.halt(self.now);
            self.cpu = Cpu::InReset;
        } else if before.reset && !self.pins.reset {
            self.en_rises_at = Some(self.now + EN_RISE_TIME);
        }
    }

    /// The adapter's rate for both directions, from the next byte on.
    pub(crate) const fn set_host_baud(&mut self, baud: u32) {
        self.line_mut().host_baud = baud;
    }

    /// Puts bytes from the host on the line; gives when the last one is through.
    pub(crate) fn host_write(&mut self, bytes: &[u8]) -> Duration {
        for &byte in bytes {
            self.machine.bus.line.host_sends(byte, self.now);
        }
        self.check_adapter();
        self.line().to_device.free_at()
    }

    /// When everything that the host wrote is through.
    pub(crate) const fn host_write_done_at(&self) -> Duration {
        self.line().to_device.free_at()
    }

    /// A client opened the port over the network, at its rate: what came before is not for it.
    pub(crate) fn open_port(&mut self, baud: u32) {
        self.clients += 1;
        self.line_mut().host_baud = baud;
        self.received.clear();
    }

    /// Such a client closed the port, which releases both lines.
    pub(crate) fn close_port(&mut self) {
        self.clients = self.clients.saturating_sub(1);
        self.set_lines(ControlLines::default());
    }

    /// Whether a client has the port open over the network.
    #[cfg(unix)]
    pub(crate) const fn is_open(&self) -> bool {
        self.clients > 0
    }

    /// Takes what has arrived at the host.
    pub(crate) fn host_read(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.received.len());
        for (target, byte) in buffer.iter_mut().zip(self.received.drain(..count)) {
            *target = byte;
        }
        count
    }

    /// Whether something has arrived at the host.
    pub(crate) fn has_received(&self) -> bool {
        !self.received.is_empty()
    }

    /// Throws away what has arrived at the host.
    pub(crate) fn discard_received(&mut self) {
        self.received.clear();
    }

    /// When the chip will do or send something of its own accord next; `None` when only the host can change that.
    pub(crate) fn next_event(&self) -> Option<Duration> {
        let step = match self.cpu {
            Cpu::Code => {
                let arrival = self.line().to_device.peek().map(|symbol| symbol.at);
                let next = [self.machine.next_event(), arrival].into_iter().flatten().min();
                // What is due already happens as soon as any time passes.
                next.map(|at| at.max(self.now + SHORTEST_STEP))
            }
            _ => self.next_step(),
        };
        [step, self.line().to_host.peek().map(|symbol| symbol.at)].into_iter().flatten().min()
    }

    /// Lets time pass until `to`; going back does nothing.
    pub(crate) fn advance(&mut self, to: Duration) {
        loop {
            if matches!(self.cpu, Cpu::Code) && self.now < to {
                self.run_code(to);
            } else if let Some(at) = self.next_step().filter(|&at| at <= to) {
                // Bytes that reached the host before this step were sampled at the rates of their time.
                self.deliver(at);
                self.now = self.now.max(at);
                self.step();
            } else {
                break;
            }
            self.check_supply();
        }
        self.now = self.now.max(to);
        self.poll_firmware();
        self.check_supply();
        self.deliver(self.now);
    }

    /// The next thing that the chip itself does.
    fn next_step(&self) -> Option<Duration> {
        if let Some(at) = self.en_rises_at {
            return Some(at);
        }
        match &self.cpu {
            Cpu::Booting { until, .. } => return Some(*until),
            Cpu::Rom(_) if self.next != Next::Stay => return Some(self.busy_until),
            // Its machine looks at the line itself.
            Cpu::Code => return None,
            _ => {}
        }
        let arrival = self.line().to_device.peek()?.at;
        match self.cpu {
            Cpu::Rom(_) => Some(arrival.max(self.busy_until)),
            _ => Some(arrival),
        }
    }

    fn step(&mut self) {
        if self.en_rises_at.take().is_some() {
            self.start();
            return;
        }
        if let Cpu::Booting { then, .. } = self.cpu {
            self.finish_boot(then);
            return;
        }
        if self.next != Next::Stay && matches!(self.cpu, Cpu::Rom(_)) {
            let next = std::mem::take(&mut self.next);
            self.go_on(next);
            return;
        }
        if let Some(symbol) = self.machine.bus.line.to_device.receive(self.now) {
            self.pick_up(symbol);
        }
    }

    /// EN is high: the ROM looks at the straps and begins.
    fn start(&mut self) {
        let mut first = [0];
        self.machine.bus.nor.lock().read(0, &mut first, Duration::MAX);
        let flashed = if first == [boot::MAGIC] { Flashed::Yes } else { Flashed::No };
        let download = self.wiring.download(self.pins, flashed);
        self.strap = match (download, self.line().faults.has(&Fault::Gpio15High)) {
            (true, false) => Strap::Download,
            (false, false) => Strap::Flash,
            (true, true) => Strap::SdioDownload,
            (false, true) => Strap::Sdio,
        };
        self.run_rom(self.now + boot::START_TIME, uart::BOOT_DIVIDER);
    }

    /// The ROM from its beginning, with the straps that were read and the rate that its UART comes to.
    fn run_rom(&mut self, at: Duration, divider: u32) {
        self.machine.restart(self.cause, self.strap);
        self.machine.bus.set_divider(divider);
        self.send(&boot::banner(self.cause, self.strap), at);
        if self.cause == Cause::Watchdog {
            self.send(boot::WATCHDOG_RESET, at);
        }
        match self.strap {
            Strap::Flash => self.load_from_flash(at),
            Strap::Download => self.boot_until(at, Then::Download),
            Strap::Sdio | Strap::SdioDownload => {
                self.send(boot::WAITING_FOR_HOST, at);
                self.boot_until(at, Then::Stuck);
            }
        }
    }

    fn load_from_flash(&mut self, at: Duration) {
        let (log, outcome, loaded_at) = boot::load(&mut self.machine.bus, at);
        self.send(&log, at);
        let then = match outcome {
            Outcome::Started { entry } => Then::Start { entry },
            Outcome::Stuck => Then::Stuck,
        };
        self.boot_until(loaded_at, then);
    }

    fn boot_until(&mut self, at: Duration, then: Then) {
        self.cpu = Cpu::Booting { until: at.max(self.line().to_host.free_at()), then };
    }

    fn finish_boot(&mut self, then: Then) {
        // What came in meanwhile met a UART that nobody read.
        while self.machine.bus.line.to_device.receive(self.now).is_some() {}
        self.busy_until = self.now;
        self.next = Next::Stay;
        self.cpu = match then {
            Then::Download => Cpu::Autobaud(Autobaud::default()),
            Then::Stuck => Cpu::Stuck,
            Then::Start { entry } => match (self.launcher)(&self.machine.bus.nor, self.cause) {
                Some(firmware) => {
                    self.machine.bus.set_divider(uart::CONSOLE_DIVIDER);
                    Cpu::Firmware(firmware)
                }
                None => {
                    self.start_code(entry);
                    return;
                }
            },
        };
    }

    fn go_on(&mut self, next: Next) {
        match next {
            Next::Stay => {}
            Next::BootFromFlash => self.load_from_flash(self.now),
            Next::Jump { .. } if self.line().faults.has(&Fault::StubDoesNotStart) => self.cpu = Cpu::Stuck,
            Next::Jump { entry } => self.start_code(entry),
        }
    }

    fn start_code(&mut self, entry: u32) {
        self.machine.enter(entry, self.now);
        self.cpu = Cpu::Code;
    }

    /// Runs machine code until `to`, or until it ends in something else.
    fn run_code(&mut self, to: Duration) {
        let halt = self.machine.advance(to);
        self.now = match halt {
            Halt::Until => to,
            _ => self.machine.now().clamp(self.now, to),
        };
        match halt {
            Halt::Until => {}
            Halt::Stuck => {
                self.machine.bus.paravirtual.reset();
                self.cpu = Cpu::Stuck;
            }
            Halt::BootFromFlash => self.load_from_flash(self.now),
            Halt::Reset(cause) => {
                self.cause = cause;
                self.machine.bus.line.chip_stops(self.now);
                self.run_rom(self.now + boot::START_TIME, uart::BOOT_DIVIDER);
            }
        }
    }

    fn pick_up(&mut self, symbol: Symbol) {
        self.queued = if symbol.at < self.busy_until { self.queued + 1 } else { 0 };
        let bytes = uart::received(symbol, uart::baud(self.machine.bus.divider()));
        match &mut self.cpu {
            Cpu::Autobaud(autobaud) => {
                if let Some(divider) = autobaud.measure(symbol) {
                    self.machine.bus.set_divider(divider);
                    self.cpu = Cpu::Rom(Box::default());
                }
            }
            Cpu::Rom(_) if self.queued > RECEIVE_QUEUE => {}
            Cpu::Rom(_) => {
                for byte in bytes {
                    let now = self.now.max(self.busy_until);
                    let Cpu::Rom(rom) = &mut self.cpu else { return };
                    let reaction = rom.receive(byte, &mut self.machine.bus, now);
                    self.react(reaction);
                }
            }
            Cpu::Firmware(firmware) => firmware.console_write(&bytes),
            Cpu::Unpowered | Cpu::InReset | Cpu::Booting { .. } | Cpu::Code | Cpu::Stuck => {}
        }
    }

    fn react(&mut self, reaction: Reaction) {
        let cut_at = self.machine.bus.nor.lock().power_lost_at();
        for reply in reaction.replies {
            if cut_at.is_some_and(|cut_at| reply.at >= cut_at) {
                continue;
            }
            self.send(&slip::encode(&reply.frame), reply.at);
            // Sending waits for the line, so nothing else happens before it is done.
            self.busy_until = self.line().to_host.free_at();
        }
        self.busy_until = self.busy_until.max(reaction.done_at);
        if reaction.next != Next::Stay {
            self.next = reaction.next;
        }
    }

    fn send(&mut self, bytes: &[u8], at: Duration) {
        let baud = uart::baud(self.machine.bus.divider());
        for &byte in bytes {
            self.machine.bus.line.chip_sends(byte, baud, at);
        }
    }

    fn poll_firmware(&mut self) {
        let Cpu::Firmware(firmware) = &mut self.cpu else { return };
        // A chip waits for its UART instead of filling memory.
        if self.machine.bus.line.to_host.free_at() > self.now + CONSOLE_AHEAD {
            return;
        }
        let mut buffer = [0; 256];
        let count = firmware.console_read(&mut buffer);
        if let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) {
            self.send(bytes, self.now);
            return;
        }
        // Only now, so that its last words are heard.
        if firmware.wants_restart() {
            self.cause = Cause::External;
            // A restart by the vendor's SDK keeps the clock that it has corrected, so "115200" is just that.
            let at = self.line().to_host.free_at().max(self.now) + boot::START_TIME;
            self.run_rom(at, uart::CONSOLE_DIVIDER);
        }
    }

    fn deliver(&mut self, until: Duration) {
        while let Some(symbol) = self.line_mut().to_host.receive(until) {
            let bytes = uart::received(symbol, self.line().host_baud);
            if self.received.len() < RECEIVED_LIMIT {
                self.received.extend(bytes);
            }
        }
        self.check_adapter();
    }

    /// Ends everything if the flash met its planned power cut.
    fn check_supply(&mut self) {
        let lost_at = self.machine.bus.nor.lock().power_lost_at();
        if let Some(lost_at) = lost_at
            && !matches!(self.cpu, Cpu::Unpowered)
        {
            self.lose_power(lost_at);
        }
    }

    fn check_adapter(&mut self) {
        if self.is_plugged() && self.line().faults.unplugged() {
            self.unplug();
        }
    }

    fn lose_power(&mut self, at: Duration) {
        self.halt(at);
        self.en_rises_at = None;
        self.cpu = Cpu::Unpowered;
    }

    /// The CPU stops at `at`: firmware ends, and what was not through on the line is cut.
    fn halt(&mut self, at: Duration) {
        self.cpu = Cpu::Stuck;
        self.machine.bus.paravirtual.reset();
        self.next = Next::Stay;
        self.busy_until = at;
        self.line_mut().chip_stops(at);
    }
}

#[cfg(test)]
#[path = "chip_tests.rs"]
mod tests;
