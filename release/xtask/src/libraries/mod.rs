//! Client libraries and a broker of others against `espbroker broker`: paho-mqtt, MQTT.js, and mosquitto over a bridge.
//!
//! Each script does several checks and prints a line for each, `ok NAME` or `FAILED NAME: why`.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::{self, Background, Failure, Tally, scratch};

/// From PyPI.
const PAHO: &str = "paho-mqtt==2.1.0";
/// From the npm registry.
const MQTT_JS: &str = "mqtt@5.14.1";

/// Runs all scripts.
///
/// # Errors
///
/// When Python, Node or mosquitto is missing, or a library cannot be installed.
pub(crate) fn run(program: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let folder = scratch().join("libraries-check");
    fs::create_dir_all(&folder)?;
    let [mqtt, websocket, remote] = free_ports()?;
    let _mosquitto = mosquitto(&folder, remote)?;
    let _broker = broker(program, &folder, "broker", mqtt, websocket, &bridge(remote, "secret"))?;
    let [lonely, unused, _] = free_ports()?;
    let _refused = broker(program, &folder, "refused", lonely, unused, &bridge(remote, "wrong"))?;

    let python = python(&folder)?;
    let ports = [mqtt, websocket, remote, lonely].map(|port| port.to_string());
    script(
        tally,
        "paho-mqtt",
        Command::new(python).arg(file(&folder, "with_paho.py", include_str!("paho.py"))?).args(&ports),
    );
    let modules = node_modules(&folder)?;
    script(
        tally,
        "MQTT.js",
        Command::new("node")
            .current_dir(&modules)
            .arg(file(&modules, "mqttjs.mjs", include_str!("mqttjs.mjs"))?)
            .args(&ports),
    );
    Ok(())
}

/// Ports that were free a moment ago.
fn free_ports() -> Result<[u16; 3], Failure> {
    let listener = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = [listener()?, listener()?, listener()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn file(folder: &Path, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

/// The settings of a bridge to the mosquitto on `port`.
fn bridge(port: u16, password: &str) -> String {
    format!(
        r#"
        [[bridges]]
        name = "lan"
        host = "127.0.0.1"
        port = {port}
        user = "bridge"
        password = "{password}"
        restart_base = 1
        restart_cap = 2
        topics = [{{ pattern = "shared/#", direction = "both", qos = 1, remote_prefix = "house/" }}]
        "#
    )
}

fn broker(
    program: &Path,
    folder: &Path,
    name: &str,
    mqtt: u16,
    websocket: u16,
    bridges: &str,
) -> Result<Background, Failure> {
    let settings = format!(
        r#"
        name = "{name}"
        [broker]
        mqtt_port = {mqtt}
        websocket_port = {websocket}
        sys_interval = 1
        users = [
            {{ name = "home", password = "secret" }},
            {{ name = "guest", password = "secret", permissions = [{{ pattern = "open/#", access = "read" }}] }},
        ]
        {bridges}
        "#
    );
    let settings = file(folder, &format!("{name}.toml"), &settings)?;
    let arguments = ["broker", "--quiet", "--json", "--config"].map(Path::new);
    let arguments = arguments.into_iter().chain([settings.as_path()]).collect::<Vec<_>>();
    Background::start(program, &arguments).map(|(broker, _)| broker)
}

/// Debian's mosquitto with one user.
fn mosquitto(folder: &Path, port: u16) -> Result<Background, Failure> {
    // mosquitto_passwd replaces the password by its hash.
    let passwords = file(folder, "passwords", "bridge:secret\nhome:secret\n")?;
    process::run(Command::new("mosquitto_passwd").arg("-U").arg(&passwords))?;
    let settings = format!(
        "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\nuser root\n",
        passwords.display()
    );
    let settings = file(folder, "mosquitto.conf", &settings)?;
    let path = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].map(Path::new);
    let program = path.into_iter().find(|path| path.exists()).unwrap_or(Path::new("mosquitto"));
    Background::start_silent(program, &[Path::new("-c"), &settings])
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
fn script(tally: &mut Tally, name: &str, command: &mut Command) {
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
