//! `config show`, `config read`, `config write`: the settings alone, through the loader; the firmware stays. `config
//! build` makes the partition without a device.

use espbroker_config::{
    flash_map::{FlashMap, SECTOR_SIZE},
    model::Config,
    slots::{self, Slot},
};
use espbroker_flasher::{FlasherError, Session};

use super::{CommandError, Context, refuse_existing, save_private, with_device, with_session};
use crate::{
    answers::read_settings,
    arguments::{
        ConfigBuildArguments, ConfigCommand, ConfigReadArguments, ConfigShowArguments, ConfigWriteArguments,
    },
    device::is_path,
    failure::Failure,
    narrator::Narrator,
    preflight::{self, Occupancy},
    reconfigure::{self, difference},
    registry::{Learnt, learn},
    settings::{apply, not_yet, render},
    setup::{SetupError, agree_to_lose, follow, write_config},
    start_up::Expected,
};

/// Runs one of the four.
///
/// # Errors
///
/// Theirs.
pub(crate) fn run(command: &ConfigCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show(given) => show(given, context),
        ConfigCommand::Read(given) => read(given, context),
        ConfigCommand::Write(given) => write(given, context),
        ConfigCommand::Build(given) => build(given, context),
    }
}

pub(crate) fn inspect(
    session: &mut Session<'_>,
    map: FlashMap,
    narrator: &Narrator,
) -> Result<Occupancy, FlasherError> {
    narrator.step("read", "reading the settings", || {
        let occupancy = preflight::inspect(session, map, None)?;
        let summary = occupancy.summary();
        Ok((occupancy, summary))
    })
}

fn show(given: &ConfigShowArguments, context: &Context) -> Result<(), Failure> {
    if let Some(file) = &given.file {
        let path = file.display().to_string();
        let bytes = std::fs::read(file).map_err(|source| CommandError::Load { path, source })?;
        let (a, b) = bytes.split_at(bytes.len().min(SECTOR_SIZE as usize));
        let (a, b) = (slots::read_sector(a), slots::read_sector(b));
        let (_, record) = slots::select(&a, &b).ok_or(CommandError::NoConfig)?;
        return print_config(&record.config);
    }
    with_session(&given.device, &given.loader, context, |mut session, map, narrator| {
        let occupancy = inspect(&mut session, map, narrator)?;
        let (_, record) = occupancy.config().ok_or(CommandError::NoConfig)?;
        print_config(&record.config)
    })
}

fn print_config(config: &Config) -> Result<(), Failure> {
    let text = toml::to_string(&render(config)).map_err(crate::PrintError::Toml)?;
    crate::print(&text)
}

fn read(given: &ConfigReadArguments, context: &Context) -> Result<(), Failure> {
    refuse_existing(&given.file)?;
    with_session(&given.device, &given.loader, context, |mut session, map, narrator| {
        narrator.begin("read", "reading both slots");
        let mut bytes = Vec::new();
        for slot in [map.config(Slot::A), map.config(Slot::B)] {
            session.mark_secret(slot.offset..slot.end());
            bytes.extend(session.read(slot.name, slot.offset..slot.end()).map_err(FlasherError::from)?);
        }
        save_private(&given.file, &bytes)?;
        narrator.end(&format!("both slots saved in `{}`", given.file.display()));
        context.screen.warning(format!("`{}` contains secrets in plain text", given.file.display()));
        Ok(())
    })
}

fn write(given: &ConfigWriteArguments, context: &Context) -> Result<(), Failure> {
    let settings = read_settings(&given.settings, context.screen)?;
    with_device(&given.device, &given.loader, context, |mut session, info, narrator| {
        let map = preflight::flash_map(&info)?;
        let occupancy = inspect(&mut session, map, narrator)?;
        let mut config =
            occupancy.config().map_or_else(|| Config::new("espbroker"), |(_, record)| record.config.clone());
        let before = config.clone();
        apply(&settings, &mut config)?;
        for sentence in not_yet(&config) {
            context.screen.warning(sentence);
        }
        let changes = difference(&before, &config)?;
        context.screen.line(match changes.as_slice() {
            [] => "Nothing to change: the device has these settings already.".to_owned(),
            changes => reconfigure::lines(changes),
        });
        // Also in a dry run, and before anything is asked.
        slots::encode_sector(&config, 1).map_err(SetupError::ConfigTooLong)?;
        if given.dry_run {
            return Ok(());
        }
        agree_to_lose(occupancy.newer_settings().into_iter().collect(), given.yes, context.screen)?;
        let written = write_config(&mut session, &occupancy, &config, narrator)?;
        let expected = Expected {
            mac: Some(info.mac),
            image: None,
            config: Some(written),
            station: config.wifi.is_some(),
        };
        let port = given.device.port.as_deref().filter(|port| is_path(port));
        let mut learnt =
            Learnt { mac: info.mac, config: &config, version: None, port, login: None, seen: None };
        learn(&learnt, context.screen);
        let running = follow(&mut session.into_console(), expected, narrator)?;
        learnt.version = running.version.as_deref();
        learnt.seen = Some(running.seen());
        learn(&learnt, context.screen);
        Ok(())
    })
}

/// Both slots as `config read` saves them: the settings in the first, the second blank.
fn build(given: &ConfigBuildArguments, context: &Context) -> Result<(), Failure> {
    refuse_existing(&given.file)?;
    let settings = read_settings(&given.settings, context.screen)?;
    let mut config = Config::new("espbroker");
    apply(&settings, &mut config)?;
    for sentence in not_yet(&config) {
        context.screen.warning(sentence);
    }
    let mut bytes = slots::encode_sector(&config, 1).map_err(SetupError::ConfigTooLong)?;
    bytes.resize(2 * SECTOR_SIZE as usize, 0xFF);
    save_private(&given.file, &bytes)?;
    context.screen.line(format!("config partition saved in `{}`", given.file.display()));
    context.screen.warning(format!("`{}` contains secrets in plain text", given.file.display()));
    Ok(())
}

/// One line for each field, with its whole path, so that two fields of the same name stay apart.
///
/// # Errors
///
/// When the config cannot be written as settings.
pub(super) fn lines(config: &Config) -> Result<Vec<String>, crate::PrintError> {
    let mut lines = Vec::new();
    flatten("", &toml::Value::try_from(render(config))?, &mut lines);
    Ok(lines)
}

fn flatten(path: &str, value: &toml::Value, lines: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, lines);
            }
        }
        toml::Value::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), value, lines);
            }
        }
        value => lines.push(format!("{path} = {value}")),
    }
}
