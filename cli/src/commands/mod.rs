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
    NoSuchRegion { name: String },
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

/// The region of the flash map with this name; without a name the whole flash.
///
/// # Errors
///
/// When there is no such region.
pub(crate) fn region(name: Option<&str>) -> Result<Region, CommandError> {
    let map = FlashMap::Map4M;
    let Some(name) = name else { return Ok(Region { name: "flash", offset: 0, length: map.flash_size() }) };
    map.regions()
        .iter()
        .find(|region| region.name == name)
        .copied()
        .ok_or_else(|| CommandError::NoSuchRegion { name: name.to_owned() })
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

/// Connects, identifies, checks that the flash has the size of the map, and hands the session over.
///
/// # Errors
///
/// When there is no device or it is not fit, and those of `work`.
pub(crate) fn with_session(
    device: &DeviceArguments,
    loader: &LoaderArguments,
    context: &Context,
    work: impl FnOnce(Session<'_>, &Narrator) -> Result<(), Failure>,
) -> Result<(), Failure> {
    with_device(device, loader, context, |session, info, narrator| {
        preflight::check_flash(&info, FlashMap::Map4M)?;
        work(session, narrator)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_found_by_name_and_an_unknown_one_is_named() {
        assert_eq!(region(Some("config-b")).unwrap().offset, 0x20_1000);
        assert_eq!(region(None).unwrap().length, 0x40_0000);
        assert_eq!(region(Some("x")).unwrap_err().to_string(), "no such region in the flash map: `x`");
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
