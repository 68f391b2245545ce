//! `reconfigure`, `rotate-keys` and `wipe` on devices that were set up before.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use espbroker_config::{
    flash_map::{CONFIG_A, CONFIG_B, STORE, SYSTEM_PARAMETER},
    model::Config,
    slots::{self, Slot},
};
use insta::assert_snapshot;
use serde_json::Value;

use crate::{
    common::{Background, Home, PATIENCE, Run, SETUP, free_port, interrupt, signal},
    settings::{active, find, region},
    tap::{Cut, Tap},
};

/// A device that is set up as `hall` and runs behind a serial port; one user, `home`, whose password is kept.
fn device() -> (Home, Background) {
    let home = Home::new();
    home.device("flash.bin");
    let device = Background::simulate(&home, "flash.bin", &["--network", "home"]);
    (home, device)
}

/// The same, once it can be reached in the network.
fn running() -> (Home, Background) {
    let (home, device) = device();
    wait_for(&home, "hall");
    (home, device)
}

/// Waits until the broker of a device that was just plugged in listens.
fn wait_for(home: &Home, name: &str) {
    let devices = home.run(&["devices", "--json"]).json();
    let device = devices["devices"].as_array().unwrap().iter().find(|device| device["name"] == name).unwrap();
    let port = u16::try_from(device["mqtt_port"].as_u64().unwrap()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "{name} does not listen");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Logs in as `home` and takes CONNACK (MQTT 3.1.1 §3.1, §3.2).
fn log_in(stream: &mut TcpStream, password: &str) {
    let mut connect = b"\0\x04MQTT\x04\xC2\0\x3C\0\x01t\0\x04home\0".to_vec();
    connect.push(password.len() as u8);
    connect.extend(password.as_bytes());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[&[0x10, connect.len() as u8], connect.as_slice()].concat()).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0]);
}

/// A device's admin key as it stands in files.
fn espbroker_key(config: &Config) -> String {
    config.admin_key.as_ref().unwrap().expose().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sequence of the config in use.
fn sequence(home: &Home) -> u32 {
    let flash = flash(home);
    let [a, b] = [&CONFIG_A, &CONFIG_B].map(|slot| slots::read_sector(region(&flash, slot)));
    slots::select(&a, &b).unwrap().1.sequence
}

/// The highest sequence in either slot, in use or not.
fn sequence_ever(home: &Home) -> u32 {
    let flash = flash(home);
    let headers = [&CONFIG_A, &CONFIG_B].map(|slot| slots::SlotHeader::parse(region(&flash, slot)));
    headers.into_iter().flatten().map(|header| header.sequence).max().unwrap_or_default()
}

fn flash(home: &Home) -> Vec<u8> {
    fs::read(home.path("flash.bin")).unwrap()
}

fn config(home: &Home) -> Config {
    active(&flash(home)).1
}

fn filters(home: &Home) -> insta::Settings {
    let mut filters = home.settled();
    filters.add_filter(r"mqtt_port: \d+ -> \d+", "mqtt_port: [PORT] -> [PORT]");
    filters.add_filter(r"\d+ bytes(,| in slot)", "[LENGTH] bytes$1");
    filters
}

// ---- through the boot loader ----

#[test]
fn through_the_loader_only_what_is_named_changes_and_the_broker_is_tested() {
    let (home, device) = device();
    let (before, image) = (config(&home), flash(&home)[..CONFIG_A.offset as usize].to_vec());
    let port = free_port().to_string();
    let password = home.write("home.txt", "a new sesame\n");
    let change = ["--name", "attic", "--mqtt-port", &port, "--user", "home", "--password-file", &password];
    let fixed = ["reconfigure", "--port", &device.line, "--via", "loader"];
    let with = |more: &[&str]| home.run(&[&fixed[..], &change, more].concat());

    let untouched = flash(&home);
    let dry = with(&["--dry-run", "-q"]);
    let unasked = with(&["-q"]);
    assert!(flash(&home) == untouched, "nothing is written without a word");
    let _guard = filters(&home).bind_to_scope();
    assert_snapshot!(dry.ok(), @r#"
    ~ broker.mqtt_port: [PORT] -> [PORT]
    ~ broker.users[home].password: **** -> another ****
    ~ name: "hall" -> "attic"
    "#);
    assert_snapshot!(unasked.verdict(), @"
    exit 2
    error: this would change `hall`

    hint: allow it with --yes; --dry-run shows the same without changing anything
    ");

    let run = with(&["--yes"]);
    assert_snapshot!(run.verdict(), @r#"
    exit 0
    ✓ connect [TIME]  stub answers at 460800 baud on rfc2217://[ADDRESS]
    ✓ identify [TIME]  ESP8266, 26 MHz, 4096 KB flash (ef4016), MAC 5e:cf:7f:00:00:01
    ✓ read [TIME]  a firmware, settings of `hall` in config-a (sequence 1)
    ~ broker.mqtt_port: [PORT] -> [PORT]
    ~ broker.users[home].password: **** -> another ****
    ~ name: "hall" -> "attic"
    ✓ configure [TIME]  [LENGTH] bytes in slot b (sequence 2), verified by the loader
    ✓ boot [TIME]  firmware [VERSION] runs; settings verified by the device
    ✓ join [TIME]  127.0.0.1, MQTT on port [PORT], [HEAP] bytes of heap free
    ✓ test [TIME]  3 of 3 checks passed, as `home`
    "#);
    let after = config(&home);
    assert_eq!((after.name.as_str(), after.broker.mqtt_port.to_string()), ("attic", port.clone()));
    assert!(after.broker.users[0].password.verify(b"a new sesame"));
    assert_eq!((&after.wifi, &after.admin_key), (&before.wifi, &before.admin_key));
    assert!(flash(&home)[..CONFIG_A.offset as usize] == image, "the image was not touched");

    let again = with(&["--yes", "--json", "-q"]).json();
    assert_eq!(
        (&again["devices"][0]["outcome"], &again["devices"][0]["name"]),
        (&"unchanged".into(), &"attic".into())
    );
    assert_eq!(active(&flash(&home)).0, Slot::B, "what is there already is not written again");
}

#[test]
fn a_power_cut_at_any_step_through_the_loader_leaves_the_old_settings_or_the_new_ones() {
    let home = Home::new();
    home.device("old.bin");
    let mut old = fs::read(home.path("old.bin")).unwrap();
    // The free slot is not blank, so that writing to it begins with an erase.
    old[CONFIG_B.offset as usize + 100] = 0;
    let settings = home.write("change.toml", "[broker]\nsys_interval = 77\n");
    let mut cuts = 0;
    // One after the other: all of them have the same MQTT port.
    for after in 0..8 {
        let flash = home.write("flash.bin", &old);
        let run = |more: &[&str]| {
            let device = Background::simulate(&home, &flash, &[&["--network", "home"], more].concat());
            let way = ["reconfigure", "--via", "loader", "--port", &device.line, "-q", "--yes"];
            home.run(&[&way[..], &["--settings", &settings]].concat())
        };
        let cut = run(&["--fault", &format!("power-cut={after}")]);
        let left = fs::read(&flash).unwrap();
        assert!(
            region(&left, &CONFIG_A) == region(&old, &CONFIG_A),
            "cut after {after}: the old slot was touched"
        );
        let interval = |flash: &[u8]| find(flash).unwrap().1.broker.sys_interval;
        if cut.code == 0 {
            assert_eq!(interval(&left), 77);
            break;
        }
        cuts += 1;
        assert!(cut.stderr.contains("check its power"), "cut after {after}: {}", cut.stderr);
        assert!([10, 77].contains(&interval(&left)));
        let again = run(&[]);
        assert_eq!((again.code, again.stderr.as_str()), (0, ""), "cut after {after}");
        assert_eq!(interval(&fs::read(&flash).unwrap()), 77);
    }
    assert!((2..8).contains(&cuts), "an erase and a page at least: {cuts}");
}

#[test]
fn a_name_stands_for_the_port_of_a_device_that_is_connected_and_another_one_there_is_refused() {
    let (home, device) = device();
    let settings = home.write("same.toml", "name = \"hall\"\n");
    // Tells the registry where it is.
    home.run(&["config", "write", "-q", "--settings", &settings, "--port", &device.line]).ok();
    assert!(home.run(&["info", "-q", "--port", "hall"]).ok().contains("5e:cf:7f:00:00:01"));
    let shown = home.run(&["config", "show", "-q", "--port", "hall"]);
    assert!(shown.ok().starts_with("name = \"hall\"\n"));
    let unknown = home.run(&["info", "-q", "--port", "attic"]);
    assert_eq!(unknown.code, 2, "no such port");

    let registry = home.path("data/espbroker/devices.json");
    let text = fs::read_to_string(&registry).unwrap();
    fs::write(&registry, text.replace("5ecf7f000001", "5ecf7f000009")).unwrap();
    let other = home.run(&["info", "-q", "--port", "hall"]);
    let _guard = filters(&home).bind_to_scope();
    assert_snapshot!(other.verdict(), @"
    exit 1
    error: on rfc2217://[ADDRESS] is another device than `hall` (5e:cf:7f:00:00:09): 5e:cf:7f:00:00:01

    hint: nothing was changed; name the port itself, as `espbroker ports` lists it
    ");
    drop(device);
    let gone = home.run(&["info", "-q", "--port", "hall"]);
    assert_eq!(gone.code, 2, "{}", gone.stderr);
}

#[test]
fn what_cannot_be_meant_is_refused_before_any_device_is_looked_for() {
    let home = Home::new();
    let run = |arguments: &[&str]| home.run(&[&["reconfigure", "-q"], arguments].concat()).verdict();
    let name = home.write("name.toml", "name = \"hall\"\n");
    let text = [
        run(&["--port", "/dev/none"]),
        run(&["--port", "/dev/none", "--mqtt-port", "1884", "--via", "loader"]),
        run(&["--all", "--settings", &name]),
        run(&["--all", "--mqtt-port", "1884"]),
        run(&["--host", "127.0.0.1:9", "--mqtt-port", "1884"]),
        run(&["--host", "127.0.0.1:9", "--mqtt-port", "1884", "--admin-key-file", &name]),
        run(&["--port", "/dev/none", "--via", "network", "--mqtt-port", "1884"]),
    ]
    .join("----\n");
    let _guard = filters(&home).bind_to_scope();
    assert_snapshot!("reconfigure_refusals", text);
}

// ---- sealed, over the network and the console ----

/// Ways that a change can take to a device that runs.
fn sealed_ways(device: &Background) -> [Vec<String>; 2] {
    let way = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    [way(&["--host", "hall"]), way(&["--port", &device.line, "--via", "console"])]
}

/// Runs `reconfigure` with these flags.
fn change(home: &Home, way: &[String], more: &[&str]) -> Run {
    let way: Vec<&str> = way.iter().map(String::as_str).collect();
    home.run(&[&["reconfigure", "--yes"], way.as_slice(), more].concat())
}

#[test]
fn a_running_device_takes_a_sealed_change_over_the_network_and_over_its_console() {
    let (home, device) = running();
    let _guard = filters(&home).bind_to_scope();
    let [network, console] = sealed_ways(&device);
    let before = config(&home);

    let port = free_port().to_string();
    let run = change(&home, &network, &["--mqtt-port", &port]);
    assert_snapshot!(run.verdict(), @"
    exit 0
    ✓ read [TIME]  `hall` answers over the network, sealed: 127.0.0.1:[PORT]
    ~ broker.mqtt_port: [PORT] -> [PORT]
    ✓ write [TIME]  [LENGTH] bytes, sequence 2, in the slot that was free
    ✓ try [TIME]  tried and kept by the device (127.0.0.1:[PORT])
    ✓ test [TIME]  3 of 3 checks passed, as `home`
    ");
    let settings = home.write("sys.toml", "[broker]\nsys_interval = 44\n");
    let run = change(&home, &console, &["--settings", &settings]);
    assert_snapshot!(run.verdict(), @"
    exit 0
    ✓ console [TIME]  a device runs on rfc2217://[ADDRESS], MAC 5e:cf:7f:00:00:01
    ✓ read [TIME]  `hall` answers over the serial console, sealed: rfc2217://[ADDRESS]
    ~ broker.sys_interval: 10 -> 44
    ✓ write [TIME]  [LENGTH] bytes, sequence 3, in the slot that was free
    ✓ try [TIME]  tried and kept by the device (rfc2217://[ADDRESS])
    ✓ test [TIME]  3 of 3 checks passed, as `home`
    ");

    let after = config(&home);
    assert_eq!((after.broker.mqtt_port.to_string(), after.broker.sys_interval), (port, 44));
    assert_eq!((&after.wifi, &after.admin_key), (&before.wifi, &before.admin_key));
    assert_eq!(after.broker.users, before.broker.users);
    let again = change(&home, &network, &["--settings", &settings, "--json"]).json();
    assert_eq!(again["devices"][0]["outcome"], "unchanged");
}

#[test]
fn a_typing_error_locks_nobody_out() {
    let (home, device) = running();
    let before = config(&home);
    let passphrase = home.write("wifi.txt", "not the passphrase");
    for way in sealed_ways(&device) {
        let wifi = ["--try-for", "10", "-q", "--ssid", "nowhere", "--wifi-passphrase-file", &passphrase];
        let run = change(&home, &way, &wifi);
        assert_eq!(run.code, 1, "{way:?}: {}", run.stderr);
        assert!(run.stderr.contains("went back to the settings before"), "{}", run.stderr);
        assert!(run.stderr.contains("does not see the Wi-Fi network"), "{}", run.stderr);
        let free = free_port().to_string();
        let bridge = ["--try-for", "10", "-q", "--bridge-host", "127.0.0.1", "--bridge-port", &free];
        let run = change(&home, &way, &bridge);
        assert_eq!(run.code, 1, "{way:?}: {}", run.stderr);
        assert!(run.stderr.contains("a bridge was not connected in time"), "{}", run.stderr);
        assert_eq!(config(&home), before, "the flash says so too");
    }
}

#[test]
fn a_bridge_is_changed_while_a_client_stays_connected() {
    let (home, _device) = running();
    let far = Home::new();
    let set_up = ["--flash", "flash.bin", "--name", "far", "--mac", "5e:cf:7f:00:00:02"];
    let run = far.setup(&[&set_up[..], &["--ssid", "home", "--open-network", "-q"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let far_device =
        Background::simulate(&far, "flash.bin", &["--network", "home", "--mac", "5e:cf:7f:00:00:02"]);
    wait_for(&far, "far");
    let far_port = find(&fs::read(far.path("flash.bin")).unwrap()).unwrap().1.broker.mqtt_port.to_string();
    let password = far.password("far").to_str().unwrap().to_owned();

    let mut client = TcpStream::connect(("127.0.0.1", config(&home).broker.mqtt_port)).unwrap();
    let secret = fs::read_to_string(home.password("hall")).unwrap();
    log_in(&mut client, secret.trim());
    let bridge = [
        "--bridge",
        "far",
        "--bridge-host",
        "127.0.0.1",
        "--bridge-port",
        &far_port,
        "--bridge-user",
        "home",
        "--bridge-password-file",
        &password,
    ];
    let json =
        change(&home, &["--host".to_owned(), "hall".to_owned()], &[&bridge[..], &["--json"]].concat()).json();
    assert_eq!(
        (&json["devices"][0]["outcome"], &json["devices"][0]["way"]),
        (&"kept".into(), &"network".into())
    );
    // PINGREQ and PINGRESP (MQTT 3.1.1 §3.12, §3.13).
    client.write_all(&[0xC0, 0]).unwrap();
    let mut answer = [0; 2];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0xD0, 0]);
    drop(far_device);
}

#[test]
fn another_key_is_refused_and_so_is_a_device_that_is_not_known_here() {
    let (home, device) = running();
    let untouched = flash(&home);
    let key = home.write("key.txt", "00".repeat(32));
    let stranger = Home::new();
    let port = config(&home).broker.mqtt_port;
    let host = format!("127.0.0.1:{port}");
    let settings = stranger.write("sys.toml", "[broker]\nsys_interval = 44\n");
    let run = |more: &[&str]| {
        stranger.run(&[&["reconfigure", "--yes", "-q", "--settings", &settings], more].concat())
    };
    let wrong = run(&["--host", &host, "--admin-key-file", &key]);
    let none = run(&["--host", &host]);
    let console = run(&["--port", &device.line, "--via", "console", "--admin-key-file", &key]);
    let mut filters = filters(&home);
    // Other tests' devices have the same address, and may answer the probe in its place.
    filters.add_filter("key of `[^`]+`", "key of `[NAME]`");
    let _guard = filters.bind_to_scope();
    assert_snapshot!([wrong.verdict(), none.verdict(), console.verdict()].join("----\n"), @"
    exit 1
    error: the device has another admin key

    hint: it was set up again from another computer, or another device has its address now. `espbroker discover` shows who is where; --admin-key-file takes another key; else connect the board and name its serial port with --port: whoever has it in hand needs no key
    ----
    exit 2
    error: the admin key of `[NAME]` is not known here

    hint: it was set up from another computer: give its key with --admin-key-file, or connect the board and name its serial port with --port: whoever has it in hand needs no key
    ----
    exit 1
    error: the device has another admin key

    hint: it was set up again from another computer, or another device has its address now. `espbroker discover` shows who is where; --admin-key-file takes another key; else connect the board and name its serial port with --port: whoever has it in hand needs no key
    ");
    assert!(flash(&home) == untouched);
    // The right key from a file is as good as one from the registry.
    let right = espbroker_key(&config(&home));
    let right = stranger.write("right.txt", right);
    let run = run(&["--host", &host, "--admin-key-file", &right]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(config(&home).broker.sys_interval, 44);
}

#[test]
fn a_message_that_is_sent_again_is_refused() {
    let (home, _device) = running();
    let port = config(&home).broker.mqtt_port;
    // Somebody between this computer and the device who keeps what passes.
    let tap = Tap::start(port);
    let host = format!("127.0.0.1:{}", tap.port);
    let key = home.write("key.txt", espbroker_key(&config(&home)));
    let settings = home.write("sys.toml", "[broker]\nsys_interval = 44\n");
    let run = home.run(&[
        "reconfigure",
        "--yes",
        "-q",
        "--host",
        &host,
        "--admin-key-file",
        &key,
        "--settings",
        &settings,
    ]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let back = home.write("back.toml", "[broker]\nsys_interval = 10\n");
    change(&home, &["--host".to_owned(), "hall".to_owned()], &["-q", "--settings", &back]).ok();
    let untouched = flash(&home);
    let sent = tap.sent();
    assert!(sent.len() >= 3, "read, write and at least one question about the trial");
    for frame in sent {
        tap.send(&frame);
    }
    thread::sleep(Duration::from_millis(300));
    assert!(flash(&home) == untouched, "nothing that was recorded has an effect");
}

#[test]
fn a_cut_connection_is_asked_about_and_the_change_is_made_exactly_once() {
    let (home, _device) = running();
    let key = home.write("key.txt", espbroker_key(&config(&home)));
    // Before the request goes through, in the middle of it, before the reply comes, in the middle of that.
    for (index, cut) in
        [Cut::BeforeRequest, Cut::InRequest, Cut::BeforeReply, Cut::InReply].into_iter().enumerate()
    {
        let tap = Tap::cutting(config(&home).broker.mqtt_port, cut, 1);
        let host = format!("127.0.0.1:{}", tap.port);
        let interval = 50 + index as u16;
        let settings = home.write("sys.toml", format!("[broker]\nsys_interval = {interval}\n"));
        let before = sequence(&home);
        let run = home.run(&[
            "reconfigure",
            "--yes",
            "-q",
            "--host",
            &host,
            "--admin-key-file",
            &key,
            "--settings",
            &settings,
        ]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{cut:?}");
        assert_eq!((config(&home).broker.sys_interval, sequence(&home)), (interval, before + 1), "{cut:?}");
    }
}

#[test]
fn the_second_of_two_changes_at_once_is_refused_and_changes_nothing() {
    let (home, _device) = running();
    let key = home.write("key.txt", espbroker_key(&config(&home)));
    let slow = home.write("slow.toml", "[broker]\nsys_interval = 44\n");
    let quick = home.write("quick.toml", "[broker]\nsys_interval = 55\n");
    // Holds the write of the first back until the second one is through.
    let tap = Tap::holding(config(&home).broker.mqtt_port);
    let host = format!("127.0.0.1:{}", tap.port);
    let arguments =
        ["reconfigure", "--yes", "-q", "--host", &host, "--admin-key-file", &key, "--settings", &slow];
    let first = home.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    tap.wait_until_held();
    change(&home, &["--host".to_owned(), "hall".to_owned()], &["-q", "--settings", &quick]).ok();
    tap.release();
    let first = Run::from(first.wait_with_output().unwrap());
    let _guard = filters(&home).bind_to_scope();
    assert_snapshot!(first.verdict(), @"
    exit 1
    error: somebody else changed the device meanwhile

    hint: run the same command again: it begins with what the device has now
    ");
    assert_eq!(config(&home).broker.sys_interval, 55);
}

#[test]
fn ctrl_c_while_a_device_tries_leaves_it_to_the_device() {
    let (home, _device) = running();
    let before = config(&home);
    let arguments = ["reconfigure", "--yes", "--host", "hall", "--try-for", "10", "--ssid", "nowhere"];
    let child = home.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while sequence_ever(&home) < 2 {
        assert!(Instant::now() < deadline, "nothing is written");
        thread::sleep(Duration::from_millis(10));
    }
    interrupt(child.id());
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, 130);
    assert!(run.stderr.contains("stopped while the device tries the new settings"), "{}", run.stderr);
    while config(&home) != before {
        assert!(Instant::now() < deadline, "the device has not gone back");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn all_devices_are_changed_one_failing_does_not_stop_the_others() {
    let home = Home::new();
    let mut running = Vec::new();
    for (name, mac) in
        [("alpha", "5e:cf:7f:00:00:0a"), ("beta", "5e:cf:7f:00:00:0b"), ("gamma", "5e:cf:7f:00:00:0c")]
    {
        let port = free_port().to_string();
        let flash = format!("{name}.bin");
        let own = ["--flash", &flash, "--name", name, "--mac", mac, "--mqtt-port", &port];
        let network = ["--ssid", "home", "--open-network", "--hold", "--json", "-q"];
        running.push(Background::start(home.command(&[&SETUP, &own[..], &network[..]].concat())));
    }
    // `beta` is away.
    drop(running.remove(1));
    let settings = home.write("sys.toml", "[broker]\nsys_interval = 44\n");
    let run = home.run(&["reconfigure", "--all", "--yes", "-q", "--settings", &settings]);
    let mut filters = filters(&home);
    filters.add_filter(r"\(os error \d+\)", "([OS])");
    let _guard = filters.bind_to_scope();
    assert_snapshot!(format!("{}\n{}", run.stdout, run.verdict()), @"
    alpha            5e:cf:7f:00:00:0a  network        changed, tried and kept
    beta             5e:cf:7f:00:00:0b  -              no connection to 127.0.0.1:[PORT]: Connection refused ([OS])
    gamma            5e:cf:7f:00:00:0c  network        changed, tried and kept

    exit 1
    error: no connection to 127.0.0.1:[PORT]
      caused by: Connection refused ([OS])

    hint: has the device power, and is this computer in its network? `espbroker discover` looks for it; else connect the board and name its serial port with --port: whoever has it in hand needs no key
    error: 1 of 3 devices were not changed, or not proved to work

    hint: each reason stands above; run the same command again for those
    ");
    for (name, interval) in [("alpha", 44), ("beta", 10), ("gamma", 44)] {
        let flash = fs::read(home.path(&format!("{name}.bin"))).unwrap();
        assert_eq!(find(&flash).unwrap().1.broker.sys_interval, interval, "{name}");
    }
}

// ---- rotate-keys ----

#[test]
fn a_rotated_key_replaces_the_old_one_on_the_device_and_in_the_registry() {
    let (home, device) = running();
    for way in [
        vec!["--host", "hall"],
        vec!["--port", &device.line, "--via", "console"],
        vec!["--port", &device.line, "--via", "loader"],
    ] {
        let old = espbroker_key(&config(&home));
        home.run(&[&["rotate-keys", "--yes", "-q"], way.as_slice()].concat()).ok();
        let new = espbroker_key(&config(&home));
        let registry = fs::read_to_string(home.path("data/espbroker/devices.json")).unwrap();
        assert_ne!(old, new);
        assert!(registry.contains(&new) && !registry.contains(&old) && !registry.contains("next_admin_key"));
        wait_for(&home, "hall");
    }
}

#[test]
fn whatever_is_cut_while_a_key_is_rotated_one_of_the_two_that_are_kept_fits() {
    let (home, _device) = running();
    let settings = home.write("sys.toml", "[broker]\nsys_interval = 44\n");
    let registry = home.path("data/espbroker/devices.json");
    for cut in [Cut::BeforeRequest, Cut::InRequest, Cut::BeforeReply, Cut::InReply] {
        let port = config(&home).broker.mqtt_port;
        // Everything from the write on is cut: the program never learns what became of it.
        let tap = Tap::cutting(port, cut, usize::MAX);
        let text = fs::read_to_string(&registry).unwrap();
        fs::write(
            &registry,
            text.replace(&format!("\"mqtt_port\": {port}"), &format!("\"mqtt_port\": {}", tap.port)),
        )
        .unwrap();
        let child = home
            .command(&["rotate-keys", "--yes", "-q", "--host", "hall"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        tap.wait_until_held();
        thread::sleep(Duration::from_millis(200));
        // As if the computer lost its power.
        signal(child.id(), "KILL");
        child.wait_with_output().unwrap();
        let text = fs::read_to_string(&registry).unwrap();
        assert!(
            text.contains(&espbroker_key(&config(&home))),
            "{cut:?}: the device's key is not known any more"
        );
        fs::write(
            &registry,
            text.replace(&format!("\"mqtt_port\": {}", tap.port), &format!("\"mqtt_port\": {port}")),
        )
        .unwrap();
        let run = change(&home, &["--host".to_owned(), "hall".to_owned()], &["-q", "--settings", &settings]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{cut:?}");
        home.run(&["rotate-keys", "--yes", "-q", "--host", "hall"]).ok();
    }
}

// ---- wipe ----

#[test]
fn wipe_blanks_everything_of_the_owner_and_nothing_else_and_offers_to_forget() {
    let (home, device) = device();
    let before = flash(&home);
    assert!(
        region(&before, &STORE).iter().any(|byte| *byte != 0xFF) || region(&before, &CONFIG_A)[0] != 0xFF
    );
    let wipe = |more: &[&str]| home.run(&[&["wipe", "--port", &device.line], more].concat());
    let planned = wipe(&["--dry-run", "-q"]);
    let unasked = wipe(&["-q"]);
    let wrong = wipe(&["-q", "--confirm", "attic"]);
    assert!(flash(&home) == before);
    let _guard = filters(&home).bind_to_scope();
    assert_snapshot!(planned.ok(), @"
    would erase `config-a` (4 KB at 0x200000; with 1 MB of flash 4 KB at 0x0b1000)
    would erase `config-b` (4 KB at 0x201000; with 1 MB of flash 4 KB at 0x0b2000)
    would erase `sdk` (12 KB at 0x3fd000; with 1 MB of flash 12 KB at 0x0fd000)
    would erase `store` (2020 KB at 0x202000; with 1 MB of flash 288 KB at 0x0b3000)
    ");
    assert_snapshot!(unasked.verdict(), @"
    exit 2
    error: this would erase settings, keys and stored messages of `hall`

    hint: allow it with --confirm hall
    ");
    assert_snapshot!(wrong.verdict(), @"
    exit 2
    error: the device is `hall`, and not `attic`

    hint: nothing was erased
    ");
    let run = wipe(&["--confirm", "hall", "--forget"]);
    assert_snapshot!(run.verdict(), @"
    exit 0
    ✓ connect [TIME]  stub answers at 460800 baud on rfc2217://[ADDRESS]
    ✓ identify [TIME]  ESP8266, 26 MHz, 4096 KB flash (ef4016), MAC 5e:cf:7f:00:00:01
    ✓ read [TIME]  a firmware, settings of `hall` in config-a (sequence 1)
    ✓ erase [TIME]  config-a, config-b, sdk, store
    ✓ check [TIME]  all of it is blank
    Forgotten: `hall`.
    ");
    let after = flash(&home);
    for blank in [&CONFIG_A, &CONFIG_B, &STORE, &SYSTEM_PARAMETER] {
        assert!(region(&after, blank).iter().all(|byte| *byte == 0xFF), "{}", blank.name);
    }
    assert!(after[..CONFIG_A.offset as usize] == before[..CONFIG_A.offset as usize]);
    let between = STORE.end() as usize..SYSTEM_PARAMETER.offset as usize;
    assert!(after[between.clone()] == before[between], "radio calibration stays");
    let known: Value = home.run(&["devices", "--json"]).json();
    assert_eq!(known["devices"], Value::Array(Vec::new()));
}

#[test]
fn wipe_through_the_boot_rom_checks_what_it_can_read() {
    let (home, device) = device();
    let run =
        home.run(&["wipe", "--port", &device.line, "--stub", "rom", "--confirm", "5e:cf:7f:00:00:01", "-q"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(find(&flash(&home)).is_none());
}
