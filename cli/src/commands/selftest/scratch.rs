//! Erasing and writing a block of flash that nobody needs, and putting back what was there.

use std::{ops::Range, time::Duration};

use espbroker_config::flash_map::STORE;
use espbroker_flasher::{
    EraseAllowed, FlasherError, Order, Region, Secrecy, Session, Verified, probe::probe_pattern,
};

use super::{super::save_private, SelftestError, report::Outcome};
use crate::failure::Failure;

/// One block that flash chips erase at once, at the far end of the store.
const BLOCK: u32 = 0x1_0000;
const SPAN: Range<u32> = 0x3E_0000..0x3E_0000 + BLOCK;

const _: () = assert!(SPAN.start >= STORE.offset && SPAN.end <= STORE.end());

/// Where what was there is kept until it is back.
const SAVED: &str = "espbroker-selftest-scratch.bin";

type Answer = (&'static str, Outcome, String);

/// Reads, erases, writes, and restores; the answers come in the order of asking.
///
/// # Errors
///
/// When the device is lost, or what was there could not be put back: then a file has it.
pub(super) fn run(session: &mut Session<'_>) -> Result<Vec<Answer>, Failure> {
    session.mark_secret(SPAN);
    let started = session.now();
    let before = session.read("scratch", SPAN).map_err(FlasherError::from)?;
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
    let result = measure(session, &mut answers);
    // Whatever became of the measurements, what was there goes back.
    let region = region(before);
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

fn measure(session: &mut Session<'_>, answers: &mut Vec<Answer>) -> Result<(), FlasherError> {
    let length = usize::try_from(BLOCK).unwrap_or(usize::MAX);
    let first = region(probe_pattern(length));
    let second = region(probe_pattern(length).iter().map(|byte| !byte).collect());
    answers.push(write(session, "scratch: write over what is there", &first)?);
    answers.push(write(session, "scratch: write over something else", &second)?);
    answers.push(write(session, "scratch: write the same again", &second)?);
    answers.push(("scratch: erase", Outcome::Passed, words(erase(session)?)));
    answers.push(("scratch: erase what is blank", Outcome::Noted, words(erase(session)?)));
    answers.push(write(session, "scratch: write over what is blank", &first)?);
    Ok(())
}

fn write(session: &mut Session<'_>, name: &'static str, region: &Region) -> Result<Answer, FlasherError> {
    let (verified, took) = program(session, region)?;
    let outcome = if verified == Verified::Matches { Outcome::Passed } else { Outcome::Failed };
    Ok((name, outcome, words(took)))
}

fn region(bytes: Vec<u8>) -> Region {
    let (name, order) = ("scratch".to_owned(), Order::Ascending);
    Region { name, offset: SPAN.start, bytes, secrecy: Secrecy::Secret, order }
}

fn program(session: &mut Session<'_>, region: &Region) -> Result<(Verified, Duration), FlasherError> {
    let started = session.now();
    let allowed = EraseAllowed::only([SPAN]);
    let programmed = session.program(std::slice::from_ref(region), &allowed)?;
    let verified = programmed.into_iter().next().map(|programmed| programmed.verified);
    Ok((verified.unwrap_or(Verified::NotPossibleOnRom), since(session, started)))
}

fn erase(session: &mut Session<'_>) -> Result<Duration, FlasherError> {
    let started = session.now();
    session.erase("scratch", SPAN, &EraseAllowed::only([SPAN]))?;
    Ok(since(session, started))
}

fn since(session: &Session<'_>, started: Duration) -> Duration {
    session.now().saturating_sub(started)
}

fn words(took: Duration) -> String {
    format!("{} KB in {} ms", BLOCK / 1024, took.as_millis())
}
