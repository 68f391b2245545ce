//! `monitor`: what a device says on its serial port, line by line, until Ctrl-C.

use std::time::{Duration, Instant};

use espbroker_flasher::{
    FlasherError,
    boot::{BootLog, Console, Reset},
    event::Event,
    reset::Wiring,
};

use super::Context;
use crate::{arguments::MonitorArguments, device::Device, failure::Failure, narrator::Narrator};

const SLICE: Duration = Duration::from_millis(100);

/// Prints lines to stdout; Ctrl-C is the ordinary end.
///
/// # Errors
///
/// The port's.
pub(crate) fn run(given: &MonitorArguments, context: &Context) -> Result<(), Failure> {
    let device = Device::find(&given.device, context.screen)?;
    let narrator = Narrator::new(context.screen);
    let mut events = |event: Event| narrator.event(event);
    let transport = device.open()?;
    let wiring = if given.no_reset { Wiring::Manual } else { Wiring::Usual };
    let mut console = Console::new(transport, wiring, context.cancel.clone(), &mut events);
    console.listen_at(given.monitor_baud).map_err(FlasherError::from)?;
    if !given.no_reset && console.reset(BootLog::Skip).map_err(FlasherError::from)? == Reset::ByUser {
        context.screen.line("This port cannot reset the device: reset it by hand.");
    }
    let end = given.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    while end.is_none_or(|end| Instant::now() < end) {
        match console.next_line(SLICE).map_err(FlasherError::from) {
            Ok(Some(line)) => crate::print(&format!("{line}\n"))?,
            Ok(None) => {}
            Err(error) if error.is_cancelled() => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
