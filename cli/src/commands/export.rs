//! `export`: a device's settings as files for another broker.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use espbroker_config::model::Config;
use serde::Serialize;

use super::{CommandError, Context, broker::take_what_is_for_a_board, config::inspect, with_session};
use crate::{
    answers::read_settings,
    arguments::{ExportCommand, ExportMosquittoArguments},
    export::{self, Export},
    failure::Failure,
    private_file,
    settings::apply,
};

/// Version of the JSON report.
const VERSION: u32 = 1;

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("there is an export already: `{}`", path.display())]
    Exists { path: PathBuf },
    #[error("cannot write to the folder `{}`", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the folder's path cannot stand in mosquitto.conf: `{}`", path.display())]
    Path { path: PathBuf },
}

/// What was written.
#[derive(Serialize)]
struct ExportReport {
    version: u32,
    files: Vec<PathBuf>,
    differences: Vec<String>,
}

/// Writes the files.
///
/// # Errors
///
/// When there are no settings, or the files cannot be written; those of an earlier export stay unless `--force` is given.
pub(crate) fn run(command: &ExportCommand, context: &Context) -> Result<(), Failure> {
    let ExportCommand::Mosquitto(given) = command;
    // Before a device is asked.
    let folder = std::path::absolute(&given.folder)
        .map_err(|source| ExportError::Folder { path: given.folder.clone(), source })?;
    // A line of mosquitto.conf ends with the line, and spaces at its end are nothing.
    let text = folder.to_str().filter(|text| !text.chars().any(char::is_control) && text.trim_end() == *text);
    if text.is_none() {
        return Err(ExportError::Path { path: folder }.into());
    }
    refuse_earlier(&folder, given)?;
    let config = config(given, context)?;
    let Export { files, differences } = export::mosquitto(&config, &folder);
    let written = write(&folder, &files)?;

    if given.json {
        return crate::print_json(&ExportReport { version: VERSION, files: written, differences });
    }
    for path in &written {
        crate::print(&format!("{}\n", path.display()))?;
    }
    let differences: String = differences.iter().map(|sentence| format!("  - {sentence}\n")).collect();
    context.screen.line(format!(
        "Start it with `mosquitto -c {}`. As a service mosquitto runs as a user of its own, who must own these files.\n\
         What is otherwise than on the device:\n{}",
        folder.join(export::SETTINGS).display(),
        differences.trim_end()
    ));
    Ok(())
}

fn refuse_earlier(folder: &Path, given: &ExportMosquittoArguments) -> Result<(), ExportError> {
    let names = [export::SETTINGS, export::PASSWORDS, export::ACCESS_LIST];
    match names.map(|name| folder.join(name)).into_iter().find(|path| path.exists()) {
        Some(path) if !given.force => Err(ExportError::Exists { path }),
        _ => Ok(()),
    }
}

/// The settings of the file, or of the device.
fn config(given: &ExportMosquittoArguments, context: &Context) -> Result<Config, Failure> {
    let Some(path) = &given.settings else {
        let mut found = None;
        with_session(&given.device, &given.loader, context, |mut session, map, narrator| {
            let occupancy = inspect(&mut session, map, narrator)?;
            found = occupancy.config().map(|(_, record)| record.config.clone());
            Ok(())
        })?;
        return Ok(found.ok_or(CommandError::NoConfig)?);
    };
    let mut settings = read_settings(path, context.screen)?;
    take_what_is_for_a_board(&mut settings);
    let mut config = Config::new("espbroker");
    apply(&settings, &mut config)?;
    Ok(config)
}

/// Writes each file whole, readable by this user alone; the access list of an earlier export goes when there is none now.
fn write(folder: &Path, files: &[(&str, String)]) -> Result<Vec<PathBuf>, ExportError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ExportError::Folder { path, source }
    };
    for folder in [folder, &folder.join(export::DATA)] {
        private_file::create_folder(folder).map_err(failed(folder))?;
    }
    if files.iter().all(|(name, _)| *name != export::ACCESS_LIST) {
        match fs::remove_file(folder.join(export::ACCESS_LIST)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(folder)(source)),
            _ => {}
        }
    }
    let mut written = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        private_file::replace(&path, text.as_bytes()).map_err(failed(&path))?;
        written.push(path);
    }
    Ok(written)
}
