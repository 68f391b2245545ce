//! `backup` and `restore`: flash to a private file and back.
//!
//! A backup leaves out what holds secrets (config slots, SDK parameters) unless asked for them: those sectors are
//! filled with FF in the file, and such a file is refused when it would blank them on a device.

use espbroker_config::{
    flash_map::{FlashMap, Region as MapRegion},
    slots::Slot,
};
use espbroker_flasher::{
    FlasherError,
    event::Secrecy,
    program::{Order, Region},
};

use super::{
    CommandError, Context, refuse_existing, region, save_private, with_session, words, words_for_any,
};
use crate::{
    arguments::{BackupArguments, RestoreArguments},
    device::DeviceError,
    failure::Failure,
    setup::{Checked, agree_to_lose, program},
};

/// Regions with credentials.
const fn secrets(map: FlashMap) -> [MapRegion; 3] {
    [map.config(Slot::A), map.config(Slot::B), map.system_parameter()]
}

/// Reading that takes longer than this needs a word of consent, seconds.
const PATIENCE: u64 = 120;

/// Reads flash into a new file.
///
/// # Errors
///
/// When the file exists, reading would take minutes and nobody insisted, or the flasher's.
pub(crate) fn backup(given: &BackupArguments, context: &Context) -> Result<(), Failure> {
    let name = given.region.as_deref();
    // The map with every region: a wrong name needs no device.
    region(FlashMap::Map4M, name)?;
    refuse_existing(&given.file)?;
    with_session(&given.device, &given.loader, context, |mut session, map, narrator| {
        let region = region(map, name)?;
        for secret in secrets(map) {
            session.mark_secret(secret.offset..secret.end());
        }
        let seconds = session.estimate_read(region.length).as_secs();
        if seconds > PATIENCE && !given.slow {
            return Err(DeviceError::TooSlow { bytes: region.length, minutes: seconds.div_ceil(60) }.into());
        }
        narrator.begin("read", "reading");
        let mut bytes = session.read(region.name, region.offset..region.end()).map_err(FlasherError::from)?;
        let masked = if given.include_secrets { 0 } else { mask(&mut bytes, map, &region) };
        save_private(&given.file, &bytes)?;
        narrator.end(&format!("{} KB saved in `{}`", bytes.len() / 1024, given.file.display()));
        if masked > 0 {
            context.screen.line("Settings and Wi-Fi parameters were left out; --include-secrets keeps them.");
        } else if secrets(map).iter().any(|secret| secret.overlaps(&region)) {
            context.screen.warning(format!("`{}` contains secrets in plain text", given.file.display()));
        }
        Ok(())
    })
}

/// Fills secret sectors with FF; returns how many regions were filled.
fn mask(bytes: &mut [u8], map: FlashMap, region: &MapRegion) -> usize {
    secrets(map)
        .iter()
        .filter(|secret| secret_part(bytes, region, secret).map(|part| part.fill(0xFF)).is_some())
        .count()
}

/// The part of `bytes`, read from `region`, that belongs to `secret`.
fn secret_part<'a>(bytes: &'a mut [u8], region: &MapRegion, secret: &MapRegion) -> Option<&'a mut [u8]> {
    let start = usize::try_from(secret.offset.checked_sub(region.offset)?).ok()?;
    let length = usize::try_from(secret.length).ok()?;
    bytes.get_mut(start..start.checked_add(length)?)
}

/// Writes a file to the region that it came from.
///
/// # Errors
///
/// When the file does not fit the region, the user says no, or the flasher's.
pub(crate) fn restore(given: &RestoreArguments, context: &Context) -> Result<(), Failure> {
    let name = given.region.as_deref();
    let path = given.file.display().to_string();
    let mut bytes =
        std::fs::read(&given.file).map_err(|source| CommandError::Load { path: path.clone(), source })?;
    // Of a map that the file can come from: what it holds is then told without a device.
    let map = match fits(&bytes, FlashMap::Map1M, name) {
        Ok(_) if fits(&bytes, FlashMap::Map4M, name).is_err() => FlashMap::Map1M,
        _ => FlashMap::Map4M,
    };
    let place = fits(&bytes, map, name)?;
    let holds_secrets = |bytes: &mut [u8]| {
        secrets(map).iter().any(|secret| {
            secret_part(bytes, &place, secret).is_some_and(|part| part.iter().any(|byte| *byte != 0xFF))
        })
    };
    let covers_secrets = secrets(map).iter().any(|secret| secret.overlaps(&place));
    if covers_secrets && !holds_secrets(&mut bytes) && !given.yes {
        return Err(CommandError::Masked { path }.into());
    }
    if given.dry_run {
        return crate::print(&format!("would write {path} to {}\n", words_for_any(name)?));
    }
    with_session(&given.device, &given.loader, context, |mut session, map, narrator| {
        let region = fits(&bytes, map, name)?;
        let words = words(&region);
        agree_to_lose(vec![words.clone()], given.yes, context.screen)?;
        let order = if region.offset == 0 { Order::FirstSectorLast } else { Order::Ascending };
        let secrecy = if covers_secrets { Secrecy::Secret } else { Secrecy::Public };
        let region = Region { name: region.name.to_owned(), offset: region.offset, bytes, secrecy, order };
        narrator.begin("restore", "erasing");
        let result = match program(&mut session, region)?.checked {
            Checked::ByLoader => "verified by the loader",
            Checked::NotYet => "not verified: the boot ROM has no digest, a stub has",
        };
        narrator.end(&format!("{words} written, {result}"));
        Ok(())
    })
}

/// The region that a file of this length is for.
fn fits(bytes: &[u8], map: FlashMap, name: Option<&str>) -> Result<MapRegion, CommandError> {
    let region = region(map, name)?;
    if u32::try_from(bytes.len()) == Ok(region.length) {
        return Ok(region);
    }
    let (expected, found) = (region.length, bytes.len());
    Err(CommandError::Length { region: region.name.to_owned(), expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_without_secrets_has_ff_where_they_were_and_nothing_else_changed() {
        for map in [FlashMap::Map4M, FlashMap::Map1M] {
            let whole = region(map, None).unwrap();
            let mut bytes = vec![0x5A; whole.length as usize];
            assert_eq!(mask(&mut bytes, map, &whole), 3);
            for (offset, byte) in bytes.iter().enumerate() {
                let offset = u32::try_from(offset).unwrap();
                let secret =
                    secrets(map).iter().any(|secret| (secret.offset..secret.end()).contains(&offset));
                assert_eq!(*byte == 0xFF, secret, "{offset:#x}");
            }
            let slot = region(map, Some("config-b")).unwrap();
            let mut sector = vec![0; 4096];
            assert_eq!(mask(&mut sector, map, &slot), 1);
            let store = region(map, Some("store")).unwrap();
            assert_eq!(mask(&mut [0; 16], map, &store), 0);
        }
    }
}
