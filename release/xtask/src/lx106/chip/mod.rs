//! `lx106 chip` and `lx106 symbols`: the images for the ESP8266, one for each flash map.
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
use espbroker_config::{flash_map::FlashMap, image::check};

use self::{budget::Budget, program::Program, sdk::Sdk};
use crate::{
    lx106::{build, tools},
    process::{Failure, scratch},
};

/// The program's folder, and its name.
const PROGRAM: &str = "esp8266";

/// The maps, the feature of the program that stands for each, and the image's name.
const VARIANTS: [(FlashMap, &[&str], &str); 2] = [
    (FlashMap::Map4M, &[], "espbroker-esp8266-4mb.bin"),
    (FlashMap::Map1M, &["flash-1mb"], "espbroker-esp8266-1mb.bin"),
];

/// Where the SDK is and where the images go.
#[derive(Debug, Args)]
pub(crate) struct Chip {
    /// Espressif's NONOS SDK, version 3.0.4 or later
    #[arg(long, value_name = "DIR", env = "ESP8266_NONOS_SDK")]
    sdk: PathBuf,
    /// Where to write the images for offset 0 of the flash
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Builds the images, and prints what they cost.
///
/// # Errors
///
/// When a tool or a part of the SDK is missing, the link fails, or an image is over its budget.
pub(crate) fn build_images(chip: &Chip) -> Result<(), Failure> {
    tools::require(tools::GCC)?;
    let sdk = Sdk::open(&chip.sdk)?;
    println!("SDK {}", sdk.version);
    for (map, features, name) in VARIANTS {
        build_image(chip, &sdk, map, features, name)?;
    }
    println!("never run on a chip by this task");
    Ok(())
}

fn build_image(chip: &Chip, sdk: &Sdk, map: FlashMap, features: &[&str], name: &str) -> Result<(), Failure> {
    let object = checked_object(features)?;
    let folder = scratch().join("lx106/chip");
    fs::create_dir_all(&folder)?;
    let folder = fs::canonicalize(folder)?;
    let elf = program::link(&object, sdk, &folder)?;
    let file = fs::read(&elf)?;
    let program = Program::read(&elf, &file)?;
    let image = image::build(&program, &sdk.boot_loader()?, map, env!("CARGO_PKG_VERSION"))?;
    Budget::read()?.check_program(&program.figures)?;
    let output = chip.output.as_ref().unwrap_or(&folder).join(name);
    fs::write(&output, &image)?;
    let descriptor = check(&image)?;
    println!("{}: {} bytes, sha256 {}", output.display(), image.len(), hex(&descriptor.digest));
    Ok(())
}

/// Builds the objects alone, and checks what they leave open and what they cost.
///
/// # Errors
///
/// When it is not built, a symbol is not on the list or not used any more, or it is over its budget.
pub(crate) fn check_symbols() -> Result<(), Failure> {
    VARIANTS.iter().try_for_each(|(_, features, _)| checked_object(features).map(drop))
}

fn checked_object(features: &[&str]) -> Result<PathBuf, Failure> {
    let object = build::build_with(PROGRAM, features)?;
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
