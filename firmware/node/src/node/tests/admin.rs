//! Configs that come over the network and the console: applied, tried, kept, rolled back.

use espbroker_admin::{
    Effect, FRAME_MAX, Plain, Refusal, Reply, Request, State, Trial,
    client::{OpenError, open_reply, seal},
    console::{self, Parts},
};
use espbroker_config::{
    codec,
    model::{Bridge, BridgeTopic, Direction},
    secret::Secret,
    slots::RollBack,
};
use proptest::prelude::*;

use super::*;
use crate::{BridgeId, status::TrialReport};

const KEY: [u8; 32] = [7; 32];
const ADMIN: ConnectionId = ConnectionId(50);
const REFUSED_BY_BRIDGE: &[u8] = b"\x20\x02\x00\x05";
const CONNACK: &[u8] = b"\x20\x02\x00\x00";

fn keyed() -> Config {
    Config { admin_key: Some(Secret::new(KEY)), ..config() }
}

fn with_bridge(host: &str) -> Config {
    Config { bridges: vec![Bridge::new("cloud", host)], ..keyed() }
}

fn with_network(ssid: &str) -> Config {
    Config { wifi: Some(Wifi::new(ssid)), ..keyed() }
}

impl Platform {
    /// What was sent over a connection since the log was taken last; the network has taken it.
    fn sent(&mut self, connection: ConnectionId) -> Vec<u8> {
        let (mut bytes, prefix) = (Vec::new(), format!("send {} ", connection.0));
        while let Some(index) = self.log.iter().position(|line| line.starts_with(&prefix)) {
            let line = self.log.remove(index);
            let digits = &line.as_bytes()[prefix.len()..];
            let piece: Vec<u8> = digits
                .chunks(2)
                .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect();
            assert!(piece.len() <= 1024, "in pieces that a network takes");
            let taken = piece.len();
            bytes.extend(piece);
            self.input(Input::Sent { connection, bytes: taken });
        }
        bytes
    }

    fn dial(&mut self) -> &mut Self {
        self.input(Input::Accepted { connection: ADMIN, mode: Mode::Station, service: Service::Mqtt })
    }

    fn frame(&mut self, frame: &[u8]) -> Vec<u8> {
        for bytes in frame.chunks(536) {
            self.input(Input::Received { connection: ADMIN, bytes });
        }
        self.sent(ADMIN)
    }

    /// One request over a connection of its own.
    fn ask_with(&mut self, request: &Request<'_>, key: &[u8; 32]) -> Result<Reply, OpenError> {
        let frame = seal(request, key, &[9; 24]);
        self.dial();
        let reply = self.frame(&frame);
        self.input(Input::Closed { connection: ADMIN });
        open_reply(&reply, key, &frame)
    }

    fn ask(&mut self, request: &Request<'_>) -> Reply {
        self.ask_with(request, &KEY).unwrap()
    }

    fn state(&mut self) -> State {
        match self.ask(&Request::State) {
            Reply::State(state) => state,
            other => panic!("{other:?}"),
        }
    }

    fn write(&mut self, config: &Config) -> Reply {
        let State { base, permit, .. } = self.state();
        let config = codec::encode(config).unwrap();
        self.ask(&Request::Write { base, permit, try_for: 60, config: &config })
    }

    fn trial(&self) -> Option<TrialReport> {
        self.statuses.iter().rev().find_map(|status| match status {
            Status::Trial(report) => Some(*report),
            _ => None,
        })
    }

    fn bridge_answers(&mut self, answer: &[u8]) -> &mut Self {
        let (bridge, connection) = (BridgeId(0), ConnectionId(40));
        self.input(Input::Opened { bridge, connection });
        self.input(Input::Received { connection, bytes: answer })
    }

    /// Lets the device start again, as it has asked to.
    fn restarted(mut self) -> Self {
        self.wait(Duration::from_millis(200));
        assert_eq!(self.log.last().map(String::as_str), Some("restart"));
        self.power_cycled()
    }

    fn power_cycled(self) -> Self {
        let mut flash = self.node.flash;
        flash.power_up();
        Self::boot(flash)
    }

    fn ssid(&self) -> String {
        let mut joins = self.log.iter().filter_map(|line| line.strip_prefix("join "));
        joins.next_back().unwrap().trim_end_matches(" None").to_string()
    }
}

const ACCEPTED_AT_ONCE: Reply = Reply::Accepted { sequence: 2, effect: Effect::AtOnce };
const ACCEPTED_RESTART: Reply = Reply::Accepted { sequence: 2, effect: Effect::Restart };

#[test]
fn the_config_and_the_state_are_told_to_who_has_the_key() {
    let mut platform = Platform::online(flash_with(&keyed()));
    let state = platform.state();
    assert_eq!((state.sequence, state.base, state.trial), (1, 1, Trial::None));
    let Reply::Config { sequence, crc, base, permit, config } = platform.ask(&Request::Read) else {
        panic!("no config")
    };
    assert_eq!((sequence, crc, base, permit), (1, state.crc, 1, state.permit));
    assert_eq!(codec::decode(&config), Ok(keyed()));
}

#[test]
fn another_bridge_takes_effect_at_once_and_is_kept_when_it_is_connected() {
    let mut platform = Platform::online(flash_with(&with_bridge("old.example")));
    platform.client(1, Mode::Station, CONNECT).take();
    assert_eq!(platform.write(&with_bridge("new.example")), ACCEPTED_AT_ONCE);
    assert_eq!(platform.trial(), Some(TrialReport::Running { sequence: 2, seconds: 60 }));
    assert_eq!(platform.state().trial, Trial::Running { sequence: 2, left: 60 });
    assert!(platform.log.contains(&"open bridge 0 new.example:1883".to_string()), "{:?}", platform.log);

    platform.bridge_answers(CONNACK);
    assert_eq!(platform.trial(), Some(TrialReport::Kept { sequence: 2 }));
    let state = platform.state();
    assert_eq!((state.sequence, state.base, state.trial), (2, 2, Trial::Kept { sequence: 2 }));
    assert_eq!((state.kept, state.rolled_back), (1, 0));
    assert!(!platform.take().contains(&"close 1".to_string()), "the client stays");
    let loaded = platform.power_cycled();
    assert_eq!(loaded.trial(), Some(TrialReport::Kept { sequence: 2 }));
}

#[test]
fn a_bridge_that_is_refused_brings_the_old_config_back_at_once() {
    let mut platform = Platform::online(flash_with(&with_bridge("old.example")));
    platform.client(1, Mode::Station, CONNECT).take();
    platform.write(&with_bridge("new.example"));
    platform.bridge_answers(REFUSED_BY_BRIDGE);
    let reason = RollBack::BridgeRefused;
    assert_eq!(platform.trial(), Some(TrialReport::RolledBack { sequence: 2, reason }));
    let state = platform.state();
    assert_eq!((state.sequence, state.base), (1, 2), "the sequence is used up");
    assert_eq!(state.trial, Trial::RolledBack { sequence: 2, reason });
    let log = platform.take();
    assert!(log.contains(&"open bridge 0 old.example:1883".to_string()), "{log:?}");
    assert!(!log.contains(&"close 1".to_string()) && !log.contains(&"restart".to_string()), "{log:?}");
    let mut again = platform.power_cycled();
    assert_eq!(again.trial(), Some(TrialReport::RolledBack { sequence: 2, reason }), "still told");
    again.associated().address().listening().take();
    assert_eq!(
        again.write(&with_bridge("third.example")),
        Reply::Accepted { sequence: 3, effect: Effect::AtOnce }
    );
}

#[test]
fn a_bridge_that_does_not_connect_in_time_brings_the_old_config_back() {
    let mut platform = Platform::online(flash_with(&with_bridge("old.example")));
    platform.write(&with_bridge("new.example"));
    let (bridge, reason) = (BridgeId(0), espbroker_broker::OpenFailure::Refused);
    platform.input(Input::OpenFailed { bridge, reason });
    for _ in 0..59 {
        platform.wait(Duration::from_secs(1));
        assert!(matches!(platform.trial(), Some(TrialReport::Running { .. })));
    }
    platform.wait(Duration::from_secs(1));
    let reason = RollBack::BridgeNotConnected;
    assert_eq!(platform.trial(), Some(TrialReport::RolledBack { sequence: 2, reason }));
}

#[test]
fn accounts_change_at_once_and_are_kept_at_once() {
    let mut platform = Platform::online(flash_with(&keyed()));
    let mut closed = keyed();
    closed.broker.anonymous = Anonymous::Refused;
    assert_eq!(platform.write(&closed), ACCEPTED_AT_ONCE);
    assert_eq!(platform.trial(), Some(TrialReport::Kept { sequence: 2 }));
    platform.take();
    platform.client(1, Mode::Station, CONNECT);
    assert_eq!(platform.take(), ["send 1 20020005", "close 1"]);
}

#[test]
fn another_network_is_tried_after_a_restart_and_kept_when_it_is_joined() {
    let mut platform = Platform::online(flash_with(&keyed()));
    assert_eq!(platform.write(&with_network("new net")), ACCEPTED_RESTART);
    let mut platform = platform.restarted();
    assert_eq!(platform.ssid(), "new net");
    assert_eq!(platform.trial(), Some(TrialReport::Running { sequence: 2, seconds: 60 }));
    platform.associated().address();
    assert_eq!(platform.trial(), Some(TrialReport::Running { sequence: 2, seconds: 60 }));
    platform.listening();
    assert_eq!(platform.trial(), Some(TrialReport::Kept { sequence: 2 }));
    assert_eq!(platform.power_cycled().ssid(), "new net");
}

#[test]
fn a_network_that_refuses_the_passphrase_brings_the_device_back_by_itself() {
    let mut platform = Platform::online(flash_with(&keyed()));
    platform.write(&with_network("new net"));
    let mut platform = platform.restarted();
    for _ in 0..3 {
        assert!(matches!(platform.trial(), Some(TrialReport::Running { .. })));
        platform.disconnected(202).wait(Duration::from_secs(5));
    }
    let reason = RollBack::WrongPassphrase;
    assert_eq!(platform.trial(), Some(TrialReport::RolledBack { sequence: 2, reason }));
    let mut platform = platform.power_cycled();
    assert_eq!(platform.ssid(), "demo net");
    assert_eq!(platform.trial(), Some(TrialReport::RolledBack { sequence: 2, reason }));
    platform.associated().address().listening();
    assert_eq!(platform.state().trial, Trial::RolledBack { sequence: 2, reason });
}

#[test]
fn a_network_that_is_not_there_brings_the_device_back_when_the_time_is_over() {
    for (code, reason) in [(Some(201), RollBack::NetworkNotFound), (None, RollBack::NotJoined)] {
        let mut platform = Platform::online(flash_with(&keyed()));
        platform.write(&with_network("new net"));
        let mut platform = platform.restarted();
        for second in 0..61 {
            if let Some(code) = code.filter(|_| second % 4 == 0) {
                platform.disconnected(code);
            }
            platform.wait(Duration::from_secs(1));
        }
        assert_eq!(platform.trial(), Some(TrialReport::RolledBack { sequence: 2, reason }));
        assert_eq!(platform.power_cycled().ssid(), "demo net");
    }
}

#[test]
fn power_cuts_during_a_trial_are_counted() {
    let mut platform = Platform::online(flash_with(&keyed()));
    platform.write(&with_network("new net"));
    let mut platform = platform.restarted();
    for _ in 0..2 {
        assert_eq!(platform.ssid(), "new net");
        platform = platform.power_cycled();
    }
    assert_eq!(platform.ssid(), "new net");
    let platform = platform.power_cycled();
    let reason = RollBack::Interrupted;
    assert_eq!(platform.trial(), Some(TrialReport::RolledBack { sequence: 2, reason }));
    assert_eq!(platform.ssid(), "demo net");
    let platform = platform.power_cycled();
    assert_eq!(platform.trial(), Some(TrialReport::RolledBack { sequence: 2, reason }));
}

#[test]
fn a_power_cut_at_any_byte_of_a_change_leaves_a_device_with_a_config() {
    let changes = |platform: &mut Platform| {
        platform.write_blindly(&with_bridge("new.example"));
        platform.bridge_answers(REFUSED_BY_BRIDGE);
        platform.write_blindly(&with_bridge("third.example"));
        platform.bridge_answers(CONNACK);
    };
    let start = || Platform::online(flash_with(&with_bridge("old.example")));
    let mut whole = start();
    let before = whole.node.flash.bytes_changed;
    changes(&mut whole);
    let bytes = whole.node.flash.bytes_changed - before;
    assert_eq!(whole.trial(), Some(TrialReport::Kept { sequence: 3 }));
    for cut in (0..bytes).filter(|cut| cut % 251 == 0 || *cut + 12 > bytes) {
        let mut platform = start();
        platform.node.flash.power = Some(cut);
        changes(&mut platform);
        let mut platform = platform.power_cycled();
        let config = platform.statuses.iter().find(|status| matches!(status, Status::Config(_)));
        assert!(matches!(config, Some(Status::Config(ConfigChoice::Loaded { .. }))), "cut at {cut}");
        // It is in order again whatever was going on.
        platform.associated().address().listening().wait(Duration::from_secs(61));
        assert!(!matches!(platform.state().trial, Trial::Running { .. }), "cut at {cut}");
        platform.write(&with_bridge("last.example"));
        platform.bridge_answers(CONNACK);
        assert!(matches!(platform.trial(), Some(TrialReport::Kept { .. })), "cut at {cut}");
    }
}

impl Platform {
    /// As a client that does not look at the answers.
    fn write_blindly(&mut self, config: &Config) {
        let Ok(Reply::State(State { base, permit, .. })) = self.ask_with(&Request::State, &KEY) else {
            return;
        };
        let config = codec::encode(config).unwrap();
        let _ = self.ask_with(&Request::Write { base, permit, try_for: 60, config: &config }, &KEY);
    }
}

#[test]
fn of_two_who_change_the_config_at_once_the_second_is_refused() {
    let mut platform = Platform::online(flash_with(&with_bridge("old.example")));
    let State { base, permit, .. } = platform.state();
    let (first, second) = (with_bridge("first.example"), with_bridge("second.example"));
    let [first, second] = [first, second].map(|config| codec::encode(&config).unwrap());
    let write = |config| Request::Write { base, permit, try_for: 60, config };
    assert_eq!(platform.ask(&write(&first)), ACCEPTED_AT_ONCE);
    assert_eq!(platform.ask(&write(&second)), Reply::Refused(Refusal::Trial { left: 60 }));
    platform.bridge_answers(CONNACK);
    assert_eq!(platform.ask(&write(&second)), Reply::Refused(Refusal::Changed { base: 2 }));
}

#[test]
fn a_write_that_is_recorded_works_once() {
    let mut platform = Platform::online(flash_with(&keyed()));
    let State { base, permit, .. } = platform.state();
    let mut other = keyed();
    other.broker.anonymous = Anonymous::Refused;
    let config = codec::encode(&other).unwrap();
    let frame = seal(&Request::Write { base, permit, try_for: 60, config: &config }, &KEY, &[1; 24]);
    let replay = |platform: &mut Platform| {
        platform.dial();
        let reply = platform.frame(&frame);
        platform.input(Input::Closed { connection: ADMIN });
        open_reply(&reply, &KEY, &frame).unwrap()
    };
    assert_eq!(replay(&mut platform), ACCEPTED_AT_ONCE);
    assert_eq!(replay(&mut platform), Reply::Refused(Refusal::Changed { base: 2 }));
    let mut platform = platform.power_cycled();
    platform.associated().address().listening();
    assert_eq!(replay(&mut platform), Reply::Refused(Refusal::Changed { base: 2 }));

    // The sector that would tell is gone, as after a power cut while it was erased, and the seed is the same again.
    let mut flash = platform.node.flash;
    flash.put(CONFIG_B.offset, &[0xFF; 4096]);
    let mut platform = Platform::boot(flash);
    platform.associated().address().listening();
    platform.node.admin.sealer = espbroker_admin::device::Sealer::new(2);
    assert_eq!(replay(&mut platform), Reply::Refused(Refusal::Stale));
}

#[test]
fn what_cannot_be_run_on_is_refused_with_its_reason() {
    let mut platform = Platform::online(flash_with(&keyed()));
    let before = platform.node.flash.bytes_changed;
    let mut refuse = |config: &[u8], try_for| {
        let State { base, permit, .. } = platform.state();
        platform.ask(&Request::Write { base, permit, try_for, config })
    };
    let bytes = |config: &Config| codec::encode(config).unwrap();
    let invalid = |text: &str| Reply::Refused(Refusal::Invalid(text.to_string()));
    let mut wrong = with_bridge("new.example");
    wrong.bridges[0].port = 0;
    assert_eq!(refuse(&bytes(&wrong), 60), invalid("bridges[0].port is 0: must be 1-65535"));
    assert_eq!(refuse(b"rubbish", 60), invalid("not a config of this format"));
    let seconds = invalid("time to try for is not 10-600 seconds");
    assert_eq!((refuse(&bytes(&keyed()), 9), refuse(&bytes(&keyed()), 601)), (seconds.clone(), seconds));
    assert_eq!(platform.node.flash.bytes_changed, before, "nothing was written");
}

#[test]
fn a_wrong_key_is_refused_in_the_clear_counted_and_slowed_down() {
    let mut platform = Platform::online(flash_with(&keyed()));
    let plain = |plain| Err(OpenError::Plain(plain));
    for _ in 0..10 {
        assert_eq!(platform.ask_with(&Request::State, &[8; 32]), plain(Plain::WrongKey));
    }
    assert_eq!(platform.ask_with(&Request::State, &[8; 32]), plain(Plain::Later));
    assert_eq!(platform.ask_with(&Request::State, &KEY), plain(Plain::Later));
    platform.wait(Duration::from_secs(1));
    assert_eq!(platform.state().wrong_keys, 10);

    let mut platform = Platform::online(flash_with(&config()));
    assert_eq!(platform.ask_with(&Request::State, &KEY), plain(Plain::NoKey));
}

#[test]
fn a_new_admin_key_counts_from_its_change_on_and_goes_with_it() {
    let mut platform = Platform::online(flash_with(&with_bridge("old.example")));
    let rotated = Config { admin_key: Some(Secret::new([8; 32])), ..with_bridge("new.example") };
    assert_eq!(platform.write(&rotated), ACCEPTED_AT_ONCE);
    assert_eq!(platform.ask_with(&Request::State, &KEY), Err(OpenError::Plain(Plain::WrongKey)));
    assert!(platform.ask_with(&Request::State, &[8; 32]).is_ok());
    platform.bridge_answers(REFUSED_BY_BRIDGE);
    assert!(matches!(platform.state().trial, Trial::RolledBack { .. }));
}

#[test]
fn one_connection_is_served_at_a_time_and_no_longer_than_it_works() {
    let mut platform = Platform::online(flash_with(&keyed()));
    let frame = seal(&Request::State, &KEY, &[1; 24]);
    let (first, second) = (ConnectionId(50), ConnectionId(51));
    let accept = |platform: &mut Platform, connection| {
        platform.input(Input::Accepted { connection, mode: Mode::Station, service: Service::Mqtt });
    };
    accept(&mut platform, first);
    accept(&mut platform, second);
    platform.take();
    platform.input(Input::Received { connection: first, bytes: &frame[..20] });
    platform.input(Input::Received { connection: second, bytes: &frame });
    assert_eq!(platform.take(), ["send 51 4542414401030100".to_string() + "04", "close 51".to_string()]);
    platform.wait(Duration::from_secs(9));
    assert_eq!(platform.take(), Vec::<String>::new());
    platform.wait(Duration::from_secs(1));
    assert_eq!(platform.take(), ["close 50"]);

    // One that has had its reply makes room.
    accept(&mut platform, first);
    platform.input(Input::Received { connection: first, bytes: &frame });
    assert_eq!(platform.sent(first).len(), 32 + 45 + 16);
    accept(&mut platform, second);
    platform.take();
    platform.input(Input::Received { connection: second, bytes: &frame });
    assert_eq!(platform.log.remove(0), "close 50");
    assert!(open_reply(&platform.sent(second), &KEY, &frame).is_ok());
    platform.disconnected(200);
    assert!(platform.take().contains(&"close 51".to_string()), "it ends with its network");
}

#[test]
fn several_requests_go_over_one_connection() {
    let mut platform = Platform::online(flash_with(&keyed()));
    platform.dial();
    for nonce in 0..5 {
        let frame = seal(&Request::Read, &KEY, &[nonce; 24]);
        let reply = platform.frame(&frame);
        assert!(matches!(open_reply(&reply, &KEY, &frame), Ok(Reply::Config { .. })));
    }
}

#[test]
fn what_is_no_frame_or_too_long_ends_the_connection() {
    let mut platform = Platform::online(flash_with(&keyed()));
    for (bytes, answer) in [
        (&b"EHLO"[..], None),
        (b"EBAD\x02", Some(Plain::Version)),
        (b"EBAD\x01\x01\xFF\xFF", Some(Plain::TooLong)),
    ] {
        platform.dial();
        let reply = platform.frame(bytes);
        assert_eq!(reply, answer.map(Plain::frame).unwrap_or_default());
        assert_eq!(platform.take().last().unwrap(), "close 50");
    }
    // What does not begin like a frame is the broker's.
    platform.dial().input(Input::Received { connection: ADMIN, bytes: CONNECT });
    assert_eq!(platform.take(), ["send 50 20020000"]);
}

#[test]
fn a_frame_that_there_is_no_memory_for_is_refused_before_it_is_there() {
    let mut platform = Platform::online(flash_with(&keyed()));
    platform.node.info.heap_floor = 40_000;
    platform.dial();
    let length = u16::try_from(FRAME_MAX - 8).unwrap().to_le_bytes();
    let reply = platform.frame(&[b"EBAD\x01\x01", &length[..]].concat());
    assert_eq!(reply, Plain::Busy.frame());
    assert_eq!(platform.take().last().unwrap(), "close 50");
    assert_eq!(platform.state().sequence, 1, "a short one has room");
}

#[test]
fn the_longest_config_goes_through() {
    let mut platform = Platform::online(flash_with(&keyed()));
    let mut config = with_bridge("new.example");
    config.bridges = (0..4)
        .map(|number| {
            let mut bridge = Bridge::new(format!("b{number}"), "h".repeat(200));
            bridge.topics = vec![BridgeTopic::new("t".repeat(100), Direction::Out); 6];
            bridge
        })
        .collect();
    let length = codec::encode(&config).unwrap().len();
    assert!((3000..slots::TRIAL_PAYLOAD_MAX).contains(&length), "{length}");
    assert_eq!(platform.write(&config), ACCEPTED_AT_ONCE);
    let Reply::Config { config: read, .. } = platform.ask(&Request::Read) else { panic!("no config") };
    assert_eq!(codec::decode(&read), Ok(config));
}

#[test]
fn the_console_takes_requests_and_answers_in_status_lines() {
    let mut platform = Platform::online(flash_with(&keyed()));
    let ask = |platform: &mut Platform, frame: &[u8]| {
        platform.statuses.clear();
        platform.input(Input::Console(console::line(frame).as_bytes())).input(Input::Console(b"\r\n"));
        let mut parts = Parts::default();
        platform.statuses.iter().find_map(|status| match status {
            Status::Admin { part, of, data } => parts.push(*part, *of, data),
            _ => None,
        })
    };
    let frame = seal(&Request::Read, &KEY, &[1; 24]);
    let reply = ask(&mut platform, &frame).unwrap();
    let Ok(Reply::Config { base, permit, .. }) = open_reply(&reply, &KEY, &frame) else {
        panic!("no config")
    };

    let config = codec::encode(&with_network("new net")).unwrap();
    let frame = seal(&Request::Write { base, permit, try_for: 60, config: &config }, &KEY, &[2; 24]);
    let reply = ask(&mut platform, &frame).unwrap();
    assert_eq!(open_reply(&reply, &KEY, &frame), Ok(ACCEPTED_RESTART));
    assert_eq!(platform.restarted().ssid(), "new net");

    let mut early = Node::boot(flash_with(&keyed()), info());
    while early.poll_output().is_some() {}
    early.handle(Input::Console(console::line(&frame).as_bytes()), Duration::ZERO);
    early.handle(Input::Console(b"\n"), Duration::ZERO);
    let busy = Status::Admin { part: 1, of: 1, data: Plain::Busy.frame() }.to_line();
    assert!(matches!(early.poll_output(), Some(Output::Console(line)) if line == busy));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_bytes_behind_the_first_one_are_taken(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 0..6),
        begin in prop_oneof![Just(b"E".to_vec()), Just(b"EBAD\x01\x01\x30\x00".to_vec())],
    ) {
        let mut platform = Platform::online(flash_with(&keyed()));
        platform.dial().input(Input::Received { connection: ADMIN, bytes: &begin });
        for bytes in &pieces {
            platform.input(Input::Received { connection: ADMIN, bytes });
        }
        platform.wait(Duration::from_secs(20)).input(Input::Closed { connection: ADMIN }).take();
        prop_assert_eq!(platform.state().sequence, 1);
    }
}
