//! The program that the virtual ESP8266 executes, as it is in the repository: an image with room for a descriptor, and
//! its SHA-256.
//!
//! | offset | what |
//! |---|---|
//! | 0 | a boot image (`E9`) with what goes to RAM |
//! | 0x8000 | room for the descriptor, `FF`, which whoever makes an image of this seals |
//! | 0x8080 | code that runs from flash, seen at 0x40208080 |
//!
//! The checked-in bytes are those that this builds; [`check`] says whether they still are.

use std::fs;

use espbroker_config::image::{BootHeader, DESCRIPTOR_LENGTH, boot_image};

use crate::{
    lx106::{
        build, elf,
        kept::{self, Kept},
    },
    process::Failure,
};

const PROGRAM: &str = "virtual-board";
const KEPT: Kept = Kept { program: PROGRAM, image: "virtual.bin", task: "virtual" };

/// Where the cache shows the flash.
const WINDOW: u32 = 0x4020_0000;
/// Where the room for the descriptor is, in flash.
const DESCRIPTOR: usize = 0x8000;

/// Builds the program and writes image and digest.
///
/// # Errors
///
/// When the build fails or the files cannot be written.
pub(crate) fn write() -> Result<(), Failure> {
    kept::write(&KEPT, &image()?)
}

/// Builds the program and compares it with the files.
///
/// # Errors
///
/// When the build fails, or a byte differs.
pub(crate) fn check() -> Result<(), Failure> {
    kept::check(&KEPT, &image()?)
}

fn image() -> Result<Vec<u8>, Failure> {
    let file = fs::read(build::build(PROGRAM)?)?;
    let program = elf::read(&file)?;
    for segment in &program.segments {
        println!("{:08x}: {} bytes", segment.address, segment.data.len());
    }
    let (flash, ram): (Vec<_>, Vec<_>) =
        program.segments.into_iter().partition(|segment| segment.address >= WINDOW);
    let [code] = flash.as_slice() else {
        return Err("the program has not one piece of code in flash".into());
    };
    let code_at = DESCRIPTOR + DESCRIPTOR_LENGTH;
    if code.address != WINDOW + u32::try_from(code_at)? {
        return Err(format!("the program's code is not linked for its place: {:#010x}", code.address).into());
    }
    let mut image = boot_image(&BootHeader::dout_4m(program.entry), &ram)?;
    if image.len() > DESCRIPTOR {
        return Err(format!("what goes to RAM is longer than {DESCRIPTOR} bytes: {}", image.len()).into());
    }
    image.resize(code_at, 0xFF);
    image.extend(code.data);
    Ok(image)
}
