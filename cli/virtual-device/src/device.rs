//! [`VirtualDevice`]: a chip with a clock, for programs and tests to talk to.
//!
//! On the real clock a thread keeps the chip going when nobody talks to it, so that its firmware serves clients and
//! its boot log is on time. On the simulated clock time passes only inside the calls of a [`VirtualTransport`], by as
//! much as they ask for: a 30 s write takes milliseconds, and the same calls always give the same result. Firmware has
//! clients, whose time is real: while it runs, time also passes by itself, and a read on the simulated clock that finds
//! nothing really waits, no longer than its time-out.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use espbroker_host::{DiscoveryPorts, Ports};

use crate::chip::{Chip, Launcher};
use crate::fault::{Fault, Faults};
use crate::lines::Wiring;
use crate::machine::Board;
use crate::machine::board::SharedNor;
use crate::nor::{FlashSource, Nor, StorageError};
use crate::timing::Timing;
use crate::transport::VirtualTransport;
use crate::uart::Traffic;
use crate::wifi::SimulatedWifi;

/// How often running firmware is asked for console output.
const FIRMWARE_POLL: Duration = Duration::from_millis(2);
/// How often the thread of the real clock looks at an idle chip.
const IDLE_POLL: Duration = Duration::from_millis(100);

/// How long the chip's code may keep everybody else waiting, when it is late.
const CATCH_UP_MAX: Duration = Duration::from_millis(20);
/// How much of it runs between two looks at the clock.
const CATCH_UP_STEP: Duration = Duration::from_millis(2);

/// Where the device's time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Clock {
    /// The machine's own clock.
    #[default]
    Real,
    /// The calls of the transport, and while firmware runs, the machine's own clock too.
    Simulated,
}

/// What becomes of an image for the virtual target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Firmware {
    /// It is executed, instruction by instruction, as every other image.
    #[default]
    Executed,
    /// The same device code runs in its place as it is built into this program, on a thread of this computer.
    Host,
}

/// What kind of device.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is in flash, and where it is kept.
    pub flash: FlashSource,
    /// The station's MAC address, in eFuse.
    pub mac: [u8; 6],
    /// Manufacturer, type and capacity as the flash chip reports them. A capacity of 0x12 to 0x18, a power of two, is
    /// also its size; with any other it has 4 MB.
    pub flash_id: [u8; 3],
    /// How long things take.
    pub timing: Timing,
    /// Where time comes from.
    pub clock: Clock,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What DTR and RTS reach.
    pub wiring: Wiring,
    /// What is in radio range.
    pub wifi: SimulatedWifi,
    /// Where the firmware's ports are opened.
    pub bind: IpAddr,
    /// Which ports those are.
    pub ports: Ports,
    /// UDP ports through which the firmware is found; `None` leaves it unfound.
    pub discovery: Option<DiscoveryPorts>,
    /// What becomes of an image for the virtual target.
    pub firmware: Firmware,
    /// Decides what noise and torn flash cells look like.
    pub seed: u64,
}

impl Default for Options {
    /// A development board with 4 MB of blank flash, in real time, with no faults.
    fn default() -> Self {
        Self {
            flash: FlashSource::Blank,
            mac: [0x5C, 0xCF, 0x7F, 0x00, 0x00, 0x01],
            flash_id: [0xEF, 0x40, 0x16],
            timing: Timing::default(),
            clock: Clock::Real,
            faults: Vec::new(),
            wiring: Wiring::AutoReset,
            wifi: SimulatedWifi::default(),
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: Ports::Configured,
            discovery: None,
            firmware: Firmware::Executed,
            seed: 0,
        }
    }
}

/// What a device has done since it was plugged in, by its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// Its own time.
    pub time: Duration,
    /// By how much that has fallen behind the real clock, because this computer could not run the chip's code fast
    /// enough.
    pub behind: Duration,
    /// What the host has sent.
    pub to_device: Traffic,
    /// What the chip has sent.
    pub to_host: Traffic,
    /// Instructions that its CPU has executed; functions of the boot ROM count for none.
    pub instructions: u64,
    /// How long its flash has been erasing and programming.
    pub flash_busy: Duration,
}

/// A virtual ESP8266 board that is plugged in; clones are the same board, and it is gone with the last of them.
#[derive(Clone, Debug)]
pub struct VirtualDevice {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    chip: Mutex<Chip>,
    /// Something arrived at the host, or the chip's next event may have moved.
    changed: Condvar,
    clock: Clock,
    origin: Instant,
    /// The device itself, for the thread that lets it follow the real clock.
    this: Weak<Self>,
    /// On the simulated clock: until when the chip has followed the real one, while it executes firmware.
    followed: Mutex<Option<Instant>>,
    /// By how much the real clock is ahead of a chip whose code this computer cannot run fast enough.
    behind: Mutex<Duration>,
}

impl VirtualDevice {
    /// Plugs a board in: the chip gets power and starts.
    ///
    /// # Errors
    /// [`StorageError`] when the flash cannot hold or keep what [`Options::flash`] says.
    pub fn new(options: Options) -> Result<Self, StorageError> {
        let launcher: Launcher = crate::firmware::launcher(&options);
        let plug = crate::firmware::outside(&options);
        let [_, _, capacity] = options.flash_id;
        let size = if (0x12..=0x18).contains(&capacity) { 1 << capacity } else { 0x40_0000 };
        let mut nor = Nor::new(options.flash, size, options.flash_id, options.timing.nor, options.seed)?;
        let mut magic = None;
        for fault in &options.faults {
            match *fault {
                Fault::WrongChip { magic: other } => magic = Some(other),
                Fault::FlashId(id) => nor.claim_id(id),
                Fault::UnreadableFlash => nor.short_data_line(),
                Fault::WornSector { address } => nor.wear_out(address),
                Fault::PowerCutAfterFlashOperations(operations) => nor.cut_power_after(operations),
                _ => {}
            }
        }
        let faults = Faults::new(options.faults, options.seed);
        let pace = options.timing.uart;
        let mut board = Board::new(SharedNor::new(nor), options.mac, pace, faults, options.seed);
        board.memory.magic = magic.unwrap_or(board.memory.magic);
        board.paravirtual.plug(plug);
        let chip = Chip::new(board, options.wiring, launcher);
        let shared = Arc::new_cyclic(|this| Shared {
            chip: Mutex::new(chip),
            changed: Condvar::new(),
            clock: options.clock,
            origin: Instant::now(),
            this: Weak::clone(this),
            followed: Mutex::new(None),
            behind: Mutex::new(Duration::ZERO),
        });
        if options.clock == Clock::Real {
            let weak = Arc::downgrade(&shared);
            std::thread::spawn(move || keep_going(&weak));
        }
        Ok(Self { shared })
    }

    /// A port to the device. Ports of one device share its line: bytes go to whoever reads first.
    pub fn transport(&self) -> VirtualTransport {
        VirtualTransport::new(Arc::clone(&self.shared))
    }

    /// A copy of the whole flash.
    pub fn flash(&self) -> Vec<u8> {
        self.nor(|nor| nor.contents())
    }

    /// Erases and page programs begun so far.
    pub fn flash_operations(&self) -> u64 {
        self.nor(|nor| nor.operations())
    }

    /// What it has done so far.
    pub fn usage(&self) -> Usage {
        let (time, [to_device, to_host], instructions, flash_busy) = self
            .shared
            .use_chip(|chip| (chip.now(), chip.traffic(), chip.instructions(), chip.nor().lock().busy()));
        let behind = *self.shared.behind.lock().unwrap_or_else(PoisonError::into_inner);
        Usage { time, behind, to_device, to_host, instructions, flash_busy }
    }

    /// Plans a power cut in the middle of an erase or program, after `operations` more that succeed.
    pub fn cut_power_after(&self, operations: u64) {
        self.nor(|nor| nor.cut_power_after(operations));
    }

    /// Whether the flash met a planned power cut and the device is without supply.
    pub fn lost_power(&self) -> bool {
        self.nor(|nor| nor.power_lost_at().is_some())
    }

    /// Why the flash file is no longer kept up to date, if it is not; the device itself goes on.
    pub fn flash_file_error(&self) -> Option<String> {
        self.nor(|nor| nor.storage_error().map(str::to_owned))
    }

    /// Takes the supply away for a moment, which also ends a power cut.
    pub fn power_cycle(&self) {
        self.shared.use_chip(Chip::power_cycle);
    }

    /// Pulls the adapter: open ports fail from now on.
    pub fn unplug(&self) {
        self.shared.use_chip(Chip::unplug);
    }

    /// Puts the adapter back; ports that were open stay dead, as the operating system has forgotten them.
    pub fn plug_in(&self) {
        self.shared.use_chip(Chip::plug_in);
    }

    /// Whether firmware was started and runs.
    pub fn runs_firmware(&self) -> bool {
        self.shared.use_chip(|chip| chip.runs_firmware())
    }

    /// What machine code ran into that this device cannot execute, oldest first.
    pub fn trace(&self) -> Vec<String> {
        self.shared.use_chip(|chip| chip.trace().to_vec())
    }

    pub(crate) fn clock(&self) -> Clock {
        self.shared.clock
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn nor<T>(&self, use_nor: impl FnOnce(&mut Nor) -> T) -> T {
        let nor = self.shared.use_chip(|chip| chip.nor().clone());
        use_nor(&mut nor.lock())
    }
}

impl Shared {
    /// A chip that is up to date; a panic of another holder leaves nothing half done that matters.
    fn lock(&self) -> MutexGuard<'_, Chip> {
        let mut chip = self.chip.lock().unwrap_or_else(PoisonError::into_inner);
        match self.clock {
            Clock::Real => self.catch_up(&mut chip),
            Clock::Simulated => self.follow(&mut chip),
        }
        chip
    }

    /// On the simulated clock, lets a chip that executes firmware keep up with its clients, whose time is real: what
    /// has passed since the last call passes on the chip too, but no more than this computer can execute.
    fn follow(&self, chip: &mut Chip) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if !chip.executes_firmware() {
            *followed = None;
            return;
        }
        let now = Instant::now();
        let Some(before) = followed.replace(now) else {
            let this = Weak::clone(&self.this);
            std::thread::spawn(move || keep_following(&this));
            return;
        };
        let passed = now - before;
        let until = chip.now() + passed.min(CATCH_UP_MAX);
        while chip.now() < until && now.elapsed() < CATCH_UP_MAX {
            chip.advance(until.min(chip.now() + CATCH_UP_STEP));
        }
    }

    /// Brings the chip up to the real time. What takes too long is given up: from then on the chip's time is late.
    fn catch_up(&self, chip: &mut Chip) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.origin.elapsed().saturating_sub(*behind);
        let started = Instant::now();
        while chip.now() < now {
            if started.elapsed() > CATCH_UP_MAX {
                *behind += now - chip.now();
                return;
            }
            let step = if chip.runs_code() { CATCH_UP_STEP } else { Duration::MAX };
            chip.advance(now.min(chip.now().saturating_add(step)));
        }
    }

    /// Does something with the chip at the present time.
    pub(crate) fn use_chip<T>(&self, use_chip: impl FnOnce(&mut Chip) -> T) -> T {
        let mut chip = self.lock();
        let result = use_chip(&mut chip);
        drop(chip);
        self.changed.notify_all();
        result
    }

    /// Lets `duration` pass.
    pub(crate) fn pass(&self, duration: Duration) {
        match self.clock {
            Clock::Real => std::thread::sleep(duration),
            Clock::Simulated => self.use_chip(|chip| chip.advance(chip.now() + duration)),
        }
    }

    /// Waits while more than half a second of bytes is on its way to the device, or until `give_up` says so.
    pub(crate) fn wait_for_line(&self, give_up: impl Fn() -> bool) {
        let busy = |chip: &mut Chip| chip.host_write_done_at() > chip.now() + Duration::from_millis(500);
        while !give_up() && self.use_chip(busy) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until bytes are there for the host, the adapter is gone, or `timeout` is over.
    pub(crate) fn wait_for_bytes(&self, timeout: Duration) -> MutexGuard<'_, Chip> {
        let mut chip = self.lock();
        let deadline = chip.now() + timeout;
        while !chip.has_received() && chip.is_plugged() && chip.now() < deadline {
            let next = chip.next_event().map_or(deadline, |next| next.min(deadline));
            let firmware = chip.runs_firmware();
            // Firmware that is executed waits for its clients in real time; what it does itself takes none.
            let soon = !chip.executes_firmware() || next <= chip.now() + FIRMWARE_POLL;
            if self.clock == Clock::Simulated && (!firmware || next < deadline) && soon {
                chip.advance(next);
                continue;
            }
            let longest = if firmware { FIRMWARE_POLL } else { IDLE_POLL };
            let before = (chip.now(), Instant::now());
            let wait = next.saturating_sub(chip.now()).min(longest);
            chip = self.wait(chip, wait);
            match self.clock {
                Clock::Simulated if chip.executes_firmware() => self.follow(&mut chip),
                Clock::Simulated => chip.advance((before.0 + before.1.elapsed()).min(deadline)),
                Clock::Real => self.catch_up(&mut chip),
            }
        }
        chip
    }

    fn wait<'a>(&self, chip: MutexGuard<'a, Chip>, duration: Duration) -> MutexGuard<'a, Chip> {
        // A wait of nothing would be a busy loop when an event is due but needs another moment.
        let duration = duration.max(Duration::from_micros(50));
        self.changed.wait_timeout(chip, duration).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The thread of the real clock: brings the chip up to date until the device is gone.
fn keep_going(device: &Weak<Shared>) {
    while let Some(shared) = device.upgrade() {
        let mut chip = shared.lock();
        if chip.has_received() {
            shared.changed.notify_all();
        }
        let longest = if chip.runs_firmware() { FIRMWARE_POLL } else { IDLE_POLL };
        let wait = chip.next_event().map_or(longest, |next| next.saturating_sub(chip.now()).min(longest));
        chip = shared.wait(chip, wait);
        drop(chip);
    }
}

/// The thread of the simulated clock, for as long as firmware is executed.
fn keep_following(device: &Weak<Shared>) {
    loop {
        std::thread::sleep(FIRMWARE_POLL);
        // Held for no longer than this, so that a device that is dropped is gone.
        let Some(shared) = device.upgrade() else { return };
        let chip = shared.lock();
        if !chip.executes_firmware() {
            return;
        }
        if chip.has_received() {
            shared.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use espbroker_flasher::transport::Transport as _;

    use super::*;

    #[test]
    fn the_usage_is_what_went_over_the_line_and_the_time_that_it_takes_there() {
        let device = VirtualDevice::new(Options { clock: Clock::Simulated, ..Options::default() }).unwrap();
        let before = device.usage();
        let mut port = device.transport();
        port.write_all(&[0x55; 1152]).unwrap();
        port.sleep(Duration::from_secs(1));
        let usage = device.usage();
        assert_eq!((before.to_device.bytes, usage.to_device.bytes), (0, 1152));
        let off = usage.to_device.time.abs_diff(Duration::from_millis(100));
        assert!(off < Duration::from_micros(10), "{usage:?}");
        assert!(usage.to_host.bytes > 0, "the boot ROM's log");
        assert_eq!(usage.time - before.time, Duration::from_secs(1));
        assert_eq!((usage.behind, usage.flash_busy), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn firmware_that_crashes_starts_again_and_says_what_has_happened() {
        let image = crate::image::build("1.0.0").unwrap();
        let timing = Timing { uart: crate::timing::Pace::Instant, nor: crate::timing::Pace::Instant };
        let flash = FlashSource::Bytes(image);
        let ports = Ports::Any;
        let device = VirtualDevice::new(Options { flash, timing, ports, ..Options::default() }).unwrap();
        let mut port = device.transport();
        let mut said = String::new();
        let mut wait_for = |wanted: &str| {
            while !said.contains(wanted) {
                let mut bytes = [0; 256];
                let count = port.read(&mut bytes, Duration::from_secs(60)).unwrap();
                assert!(count > 0, "no {wanted} in {said}");
                said.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            let rest = said.find(wanted).map(|at| said.split_off(at + wanted.len()));
            said = rest.unwrap_or_default();
        };
        wait_for("@eb ready");
        device.shared.use_chip(Chip::derail);
        wait_for("\r\ncrash: vector=0 exccause=2 epc1=3ffe8000 ");
        wait_for("@eb boot version=0.1.0 target=virtual reset=exception ");
        wait_for("@eb ready");
    }
}
