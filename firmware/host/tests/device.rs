//! A whole device on loopback, met as clients and people meet it: sockets and the serial console.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends here")]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant as Clock},
};

use espbroker_config::{
    flash_map::FlashMap,
    image::{Fields, Target, seal},
    model::{
        Anonymous, Bridge, BridgeTopic, Config, Direction, PasswordHash, Pin, PinFunction, Profile, Role,
        User, Wifi,
    },
    secret::Secret,
    slots::{self, Slot},
};
use espbroker_host::{
    DiscoveryPorts, Flash as _, Host, HostOptions, MemoryFlash, Ports, Radio, RadioEvent, Running, Wired,
};
use espbroker_node::{
    Instant, RadioCommand, StationEvent,
    discovery::{MDNS_GROUP, names, probe},
    status::{
        BridgeReason, BridgeReport, ConfigChoice, ImageCheck, ListenFailure, Mode, ResetCause, Service,
        SlotName, State, Stated, Status, WifiReason, WifiState,
    },
};
use socket2::SockRef;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Far beyond what anything here takes; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn config() -> Config {
    let mut config = Config::new("kitchen");
    config.wifi = Some(Wifi::new("demo"));
    let hash = PasswordHash::derive(b"right", b"saltsalt", 101).unwrap();
    config.broker.users = vec![User::new("anna", hash)];
    config
}

fn flash_with(config: &Config) -> MemoryFlash {
    flash_of(FlashMap::Map4M, config)
}

fn flash_of(flash_map: FlashMap, config: &Config) -> MemoryFlash {
    let mut flash = MemoryFlash::blank(usize::try_from(flash_map.flash_size()).unwrap());
    let mut image = vec![0x5A; 221_572];
    let fields = Fields { target: Target::Virtual, flash_map, name: "espbroker", version: "0.1.0" };
    seal(&mut image, 0x1000, &fields).unwrap();
    flash.program(0, &image).unwrap();
    let sector = slots::encode_sector(config, 7).unwrap();
    flash.program(flash_map.config(Slot::A).offset, &sector).unwrap();
    flash
}

fn options(config: &Config) -> HostOptions {
    HostOptions {
        flash: Box::new(flash_with(config)),
        radio: Box::new(Wired::new(LOCALHOST)),
        bind: LOCALHOST,
        ports: Ports::Any,
        discovery: None,
        target: Target::Virtual,
        mac: [0x5C, 0xCF, 0x7F, 0, 0, 1],
        reset: ResetCause::External,
        heap: 45_000,
    }
}

/// A running device and what its console has said.
struct Device {
    running: Running,
    unread: Vec<u8>,
    statuses: Vec<Status>,
}

impl Device {
    fn start(options: HostOptions) -> Self {
        Self { running: Host::start(options).unwrap(), unread: Vec::new(), statuses: Vec::new() }
    }

    fn ready(options: HostOptions) -> (Self, SocketAddr) {
        let mut device = Self::start(options);
        let port = device.port();
        device.wait(|status| matches!(status, Status::Ready { .. }));
        (device, SocketAddr::new(LOCALHOST, port))
    }

    fn port(&mut self) -> u16 {
        match self.wait(|status| matches!(status, Status::Listening { .. })) {
            Status::Listening { port, .. } => port,
            other => panic!("{other:?}"),
        }
    }

    /// Reads the console up to a status that `wanted` accepts.
    fn wait(&mut self, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut found = None;
        self.read_lines(|line| {
            found = Status::parse(line).unwrap().filter(|status| wanted(status));
            found.is_some()
        });
        found.unwrap()
    }

    fn read_lines(&mut self, mut last: impl FnMut(&[u8]) -> bool) {
        let started = Clock::now();
        let mut bytes = [0; 512];
        loop {
            while let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                self.statuses.extend(Status::parse(&line).unwrap());
                if last(&line) {
                    return;
                }
            }
            assert!(started.elapsed() < PATIENCE, "console said only {:#?}", self.statuses);
            match self.running.console_read(&mut bytes) {
                0 => thread::sleep(Duration::from_millis(1)),
                length => self.unread.extend_from_slice(&bytes[..length]),
            }
        }
    }
}

/// An MQTT client made of bytes.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    fn logged_in(address: SocketAddr, id: char) -> Self {
        let mut client = Self::connect(address);
        client.log_in(id, "right");
        client.expect(b"\x20\x02\x00\x00");
        client
    }

    fn log_in(&mut self, id: char, password: &str) {
        let mut body = b"\x00\x04MQTT\x04\xC2\x00\x00".to_vec();
        for text in [&id.to_string(), "anna", password] {
            body.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
            body.extend_from_slice(text.as_bytes());
        }
        self.send(&[&[0x10, u8::try_from(body.len()).unwrap()], &body[..]].concat());
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn expect(&mut self, bytes: &[u8]) {
        let mut found = vec![0; bytes.len()];
        self.0.read_exact(&mut found).unwrap();
        assert_eq!(found.escape_ascii().to_string(), bytes.escape_ascii().to_string());
    }

    fn expect_end(&mut self) {
        match self.0.read(&mut [0; 1]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("still connected: {other:?}"),
        }
    }
}

#[test]
fn a_device_starts_and_routes_messages_between_clients() {
    let (device, address) = Device::ready(options(&config()));
    assert!(matches!(
        device.statuses[1],
        Status::Image(ImageCheck::Measured { length: 221_572, stated: Stated::Match, .. })
    ));
    assert!(matches!(device.statuses[2], Status::Config(ConfigChoice::Loaded { sequence: 7, .. })));
    assert_eq!(device.statuses.last(), Some(&Status::Ready { mode: Mode::Station }));

    let mut subscriber = Client::logged_in(address, 's');
    subscriber.send(b"\x82\x08\x00\x01\x00\x03a/+\x00");
    subscriber.expect(b"\x90\x03\x00\x01\x00");
    let mut publisher = Client::logged_in(address, 'p');
    for byte in *b"\x30\x07\x00\x03a/bhi" {
        publisher.send(&[byte]);
    }
    subscriber.expect(b"\x30\x07\x00\x03a/bhi");
    device.running.stop().unwrap();
    subscriber.expect_end();
}

#[test]
fn every_message_of_a_conversation_comes_back_before_the_next_is_sent() {
    let (_device, address) = Device::ready(options(&config()));
    let mut client = Client::logged_in(address, 'c');
    client.send(b"\x82\x06\x00\x01\x00\x01t\x00");
    client.expect(b"\x90\x03\x00\x01\x00");
    for number in 0..50 {
        let message = [0x30, 4, 0, 1, b't', number];
        client.send(&message);
        client.expect(&message);
    }
}

#[test]
fn a_wrong_password_is_refused_and_the_answer_arrives() {
    let (_device, address) = Device::ready(options(&config()));
    let mut client = Client::connect(address);
    client.log_in('x', "wrong");
    client.send(b"\x82\x06\x00\x01\x00\x01t\x00");
    client.expect(b"\x20\x02\x00\x04");
    client.expect_end();
    let mut nameless = Client::connect(address);
    nameless.send(b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x00\x00\x01a");
    nameless.expect(b"\x20\x02\x00\x05");
    nameless.expect_end();
}

#[test]
fn a_client_that_vanishes_leaves_its_will() {
    let mut config = config();
    config.broker.anonymous = Anonymous::Allowed;
    let (_device, address) = Device::ready(options(&config));
    let mut watcher = Client::logged_in(address, 'w');
    watcher.send(b"\x82\x06\x00\x01\x00\x01w\x00");
    watcher.expect(b"\x90\x03\x00\x01\x00");
    let mut client = Client::connect(address);
    client.send(b"\x10\x16\x00\x04MQTT\x04\x06\x00\x00\x00\x01a\x00\x01w\x00\x04gone");
    client.expect(b"\x20\x02\x00\x00");
    drop(client);
    watcher.expect(b"\x30\x07\x00\x01wgone");
}

#[test]
fn a_subscriber_that_stops_reading_does_not_hold_up_the_others() {
    let (device, address) = Device::ready(options(&config()));
    let mut stuck = Client::logged_in(address, 's');
    stuck.send(b"\x82\x06\x00\x01\x00\x01t\x00");
    stuck.expect(b"\x90\x03\x00\x01\x00");
    let mut client = Client::logged_in(address, 'c');
    client.send(b"\x82\x06\x00\x01\x00\x01t\x00");
    client.expect(b"\x90\x03\x00\x01\x00");
    // Remaining length 4,000: more than 16 MB in all, beyond what the kernel keeps for the one that does not read.
    let mut message = b"\x30\xA0\x1F\x00\x01t".to_vec();
    message.resize(4003, b'x');
    for _ in 0..4500 {
        client.send(&message);
        client.expect(&message);
    }
    device.running.stop().unwrap();
}

#[test]
fn a_taken_port_is_told_and_the_port_of_a_stopped_device_is_free_at_once() {
    let holder = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let port = holder.local_addr().unwrap().port();
    let mut config = config();
    config.broker.mqtt_port = port;
    let configured = || HostOptions { ports: Ports::Configured, ..options(&config) };
    let mut device = Device::start(configured());
    let failed = device.wait(|status| matches!(status, Status::ListenFailed { .. }));
    assert!(
        matches!(failed, Status::ListenFailed { port: told, reason: ListenFailure::InUse, .. } if told == port)
    );
    device.running.stop().unwrap();
    drop(holder);

    for _ in 0..3 {
        let (device, address) = Device::ready(configured());
        assert_eq!(address.port(), port);
        let mut client = Client::logged_in(address, 'c');
        drop(device);
        client.expect_end();
    }
}

#[test]
fn the_console_answers_and_restart_ends_the_device() {
    let (mut device, address) = Device::ready(options(&config()));
    device.running.console_write(b"status\r\n");
    device.wait(|status| matches!(status, Status::Image(_)));
    device.wait(|status| matches!(status, Status::Ready { .. }));
    device.running.console_write(b"help\r");
    device.read_lines(|line| line.starts_with(b"  restart"));

    let mut client = Client::logged_in(address, 'c');
    assert!(!device.running.wants_restart());
    device.running.console_write(b"restart\n");
    client.expect_end();
    let started = Clock::now();
    while !device.running.wants_restart() {
        assert!(started.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(1));
    }
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
    device.running.stop().unwrap();
}

#[test]
fn a_device_with_1_mb_of_flash_runs_by_its_own_map() {
    let flash = Box::new(flash_of(FlashMap::Map1M, &config()));
    let (device, _) = Device::ready(HostOptions { flash, ..options(&config()) });
    assert!(device.statuses.iter().any(|status| matches!(
        status,
        Status::Image(ImageCheck::Measured { length: 221_572, stated: Stated::Match, .. })
    )));
    assert!(device.statuses.iter().any(|status| matches!(
        status,
        Status::Config(ConfigChoice::Loaded { slot: SlotName::A, sequence: 7, .. })
    )));
    assert_eq!(device.statuses.last(), Some(&Status::Ready { mode: Mode::Station }));
}

#[test]
fn a_blank_device_is_ready_as_an_access_point() {
    let capacity = usize::try_from(FlashMap::Map4M.flash_size()).unwrap();
    let blank = HostOptions { flash: Box::new(MemoryFlash::blank(capacity)), ..options(&config()) };
    let (device, _) = Device::ready(blank);
    assert_eq!(device.statuses.last(), Some(&Status::Ready { mode: Mode::AccessPoint }));
}

/// A network that can be switched off from outside.
struct Switchable {
    wired: Wired,
    switched_off: Arc<AtomicBool>,
    told: bool,
}

impl Radio for Switchable {
    fn command(&mut self, command: RadioCommand, now: Instant) {
        self.told = false;
        self.wired.command(command, now);
    }

    fn poll(&mut self, now: Instant) -> Option<RadioEvent> {
        if !self.switched_off.load(Ordering::Acquire) {
            return self.wired.poll(now);
        }
        let event = (!self.told).then_some(RadioEvent::Station(StationEvent::Disconnected { code: 201 }));
        self.told = true;
        event
    }

    fn poll_at(&self) -> Option<Instant> {
        self.wired.poll_at().filter(|_| !self.told)
    }
}

#[test]
fn a_network_that_goes_takes_the_clients_along_and_is_joined_again() {
    let switched_off = Arc::new(AtomicBool::new(false));
    let radio =
        Switchable { wired: Wired::new(LOCALHOST), switched_off: Arc::clone(&switched_off), told: false };
    let (mut device, address) = Device::ready(HostOptions { radio: Box::new(radio), ..options(&config()) });
    let mut client = Client::logged_in(address, 'c');

    switched_off.store(true, Ordering::Release);
    device.running.wake();
    device.wait(|status| matches!(status, Status::Wifi(WifiState::Lost { .. })));
    client.expect_end();
    device.wait(|status| {
        matches!(status, Status::Wifi(WifiState::Failed { reason: WifiReason::NetworkNotFound, .. }))
    });
    assert!(TcpStream::connect(address).is_err(), "the port is closed");

    switched_off.store(false, Ordering::Release);
    let address = SocketAddr::new(LOCALHOST, device.port());
    device.wait(|status| matches!(status, Status::Ready { .. }));
    Client::logged_in(address, 'c');
}

#[test]
fn a_browser_and_a_plain_client_meet_on_two_ports() {
    let mut config = config();
    config.broker.websocket_port = 8080;
    let mut device = Device::start(options(&config));
    let mut port_of = |wanted| match device
        .wait(|status| matches!(status, Status::Listening { service, .. } if *service == wanted))
    {
        Status::Listening { port, .. } => SocketAddr::new(LOCALHOST, port),
        other => panic!("{other:?}"),
    };
    let (plain, websocket) = (port_of(Service::Mqtt), port_of(Service::WebSocket));
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
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 101") && answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{answer}"
    );
    // One binary message in one frame, masked with zeros (RFC 6455 §5.2).
    let mut frame = |packet: &[u8]| {
        let head = [0x82, 0x80 | u8::try_from(packet.len()).unwrap(), 0, 0, 0, 0];
        browser.send(&[&head, packet].concat());
    };
    frame(b"\x10\x1A\x00\x04MQTT\x04\xC2\x00\x00\x00\x01b\x00\x04anna\x00\x05right");
    frame(b"\x82\x06\x00\x01\x00\x01t\x00");
    browser.expect(b"\x82\x04\x20\x02\x00\x00\x82\x05\x90\x03\x00\x01\x00");
    let mut publisher = Client::logged_in(plain, 'p');
    publisher.send(b"\x30\x05\x00\x01thi");
    browser.expect(b"\x82\x07\x30\x05\x00\x01thi");
}

#[test]
fn a_new_config_lets_new_users_in_and_keeps_those_who_are_connected() {
    let (device, address) = Device::ready(options(&config()));
    let mut anna = Client::logged_in(address, 'a');
    let mut changed = config();
    changed.broker.users =
        vec![User::new("anna", PasswordHash::derive(b"changed", b"saltsalt", 101).unwrap())];
    device.running.reconfigure(changed);
    let mut client = Client::connect(address);
    client.log_in('b', "changed");
    client.expect(b"\x20\x02\x00\x00");
    anna.send(b"\xC0\x00");
    anna.expect(b"\xD0\x00");
    assert!(device.running.is_running());
}

/// A bridge to `address` as anna, which sends everything below `out/`.
fn bridge_to(host: &str, port: u16, password: &str) -> Bridge {
    let mut bridge = Bridge::new("hub", host);
    bridge.port = port;
    bridge.user = Some("anna".to_owned());
    bridge.password = Some(Secret::new(password.to_owned()));
    bridge.topics.push(BridgeTopic::new("out/#", Direction::Out));
    bridge
}

impl Device {
    fn bridge_report(&mut self, wanted: impl Fn(&BridgeReport) -> bool) {
        self.wait(|status| matches!(status, Status::Bridge { report, .. } if wanted(report)));
    }
}

#[test]
fn a_plug_is_switched_at_the_broker_that_its_bridge_leads_to() {
    let (_hub, hub_address) = Device::ready(options(&config()));
    let mut phone = Client::logged_in(hub_address, 'p');
    phone.send(b"\x82\x0F\x00\x01\x00\x0Ahall/relay\x00");
    phone.expect(b"\x90\x03\x00\x01\x00");

    let mut plug = Config { name: "hall".to_owned(), role: Role::Plug, ..config() };
    let relay = Pin { gpio: 12, function: PinFunction::Relay, inverted: false };
    plug.profile = Some(Profile { pins: vec![relay], ..Profile::new("relay-board") });
    let mut bridge = bridge_to("127.0.0.1", hub_address.port(), "right");
    bridge.topics =
        vec![BridgeTopic::new("hall/#", Direction::Out), BridgeTopic::new("hall/relay/set", Direction::In)];
    plug.bridges.push(bridge);
    let mut device = Device::start(options(&plug));
    device.wait(|status| matches!(status, Status::Relay { number: 1, state: State::Off, .. }));
    phone.expect(b"\x30\x0F\x00\x0Ahall/relayoff");
    phone.send(b"\x30\x12\x00\x0Ehall/relay/seton");
    phone.expect(b"\x30\x0E\x00\x0Ahall/relayon");
    device.wait(|status| matches!(status, Status::Relay { number: 1, state: State::On, .. }));
}

#[test]
fn a_bridge_finds_its_hub_by_name_and_carries_messages_there() {
    let (hub, hub_address) = Device::ready(options(&config()));
    let mut near = config();
    near.bridges.push(bridge_to("localhost", hub_address.port(), "right"));
    let (mut device, address) = Device::ready(options(&near));
    device.bridge_report(|report| *report == BridgeReport::Connected);

    let mut far = Client::logged_in(hub_address, 'f');
    far.send(b"\x82\x0A\x00\x01\x00\x05out/#\x00");
    far.expect(b"\x90\x03\x00\x01\x00");
    let mut client = Client::logged_in(address, 'c');
    let message = b"\x30\x09\x00\x05out/ahi";
    client.send(message);
    far.expect(message);

    hub.running.stop().unwrap();
    device.bridge_report(|report| {
        matches!(report, BridgeReport::Failed { reason: BridgeReason::ConnectionLost })
    });
    let (_hub, hub_address) = Device::ready(options(&config()));
    near.bridges = vec![bridge_to("127.0.0.1", hub_address.port(), "right")];
    device.running.reconfigure(near);
    device.bridge_report(|report| *report == BridgeReport::Connected);
}

#[test]
fn a_bridge_with_a_wrong_password_says_so() {
    let (_hub, hub_address) = Device::ready(options(&config()));
    let mut near = config();
    near.bridges.push(bridge_to("127.0.0.1", hub_address.port(), "wrong"));
    let mut device = Device::start(options(&near));
    device.bridge_report(|report| {
        matches!(report, BridgeReport::Failed { reason: BridgeReason::BadCredentials })
    });
}

#[test]
fn a_device_is_found_by_broadcast_on_loopback_and_beside_another_one() {
    // A port of this test's own, that was free a moment ago.
    let free = || UdpSocket::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let ports = DiscoveryPorts { probe: free(), mdns: free() };
    let started = |last| {
        let mac = [0x5C, 0xCF, 0x7F, 0, 0, last];
        Device::ready(HostOptions { discovery: Some(ports), mac, ..options(&config()) })
    };
    let devices = [started(1), started(2)];
    let asker = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    asker.set_broadcast(true).unwrap();
    asker.set_read_timeout(Some(PATIENCE)).unwrap();
    let token = [9; 8];
    asker.send_to(&probe::question(token), (Ipv4Addr::new(127, 255, 255, 255), ports.probe)).unwrap();
    let mut found = Vec::new();
    let mut buffer = [0; 1500];
    while found.len() < 2 {
        let (length, from) = asker.recv_from(&mut buffer).unwrap();
        assert_eq!(from, SocketAddr::new(LOCALHOST, ports.probe), "answered from where it was asked");
        let device = probe::read(&buffer[..length], token).unwrap();
        found.push((device.mac[5], device.mqtt.unwrap()));
    }
    found.sort_unstable();
    let expected: Vec<_> =
        [1, 2].into_iter().zip(devices.iter().map(|(_, address)| address.port())).collect();
    assert_eq!(found, expected);

    // And by multicast DNS, asked as a plain DNS client does.
    let mut question = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    names::write_name(&mut question, &["_mqtt", "_tcp", "local"]);
    question.extend_from_slice(&[0, 12, 0, 1]);
    SockRef::from(&asker).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    asker.send_to(&question, (MDNS_GROUP, ports.mdns)).unwrap();
    let mut answered = Vec::new();
    while answered.len() < 2 {
        let (length, from) = asker.recv_from(&mut buffer).unwrap();
        assert_eq!(from, SocketAddr::new(LOCALHOST, ports.mdns));
        let mac = buffer[..length].windows(16).find(|part| part.starts_with(b"mac=")).unwrap();
        answered.push(mac[15]);
    }
    answered.sort_unstable();
    assert_eq!(answered, b"12");
}
