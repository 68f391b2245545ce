use alloc::{string::ToString, vec};
use core::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use espbroker_config::{
    flash_map::{CONFIG_A, CONFIG_B, FlashMap},
    image::{Fields, Target, seal},
    model::{AccessPointPolicy, Anonymous, FixedIpv4, PasswordHash, User, Wifi},
};

use super::*;
use crate::{
    ConnectionId, Heap, Network, RadioCommand, StationEvent,
    discovery::{Channel, probe},
    status::{ImageCheck, ListenFailure, Mode, ResetCause, Service, SlotName, Stated},
    test_flash::TestFlash,
};

mod admin;
mod improv;
mod model;
mod plug;
mod retained;

const STATION_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7));
const ACCESS_POINT_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 4, 1));
const CONNECT: &[u8] = b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x00\x00\x01a";
const SUBSCRIBE_ALL: &[u8] = b"\x82\x06\x00\x01\x00\x01#\x00";

fn info() -> BootInfo {
    BootInfo {
        reset: ResetCause::External,
        mac: [0x5C, 0xCF, 0x7F, 0xAB, 0xCD, 0x01],
        target: Target::Virtual,
        heap: Heap::Budget(45_000),
        heap_floor: 10_000,
        network: Network { window: 16_384, in_flight: u32::MAX, segment: 0 },
        seed: 1,
    }
}

fn config() -> Config {
    let mut config = Config::new("kitchen");
    config.wifi = Some(Wifi::new("demo net"));
    config.broker.anonymous = Anonymous::Allowed;
    config
}

fn image() -> Vec<u8> {
    let mut image = vec![0x5A; 20_000];
    let fields =
        Fields { target: Target::Virtual, flash_map: FlashMap::Map4M, name: "espbroker", version: "0.1.0" };
    seal(&mut image, 4096, &fields).unwrap();
    image
}

fn flash_with(config: &Config) -> TestFlash {
    let mut flash = TestFlash::with(0, &image());
    flash.put(CONFIG_A.offset, &slots::encode_sector(config, 1).unwrap());
    flash
}

/// A platform with explicit time: what the node puts out is kept as short text, status lines without check sum.
struct Platform {
    node: Node<TestFlash>,
    now: Instant,
    log: Vec<String>,
    statuses: Vec<Status>,
    /// Channel and receiver of every datagram; they are not in the log.
    datagrams: Vec<(Channel, SocketAddr)>,
}

impl Platform {
    /// Runs the start-up until the config is known.
    fn boot(flash: TestFlash) -> Self {
        let mut platform = Self::new(flash);
        platform.start_up();
        platform
    }

    /// Power has come, and nothing was done yet.
    fn new(flash: TestFlash) -> Self {
        let node = Node::boot(flash, info());
        let mut platform = Self {
            node,
            now: Duration::from_millis(5),
            log: Vec::new(),
            statuses: Vec::new(),
            datagrams: Vec::new(),
        };
        platform.drain();
        platform
    }

    fn start_up(&mut self) {
        while self.node.poll_at() == Some(Duration::ZERO) {
            self.input(Input::Tick);
        }
    }

    fn input(&mut self, input: Input<'_>) -> &mut Self {
        self.node.handle(input, self.now);
        self.drain();
        self
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            let text = match output {
                Output::Console(line) => match Status::parse(&line).expect("only whole status lines") {
                    Some(status) => {
                        self.statuses.push(status);
                        let (text, _) = line.rsplit_once(" *").unwrap();
                        text.to_string()
                    }
                    None => line,
                },
                Output::ConsoleBytes(bytes) => format!("packet {}", hex(&bytes)),
                Output::Radio(RadioCommand::Join(network)) => {
                    format!(
                        "join {} {:?}",
                        network.ssid.escape_ascii(),
                        network.ipv4.map(|ipv4| ipv4.address)
                    )
                }
                Output::Radio(RadioCommand::Leave) => "leave".to_string(),
                Output::Radio(RadioCommand::OpenAccessPoint { ssid, .. }) => {
                    format!("open {}", ssid.escape_ascii())
                }
                Output::Radio(RadioCommand::CloseAccessPoint) => "close access point".to_string(),
                Output::Listen { service, port } => format!("listen {service} {port}"),
                Output::StopListening { service } => format!("stop {service}"),
                Output::Send { connection, bytes } => {
                    format!("send {} {}", connection.0, hex(&bytes))
                }
                Output::Close { connection } => format!("close {}", connection.0),
                Output::Open { bridge, host, port } => format!("open bridge {} {host}:{port}", bridge.0),
                Output::Abandon { bridge } => format!("abandon bridge {}", bridge.0),
                Output::Restart => "restart".to_string(),
                Output::Pin { gpio, mode } => format!("pin {gpio} {mode:?}"),
                Output::Datagram { channel, to, .. } => {
                    self.datagrams.push((channel, to));
                    continue;
                }
            };
            self.log.push(text);
        }
    }

    fn take(&mut self) -> Vec<String> {
        core::mem::take(&mut self.log)
    }

    fn associated(&mut self) -> &mut Self {
        self.input(Input::Station(StationEvent::Associated { channel: 6, rssi: -51 }))
    }

    fn address(&mut self) -> &mut Self {
        self.input(Input::Station(StationEvent::Address { ip: STATION_IP }))
    }

    fn disconnected(&mut self, code: u16) -> &mut Self {
        self.input(Input::Station(StationEvent::Disconnected { code }))
    }

    fn listening(&mut self) -> &mut Self {
        self.input(Input::Listening { service: Service::Mqtt, port: 1883 })
    }

    fn access_point_up(&mut self) -> &mut Self {
        self.input(Input::AccessPointUp { ip: ACCESS_POINT_IP })
    }

    fn client(&mut self, id: u16, mode: Mode, bytes: &[u8]) -> &mut Self {
        let connection = ConnectionId(id);
        self.input(Input::Accepted { connection, mode, service: Service::Mqtt });
        self.input(Input::Received { connection, bytes })
    }

    /// Goes from deadline to deadline until `until` has passed since now.
    fn wait(&mut self, until: Duration) -> &mut Self {
        let end = self.now + until;
        while let Some(due) = self.node.poll_at().filter(|&due| due <= end) {
            assert!(due >= self.now, "a deadline that is over was not handled");
            self.now = due;
            self.input(Input::Tick);
        }
        self.now = end;
        self.input(Input::Tick)
    }

    fn online(flash: TestFlash) -> Self {
        let mut platform = Self::boot(flash);
        platform.associated().address().listening();
        assert_eq!(platform.statuses.last(), Some(&Status::Ready { mode: Mode::Station }));
        platform.take();
        platform
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn config_status(flash: TestFlash) -> Status {
    let statuses = Platform::boot(flash).statuses;
    statuses.into_iter().find(|status| matches!(status, Status::Config(_))).unwrap()
}

#[test]
fn a_device_with_image_and_config_starts_step_by_step() {
    let image = image();
    let mut platform = Platform::boot(flash_with(&config()));
    let digest = espbroker_config::image::find(&image).unwrap().digest;
    let measured = ImageCheck::Measured { length: 20_000, sha256: digest, stated: Stated::Match };
    assert_eq!(platform.statuses[1], Status::Image(measured));
    let log = platform.take();
    assert_eq!(log[0], "\r\n");
    assert_eq!(
        log[1],
        concat!(
            "@eb boot version=",
            env!("CARGO_PKG_VERSION"),
            " target=virtual reset=external mac=5ccf7fabcd01"
        )
    );
    assert!(log[2].starts_with("@eb image length=20000"));
    assert!(log[3].starts_with("@eb config slot=a sequence=1 crc="));
    assert_eq!(log[4..], ["@eb wifi state=joining ssid=demo%20net attempt=1", "join demo net None"]);
    platform.associated().address();
    assert_eq!(
        platform.take(),
        [
            "@eb wifi state=joined channel=6 rssi=-51",
            "@eb address ip=192.168.1.7 source=dhcp",
            "listen mqtt 1883"
        ]
    );
    platform.listening();
    let log = platform.take();
    assert_eq!(log[0], "@eb listening service=mqtt port=1883");
    assert!(log[1].starts_with("@eb heap free="));
    assert_eq!(log[2..], ["@eb ready mode=station"]);
    // The announcement is repeated; then nothing is left to do.
    platform.wait(Duration::from_secs(1));
    assert_eq!(platform.node.poll_at(), None);
}

#[test]
fn nothing_but_the_console_works_before_the_config_is_known() {
    let mut node = Node::boot(flash_with(&config()), info());
    while node.poll_output().is_some() {}
    let connection = ConnectionId(1);
    node.handle(Input::Accepted { connection, mode: Mode::Station, service: Service::Mqtt }, Duration::ZERO);
    node.handle(Input::Station(StationEvent::Address { ip: STATION_IP }), Duration::ZERO);
    assert!(node.poll_output().is_none());
    node.handle(Input::Console(b"help\r"), Duration::ZERO);
    assert!(matches!(node.poll_output(), Some(Output::Console(_))));
}

#[test]
fn the_newest_valid_slot_is_used() {
    let mut flash = flash_with(&config());
    let mut newer = config();
    newer.name = "newer".to_string();
    flash.put(CONFIG_B.offset, &slots::encode_sector(&newer, 2).unwrap());
    let loaded = |slot, sequence| {
        move |status: Status| match status {
            Status::Config(ConfigChoice::Loaded { slot: found, sequence: turn, .. }) => {
                (found, turn) == (slot, sequence)
            }
            _ => false,
        }
    };
    let sector = flash.bytes[usize::try_from(CONFIG_B.offset).unwrap()..][..200].to_vec();
    assert!(loaded(SlotName::B, 2)(config_status(flash)));

    let mut torn = flash_with(&config());
    torn.put(CONFIG_B.offset, &sector[..30]);
    assert!(loaded(SlotName::A, 1)(config_status(torn)));
}

#[test]
fn every_reason_for_having_no_config_is_told() {
    let none = |reason| Status::Config(ConfigChoice::None { reason });
    assert_eq!(config_status(TestFlash::blank()), none(NoConfig::Blank));
    assert_eq!(config_status(TestFlash::with(CONFIG_A.offset, b"EBCF????")), none(NoConfig::Damaged));

    let mut unreadable = TestFlash::with(0, &image());
    unreadable.fails_from = Some(CONFIG_A.offset);
    assert_eq!(config_status(unreadable), none(NoConfig::Unreadable));

    let mut config = config();
    config.name = "not a\r\nname".to_string();
    let mut platform = Platform::boot(flash_with(&config));
    assert!(platform.statuses.contains(&none(NoConfig::Invalid)));
    let told = platform.take().into_iter().find(|line| line.starts_with("config: name is")).unwrap();
    assert_eq!(told.find('\r'), Some(told.len() - 2), "{told}");
}

#[test]
fn a_config_of_a_newer_format_is_told_from_a_damaged_one() {
    let mut sector = slots::encode_sector(&config(), 1).unwrap();
    sector[4] = 2;
    let crc = {
        // CRC-32 (IEEE 802.3) of header and payload, bit by bit.
        let length = usize::try_from(u32::from_le_bytes(sector[12..16].try_into().unwrap())).unwrap();
        let covered = sector[..16].iter().chain(&sector[20..20 + length]);
        !covered.fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
        })
    };
    sector[16..20].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(
        config_status(TestFlash::with(CONFIG_A.offset, &sector)),
        Status::Config(ConfigChoice::None { reason: NoConfig::Newer })
    );
}

#[test]
fn without_a_config_the_access_point_opens_and_lets_nobody_log_in() {
    let mut platform = Platform::boot(TestFlash::blank());
    assert_eq!(
        platform.take()[2..],
        ["@eb image stated=none", "@eb config slot=none reason=blank", "open espbroker-abcd01"]
    );
    platform.access_point_up();
    assert_eq!(platform.take(), ["@eb ap state=up ssid=espbroker-abcd01 ip=192.168.4.1", "listen mqtt 1883"]);
    platform.listening();
    assert_eq!(platform.take().last().unwrap(), "@eb ready mode=access-point");
    platform.client(1, Mode::AccessPoint, CONNECT);
    assert_eq!(platform.take(), ["send 1 20020005", "close 1"]);
}

#[test]
fn the_fallback_opens_after_a_minute_and_closes_when_the_network_is_back() {
    let mut platform = Platform::boot(flash_with(&config()));
    platform.disconnected(201);
    platform.wait(Duration::from_secs(59));
    assert!(!platform.take().iter().any(|line| line.starts_with("open")));
    platform.wait(Duration::from_secs(2));
    assert!(platform.take().contains(&"open espbroker-abcd01".to_string()));
    platform.access_point_up().listening();
    assert_eq!(platform.statuses.last(), Some(&Status::Ready { mode: Mode::AccessPoint }));
    platform.client(1, Mode::AccessPoint, CONNECT);
    platform.take();

    while !platform.take().iter().any(|line| line.starts_with("join")) {
        platform.wait(Duration::from_secs(1));
    }
    platform.associated();
    platform.take();
    platform.address();
    let log = platform.take();
    assert_eq!(
        log[..4],
        ["@eb address ip=192.168.1.7 source=dhcp", "close access point", "@eb ap state=down", "close 1"]
    );
    assert_eq!(log.last().unwrap(), "@eb ready mode=station");
    assert!(!log.iter().any(|line| line.starts_with("stop")), "the port stays open");
}

#[test]
fn the_access_point_can_be_always_or_never_there() {
    let mut config = config();
    config.access_point.policy = AccessPointPolicy::Always;
    config.access_point.ssid = Some(b"mine".to_vec());
    let mut platform = Platform::boot(flash_with(&config));
    assert_eq!(platform.take().last().unwrap(), "open mine");
    platform.access_point_up().listening().associated().address();
    assert_eq!(platform.statuses.last(), Some(&Status::Ready { mode: Mode::Station }));
    platform.client(1, Mode::Station, CONNECT).client(
        2,
        Mode::AccessPoint,
        b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x00\x00\x01b",
    );
    platform.take();
    platform.disconnected(200);
    let log = platform.take();
    assert!(log.contains(&"close 1".to_string()) && !log.contains(&"close 2".to_string()), "{log:?}");
    assert_eq!(log.last().unwrap(), "@eb ready mode=access-point");

    config.access_point.policy = AccessPointPolicy::Never;
    let mut platform = Platform::boot(flash_with(&config));
    platform.disconnected(201).wait(Duration::from_secs(300));
    assert!(!platform.take().iter().any(|line| line.starts_with("open")));
}

#[test]
fn a_lost_network_closes_every_connection_and_is_joined_again() {
    let mut platform = Platform::online(flash_with(&config()));
    // A will on "w" with payload "gone", retained.
    let connect = b"\x10\x16\x00\x04MQTT\x04\x26\x00\x00\x00\x01a\x00\x01w\x00\x04gone";
    platform.client(1, Mode::Station, connect);
    platform.take();
    platform.disconnected(200);
    assert_eq!(
        platform.take(),
        [
            "@eb wifi state=lost reason=signal-lost code=200",
            "close 1",
            "leave",
            "@eb wifi state=joining ssid=demo%20net attempt=1",
            "join demo net None",
            "stop mqtt"
        ]
    );
    platform.associated().address().listening();
    assert_eq!(platform.take().last().unwrap(), "@eb ready mode=station");
    platform.client(1, Mode::Station, CONNECT);
    platform.take();
    platform.input(Input::Received { connection: ConnectionId(1), bytes: SUBSCRIBE_ALL });
    assert_eq!(
        platform.take(),
        ["send 1 9003000100", "send 1 3107", "send 1 000177", "send 1 676f6e65"],
        "the will was published when the network went"
    );
}

#[test]
fn wrong_passphrase_and_missing_dhcp_are_told_apart() {
    let mut platform = Platform::boot(flash_with(&config()));
    platform.take();
    platform.disconnected(202);
    assert_eq!(
        platform.take(),
        ["@eb wifi state=failed reason=wrong-passphrase code=202 attempt=1", "leave"]
    );
    platform.wait(Duration::from_secs(1)).take();
    platform.associated().take();
    platform.wait(Duration::from_secs(15));
    assert_eq!(platform.take()[0], "@eb wifi state=failed reason=no-address code=0 attempt=2");
}

#[test]
fn a_fixed_address_goes_to_the_radio_and_into_the_status() {
    let mut config = config();
    let wifi = config.wifi.as_mut().unwrap();
    wifi.ipv4 = Some(FixedIpv4::new([192, 168, 1, 7], 24, [192, 168, 1, 1]));
    let mut platform = Platform::boot(flash_with(&config));
    assert_eq!(platform.take().last().unwrap(), "join demo net Some([192, 168, 1, 7])");
    platform.associated().take();
    platform.address();
    assert_eq!(platform.take()[0], "@eb address ip=192.168.1.7 source=fixed");
}

#[test]
fn a_port_that_is_taken_is_told_and_tried_again() {
    let mut platform = Platform::boot(flash_with(&config()));
    platform.associated().address().take();
    platform.input(Input::ListenFailed { service: Service::Mqtt, reason: ListenFailure::InUse });
    assert_eq!(platform.take(), ["@eb listen-failed service=mqtt port=1883 reason=in-use"]);
    platform.wait(Duration::from_secs(9));
    assert_eq!(platform.take(), Vec::<String>::new());
    platform.wait(Duration::from_secs(1));
    assert_eq!(platform.take(), ["listen mqtt 1883"]);
    platform.listening();
    assert_eq!(platform.take().last().unwrap(), "@eb ready mode=station");
}

#[test]
fn a_websocket_port_that_is_taken_keeps_the_device_from_being_ready() {
    let mut config = config();
    config.broker.websocket_port = 9001;
    let mut platform = Platform::boot(flash_with(&config));
    platform.associated().address().listening();
    platform.input(Input::ListenFailed { service: Service::WebSocket, reason: ListenFailure::InUse });
    let log = platform.take();
    let taken = "@eb listen-failed service=websocket port=9001 reason=in-use";
    assert_eq!(log.iter().filter(|line| *line == taken).count(), 1, "{log:?}");
    assert!(!log.iter().any(|line| line.starts_with("@eb ready")));
    platform.wait(Duration::from_secs(10));
    assert_eq!(platform.take(), ["listen websocket 9001"]);
    platform.input(Input::Listening { service: Service::WebSocket, port: 9001 });
    assert_eq!(platform.take().last().unwrap(), "@eb ready mode=station");
}

#[test]
fn a_client_that_comes_before_the_port_is_open_is_sent_away() {
    let mut platform = Platform::boot(flash_with(&config()));
    platform.take();
    platform.input(Input::Accepted {
        connection: ConnectionId(3),
        mode: Mode::Station,
        service: Service::Mqtt,
    });
    assert_eq!(platform.take(), ["close 3"]);
}

#[test]
fn users_of_the_config_log_in_with_their_password() {
    let mut config = config();
    config.broker.anonymous = Anonymous::Refused;
    let hash = PasswordHash::derive(b"pw", b"saltsalt", 3).unwrap();
    config.broker.users = vec![User::new("u", hash)];
    let mut platform = Platform::online(flash_with(&config));
    let connect = |password: &[u8; 2]| {
        [b"\x10\x14\x00\x04MQTT\x04\xC2\x00\x00\x00\x01a\x00\x01u\x00\x02", &password[..]].concat()
    };
    platform.client(1, Mode::Station, &connect(b"pw"));
    assert_eq!(platform.take(), ["send 1 20020000"]);
    platform.client(2, Mode::Station, &connect(b"no"));
    assert_eq!(platform.take(), ["send 2 20020004", "close 2"]);
}

#[test]
fn the_console_shows_the_whole_state_and_restarts() {
    let mut platform = Platform::online(flash_with(&config()));
    platform.input(Input::Console(b"sta")).input(Input::Console(b"tus\r\n"));
    let kinds: Vec<_> =
        platform.take().iter().map(|line| line.split(' ').take(2).last().unwrap().to_string()).collect();
    assert_eq!(kinds, ["boot", "image", "config", "wifi", "address", "listening", "heap", "ready"]);
    platform.input(Input::Console(b"hunter2\r"));
    assert_eq!(platform.take(), ["unknown command, try help\r\n"]);
    platform.input(Input::Console(b"restart\rstatus\r"));
    assert_eq!(platform.take(), ["restart"]);
}

#[test]
fn the_heap_is_the_budget_less_what_the_broker_holds() {
    let mut platform = Platform::online(flash_with(&config()));
    let heap = |platform: &mut Platform| {
        platform.input(Input::Console(b"status\r"));
        let find = |status: &Status| match *status {
            Status::Heap { free, lowest } => Some((free, lowest)),
            _ => None,
        };
        platform.statuses.iter().rev().find_map(find).unwrap()
    };
    let (before, lowest) = heap(&mut platform);
    assert_eq!(before, lowest);
    assert!(before < 45_000);
    platform.client(1, Mode::Station, CONNECT);
    let (during, lowest) = heap(&mut platform);
    assert!(during < before && during == lowest);
    platform.input(Input::Closed { connection: ConnectionId(1) });
    assert_eq!(heap(&mut platform), (before, during));
}

#[test]
fn an_allocators_own_figures_are_passed_on() {
    let mut node = Node::boot(
        flash_with(&config()),
        BootInfo { heap: Heap::Measured { free: 50_000, lowest: 49_000 }, ..info() },
    );
    while node.poll_at() == Some(Duration::ZERO) {
        node.handle(Input::Tick, Duration::ZERO);
    }
    node.handle(Input::Heap { free: 41_000, lowest: 40_800 }, Duration::ZERO);
    node.handle(Input::Console(b"status\r"), Duration::ZERO);
    let lines = core::iter::from_fn(|| node.poll_output());
    let expected = Status::Heap { free: 41_000, lowest: 40_800 }.to_line();
    assert_eq!(
        lines.filter(|output| matches!(output, Output::Console(line) if *line == expected)).count(),
        1
    );
}

#[test]
fn no_secret_of_the_config_reaches_the_console() {
    let mut config = config();
    let secret = "correct horse battery";
    config.wifi.as_mut().unwrap().passphrase = Some(espbroker_config::model::Passphrase::Text(
        espbroker_config::secret::Secret::new(secret.to_string()),
    ));
    let mut platform = Platform::boot(flash_with(&config));
    platform.disconnected(202).input(Input::Console(b"status\r"));
    assert!(!platform.take().iter().any(|line| line.contains("correct")));
}

#[test]
fn a_device_that_is_ready_announces_itself_and_answers_a_probe() {
    let mut platform = Platform::boot(flash_with(&config()));
    let asker: SocketAddr = "192.168.1.20:4000".parse().unwrap();
    let question = probe::question([7; 8]);
    let probe = Input::Datagram { channel: Channel::Probe, from: asker, bytes: &question };
    platform.input(probe).associated().address().input(probe);
    let datagrams = |platform: &mut Platform| core::mem::take(&mut platform.datagrams);
    // The address alone is something to answer, and nothing to announce.
    assert_eq!(datagrams(&mut platform), [(Channel::Probe, asker)]);
    platform.listening().wait(Duration::from_secs(5));
    let group: SocketAddr = "224.0.0.251:5353".parse().unwrap();
    assert_eq!(datagrams(&mut platform), [(Channel::Mdns, group); 2]);
    platform.disconnected(8).input(probe);
    assert_eq!(datagrams(&mut platform), []);
}
