//! Debian's mosquitto with the files that `export mosquitto` has written: the same log-ins, permissions and bridges.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    process::{self, Failure, Tally},
    stage::{Login, Served, Stage, USER},
    watched::Watched,
};

/// # Errors
///
/// When there is no room for a folder.
pub(crate) fn run(program: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let stage = Stage::new(program)?;
    tally.check("export to mosquitto: users log in with the hashes of the device, and nobody else", || {
        log_in(&stage, program)
    });
    tally.check("export to mosquitto: the access list allows and denies what the device does", || {
        permissions(&stage, program)
    });
    tally.check("export to mosquitto: a bridge connects and maps topics both ways", || {
        bridge(&stage, program)
    });
    tally.check("export to mosquitto: WebSocket, and retained messages over a restart", || {
        persistence(&stage, program)
    });
    Ok(())
}

/// Exports settings, and starts mosquitto with what was written.
fn start(
    stage: &Stage<'_>,
    program: &Path,
    name: &str,
    port: u16,
    settings: &str,
) -> Result<Served, Failure> {
    let settings = stage.file(&format!("{name}.toml"), settings)?;
    // Only its owner may read it, or the program warns.
    let folder = settings.with_extension("export");
    let mut command = Command::new(program);
    process::run(command.args(["export", "mosquitto", "--quiet", "--settings"]).arg(&settings).arg(&folder))?;
    serve(&folder, port)
}

/// Starts mosquitto in a folder of an export.
fn serve(folder: &Path, port: u16) -> Result<Served, Failure> {
    let settings: PathBuf = folder.join("mosquitto.conf");
    let text = fs::read_to_string(&settings)?;
    if !text.contains("log_dest") {
        // What only this check needs: mosquitto's own user may not enter a private folder.
        fs::OpenOptions::new().append(true).open(&settings)?.write_all(b"user root\nlog_dest stderr\n")?;
    }
    let mut watched = Watched::start(Stage::mosquitto_program().arg("-c").arg(settings))?;
    watched.line("running", |line| line.ends_with(" running"))?;
    Ok(Served::new(port, watched))
}

fn is_refused(command: &mut Command) -> Result<(), Failure> {
    match process::run(command) {
        Ok(_) => Err("it was let in".into()),
        // mosquitto 2 says this of a wrong password too.
        Err(refusal) if refusal.to_string().contains("not authorised") => Ok(()),
        Err(other) => Err(other),
    }
}

fn log_in(stage: &Stage<'_>, program: &Path) -> Result<(), Failure> {
    let port = Stage::port()?;
    let settings = format!(
        "[broker]\nmqtt_port = {port}\nusers = [{{ name = \"{USER}\", password = \"secret\" }}, \
         {{ name = \"Ünal o'Neil\", password = \"secret\" }}]\n"
    );
    let mosquitto = start(stage, program, "log-in", port, &settings)?;
    let mut subscriber = mosquitto.subscribe("a/#", &[])?;
    mosquitto.publish("a/b", "hello", &["-q", "1"])?;
    subscriber.expect(&["a/b hello"])?;
    process::run(&mut mosquitto.command_as(
        "Ünal o'Neil",
        "mosquitto_pub",
        &["-t", "a/c", "-m", "x", "-q", "1"],
    ))?;
    subscriber.expect(&["a/c x"])?;
    is_refused(&mut mosquitto.command("mosquitto_pub", &["-t", "a/b", "-m", "x", "-P", "wrong"]))?;
    is_refused(&mut mosquitto.command_as("nobody", "mosquitto_pub", &["-t", "a/b", "-m", "x"]))?;
    let port = port.to_string();
    is_refused(Command::new("mosquitto_pub").args(["-h", "127.0.0.1", "-p", &port, "-t", "a/b", "-m", "x"]))
}

fn permissions(stage: &Stage<'_>, program: &Path) -> Result<(), Failure> {
    let port = Stage::port()?;
    let settings = format!(
        r##"
        [broker]
        mqtt_port = {port}
        anonymous = true
        anonymous_permissions = [{{ pattern = "public/#", access = "read" }}]
        users = [
            {{ name = "{USER}", password = "secret" }},
            {{ name = "ann", password = "secret", permissions = [
                {{ pattern = "house/#", access = "readwrite" }},
                {{ pattern = "house/safe", access = "deny" }},
                {{ pattern = "living room/%u/+", access = "write" }},
                {{ pattern = "weather/+", access = "read" }},
                {{ pattern = "own/%c/x", access = "deny" }},
                {{ pattern = "own/#", access = "write" }},
            ] }},
        ]
        "##
    );
    let mosquitto = start(stage, program, "permissions", port, &settings)?;
    // The owner may do everything, and sees what of the others' comes through.
    let mut all = mosquitto.subscribe("#", &["-q", "1"])?;
    for topic in [
        "house/a",
        "house/safe",
        "living room/ann/x",
        "living room/bob/x",
        "weather/now",
        "own/c/x",
        "own/y",
        "b",
    ] {
        let arguments = ["-t", topic, "-m", "by ann", "-q", "1"];
        process::run(&mut mosquitto.command_as("ann", "mosquitto_pub", &arguments))?;
    }
    all.expect(&["house/a by ann", "living room/ann/x by ann", "own/y by ann"])?;
    let port = port.to_string();
    let anonymous = ["-h", "127.0.0.1", "-p", &port, "-t", "public/a", "-m", "x", "-q", "1"];
    process::run(Command::new("mosquitto_pub").args(anonymous))?;

    let ann = Login { user: "ann".to_owned(), ..Login::new(mosquitto.port) };
    let mut hers = ann.subscribe("#", &["-q", "1"])?;
    for topic in
        ["house/b", "house/safe", "living room/ann/y", "weather/now", "weather/a/b", "b", "weather/last"]
    {
        mosquitto.publish(topic, "by the owner", &["-q", "1"])?;
        all.expect(&[&format!("{topic} by the owner")])?;
    }
    hers.expect(&["house/b by the owner", "weather/now by the owner", "weather/last by the owner"])
}

fn bridge(stage: &Stage<'_>, program: &Path) -> Result<(), Failure> {
    let mut remote = stage.mosquitto("remote", Stage::port()?, "")?;
    let port = Stage::port()?;
    let settings = format!(
        r##"
        name = "near"
        [broker]
        mqtt_port = {port}
        users = [{{ name = "{USER}", password = "secret" }}]
        [[bridges]]
        name = "lan"
        host = "127.0.0.1"
        port = {}
        user = "{USER}"
        password = "secret"
        restart_base = 1
        restart_cap = 1
        topics = [{{ pattern = "shared/#", direction = "both", qos = 1, remote_prefix = "house/" }}]
        "##,
        remote.port
    );
    let near = start(stage, program, "bridge", port, &settings)?;
    remote.watched.line("the bridge", |line| {
        line.contains("New bridge connected") && line.contains(" as near.lan (p2, c0, k60")
    })?;
    let mut state = remote.subscribe("$SYS/broker/connection/near.lan/state", &["-q", "1"])?;
    state.expect(&["$SYS/broker/connection/near.lan/state 1"])?;
    let mut there = remote.subscribe("house/shared/#", &["-q", "1"])?;
    near.publish("shared/t", "out", &["-q", "1"])?;
    there.expect(&["house/shared/t out"])?;
    let mut here = near.subscribe("shared/in", &["-q", "1"])?;
    remote.publish("house/shared/in", "back", &["-q", "1"])?;
    here.expect(&["shared/in back"])
}

fn persistence(stage: &Stage<'_>, program: &Path) -> Result<(), Failure> {
    let [port, websocket] = Stage::ports()?;
    let settings = format!(
        "[broker]\nmqtt_port = {port}\nwebsocket_port = {websocket}\nusers = [{{ name = \"{USER}\", password = \
         \"secret\" }}]\n"
    );
    let mosquitto = start(stage, program, "kept", port, &settings)?;
    mosquitto.publish("kept/a", "still here", &["-r", "-q", "1"])?;
    // A plain request gets an answer of the web server in there.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", websocket))?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
    stream.write_all(
        b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Protocol: mqtt\r\n\r\n",
    )?;
    let mut answer = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut answer)?;
    if answer != *b"HTTP/1.1 101" {
        return Err(format!("the answer over WebSocket is `{}`", answer.escape_ascii()).into());
    }
    drop(stream);
    mosquitto.watched.stop()?;
    let again = serve(&stage.path("kept.export"), port)?;
    again.subscribe("kept/#", &["-q", "1"])?.expect(&["kept/a still here"])
}
