//! [`Board`]: the device's view of the chip.

use core::cell::RefCell;

use espbroker_lwip::Platform;
use espbroker_node::{Instant, Level, PinMode, RadioCommand, status::ResetCause};

use crate::{
    bindings::{ResetInfo, system_get_rst_info, system_get_time, system_restart},
    clock::Clock,
    crash::Record,
    flash::Flash,
    heap,
    pins::{Inputs, Outputs, steps},
    radio,
    registers::{pin_levels, write_pin},
    rtc, uart,
};

/// The chip below the device.
#[derive(Debug)]
pub(crate) struct Board {
    clock: RefCell<Clock>,
    /// The SDK was told to restart, and does so when the task has returned.
    pub(crate) restarting: bool,
    outputs: Outputs,
    inputs: Inputs,
}

impl Board {
    pub(crate) const fn new(outputs: Outputs) -> Self {
        Self { clock: RefCell::new(Clock::new()), restarting: false, outputs, inputs: Inputs::new() }
    }

    /// The pins whose level has changed since it was last reported, if it is time to look.
    pub(crate) fn look_at_pins(&mut self) -> impl Iterator<Item = (u8, Level)> + use<> {
        let now = self.now();
        self.inputs.look(now, pin_levels)
    }
}

impl Platform for Board {
    type Flash = Flash;

    fn now(&self) -> Instant {
        self.clock.borrow_mut().at(system_get_time())
    }

    fn heap(&self) -> (u32, u32) {
        heap::figures()
    }

    fn print(&mut self, bytes: &[u8]) {
        uart::write_all(bytes);
    }

    fn radio(&mut self, command: RadioCommand) {
        radio::obey(&command);
    }

    fn restart(&mut self) {
        self.restarting = true;
        system_restart();
    }

    fn pin(&mut self, gpio: u8, mode: PinMode) {
        // Kept first: what ends the program in between finds the new level at its next start.
        self.outputs.set(gpio, mode);
        rtc::keep_outputs(&self.outputs);
        steps(gpio, mode).for_each(write_pin);
        self.inputs.set(gpio, mode);
    }
}

/// Gives the outputs the levels that they had before a restart, and returns them; power brings none.
pub(crate) fn resume_outputs() -> Outputs {
    let kept = rtc::outputs().filter(|_| reset_cause().0 != ResetCause::PowerOn).unwrap_or_default();
    for (gpio, level) in kept.iter() {
        steps(gpio, PinMode::Driven(level)).for_each(write_pin);
    }
    kept
}

/// Why the chip has started, and what the SDK knows of an exception that was the reason.
pub(crate) fn reset_cause() -> (ResetCause, Option<&'static ResetInfo>) {
    // SAFETY: null, or a structure of the SDK's that stays as it is.
    let info = unsafe { system_get_rst_info().as_ref() };
    let cause = match info.map_or(0, |info| info.reason) {
        1 => ResetCause::HardwareWatchdog,
        2 => ResetCause::Exception,
        3 => ResetCause::SoftwareWatchdog,
        4 => ResetCause::Software,
        5 => ResetCause::DeepSleep,
        6 => ResetCause::External,
        _ => ResetCause::PowerOn,
    };
    let crashed =
        matches!(cause, ResetCause::Exception | ResetCause::SoftwareWatchdog | ResetCause::HardwareWatchdog);
    (cause, info.filter(|_| crashed))
}

/// Says on the console how the last run ended, if it crashed.
pub(crate) fn report_crash(info: Option<&ResetInfo>, record: Option<&Record>) {
    if let Some(ResetInfo { exception_cause, epc1, epc2, epc3, exception_address, .. }) = info {
        uart::print(&alloc::format!(
            "\r\ncrash: exccause={exception_cause} epc1={epc1:08x} epc2={epc2:08x} epc3={epc3:08x} \
             excvaddr={exception_address:08x}\r\n"
        ));
    }
    if let Some(record) = record {
        uart::print(&alloc::format!("\r\npanic: {}\r\n", record.text().escape_default()));
    }
}
