//! A device whose config is changed over the network while clients talk through it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends here")]

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant as Clock},
};

use espbroker_admin::{
    Effect, FrameReader, Refusal, Reply, Request, State, Trial,
    client::{OpenError, open_reply, seal},
};
use espbroker_config::{
    codec,
    flash_map::{CONFIG_A, FlashMap},
    image::Target,
    model::{Anonymous, Bridge, BridgeTopic, Config, Direction, Passphrase, PasswordHash, User, Wifi},
    secret::Secret,
    slots::{self, RollBack},
};
use espbroker_host::{Flash as _, Host, HostOptions, MemoryFlash, Ports, Radio, RadioEvent, Running};
use espbroker_node::{
    Instant, RadioCommand, StationEvent,
    status::{BridgeReport, ResetCause, Status},
};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Far beyond what anything here takes; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(30);
const KEY: [u8; 32] = [7; 32];

/// A network that lets in whoever knows its passphrase.
struct Network(VecDeque<RadioEvent>);

impl Radio for Network {
    fn command(&mut self, command: RadioCommand, _: Instant) {
        let events = match command {
            RadioCommand::Join(wifi) if wifi.passphrase == passphrase("right one") => vec![
                StationEvent::Associated { channel: 6, rssi: -50 },
                StationEvent::Address { ip: LOCALHOST },
            ],
            // IEEE 802.11: four-way handshake time-out.
            RadioCommand::Join(_) => vec![StationEvent::Disconnected { code: 15 }],
            _ => vec![],
        };
        self.0.extend(events.into_iter().map(RadioEvent::Station));
    }

    fn poll(&mut self, _: Instant) -> Option<RadioEvent> {
        self.0.pop_front()
    }

    fn poll_at(&self) -> Option<Instant> {
        (!self.0.is_empty()).then_some(Instant::ZERO)
    }
}

fn passphrase(text: &str) -> Option<Passphrase> {
    Some(Passphrase::Text(Secret::new(text.to_owned())))
}

fn config() -> Config {
    let mut config = Config::new("kitchen");
    config.wifi = Some(Wifi { passphrase: passphrase("right one"), ..Wifi::new("demo") });
    config.broker.anonymous = Anonymous::Allowed;
    config.admin_key = Some(Secret::new(KEY));
    config
}

/// A bridge to `remote` that logs in as `user`.
fn bridged(remote: SocketAddr, user: &str, password: &str) -> Config {
    let mut bridge = Bridge::new("cloud", remote.ip().to_string());
    bridge.port = remote.port();
    bridge.user = Some(user.to_owned());
    bridge.password = Some(Secret::new(password.to_owned()));
    bridge.topics = vec![BridgeTopic::new("out/#", Direction::Out)];
    Config { bridges: vec![bridge], ..config() }
}

struct Device {
    running: Running,
    flash: Arc<Mutex<MemoryFlash>>,
    unread: Vec<u8>,
    address: SocketAddr,
    requests: u8,
}

impl Device {
    fn with(config: &Config) -> Self {
        let mut flash = MemoryFlash::blank(usize::try_from(FlashMap::Map4M.flash_size()).unwrap());
        flash.program(CONFIG_A.offset, &slots::encode_sector(config, 1).unwrap()).unwrap();
        Self::start(Arc::new(Mutex::new(flash)))
    }

    fn start(flash: Arc<Mutex<MemoryFlash>>) -> Self {
        let running = Host::start(HostOptions {
            flash: Box::new(Arc::clone(&flash)),
            radio: Box::new(Network(VecDeque::new())),
            bind: LOCALHOST,
            ports: Ports::Any,
            discovery: None,
            target: Target::Virtual,
            mac: [0x5C, 0xCF, 0x7F, 0, 0, 1],
            reset: ResetCause::External,
            heap: 45_000,
        })
        .unwrap();
        let address = SocketAddr::new(LOCALHOST, 0);
        Self { running, flash, unread: Vec::new(), address, requests: 0 }
    }

    fn ready(mut self) -> Self {
        self.wait(|status| match status {
            Status::Listening { port, .. } => Some(*port),
            _ => None,
        });
        self
    }

    /// Reads the console up to a status that `wanted` takes something from.
    fn wait<T: Into<u32>>(&mut self, wanted: impl Fn(&Status) -> Option<T>) -> u32 {
        let (started, mut bytes) = (Clock::now(), [0; 512]);
        loop {
            while let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let Some(status) = Status::parse(&line).unwrap() else { continue };
                if let Status::Listening { port, .. } = status {
                    self.address.set_port(port);
                }
                if let Some(found) = wanted(&status) {
                    return found.into();
                }
            }
            assert!(started.elapsed() < PATIENCE, "the console does not say it");
            match self.running.console_read(&mut bytes) {
                0 => thread::sleep(Duration::from_millis(1)),
                length => self.unread.extend_from_slice(&bytes[..length]),
            }
        }
    }

    /// Bytes of heap that are free now.
    fn free(&mut self) -> u32 {
        self.running.console_write(b"status\r");
        self.wait(|status| match status {
            Status::Heap { free, .. } => Some(*free),
            _ => None,
        })
    }

    fn bridge_connects(&mut self) {
        self.wait(|status| {
            let connected = matches!(status, Status::Bridge { report: BridgeReport::Connected, .. });
            connected.then_some(0_u32)
        });
    }

    fn ask(&mut self, request: &Request<'_>) -> Result<Reply, OpenError> {
        self.requests = self.requests.wrapping_add(1);
        let frame = seal(request, &KEY, &[self.requests; 24]);
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&frame).unwrap();
        let (mut reader, mut bytes) = (FrameReader::default(), [0; 512]);
        loop {
            let length = stream.read(&mut bytes).unwrap();
            assert_ne!(length, 0, "closed without an answer");
            if let (Some(reply), _) = reader.push(&bytes[..length]).unwrap() {
                return open_reply(&reply, &KEY, &frame);
            }
        }
    }

    fn state(&mut self) -> State {
        match self.ask(&Request::State).unwrap() {
            Reply::State(state) => state,
            other => panic!("{other:?}"),
        }
    }

    fn write(&mut self, config: &Config) -> Reply {
        let State { base, permit, .. } = self.state();
        let config = codec::encode(config).unwrap();
        self.ask(&Request::Write { base, permit, try_for: 60, config: &config }).unwrap()
    }

    /// How the trial that is running ends.
    fn outcome(&mut self) -> Trial {
        let started = Clock::now();
        loop {
            match self.state().trial {
                Trial::Running { .. } => assert!(started.elapsed() < PATIENCE, "the trial does not end"),
                ended => return ended,
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts the device again once it wants it.
    fn restarted(self) -> Self {
        let started = Clock::now();
        while !self.running.wants_restart() {
            assert!(started.elapsed() < PATIENCE, "the device does not start again");
            thread::sleep(Duration::from_millis(1));
        }
        self.running.stop().unwrap();
        Self::start(self.flash)
    }
}

/// Another broker, with two accounts.
fn remote() -> Device {
    let mut config = config();
    config.broker.anonymous = Anonymous::Refused;
    let hash = || PasswordHash::derive(b"right", b"saltsalt", 2).unwrap();
    config.broker.users = vec![User::new("anna", hash()), User::new("bert", hash())];
    Device::with(&config).ready()
}

fn client(address: SocketAddr, id: u8) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&[b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x00\x00\x01", &[id][..]].concat()).unwrap();
    expect(&mut stream, b"\x20\x02\x00\x00");
    stream
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut found = vec![0; bytes.len()];
    stream.read_exact(&mut found).unwrap();
    assert_eq!(found, bytes);
}

/// Sends a message through the device and back to the same client until told to stop; gives how many there were.
fn talk(address: SocketAddr, stop: Arc<AtomicBool>) -> thread::JoinHandle<u32> {
    let mut stream = client(address, b'c');
    stream.write_all(b"\x82\x08\x00\x01\x00\x03t/#\x01").unwrap();
    expect(&mut stream, b"\x90\x03\x00\x01\x01");
    thread::spawn(move || {
        let mut messages = 0_u32;
        while !stop.load(Ordering::Acquire) {
            messages += 1;
            let publish = [b"\x30\x09\x00\x03t/x", &messages.to_be_bytes()[..]].concat();
            stream.write_all(&publish).unwrap();
            expect(&mut stream, &publish);
        }
        messages
    })
}

#[test]
fn a_hundred_changes_of_a_bridge_drop_no_client_and_leak_nothing() {
    let remote = remote();
    let mut device = Device::with(&bridged(remote.address, "anna", "right")).ready();
    device.bridge_connects();
    let stop = Arc::new(AtomicBool::new(false));
    let talking = talk(device.address, Arc::clone(&stop));
    let mut first = 0;
    for turn in 1..=100_u32 {
        let user = if turn % 2 == 0 { "anna" } else { "bert" };
        let accepted = device.write(&bridged(remote.address, user, "right"));
        let sequence = turn + 1;
        assert_eq!(accepted, Reply::Accepted { sequence, effect: Effect::AtOnce });
        assert_eq!(device.outcome(), Trial::Kept { sequence });
        if turn == 2 {
            first = device.free();
        }
    }
    let last = device.free();
    assert!(last.abs_diff(first) < 500, "{first} bytes were free, and {last} are");
    stop.store(true, Ordering::Release);
    assert!(talking.join().unwrap() > 100, "the client has talked all the time");
    let state = device.state();
    assert_eq!((state.kept, state.rolled_back, state.wrong_keys), (100, 0, 0));
}

#[test]
fn a_wrong_bridge_password_is_rolled_back_by_the_device_while_clients_stay() {
    let remote = remote();
    let good = bridged(remote.address, "anna", "right");
    let mut device = Device::with(&good).ready();
    device.bridge_connects();
    let stop = Arc::new(AtomicBool::new(false));
    let talking = talk(device.address, Arc::clone(&stop));

    let wrong = bridged(remote.address, "anna", "wrong");
    assert_eq!(device.write(&wrong), Reply::Accepted { sequence: 2, effect: Effect::AtOnce });
    let reason = RollBack::BridgeRefused;
    assert_eq!(device.outcome(), Trial::RolledBack { sequence: 2, reason });
    device.bridge_connects();
    let Ok(Reply::Config { sequence: 1, config, .. }) = device.ask(&Request::Read) else {
        panic!("not the old")
    };
    assert_eq!(codec::decode(&config), Ok(good));
    stop.store(true, Ordering::Release);
    assert!(talking.join().unwrap() > 0);
}

#[test]
fn a_wrong_wifi_passphrase_is_rolled_back_by_the_device_and_a_right_network_kept() {
    let mut device = Device::with(&config()).ready();
    let mut wrong = config();
    wrong.wifi.as_mut().unwrap().passphrase = passphrase("wrong one");
    assert_eq!(device.write(&wrong), Reply::Accepted { sequence: 2, effect: Effect::Restart });
    // It starts with it, fails to join, and starts with the one before.
    let mut device = device.restarted().restarted().ready();
    let reason = RollBack::WrongPassphrase;
    assert_eq!(device.state().trial, Trial::RolledBack { sequence: 2, reason });

    let mut renamed = config();
    renamed.wifi.as_mut().unwrap().ssid = b"another".to_vec();
    assert_eq!(device.write(&renamed), Reply::Accepted { sequence: 3, effect: Effect::Restart });
    let mut device = device.restarted().ready();
    assert_eq!(device.outcome(), Trial::Kept { sequence: 3 });
}

#[test]
fn of_two_changes_at_once_one_is_made() {
    let mut device = Device::with(&config()).ready();
    let State { base, permit, .. } = device.state();
    // A bridge to where nobody answers stays on trial.
    let configs =
        ["a", "b"].map(|user| codec::encode(&bridged("127.0.0.1:1".parse().unwrap(), user, "x")).unwrap());
    let frames: Vec<_> = (0_u8..)
        .zip(&configs)
        .map(|(number, config)| {
            seal(&Request::Write { base, permit, try_for: 10, config }, &KEY, &[number; 24])
        })
        .collect();
    let address = device.address;
    let replies: Vec<Reply> = thread::scope(|scope| {
        let ask = |frame: &Vec<u8>| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(frame).unwrap();
            let (mut reader, mut bytes) = (FrameReader::default(), [0; 512]);
            loop {
                let length = stream.read(&mut bytes).unwrap();
                if let (Some(reply), _) = reader.push(&bytes[..length]).unwrap() {
                    return open_reply(&reply, &KEY, frame).unwrap();
                }
            }
        };
        let asking: Vec<_> = frames.iter().map(|frame| scope.spawn(move || ask(frame))).collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let accepted = replies.iter().filter(|reply| matches!(reply, Reply::Accepted { .. })).count();
    let refused =
        replies.iter().filter(|reply| matches!(reply, Reply::Refused(Refusal::Trial { .. }))).count();
    assert_eq!((accepted, refused), (1, 1), "{replies:?}");
}
