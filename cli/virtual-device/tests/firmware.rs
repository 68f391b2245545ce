//! The device code inside the virtual device, met over its serial console and its sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use espbroker_config::flash_map::CONFIG_A;
use espbroker_config::image::Target;
use espbroker_config::model::{Anonymous, Config, Passphrase, Wifi};
use espbroker_config::secret::Secret;
use espbroker_config::slots;
use espbroker_flasher::transport::Transport as _;
use espbroker_flasher::{BootLog, Cancel, Console, Wiring};
use espbroker_node::status::{ImageCheck, Stated, Status, WifiReason, WifiState};
use espbroker_virtual_device::{
    Clock, Dhcp, FlashSource, Network, Options, Ports, SimulatedWifi, VirtualDevice, image,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn config(passphrase: &str) -> Config {
    let mut config = Config::new("kitchen");
    let mut wifi = Wifi::new("demo");
    wifi.passphrase = Some(Passphrase::Text(Secret::new(passphrase.to_owned())));
    config.wifi = Some(wifi);
    config.broker.anonymous = Anonymous::Allowed;
    config
}

fn flash(image: Vec<u8>, config: &Config) -> Vec<u8> {
    let mut flash = image;
    flash.resize(CONFIG_A.offset as usize, 0xFF);
    flash.extend(slots::encode_sector(config, 1).unwrap());
    flash
}

fn device(flash: Vec<u8>, clock: Clock) -> VirtualDevice {
    let networks = vec![
        Network::new("demo", "right-password"),
        Network { dhcp: Dhcp::Silent, ..Network::new("silent", "right-password") },
    ];
    let wifi = SimulatedWifi { networks, join_delay: Duration::from_millis(20) };
    let flash = FlashSource::Bytes(flash);
    VirtualDevice::new(Options { flash, clock, wifi, ports: Ports::Any, ..Options::default() }).unwrap()
}

/// Resets the device and gives the statuses up to the one that `last` accepts.
fn statuses(device: &VirtualDevice, last: impl Fn(&Status) -> bool) -> Vec<Status> {
    let mut ignore = |_| {};
    let mut console =
        Console::new(Box::new(device.transport()), Wiring::default(), Cancel::default(), &mut ignore);
    console.reset(BootLog::Skip).unwrap();
    let mut statuses = Vec::new();
    while !statuses.last().is_some_and(&last) {
        let line =
            console.next_line(PATIENCE).unwrap().unwrap_or_else(|| panic!("silence after {statuses:#?}"));
        statuses.extend(Status::parse(line.as_bytes()).unwrap());
    }
    statuses
}

fn is_ready(status: &Status) -> bool {
    matches!(status, Status::Ready { .. })
}

#[test]
fn a_configured_device_boots_joins_and_serves_on_both_clocks() {
    for clock in [Clock::Simulated, Clock::Real] {
        let device = device(flash(image::build("9.9.9").unwrap(), &config("right-password")), clock);
        let statuses = statuses(&device, is_ready);
        assert!(matches!(statuses[0], Status::Boot { target: Target::Virtual, .. }));
        assert!(
            statuses.iter().any(|status| matches!(
                status,
                Status::Image(ImageCheck::Measured { stated: Stated::Match, .. })
            )),
            "{statuses:#?}"
        );
        let port = statuses.iter().find_map(|status| match status {
            Status::Listening { port, .. } => Some(*port),
            _ => None,
        });
        let mut client = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap()))).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01x").unwrap();
        let mut connack = [0; 4];
        client.read_exact(&mut connack).unwrap();
        assert_eq!(connack, [0x20, 2, 0, 0]);
        drop(device);
        assert!(matches!(client.read(&mut connack), Ok(0) | Err(_)), "its sockets go with the device");
    }
}

#[test]
fn a_wrong_passphrase_is_named_by_the_device() {
    let device = device(flash(image::build("9.9.9").unwrap(), &config("wrong-password")), Clock::Simulated);
    let refused = |status: &Status| {
        matches!(
            status,
            Status::Wifi(WifiState::Failed { reason: WifiReason::WrongPassphrase, code: 15, .. })
        )
    };
    statuses(&device, refused);
}

#[test]
fn a_changed_byte_is_noticed_by_the_devices_own_digest() {
    let mut image = image::build("9.9.9").unwrap();
    *image.last_mut().unwrap() ^= 1;
    let device = device(flash(image, &config("right-password")), Clock::Simulated);
    let differs = |status: &Status| {
        matches!(status, Status::Image(ImageCheck::Measured { stated: Stated::Differs, .. }))
    };
    statuses(&device, differs);
}

#[test]
fn an_image_for_a_real_chip_is_loaded_and_stays_silent() {
    let image = image::filler(Target::Esp8266, "9.9.9").unwrap();
    let device = device(flash(image, &config("right-password")), Clock::Simulated);
    let mut ignore = |_| {};
    let mut console =
        Console::new(Box::new(device.transport()), Wiring::default(), Cancel::default(), &mut ignore);
    console.reset(BootLog::Read).unwrap();
    assert_eq!(console.next_line(Duration::from_secs(60)).unwrap(), None);
    assert!(!device.runs_firmware());
}

#[test]
fn restart_on_the_console_boots_the_chip_again() {
    let device = device(flash(image::build("9.9.9").unwrap(), &config("right-password")), Clock::Simulated);
    let mut ignore = |_| {};
    let mut console =
        Console::new(Box::new(device.transport()), Wiring::default(), Cancel::default(), &mut ignore);
    console.reset(BootLog::Skip).unwrap();
    let wait_for_ready = |console: &mut Console<'_>| loop {
        let line = console.next_line(PATIENCE).unwrap().unwrap();
        if Status::parse(line.as_bytes()).unwrap().as_ref().is_some_and(is_ready) {
            return;
        }
    };
    wait_for_ready(&mut console);
    console.write(b"restart\r\n").unwrap();
    wait_for_ready(&mut console);
}

#[test]
fn a_port_opened_later_reads_at_its_own_rate() {
    let device = device(flash(image::build("9.9.9").unwrap(), &config("right-password")), Clock::Simulated);
    device.transport().set_baud(460_800).unwrap();
    let mut port = device.transport();
    assert_eq!(port.baud(), 115_200);
    let mut received = String::new();
    while !received.contains("@eb ready") {
        let mut buffer = [0; 256];
        let count = port.read(&mut buffer, PATIENCE).unwrap();
        assert!(count > 0, "silence after {received}");
        received.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
    }
}
