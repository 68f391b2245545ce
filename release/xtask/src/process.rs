//! Programs that a task starts: their output, their end, and what to say when they are missing.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// Why a task failed; the text says what to do.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where tasks put what can be made again.
pub(crate) fn scratch() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Builds the release program and returns its path.
///
/// # Errors
///
/// When the build fails.
pub(crate) fn program() -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).current_dir(root()).args(["build", "--release", "--package", "espbroker"]))?;
    Ok(scratch().join("release").join(format!("espbroker{}", std::env::consts::EXE_SUFFIX)))
}

/// Runs to the end and returns what was printed on both streams.
///
/// # Errors
///
/// When the program is missing or ends with another code than 0; the error carries its output.
pub(crate) fn run(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| missing(&name, &error))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("`{name}` ended with {}:\n{text}", output.status).into())
    }
}

pub(crate) fn missing(name: &str, error: &io::Error) -> Failure {
    let install = match name {
        "gcc" => "apt-get install gcc-multilib",
        "mosquitto" => "apt-get install mosquitto",
        "node" | "npm" => "apt-get install nodejs npm",
        "mosquitto_passwd" => "apt-get install mosquitto",
        "mosquitto_pub" | "mosquitto_sub" => "apt-get install mosquitto-clients",
        "python3" => "apt-get install python3 python3-venv",
        "tmux" => "apt-get install tmux",
        "qemu-system-xtensa" => "apt-get install qemu-system-misc",
        "rustup" => "see https://rustup.rs",
        "xtensa-lx106-elf-gcc" => "apt-get install gcc-xtensa-lx106",
        "valgrind" => "apt-get install valgrind",
        "cargo-fuzz" => "cargo install cargo-fuzz --locked",
        _ => "see CONTRIBUTING.md",
    };
    format!("cannot start `{name}` ({error}): {install}").into()
}

/// Counts what passed, and prints it as it happens.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    /// Runs one check.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<(), Failure>) {
        self.check_told(name, || check().map(|()| String::new()));
    }

    /// Runs one check that has something to tell when it passed.
    pub(crate) fn check_told(&mut self, name: &str, check: impl FnOnce() -> Result<String, Failure>) {
        let begun = Instant::now();
        let result = check();
        let seconds = begun.elapsed().as_secs_f64();
        match result {
            Ok(told) => {
                self.passed += 1;
                let colon = if told.is_empty() { "" } else { ": " };
                println!("ok     {seconds:>6.1} s  {name}{colon}{told}");
            }
            Err(failure) => {
                self.failed += 1;
                println!("FAILED {seconds:>6.1} s  {name}\n{failure}");
            }
        }
    }

    /// Prints the closing line.
    ///
    /// # Errors
    ///
    /// When anything failed, or nothing ran.
    pub(crate) fn close(&self) -> Result<(), Failure> {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 && self.passed > 0 { Ok(()) } else { Err("not everything passed".into()) }
    }
}
