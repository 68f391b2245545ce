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
    let verified = program(session, image_region(firmware))?;
    narrator.end(&format!("{} KB written, {}", firmware.bytes.len() / 1024, words(&verified)));
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
    let verified = program(session, config_region(slot, sector))?;
    narrator.end(&format!("{length} bytes in slot {slot} (sequence {sequence}), {}", words(&verified)));
    Ok((slot, sequence, crc))
}

fn program(session: &mut Session<'_>, region: Region) -> Result<Verified, Failure> {
    let regions = [region];
    let allowed = allowed(&regions);
    let programmed = session.program(&regions, &allowed).map_err(FlasherError::from)?;
    let verified =
        programmed.into_iter().next().map_or(Verified::NotPossibleOnRom, |programmed| programmed.verified);
    match verified {
        Verified::Differs(difference) => {
            Err(SetupError::ImageNotVerified { region: difference.region, offset: difference.offset }.into())
        }
        verified => Ok(verified),
    }
}

fn words(verified: &Verified) -> &'static str {
    match verified {
        Verified::Matches => "verified by the loader",
        Verified::Differs(_) => "different",
        Verified::NotPossibleOnRom => "to be verified by the firmware",
    }
}
