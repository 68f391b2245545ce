//! `firmware build`: the image for the ESP8266, from this project's source and Espressif's SDK.
//!
//! The build needs the source anyhow, and a compiler for the chip, so that it is a task of the source (`cargo xtask
//! lx106 chip`); here it is started and its result checked as `setup` checks an image.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::super::{CommandError, Context, refuse_existing};
use crate::{arguments::FirmwareBuildArguments, failure::Failure, image_file::Firmware, screen::Loudness};

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirmwareError {
    #[error("no source of espbroker in `{}`", path.display())]
    NoSource { path: PathBuf },
    #[error("no NONOS SDK in `{}`", path.display())]
    NoSdk {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start `cargo`")]
    NoCargo(#[source] io::Error),
    #[error("the build failed; its own message is above")]
    Build,
}

/// Builds the image.
///
/// # Errors
///
/// When source, SDK or tools are missing, or the image does not come out right.
pub(super) fn run(given: &FirmwareBuildArguments, context: &Context) -> Result<(), Failure> {
    let FirmwareBuildArguments { sdk, source, output } = given;
    refuse_existing(output)?;
    if !source.join("firmware/lx106/esp8266/Cargo.toml").is_file() {
        return Err(FirmwareError::NoSource { path: source.clone() }.into());
    }
    let sdk = absolute(sdk, "include/version.h")?;
    let image = std::path::absolute(output)
        .map_err(|source| CommandError::Save { path: output.display().to_string(), source })?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(source).args(["xtask", "lx106", "chip", "--sdk"]).arg(sdk).arg("--output").arg(image);
    // What the build says is no result.
    let quiet = !context.screen.shows(Loudness::Normal);
    let told = if quiet { Stdio::null() } else { Stdio::from(io::stderr()) };
    // Behind what is still on its way to the terminal.
    let _ = io::stderr().flush();
    let status = cargo.stdin(Stdio::null()).stdout(told).status().map_err(FirmwareError::NoCargo)?;
    if !status.success() {
        return Err(FirmwareError::Build.into());
    }
    let firmware = Firmware::read(output)?;
    let length = firmware.bytes.len();
    context.screen.line(format!("Firmware {} of {length} bytes.", firmware.descriptor.version));
    crate::print(&format!("{}\n", output.display()))
}

/// The SDK's folder for a program that runs elsewhere, when it holds a file of the SDK's.
fn absolute(folder: &Path, file: &str) -> Result<PathBuf, FirmwareError> {
    let no_sdk = |source| FirmwareError::NoSdk { path: folder.to_owned(), source };
    std::fs::metadata(folder.join(file)).map_err(no_sdk)?;
    std::path::absolute(folder).map_err(no_sdk)
}
