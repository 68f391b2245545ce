//! The firmware that the virtual device executes, met as clients and people meet it. Each test boots it once or twice,
//! half a second of the chip's time each.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use espbroker_config::flash_map::CONFIG_A;
use espbroker_config::model::{
    Anonymous, Bridge, BridgeTopic, Config, Direction, Passphrase, PasswordHash, User, Wifi,
};
use espbroker_config::secret::Secret;
use espbroker_config::slots;
use espbroker_flasher::{BootLog, Cancel, Console, Wiring};
use espbroker_node::status::{BridgeReport, ResetCause, Service, Status};
use espbroker_virtual_device::{
    Clock, Firmware, FlashSource, Network, Options, Pace, Ports, SimulatedWifi, Timing, VirtualDevice, image,
};

/// Far beyond what anything here takes; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn config() -> Config {
    let mut config = Config::new("kitchen");
    let mut wifi = Wifi::new("demo");
    wifi.passphrase = Some(Passphrase::Text(Secret::new("right-password".to_owned())));
    config.wifi = Some(wifi);
    config.broker.anonymous = Anonymous::Allowed;
    let hash = PasswordHash::derive(b"right", b"saltsalt", 101).unwrap();
    config.broker.users = vec![User::new("anna", hash)];
    config
}

fn options(config: &Config) -> Options {
    let mut flash = image::build("9.9.9").unwrap();
    flash.resize(CONFIG_A.offset as usize, 0xFF);
    flash.extend(slots::encode_sector(config, 1).unwrap());
    let networks = vec![Network::new("demo", "right-password")];
    Options {
        flash: FlashSource::Bytes(flash),
        clock: Clock::Real,
        timing: Timing { uart: Pace::Instant, nor: Pace::RealTime },
        wifi: SimulatedWifi { networks, join_delay: Duration::from_millis(20) },
        ports: Ports::Any,
        ..Options::default()
    }
}

fn console(device: &VirtualDevice) -> Console<'static> {
    let events = Box::leak(Box::new(|_| {}));
    Console::new(Box::new(device.transport()), Wiring::default(), Cancel::default(), events)
}

/// Every line up to the status that is wanted, and that.
fn wait(console: &mut Console<'_>, wanted: impl Fn(&Status) -> bool) -> (Vec<String>, Status) {
    let mut lines = Vec::new();
    loop {
        let line = console.next_line(PATIENCE).unwrap().unwrap_or_else(|| panic!("silence after {lines:#?}"));
        let status = Status::parse(line.as_bytes()).unwrap_or(None);
        lines.push(line);
        if let Some(status) = status.filter(&wanted) {
            return (lines, status);
        }
    }
}

fn port(console: &mut Console<'_>, wanted: Service) -> u16 {
    match wait(console, |status| matches!(status, Status::Listening { service, .. } if *service == wanted)) {
        (_, Status::Listening { port, .. }) => port,
        other => panic!("{other:?}"),
    }
}

/// A device that was reset, and its console.
fn started(options: Options) -> (VirtualDevice, Console<'static>) {
    let device = VirtualDevice::new(options).unwrap();
    let mut console = console(&device);
    console.reset(BootLog::Skip).unwrap();
    (device, console)
}

struct Client(TcpStream);

impl Client {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Logged in as nobody, with an identifier of one letter.
    fn anonymous(port: u16, identifier: u8) -> Self {
        let mut client = Self::connect(port);
        client.send(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, identifier]);
        client.expect(&[0x20, 2, 0, 0]);
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn expect(&mut self, wanted: &[u8]) {
        let mut bytes = vec![0; wanted.len()];
        self.0.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, wanted);
    }
}

#[test]
fn clients_meet_over_tcp_and_over_websocket_and_an_idle_device_executes_next_to_nothing() {
    let mut config = config();
    config.broker.websocket_port = 8080;
    let (device, mut console) = started(options(&config));
    let (plain, websocket) = (port(&mut console, Service::Mqtt), port(&mut console, Service::WebSocket));
    let mut browser = Client::connect(websocket);
    // Key and answer of RFC 6455 §1.3.
    browser.send(
        b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
    );
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(0);
        browser.0.read_exact(answer.last_mut().map(std::slice::from_mut).unwrap()).unwrap();
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", answer.escape_ascii());
    // One binary message in one frame, masked with zeros (RFC 6455 §5.2).
    let mut frame = |packet: &[u8]| {
        let head = [0x82, 0x80 | u8::try_from(packet.len()).unwrap(), 0, 0, 0, 0];
        browser.send(&[&head, packet].concat());
    };
    frame(b"\x10\x1A\x00\x04MQTT\x04\xC2\x00\x00\x00\x01b\x00\x04anna\x00\x05right");
    frame(b"\x82\x06\x00\x01\x00\x01t\x00");
    browser.expect(b"\x82\x04\x20\x02\x00\x00\x82\x05\x90\x03\x00\x01\x00");

    let mut subscriber = Client::anonymous(plain, b's');
    subscriber.send(b"\x82\x06\x00\x01\x00\x01t\x00");
    subscriber.expect(b"\x90\x03\x00\x01\x00");
    let mut publisher = Client::anonymous(plain, b'p');
    // A message of some segments: windows open and close.
    let mut message = b"\x30\x83\x10\x00\x01t".to_vec();
    message.extend((0..2048_u16).map(|byte| byte.to_le_bytes()[0]));
    publisher.send(&message);
    subscriber.expect(&message);
    publisher.send(b"\x30\x05\x00\x01thi");
    subscriber.expect(b"\x30\x05\x00\x01thi");
    let mut refused = Client::connect(plain);
    refused.send(b"\x10\x1A\x00\x04MQTT\x04\xC2\x00\x00\x00\x01r\x00\x04anna\x00\x05wrong");
    refused.expect(&[0x20, 2, 0, 4]);

    let before = device.usage();
    while device.usage().time < before.time + Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let after = device.usage();
    let (instructions, time) = (after.instructions - before.instructions, after.time - before.time);
    let each_second = u128::from(instructions) * 1000 / time.as_millis();
    assert!(each_second < 520_000, "one per cent of what the CPU can: {each_second} instructions a second");
}

#[test]
fn a_bridge_finds_its_hub_by_name_and_carries_messages_there() {
    // Which firmware the hub runs is no matter.
    let (_hub, mut hub_console) = started(Options { firmware: Firmware::Host, ..options(&config()) });
    let hub_port = port(&mut hub_console, Service::Mqtt);
    let mut near = config();
    let mut bridge = Bridge::new("hub", "localhost");
    bridge.port = hub_port;
    bridge.user = Some("anna".to_owned());
    bridge.password = Some(Secret::new("right".to_owned()));
    bridge.topics.push(BridgeTopic::new("out/#", Direction::Out));
    near.bridges.push(bridge);
    let (_device, mut console) = started(options(&near));
    let near_port = port(&mut console, Service::Mqtt);
    wait(&mut console, |status| matches!(status, Status::Bridge { report: BridgeReport::Connected, .. }));
    let mut far = Client::anonymous(hub_port, b'f');
    far.send(b"\x82\x0A\x00\x01\x00\x05out/#\x00");
    far.expect(b"\x90\x03\x00\x01\x00");
    let message = b"\x30\x09\x00\x05out/ahi";
    Client::anonymous(near_port, b'c').send(message);
    far.expect(message);
}

/// Publishes a retained message and waits until the flash was written for it.
fn retain(device: &VirtualDevice, client: &mut Client, message: &[u8]) {
    let before = device.flash_operations();
    client.send(message);
    while device.flash_operations() == before && !device.lost_power() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn expect_retained(port: u16, message: &[u8]) {
    let mut client = Client::anonymous(port, b'r');
    client.send(b"\x82\x06\x00\x01\x00\x01t\x00");
    client.expect(&[b"\x90\x03\x00\x01\x00", message].concat());
}

#[test]
fn a_retained_message_outlives_a_power_cycle_and_a_power_cut_while_the_next_is_written() {
    let (device, mut console) = started(options(&config()));
    let first = b"\x31\x08\x00\x01tfirst";
    let mut client = Client::anonymous(port(&mut console, Service::Mqtt), b'p');
    retain(&device, &mut client, first);
    // The write is some operations; the last one is through after this.
    std::thread::sleep(Duration::from_millis(500));
    device.power_cycle();
    let again = port(&mut console, Service::Mqtt);
    expect_retained(again, first);

    let mut client = Client::anonymous(again, b'p');
    device.cut_power_after(0);
    retain(&device, &mut client, b"\x31\x09\x00\x01tsecond");
    assert!(device.lost_power());
    device.power_cycle();
    expect_retained(port(&mut console, Service::Mqtt), first);
}

#[test]
fn a_restart_and_a_reset_of_the_board_are_told_apart() {
    let (_device, mut console) = started(options(&config()));
    let cause =
        |console: &mut Console<'_>| match wait(console, |status| matches!(status, Status::Boot { .. })) {
            (_, Status::Boot { reset, .. }) => reset,
            other => panic!("{other:?}"),
        };
    assert_eq!(cause(&mut console), ResetCause::External);
    wait(&mut console, |status| matches!(status, Status::Ready { .. }));
    console.write(b"restart\r\n").unwrap();
    assert_eq!(cause(&mut console), ResetCause::Software);
}
