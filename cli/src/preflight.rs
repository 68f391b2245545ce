//! Preflight: everything that must be true before the first sector is erased, and what will be lost.
//!
//! A virtual device is told from a real chip by its MAC address: the virtual one's is locally administered
//! (IEEE 802, second bit of the first byte), which no factory-programmed address is.

use std::ops::Range;

use espbroker_config::{
    flash_map::{self, FlashMap},
    image::{self, DESCRIPTOR_LENGTH, Target, boot::BOOT_MAGIC},
    slots::{self, HEADER_LENGTH, Slot, SlotHeader, SlotRecord, SlotState},
};
use espbroker_flasher::{
    Session,
    identify::{Chip, DeviceInfo},
    read::ReadError,
};
use semver::Version;

use crate::{
    image_file::Firmware,
    profiles::{FlashMode, Profile},
};

/// Bytes of the boot sector that tell what kind of content it has.
const BOOT_PROBE: u32 = 16;

/// Why the device must not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PreflightError {
    #[error("the flash does not answer with a size: id {id}")]
    FlashUnreadable { id: String },
    #[error("flash is too small: {found} of the {needed} KB that the broker needs")]
    FlashTooSmall { found: u32, needed: u32 },
    #[error("image is for a flash of {image}, and this one has {found} KB")]
    WrongMap { image: FlashMap, found: u32 },
    #[error("image is for another machine: it was built for {image}, and this is {device}")]
    WrongTarget { image: Target, device: Target },
    #[error("image says that the flash has another size than the {needed} KB of its flash map: {found} KB")]
    HeaderSize { found: u32, needed: u32 },
}

/// What is in the parts of the flash that will be written.
#[derive(Clone, Debug)]
pub(crate) struct Occupancy {
    /// Where the device looks for what.
    pub(crate) map: FlashMap,
    pub(crate) boot: BootSector,
    /// Version of an espbroker firmware that is on the device, where it is newer than the one to be written.
    pub(crate) newer: Option<Version>,
    pub(crate) a: SlotState,
    pub(crate) b: SlotState,
}

/// The first bytes of the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BootSector {
    /// Erased: a new board, or a flash that was interrupted.
    Blank,
    /// The boot ROM would load it.
    Image,
    /// The very image that is to be written, whole or as an interrupted write left it.
    SameImage,
    /// Anything else.
    Other,
}

/// Which kind of machine answers.
pub(crate) fn machine(info: &DeviceInfo) -> Target {
    let [first, ..] = info.mac;
    if first & 0b10 == 0 { Target::Esp8266 } else { Target::Virtual }
}

/// The map that the device goes by, from its flash's size.
///
/// # Errors
///
/// When the size cannot be read or is too small for any map.
pub(crate) fn flash_map(info: &DeviceInfo) -> Result<FlashMap, PreflightError> {
    let found = capacity(info)?;
    FlashMap::for_capacity(found).ok_or(PreflightError::FlashTooSmall {
        found: found / 1024,
        needed: FlashMap::Map1M.flash_size() / 1024,
    })
}

fn capacity(info: &DeviceInfo) -> Result<u32, PreflightError> {
    info.flash.capacity.ok_or_else(|| PreflightError::FlashUnreadable { id: info.flash.hex() })
}

/// Checks that an image with `map` fits this flash: its settings and the device's would be in different places.
fn check_map(info: &DeviceInfo, map: FlashMap) -> Result<(), PreflightError> {
    if flash_map(info)? == map {
        return Ok(());
    }
    let (found, needed) = (capacity(info)? / 1024, map.flash_size() / 1024);
    Err(match found < needed {
        true => PreflightError::FlashTooSmall { found, needed },
        false => PreflightError::WrongMap { image: map, found },
    })
}

/// Checks that `firmware` belongs on this device; the result lists what is worth a warning.
///
/// # Errors
///
/// The first reason not to write it.
pub(crate) fn check(
    info: &DeviceInfo,
    firmware: &Firmware,
    profile: Option<&Profile>,
) -> Result<Vec<String>, PreflightError> {
    let descriptor = &firmware.descriptor;
    check_map(info, descriptor.flash_map)?;
    let device = machine(info);
    if descriptor.target != device {
        return Err(PreflightError::WrongTarget { image: descriptor.target, device });
    }
    let needed = descriptor.flash_map.flash_size() / 1024;
    if let Some(found) = header_size(firmware.boot.size_nibble)
        && found != needed
    {
        return Err(PreflightError::HeaderSize { found, needed });
    }
    let mut warnings = Vec::new();
    let mode = firmware.boot.mode;
    let dout = FlashMode::Dout.number();
    if info.chip == Chip::Esp8285 && mode != dout {
        warnings
            .push("an ESP8285 starts only images in flash mode DOUT, and this one is in another".to_owned());
    }
    if let Some(profile) = profile
        && mode != dout
        && mode != profile.flash_mode.number()
    {
        warnings.push(format!("{} is not known to start images in this one's flash mode", profile.title));
    }
    Ok(warnings)
}

/// Kilobytes that an image header's size nibble stands for (esptool's table for the ESP8266).
fn header_size(nibble: u8) -> Option<u32> {
    match nibble {
        0 => Some(512),
        1 => Some(256),
        2 => Some(1024),
        3 | 5 => Some(2048),
        4 | 6 => Some(4096),
        8 => Some(8192),
        9 => Some(16384),
        _ => None,
    }
}

/// Looks at the boot sector and both config slots, reading no more than it needs: through the boot ROM a byte takes
/// most of a millisecond. `firmware` is what will be written, if anything is.
///
/// # Errors
///
/// When the flash cannot be read.
pub(crate) fn inspect(
    session: &mut Session<'_>,
    map: FlashMap,
    firmware: Option<&Firmware>,
) -> Result<Occupancy, ReadError> {
    let boot = session.read(flash_map::BOOT.name, 0..BOOT_PROBE)?;
    let mut newer = None;
    let boot = match boot.first() {
        _ if boot.iter().all(|byte| *byte == 0xFF) => BootSector::Blank,
        first => match firmware.map(|firmware| installed(session, firmware)).transpose()?.flatten() {
            Some(Installed::Same) => BootSector::SameImage,
            Some(Installed::Newer(version)) => {
                newer = Some(version);
                BootSector::Image
            }
            None if first == Some(&BOOT_MAGIC) => BootSector::Image,
            None => BootSector::Other,
        },
    };
    let (a, b) = (read_slot(session, map, Slot::A)?, read_slot(session, map, Slot::B)?);
    Ok(Occupancy { map, boot, newer, a, b })
}

/// What the descriptor on the device says, compared with the image to be written.
enum Installed {
    /// The very same image, digest included.
    Same,
    /// A newer version.
    Newer(Version),
}

/// Looks where `firmware` has its descriptor; an image with its descriptor elsewhere is not recognised.
fn installed(session: &mut Session<'_>, firmware: &Firmware) -> Result<Option<Installed>, ReadError> {
    let descriptor = image::locate(&firmware.bytes).ok().and_then(|located| {
        let offset = located.offset;
        Some((u32::try_from(offset).ok()?, firmware.bytes.get(offset..)?.get(..DESCRIPTOR_LENGTH)?))
    });
    let Some((offset, wanted)) = descriptor else { return Ok(None) };
    let found = session.read(flash_map::BOOT.name, span(offset, DESCRIPTOR_LENGTH))?;
    if found == wanted {
        return Ok(Some(Installed::Same));
    }
    let version = |text: &str| text.parse::<Version>().ok();
    let own = &firmware.descriptor;
    let found = image::find(&found).ok().filter(|found| found.name == own.name);
    let newer = found
        .and_then(|found| version(&found.version))
        .filter(|found| version(&own.version).is_some_and(|own| *found > own));
    Ok(newer.map(Installed::Newer))
}

/// Reads one config slot: its header, as much as the header says, and whether it is on trial.
///
/// # Errors
///
/// When the flash cannot be read.
fn read_slot(session: &mut Session<'_>, map: FlashMap, slot: Slot) -> Result<SlotState, ReadError> {
    let region = map.config(slot);
    session.mark_secret(region.offset..region.end());
    let mut bytes = session.read(region.name, span(region.offset, HEADER_LENGTH))?;
    if let Ok(header) = SlotHeader::parse(&bytes)
        && let Ok(length) = usize::try_from(header.length)
        && length <= slots::PAYLOAD_MAX
    {
        let start = region.offset.saturating_add(u32::try_from(HEADER_LENGTH).unwrap_or(u32::MAX));
        bytes.extend(session.read(region.name, span(start, length))?);
        let tail = region.offset.saturating_add(u32::try_from(slots::TAIL).unwrap_or(u32::MAX));
        let tail = session.read(region.name, span(tail, slots::TAIL_LENGTH))?;
        return Ok(slots::read_sector_parts(&bytes, tail.first_chunk()));
    }
    Ok(slots::read_sector(&bytes))
}

fn span(offset: u32, length: usize) -> Range<u32> {
    offset..offset.saturating_add(u32::try_from(length).unwrap_or(u32::MAX))
}

impl Occupancy {
    /// The config that the device uses.
    pub(crate) fn config(&self) -> Option<(Slot, &SlotRecord)> {
        slots::select(&self.a, &self.b)
    }

    /// Where the next config goes, and its sequence.
    pub(crate) fn next(&self) -> (Slot, u32) {
        slots::next(&self.a, &self.b)
    }

    /// What the slot that is written next holds.
    fn next_state(&self) -> &SlotState {
        match self.next().0 {
            Slot::A => &self.a,
            Slot::B => &self.b,
        }
    }

    /// Settings of a newer program in the slot that is written next.
    pub(crate) fn newer_settings(&self) -> Option<String> {
        match self.next_state() {
            SlotState::Newer { format, .. } => {
                Some(format!("settings that a newer program wrote (format {format})"))
            }
            _ => None,
        }
    }

    /// What writing an image and a config for a device called `name` takes away; empty on a blank device, and where
    /// the same set-up was interrupted or did not reach its end.
    pub(crate) fn losses(&self, name: &str) -> Vec<String> {
        let mut losses = Vec::new();
        match self.boot {
            BootSector::Blank => {}
            BootSector::Image => losses.push(match &self.newer {
                Some(version) => {
                    format!("the firmware that is on the device, version {version}, with an older one")
                }
                None => "the firmware that is on the device".to_owned(),
            }),
            BootSector::SameImage => losses.extend(
                self.config()
                    .map(|(_, record)| record.config.name.as_str())
                    .filter(|known| *known != name)
                    .map(|known| format!("the settings of `{known}`")),
            ),
            BootSector::Other => losses.push("what is in the first sectors of the flash".to_owned()),
        }
        losses.extend(self.newer_settings());
        // After an interrupted set-up a damaged slot is its own.
        let ours = matches!(self.boot, BootSector::Blank | BootSector::SameImage);
        if !ours && matches!(self.next_state(), SlotState::Damaged(_)) {
            losses.push(format!("foreign data in {}", self.next().0.name()));
        }
        losses
    }

    /// One line on what was found.
    pub(crate) fn summary(&self) -> String {
        let firmware = match self.boot {
            BootSector::Blank => "no firmware",
            BootSector::Image => "a firmware",
            BootSector::SameImage => "this firmware",
            BootSector::Other => "unknown content",
        };
        match self.config() {
            Some((slot, record)) => format!(
                "{firmware}, settings of `{}` in {} (sequence {})",
                record.config.name,
                slot.name(),
                record.sequence
            ),
            None => format!("{firmware}, no settings"),
        }
    }
}

#[cfg(test)]
mod tests {
    use espbroker_flasher::identify::FlashId;

    use super::*;
    use crate::supply;

    fn device(mac_first: u8, flash: u32) -> DeviceInfo {
        DeviceInfo {
            chip: Chip::Esp8266,
            mac: [mac_first, 0xcf, 0x7f, 0, 0, 1],
            crystal_mhz: 26,
            flash: FlashId::from_word(flash),
        }
    }

    #[test]
    fn an_image_for_the_virtual_device_is_refused_on_a_real_chip_and_taken_on_a_virtual_one() {
        let firmware = supply::for_virtual_device().unwrap();
        assert_eq!(check(&device(0x5e, 0x16_40EF), &firmware, None), Ok(Vec::new()));
        assert_eq!(
            check(&device(0x5c, 0x16_40EF), &firmware, None).unwrap_err().to_string(),
            "image is for another machine: it was built for virtual, and this is esp8266"
        );
    }

    #[test]
    fn a_flash_has_the_map_that_fits_and_none_when_it_is_too_small_or_unreadable() {
        let map = |flash| flash_map(&device(0x5e, flash));
        assert_eq!(map(0x14_40EF), Ok(FlashMap::Map1M));
        assert_eq!(map(0x15_40EF), Ok(FlashMap::Map1M));
        assert_eq!(map(0x16_40EF), Ok(FlashMap::Map4M));
        assert_eq!(map(0x13_40EF), Err(PreflightError::FlashTooSmall { found: 512, needed: 1024 }));
        assert_eq!(map(0xFF_FFFF), Err(PreflightError::FlashUnreadable { id: "ffffff".to_owned() }));
    }

    #[test]
    fn an_image_of_another_map_than_the_flashs_is_refused() {
        let firmware = supply::for_virtual_device().unwrap();
        assert_eq!(
            check(&device(0x5e, 0x14_40EF), &firmware, None),
            Err(PreflightError::FlashTooSmall { found: 1024, needed: 4096 })
        );
        let mut small = firmware;
        small.descriptor.flash_map = FlashMap::Map1M;
        let error = check(&device(0x5e, 0x16_40EF), &small, None).unwrap_err();
        assert_eq!(error.to_string(), "image is for a flash of 1 MB, and this one has 4096 KB");
        // Its header is still that of the other.
        assert_eq!(
            check(&device(0x5e, 0x14_40EF), &small, None),
            Err(PreflightError::HeaderSize { found: 4096, needed: 1024 })
        );
        small.boot.size_nibble = 2;
        assert_eq!(check(&device(0x5e, 0x15_40EF), &small, None), Ok(Vec::new()));
    }

    #[test]
    fn an_image_in_a_flash_mode_that_the_board_may_not_start_is_warned_about() {
        let mut firmware = supply::for_virtual_device().unwrap();
        let profiles = crate::profiles::all().unwrap();
        let d1_mini = profiles.iter().find(|profile| profile.id == "d1-mini").unwrap();
        assert_eq!(check(&device(0x5e, 0x16_40EF), &firmware, Some(d1_mini)), Ok(Vec::new()));
        firmware.boot.mode = FlashMode::Qio.number();
        let warnings = check(&device(0x5e, 0x16_40EF), &firmware, Some(d1_mini)).unwrap();
        assert_eq!(warnings, ["Wemos/LOLIN D1 mini is not known to start images in this one's flash mode"]);
    }

    #[test]
    fn an_interrupted_flash_is_finished_without_a_question_and_a_foreign_firmware_is_not() {
        let blank = Occupancy {
            map: FlashMap::Map4M,
            boot: BootSector::Blank,
            newer: None,
            a: SlotState::Blank,
            b: SlotState::Blank,
        };
        assert!(blank.losses("hall").is_empty());
        let cut = slots::read_sector(b"EBCF cut short");
        assert!(Occupancy { a: cut.clone(), ..blank.clone() }.losses("hall").is_empty());
        assert!(
            Occupancy { boot: BootSector::SameImage, a: cut.clone(), ..blank.clone() }
                .losses("hall")
                .is_empty()
        );
        let foreign = Occupancy {
            map: FlashMap::Map4M,
            boot: BootSector::Image,
            newer: None,
            a: cut,
            b: SlotState::Blank,
        };
        assert_eq!(foreign.losses("hall").len(), 2);
    }

    #[test]
    fn settings_of_another_name_are_not_replaced_without_a_question_even_under_the_same_firmware() {
        let sector = slots::encode_sector(&espbroker_config::model::Config::new("hall"), 1).unwrap();
        let set_up = Occupancy {
            map: FlashMap::Map4M,
            boot: BootSector::SameImage,
            newer: None,
            a: slots::read_sector(&sector),
            b: SlotState::Blank,
        };
        assert_eq!(set_up.losses("attic"), ["the settings of `hall`"]);
        assert!(set_up.losses("hall").is_empty());
    }
}
