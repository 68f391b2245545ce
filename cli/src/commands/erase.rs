//! `erase`: one region of the flash map, or all of it.

use espbroker_flasher::{FlasherError, erase::EraseAllowed, event::Event};

use super::{Context, region};
use crate::{
    arguments::EraseArguments,
    device::{Device, LoaderPlan, identify},
    failure::Failure,
    narrator::Narrator,
    preflight,
    setup::agree_to_lose,
};

/// Erases after a question, and checks through the loader that the flash took it.
///
/// # Errors
///
/// When the user says no, or the flasher's.
pub(crate) fn run(given: &EraseArguments, context: &Context) -> Result<(), Failure> {
    let region = region(given.what.region.as_deref())?;
    let words = format!("`{}` ({} KB at {:#08x})", region.name, region.length / 1024, region.offset);
    if given.dry_run {
        return crate::print(&format!("would erase {words}\n"));
    }
    let loader = LoaderPlan::new(&given.loader, context.cancel.clone())?;
    let device = Device::find(&given.device, context.screen)?;
    let narrator = Narrator::new(context.screen);
    let mut events = |event: Event| narrator.event(event);
    let mut session = loader.connect(&device, &narrator, &mut events)?;
    let info = identify(&mut session, &narrator)?;
    preflight::check_flash(&info, espbroker_config::flash_map::FlashMap::Map4M)?;
    agree_to_lose(vec![format!("{words} with nothing")], given.yes, context.screen)?;
    narrator.step("erase", "erasing", || {
        let span = region.offset..region.end();
        session.erase(region.name, span.clone(), &EraseAllowed::only([span])).map_err(FlasherError::from)?;
        Ok::<_, FlasherError>(((), format!("{words} is blank")))
    })?;
    Ok(())
}
