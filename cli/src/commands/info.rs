//! `info`: chip, flash, and what is on it; changes nothing.

use espbroker_config::flash_map::FlashMap;
use espbroker_flasher::FlasherError;
use serde::Serialize;

use super::{Context, with_device};
use crate::{
    arguments::InfoArguments,
    failure::Failure,
    hex::to_hex,
    preflight::{self, BootSector},
};

#[derive(Serialize)]
struct InfoReport {
    version: u32,
    machine: String,
    chip: String,
    mac: String,
    crystal_mhz: u32,
    flash_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    flash_bytes: Option<u32>,
    boot_sector: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<ConfigReport>,
}

#[derive(Serialize)]
struct ConfigReport {
    slot: String,
    sequence: u32,
    name: String,
}

/// Identifies the device and looks at its flash.
///
/// # Errors
///
/// The flasher's.
pub(crate) fn run(given: &InfoArguments, context: &Context) -> Result<(), Failure> {
    with_device(&given.device, &given.loader, context, |mut session, info, narrator| {
        let occupancy = narrator.step("inspect", "reading the flash", || {
            let map = preflight::flash_map(&info).unwrap_or(FlashMap::Map4M);
            let occupancy = preflight::inspect(&mut session, map, None).map_err(FlasherError::from)?;
            let summary = occupancy.summary();
            Ok::<_, FlasherError>((occupancy, summary))
        })?;
        let report = InfoReport {
            version: 1,
            machine: preflight::machine(&info).to_string(),
            chip: info.chip.to_string(),
            mac: to_hex(&info.mac, ":"),
            crystal_mhz: info.crystal_mhz,
            flash_id: info.flash.hex(),
            flash_bytes: info.flash.capacity,
            boot_sector: match occupancy.boot {
                BootSector::Blank => "blank",
                BootSector::Image | BootSector::SameImage => "image",
                BootSector::Other => "other",
            },
            config: occupancy.config().map(|(slot, record)| ConfigReport {
                slot: slot.to_string(),
                sequence: record.sequence,
                name: record.config.name.clone(),
            }),
        };
        if given.json {
            return crate::print_json(&report);
        }
        crate::print(&text(&report))
    })
}

fn text(report: &InfoReport) -> String {
    let flash =
        report.flash_bytes.map_or_else(|| "unknown size".to_owned(), |bytes| format!("{} KB", bytes / 1024));
    let config = report.config.as_ref().map_or_else(
        || "none".to_owned(),
        |config| format!("`{}` in slot {}, sequence {}", config.name, config.slot, config.sequence),
    );
    format!(
        "machine   {}\nchip      {}\nmac       {}\ncrystal   {} MHz\nflash     {flash}, id {}\nboot      {}\nsettings  {config}\n",
        report.machine, report.chip, report.mac, report.crystal_mhz, report.flash_id, report.boot_sector
    )
}
