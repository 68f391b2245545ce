//! A release, from a checkout to a folder that can be published: build, sign, compile in, check, build once more.
//!
//! The firmware is signed first and then compiled into the program, so that what `setup` flashes without a network is
//! what was signed. Nothing is published here; see `release/CHECKLIST.md`.

mod key;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use espbroker_virtual_device::image as virtual_image;
use sha2::{Digest as _, Sha256};

use self::key::SigningKey;
use crate::process::{self, Failure, Tally, root, scratch};

/// Version of everything in the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Args, Debug)]
pub(crate) struct Release {
    /// Sign with a key made for this run, whose public half is compiled in instead of release/keys; not to be published
    #[arg(long, conflicts_with = "secret_key", required_unless_present = "secret_key")]
    test_key: bool,
    /// Sign with this secret key of minisign; asks for its passphrase
    #[arg(long, value_name = "FILE")]
    secret_key: Option<PathBuf>,
    /// Firmware image for a machine; may be repeated. The virtual device's is always there
    #[arg(long = "image", value_name = "FILE")]
    images: Vec<PathBuf>,
    /// Address that `firmware fetch` asks by itself
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Build once only, without comparing two builds
    #[arg(long)]
    once: bool,
    /// Where to put the release; must not exist yet [default: release in the target folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Does all steps.
///
/// # Errors
///
/// When a step fails, with what to do about it.
pub(crate) fn run(given: &Release) -> Result<(), Failure> {
    let output = given.output.clone().unwrap_or_else(|| scratch().join("release-folder"));
    if output.exists() {
        return Err(format!(
            "{} is there already: remove it, or name another with --output",
            output.display()
        )
        .into());
    }
    let mut tally = Tally::default();
    if !given.test_key {
        tally.check("the checkout is what will be published", is_committed);
        tally.check("CHANGELOG.md has an entry for this version", has_changelog);
        tally.close()?;
    }
    let work = tempfile::tempdir()?;
    let key = match &given.secret_key {
        Some(path) => SigningKey::read(path)?,
        None => SigningKey::for_test()?,
    };
    let keys = key.public_folder(work.path())?;
    let firmware = output.join("firmware");
    fs::create_dir_all(&output)?;

    println!("building the program that makes the release");
    let environment = |folder: Option<&Path>| Environment {
        keys: keys.clone(),
        folder: folder.map(Path::to_owned),
        source: given.source.clone(),
    };
    let tool = environment(None).build(&scratch())?;
    bundle(&tool, given, work.path(), &firmware)?;
    let manifest = fs::read(firmware.join("manifest.json"))?;
    fs::write(firmware.join("manifest.json.minisig"), key.sign(&manifest, "manifest.json")?)?;

    println!("building the program with the signed firmware in it");
    let finished = environment(Some(&firmware));
    let built = finished.build(&scratch())?;
    let name = format!("espbroker-{VERSION}-{}", platform()?);
    let program = output.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    fs::copy(&built, &program)?;

    let home = work.path().join("home");
    tally.check("the program trusts the folder", || {
        run_program(&program, &home, &["firmware", "verify", &firmware.display().to_string()]).map(drop)
    });
    tally.check("the program carries the signed firmware, and trusts it", || {
        let list = run_program(&program, &home, &["firmware", "list", "--json"])?;
        let list: serde_json::Value = serde_json::from_str(&list)?;
        let first = list.pointer("/releases/0/trust").and_then(serde_json::Value::as_str);
        if first == Some("signed") { Ok(()) } else { Err(format!("the first release is {first:?}").into()) }
    });
    tally.check("a changed manifest is refused", || {
        let changed = work.path().join("changed");
        copy_folder(&firmware, &changed)?;
        fs::OpenOptions::new().append(true).open(changed.join("manifest.json"))?.write_all(b" ")?;
        match run_program(&program, &home, &["firmware", "verify", &changed.display().to_string()]) {
            Err(failure) if failure.to_string().contains("not what was signed") => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    });
    tally.check("a simulated board is set up with it", || {
        run_program(&program, &home, &["setup", "--simulate", "--pace", "instant", "-q"]).map(drop)
    });
    if !given.once {
        tally.check("a second build, in another folder, gives the same program", || {
            let other = work.path().join("target");
            let again = finished.build(&other)?;
            let (first, second) = (sha256(&built)?, sha256(&again)?);
            if first == second { Ok(()) } else { Err(format!("{first} and {second}").into()) }
        });
    }
    tally.close()?;
    sums(&output, &key)?;
    println!("{}", output.display());
    if given.test_key {
        println!("signed with a key of this run: for trying, not for publishing");
    }
    Ok(())
}

/// What a build takes in.
struct Environment {
    keys: Option<PathBuf>,
    folder: Option<PathBuf>,
    source: Option<String>,
}

impl Environment {
    /// Builds the program in a target folder; paths of this computer do not get into it.
    fn build(&self, target: &Path) -> Result<PathBuf, Failure> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let root = root().canonicalize()?;
        fs::create_dir_all(target)?;
        let target = target.canonicalize()?;
        let home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
            .ok_or("neither CARGO_HOME nor HOME is set")?;
        let remap = [(&root, "/espbroker"), (&target, "/target"), (&home, "/cargo")]
            .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        let mut command = Command::new(cargo);
        command
            .current_dir(&root)
            .args(["build", "--release", "--locked", "--package", "espbroker"])
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_ENCODED_RUSTFLAGS", remap.join("\u{1f}"))
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("ESPBROKER_RELEASE_KEYS")
            .env_remove("ESPBROKER_RELEASE_FOLDER")
            .env_remove("ESPBROKER_RELEASE_SOURCE");
        if let Some(keys) = &self.keys {
            command.env("ESPBROKER_RELEASE_KEYS", keys);
        }
        if let Some(folder) = &self.folder {
            command.env("ESPBROKER_RELEASE_FOLDER", folder.canonicalize()?);
        }
        if let Some(source) = &self.source {
            command.env("ESPBROKER_RELEASE_SOURCE", source);
        }
        process::run(&mut command)?;
        Ok(target.join("release").join(format!("espbroker{}", std::env::consts::EXE_SUFFIX)))
    }
}

/// Makes the firmware folder, dated by the commit.
fn bundle(tool: &Path, given: &Release, work: &Path, folder: &Path) -> Result<(), Failure> {
    let date = process::run(Command::new("git").current_dir(root()).args(["log", "-1", "--format=%cs"]))?;
    let image = work.join("virtual.bin");
    fs::write(&image, virtual_image::build(VERSION)?)?;
    let mut command = Command::new(tool);
    command.args(["firmware", "bundle", "--released", date.trim(), "--image"]).arg(&image);
    for image in &given.images {
        command.arg("--image").arg(image);
    }
    print!("{}", process::run(command.arg(folder))?);
    Ok(())
}

fn run_program(program: &Path, home: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new(program);
    command.args(arguments).env("HOME", home);
    for variable in ["XDG_CACHE_HOME", "XDG_DATA_HOME", "ESPBROKER_KEY_FILE"] {
        command.env_remove(variable);
    }
    process::run(&mut command)
}

/// What the compiler calls this computer.
fn platform() -> Result<String, Failure> {
    let text = process::run(Command::new("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not name its host")?.to_owned())
}

fn is_committed() -> Result<(), Failure> {
    let changed = process::run(Command::new("git").current_dir(root()).args(["status", "--porcelain"]))?;
    if changed.is_empty() { Ok(()) } else { Err(format!("not committed:\n{changed}").into()) }
}

fn has_changelog() -> Result<(), Failure> {
    let text = fs::read_to_string(root().join("release/CHANGELOG.md"))?;
    let heading = format!("## {VERSION} ");
    if text.lines().any(|line| line.starts_with(&heading)) {
        Ok(())
    } else {
        Err(format!("release/CHANGELOG.md has no line that begins with `{heading}`").into())
    }
}

fn sha256(path: &Path) -> Result<String, Failure> {
    Ok(Sha256::digest(fs::read(path)?).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Digests of the programs, as `sha256sum -c` takes them, and their signature.
fn sums(output: &Path, key: &SigningKey) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(output)? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            lines.push(format!("{}  {name}\n", sha256(&path)?));
        }
    }
    lines.sort();
    let text = lines.concat();
    fs::write(output.join("SHA256SUMS"), &text)?;
    fs::write(output.join("SHA256SUMS.minisig"), key.sign(text.as_bytes(), "SHA256SUMS")?)?;
    Ok(())
}
