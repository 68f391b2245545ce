//! `broker`: a broker on this computer, used by clients that are not ours.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener},
    process::{Command, Stdio},
    time::Duration,
};

use espbroker_config::flash_map::CONFIG_A;
use insta::assert_snapshot;
use rumqttc::{Client, ConnectReturnCode, Connection, ConnectionError, Event, MqttOptions, Packet, QoS};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use crate::{
    common::{Background, Home, PATIENCE, Run, free_port, mode, signal},
    settings::active,
};

/// Settings of a broker with one user.
fn hall(port: u16, password: &str) -> String {
    format!(
        "name = \"hall\"\n[broker]\nmqtt_port = {port}\n[[broker.users]]\nname = \"home\"\npassword = \"{password}\"\n"
    )
}

/// A broker in the background, and the next events that it tells.
struct Broker(Background);

impl Broker {
    /// Starts it and waits until it is ready.
    fn start(command: Command) -> Self {
        let mut broker = Self(Background::start(command));
        let mut event: Value = serde_json::from_str(&broker.0.line).unwrap();
        while event["event"] != "ready" {
            event = broker.event();
        }
        broker
    }

    fn event(&mut self) -> Value {
        let event: Value = serde_json::from_str(&self.0.next_line()).unwrap();
        assert_eq!(event["version"], 1);
        event
    }

    /// Makes it read its settings again.
    fn reload(&mut self) -> Value {
        signal(self.0.id(), "HUP");
        self.event()
    }

    fn end(self, name: &str) -> Run {
        signal(self.0.id(), name);
        self.0.finish()
    }
}

fn broker(home: &Home, arguments: &[&str]) -> Broker {
    Broker::start(home.command(&[&["broker", "--json"], arguments].concat()))
}

/// A client without a password.
fn connect(port: &str) -> (Client, Connection) {
    Client::new(MqttOptions::new("somebody", "127.0.0.1", port.parse().unwrap()), 8)
}

/// Waits for a packet that is `wanted`.
fn incoming<T>(connection: &mut Connection, wanted: impl Fn(Packet) -> Option<T>) -> T {
    loop {
        if let Event::Incoming(packet) = connection.recv_timeout(PATIENCE).unwrap().unwrap()
            && let Some(found) = wanted(packet)
        {
            return found;
        }
    }
}

/// Publishes a message and receives it again.
fn message_returns(port: u16, login: Option<(&str, &str)>) -> Result<(), ConnectReturnCode> {
    let mut options = MqttOptions::new("there-and-back", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(60));
    if let Some((user, password)) = login {
        options.set_credentials(user, password);
    }
    let (client, mut connection) = Client::new(options, 8);
    client.subscribe("hall/+", QoS::AtMostOnce).unwrap();
    loop {
        match connection.recv_timeout(PATIENCE).unwrap() {
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                client.publish("hall/door", QoS::AtMostOnce, false, "open").unwrap();
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                assert_eq!((publish.topic.as_str(), &publish.payload[..]), ("hall/door", &b"open"[..]));
                return Ok(());
            }
            Err(ConnectionError::ConnectionRefused(code)) => return Err(code),
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_broker_serves_clients_until_ctrl_c_and_speaks_plainly() {
    let home = Home::new();
    let port = free_port();
    let settings =
        home.write("hall.toml", hall(port, "sesame") + "[wifi]\nssid = \"x\"\npassphrase_file = \"gone\"\n");
    let running = broker(&home, &["--config", &settings]);
    assert_eq!(
        serde_json::from_str::<Value>(&running.0.line).unwrap(),
        json!({"version": 1, "event": "listening", "service": "mqtt", "address": "127.0.0.1", "port": port})
    );
    assert_eq!(message_returns(port, Some(("home", "sesame"))), Ok(()));
    let refused = message_returns(port, Some(("home", "wrong")));
    assert_eq!(refused, Err(ConnectReturnCode::BadUserNamePassword));
    assert_eq!(message_returns(port, None), Err(ConnectReturnCode::NotAuthorized));
    let run = running.end("INT");
    let mut settled = home.settled();
    settled.add_filter(r"\d+ at the lowest", "[HEAP] at the lowest");
    let _guard = settled.bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 0
    Ignored, since this computer is no board: [wifi].
    MQTT on 127.0.0.1:[PORT]
    [HEAP] bytes of heap free, [HEAP] at the lowest
    The broker is ready.
    Ctrl-C ends the broker. SIGHUP makes it read its settings again.
    Only programs on this computer reach it; --bind 0.0.0.0 opens it to your network.
    ");
    assert_eq!(run.stdout, "");
}

#[test]
fn without_a_file_everybody_is_let_in_if_that_is_said_and_quiet_means_silent() {
    let home = Home::new();
    let port = free_port();
    let running = broker(&home, &["--anonymous", "--quiet", "--port", &port.to_string()]);
    assert_eq!(message_returns(port, None), Ok(()));
    let run = running.end("TERM");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn the_memory_of_a_chip_can_be_tried() {
    let home = Home::new();
    let port = free_port().to_string();
    let arguments = ["broker", "--json", "--anonymous", "--memory", "45000", "--port", &port];
    let mut running = Background::start(home.command(&arguments));
    let heap: Value = serde_json::from_str(&running.next_line()).unwrap();
    assert_eq!(heap["event"], "heap");
    assert!((30_000..=45_000).contains(&heap["free"].as_u64().unwrap()), "{heap}");
}

#[test]
fn the_devices_own_lines_are_shown_when_asked_for() {
    let home = Home::new();
    let stderr = |more: &[&str]| {
        let port = free_port().to_string();
        let running = broker(&home, &[&["--anonymous", "--port", &port], more].concat());
        running.end("INT").stderr
    };
    assert!(stderr(&["-v"]).contains("@eb ready"));
    assert!(!stderr(&[]).contains("@eb"));
}

// ---- what cannot be ----

#[test]
fn without_settings_the_shortest_way_to_a_broker_is_told() {
    assert_snapshot!(Home::new().run(&["broker"]).verdict(), @r#"
    exit 2
    error: no settings were named

    hint: try `espbroker broker --anonymous`, or name a file with --config; this is enough for it: broker.users = [{ name = "home", password = "..." }]
    "#);
}

#[test]
fn settings_with_which_nobody_could_log_in_are_refused() {
    let home = Home::new();
    let settings = home.write("hall.toml", "name = \"hall\"\n");
    assert_snapshot!(home.run(&["broker", "--config", &settings]).verdict(), @"
    exit 2
    error: nobody could log in: the settings name no user, and refuse clients without one

    hint: add [[broker.users]], or let everybody in with --anonymous
    ");
    let settings = home.write("hall.toml", "[broker.limits]\nclients = 129\n");
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(home.run(&["broker", "--anonymous", "--config", &settings]).verdict(), @"
    exit 2
    error: broker.limits.clients is 129: must be 1-128
    ");
    assert_snapshot!(home.run(&["broker", "--config", "gone.toml"]).verdict(), @"
    exit 2
    error: cannot read settings: `gone.toml`
      caused by: No such file or directory (os error 2)
    ");
}

#[test]
fn a_port_that_is_taken_and_an_address_of_somebody_else_are_refused() {
    let home = Home::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(home.run(&["broker", "--anonymous", "--port", &port]).verdict(), @"
    exit 2
    error: cannot open the MQTT port 127.0.0.1:[PORT]: it is in use

    hint: another program has this port (a mosquitto?): stop it, or choose another with --port
    ");
    // An address for documentation (RFC 5737), so no computer's.
    assert_snapshot!(home.run(&["broker", "--anonymous", "--bind", "192.0.2.1"]).verdict(), @"
    exit 2
    warning: everybody in your network can read and write everything here: clients need no password
    error: this computer cannot listen on the address 192.0.2.1
      caused by: Cannot assign requested address (os error 99)

    hint: --bind takes an address of this computer: 127.0.0.1 for its own programs, 0.0.0.0 for all networks
    ");
}

// ---- settings read again ----

#[test]
fn sighup_makes_it_read_its_settings_again_and_bad_ones_change_nothing() {
    let home = Home::new();
    let port = free_port();
    let settings = home.write("hall.toml", hall(port, "sesame"));
    let mut running = broker(&home, &["--config", &settings]);

    home.write("hall.toml", hall(port, "changed") + "[broker.limits]\nclients = 5\n");
    assert_eq!(
        running.reload(),
        json!({"version": 1, "event": "configured", "with_next_start": ["broker.limits.clients"]})
    );
    assert_eq!(message_returns(port, Some(("home", "changed"))), Ok(()));
    let refused = message_returns(port, Some(("home", "sesame")));
    assert_eq!(refused, Err(ConnectReturnCode::BadUserNamePassword));

    home.write("hall.toml", hall(port, "sesame") + "[broker.limits]\nclients = \"sesame\"\n");
    let refused = running.reload();
    assert_eq!(refused["event"], "not-configured");
    assert_eq!(message_returns(port, Some(("home", "changed"))), Ok(()));

    let run = running.end("INT");
    let _guard = home.settled().bind_to_scope();
    let told: Vec<&str> = run.stderr.lines().filter(|line| line.contains("settings")).collect();
    assert_snapshot!(told.join("\n"), @"
    Ctrl-C ends the broker. SIGHUP makes it read its settings again.
    The settings were read again and are in use, but for these, which need a new start: broker.limits.clients.
    warning: the settings stay as they were: settings file is not understood: `[HOME]/hall.toml`: line 8, column 11: must be a whole number of 0-65535, and is: string
    ");
}

#[test]
fn sighup_without_a_file_changes_nothing() {
    let home = Home::new();
    let mut running = broker(&home, &["--anonymous", "--port", &free_port().to_string()]);
    assert_eq!(running.reload()["reason"], "there is no --config FILE to read again");
    assert_eq!(running.end("INT").code, 0);
}

#[test]
fn a_broker_whose_window_is_closed_ends() {
    let home = Home::new();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let mut command = home.command(&["broker", "--json", "--anonymous", "--port", &free_port().to_string()]);
    let window = File::options().read(true).write(true).open(path).unwrap();
    command.stdout(Stdio::piped()).stderr(window);
    let mut child = command.spawn().unwrap();
    // Its first word says that it watches its signals.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("listening"));
    drop((command, terminal));
    signal(child.id(), "HUP");
    assert!(child.wait().unwrap().success());
}

// ---- the store ----

#[test]
fn a_store_is_private_holds_the_settings_and_belongs_to_one_broker() {
    let home = Home::new();
    let (port, other) = (free_port(), free_port().to_string());
    let settings = home.write("hall.toml", hall(port, "sesame"));
    let arguments = ["--config", &settings, "--store", "hall.store"];
    let running = broker(&home, &arguments);
    assert_eq!(mode(&home.path("hall.store")), 0o600);
    let (_, config) = active(&fs::read(home.path("hall.store")).unwrap());
    assert_eq!((config.name.as_str(), config.broker.mqtt_port), ("hall", port));

    let second = home.run(&[["broker", "--port", &other].as_slice(), &arguments].concat());
    assert_snapshot!(second.verdict(), @"
    exit 2
    error: cannot keep the store in `hall.store`
      caused by: another device uses it

    hint: stop the broker that uses it, or name another file
    ");
    assert_eq!(running.end("INT").code, 0);
    let again = broker(&home, &arguments);
    assert_eq!(message_returns(port, Some(("home", "sesame"))), Ok(()));
    assert_eq!(again.end("INT").code, 0);
}

#[test]
fn a_retained_message_waits_in_the_store_for_the_next_broker() {
    let home = Home::new();
    let port = free_port().to_string();
    let arguments = ["--anonymous", "--port", &port, "--store", "hall.store"];
    let running = broker(&home, &arguments);
    let (client, mut connection) = connect(&port);
    client.publish("hall/lamp", QoS::AtLeastOnce, true, "on").unwrap();
    incoming(&mut connection, |packet| matches!(packet, Packet::PubAck(_)).then_some(()));
    assert_eq!(running.end("TERM").code, 0);

    let running = broker(&home, &arguments);
    let (client, mut connection) = connect(&port);
    client.subscribe("hall/#", QoS::AtMostOnce).unwrap();
    let kept = incoming(&mut connection, |packet| match packet {
        Packet::Publish(publish) => Some(publish),
        _ => None,
    });
    assert_eq!((kept.topic.as_str(), &kept.payload[..], kept.retain), ("hall/lamp", &b"on"[..], true));
    assert_eq!(running.end("TERM").code, 0);
}

#[test]
fn a_file_that_is_no_store_is_left_alone() {
    let home = Home::new();
    home.write("notes.txt", "remember the milk");
    let start = |store: &str| home.run(&["broker", "--anonymous", "--store", store]);
    assert_snapshot!(start("notes.txt").verdict(), @"
    exit 2
    error: cannot keep the store in `notes.txt`
      caused by: flash file is not 4194304 bytes long: 17

    hint: name a file that is not there yet, or that a broker made
    ");
    assert_eq!(fs::read(home.path("notes.txt")).unwrap(), b"remember the milk");

    let mut film = vec![0xFF; 4 << 20];
    film[CONFIG_A.offset as usize..][..4].copy_from_slice(b"film");
    home.write("film.bin", &film);
    assert_snapshot!(start("film.bin").verdict(), @"
    exit 2
    error: this file is no store of a broker: `film.bin`

    hint: name a file that is not there yet, or that a broker made
    ");
    assert!(fs::read(home.path("film.bin")).unwrap() == film);
}
