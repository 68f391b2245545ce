//! Programs of others against the board, over its forwarded ports: what they are asked is what the broker on this computer
//! is asked, but for the restarts of a process.

use espbroker_config::{
    model::{Access, Bridge, BridgeTopic, Config, Direction, PasswordHash, Permission, Unknown, User, Wifi},
    secret::Secret,
};
use espbroker_node::status::{BridgeReport, Status};

use super::board::{Board, HOST, Program, Setup, Time, flash_with};
use crate::{
    libraries, mosquitto_bridge, mosquitto_clients,
    process::{Failure, Tally},
    rumqttc,
    stage::{Login, Stage, USER},
};

/// Rounds of PBKDF2, as mosquitto has them.
const ITERATIONS: u32 = 101;

/// The users of [`Stage::ours`].
fn users() -> Result<Vec<User>, Failure> {
    let user = |name: &str, permissions| -> Result<User, Failure> {
        let password = PasswordHash::derive(b"secret", b"salt of 12 b", ITERATIONS)?;
        Ok(User { name: name.to_owned(), password, permissions, unknown: Unknown::default() })
    };
    let read = Permission { pattern: "open/#".to_owned(), access: Access::Read, unknown: Unknown::default() };
    Ok(vec![user(USER, Vec::new())?, user("guest", vec![read])?])
}

fn setup(name: &str, upstream: Option<u16>) -> Result<Setup, Failure> {
    let mut config = Config::new(name);
    config.wifi = Some(Wifi::new("wired"));
    config.broker.users = users()?;
    config.broker.websocket_port = 9001;
    config.broker.sys_interval = 1;
    if let Some(port) = upstream {
        let mut bridge = Bridge::new("lan", HOST);
        bridge.port = port;
        bridge.user = Some(USER.to_owned());
        bridge.password = Some(Secret::new("secret".to_owned()));
        bridge.restart_base = 1;
        bridge.restart_cap = 1;
        let topic = BridgeTopic {
            qos: 2,
            remote_prefix: "house/".to_owned(),
            ..BridgeTopic::new("shared/#", Direction::Both)
        };
        bridge.topics.push(topic);
        config.bridges.push(bridge);
    }
    Ok(Setup { config, heap: 45_000, time: Time::Host })
}

fn boot(program: &Program, setup: &Setup) -> Result<Board, Failure> {
    Board::boot(program, setup, &flash_with(&setup.config)?, None)
}

/// Runs everything.
pub(super) fn run(program: &Program, tally: &mut Tally) -> Result<(), Failure> {
    let board = boot(program, &setup("home", None)?)?;
    mosquitto_clients::with(&Login::new(board.mqtt), "board, mosquitto", tally);
    libraries::with([board.mqtt, board.websocket], "board, ", tally)?;
    rumqttc::with(board.mqtt, "board, ", tally);
    drop(board);
    tally.check("board, bridge to mosquitto: both ways, as a bridge, each message once", || {
        to_mosquitto(program)
    });
    tally
        .check("board, bridge to mosquitto: what waits outlives a restart of mosquitto", || restart(program));
    tally.check("board, bridge from mosquitto: both ways", || from_mosquitto(program));
    Ok(())
}

fn to_mosquitto(program: &Program) -> Result<(), Failure> {
    let stage = Stage::new(program.path())?;
    let mut mosquitto = stage.mosquitto("remote", Stage::port()?, "")?;
    let board = boot(program, &setup("near", Some(mosquitto.port))?)?;
    // mosquitto says `bridge` of those that set the bit in the protocol level, and `client` of the others.
    mosquitto.watched.line("the bridge", |line| {
        line.contains("New bridge connected") && line.contains(" as near.lan (p2, c0, k60")
    })?;
    mosquitto_bridge::exchange(&Login::new(board.mqtt), &mosquitto, "house/")
}

fn restart(program: &Program) -> Result<(), Failure> {
    let stage = Stage::new(program.path())?;
    let port = Stage::port()?;
    let mosquitto = stage.mosquitto("restarted", port, "")?;
    let mut board = boot(program, &setup("near", Some(port))?)?;
    let here = Login::new(board.mqtt);
    let is = |wanted: BridgeReport| move |status: &Status| matches!(status, Status::Bridge { report, .. } if *report == wanted);
    board.says("the bridge", is(BridgeReport::Connected))?;
    // A session there, so that nothing depends on who is back first.
    let away = ["-c", "-i", "away", "-q", "1"];
    mosquitto.subscribe("house/shared/#", &[&away[..], &["-E"]].concat())?.0.end()?;
    mosquitto.watched.stop()?;
    board.says("the end of the bridge", |status| {
        matches!(status, Status::Bridge { report: BridgeReport::Failed { .. }, .. })
    })?;
    for number in 0..20 {
        here.publish("shared/t", &number.to_string(), &["-q", "1"])?;
    }
    let mosquitto = stage.mosquitto("restarted", port, "")?;
    board.says("the bridge again", is(BridgeReport::Connected))?;
    let mut watcher = mosquitto.resume("house/shared/#", &[&away[..], &["-C", "20"]].concat())?;
    for number in 0..20 {
        watcher.expect(&[&format!("house/shared/t {number}")])?;
    }
    let mut back = here.subscribe("shared/#", &["-q", "1"])?;
    mosquitto.publish("house/shared/back", "x", &["-q", "1"])?;
    back.expect(&["shared/back x"])
}

fn from_mosquitto(program: &Program) -> Result<(), Failure> {
    let stage = Stage::new(program.path())?;
    let board = boot(program, &setup("home", None)?)?;
    let ours = Login::new(board.mqtt);
    let mut state = ours.subscribe("$SYS/broker/connection/+/state", &["-q", "1"])?;
    let mosquitto = stage.mosquitto("leading", Stage::port()?, &mosquitto_bridge::from(board.mqtt))?;
    let topic = "$SYS/broker/connection/mosquitto.ours/state";
    state.0.line("the state", |line| line == format!("{topic} 1"))?;
    mosquitto_bridge::exchange(&ours, &mosquitto, "")?;
    mosquitto.watched.kill()?;
    state.expect(&[&format!("{topic} 0")])
}
