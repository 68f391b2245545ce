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
    narrator.begin("flash", "comparing");
    let outcome = program(session, image_region(firmware))?;
    let checked = words(outcome.checked);
    let (all, written) = (firmware.bytes.len() / 1024, outcome.written.div_ceil(1024));
    narrator.end(&match outcome.written {
        0 => format!("{all} KB were there already, {checked}"),
        written_bytes if u32::try_from(firmware.bytes.len()) == Ok(written_bytes) => {
            format!("{all} KB written, {checked}")
        }
        _ => format!("{written} of {all} KB differed and were written, {checked}"),
    });
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
    let checked = words(program(session, config_region(occupancy.map, slot, sector))?.checked);
    narrator.end(&format!("{length} bytes in slot {slot} (sequence {sequence}), {checked}"));
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

/// What became of one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) checked: Checked,
    /// Bytes that were not there already.
    pub(crate) written: u32,
}

/// Erases and writes one region, and nothing else.
///
/// # Errors
///
/// The flasher's, or a difference that a second attempt did not mend.
pub(crate) fn program(session: &mut Session<'_>, region: Region) -> Result<Outcome, Failure> {
    let regions = [region];
    let programmed = session.program(&regions, &allowed(&regions)).map_err(FlasherError::from)?;
    let (verified, written) =
        programmed.into_iter().next().map(|programmed| (programmed.verified, programmed.written)).unzip();
    let checked = match verified {
        Some(Verified::Differs(difference)) => {
            let (region, offset) = (difference.region, difference.offset);
            return Err(SetupError::ImageNotVerified { region, offset }.into());
        }
        Some(Verified::Matches) => Checked::ByLoader,
        Some(Verified::NotPossibleOnRom) | None => Checked::NotYet,
    };
    Ok(Outcome { checked, written: written.unwrap_or_default() })
}

fn words(checked: Checked) -> &'static str {
    match checked {
        Checked::ByLoader => "verified by the loader",
        Checked::NotYet => "to be verified by the firmware",
    }
}
