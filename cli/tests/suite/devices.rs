//! The registry and discovery: what `setup` and `config write` leave behind, and devices found on loopback.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use insta::assert_snapshot;
use serde_json::Value;

use crate::common::{Background, Home, Run, SETUP, free_port, mode};

/// `setup` to a finished device of this name, whose flash is kept.
fn set_up(home: &Home, name: &str, mac: &str) -> Run {
    let flash = format!("{name}.bin");
    let flags = ["--flash", &flash, "--name", name, "--ssid", "home", "--open-network", "--mac", mac];
    home.setup(&[&flags[..], &["--profile", "nodemcu", "-q"]].concat())
}

fn known(home: &Home) -> Vec<Value> {
    let list = home.run(&["devices", "--json"]).json();
    assert_eq!(list["version"], 1);
    list["devices"].as_array().unwrap().clone()
}

/// `setup` on a device that goes on running under a name that no other test uses.
fn hold(home: &Home, name: &str, mac: &str) -> Background {
    let port = free_port().to_string();
    let flash = format!("{name}.bin");
    let own = ["--flash", &flash, "--name", name, "--mac", mac, "--mqtt-port", &port];
    let network = ["--ssid", "home", "--open-network", "--hold", "--json", "-q"];
    Background::start(home.command(&[&SETUP, &own[..], &network[..]].concat()))
}

#[test]
fn setup_and_config_write_record_what_they_learnt_and_a_demo_leaves_nothing() {
    let home = Home::new();
    assert_eq!(home.setup(&["-q"]).code, 0);
    assert!(known(&home).is_empty(), "a demo goes with its program");

    assert_eq!(set_up(&home, "hall", "5e:cf:7f:00:10:01").code, 0);
    let file = home.path("data/espbroker/devices.json");
    assert_eq!(mode(&file), 0o600);
    let devices = known(&home);
    assert_eq!((&devices[0]["name"], &devices[0]["mac"]), (&"hall".into(), &"5e:cf:7f:00:10:01".into()));
    assert_eq!((&devices[0]["address"], &devices[0]["profile"]), (&"127.0.0.1".into(), &"nodemcu".into()));
    assert!(devices[0]["last_seen"].as_u64().unwrap() > 0);
    let list = home.run(&["devices"]);
    let mut filters = home.settled();
    filters.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "[DATE]");
    // Columns move with the length of the port.
    filters.add_filter(" {2,}", "  ");
    let _guard = filters.bind_to_scope();
    assert_snapshot!(list.ok(), @"hall  5e:cf:7f:00:10:01  127.0.0.1:[PORT]  [VERSION]  nodemcu  [DATE]");

    let password = home.run(&["devices", "show", "hall", "--password"]);
    assert_eq!(password.ok(), fs::read_to_string(home.password("hall")).unwrap());

    let device =
        Background::simulate(&home, "hall.bin", &["--network", "home", "--mac", "5e:cf:7f:00:10:01"]);
    let settings =
        home.write("change.toml", format!("name = \"attic\"\n[broker]\nmqtt_port = {}\n", free_port()));
    let run = home.run(&["config", "write", "-q", "--settings", &settings, "--port", &device.line]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let devices = known(&home);
    assert_eq!((devices.len(), &devices[0]["name"]), (1, &"attic".into()));
    assert_eq!(devices[0]["port"], device.line.as_str());
    // The password is still the one of the set-up.
    assert_eq!(home.run(&["devices", "show", "attic", "--password"]).ok(), password.stdout);
}

#[test]
fn a_device_is_called_what_the_user_calls_it_until_it_is_forgotten() {
    let home = Home::new();
    assert_eq!(set_up(&home, "hall", "5e:cf:7f:00:10:02").code, 0);
    assert_eq!(set_up(&home, "barn", "5e:cf:7f:00:10:03").code, 0);
    home.run(&["devices", "rename", "hall", "Front door"]).ok();
    let shown = home.run(&["devices", "show", "front door"]);
    let mut filters = home.settled();
    filters.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "[DATE]");
    let _guard = filters.bind_to_scope();
    assert_snapshot!(shown.ok(), @r"
    name        Front door
    configured  hall
    mac         5e:cf:7f:00:10:02
    address     127.0.0.1:[PORT]
    websocket   -
    firmware    [VERSION]
    board       nodemcu
    port        -
    last seen   [DATE]
    secrets     admin key and password of `home`, in the registry's file
    ");
    for arguments in
        [["rename", "hall", "barn"], ["rename", "hall", "192.168.1.1"], ["rename", "nobody", "x"]]
    {
        assert_eq!(home.run(&[&["devices"], &arguments[..]].concat()).code, 2, "{arguments:?}");
    }
    let refused = home.run(&["devices", "forget", "5e:cf:7f:00:10:02"]);
    assert_snapshot!(refused.verdict(), @r"
    exit 2
    error: this would forget the keys of `Front door` (5e:cf:7f:00:10:02)

    hint: without its key a device can only be changed over its serial port; allow it with --yes
    ");
    home.run(&["devices", "forget", "5e:cf:7f:00:10:02", "--yes"]).ok();
    let devices = known(&home);
    assert_eq!((devices.len(), &devices[0]["name"]), (1, &"barn".into()));
}

#[test]
fn a_damaged_registry_is_moved_aside_with_a_word_and_setup_goes_on() {
    let home = Home::new();
    fs::create_dir_all(home.path("data/espbroker")).unwrap();
    home.write("data/espbroker/devices.json", "{\"format\": 1, \"dev");
    let run = home.setup(&["--flash", "hall.bin", "--name", "hall", "--ssid", "home", "--open-network"]);
    assert_eq!(run.code, 0);
    assert!(run.stderr.contains("the registry of devices was damaged"), "{}", run.stderr);
    assert_eq!(known(&home).len(), 1);
    assert!(home.path("data/espbroker/devices.json.damaged-1").exists());
}

#[test]
fn secrets_go_to_the_keyring_through_pipes_where_there_is_one() {
    let home = Home::new();
    // A `secret-tool` that keeps a file for each device, and its arguments.
    let tool = home.write(
        "bin/secret-tool".replace('/', "-").as_str(),
        "#!/bin/sh\necho \"$@\" >> \"$HOME/arguments\"\nfor last; do :; done\ncase $1 in\nstore) cat > \"$HOME/kept-$last\";;\n\
         lookup) cat \"$HOME/kept-$last\" 2>/dev/null;;\nclear) rm \"$HOME/kept-$last\";;\nesac\n",
    );
    fs::create_dir(home.path("bin")).unwrap();
    fs::copy(tool, home.path("bin/secret-tool")).unwrap();
    fs::set_permissions(home.path("bin/secret-tool"), fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:{}", home.file("bin"), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str]| {
        let mut command: Command = home.command(arguments);
        command
            .env_remove("ESPBROKER_KEYRING")
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
            .env("PATH", &path);
        Run::from(command.output().unwrap())
    };
    let port = free_port().to_string();
    let device =
        ["--flash", "hall.bin", "--name", "hall", "--ssid", "home", "--open-network", "--mqtt-port", &port];
    let setup = run(&[&SETUP, &device[..], &["-q", "--mac", "5e:cf:7f:00:10:05"]].concat());
    assert_eq!(setup.code, 0, "{}", setup.stderr);
    let password = fs::read_to_string(home.password("hall")).unwrap();
    let registry = fs::read_to_string(home.path("data/espbroker/devices.json")).unwrap();
    assert!(!registry.contains(password.trim()) && !registry.contains("admin_key"), "{registry}");
    let kept: Value = serde_json::from_slice(&fs::read(home.path("kept-5ecf7f001005")).unwrap()).unwrap();
    assert_eq!(kept["password"], password.trim());
    let arguments = fs::read_to_string(home.path("arguments")).unwrap();
    assert!(!arguments.contains(password.trim()) && !arguments.contains(kept["admin_key"].as_str().unwrap()));
    assert_eq!(run(&["devices", "show", "hall", "--password"]).ok(), password);

    let away = home.run(&["devices", "show", "hall", "--password"]);
    assert!(
        away.stderr.starts_with("error: the secrets are in a keyring, and there is none"),
        "{}",
        away.stderr
    );
    run(&["devices", "forget", "hall", "-y"]).ok();
    assert!(!home.path("kept-5ecf7f001005").exists());
}

#[test]
fn devices_that_run_are_found_on_loopback_side_by_side_and_by_name() {
    let home = Home::new();
    let devices =
        [hold(&home, "found-one", "5e:cf:7f:00:10:06"), hold(&home, "found-two", "5e:cf:7f:00:10:07")];
    let ports: Vec<Value> = devices
        .iter()
        .map(|device| serde_json::from_str::<Value>(&device.line).unwrap()["broker"]["port"].clone())
        .collect();
    // Other tests have devices of their own on this computer.
    let all = home.run(&["discover", "--seconds", "2", "--interface", "127.0.0.1", "--json"]).json();
    let port_of = |name: &str| {
        let mut named = all["devices"].as_array().unwrap().iter().filter(|device| device["name"] == name);
        let port = named.next().map(|device| device["mqtt_port"].clone());
        assert!(named.next().is_none(), "{name} is listed once");
        port
    };
    assert_eq!(
        [port_of("found-one"), port_of("found-two")],
        [Some(ports[0].clone()), Some(ports[1].clone())]
    );

    for name in ["found-two", "found-two.local", "5e:cf:7f:00:10:07"] {
        let one = home.run(&["discover", name, "--json"]).json();
        assert_eq!(one["devices"][0]["mqtt_port"], ports[1], "{name}");
    }
    // Somebody who has never heard of it finds it as well.
    let stranger = Home::new();
    let one = stranger.run(&["discover", "found-one", "--json"]).json();
    assert_eq!(one["devices"][0]["mac"], "5e:cf:7f:00:10:06");
    assert!(known(&stranger).is_empty());

    drop(devices);
    let gone = home.run(&["discover", "found-one", "--seconds", "1"]);
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(gone.verdict(), @r"
    exit 1
    error: `found-one` does not answer; it was last seen at 127.0.0.1:[PORT]

    hint: has it power, and is this computer in the same network (no guest network, no client isolation)? `espbroker monitor` shows on its serial port what it does
    ");
}
