//! Secrets stay out of everything that is printed, also where all bytes of the serial line are, and where a run fails.

use std::{collections::BTreeSet, fs};

use base64ct::{Base64, Encoding as _};
use espbroker_config::{
    flash_map::CONFIG_A,
    image::Target,
    slots::{HEADER_LENGTH, SlotHeader},
};
use espbroker_virtual_device::image;

use crate::{
    common::{Background, Home, Run, free_port, signal},
    settings::{FULL, active, region},
};

/// Bytes of a secret that must not appear in a row.
const WINDOW: usize = 6;

/// Everything that was printed, in the forms in which a secret could hide.
struct Output {
    text: String,
    /// Hex digits without anything between them.
    digits: String,
}

impl Output {
    /// Each line once and without its time, since a trace repeats itself ten thousand times.
    fn new(runs: &[Run]) -> Self {
        let lines: BTreeSet<&str> = runs
            .iter()
            .flat_map(|run| run.stdout.lines().chain(run.stderr.lines()))
            .map(|line| {
                line.trim_start().trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.')
            })
            .collect();
        let text = lines.into_iter().collect::<Vec<_>>().join("\n");
        let digits = text
            .to_ascii_lowercase()
            .replace("0x", "")
            .chars()
            .filter(|letter| !matches!(letter, ' ' | ':' | ',' | '-' | '_' | '[' | ']'))
            .collect();
        Self { text, digits }
    }

    /// Fails if a secret is there as text, base64, numbers, or hex digits, byte by byte or in words.
    fn must_not_contain(&self, name: &str, secret: &[u8]) {
        let text = String::from_utf8_lossy(secret);
        assert!(!self.text.contains(text.as_ref()), "{name} as text");
        assert!(!self.text.contains(&Base64::encode_string(secret)), "{name} as base64");
        for window in secret.windows(WINDOW) {
            let hex: String = window.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!self.digits.contains(&hex), "{name} as hex: {hex}");
            let reversed: String = window.iter().rev().map(|byte| format!("{byte:02x}")).collect();
            assert!(!self.digits.contains(&reversed), "{name} as little-endian hex: {reversed}");
            let numbers = format!("{window:?}");
            assert!(!self.text.contains(numbers.trim_matches(['[', ']'])), "{name} as numbers: {numbers}");
        }
    }
}

/// Secrets of [`FULL`], as text.
const TEXTS: [&str; 4] =
    ["sesame-of-the-wifi", "sesame-of-the-rescue", "sesame-of-the-user", "sesame-of-the-bridge"];

/// The cluster's key.
fn key() -> Vec<u8> {
    (0x20..0x40).collect()
}

#[test]
fn no_secret_is_in_any_output_of_any_command_that_meets_it() {
    let home = Home::new();
    let settings = home.write("hall.toml", FULL);
    home.write("wifi.txt", "sesame-of-the-wifi\n");
    // Firmware holds words that are in secrets too, and its bytes are in traces.
    let filler = home.write("filler.bin", image::filler(Target::Virtual, env!("CARGO_PKG_VERSION")).unwrap());
    let fixed = ["--settings", &settings, "-vv", "--image", &filler, "--allow-unsigned"];
    // Through the boot ROM, and behind an image of this length, these meet the config while it is written or read back.
    let cut = |fault: &str| home.setup(&[fixed.as_slice(), &["--stub", "rom", "--fault", fault]].concat());
    let setup = |more: &[&str]| home.setup(&[fixed.as_slice(), &["--flash", "flash.bin"], more].concat());
    let mut runs = vec![
        cut("unplug=238800"),
        cut("unplug=241600"),
        cut("power-cut=900"),
        setup(&["--fault", "lose-reply=7000", "--yes", "--json"]),
        setup(&["--yes", "--stub", "rom"]),
        setup(&["--yes", "--network", "other"]),
        setup(&["--dry-run"]),
        setup(&["--user", "nobody", "--mqtt-port", "0"]),
    ];
    let codes: Vec<i32> = runs.iter().map(|run| run.code).collect();
    assert_eq!(codes, [2, 2, 2, 0, 0, 1, 0, 2]);
    for cut in &runs[..3] {
        assert!(cut.stderr.contains("region `config-a`") || cut.stderr.contains("verify `config-a`"));
    }

    let password = format!("home={}", home.file("wifi.txt"));
    let device = Background::simulate(&home, "flash.bin", &["--network", &password]);
    let port = ["--port", &device.line, "-vv"];
    let run = |arguments: &[&str]| home.run(&[arguments, &port].concat());
    let change = home.write("change.toml", format!("[broker]\nmqtt_port = {}\n", free_port()));
    let mut more = vec![
        run(&["config", "show"]),
        run(&["config", "show", "--stub", "rom"]),
        run(&["config", "read", "slots.bin"]),
        run(&["config", "write", "--settings", &settings, "--dry-run"]),
        run(&["info", "--json"]),
        run(&["backup", "--region", "config-b", "b.bin", "--include-secrets"]),
        run(&["restore", "--region", "config-b", "b.bin", "--yes"]),
        run(&["config", "write", "--settings", &change]),
        run(&["monitor", "--seconds", "1"]),
    ];
    let codes: Vec<i32> = more.iter().map(|run| run.code).collect();
    assert_eq!(codes, [0; 9]);
    runs.append(&mut more);

    let output = Output::new(&runs);
    assert!(output.digits.contains("00020060"), "the trace shows the protocol itself");
    for text in TEXTS {
        output.must_not_contain(text, text.as_bytes());
    }
    output.must_not_contain("the cluster's key", &key());
    let flash = fs::read(home.path("flash.bin")).unwrap();
    let (_, config) = active(&flash);
    output.must_not_contain("the admin key", config.admin_key.unwrap().expose());
    for user in &config.broker.users {
        let hash = user.password.to_text();
        output.must_not_contain("a password's hash", hash.rsplit_once('$').unwrap().1.as_bytes());
    }
    let sector = region(&flash, &CONFIG_A);
    let length = SlotHeader::parse(sector).unwrap().length as usize;
    let payload = &sector[HEADER_LENGTH..HEADER_LENGTH + length];
    // Blank flash and zeros are no secret, and the trace is full of them.
    for window in payload.windows(8) {
        let hex: String = window.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!output.digits.contains(&hex), "config bytes: {hex}");
    }
}

#[test]
fn a_change_tells_no_secret_whichever_way_it_takes_and_however_it_ends() {
    let home = Home::new();
    home.device("flash.bin");
    let flash = || fs::read(home.path("flash.bin")).unwrap();
    let device = Background::simulate(&home, "flash.bin", &["--network", "home"]);
    let first_key = active(&flash()).1.admin_key.unwrap();
    let bridge = home.write("bridge.txt", "sesame-of-the-bridge\n");
    let wifi = home.write("wifi.txt", "sesame-of-the-wifi\n");
    let user = home.write("user.txt", "sesame-of-the-user\n");
    let settings = home.write("change.toml", "[access_point]\npassphrase = \"sesame-of-the-rescue\"\n");
    let closed = free_port().to_string();
    let console = ["--port", &device.line, "--via", "console"];
    let loader = ["--port", &device.line, "--via", "loader"];
    let with = |arguments: &[&str], way: &[&str]| home.run(&[arguments, &["-vv", "--yes"], way].concat());
    let change = |more: &[&str], way: &[&str]| with(&[&["reconfigure"], more].concat(), way);
    let new_user = ["--user", "home", "--password-file", &user];
    let refused = ["--bridge-host", "127.0.0.1", "--bridge-port", &closed, "--bridge-password-file", &bridge];
    let join = ["--ssid", "nowhere", "--wifi-passphrase-file", &wifi, "--try-for", "10"];
    let mut runs = vec![
        change(&["--settings", &settings], &loader),
        change(&new_user, &loader),
        change(&[&refused[..], &["--bridge-user", "me", "--try-for", "10"]].concat(), &console),
        change(&join, &console),
        change(&["--settings", &settings, "--mqtt-port", &closed, "--dry-run", "--json"], &loader),
        with(&["rotate-keys", "--json"], &console),
        with(&["rotate-keys"], &loader),
        // The password is not one that this computer has generated, and is not found.
        change(&["--user", "home", "--password-file", &home.file("none.txt")], &loader),
    ];
    let codes: Vec<i32> = runs.iter().map(|run| run.code).collect();
    assert_eq!(codes, [0, 0, 1, 1, 0, 0, 0, 2]);
    let left = flash();
    let (_, config) = active(&left);
    runs.push(home.run(&["wipe", "-vv", "--confirm", "hall", "--port", &device.line]));
    assert_eq!(runs.last().unwrap().code, 0);

    let output = Output::new(&runs);
    assert!(output.digits.contains("00020060"), "the trace shows the protocol itself");
    for text in TEXTS {
        output.must_not_contain(text, text.as_bytes());
    }
    let last_key = config.admin_key.unwrap();
    assert_ne!(first_key, last_key);
    output.must_not_contain("the first admin key", first_key.expose());
    output.must_not_contain("the last admin key", last_key.expose());
    let hash = config.broker.users[0].password.to_text();
    output.must_not_contain("a password's hash", hash.rsplit_once('$').unwrap().1.as_bytes());
}

#[test]
fn a_broker_on_this_computer_tells_no_secret() {
    let home = Home::new();
    let settings = home.write("hall.toml", FULL);
    let port = free_port().to_string();
    let arguments =
        ["broker", "--json", "-vv", "--store", "hall.store", "--port", &port, "--config", &settings];
    let mut running = Background::start(home.command(&arguments));
    while !running.next_line().contains("ready") {}
    home.write("hall.toml", FULL.replace("websocket_port = 0", "websocket_port = 1"));
    signal(running.id(), "HUP");
    let configured = running.next_line();
    assert!(configured.contains("websocket_port"), "{configured}");
    home.write("hall.toml", FULL.replace("websocket_port = 0", "websocket_port = \"sesame-of-the-user\""));
    signal(running.id(), "HUP");
    let mut refused = running.next_line();
    assert!(refused.contains("not-configured"), "{refused}");
    running.interrupt();
    let (_, config) = active(&fs::read(home.path("hall.store")).unwrap());
    let mut run = running.finish();
    refused.push_str(&configured);
    run.stdout = refused;
    let output = Output::new(&[run]);
    for text in TEXTS {
        output.must_not_contain(text, text.as_bytes());
    }
    output.must_not_contain("the cluster's key", &key());
    for user in &config.broker.users {
        let hash = user.password.to_text();
        output.must_not_contain("a password's hash", hash.rsplit_once('$').unwrap().1.as_bytes());
    }
}

#[test]
fn a_settings_file_that_is_not_understood_is_not_quoted() {
    let home = Home::new();
    for text in [
        "[wifi]\nssid = \"home\"\npassphrase = 20071996\n",
        "[wifi]\nssid = \"home\"\npassphrase = \"20071996\n",
        "[wifi]\nssid = \"home\"\nhidden = \"20071996\"\n",
        "[wifi]\nssid = \"home\"\npassphrase = \"2007199\\u00e4 20071996\"\n",
        "[wifi]\nssid = \"home\"\n[[broker.users]]\nname = \"a\"\npassword_hash = \"$7$20071996\"\n",
        "[wifi]\nssid = \"home\"\n[cluster]\nname = \"c\"\nkey = \"20071996\"\n",
    ] {
        let settings = home.write("settings.toml", text);
        let run = home.run(&["setup", "--port", "/dev/none", "-vv", "--settings", &settings]);
        assert_eq!(run.code, 2, "{text}");
        assert!(!run.stderr.contains("20071996"), "{}", run.stderr);
    }
}
