//! Everything that can stand in the way of a set-up: exit code, message and next step.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use assert_cmd::cargo::CommandCargoExt as _;
use espbroker_config::image::Target;
use espbroker_virtual_device::image;
use insta::assert_snapshot;

use crate::common::{Background, Home, Run, SETUP, free_port};

/// Answers that need no terminal.
const ANSWERS: [&str; 3] = ["--ssid", "home", "--open-network"];

/// Runs `setup` with a fault, and leaves the progress out.
fn with_fault(home: &Home, fault: &str, more: &[&str]) -> Run {
    home.setup(&[["--fault", fault, "-q"].as_slice(), more].concat())
}

/// Whether nothing was written to a device that was blank.
fn is_blank(home: &Home, flash: &str) -> bool {
    fs::read(home.path(flash)).unwrap().iter().all(|byte| *byte == 0xFF)
}

// ---- the port ----

#[test]
fn a_port_that_does_not_exist_is_named_and_the_list_of_ports_is_pointed_to() {
    let home = Home::new();
    let run = home.run(&["info", "-q", "--port", "/dev/there-is-no-such-port"]);
    // What is said beside the list depends on whether this computer has brltty.
    let (message, hint) = run.stderr.split_once("\n\nhint: ").unwrap();
    assert_eq!((run.code, message), (2, "error: no such port: `/dev/there-is-no-such-port`"));
    assert!(hint.contains("espbroker ports") || hint.contains("brltty"));
}

#[test]
fn a_file_that_is_no_serial_port_is_refused() {
    let home = Home::new();
    let file = home.write("notes.txt", "not a port");
    let run = home.run(&["info", "-q", "--port", &file]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("is it a serial port? `espbroker ports` lists"), "{}", run.stderr);
}

#[test]
fn a_serial_server_that_is_not_running_is_asked_about() {
    let home = Home::new();
    let port = format!("rfc2217://127.0.0.1:{}", free_port());
    let run = home.run(&["info", "-q", "--port", &port]);
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: Connection refused (os error 111): `rfc2217://[ADDRESS]`

    hint: is the serial server running, and are its address and port right?
    ");
}

#[test]
fn a_serial_server_whose_port_is_in_use_is_told_from_one_that_is_not_there() {
    let home = Home::new();
    let device = Background::simulate(&home, "flash.bin", &[]);
    let address = device.line.strip_prefix("rfc2217://").unwrap();
    let _first = std::net::TcpStream::connect(address).unwrap();
    let run = home.run(&["info", "-q", "--port", &device.line]);
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: port disappeared: `rfc2217://[ADDRESS]`

    hint: the serial server hung up: another program may use its port; close that, and try again
    ");
}

#[test]
fn a_port_that_another_program_uses_is_busy_and_the_program_is_named() {
    let home = Home::new();
    let device = Background::start(home.command(&["simulate", "--pty", "--pace", "instant"]));
    let mut monitor = home.command(&["monitor", "--seconds", "30", "--port", &device.line]);
    let mut monitor = Killed(monitor.stderr(Stdio::piped()).spawn().unwrap());
    // It has the port open when it says what it cannot do with it.
    let mut line = String::new();
    BufReader::new(monitor.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "This port cannot reset the device: reset it by hand.\n");
    let run = home.run(&["info", "-q", "--port", &device.line]);
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: port is in use by another program: `[TERMINAL]`

    hint: close `espbroker` (process [PID]) and try again
    ");
}

/// A child that is killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_port_without_permission_names_the_group_that_has_it() {
    let home = Home::new();
    let device = Background::start(home.command(&["simulate", "--pty", "--pace", "instant"]));
    let arguments = ["info", "-q", "--port", &device.line];
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let run = if root {
        // Permissions do not hold root back: somebody else tries, with a copy of the program that he may run.
        let program = home.path("espbroker");
        fs::copy(Command::cargo_bin("espbroker").unwrap().get_program(), &program).unwrap();
        fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&device.line, fs::Permissions::from_mode(0o660)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program.to_str().unwrap()]);
        home.prepare(&mut command);
        Run::from(command.args(arguments).output().unwrap())
    } else {
        fs::set_permissions(&device.line, fs::Permissions::from_mode(0o060)).unwrap();
        home.run(&arguments)
    };
    assert_eq!(run.code, 2);
    let message = format!("error: permission denied on port: `{}`\n\nhint: ", device.line);
    assert!(run.stderr.starts_with(&message) && run.stderr.contains("group `"), "{}", run.stderr);
}

#[test]
fn without_a_port_the_cable_the_driver_and_the_simulation_are_pointed_to() {
    let home = Home::new();
    if home.run(&["ports", "--json"]).ok().contains("\"likely\":true") {
        // A board is connected to this computer, and must not be flashed by a test.
        return;
    }
    let run = home.run(&[["setup", "-q"].as_slice(), &ANSWERS].concat());
    assert_eq!(run.code, 2);
    assert!(run.stderr.starts_with("error: no serial port looks like an ESP8266\n"), "{}", run.stderr);
    assert!(run.stderr.contains("--simulate"), "{}", run.stderr);
}

// ---- the loader ----

#[test]
fn a_chip_that_starts_its_flash_is_brought_into_its_loader_by_hand() {
    let home = Home::new();
    let mut flash = image::filler(Target::Esp8266, "1.0.0").unwrap();
    flash.resize(4 << 20, 0xFF);
    home.write("flash.bin", flash);
    let run = with_fault(&home, "no-gpio0", &["--flash", "flash.bin"]);
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: no reply from the ESP8266 on `virtual ESP8266` after 7 reset attempts: boot log shows boot mode 3 (running from flash)

    hint: the chip runs its firmware: hold the FLASH button (GPIO0 low), tap RESET, and run this with --reset manual
    ");
}

#[test]
fn a_board_without_reset_lines_is_silent_and_needs_a_hand() {
    let run = with_fault(&Home::new(), "no-auto-reset", &[]);
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: no reply from the ESP8266 on `virtual ESP8266` after 7 reset attempts: the port stayed silent

    hint: a board without automatic reset needs --reset manual. Else check power (3.3 V at the chip), EN high, and that TX goes to RX and RX to TX; then try another cable, another USB port, and an adapter that can power the board (300 mA)
    ");
}

#[test]
fn silence_is_traced_to_power_and_wires() {
    assert_snapshot!(with_fault(&Home::new(), "silent", &[]).verdict(), @"
    exit 2
    error: no reply from the ESP8266 on `virtual ESP8266` after 7 reset attempts: the port stayed silent

    hint: a board without automatic reset needs --reset manual. Else check power (3.3 V at the chip), EN high, and that TX goes to RX and RX to TX; then try another cable, another USB port, and an adapter that can power the board (300 mA)
    ");
}

#[test]
fn gpio15_that_is_high_is_recognised_in_the_boot_log() {
    assert_snapshot!(with_fault(&Home::new(), "gpio15-high", &[]).verdict(), @"
    exit 2
    error: no reply from the ESP8266 on `virtual ESP8266` after 7 reset attempts: boot log shows boot mode 5 (waiting for SDIO)

    hint: GPIO15 is high: tie it to GND (10 kΩ) and reset
    ");
}

// ---- the chip ----

#[test]
fn another_chip_is_refused_and_left_alone() {
    let home = Home::new();
    assert_snapshot!(with_fault(&home, "wrong-chip", &["--flash", "f.bin"]).verdict(), @"
    exit 1
    error: chip is no ESP8266: register 0x40001000 holds 0x00f01d83, not: 0xfff0c101

    hint: espbroker is for the ESP8266 and ESP8285; nothing was changed on this chip
    ");
    assert!(is_blank(&home, "f.bin"));
}

#[test]
fn a_flash_of_1_mb_is_refused_and_left_alone() {
    let home = Home::new();
    assert_snapshot!(with_fault(&home, "flash-1mb", &["--flash", "f.bin"]).verdict(), @"
    exit 1
    error: flash is too small: 1024 of the 4096 KB that the broker needs

    hint: take the image for 1 MB, espbroker-esp8266-1mb.bin, with --image; nothing was changed
    ");
    assert!(is_blank(&home, "f.bin"));
}

#[test]
fn an_unreadable_flash_is_refused_and_left_alone() {
    let home = Home::new();
    assert_snapshot!(with_fault(&home, "unreadable-flash", &["--flash", "f.bin"]).verdict(), @"
    exit 1
    error: the flash does not answer with a size: id ffffff

    hint: GPIO6 to GPIO11 belong to the flash: disconnect what hangs on them; check the 3.3 V supply
    ");
    assert!(is_blank(&home, "f.bin"));
}

// ---- the image ----

#[test]
fn an_image_for_the_virtual_device_is_refused_by_a_real_chip() {
    let home = Home::new();
    let run = home.setup(&["-q", "--mac", "5c:cf:7f:00:00:01", "--flash", "f.bin"]);
    assert_snapshot!(run.verdict(), @"
    exit 1
    error: image is for another machine: it was built for virtual, and this is esp8266

    hint: take the image that was built for this machine; nothing was changed
    ");
    assert!(is_blank(&home, "f.bin"));
}

#[test]
fn an_image_for_a_real_chip_is_refused_by_the_virtual_device() {
    let home = Home::new();
    let image = home.write("real.bin", image::filler(Target::Esp8266, "1.0.0").unwrap());
    let run = home.setup(&["-q", "--image", &image, "--allow-unsigned", "--flash", "f.bin"]);
    assert_snapshot!(run.verdict(), @"
    exit 1
    error: image is for another machine: it was built for esp8266, and this is virtual

    hint: take the image that was built for this machine; nothing was changed
    ");
    assert!(is_blank(&home, "f.bin"));
}

#[test]
fn a_real_chip_needs_an_image_to_be_named() {
    let home = Home::new();
    let device = Background::simulate(&home, "f.bin", &["--mac", "5c:cf:7f:00:00:01"]);
    let run = home.run(&[["setup", "-q", "--port", &device.line].as_slice(), &ANSWERS].concat());
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: no firmware image for a real ESP8266 was named, and no release on this computer has one

    hint: get a release with `espbroker firmware fetch`, or name an image with --image FILE. To see it all without a board, use --simulate
    ");
    assert!(is_blank(&home, "f.bin"));
}

#[test]
fn a_cut_image_is_refused_before_a_port_is_opened() {
    let home = Home::new();
    let whole = image::filler(Target::Virtual, "1.0.0").unwrap();
    let image = home.write("cut.bin", &whole[..200_000]);
    let run =
        home.run(&[["setup", "-q", "--port", "/dev/none", "--image", &image].as_slice(), &ANSWERS].concat());
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: image is cut short: 200000 of 221572 bytes in `[HOME]/cut.bin`

    hint: download or build the image again
    ");
}

#[test]
fn a_changed_image_is_refused() {
    let home = Home::new();
    let mut bytes = image::build("1.0.0").unwrap();
    bytes[150_000] ^= 1;
    let run = home.setup(&["-q", "--image", &home.write("changed.bin", bytes)]);
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: file is not an espbroker image: `[HOME]/changed.bin`
      caused by: image is not what its descriptor was sealed over

    hint: --image takes an espbroker firmware image as it was built, unpacked and unpatched
    ");
}

#[test]
fn a_file_that_is_no_image_is_refused() {
    let home = Home::new();
    let run = home.setup(&["-q", "--image", &home.write("notes.txt", "not an image")]);
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: file is not an image that the ESP8266 can start: `[HOME]/notes.txt`
      caused by: boot image does not begin with e9: 6e

    hint: --image takes an espbroker firmware image as it was built, unpacked and unpatched
    ");
}

#[test]
fn an_image_file_that_is_not_there_is_named() {
    let home = Home::new();
    let run = home.setup(&["-q", "--image", &home.file("none.bin")]);
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: cannot read the firmware image: `[HOME]/none.bin`
      caused by: No such file or directory (os error 2)
    ");
}

#[test]
fn an_image_that_starts_and_says_nothing_is_told_from_one_that_does_not_start() {
    let home = Home::new();
    // The virtual chip passes for a real one here: it loads the image, and cannot run it.
    let image = home.write("real.bin", image::filler(Target::Esp8266, "1.0.0").unwrap());
    let run = home.setup(&["-q", "--image", &image, "--allow-unsigned", "--mac", "5c:cf:7f:00:00:01"]);
    assert_snapshot!(run.verdict(), @"
    exit 1
    error: the boot ROM started the firmware, and the firmware says nothing

    hint: is this image built for this board and flash mode? `espbroker monitor` shows more
    ");
}

// ---- while writing ----

#[test]
fn a_device_that_is_unplugged_while_it_is_written_is_finished_by_the_next_run() {
    let home = Home::new();
    let run = with_fault(&home, "unplug=120000", &["--flash", "f.bin"]);
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: cannot write region `firmware` at [OFFSET]: port disappeared: `virtual ESP8266`

    hint: the device was unplugged or lost power while it was written: plug it in again, then run the same command again: it starts over from what is there
    ");
    assert_eq!(home.setup(&["--flash", "f.bin", "-q"]).code, 0);
}

#[test]
fn a_serial_server_that_goes_away_while_a_device_is_written_is_a_port_that_went_away() {
    let home = Home::new();
    let device = Background::simulate(&home, "f.bin", &["--fault", "unplug=120000"]);
    let run = home.run(&[["setup", "-q", "--port", &device.line].as_slice(), &ANSWERS].concat());
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: cannot write region `firmware` at [OFFSET]: port disappeared: `rfc2217://[ADDRESS]`

    hint: the device was unplugged or lost power while it was written: plug it in again, then run the same command again: it starts over from what is there
    ");
}

#[test]
fn a_device_that_loses_power_while_it_is_written_is_said_to_be_silent() {
    let home = Home::new();
    let run = with_fault(&home, "power-cut=400", &[]);
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: cannot write region `firmware` at [OFFSET]: no reply to FLASH_DEFL_DATA within: [TIMEOUT] ms

    hint: the device fell silent while it was written: check its power, then run the same command again: it starts over from what is there; if it happens again, try another cable, another USB port, and an adapter that can power the board (300 mA)
    ");
}

// ---- the network ----

#[test]
fn a_wrong_wifi_passphrase_is_named() {
    let home = Home::new();
    let given = home.write("given.txt", "sesame-wrong");
    let right = format!("home={}", home.write("right.txt", "sesame-right"));
    let run = home.setup(&["-q", "--ssid", "home", "--wifi-passphrase-file", &given, "--network", &right]);
    assert_snapshot!(run.verdict(), @"
    exit 1
    error: the access point refuses the passphrase of network `home` (code 15)

    hint: check the passphrase, capitals and spaces included. The firmware is in place; `espbroker config write` writes the settings alone
    ");
}

#[test]
fn a_network_that_is_not_found_is_named() {
    let run = Home::new().setup(&[["-q", "--network", "other"].as_slice(), &ANSWERS].concat());
    assert_snapshot!(run.verdict(), @"
    exit 1
    error: the device does not see the network `home` (code 201)

    hint: check the name letter by letter; the ESP8266 sees 2.4 GHz networks only, channels 1-13, and no WPA3-only ones; a hidden network needs --hidden. The firmware is in place; `espbroker config write` writes the settings alone
    ");
}

#[test]
fn a_network_without_dhcp_is_named() {
    assert_snapshot!(with_fault(&Home::new(), "no-dhcp", &[]).verdict(), @"
    exit 1
    error: the network `espbroker demo` gives the device no address

    hint: the router's DHCP does not answer: has it free addresses? Else give a fixed one in [wifi.ipv4]
    ");
}

#[test]
fn a_fixed_address_needs_no_dhcp() {
    let home = Home::new();
    let text =
        "[wifi]\nssid = \"home\"\n[wifi.ipv4]\naddress = \"192.168.7.20/24\"\ngateway = \"192.168.7.1\"\n";
    let settings = home.write("fixed.toml", text);
    assert_eq!(with_fault(&home, "no-dhcp", &["--settings", &settings]).code, 0);
}

#[test]
fn a_port_that_another_program_has_is_named() {
    let home = Home::new();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let run = home.run(&[&SETUP, ["-q", "--mqtt-port", &port].as_slice()].concat());
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 1
    error: the device cannot open its MQTT port: [PORT] is in use

    hint: another program has this port (a mosquitto?): stop it, or choose another with --mqtt-port
    ");
}

// ---- answers and agreement ----

#[test]
fn without_a_terminal_the_network_must_be_told() {
    assert_snapshot!(Home::new().run(&["setup", "--port", "/dev/none"]).verdict(), @"
    exit 2
    error: not told: the Wi-Fi network

    hint: nobody can be asked here: give --settings FILE, or --ssid NAME and --wifi-passphrase-file FILE
    ");
}

#[test]
fn a_device_with_a_firmware_is_not_overwritten_without_agreement() {
    let home = Home::new();
    let mut flash = image::build("0.0.1").unwrap();
    flash.resize(4 << 20, 0xFF);
    home.write("flash.bin", &flash);
    let run = home.setup(&["-q", "--flash", "flash.bin"]);
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: this would replace the firmware that is on the device

    hint: save it with `espbroker backup`, then allow it with --yes
    ");
    assert!(fs::read(home.path("flash.bin")).unwrap() == flash);
    assert_eq!(home.setup(&["-q", "--flash", "flash.bin", "--yes"]).code, 0);
}

#[test]
fn a_device_that_is_set_up_under_another_name_is_not_set_up_again_without_agreement() {
    let home = Home::new();
    home.device("flash.bin");
    let before = fs::read(home.path("flash.bin")).unwrap();
    assert_snapshot!(home.setup(&["-q", "--flash", "flash.bin"]).verdict(), @"
    exit 2
    error: this would replace the settings of `hall`

    hint: save it with `espbroker backup`, then allow it with --yes
    ");
    assert!(fs::read(home.path("flash.bin")).unwrap() == before);
    assert_eq!(home.setup(&["-q", "--flash", "flash.bin", "--name", "hall"]).code, 0);
}

#[test]
fn a_mains_device_is_not_written_without_a_word_on_it() {
    let home = Home::new();
    let device = Background::simulate(&home, "f.bin", &["--network", "home"]);
    let port = free_port().to_string();
    let fixed = ["setup", "-q", "--port", &device.line, "--profile", "sonoff-s31", "--mqtt-port", &port];
    let arguments = [fixed.as_slice(), &ANSWERS].concat();
    assert_snapshot!(home.run(&arguments).verdict(), @"
    exit 2
    error: Sonoff S31 (metering plug) is a mains device

    hint: MAINS VOLTAGE KILLS: unplug the device, power it from 3.3 V only, then confirm with --off-mains
    ");
    assert!(is_blank(&home, "f.bin"));
    let run = home.run(&[arguments.as_slice(), &["--off-mains"]].concat());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}
