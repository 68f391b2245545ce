//! `wipe`: nothing of its owner stays on a device.

use std::ops::Range;

use espbroker_config::{
    flash_map::{FlashMap, Region, SECTOR_SIZE},
    slots::Slot,
};
use espbroker_flasher::{
    DeviceInfo, FlasherError, Loader, Session,
    boot::{BootLog, Reset},
    erase::EraseAllowed,
    event::Secrecy,
    program::{Order, Region as Blank},
    verify::Verified,
};

use super::{Context, config::inspect, with_device, words_for_any};
use crate::{
    arguments::WipeArguments,
    failure::Failure,
    hex::to_hex,
    narrator::Narrator,
    preflight,
    registry::{Store, forget, system_keyring},
    screen::Screen,
    wizard,
};

/// What holds something of the owner; what is secret first, so that a cut leaves least.
const fn regions(map: FlashMap) -> [Region; 4] {
    [map.config(Slot::A), map.config(Slot::B), map.system_parameter(), map.store()]
}

/// Bytes of a sector that are looked at where all of them take too long.
const SAMPLE: u32 = 16;

/// Why a device was not wiped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WipeError {
    #[error("this would erase settings, keys and stored messages of `{name}`")]
    WouldErase { name: String },
    #[error("the device is `{name}`, and not `{given}`")]
    OtherName { name: String, given: String },
    #[error("the flash is not blank after erasing `{region}`: it differs at {offset:#x}")]
    NotBlank { region: &'static str, offset: u32 },
}

/// Erases, reads back, and starts the device again.
///
/// # Errors
///
/// When the name is not the device's, the user says no, or a region is not blank afterwards.
pub(crate) fn run(given: &WipeArguments, context: &Context) -> Result<(), Failure> {
    if given.dry_run {
        for region in regions(FlashMap::Map4M) {
            crate::print(&format!("would erase {}\n", words_for_any(Some(region.name))?))?;
        }
        return Ok(());
    }
    let mut wiped = None;
    with_device(&given.device, &given.loader, context, |mut session, info, narrator| {
        let result = wipe(given, &mut session, &info, narrator, context.screen);
        // Also where nothing was erased: into its firmware, which without settings opens its own access point.
        let mut console = session.into_console();
        let reset = console.reset(BootLog::Skip).map_err(FlasherError::from);
        wiped = Some((info.mac, result?));
        if reset? == Reset::ByUser {
            context.screen.line("This port cannot reset the device: reset it by hand.");
        }
        Ok(())
    })?;
    if let Some((mac, name)) = wiped {
        forget_here(given, mac, &name, context)?;
    }
    Ok(())
}

/// Erases and checks; gives the name that the device had.
fn wipe(
    given: &WipeArguments,
    session: &mut Session<'_>,
    info: &DeviceInfo,
    narrator: &Narrator,
    screen: Screen,
) -> Result<String, Failure> {
    let map = preflight::flash_map(info)?;
    let occupancy = inspect(session, map, narrator)?;
    let regions = regions(map);
    let mac = to_hex(&info.mac, ":");
    let name = occupancy.config().map_or_else(|| mac.clone(), |(_, record)| record.config.name.clone());
    confirm(given, &name, &mac, screen)?;
    let allowed = EraseAllowed::only(regions.iter().map(|region| region.offset..region.end()));
    narrator.begin("erase", "erasing settings, keys and stored messages");
    for region in regions {
        narrator.doing(region.name);
        session.erase(region.name, region.offset..region.end(), &allowed).map_err(FlasherError::from)?;
    }
    narrator.end(&names(&regions));
    check_blank(session, map, narrator)?;
    Ok(name)
}

fn names(regions: &[Region]) -> String {
    regions.iter().map(|region| region.name).collect::<Vec<_>>().join(", ")
}

/// Reads back what was erased, or has the stub measure it. The boot ROM measures nothing and takes minutes for the store: of
/// that, the beginning of each sector is read, since a sector is erased whole or not at all.
fn check_blank(session: &mut Session<'_>, map: FlashMap, narrator: &Narrator) -> Result<(), Failure> {
    narrator.begin("check", "checking that all of it is blank");
    let whole = session.loader() == Loader::Stub;
    for region in regions(map) {
        let sampled = !whole && region == map.store();
        let starts = (region.offset..region.end()).step_by(SECTOR_SIZE as usize);
        let spans: Vec<Range<u32>> = match (whole, sampled) {
            (true, _) => std::iter::once(region.offset..region.end()).collect(),
            (false, true) => starts.map(|start| start..start + SAMPLE).collect(),
            (false, false) => starts.map(|start| start..start + SECTOR_SIZE).collect(),
        };
        for (index, span) in spans.iter().enumerate() {
            let bytes = vec![0xFF; usize::try_from(span.end - span.start).unwrap_or_default()];
            let blank = Blank {
                name: region.name.to_owned(),
                offset: span.start,
                bytes,
                secrecy: Secrecy::Secret,
                order: Order::Ascending,
            };
            match session.verify(&blank).map_err(FlasherError::from)? {
                Verified::Matches => {}
                Verified::Differs(difference) => {
                    return Err(WipeError::NotBlank { region: region.name, offset: difference.offset }.into());
                }
                // No span is so long.
                Verified::NotPossibleOnRom => {
                    return Err(WipeError::NotBlank { region: region.name, offset: span.start }.into());
                }
            }
            narrator.progress(index as u64 + 1, spans.len() as u64);
        }
    }
    narrator.end(match whole {
        true => "all of it is blank",
        false => {
            "settings and Wi-Fi parameters are blank, and so is every sector of the store where it begins"
        }
    });
    Ok(())
}

/// The name has to be typed: `yes` is typed too easily at the wrong device.
fn confirm(given: &WipeArguments, name: &str, mac: &str, screen: Screen) -> Result<(), Failure> {
    let typed = match &given.confirm {
        Some(name) => name.clone(),
        None if screen.can_ask() => {
            screen.warning(format!(
                "this erases settings, keys and stored messages of `{name}` ({mac}); there is no way back"
            ));
            wizard::ask("Type its name to go on")?
        }
        None => return Err(WipeError::WouldErase { name: name.to_owned() }.into()),
    };
    if typed == name || typed.eq_ignore_ascii_case(mac) {
        return Ok(());
    }
    Err(WipeError::OtherName { name: name.to_owned(), given: typed }.into())
}

/// The registry's entry goes when the user wants it to: its key opens nothing any more.
fn forget_here(given: &WipeArguments, mac: [u8; 6], name: &str, context: &Context) -> Result<(), Failure> {
    let store = Store::open(context.screen)?;
    let digits = to_hex(&mac, "");
    if !store.devices()?.iter().any(|entry| entry.mac == digits) {
        return Ok(());
    }
    let agreed = given.forget
        || (context.screen.can_ask() && wizard::confirm(&format!("Also forget `{name}` on this computer"))?);
    if !agreed {
        context.screen.line(format!("`espbroker devices forget {name}` forgets it on this computer too."));
        return Ok(());
    }
    forget(&store, &[digits], system_keyring().as_deref())?;
    context.screen.line(format!("Forgotten: `{name}`."));
    Ok(())
}
