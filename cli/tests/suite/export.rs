//! `export mosquitto`. That mosquitto takes the files is for `cargo xtask clients export`.

use std::fs;

use insta::assert_snapshot;

use crate::common::{Background, Home, mode};

const SETTINGS: &str = r##"
    name = "hall"
    profile = "nodemcu"
    [wifi]
    ssid = "home"
    passphrase_file = "not-there.txt"
    [[broker.users]]
    name = "ann"
    password = "sesame"
    permissions = [{ pattern = "house/%u/#", access = "readwrite" }, { pattern = "own/%c", access = "read" }]
"##;

#[test]
fn files_are_private_and_those_of_an_earlier_export_stay_unless_they_may_go() {
    let home = Home::new();
    let settings = home.write("hall.toml", SETTINGS);
    let export = ["export", "mosquitto", "out", "--settings", &settings];
    let run = home.run(&export);
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(format!("{}{}", run.ok(), run.stderr), @r"
    [HOME]/out/mosquitto.conf
    [HOME]/out/passwords
    [HOME]/out/access-list
    Start it with `mosquitto -c [HOME]/out/mosquitto.conf`. As a service mosquitto runs as a user of its own, who must own these files.
    What is otherwise than on the device:
      - for user `ann`, `own/%c` is left out: mosquitto has no topics by client id for one user alone
      - a subscription that your device refuses is granted, and nothing that is not allowed comes over it
      - limits are mosquitto's own, since there is no chip to protect; retained messages start empty
    ");
    for name in ["mosquitto.conf", "passwords", "access-list"] {
        assert_eq!(mode(&home.path("out").join(name)), 0o600, "{name}");
    }
    assert_eq!((mode(&home.path("out")), mode(&home.path("out/data"))), (0o700, 0o700));

    let before = fs::read(home.path("out/passwords")).unwrap();
    let again = home.run(&export);
    assert_snapshot!(again.verdict(), @r"
    exit 2
    error: there is an export already: `[HOME]/out/mosquitto.conf`

    hint: name another folder, or replace its files with --force
    ");
    assert_eq!(fs::read(home.path("out/passwords")).unwrap(), before);

    let open = home.write("open.toml", "[broker]\nanonymous = true\n");
    let run = home.run(&["export", "mosquitto", "out", "--settings", &open, "--force", "--json"]).json();
    assert_eq!(run["files"].as_array().unwrap().len(), 2);
    assert!(!home.path("out/access-list").exists(), "an old access list would be misread");
}

#[test]
fn a_device_is_exported_with_the_hashes_that_it_has() {
    let home = Home::new();
    home.device("flash.bin");
    let device = Background::simulate(&home, "flash.bin", &[]);
    home.run(&["export", "mosquitto", "out", "-q", "--port", &device.line]).ok();
    let hash = crate::settings::active(&fs::read(home.path("flash.bin")).unwrap()).1.broker.users[0]
        .password
        .to_text();
    assert_eq!(fs::read_to_string(home.path("out/passwords")).unwrap(), format!("home:{hash}\n"));
}
