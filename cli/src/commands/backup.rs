//! `backup` and `restore`: flash to a private file and back.
//!
//! A backup leaves out what holds secrets (config slots, SDK parameters) unless asked for them: those sectors are
//! filled with FF in the file, and such a file is refused when it would blank them on a device.

use espbroker_config::flash_map::{CONFIG_A, CONFIG_B, Region as MapRegion, SYSTEM_PARAMETER};
use espbroker_flasher::{
    FlasherError,
    event::Secrecy,
    program::{Order, Region},
};

use super::{CommandError, Context, refuse_existing, region, save_private, with_session};
use crate::{
    arguments::{BackupArguments, RestoreArguments},
    device::DeviceError,
    failure::Failure,
    setup::{Checked, agree_to_lose, program},
};

/// Regions with credentials.
const SECRET: [MapRegion; 3] = [CONFIG_A, CONFIG_B, SYSTEM_PARAMETER];

/// Reading that takes longer than this needs a word of consent, seconds.
const PATIENCE: u64 = 120;

/// Reads flash into a new file.
///
/// # Errors
///
/// When the file exists, reading would take minutes and nobody insisted, or the flasher's.
pub(crate) fn backup(given: &BackupArguments, context: &Context) -> Result<(), Failure> {
    let region = region(given.region.as_deref())?;
    refuse_existing(&given.file)?;
    with_session(&given.device, &given.loader, context, |mut session, narrator| {
        for secret in SECRET {
            session.mark_secret(secret.offset..secret.end());
        }
        let seconds = session.estimate_read(region.length).as_secs();
        if seconds > PATIENCE && !given.slow {
            return Err(DeviceError::TooSlow { bytes: region.length, minutes: seconds.div_ceil(60) }.into());
        }
        narrator.begin("read", "reading");
        let mut bytes = session.read(region.name, region.offset..region.end()).map_err(FlasherError::from)?;
        let masked = if given.include_secrets { 0 } else { mask(&mut bytes, &region) };
        save_private(&given.file, &bytes)?;
        narrator.end(&format!("{} KB saved in `{}`", bytes.len() / 1024, given.file.display()));
        if masked > 0 {
            context.screen.line("Settings and Wi-Fi parameters were left out; --include-secrets keeps them.");
        } else if SECRET.iter().any(|secret| secret.overlaps(&region)) {
            context.screen.warning(format!("`{}` contains secrets in plain text", given.file.display()));
        }
        Ok(())
    })
}

/// Fills secret sectors with FF; returns how many regions were filled.
fn mask(bytes: &mut [u8], region: &MapRegion) -> usize {
    SECRET
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
    let region = region(given.region.as_deref())?;
    let path = given.file.display().to_string();
    let mut bytes =
        std::fs::read(&given.file).map_err(|source| CommandError::Load { path: path.clone(), source })?;
    if u32::try_from(bytes.len()) != Ok(region.length) {
        let found = bytes.len();
        return Err(
            CommandError::Length { region: region.name.to_owned(), expected: region.length, found }.into()
        );
    }
    let holds_secrets = |bytes: &mut [u8]| {
        SECRET.iter().any(|secret| {
            secret_part(bytes, &region, secret).is_some_and(|part| part.iter().any(|byte| *byte != 0xFF))
        })
    };
    let covers_secrets = SECRET.iter().any(|secret| secret.overlaps(&region));
    if covers_secrets && !holds_secrets(&mut bytes) && !given.yes {
        return Err(CommandError::Masked { path }.into());
    }
    let words = format!("`{}` ({} KB at {:#08x})", region.name, region.length / 1024, region.offset);
    if given.dry_run {
        return crate::print(&format!("would write {path} to {words}\n"));
    }
    with_session(&given.device, &given.loader, context, |mut session, narrator| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_without_secrets_has_ff_where_they_were_and_nothing_else_changed() {
        let whole = region(None).unwrap();
        let mut bytes = vec![0x5A; whole.length as usize];
        assert_eq!(mask(&mut bytes, &whole), 3);
        for (offset, byte) in bytes.iter().enumerate() {
            let offset = u32::try_from(offset).unwrap();
            let secret = SECRET.iter().any(|secret| (secret.offset..secret.end()).contains(&offset));
            assert_eq!(*byte == 0xFF, secret, "{offset:#x}");
        }
        let slot = region(Some("config-b")).unwrap();
        let mut sector = vec![0; 4096];
        assert_eq!(mask(&mut sector, &slot), 1);
        let store = region(Some("store")).unwrap();
        assert_eq!(mask(&mut [0; 16], &store), 0);
    }
}
