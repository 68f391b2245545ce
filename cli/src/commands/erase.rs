//! `erase`: one region of the flash map, or all of it.

use espbroker_flasher::{FlasherError, erase::EraseAllowed};

use super::{Context, region, with_session, words, words_for_any};
use crate::{arguments::EraseArguments, failure::Failure, setup::agree_to_lose};

/// Erases after a question, and checks through the loader that the flash took it.
///
/// # Errors
///
/// When the user says no, or the flasher's.
pub(crate) fn run(given: &EraseArguments, context: &Context) -> Result<(), Failure> {
    let name = given.what.region.as_deref();
    let anywhere = words_for_any(name)?;
    if given.dry_run {
        return crate::print(&format!("would erase {anywhere}\n"));
    }
    with_session(&given.device, &given.loader, context, |mut session, map, narrator| {
        let region = region(map, name)?;
        let words = words(&region);
        agree_to_lose(vec![format!("{words} with nothing")], given.yes, context.screen)?;
        narrator.step("erase", "erasing", || {
            let span = region.offset..region.end();
            session
                .erase(region.name, span.clone(), &EraseAllowed::only([span]))
                .map_err(FlasherError::from)?;
            Ok::<_, FlasherError>(((), format!("{words} is blank")))
        })?;
        Ok(())
    })
}
