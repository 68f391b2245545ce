//! `espbroker`: sets up an MQTT broker on an ESP8266.
//!
//! `arguments` are parsed once and handed to one function for each command; results go to stdout, everything else to
//! the [`screen`], and a [`failure::Failure`] becomes the message and the exit code. Where things are:
//!
//! - `setup/`: the main job, stage by stage; `batch/`: the same on many ports at once; `commands/`: the others
//! - `answers`, `wizard`, `settings/`, `credentials`, `profiles`: what the user wants
//! - `device`, `adapters`, `preflight`, `image_file`, `simulation`: what it is done to
//! - `supply/`: where images come from, and who vouches for them
//! - `start_up`, `check`, `report`: what came of it
//! - `reconfigure/`: changing what a device has, from near and far
//! - `registry/`, `discover/`, `export/`: devices that were set up before, found in the network, left for another broker
//! - `screen`, `narrator`, `failure`: how it is told

mod adapters;
mod answers;
mod arguments;
mod batch;
mod check;
mod commands;
mod credentials;
mod device;
mod discover;
mod export;
mod failure;
mod hex;
mod image_file;
mod narrator;
mod preflight;
mod private_file;
mod profiles;
mod reconfigure;
mod registry;
mod report;
mod screen;
mod settings;
mod setup;
mod simulation;
mod start_up;
mod supply;
mod wizard;

use std::{
    io::Write as _,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use arguments::{Arguments, Command, OutputArguments};
use clap::{CommandFactory as _, Parser as _};
use commands::Context;
use espbroker_flasher::cancel::Cancel;
use failure::Failure;
use screen::{Loudness, Screen};
use serde::Serialize;

/// Why a result cannot be printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrintError {
    #[error("cannot write the result to standard output")]
    Closed(#[from] std::io::Error),
    #[error("cannot write the result as JSON")]
    Json(#[from] serde_json::Error),
    #[error("cannot write the settings as TOML")]
    Toml(#[from] toml::ser::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let context = Context { screen: Screen::new(loudness(&arguments.output)), cancel: Cancel::default() };
    // The broker minds its signals itself: to it, one of them is no end.
    if !matches!(arguments.command, Command::Broker(_)) {
        stop_on_interrupt(context.cancel.clone());
    }
    match run(&arguments.command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A closed stderr leaves the exit code to speak.
            let _ = write!(anstream::stderr(), "{}", failure.text(context.screen.columns()));
            failure.exit.into()
        }
    }
}

fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Setup(given) => setup::run(given, context.screen, &context.cancel),
        Command::Batch(given) => commands::batch::run(given, context),
        Command::Ports(given) => commands::ports::run(given, context),
        Command::Info(given) => commands::info::run(given, context),
        Command::Monitor(given) => commands::monitor::run(given, context),
        Command::Config(given) => commands::config::run(given, context),
        Command::Reconfigure(given) => commands::reconfigure::run(given, context),
        Command::RotateKeys(given) => commands::rotate_keys::run(given, context),
        Command::Wipe(given) => commands::wipe::run(given, context),
        Command::Verify(given) => commands::verify::run(given, context),
        Command::Backup(given) => commands::backup::backup(given, context),
        Command::Restore(given) => commands::backup::restore(given, context),
        Command::Erase(given) => commands::erase::run(given, context),
        Command::Selftest(given) => commands::selftest::run(given, context),
        Command::Devices(given) => commands::devices::run(given, context),
        Command::Discover(given) => commands::discover::run(given, context),
        Command::Export(given) => commands::export::run(given, context),
        Command::Broker(given) => commands::broker::run(given, context),
        Command::Simulate(given) => commands::simulate::run(given, context),
        Command::Firmware(given) => commands::firmware::run(given, context),
        Command::Doctor(given) => commands::doctor::run(given),
        Command::Profiles(given) => commands::profiles::run(given),
        Command::Completions(given) => {
            clap_complete::generate(
                given.shell,
                &mut Arguments::command(),
                "espbroker",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    }
}

fn loudness(given: &OutputArguments) -> Loudness {
    match (given.quiet, given.verbose) {
        (true, _) => Loudness::Quiet,
        (_, 0) => Loudness::Normal,
        (_, 1) => Loudness::Verbose,
        _ => Loudness::Trace,
    }
}

/// The first Ctrl-C asks for an end between two commands of the protocol; the second ends at once.
fn stop_on_interrupt(cancel: Cancel) {
    static ASKED: AtomicBool = AtomicBool::new(false);
    // Without a handler Ctrl-C still ends the program, only less gently.
    let _ = ctrlc::set_handler(move || {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        cancel.cancel();
    });
}

/// Prints a result.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // A reader that has seen enough, such as `head`, is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result.map_err(PrintError::Closed)?),
    }
}

/// Prints a result as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string(value).map_err(PrintError::Json)?;
    text.push('\n');
    print(&text)
}
