//! The flasher stub as it is in the repository: an ESP8266 RAM image and its SHA-256.
//!
//! The checked-in bytes are those that this builds; [`check`] says whether they still are.

use std::fs;

use espbroker_config::image::{BootHeader, boot_image};

use crate::{
    lx106::{
        build, elf,
        kept::{self, Kept},
    },
    process::Failure,
};

const PROGRAM: &str = "stub";
const KEPT: Kept = Kept { program: PROGRAM, image: "stub.bin", task: "stub" };

/// Builds the stub and writes image and digest.
///
/// # Errors
///
/// When the build fails or the files cannot be written.
pub(crate) fn write() -> Result<(), Failure> {
    kept::write(&KEPT, &image()?)
}

/// Builds the stub and compares it with the files.
///
/// # Errors
///
/// When the build fails, or a byte differs.
pub(crate) fn check() -> Result<(), Failure> {
    kept::check(&KEPT, &image()?)
}

fn image() -> Result<Vec<u8>, Failure> {
    let file = fs::read(build::build(PROGRAM)?)?;
    let mut program = elf::read(&file)?;
    // Instruction RAM first: the data may lie where the boot ROM's loader receives.
    program.segments.sort_by_key(|segment| std::cmp::Reverse(segment.address));
    for segment in &program.segments {
        println!("{:08x}: {} bytes", segment.address, segment.data.len());
    }
    Ok(boot_image(&BootHeader::dout_4m(program.entry), &program.segments)?)
}
