//! Writing: the image, and a config sector.

use espbroker_config::{
    model,
    slots::{self, Slot, SlotHeader},
};
use espbroker_flasher::{FlasherError, Session, program::Region, verify::Verified};

use super::{
    SetupError,
    plan::{allowed, config_region, image_region},
};
use crate::{failure::Failure, image_file::Firmware, narrator::Narrator, preflight::Occupancy};

/// Writes the image; what the boot ROM cannot verify is verified later by the firmware's own digest.
///
/// # Errors
///
/// The flasher's, or a difference that a second attempt did not mend.
pub(super) fn write_image(
    session: &mut Session<'_>,
    firmware: &Firmware,
    narrator: &Narrator,
) -> Result<(), Failure> {
    narrator.begin("flash", "erasing");
    let checked = program(session, image_region(firmware))?;
    narrator.end(&format!("{} KB written, {}", firmware.bytes.len() / 1024, words(checked)));
    Ok(())
}

/// Writes a config to the slot that is not in use; returns slot, sequence and CRC-32.
///
/// The slot in use is not touched, so that a power cut leaves the old settings.
///
/// # Errors
///
/// When the config does not fit, or the flasher's.
pub(crate) fn write_config(
    session: &mut Session<'_>,
    occupancy: &Occupancy,
    config: &model::Config,
    narrator: &Narrator,
) -> Result<(Slot, u32, u32), Failure> {
    narrator.begin("configure", "writing the settings");
    let (slot, sequence) = occupancy.next();
    let sector = slots::encode_sector(config, sequence).map_err(SetupError::ConfigTooLong)?;
    let crc = SlotHeader::parse(&sector).map(|header| header.crc).unwrap_or_default();
    let length = sector.len();
    let checked = program(session, config_region(slot, sector))?;
    narrator.end(&format!("{length} bytes in slot {slot} (sequence {sequence}), {}", words(checked)));
    Ok((slot, sequence, crc))
}

/// Who has found that the flash holds what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// The loader compared.
    ByLoader,
    /// Nobody yet: the boot ROM has no digest for a region of this length.
    NotYet,
}

/// Erases and writes one region, and nothing else.
///
/// # Errors
///
/// The flasher's, or a difference that a second attempt did not mend.
pub(crate) fn program(session: &mut Session<'_>, region: Region) -> Result<Checked, Failure> {
    let regions = [region];
    let programmed = session.program(&regions, &allowed(&regions)).map_err(FlasherError::from)?;
    match programmed.into_iter().next().map(|programmed| programmed.verified) {
        Some(Verified::Differs(difference)) => {
            Err(SetupError::ImageNotVerified { region: difference.region, offset: difference.offset }.into())
        }
        Some(Verified::Matches) => Ok(Checked::ByLoader),
        Some(Verified::NotPossibleOnRom) | None => Ok(Checked::NotYet),
    }
}

fn words(checked: Checked) -> &'static str {
    match checked {
        Checked::ByLoader => "verified by the loader",
        Checked::NotYet => "to be verified by the firmware",
    }
}
