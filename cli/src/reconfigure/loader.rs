//! Through the boot loader: the other config sector is written, and the firmware started again.
//!
//! Whoever can do this has the board in hand, so there is no key. The firmware does not try such a config and go back by
//! itself: what becomes of it is seen on the console, and the settings before stay in the other sector.

use espbroker_flasher::{
    Session,
    boot::{BootLog, Console},
    event::Event,
    identify::DeviceInfo,
};

use super::{Done, Job, Outcome, Who, report::DeviceOutcome};
use crate::{
    commands::{CommandError, config::inspect},
    device::{Device, LoaderPlan, identify},
    failure::Failure,
    narrator::Narrator,
    preflight::{self, Occupancy},
    setup::{agree_to_lose, connect_bridges, follow, write_config},
    start_up::Expected,
};

pub(super) fn run(
    job: &Job<'_>,
    who: &mut Who,
    device: &Device,
    narrator: &Narrator,
    report: &mut DeviceOutcome,
) -> Result<Done, Failure> {
    let plan = LoaderPlan::new(&job.which.loader, job.context.cancel.clone())?;
    let mut events = |event: Event| narrator.event(event);
    let mut session = plan.connect(device, narrator, &mut events)?;
    let result = write(job, who, device, &mut session, narrator, report);
    if let Ok(Written::Config(..)) = &result {
        plan.remember(device, &session);
    }
    let mut console = session.into_console();
    match result {
        Ok(Written::Config(after, expected)) => finish(&mut console, *after, expected, narrator),
        Ok(Written::Nothing(done)) => {
            // Else it would stay in its loader. What cannot be reset, its user has brought there.
            let _ = console.reset(BootLog::Skip);
            Ok(*done)
        }
        Err(failure) => {
            let _ = console.reset(BootLog::Skip);
            Err(failure)
        }
    }
}

enum Written {
    Nothing(Box<Done>),
    Config(Box<espbroker_config::model::Config>, Expected),
}

fn write(
    job: &Job<'_>,
    who: &mut Who,
    device: &Device,
    session: &mut Session<'_>,
    narrator: &Narrator,
    report: &mut DeviceOutcome,
) -> Result<Written, Failure> {
    let info: DeviceInfo = identify(session, narrator)?;
    device.must_have(info.mac)?;
    let map = preflight::flash_map(&info)?;
    who.recognise(info.mac, job.context);
    let occupancy: Occupancy = inspect(session, map, narrator)?;
    let (_, record) = occupancy.config().ok_or(CommandError::NoConfig)?;
    who.label.clone_from(&record.config.name);
    let Some(after) = job.plan(&record.config, who, narrator, report)? else {
        return Ok(Written::Nothing(Box::new(job.undone(record.config.clone(), report))));
    };
    agree_to_lose(occupancy.newer_settings().into_iter().collect(), job.how.yes, job.context.screen)?;
    job.work.keep(who.mac, &record.config, &after, job.context)?;
    let written = write_config(session, &occupancy, &after, narrator)?;
    report.sequence = Some(written.1);
    report.applied_seconds = report.elapsed();
    let expected =
        Expected { mac: Some(info.mac), image: None, config: Some(written), station: after.wifi.is_some() };
    Ok(Written::Config(Box::new(after), expected))
}

fn finish(
    console: &mut Console<'_>,
    after: espbroker_config::model::Config,
    expected: Expected,
    narrator: &Narrator,
) -> Result<Done, Failure> {
    let running = follow(console, expected, narrator)?;
    let checks = connect_bridges(console, &after, &running, narrator)?;
    let (seen, version) = (Some(running.seen()), running.version.clone());
    Ok(Done { outcome: Outcome::Written, after, seen, version, checks })
}
