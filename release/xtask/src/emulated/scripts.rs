//! The packet scripts of the broker's tests against the board: what each test says on its connections is said over TCP,
//! and what the board sends must be what the broker alone has sent, byte for byte.
//!
//! The tests write their scripts down (`firmware/broker/tests/rules/script.rs`). Left out, each counted: what depends on
//! the clock, on a network that is held up, or on settings that no config has; scripts of more than [`LONGEST`] steps;
//! and all but [`EACH`] of those that one test runs in a loop.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use espbroker_config::model::{Anonymous, Config, Limits, PasswordHash, Unknown, User, Wifi};
use espbroker_packet_script::{Script, Step};

use super::{
    board::{Board, Program, Setup, Time, flash_with},
    checks::Extent,
    visit::Ports,
};
use crate::process::{self, Failure, Tally, root};

/// Steps of the longest script that is said.
const LONGEST: usize = 400;
/// Scripts of one test.
const EACH: u32 = 3;
/// Longest wait for what a script hears.
const PATIENCE: Duration = Duration::from_secs(8);
/// After words that have no answer and before those on another connection, whose order the network does not keep.
const PAUSE: Duration = Duration::from_millis(25);
/// After a script: what comes then is too much.
const SILENCE: Duration = Duration::from_millis(40);

/// Tests that a device cannot pass as they are, and why.
const DIFFERENT: [(&str, &str); 0] = [];

/// Scripts by the module and name of their test.
type Scripts = BTreeMap<String, Vec<Script>>;

/// Each module of tests is a check.
pub(super) fn run(program: &Program, extent: Extent, tally: &mut Tally) -> Result<(), Failure> {
    let mut modules: BTreeMap<String, Scripts> = BTreeMap::new();
    for (test, scripts) in written()? {
        let (module, _) = test.split_once('.').unwrap_or_default();
        modules.entry(module.to_owned()).or_default().insert(test, scripts);
    }
    for (module, scripts) in modules {
        let name = format!("scripts: {module}");
        tally.check_told(&name, || say_all(program, &scripts, extent));
    }
    Ok(())
}

/// Has the tests write their scripts down.
fn written() -> Result<Scripts, Failure> {
    let folder = tempfile::tempdir()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    process::run(
        Command::new(cargo)
            .current_dir(root())
            .args([
                "test",
                "--quiet",
                "--package",
                "espbroker-broker",
                "--test",
                "rules",
                "--test",
                "conformance",
            ])
            .env("ESPBROKER_PACKET_SCRIPTS", folder.path()),
    )?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder.path())? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (test, number) = name.rsplit_once('.').ok_or("a script without a number")?;
        paths.push((test.to_owned(), number.parse::<u32>()?, path));
    }
    paths.sort();
    let mut scripts = Scripts::new();
    for (test, _, path) in paths {
        scripts.entry(test).or_default().push(Script::parse(&fs::read_to_string(path)?)?);
    }
    Ok(scripts)
}

fn say_all(program: &Program, scripts: &Scripts, extent: Extent) -> Result<String, Failure> {
    let mut left_out: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut said, mut wrong) = (0, Vec::new());
    let tests: Vec<_> = scripts.iter().collect();
    // A third of the tests is a spread of them.
    let steps = match extent {
        Extent::All | Extent::Only(_) => Extent::All,
        Extent::Spread(_) => Extent::Spread(u32::try_from(tests.len().div_ceil(3))?),
    };
    let each = if steps == Extent::All { EACH } else { 1 };
    for number in steps.of(u32::try_from(tests.len())?) {
        let Some((test, scripts)) = usize::try_from(number - 1).ok().and_then(|place| tests.get(place))
        else {
            continue;
        };
        for place in Extent::Spread(each).of(u32::try_from(scripts.len())?) {
            let Some(script) = usize::try_from(place - 1).ok().and_then(|place| scripts.get(place)) else {
                continue;
            };
            match unfit(test, script) {
                Ok(setup) => {
                    said += 1;
                    if let Err(failure) = boot_and_say(program, &setup, script) {
                        wrong.push(format!("{test}, script {place}: {failure}"));
                    }
                }
                Err(why) => *left_out.entry(why).or_default() += 1,
            }
        }
    }
    let told = match left_out.is_empty() {
        true => format!("{said} scripts"),
        false => format!("{said} scripts, left out: {left_out:?}"),
    };
    if wrong.is_empty() { Ok(told) } else { Err(format!("{told}\n{}", wrong.join("\n")).into()) }
}

/// The setup for a script, or why it is left out.
fn unfit<'a>(test: &str, script: &'a Script) -> Result<Setup, &'a str> {
    if let Some((_, why)) = DIFFERENT.iter().find(|(name, _)| *name == test) {
        return Err(why);
    }
    if let Some(what) = script.beyond() {
        return Err(what);
    }
    if script.steps.len() > LONGEST {
        return Err("too long");
    }
    setup(&script.limits).ok_or("settings that no config has")
}

/// A config with these limits, if there is one.
fn setup(wanted: &[(String, u32)]) -> Option<Setup> {
    let mut config = Config::new("scripts");
    config.wifi = Some(Wifi::new("wired"));
    config.broker.websocket_port = 9001;
    config.broker.sys_interval = 0;
    let password = PasswordHash::derive(b"secret", b"salt of 12 b", 1).ok()?;
    let ann = User { name: "ann".to_owned(), password, permissions: Vec::new(), unknown: Unknown::default() };
    config.broker.users.push(ann);
    for (name, number) in wanted {
        let limits: &mut Limits = &mut config.broker.limits;
        let short = u16::try_from(*number).ok();
        match name.as_str() {
            "clients" => limits.clients = short?,
            "sessions" => limits.sessions = short?,
            "subscriptions_per_client" => limits.subscriptions_per_client = short?,
            "retained_messages" => limits.retained_messages = short?,
            "retained_bytes" => limits.retained_bytes = *number,
            "packet_size" => limits.packet_size = *number,
            "queue_bytes" => limits.queue_bytes = *number,
            "queue_messages" => limits.queue_messages = short?,
            "system_interval" => config.broker.sys_interval = short?,
            "anonymous" if *number == 1 => config.broker.anonymous = Anonymous::Allowed,
            "anonymous" => config.broker.anonymous = Anonymous::Refused,
            _ => return None,
        }
    }
    config.validate().ok()?;
    Some(Setup { config, heap: 45_000, time: Time::Host })
}

fn boot_and_say(program: &Program, setup: &Setup, script: &Script) -> Result<(), Failure> {
    let mut board = Board::boot(program, setup, &flash_with(&setup.config)?, None)?;
    let result = say(Ports { mqtt: board.mqtt, websocket: board.websocket }, script);
    match board.last_words() {
        Some(words) => Err(words.into()),
        None => result,
    }
}

/// Says a script and compares what is heard.
fn say(ports: Ports, script: &Script) -> Result<(), Failure> {
    let mut streams: BTreeMap<u16, TcpStream> = BTreeMap::new();
    // The connection of words that were not answered.
    let mut unanswered = None;
    for (number, step) in script.steps.iter().enumerate() {
        match step {
            Step::Accept(connection)
            | Step::AcceptWeb(connection)
            | Step::Say(connection, _)
            | Step::Leave(connection) => {
                if unanswered.is_some_and(|last| last != connection) {
                    thread::sleep(PAUSE);
                }
                unanswered = Some(connection);
            }
            Step::Hear(..) | Step::End(_) | Step::Beyond(_) => unanswered = None,
        }
        let result = match step {
            Step::Accept(connection) => {
                open(ports.mqtt).map(|stream| drop(streams.insert(*connection, stream)))
            }
            Step::AcceptWeb(connection) => {
                open(ports.websocket).map(|stream| drop(streams.insert(*connection, stream)))
            }
            Step::Say(connection, bytes) => match streams.get_mut(connection) {
                Some(stream) => stream.write_all(bytes).map_err(Failure::from),
                None => Err("there is no such connection".into()),
            },
            Step::Hear(connection, bytes) => streams
                .get_mut(connection)
                .ok_or_else(|| "there is no such connection".into())
                .and_then(|stream| hear(stream, bytes)),
            Step::End(connection) => match streams.remove(connection) {
                Some(stream) => end(stream),
                None => Err("there is no such connection".into()),
            },
            Step::Leave(connection) => {
                streams.remove(connection);
                Ok(())
            }
            Step::Beyond(what) => Err(what.as_str().into()),
        };
        result.map_err(|failure| format!("step {}: {failure}", number + 1))?;
    }
    thread::sleep(SILENCE);
    for (connection, mut stream) in streams {
        stream.set_nonblocking(true)?;
        let mut more = [0; 64];
        match stream.read(&mut more) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(length) => {
                let more = more.get(..length).unwrap_or_default().escape_ascii();
                return Err(format!("at the end, on connection {connection}: `{more}`").into());
            }
            Err(error) => return Err(format!("at the end, connection {connection}: {error}").into()),
        }
    }
    Ok(())
}

fn open(port: u16) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn hear(stream: &mut TcpStream, wanted: &[u8]) -> Result<(), Failure> {
    let mut found = Vec::new();
    while found.len() < wanted.len() {
        let mut piece = vec![0; wanted.len() - found.len()];
        let length = match stream.read(&mut piece) {
            Ok(length @ 1..) => length,
            Ok(_) => return Err(format!("the end after `{}`", found.escape_ascii()).into()),
            Err(error) => return Err(format!("{error} after `{}`", found.escape_ascii()).into()),
        };
        found.extend(piece.get(..length).unwrap_or_default());
    }
    if found == wanted {
        return Ok(());
    }
    Err(format!("`{}` in place of `{}`", found.escape_ascii(), wanted.escape_ascii()).into())
}

/// The board ends the connection, and sends nothing more.
fn end(mut stream: TcpStream) -> Result<(), Failure> {
    let mut more = [0; 64];
    match stream.read(&mut more) {
        Ok(0) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Ok(length) => {
            Err(format!("`{}` in place of the end", more.get(..length).unwrap_or_default().escape_ascii())
                .into())
        }
        Err(error) => Err(format!("no end: {error}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_a_config_and_those_that_none_has_do_not() {
        let limit = |name: &str, number| (name.to_owned(), number);
        let wanted = [limit("clients", 3), limit("packet_size", 128), limit("anonymous", 1)];
        let config = setup(&wanted).unwrap().config;
        assert_eq!((config.broker.limits.clients, config.broker.limits.packet_size), (3, 128));
        assert_eq!(config.broker.anonymous, Anonymous::Allowed);
        for unknown in [limit("clients", 0), limit("clients", 1 << 20), limit("heads", 1)] {
            assert!(setup(std::slice::from_ref(&unknown)).is_none(), "{unknown:?}");
        }
    }
}
