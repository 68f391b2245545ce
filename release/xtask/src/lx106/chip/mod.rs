//! `lx106 chip` and `lx106 symbols`: the image for the ESP8266.
//!
//! ```text
//! firmware/lx106/esp8266 --build--> object --symbols--> checked against sdk-symbols.txt
//!                                     |
//! SDK's headers, archives, scripts ---+--program--> ELF --budget--> checked --image--> boot loader, slot, descriptor
//! ```
//!
//! The SDK is Espressif's NONOS SDK, which the user has; nothing of it is in this project. What is built here was never
//! run by this: only a chip can.

mod budget;
mod image;
mod program;
mod sdk;
mod symbols;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use espbroker_config::image::check;

use self::{budget::Budget, program::Program, sdk::Sdk};
use crate::{
    lx106::{build, tools},
    process::{Failure, scratch},
};

/// The program's folder, and its name.
const PROGRAM: &str = "esp8266";

/// Where the SDK is and where the image goes.
#[derive(Debug, Args)]
pub(crate) struct Chip {
    /// Espressif's NONOS SDK, version 3.0.4 or later
    #[arg(long, value_name = "DIR", env = "ESP8266_NONOS_SDK")]
    sdk: PathBuf,
    /// Where to write the image for offset 0 of the flash
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Builds the image, and prints what it costs.
///
/// # Errors
///
/// When a tool or a part of the SDK is missing, the link fails, or the image is over its budget.
pub(crate) fn build_image(chip: &Chip) -> Result<(), Failure> {
    tools::require(tools::GCC)?;
    let sdk = Sdk::open(&chip.sdk)?;
    let object = checked_object()?;
    let folder = scratch().join("lx106/chip");
    fs::create_dir_all(&folder)?;
    let folder = fs::canonicalize(folder)?;
    let elf = program::link(&object, &sdk, &folder)?;
    let file = fs::read(&elf)?;
    let program = Program::read(&elf, &file)?;
    let image = image::build(&program, &sdk.boot_loader()?, env!("CARGO_PKG_VERSION"))?;
    println!("SDK {}, {}", sdk.version, elf.display());
    Budget::read()?.check_program(&program.figures)?;
    let output = chip.output.clone().unwrap_or_else(|| folder.join("espbroker-esp8266-4mb.bin"));
    fs::write(&output, &image)?;
    let descriptor = check(&image)?;
    println!("{}: {} bytes, sha256 {}", output.display(), image.len(), hex(&descriptor.digest));
    println!("never run on a chip by this task");
    Ok(())
}

/// Builds the object alone, and checks what it leaves open and what it costs.
///
/// # Errors
///
/// When it is not built, a symbol is not on the list or not used any more, or it is over its budget.
pub(crate) fn check_symbols() -> Result<(), Failure> {
    checked_object().map(drop)
}

fn checked_object() -> Result<PathBuf, Failure> {
    let object = build::build(PROGRAM)?;
    let count = symbols::check(&object, &build::workspace().join(PROGRAM).join("sdk-symbols.txt"))?;
    println!("{count} symbols open, as listed");
    Budget::read()?.check_object(&program::sections(&object)?)?;
    Ok(object)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path as an argument of a tool that takes text.
fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| format!("path is not UTF-8: {}", path.display()).into())
}
