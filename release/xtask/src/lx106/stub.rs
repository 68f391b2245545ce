//! The flasher stub as it is in the repository: an ESP8266 RAM image and its SHA-256.
//!
//! The checked-in bytes are those that this builds; [`check`] says whether they still are.

use std::{fs, path::PathBuf};

use espbroker_config::image::{BootHeader, boot_image};
use sha2::{Digest as _, Sha256};

use crate::{
    lx106::{build, elf},
    process::Failure,
};

const PROGRAM: &str = "stub";

fn image_path() -> PathBuf {
    build::workspace().join(PROGRAM).join("stub.bin")
}

fn digest_path() -> PathBuf {
    build::workspace().join(PROGRAM).join("stub.bin.sha256")
}

/// Builds the stub and writes image and digest.
///
/// # Errors
///
/// When the build fails or the files cannot be written.
pub(crate) fn write() -> Result<(), Failure> {
    let image = image()?;
    fs::write(image_path(), &image)?;
    fs::write(digest_path(), digest_line(&image))?;
    println!("stub.bin: {} bytes", image.len());
    Ok(())
}

/// Builds the stub and compares it with the files.
///
/// # Errors
///
/// When the build fails, or a byte differs.
pub(crate) fn check() -> Result<(), Failure> {
    let (built, kept) = (image()?, fs::read(image_path())?);
    if fs::read_to_string(digest_path())? != digest_line(&kept) {
        return Err("stub.bin.sha256 is not the digest of stub.bin: cargo xtask lx106 stub".into());
    }
    if built != kept {
        let same = built.iter().zip(&kept).take_while(|(built, kept)| built == kept).count();
        let (built, kept) = (built.len(), kept.len());
        return Err(format!(
            "stub.bin has {kept} bytes, its source makes {built}, and the first {same} are the same: cargo xtask \
             lx106 stub"
        )
        .into());
    }
    println!("stub.bin: {} bytes, as its source makes them", kept.len());
    Ok(())
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

/// As `sha256sum` prints it, and checks it with `-c`.
fn digest_line(image: &[u8]) -> String {
    let digest: String = Sha256::digest(image).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digest}  stub.bin\n")
}
