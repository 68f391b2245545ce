//! The plan: what will be written where, settled before a port is opened.

use std::time::Duration;

use espbroker_config::{flash_map::FlashMap, image::Descriptor, slots::Slot};
use espbroker_flasher::{
    Loader,
    erase::EraseAllowed,
    event::Secrecy,
    program::{Order, Region},
};
use espbroker_virtual_device as virtual_device;
use serde::Serialize;

use crate::{image_file::Firmware, screen::duration_words};

/// Bits on the wire for each byte: start, eight data, stop.
const BITS_PER_BYTE: u32 = 10;

/// Name of the image in plans, progress and errors.
const IMAGE: &str = "firmware";

/// What will be written.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    pub(crate) port: String,
    pub(crate) regions: Vec<PlannedRegion>,
    pub(crate) test: String,
    /// Estimate for writing, seconds.
    pub(crate) write_seconds: u64,
}

/// One line of the plan.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlannedRegion {
    pub(crate) name: String,
    pub(crate) offset: String,
    pub(crate) bytes: usize,
    pub(crate) what: String,
}

impl Plan {
    /// Lays out an image and a config of `config_bytes`.
    pub(crate) fn new(
        port: &str,
        firmware: Option<&Firmware>,
        (config_name, config_bytes): (&str, usize),
        (loader, baud): (Loader, u32),
        test: String,
    ) -> Self {
        let (bytes, what) = match firmware {
            Some(Firmware { bytes, descriptor, origin, .. }) => {
                let Descriptor { name, version, target, .. } = descriptor;
                (bytes.len(), format!("{name} {version} for {target} ({origin})"))
            }
            None => {
                let what = "built in for a virtual device, the newest release for a real chip";
                (virtual_device::image::LENGTH, what.to_owned())
            }
        };
        let map = firmware.map_or(FlashMap::Map4M, |firmware| firmware.descriptor.flash_map);
        let [a, b] = [Slot::A, Slot::B].map(|slot| map.config(slot).offset);
        let image = PlannedRegion { name: IMAGE.to_owned(), offset: "0x000000".to_owned(), bytes, what };
        let config = PlannedRegion {
            name: "config".to_owned(),
            offset: format!("{a:#08x} or {b:#08x}"),
            bytes: config_bytes,
            what: format!("settings of `{config_name}`, in the free slot"),
        };
        let regions = vec![image, config];
        let bytes = regions.iter().map(|region| region.bytes).sum();
        Self { port: port.to_owned(), regions, test, write_seconds: estimate(bytes, loader, baud).as_secs() }
    }

    /// The plan for people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("Plan for {}:\n", self.port);
        for region in &self.regions {
            text.push_str(&format!(
                "  write  {:10} {:>7} bytes at {}: {}\n",
                region.name, region.bytes, region.offset, region.what
            ));
        }
        text.push_str("  start  the firmware; it measures itself and says what it found\n");
        text.push_str(&format!("  test   {}\n", self.test));
        let time = duration_words(Duration::from_secs(self.write_seconds));
        text.push_str(&format!("Writing takes about {time}.\n"));
        text
    }
}

/// Time on the wire, with a tenth more for replies and the flash's own time; a stub's compression saves a third.
fn estimate(bytes: usize, loader: Loader, baud: u32) -> Duration {
    let share = match loader {
        Loader::Rom => 1.1,
        Loader::Stub => 0.75,
    };
    let bits = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) * f64::from(BITS_PER_BYTE);
    Duration::from_secs_f64((bits / f64::from(baud.max(1)) * share).max(1.0).ceil())
}

/// The image as the flasher takes it: its first sector is erased first and written last, so that an interrupted
/// device has nothing to start instead of half a firmware.
pub(crate) fn image_region(firmware: &Firmware) -> Region {
    Region {
        name: IMAGE.to_owned(),
        offset: 0,
        bytes: firmware.bytes.clone(),
        secrecy: Secrecy::Public,
        order: Order::FirstSectorLast,
    }
}

/// A config sector as the flasher takes it.
pub(crate) fn config_region(map: FlashMap, slot: Slot, sector: Vec<u8>) -> Region {
    let place = map.config(slot);
    Region {
        name: place.name.to_owned(),
        offset: place.offset,
        bytes: sector,
        secrecy: Secrecy::Secret,
        order: Order::Ascending,
    }
}

/// Agreement to erase what these regions cover, and nothing else.
pub(super) fn allowed(regions: &[Region]) -> EraseAllowed {
    EraseAllowed::only(regions.iter().map(Region::sectors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_bytes_and_baud() {
        // 221,572 bytes at 115200 baud are 19.2 s on the wire.
        assert_eq!(estimate(221_572, Loader::Rom, 115_200), Duration::from_secs(22));
        assert_eq!(estimate(221_572, Loader::Stub, 460_800), Duration::from_secs(4));
        assert_eq!(estimate(0, Loader::Rom, 0), Duration::from_secs(1));
    }

    #[test]
    fn only_the_sectors_of_the_plan_may_be_erased() {
        let regions = [config_region(FlashMap::Map4M, Slot::B, vec![0; 20])];
        let allowed = allowed(&regions);
        assert!(allowed.covers(&(0x20_1000..0x20_2000)));
        assert!(!allowed.covers(&(0x20_0000..0x20_1000)) && !allowed.covers(&(0x20_2000..0x20_3000)));
    }
}
