//! What is outside of the chip for firmware: networks and sockets, and, where it is not to be executed, its stand-in.
//!
//! With [`Firmware::Host`], an image whose descriptor names the virtual target is not executed: what runs is the [`Host`]
//! that this program was built with. All other code is executed.

use espbroker_config::flash_map::{IMAGE_MAX, SECTOR_SIZE};
use espbroker_config::image::{self, Target};
use espbroker_host::{Doors, FlashError, Host, HostOptions, Outside, Running};
use espbroker_node::status::ResetCause;
use std::time::Duration;

use crate::boot::Cause;
use crate::chip::{self, Launcher};
use crate::device::{Firmware, Options};
use crate::flash_routines::Flash;
use crate::machine::board::SharedNor;
use crate::machine::paravirtual::Plug;
use crate::wifi::SimulatedRadio;

/// Bytes of heap that the vendor's SDK leaves when Wi-Fi is up.
const HEAP: u32 = 45_000;

/// What firmware that is executed attaches to, on a device with these options.
pub(crate) fn outside(options: &Options) -> Plug {
    let Options { bind, ports, discovery, ref wifi, .. } = *options;
    let wifi = wifi.clone();
    Box::new(move || {
        let radio = SimulatedRadio::new(wifi.clone(), bind);
        Outside::new(Box::new(radio), Doors { bind, ports, discovery })
    })
}

/// The launcher for a device with these options.
pub(crate) fn launcher(options: &Options) -> Launcher {
    let Options { mac, bind, ports, discovery, firmware, ref wifi, .. } = *options;
    let wifi = wifi.clone();
    Box::new(move |nor, cause| {
        if firmware == Firmware::Executed || target(nor) != Some(Target::Virtual) {
            return None;
        }
        let reset = match cause {
            Cause::PowerOn => ResetCause::PowerOn,
            Cause::External | Cause::Watchdog => ResetCause::External,
        };
        let options = HostOptions {
            flash: Box::new(FirmwareFlash(nor.clone())),
            radio: Box::new(SimulatedRadio::new(wifi.clone(), bind)),
            bind,
            ports,
            discovery,
            target: Target::Virtual,
            mac,
            reset,
            heap: HEAP,
        };
        // Without threads or sockets left there is no firmware; a real chip that cannot run its code is silent too.
        let running = Host::start(options).ok()?;
        Some(Box::new(running))
    })
}

fn target(nor: &SharedNor) -> Option<Target> {
    let mut flash = vec![0; IMAGE_MAX as usize];
    nor.lock().read(0, &mut flash, Duration::MAX);
    image::find(&flash).ok().map(|descriptor| descriptor.target)
}

impl chip::Firmware for Running {
    fn console_read(&mut self, buffer: &mut [u8]) -> usize {
        Self::console_read(self, buffer)
    }

    fn console_write(&mut self, bytes: &[u8]) {
        Self::console_write(self, bytes);
    }

    fn wants_restart(&self) -> bool {
        Self::wants_restart(self)
    }
}

/// The flash as the firmware uses it: each call takes as long as it would on the chip.
struct FirmwareFlash(SharedNor);

impl FirmwareFlash {
    fn run(
        &self,
        offset: u32,
        work: impl FnOnce(&mut Flash<'_>) -> crate::flash_routines::FlashResult,
    ) -> Result<(), FlashError> {
        let nor = self.0.lock();
        let size = nor.size();
        let start = nor.busy_until();
        let mut flash = Flash::new(nor, size, start);
        // The vendor's SDK lifts the protection that the serial loader leaves behind.
        let result = flash.unlock().and_then(|()| work(&mut flash));
        let took = flash.now.saturating_sub(start);
        drop(flash);
        std::thread::sleep(took);
        if result.is_err() || self.0.lock().power_lost_at().is_some() {
            return Err(FlashError::Failed { offset });
        }
        Ok(())
    }
}

impl espbroker_host::Flash for FirmwareFlash {
    fn capacity(&self) -> usize {
        self.0.lock().size() as usize
    }

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let length = bytes.len();
        let end = u32::try_from(length).ok().and_then(|length| offset.checked_add(length));
        let nor = self.0.lock();
        if end.is_none_or(|end| end > nor.size()) {
            return Err(FlashError::OutOfBounds { offset, length });
        }
        nor.read(offset, bytes, Duration::MAX);
        Ok(())
    }

    fn program(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.run(offset, |flash| flash.write(offset, bytes))
    }

    fn erase_sector(&mut self, offset: u32) -> Result<(), FlashError> {
        self.run(offset, |flash| flash.erase_sector(offset / SECTOR_SIZE))
    }
}
