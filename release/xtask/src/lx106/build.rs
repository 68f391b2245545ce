//! One cargo build of a program of `firmware/lx106/`.
//!
//! The result depends on the sources, the compiler and the lock file, and on no folder's name: paths are remapped.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

use crate::{
    lx106::{library, link, tools},
    process::{self, Failure, root, scratch},
};

/// The part of a program's manifest that is for this task.
#[derive(Debug, Deserialize)]
struct Manifest {
    package: Package,
    #[serde(default)]
    bin: Vec<Binary>,
}

#[derive(Debug, Deserialize)]
struct Binary {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    metadata: Option<Metadata>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    lx106: Option<Settings>,
}

/// `[package.metadata.lx106]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `-Cpanic` of rustc; "immediate-abort" leaves out what a panic would say.
    panic: Option<String>,
}

/// The folder of the programs.
pub(crate) fn workspace() -> PathBuf {
    root().join("firmware/lx106")
}

/// Builds a program, named by its folder, and returns the path of the ELF file.
///
/// # Errors
///
/// When a tool is missing or the build fails.
pub(crate) fn build(program: &str) -> Result<PathBuf, Failure> {
    build_with(program, &[])
}

/// As [`build`], with features of the program's package.
///
/// # Errors
///
/// As [`build`].
pub(crate) fn build_with(program: &str, features: &[&str]) -> Result<PathBuf, Failure> {
    let manifest = workspace().join(program).join("Cargo.toml");
    let text = fs::read_to_string(&manifest)
        .map_err(|error| format!("no program `{program}` ({}: {error})", manifest.display()))?;
    let Manifest { package, bin } = toml::from_str(&text)?;
    let binary = bin.into_iter().next().map_or_else(|| package.name.clone(), |binary| binary.name);
    let settings = package.metadata.and_then(|metadata| metadata.lx106).unwrap_or_default();
    tools::require(tools::GCC)?;
    let target = target_folder()?;
    let status = cargo("build", &settings, &target)?
        .args(["--package", &package.name, "--bins", "--features", &features.join(",")])
        .env("CARGO_TARGET_LX106_LINKER", env::current_exe()?)
        .env("RUSTC_WRAPPER", env::current_exe()?)
        .env(link::AS_LINKER, "1")
        .status()?;
    if !status.success() {
        return Err(format!("`{program}` was not built: {status}").into());
    }
    Ok(target.join("lx106/release").join(binary))
}

/// The folder of the package `lwip`, which carries the C source of lwIP 2.2.
fn lwip() -> Result<PathBuf, Failure> {
    #[derive(Deserialize)]
    struct Packages {
        packages: Vec<Found>,
    }
    #[derive(Deserialize)]
    struct Found {
        name: String,
        manifest_path: PathBuf,
    }
    let text = process::run(Command::new("cargo").current_dir(workspace()).args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
    ]))?;
    // One line; cargo's own words come before it.
    let line = text.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    let Packages { packages } = serde_json::from_str(line)?;
    let found = packages.into_iter().find(|package| package.name == "lwip");
    let manifest = found.ok_or("the lock file of firmware/lx106 has no package `lwip`")?.manifest_path;
    Ok(manifest.parent().map(Path::to_owned).unwrap_or_default())
}

/// Runs clippy over all programs, as they are compiled for the LX106 and, with their tests, for the host.
///
/// # Errors
///
/// When a tool is missing or clippy has something to say.
pub(crate) fn clippy() -> Result<(), Failure> {
    tools::require(tools::GCC)?;
    let target = target_folder()?;
    let mut here = tools::rustup(tools::toolchain()?, "cargo");
    here.current_dir(workspace())
        .args(["clippy", "--quiet", "--locked", "--all-targets", "--target-dir"])
        .arg(&target);
    let there = || cargo("clippy", &Settings::default(), &target);
    for (mut command, packages) in [
        (there()?, &["--workspace", "--exclude", OWN_PANICS[0], "--exclude", OWN_PANICS[1]][..]),
        (there()?, &["--package", OWN_PANICS[0], "--package", OWN_PANICS[1]]),
        (here, &["--workspace"]),
    ] {
        let status = command.args(packages).args(["--", "-Dwarnings"]).status()?;
        if !status.success() {
            return Err(format!("clippy: {status}").into());
        }
    }
    Ok(())
}

/// Have panic handlers besides the runtime's for QEMU, which the runtime has as soon as one of the packages that are
/// compiled together wants it.
const OWN_PANICS: [&str; 2] = ["espbroker-esp8266", "espbroker-virtual-board"];

fn target_folder() -> Result<PathBuf, Failure> {
    Ok(std::path::absolute(scratch())?.join("lx106"))
}

/// A command of cargo for the LX106, with the standard library compiled along.
fn cargo(subcommand: &str, settings: &Settings, target: &Path) -> Result<Command, Failure> {
    let toolchain = tools::toolchain()?;
    let library = library::find(toolchain)?;
    let mut command = tools::rustup(toolchain, "cargo");
    command
        .current_dir(workspace())
        .args([
            subcommand,
            "--release",
            "--quiet",
            "--locked",
            "--target",
            "lx106.json",
            "-Zjson-target-spec",
        ])
        .args(["-Zbuild-std=core,alloc,compiler_builtins", "-Zbuild-std-features=compiler-builtins-mem"])
        .arg("--target-dir")
        .arg(target)
        // The one variable by which cargo takes the library from elsewhere than the toolchain.
        .env("__CARGO_TESTS_ONLY_SRC_ROOT", &library)
        .env("ESPBROKER_LWIP", lwip()?)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(settings, &library)?.join("\x1f"));
    Ok(command)
}

/// SHA-2 with its rounds in loops: unrolled, SHA-512 alone takes 48 KB of flash.
const COMPACT: &str = "--cfg=sha2_backend_soft=\"compact\"";

/// Flags of rustc: assembly for the linker, names in place of folders, and small code.
fn flags(settings: &Settings, library: &Path) -> Result<Vec<String>, Failure> {
    let mut flags = vec!["--emit=asm".to_owned(), COMPACT.to_owned()];
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
        .unwrap_or_default();
    for (folder, name) in [(workspace(), "lx106"), (library.to_owned(), "library"), (cargo_home, "cargo")] {
        if folder.exists() {
            flags.push(format!("--remap-path-prefix={}={name}", fs::canonicalize(folder)?.display()));
        }
    }
    if let Some(panic) = &settings.panic {
        flags.extend([format!("-Cpanic={panic}"), "-Zunstable-options".to_owned()]);
    }
    Ok(flags)
}
