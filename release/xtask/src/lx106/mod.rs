//! `lx106`: programs for the ESP8266's CPU, in `firmware/lx106/`.
//!
//! rustc's back end for the CPU writes right assembly and wrong object files. So xtask poses as rustc's linker:
//! [`build`] runs cargo with this program as the linker, which then, in [`link`], takes the assembly beside each object
//! through [`assembly`] and GNU `as`, and links that with GNU `ld`.

mod assembly;
pub(crate) mod build;
mod check;
mod chip;
mod compare;
mod compiler;
mod elf;
mod kept;
mod library;
mod link;
mod stub;
pub(crate) mod tools;
mod virtual_board;

use clap::Subcommand;

use crate::process::Failure;

/// What to do with the programs.
#[derive(Debug, Subcommand)]
pub(crate) enum Lx106 {
    /// Build a program of firmware/lx106
    Build {
        /// Its folder
        program: String,
    },
    /// Run the self-check on QEMU's LX106 and on the host, and compare
    Check,
    /// Run random instructions and the self-check on the interpreter and on QEMU's LX106, and compare
    Compare(compare::Compare),
    /// Build the images for the ESP8266 with Espressif's NONOS SDK
    Chip(chip::Chip),
    /// Lint the programs, as they are for the LX106 and for the host
    Clippy,
    /// Build the ESP8266's objects without an SDK, and check what they leave open
    Symbols,
    /// Build the flasher stub and write stub.bin and its digest
    Stub {
        /// Compare with the files instead
        #[arg(long)]
        check: bool,
    },
    /// Build the program that the virtual device executes, and write virtual.bin and its digest
    Virtual {
        /// Compare with the files instead
        #[arg(long)]
        check: bool,
    },
}

/// Runs the task.
///
/// # Errors
///
/// When a tool is missing, a program does not build, or a check fails.
pub(crate) fn run(task: &Lx106) -> Result<(), Failure> {
    match task {
        Lx106::Build { program } => {
            let built = build::build(program)?;
            println!("{}", built.display());
            Ok(())
        }
        Lx106::Check => check::run(),
        Lx106::Compare(options) => compare::run(options),
        Lx106::Chip(chip) => chip::build_images(chip),
        Lx106::Symbols => chip::check_symbols(),
        Lx106::Clippy => build::clippy(),
        Lx106::Stub { check: true } => stub::check(),
        Lx106::Stub { check: false } => stub::write(),
        Lx106::Virtual { check: true } => virtual_board::check(),
        Lx106::Virtual { check: false } => virtual_board::write(),
    }
}

/// Does rustc's linking when rustc started this program as its linker, and cargo's calls of rustc when cargo started it as
/// rustc's wrapper; `None` otherwise.
pub(crate) fn as_tool() -> Option<Result<(), Failure>> {
    std::env::var_os(link::AS_LINKER)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    Some(if compiler::is_called(&arguments) {
        compiler::run(&arguments)
    } else {
        link::run(arguments.into_iter())
    })
}
