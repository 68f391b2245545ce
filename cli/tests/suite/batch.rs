//! `batch`: many devices at once, over RFC 2217, and what becomes of a batch in which everything goes wrong.

mod faults;
mod interrupt;
mod journal;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use espbroker_virtual_device::{
    Dhcp, Fault, Network, Options, Pace, Served, SimulatedWifi, Timing, VirtualDevice,
};
use serde_json::Value;

use crate::common::{Home, Run, free_port, mode};

/// A device that is plugged into a serial server.
pub(super) struct Plugged {
    pub(super) device: VirtualDevice,
    served: Served,
}

/// How fast it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Speed {
    Instant,
    /// As a real one; joining the network takes a second.
    Slow,
}

/// A MAC address of a virtual device.
pub(super) fn mac(last: u8) -> [u8; 6] {
    [0x5E, 0xCF, 0x7F, 0x00, 0x60, last]
}

pub(super) fn mac_text(last: u8) -> String {
    format!("5e:cf:7f:00:60:{last:02x}")
}

impl Plugged {
    pub(super) fn new(last: u8, faults: Vec<Fault>) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), last, faults, Speed::Instant)
    }

    /// Each device has an address of its own, so that all can have the same MQTT port.
    pub(super) fn at(address: SocketAddr, last: u8, faults: Vec<Fault>, speed: Speed) -> Self {
        let (pace, join_delay) = match speed {
            Speed::Instant => (Pace::Instant, Duration::from_millis(30)),
            Speed::Slow => (Pace::RealTime, Duration::from_secs(1)),
        };
        let network = Network { passphrase: None, dhcp: Dhcp::Answer, ..Network::new("home", "") };
        let options = Options {
            mac: mac(last),
            timing: Timing { uart: pace, nor: pace },
            faults,
            wifi: SimulatedWifi { networks: vec![network], join_delay },
            bind: IpAddr::from([127, 0, 60, last]),
            seed: u64::from(last),
            ..Options::default()
        };
        let device = VirtualDevice::new(options).unwrap();
        let served = device.serve_rfc2217(address).unwrap();
        Self { device, served }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.served.address()
    }

    pub(super) fn port(&self) -> String {
        format!("rfc2217://{}", self.address())
    }

    pub(super) fn is_blank(&self) -> bool {
        self.device.flash().iter().all(|byte| *byte == 0xFF)
    }
}

/// Ports as `--ports` takes them.
pub(super) fn ports(devices: &[&Plugged]) -> String {
    devices.iter().map(|plugged| plugged.port()).collect::<Vec<_>>().join(",")
}

/// A fleet whose devices share a network, a user and a port; `rows` is what each is.
pub(super) fn fleet(home: &Home, rows: &str) -> String {
    home.write("user.txt", "sesame-of-the-user\n");
    home.write(
        "fleet.toml",
        format!(
            "[template]\nname = \"plug-{{mac:4}}\"\nprofile = \"nodemcu\"\nwifi = {{ ssid = \"home\", open = true }}\n\
             [template.broker]\nmqtt_port = {}\nusers = [{{ name = \"ann\", password_file = \"user.txt\" }}]\n{rows}",
            free_port()
        ),
    )
}

pub(super) fn batch(home: &Home, devices: &[&Plugged], more: &[&str]) -> Run {
    let ports = ports(devices);
    home.run(&[&["batch", "fleet.toml", "--wait", "1", "--json", "--ports", &ports], more].concat())
}

pub(super) fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("no JSON: {}{}", run.stdout, run.stderr))
}

/// The states of all rows, in their order.
pub(super) fn states(report: &Value) -> Vec<&str> {
    report["rows"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect()
}

/// All lines of the journal.
pub(super) fn journal(home: &Home) -> Vec<Value> {
    let text = fs::read_to_string(home.path("fleet.toml.journal")).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn devices_are_set_up_at_once_each_as_its_row_says_and_a_second_run_leaves_them_alone() {
    let home = Home::new();
    let devices = [1, 2, 3, 4].map(|last| Plugged::new(last, Vec::new()));
    let [one, two, three, four] = &devices;
    let place = three.port();
    let rows = format!(
        "[[device]]\ncount = 2\n[[device]]\nlocation = \"{place}\"\nname = \"attic\"\n[[device]]\nmac = \"{}\"\n\
         name = \"cellar\"\nbroker.users = [{{ name = \"bob\" }}]\n",
        mac_text(4)
    );
    fleet(&home, &rows);
    let run = batch(&home, &[one, two, three, four], &["--report", "labels.html"]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let report = json(&run);
    assert_eq!((&report["version"], &report["done"], &report["failed"]), (&1.into(), &4.into(), &0.into()));
    let names: Vec<&str> =
        report["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names[2..], ["attic", "cellar"]);
    let mut free = names[..2].to_vec();
    free.sort_unstable();
    assert_eq!(free, ["plug-6001", "plug-6002"]);
    assert_eq!(report["rows"][3]["host"], "127.0.60.4");

    // The registry knows them, as after `setup`, and the generated password of `bob`.
    let known = home.run(&["devices", "--json"]).json();
    assert_eq!(known["devices"].as_array().unwrap().len(), 4);
    let password = fs::read_to_string(home.password("cellar")).unwrap();
    assert_eq!(home.run(&["devices", "show", "cellar", "--password"]).ok(), password);

    let labels = fs::read_to_string(home.path("labels.html")).unwrap();
    assert_eq!(labels.matches("<svg").count(), 4);
    assert!(labels.contains("<b>attic</b>") && labels.contains(&mac_text(3)));
    assert_eq!(mode(&home.path("fleet.toml.journal")), 0o600);
    let kept = fs::read_to_string(home.path("fleet.toml.journal")).unwrap();
    for text in [&kept, &labels, &run.stdout, &run.stderr] {
        assert!(!text.contains("sesame-of-the-user") && !text.contains(password.trim()), "{text}");
    }

    let before: Vec<u64> = devices.iter().map(|plugged| plugged.device.flash_operations()).collect();
    let again = batch(&home, &[one, two, three, four], &["--report", "labels.csv"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stderr.starts_with("4 of 4 devices are finished already"), "{}", again.stderr);
    assert_eq!(json(&again)["rows"][0]["earlier"], true);
    let after: Vec<u64> = devices.iter().map(|plugged| plugged.device.flash_operations()).collect();
    assert_eq!(before, after);
    assert_eq!(fs::read_to_string(home.path("labels.csv")).unwrap().lines().count(), 5);
}

#[test]
fn a_dry_run_shows_the_rows_and_touches_nothing() {
    let home = Home::new();
    let rows = format!(
        "[[device]]\nmac = \"{}\"\nname = \"hall\"\n[[device]]\nlocation = \"1-2.3\"\n\
         bridges = [{{ name = \"cloud\", host = \"example.org\", user = \"{{name}}\", password = \"sesame\" }}]\n\
         [[device]]\ncount = 2\n",
        mac_text(9)
    );
    fleet(&home, &rows);
    let run = home.run(&["batch", "fleet.toml", "--dry-run"]);
    let _guard = home.settled().bind_to_scope();
    insta::assert_snapshot!(run.ok(), @r"
     row  state     device             name                 board          network          bridges
       1  open      5e:cf:7f:00:60:09  hall                 nodemcu        home             -
       2  open      at 1-2.3           plug-{mac:4}         nodemcu        home             cloud
       3  open      next free          plug-{mac:4}         nodemcu        home             -
       4  open      next free          plug-{mac:4}         nodemcu        home             -
    Journal: fleet.toml.journal
    ");
    assert!(!home.path("fleet.toml.journal").exists());
    let plan = home.run(&["batch", "fleet.toml", "--dry-run", "--json"]).json();
    assert_eq!((&plan["version"], &plan["rows"][1]["bridges"][0]), (&1.into(), &"cloud".into()));
}

#[test]
fn secrets_of_a_sheet_come_from_files_variables_and_the_keyring() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let plugged = Plugged::new(5, Vec::new());
    home.write("pw-6005.txt", "from-the-file\n");
    fs::create_dir(home.path("bin")).unwrap();
    let tool = home.write(
        "bin/secret-tool",
        "#!/bin/sh\n[ \"$*\" = 'lookup service espbroker name plug-6005' ] && echo from-the-keyring\n",
    );
    fs::set_permissions(tool, fs::Permissions::from_mode(0o700)).unwrap();
    let settings = home.write(
        "site.toml",
        format!("[wifi]\nssid = \"home\"\nopen = true\n[broker]\nmqtt_port = {}\n", free_port()),
    );
    home.write(
        "fleet.csv",
        "name,broker.users.ann.password,broker.users.bob.password,broker.users.cat.password\n\
         plug-{mac:4},file:pw-{mac:4}.txt,env:BOB,keyring:{name}\n",
    );
    let port = plugged.port();
    let path = format!("{}:{}", home.file("bin"), std::env::var("PATH").unwrap());
    let mut command = home.command(&[
        "batch",
        "fleet.csv",
        "--settings",
        &settings,
        "--ports",
        &port,
        "--wait",
        "1",
        "--json",
    ]);
    command
        .env_remove("ESPBROKER_KEYRING")
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
        .env("PATH", &path)
        .env("BOB", "from-the-variable");
    let run = Run::from(command.output().unwrap());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let (_, config) = crate::settings::active(&plugged.device.flash());
    let [ann, bob, cat] = config.broker.users.as_slice() else { panic!("three users") };
    assert!(ann.password.verify(b"from-the-file"));
    assert!(bob.password.verify(b"from-the-variable"));
    assert!(cat.password.verify(b"from-the-keyring"));
    let missing = home.run(&["batch", "fleet.csv", "--settings", &settings, "--dry-run"]);
    assert!(missing.stderr.contains("no such variable in the environment: `BOB`"), "{}", missing.stderr);
}

#[test]
fn a_fleet_that_others_can_read_or_commit_is_warned_about_when_it_holds_secrets() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let path = home
        .write("fleet.toml", "[template]\nwifi = { ssid = \"a\", passphrase = \"sesame123\" }\n[[device]]\n");
    let warning = || home.run(&["batch", "fleet.toml", "--dry-run"]).stderr;
    assert_eq!(warning(), "");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(warning().contains("other users can read"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(home.path(".git")).unwrap();
    assert!(warning().contains("git work tree"));
}

#[test]
fn what_cannot_run_is_refused_with_the_next_step_and_exit_code_2() {
    let home = Home::new();
    let verdict = |arguments: &[&str]| home.run(&[&["batch"], arguments].concat()).verdict();
    let _guard = home.settled().bind_to_scope();
    insta::assert_snapshot!(verdict(&["none.toml"]), @r"
    exit 2
    error: cannot read the fleet file: `none.toml`
      caused by: No such file or directory (os error 2)
    ");
    let mac = mac_text(1);
    fleet(&home, &format!("[[device]]\nmac = \"{mac}\"\n[[device]]\nmac = \"{mac}\"\n"));
    insta::assert_snapshot!(verdict(&["fleet.toml"]), @r#"
    exit 2
    error: rows 1 and 2 are for the same device: mac 5e:cf:7f:00:60:01

    hint: give each device a row of its own, and a name of its own: "plug-{mac:6}" makes one
    "#);
    fleet(&home, "[[device]]\nprofile = \"sonoff-s31\"\n");
    insta::assert_snapshot!(verdict(&["fleet.toml", "--wait", "0"]), @r"
    exit 2
    error: in the fleet are mains devices: Sonoff S31 (metering plug)

    hint: MAINS VOLTAGE KILLS: unplug the devices, power them from 3.3 V only, then confirm with --off-mains
    ");
    fleet(&home, "[[device]]\n");
    insta::assert_snapshot!(verdict(&["fleet.toml", "--wait", "0", "--ports", "/dev/none"]), @r"
    exit 2

         1  open      plug-{mac:4}         -                  next free

    0 of 1 devices are done, 0 failed, 1 were not connected; [TIME]
    error: no device was connected

    hint: connect a device, and look with `espbroker ports` whether its adapter is seen; `espbroker doctor` says what stands in the way
    ");
    insta::assert_snapshot!(verdict(&["fleet.toml", "--report", "labels.pdf"]), @r"
    exit 2
    error: report is neither named .html nor .csv: `labels.pdf`

    hint: name it report.html or report.csv
    ");
}
