//! `firmware build`: the images for the ESP8266, from this project's source and Espressif's SDK.
//!
//! The build needs the source anyhow, and a compiler for the chip, so that it is a task of the source (`cargo xtask
//! lx106 chip`); here it is started and its results checked as `setup` checks an image.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::super::{CommandError, Context, refuse_existing};
use crate::{arguments::FirmwareBuildArguments, failure::Failure, image_file::Firmware, screen::Loudness};

/// What the build writes: the images for flash of 4 MB and of 1 MB.
const IMAGES: [&str; 2] = ["espbroker-esp8266-4mb.bin", "espbroker-esp8266-1mb.bin"];

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

/// Builds the images.
///
/// # Errors
///
/// When source, SDK or tools are missing, or an image does not come out right.
pub(super) fn run(given: &FirmwareBuildArguments, context: &Context) -> Result<(), Failure> {
    let FirmwareBuildArguments { sdk, source, output } = given;
    let images = IMAGES.map(|name| output.join(name));
    images.iter().try_for_each(|image| refuse_existing(image))?;
    if !source.join("firmware/lx106/esp8266/Cargo.toml").is_file() {
        return Err(FirmwareError::NoSource { path: source.clone() }.into());
    }
    let sdk = absolute(sdk, "include/version.h")?;
    let folder = std::path::absolute(output)
        .map_err(|source| CommandError::Save { path: output.display().to_string(), source })?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(source).args(["xtask", "lx106", "chip", "--sdk"]).arg(sdk).arg("--output").arg(folder);
    // What the build says is no result.
    let quiet = !context.screen.shows(Loudness::Normal);
    let told = if quiet { Stdio::null() } else { Stdio::from(io::stderr()) };
    // Behind what is still on its way to the terminal.
    let _ = io::stderr().flush();
    let status = cargo.stdin(Stdio::null()).stdout(told).status().map_err(FirmwareError::NoCargo)?;
    if !status.success() {
        return Err(FirmwareError::Build.into());
    }
    for image in images {
        let firmware = Firmware::read(&image)?;
        let (length, descriptor) = (firmware.bytes.len(), firmware.descriptor);
        let words = format!("{} for {} of flash: {length} bytes.", descriptor.version, descriptor.flash_map);
        context.screen.line(format!("Firmware {words}"));
        crate::print(&format!("{}\n", image.display()))?;
    }
    Ok(())
}

/// The SDK's folder for a program that runs elsewhere, when it holds a file of the SDK's.
fn absolute(folder: &Path, file: &str) -> Result<PathBuf, FirmwareError> {
    let no_sdk = |source| FirmwareError::NoSdk { path: folder.to_owned(), source };
    std::fs::metadata(folder.join(file)).map_err(no_sdk)?;
    std::path::absolute(folder).map_err(no_sdk)
}
