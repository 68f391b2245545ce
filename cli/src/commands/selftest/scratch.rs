//! Erasing and writing a block of flash that nobody needs, and putting back what was there.

use std::{ops::Range, time::Duration};

use espbroker_config::flash_map::FlashMap;
use espbroker_flasher::{
    EraseAllowed, FlasherError, Order, Region, Secrecy, Session, Verified, probe::probe_pattern,
};

use super::{super::save_private, SelftestError, report::Outcome};
use crate::failure::Failure;

/// Bytes of a block that flash chips erase at once.
const BLOCK: u32 = 0x1_0000;

/// The last such block of the store.
const fn span(map: FlashMap) -> Range<u32> {
    let end = map.store().end() / BLOCK * BLOCK;
    end - BLOCK..end
}

/// Where what was there is kept until it is back.
const SAVED: &str = "espbroker-selftest-scratch.bin";

type Answer = (&'static str, Outcome, String);

/// Reads, erases, writes, and restores; the answers come in the order of asking.
///
/// # Errors
///
/// When the device is lost, or what was there could not be put back: then a file has it.
pub(super) fn run(session: &mut Session<'_>, map: FlashMap) -> Result<Vec<Answer>, Failure> {
    let span = span(map);
    session.mark_secret(span.clone());
    let started = session.now();
    let before = session.read("scratch", span.clone()).map_err(FlasherError::from)?;
    let mut answers = vec![(
        "scratch: read",
        Outcome::Passed,
        format!("{} KB in {} ms", BLOCK / 1024, since(session, started).as_millis()),
    )];
    let folder = tempfile::Builder::new().prefix("espbroker-selftest-").tempdir();
    let saved = folder.as_ref().ok().map(|folder| folder.path().join(SAVED));
    if let Some(saved) = &saved {
        save_private(saved, &before)?;
    }
    let result = measure(session, &span, &mut answers);
    // Whatever became of the measurements, what was there goes back.
    let region = region(&span, before);
    let restored = match program(session, &region) {
        Ok((Verified::Matches, took)) => {
            answers.push(("scratch: restored", Outcome::Passed, words(took)));
            true
        }
        Ok(_) | Err(_) => false,
    };
    if !restored {
        let kept = folder.map(tempfile::TempDir::keep).ok().map(|folder| folder.join(SAVED));
        let file = kept.map_or_else(String::new, |file| file.display().to_string());
        return Err(SelftestError::NotRestored { file }.into());
    }
    result.map_err(Failure::from)?;
    Ok(answers)
}

fn measure(
    session: &mut Session<'_>,
    span: &Range<u32>,
    answers: &mut Vec<Answer>,
) -> Result<(), FlasherError> {
    let length = usize::try_from(BLOCK).unwrap_or(usize::MAX);
    let first = region(span, probe_pattern(length));
    let second = region(span, probe_pattern(length).iter().map(|byte| !byte).collect());
    answers.push(write(session, "scratch: write over what is there", &first)?);
    answers.push(write(session, "scratch: write over something else", &second)?);
    answers.push(write(session, "scratch: write the same again", &second)?);
    answers.push(("scratch: erase", Outcome::Passed, words(erase(session, span)?)));
    answers.push(("scratch: erase what is blank", Outcome::Noted, words(erase(session, span)?)));
    answers.push(write(session, "scratch: write over what is blank", &first)?);
    Ok(())
}

fn write(session: &mut Session<'_>, name: &'static str, region: &Region) -> Result<Answer, FlasherError> {
    let (verified, took) = program(session, region)?;
    let outcome = if verified == Verified::Matches { Outcome::Passed } else { Outcome::Failed };
    Ok((name, outcome, words(took)))
}

fn region(span: &Range<u32>, bytes: Vec<u8>) -> Region {
    let (name, order) = ("scratch".to_owned(), Order::Ascending);
    Region { name, offset: span.start, bytes, secrecy: Secrecy::Secret, order }
}

fn program(session: &mut Session<'_>, region: &Region) -> Result<(Verified, Duration), FlasherError> {
    let started = session.now();
    let allowed = EraseAllowed::only([region.sectors()]);
    let programmed = session.program(std::slice::from_ref(region), &allowed)?;
    let verified = programmed.into_iter().next().map(|programmed| programmed.verified);
    Ok((verified.unwrap_or(Verified::NotPossibleOnRom), since(session, started)))
}

fn erase(session: &mut Session<'_>, span: &Range<u32>) -> Result<Duration, FlasherError> {
    let started = session.now();
    session.erase("scratch", span.clone(), &EraseAllowed::only([span.clone()]))?;
    Ok(since(session, started))
}

fn since(session: &Session<'_>, started: Duration) -> Duration {
    session.now().saturating_sub(started)
}

fn words(took: Duration) -> String {
    format!("{} KB in {} ms", BLOCK / 1024, took.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_inside_the_store_of_every_map() {
        for map in [FlashMap::Map4M, FlashMap::Map1M] {
            let (span, store) = (span(map), map.store());
            assert!(span.start >= store.offset && span.end <= store.end() && span.len() == BLOCK as usize);
        }
        assert_eq!(span(FlashMap::Map4M).start, 0x3E_0000);
    }
}
