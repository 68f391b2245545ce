//! Espressif's esptool against the virtual device over RFC 2217: it identifies, writes, verifies, reads and erases,
//! and the flash file then holds what it wrote, byte for byte. Of the two generations of stub that it ships, it uploads
//! each, and the device runs them as machine code. The project's own stub has to do for esptool as well.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    process::{self, Failure, Tally, root, scratch},
    watched::Watched,
};

/// The version that the checks were made with.
const VERSION: &str = "5.6.0";

/// An esptool and a virtual device to point it at.
struct Bench {
    esptool: PathBuf,
    port: String,
    flash: PathBuf,
    folder: PathBuf,
    loader: Loader,
}

/// Who answers on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loader {
    /// The boot ROM.
    Rom,
    /// A generation of Espressif's stub.
    Espressif(&'static str),
    /// The project's own.
    Own,
}

const LOADERS: [(&str, Loader); 4] = [
    ("boot ROM", Loader::Rom),
    ("stub, legacy", Loader::Espressif("1")),
    ("stub, current", Loader::Espressif("2")),
    ("the project's stub", Loader::Own),
];

/// Starts esptool with another stub; its first argument is the stub's image.
const OWN_STUB: &str = include_str!("esptool_own_stub.py");

/// Runs all checks with each of [`LOADERS`].
///
/// # Errors
///
/// When Python or esptool cannot be had, or the virtual device does not start.
pub(crate) fn run(program: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let esptool = install()?;
    for (name, loader) in LOADERS {
        let folder = tempfile::tempdir()?;
        let flash = folder.path().join("flash.bin");
        let arguments = ["simulate", "--quiet", "--rfc2217", "--pace=instant", "--flash"];
        let (_device, port) = Watched::virtual_device(Command::new(program).args(arguments).arg(&flash))?;
        let bench = Bench { esptool: esptool.clone(), port, flash, folder: folder.path().to_owned(), loader };
        bench.identify(name, tally);
        bench.write(name, tally);
        if loader != Loader::Rom {
            bench.stub_only(name, tally);
        }
    }
    Ok(())
}

impl Bench {
    /// Runs esptool and returns what it printed.
    fn esptool(&self, arguments: &[&str]) -> Result<String, Failure> {
        let common = ["--chip", "esp8266", "--port", &self.port];
        let mut command = match self.loader {
            Loader::Own => {
                let mut command = Command::new(self.esptool.with_file_name("python"));
                command.args(["-c", OWN_STUB]).arg(root().join("firmware/lx106/stub/stub.bin"));
                command
            }
            _ => Command::new(&self.esptool),
        };
        command.args(common);
        match self.loader {
            Loader::Rom => command.arg("--no-stub"),
            Loader::Espressif(generation) => command.args(["--stub-version", generation]),
            Loader::Own => &mut command,
        };
        process::run(command.args(arguments))
    }

    /// Runs esptool and looks for a text in what it prints.
    fn says(&self, arguments: &[&str], wanted: &str) -> Result<(), Failure> {
        let output = self.esptool(arguments)?;
        if output.contains(wanted) { Ok(()) } else { Err(format!("`{wanted}` is not in:\n{output}").into()) }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<String, Failure> {
        let path = self.folder.join(name);
        fs::write(&path, bytes)?;
        Ok(path.display().to_string())
    }

    /// Compares a span of the flash file.
    fn flash_holds(&self, offset: usize, wanted: &[u8]) -> Result<(), Failure> {
        let flash = fs::read(&self.flash)?;
        if flash.get(offset..).and_then(|rest| rest.get(..wanted.len())) == Some(wanted) {
            Ok(())
        } else {
            Err(format!("flash file differs from what was written at: {offset:#x}").into())
        }
    }

    fn identify(&self, loader: &str, tally: &mut Tally) {
        tally.check(&format!("esptool, {loader}: chip-id"), || self.says(&["chip-id"], "Chip ID:"));
        tally.check(&format!("esptool, {loader}: read-mac"), || self.says(&["read-mac"], "MAC:"));
        tally.check(&format!("esptool, {loader}: flash-id"), || self.says(&["flash-id"], "4MB"));
    }

    fn write(&self, loader: &str, tally: &mut Tally) {
        // pyserial takes 0.2 s for each command over RFC 2217, so more bytes would prove nothing but patience.
        let written = sample(20_000, 1);
        tally.check(&format!("esptool, {loader}: write-flash, byte for byte in the flash file"), || {
            let file = self.file("written.bin", &written)?;
            self.esptool(&["write-flash", "--flash-size", "keep", "0x10000", &file])?;
            self.flash_holds(0x1_0000, &written)?;
            self.flash_holds(0x1_0000 + 0x5000, &[0xFF; 4096])
        });
        tally.check(&format!("esptool, {loader}: write-flash again over other content"), || {
            let file = self.file("again.bin", &sample(5_000, 2))?;
            self.esptool(&["write-flash", "--flash-size", "keep", "0x10000", &file])?;
            self.flash_holds(0x1_0000, &sample(5_000, 2))
        });
    }

    fn stub_only(&self, loader: &str, tally: &mut Tally) {
        let written = sample(100_000, 3);
        tally.check(&format!("esptool, {loader}: write-flash at 460800 baud"), || {
            let file = self.file("fast.bin", &written)?;
            self.esptool(&["--baud", "460800", "write-flash", "--flash-size", "keep", "0x100000", &file])?;
            self.flash_holds(0x10_0000, &written)
        });
        tally.check(&format!("esptool, {loader}: write-flash without compression at 921600 baud"), || {
            let file = self.file("raw.bin", &sample(20_000, 5))?;
            let arguments = ["write-flash", "--no-compress", "--flash-size", "keep", "0x200000", &file];
            self.says(&[&["--baud", "921600"], &arguments[..]].concat(), "Hash of data verified")?;
            self.flash_holds(0x20_0000, &sample(20_000, 5))
        });
        tally.check(&format!("esptool, {loader}: verify-flash by MD5"), || {
            let file = self.file("fast.bin", &written)?;
            self.says(&["verify-flash", "--flash-size", "keep", "0x100000", &file], "uccessful")?;
            let other = self.file("other.bin", &sample(100_000, 4))?;
            match self.esptool(&["verify-flash", "--flash-size", "keep", "0x100000", &other]) {
                Ok(output) => Err(format!("other content passed as equal:\n{output}").into()),
                Err(refusal) if refusal.to_string().contains("Verification failed") => Ok(()),
                Err(other) => Err(other),
            }
        });
        tally.check(&format!("esptool, {loader}: read-flash at 921600 baud"), || {
            let path = self.folder.join("read.bin");
            let path_text = path.display().to_string();
            self.esptool(&["--baud", "921600", "read-flash", "0x100000", "100000", &path_text])?;
            if fs::read(path)? == written {
                Ok(())
            } else {
                Err("what was read differs from what was written".into())
            }
        });
        tally.check(&format!("esptool, {loader}: erase-region"), || {
            self.esptool(&["erase-region", "0x100000", "0x2000"])?;
            self.flash_holds(0x10_0000, &[0xFF; 0x2000])?;
            self.flash_holds(0x10_2000, written.get(0x2000..).unwrap_or_default())
        });
        tally.check(&format!("esptool, {loader}: erase-flash"), || {
            self.esptool(&["erase-flash"])?;
            self.flash_holds(0, &vec![0xFF; 0x40_0000])
        });
    }
}

/// A virtual environment with esptool in it, made once.
///
/// # Errors
///
/// When Python or esptool cannot be had.
pub(crate) fn install() -> Result<PathBuf, Failure> {
    let folder = scratch().join(format!("esptool-{VERSION}"));
    let esptool = folder.join("bin/esptool");
    if !esptool.exists() {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        process::run(Command::new(folder.join("bin/pip")).args([
            "install",
            "--quiet",
            &format!("esptool=={VERSION}"),
        ]))?;
    }
    Ok(esptool)
}

/// Bytes that look like nothing in particular and do not compress to nothing; the same in every run.
fn sample(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [.., low, high] = state.to_be_bytes().map(|byte| byte & 0x7F);
        low ^ high
    })
    .take(length)
    .collect()
}
