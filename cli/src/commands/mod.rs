//! The commands beside `setup`: each takes its arguments, does one thing and prints one result.

pub(crate) mod backup;
pub(crate) mod batch;
pub(crate) mod broker;
pub(crate) mod config;
pub(crate) mod devices;
pub(crate) mod discover;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod firmware;
pub(crate) mod info;
pub(crate) mod monitor;
pub(crate) mod ports;
pub(crate) mod profiles;
pub(crate) mod reconfigure;
pub(crate) mod rotate_keys;
pub(crate) mod selftest;
pub(crate) mod simulate;
pub(crate) mod verify;
pub(crate) mod wipe;

use std::path::Path;

use espbroker_config::flash_map::{FlashMap, Region};
use espbroker_flasher::{Cancel, DeviceInfo, Event, Session};

use crate::{
    arguments::{DeviceArguments, LoaderArguments},
    device::{Device, LoaderPlan, identify},
    failure::Failure,
    narrator::Narrator,
    preflight, private_file,
    screen::Screen,
};

/// What every command needs.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) screen: Screen,
    pub(crate) cancel: Cancel,
}

/// Why a command cannot do what it was asked, before it touches a device.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("no such region in the flash map: `{name}`")]
    NoSuchRegion { name: String, map: FlashMap },
    #[error("cannot write `{path}`")]
    Save {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot read `{path}`")]
    Load {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("file does not have the length of the region `{region}`: {found} instead of {expected} bytes")]
    Length { region: String, expected: u32, found: usize },
    #[error("the device has no valid settings")]
    NoConfig,
    #[error("this backup was made without secrets, and would blank them: `{path}`")]
    Masked { path: String },
    #[error("the device holds another image: it differs at {offset:#x}")]
    Differs { offset: u32 },
    #[error("the device says that its image is another one: sha256 {found}")]
    DigestDiffers { found: String },
}

/// The region of a flash map with this name; without a name the whole flash.
///
/// # Errors
///
/// When there is no such region.
pub(crate) fn region(map: FlashMap, name: Option<&str>) -> Result<Region, CommandError> {
    let Some(name) = name else { return Ok(Region { name: "flash", offset: 0, length: map.flash_size() }) };
    map.regions()
        .iter()
        .find(|region| region.name == name)
        .copied()
        .ok_or_else(|| CommandError::NoSuchRegion { name: name.to_owned(), map })
}

/// A region for people.
pub(crate) fn words(region: &Region) -> String {
    format!("`{}` ({})", region.name, place(region))
}

fn place(region: &Region) -> String {
    format!("{} KB at {:#08x}", region.length / 1024, region.offset)
}

/// The same while no device is known: the 4 MB map has every region, and the other may have it elsewhere.
///
/// # Errors
///
/// When there is no such region.
pub(crate) fn words_for_any(name: Option<&str>) -> Result<String, CommandError> {
    let large = region(FlashMap::Map4M, name)?;
    let small = region(FlashMap::Map1M, name).ok();
    let small = small.map(|small| format!("; with 1 MB of flash {}", place(&small)));
    Ok(format!("`{}` ({}{})", large.name, place(&large), small.unwrap_or_default()))
}

/// Writes a file that only this user can read, and never over one that is there.
///
/// # Errors
///
/// The operating system's; a file of this name is then as it was.
pub(crate) fn save_private(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let failed = |source| CommandError::Save { path: path.display().to_string(), source };
    private_file::create(path, bytes).map_err(failed)
}

/// Refuses a path that is taken, before minutes are spent on reading.
///
/// # Errors
///
/// When something is there already.
pub(crate) fn refuse_existing(path: &Path) -> Result<(), CommandError> {
    if path.exists() {
        let source =
            std::io::Error::new(std::io::ErrorKind::AlreadyExists, "there is a file of this name already");
        return Err(CommandError::Save { path: path.display().to_string(), source });
    }
    Ok(())
}

/// Connects, identifies, and hands session and device over.
///
/// # Errors
///
/// When there is no device, and those of `work`.
pub(crate) fn with_device(
    device: &DeviceArguments,
    loader: &LoaderArguments,
    context: &Context,
    work: impl FnOnce(Session<'_>, DeviceInfo, &Narrator) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let loader = LoaderPlan::new(loader, context.cancel.clone())?;
    let device = Device::find(device, context.screen)?;
    let narrator = Narrator::new(context.screen);
    let mut events = |event: Event| narrator.event(event);
    let mut session = loader.connect(&device, &narrator, &mut events)?;
    let info = identify(&mut session, &narrator)?;
    device.must_have(info.mac)?;
    work(session, info, &narrator)
}

/// Connects, identifies, and hands the session over with the map of the device's flash.
///
/// # Errors
///
/// When there is no device or it is not fit, and those of `work`.
pub(crate) fn with_session(
    device: &DeviceArguments,
    loader: &LoaderArguments,
    context: &Context,
    work: impl FnOnce(Session<'_>, FlashMap, &Narrator) -> Result<(), Failure>,
) -> Result<(), Failure> {
    with_device(device, loader, context, |session, info, narrator| {
        let map = preflight::flash_map(&info)?;
        work(session, map, narrator)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_found_by_name_and_an_unknown_one_is_named() {
        assert_eq!(region(FlashMap::Map4M, Some("config-b")).unwrap().offset, 0x20_1000);
        assert_eq!(region(FlashMap::Map1M, Some("config-b")).unwrap().offset, 0xB_2000);
        assert_eq!(region(FlashMap::Map4M, None).unwrap().length, 0x40_0000);
        for (map, name) in [(FlashMap::Map4M, "x"), (FlashMap::Map1M, "ota2")] {
            let error = region(map, Some(name)).unwrap_err().to_string();
            assert_eq!(error, format!("no such region in the flash map: `{name}`"));
        }
    }

    #[test]
    fn before_a_device_is_known_both_places_of_a_region_are_told() {
        let words = |name| words_for_any(name).unwrap();
        assert_eq!(words(Some("ota2")), "`ota2` (1020 KB at 0x101000)");
        assert_eq!(words(None), "`flash` (4096 KB at 0x000000; with 1 MB of flash 1024 KB at 0x000000)");
    }

    #[test]
    fn a_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.bin");
        save_private(&path, b"one").unwrap();
        assert!(save_private(&path, b"two").is_err());
        assert!(refuse_existing(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
    }
}
