//! The commands beside `setup`, on a virtual device behind RFC 2217.

use std::{fs, path::Path};

use espbroker_config::{
    flash_map::{CONFIG_A, CONFIG_B, SYSTEM_PARAMETER},
    slots::Slot,
};
use espbroker_virtual_device::image;
use insta::assert_snapshot;

use crate::{
    common::{Background, Home, Run, free_port, mode},
    settings::{FULL, active, more_than_the_flash_takes, region},
};

/// A device that is set up as `hall`, and its home.
fn device() -> (Home, Background) {
    let home = Home::new();
    home.device("flash.bin");
    let device = Background::simulate(&home, "flash.bin", &["--network", "home"]);
    (home, device)
}

/// Runs a command on a device, and leaves the progress out.
fn on(home: &Home, device: &Background, arguments: &[&str]) -> Run {
    home.run(&[arguments, &["-q", "--port", &device.line]].concat())
}

fn flash(home: &Home) -> Vec<u8> {
    fs::read(home.path("flash.bin")).unwrap()
}

// ---- config ----

#[test]
fn a_self_test_passes_on_a_device_that_is_sound_and_leaves_a_report() {
    let home = Home::new();
    let run = home.run(&["selftest", "--simulate", "--pace", "instant", "-q", "--report", "report.json"]);
    assert!(run.ok().starts_with("# espbroker selftest (simulated)\n"));
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(home.path("report.json")).unwrap()).unwrap();
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.len() > 20, "{}", run.stdout);
    assert!(findings.iter().all(|finding| finding["outcome"] == "passed" || finding["outcome"] == "noted"));
    assert_eq!((report["version"].clone(), mode(&home.path("report.json"))), (1.into(), 0o600));
    let again = home.run(&["selftest", "--simulate", "--report", "report.json"]);
    assert_eq!(again.code, 2, "a report is never overwritten");
}

#[test]
fn a_config_is_shown_with_its_secrets_masked_and_what_is_shown_can_be_written_back() {
    let home = Home::new();
    let settings = home.write("hall.toml", FULL);
    home.write("wifi.txt", "sesame-of-the-wifi\n");
    assert_eq!(home.setup(&["-q", "--settings", &settings, "--flash", "flash.bin"]).code, 0);
    let before = active(&flash(&home)).1;

    let device = Background::simulate(&home, "flash.bin", &[]);
    let shown = on(&home, &device, &["config", "show"]).ok().to_owned();
    let mut filters = home.settled();
    filters.add_filter(r"mqtt_port = \d+", "mqtt_port = [PORT]");
    let _guard = filters.bind_to_scope();
    assert_snapshot!("config", shown);

    // Nothing answers to this network here; the settings are written all the same.
    let run = on(&home, &device, &["config", "write", "--settings", &home.write("shown.toml", &shown)]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let (slot, after) = active(&flash(&home));
    assert_eq!(slot, Slot::B);
    assert_eq!(after, before, "every masked secret was kept");
}

#[test]
fn config_write_changes_what_is_named_keeps_the_rest_and_shows_the_difference() {
    let (home, device) = device();
    let before = active(&flash(&home)).1;
    let port = free_port();
    let settings = home.write("change.toml", format!("name = \"attic\"\n[broker]\nmqtt_port = {port}\n"));
    let write = ["config", "write", "--settings", &settings, "--port", &device.line];

    let untouched = flash(&home);
    let run = home.run(&[write.as_slice(), &["--dry-run"]].concat());
    assert_eq!((run.code, flash(&home) == untouched), (0, true));

    let run = home.run(&write);
    let mut filters = home.settled();
    filters.add_filter(r"mqtt_port: \d+ -> \d+", "mqtt_port: [PORT] -> [PORT]");
    let _guard = filters.bind_to_scope();
    assert_snapshot!(run.verdict(), @r#"
    exit 0
    ✓ connect [TIME]  stub answers at 460800 baud on rfc2217://[ADDRESS]
    ✓ identify [TIME]  ESP8266, 26 MHz, 4096 KB flash (ef4016), MAC 5e:cf:7f:00:00:01
    ✓ read [TIME]  a firmware, settings of `hall` in config-a (sequence 1)
    ~ broker.mqtt_port: [PORT] -> [PORT]
    ~ name: "hall" -> "attic"
    ✓ configure [TIME]  208 bytes in slot b (sequence 2), verified by the loader
    ✓ boot [TIME]  firmware [VERSION] runs; settings verified by the device
    ✓ join [TIME]  127.0.0.1, MQTT on port [PORT], [HEAP] bytes of heap free
    "#);
    let (slot, after) = active(&flash(&home));
    assert_eq!((slot, after.name.as_str(), after.broker.mqtt_port), (Slot::B, "attic", port));
    assert_eq!((&after.wifi, &after.admin_key), (&before.wifi, &before.admin_key));
    assert_eq!(after.broker.users, before.broker.users);
}

#[test]
fn settings_that_do_not_fit_are_refused_before_anything_is_written_and_in_a_dry_run_too() {
    let (home, device) = device();
    let untouched = flash(&home);
    let settings = home.write("long.toml", more_than_the_flash_takes());
    for arguments in [["--settings", &settings].as_slice(), &["--settings", &settings, "--dry-run"]] {
        let run = on(&home, &device, &[["config", "write"].as_slice(), arguments].concat());
        assert!(
            run.stderr.contains("error: the settings do not fit the config partition\n"),
            "{}",
            run.stderr
        );
        assert_eq!((run.code, flash(&home) == untouched), (2, true));
    }
}

#[test]
fn config_write_to_a_device_without_settings_needs_whole_ones() {
    let home = Home::new();
    let device = Background::simulate(&home, "flash.bin", &[]);
    let settings = home.write("change.toml", "[wifi]\npassphrase = \"****\"\n");
    let run = on(&home, &device, &["config", "write", "--settings", &settings]);
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: wifi.ssid is missing
    ");
    let run = on(&home, &device, &["config", "show"]);
    assert_snapshot!(run.verdict(), @"
    exit 1
    error: the device has no valid settings

    hint: `espbroker setup` or `espbroker config write` gives it settings
    ");
}

#[test]
fn config_read_saves_both_slots_privately_and_show_understands_the_file() {
    let (home, device) = device();
    let read = |name: &str| on(&home, &device, &["config", "read", name]);
    assert_eq!(read("slots.bin").code, 0);
    let saved = fs::read(home.path("slots.bin")).unwrap();
    assert!(saved == [region(&flash(&home), &CONFIG_A), region(&flash(&home), &CONFIG_B)].concat());
    assert_eq!(mode(&home.path("slots.bin")), 0o600);
    assert_snapshot!(read("slots.bin").verdict(), @"
    exit 2
    error: cannot write `slots.bin`
      caused by: there is a file of this name already
    ");
    let shown = home.run(&["config", "show", "--file", "slots.bin"]).ok().to_owned();
    assert_eq!(shown, on(&home, &device, &["config", "show"]).ok());
    home.write("noise.bin", [0x5A; 8192]);
    assert_eq!(home.run(&["config", "show", "--file", "noise.bin"]).code, 1);
}

// ---- verify ----

#[test]
fn verify_says_yes_to_the_same_image_and_no_to_another() {
    let (home, device) = device();
    let same = home.write("same.bin", image::build(env!("CARGO_PKG_VERSION")).unwrap());
    let other = home.write("other.bin", image::build("0.0.1").unwrap());
    for (loader, by) in [(["--stub", "rom"], "firmware"), (["--baud", "115200"], "loader")] {
        let verify = |image: &str| {
            on(&home, &device, &[["verify", "--json", "--image", image].as_slice(), &loader].concat())
        };
        let report = verify(&same).json();
        assert_eq!((&report["matches"], &report["by"]), (&true.into(), &by.into()));
        assert_eq!(report["sha256"].as_str().unwrap().len(), 64);
        let run = verify(&other);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
        assert!(run.stderr.starts_with("error: the device"), "{}", run.stderr);
    }
}

#[test]
fn verify_finds_one_changed_byte_with_either_loader() {
    let home = Home::new();
    let image = image::build("1.2.3").unwrap();
    let mut changed = image.clone();
    changed[200_000] ^= 0x10;
    changed.resize(4 << 20, 0xFF);
    home.write("flash.bin", changed);
    let image = home.write("image.bin", image);
    let device = Background::simulate(&home, "flash.bin", &[]);
    let run = on(&home, &device, &["verify", "--image", &image, "--stub", "rom"]);
    let mut filters = home.settled();
    filters.add_filter("sha256 [0-9a-f]{64}", "sha256 [DIGEST]");
    let _guard = filters.bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 1
    error: the device says that its image is another one: sha256 [DIGEST]

    hint: `espbroker setup` writes the image again
    ");
    let run = on(&home, &device, &["verify", "--image", &image]);
    assert_snapshot!(run.verdict(), @"
    exit 1
    error: the device holds another image: it differs at 0x30000

    hint: `espbroker setup` writes the image again
    ");
}

// ---- backup, restore, erase ----

#[test]
fn a_backup_is_private_leaves_secrets_out_and_overwrites_nothing() {
    let (home, device) = device();
    let run = on(&home, &device, &["backup", "all.bin"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let (saved, flash) = (fs::read(home.path("all.bin")).unwrap(), flash(&home));
    assert_eq!((saved.len(), mode(&home.path("all.bin"))), (4 << 20, 0o600));
    let mut masked = flash.clone();
    for secret in [CONFIG_A, CONFIG_B, SYSTEM_PARAMETER] {
        masked[secret.offset as usize..secret.end() as usize].fill(0xFF);
    }
    assert!(saved == masked && saved != flash);

    assert_snapshot!(on(&home, &device, &["backup", "all.bin"]).verdict(), @"
    exit 2
    error: cannot write `all.bin`
      caused by: there is a file of this name already
    ");
    // Such a file would blank the settings.
    assert_snapshot!(on(&home, &device, &["restore", "all.bin"]).verdict(), @"
    exit 2
    error: this backup was made without secrets, and would blank them: `all.bin`

    hint: restore single regions with --region, or allow it with --yes and run `config write` afterwards
    ");
}

#[test]
fn a_backup_that_takes_many_minutes_must_be_asked_for() {
    let (home, device) = device();
    assert_snapshot!(on(&home, &device, &["backup", "all.bin", "--stub", "rom"]).verdict(), @"
    exit 2
    error: reading 4194304 bytes through the boot ROM takes about 95 minutes

    hint: leave out --stub rom, name one --region, or insist with --slow
    ");
    assert!(!home.path("all.bin").exists());
}

#[test]
fn one_region_is_saved_erased_and_restored() {
    let (home, device) = device();
    let before = flash(&home);
    let part = ["--region", "config-a"];
    let run = |command: &[&str]| on(&home, &device, &[command, &part].concat());
    let saved = home.run(&["backup", "a.bin", "--include-secrets", part[0], part[1], "--port", &device.line]);
    assert_eq!(saved.code, 0, "{}", saved.stderr);
    assert!(saved.stderr.contains("`a.bin` contains secrets in plain text"), "{}", saved.stderr);
    assert!(fs::read(home.path("a.bin")).unwrap() == region(&before, &CONFIG_A));

    assert_snapshot!(run(&["erase"]).verdict(), @"
    exit 2
    error: this would replace `config-a` (4 KB at 0x200000) with nothing

    hint: save it with `espbroker backup`, then allow it with --yes
    ");
    assert_eq!(
        run(&["erase", "--dry-run"]).ok(),
        "would erase `config-a` (4 KB at 0x200000; with 1 MB of flash 4 KB at 0x0b1000)\n"
    );
    assert!(flash(&home) == before);
    assert_eq!(run(&["erase", "--yes"]).code, 0);
    let erased = flash(&home);
    assert!(region(&erased, &CONFIG_A).iter().all(|byte| *byte == 0xFF));
    assert!(differences(&before, &erased).all(|offset| CONFIG_A.offset <= offset && offset < CONFIG_A.end()));

    assert_eq!(run(&["restore", "a.bin", "--dry-run"]).code, 0);
    assert!(flash(&home) == erased);
    assert_snapshot!(run(&["restore", "a.bin"]).verdict(), @"
    exit 2
    error: this would replace `config-a` (4 KB at 0x200000)

    hint: save it with `espbroker backup`, then allow it with --yes
    ");
    assert_eq!(run(&["restore", "a.bin", "--yes"]).code, 0);
    assert!(flash(&home) == before);
    assert_eq!(active(&flash(&home)).1.name, "hall");
}

fn differences(before: &[u8], after: &[u8]) -> impl Iterator<Item = u32> {
    before.iter().zip(after).zip(0..).filter(|((before, after), _)| before != after).map(|(_, offset)| offset)
}

#[test]
fn a_backup_of_another_length_is_not_restored() {
    let (home, device) = device();
    home.write("short.bin", [0; 100]);
    let before = flash(&home);
    assert_snapshot!(on(&home, &device, &["restore", "short.bin", "--region", "store"]).verdict(), @"
    exit 2
    error: file does not have the length of the region `store`: 100 instead of 2068480 bytes

    hint: name the --region that the file was made from
    ");
    assert!(flash(&home) == before);
}

#[test]
fn a_whole_flash_is_erased_and_set_up_again() {
    let (home, device) = device();
    assert_eq!(on(&home, &device, &["erase", "--all", "--yes"]).code, 0);
    assert!(flash(&home).iter().all(|byte| *byte == 0xFF));
    let port = free_port().to_string();
    let answers = ["setup", "--ssid", "home", "--open-network", "--mqtt-port", &port];
    assert_eq!(on(&home, &device, &answers).code, 0);
}

// ---- looking ----

#[test]
fn info_tells_machine_flash_and_settings() {
    let (home, device) = device();
    assert_snapshot!(on(&home, &device, &["info"]).ok(), @"
    machine   virtual
    chip      ESP8266
    mac       5e:cf:7f:00:00:01
    crystal   26 MHz
    flash     4096 KB, id ef4016
    boot      image
    settings  `hall` in slot a, sequence 1
    ");
    let report = on(&home, &device, &["info", "--json"]).json();
    assert_eq!(
        report,
        serde_json::json!({
            "version": 1, "machine": "virtual", "chip": "ESP8266", "mac": "5e:cf:7f:00:00:01", "crystal_mhz": 26,
            "flash_id": "ef4016", "flash_bytes": 4 << 20, "boot_sector": "image",
            "config": {"slot": "a", "sequence": 1, "name": "hall"},
        })
    );
}

#[test]
fn info_tells_a_blank_device_from_one_that_is_set_up() {
    let home = Home::new();
    let device = Background::simulate(&home, "flash.bin", &["--mac", "5c:cf:7f:00:00:01"]);
    let report = on(&home, &device, &["info", "--json"]).json();
    assert_eq!((&report["machine"], &report["boot_sector"]), (&"esp8266".into(), &"blank".into()));
    assert!(report.get("config").is_none());
}

#[test]
fn the_device_can_be_named_by_the_environment() {
    let (home, device) = device();
    let mut command = home.command(&["info", "-q"]);
    assert!(command.env("ESPBROKER_PORT", &device.line).output().unwrap().status.success());
}

#[test]
fn monitor_shows_the_start_up_for_the_time_that_was_asked_for() {
    let (home, device) = device();
    let run = on(&home, &device, &["monitor", "--seconds", "2"]);
    let lines: Vec<&str> = run.ok().lines().filter(|line| line.starts_with("@eb ")).collect();
    assert!(lines[0].starts_with("@eb boot version="), "{lines:#?}");
    assert!(lines.last().unwrap().starts_with("@eb ready"), "{lines:#?}");
}

#[test]
fn ports_are_a_list_in_json_and_lines_for_people() {
    let home = Home::new();
    let list: serde_json::Value = home.run(&["ports", "--json"]).json();
    let ports = list.as_array().unwrap();
    assert!(ports.iter().all(|port| port["name"].is_string() && port["likely"].is_boolean()));
    assert_eq!(home.run(&["ports"]).ok().lines().count(), ports.len());
}

#[test]
fn profiles_say_what_each_pin_does_and_who_says_so() {
    let home = Home::new();
    let list: serde_json::Value = home.run(&["profiles", "--json"]).json();
    let profiles = list.as_array().unwrap();
    assert_eq!(profiles.len(), 5);
    for profile in profiles {
        assert!(profile["source"].as_str().is_some_and(|source| !source.is_empty()));
        assert_eq!(profile["flash_mb"], 4);
        for pin in profile["pins"].as_array().unwrap() {
            assert!(pin["gpio"].is_u64() && pin["function"].is_string() && pin["source"].is_string());
        }
    }
    let text = home.run(&["profiles"]).ok().to_owned();
    assert!(profiles.iter().all(|profile| text.contains(profile["id"].as_str().unwrap())), "{text}");
}

#[test]
fn a_firmware_build_names_what_is_missing_before_it_begins() {
    let home = Home::new();
    let (sdk, output) = (home.file("sdk"), home.file("."));
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let build = ["firmware", "build", "--sdk", &sdk, "--output", &output, "--source"];
    let run = home.run(&[&build[..], &[root]].concat());
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains(&format!("no NONOS SDK in `{sdk}`")), "{}", run.stderr);
    assert!(run.stderr.contains("https://github.com/espressif/ESP8266_NONOS_SDK"), "{}", run.stderr);
    let run = home.run(&[&build[..], &[&sdk]].concat());
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains(&format!("no source of espbroker in `{sdk}`")), "{}", run.stderr);
    for image in ["espbroker-esp8266-4mb.bin", "espbroker-esp8266-1mb.bin"] {
        let mine = home.write(image, "mine");
        let run = home.run(&[&build[..], &[root]].concat());
        assert_eq!((run.code, run.stdout.as_str()), (2, ""));
        assert!(run.stderr.contains(image), "{}", run.stderr);
        assert_eq!(fs::read(&mine).unwrap(), b"mine");
        fs::remove_file(mine).unwrap();
    }
}

#[test]
fn simulate_writes_its_image_for_other_tools_and_over_nothing() {
    let home = Home::new();
    let device = Background::start(home.command(&["simulate", "--write-image", "image.bin"]));
    let image = fs::read(home.path("image.bin")).unwrap();
    assert!(image == image::build(env!("CARGO_PKG_VERSION")).unwrap());
    drop(device);
    let run = home.run(&["simulate", "--write-image", "image.bin"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(Path::new(&home.file("image.bin")).exists());
}

#[test]
fn a_pseudo_terminal_leads_to_the_loader_of_a_blank_device() {
    let home = Home::new();
    let device = Background::start(home.command(&["simulate", "--pty", "--pace", "instant"]));
    assert!(device.line.starts_with("/dev/"), "{}", device.line);
    let report = on(&home, &device, &["info", "--json", "--reset", "manual"]).json();
    assert_eq!(report["boot_sector"], "blank");
}
