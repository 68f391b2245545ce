//! Client libraries of others against `espbroker broker`: paho-mqtt and MQTT.js.
//!
//! Each script does several checks and prints a line for each, `ok NAME` or `FAILED NAME: why`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    process::{self, Failure, Tally, scratch},
    stage::Stage,
};

/// From PyPI.
const PAHO: &str = "paho-mqtt==2.1.0";
/// From the npm registry.
const MQTT_JS: &str = "mqtt@5.14.1";

/// Runs all scripts.
///
/// # Errors
///
/// When Python or Node is missing, or a library cannot be installed.
pub(crate) fn run(program: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let stage = Stage::new(program)?;
    let ports = Stage::ports()?;
    let [mqtt, websocket] = ports;
    let _broker = stage.ours("home", mqtt, "", &["--websocket-port", &websocket.to_string()])?;
    with(ports, "", tally)
}

/// Runs all scripts with a broker that others have started, with the users of [`Stage::ours`]; `whose` goes before their
/// names.
///
/// # Errors
///
/// When Python or Node is missing, or a library cannot be installed.
pub(crate) fn with(ports: [u16; 2], whose: &str, tally: &mut Tally) -> Result<(), Failure> {
    let folder = scratch().join("libraries-check");
    fs::create_dir_all(&folder)?;
    let ports = ports.map(|port| port.to_string());
    let python = python(&folder)?;
    script(
        tally,
        &format!("{whose}paho-mqtt"),
        Command::new(python).arg(file(&folder, "with_paho.py", include_str!("paho.py"))?).args(&ports),
    );
    let modules = node_modules(&folder)?;
    script(
        tally,
        &format!("{whose}MQTT.js"),
        Command::new("node")
            .current_dir(&modules)
            .arg(file(&modules, "mqttjs.mjs", include_str!("mqttjs.mjs"))?)
            .args(&ports),
    );
    Ok(())
}

fn file(folder: &Path, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

fn python(folder: &Path) -> Result<PathBuf, Failure> {
    let environment = folder.join("python");
    let python = environment.join("bin/python");
    if !python.exists() {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        process::run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", PAHO]))?;
    }
    Ok(python)
}

fn node_modules(folder: &Path) -> Result<PathBuf, Failure> {
    let modules = folder.join("node");
    if !modules.join("node_modules/mqtt").exists() {
        fs::create_dir_all(&modules)?;
        process::run(Command::new("npm").current_dir(&modules).args([
            "install",
            "--silent",
            "--no-fund",
            "--no-audit",
            "--prefix",
            ".",
            MQTT_JS,
        ]))?;
    }
    Ok(modules)
}

/// Runs a script and counts each of its lines.
pub(crate) fn script(tally: &mut Tally, name: &str, command: &mut Command) {
    let output = match process::run(command) {
        Ok(output) => output,
        Err(failure) => return tally.check(name, || Err(failure)),
    };
    for line in output.lines() {
        if let Some(what) = line.strip_prefix("ok ") {
            tally.check(&format!("{name}: {what}"), || Ok(()));
        } else if let Some((what, why)) = line.strip_prefix("FAILED ").and_then(|rest| rest.split_once(": "))
        {
            tally.check(&format!("{name}: {what}"), || Err(why.into()));
        }
    }
    if !output.lines().any(|line| line == "end") {
        tally.check(name, || Err(format!("the script did not come to its end:\n{output}").into()));
    }
}
