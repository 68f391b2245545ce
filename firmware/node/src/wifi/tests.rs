use alloc::vec;
use core::net::Ipv4Addr;

use espbroker_config::model::{Unknown, Wifi};
use proptest::prelude::*;

use super::*;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7));

fn network() -> Wifi {
    Wifi {
        ssid: b"demo".to_vec(),
        passphrase: None,
        hidden: false,
        bssid: None,
        channel: Some(6),
        ipv4: None,
        unknown: Unknown::default(),
    }
}

/// Plays one station with explicit time.
struct Script {
    station: Station,
    now: Instant,
    outputs: Vec<StationOutput>,
}

impl Script {
    fn start() -> Self {
        let now = Instant::from_millis(1000);
        let mut outputs = Vec::new();
        let station = Station::start(network(), now, &mut outputs);
        Self { station, now, outputs }
    }

    fn event(&mut self, event: StationEvent) -> &mut Self {
        self.station.handle(event, self.now, &mut self.outputs);
        self
    }

    fn disconnected(&mut self, code: u16) -> &mut Self {
        self.event(StationEvent::Disconnected { code })
    }

    fn associated(&mut self) -> &mut Self {
        self.event(StationEvent::Associated { channel: 6, rssi: -51 })
    }

    /// Jumps to the next deadline and returns how far it was.
    fn deadline(&mut self) -> Duration {
        let due = self.station.poll_at().expect("a deadline");
        let before = due.checked_sub(Duration::from_millis(1)).unwrap();
        self.outputs.clear();
        self.station.poll(before, &mut self.outputs);
        assert_eq!(self.outputs, [], "nothing happens before the deadline");
        let passed = due - self.now;
        self.now = due;
        self.station.poll(due, &mut self.outputs);
        passed
    }

    fn take(&mut self) -> Vec<StationOutput> {
        core::mem::take(&mut self.outputs)
    }
}

fn joining(attempt: u32) -> Vec<StationOutput> {
    let mut request = network();
    if attempt.is_multiple_of(2) {
        request.channel = None;
    }
    let report = WifiState::Joining { ssid: b"demo".to_vec(), attempt };
    vec![StationOutput::Report(report), StationOutput::Join(request)]
}

fn failed(reason: WifiReason, code: u16, attempt: u32) -> Vec<StationOutput> {
    vec![StationOutput::Report(WifiState::Failed { reason, code, attempt }), StationOutput::Leave]
}

#[test]
fn a_join_that_works_is_reported_step_by_step() {
    let mut script = Script::start();
    assert_eq!(script.take(), joining(1));
    script.associated();
    assert_eq!(script.take(), [StationOutput::Report(WifiState::Joined { channel: 6, rssi: -51 })]);
    script.event(StationEvent::Address { ip: ADDRESS });
    assert_eq!(script.take(), [StationOutput::Up(ADDRESS)]);
    assert_eq!((script.station.poll_at(), script.station.down_since()), (None, None));
}

#[test]
fn every_disconnect_code_is_given_its_meaning() {
    for (code, reason) in [
        (201, WifiReason::NetworkNotFound),
        (15, WifiReason::WrongPassphrase),
        (202, WifiReason::WrongPassphrase),
        (204, WifiReason::WrongPassphrase),
        (5, WifiReason::AccessPointFull),
        (200, WifiReason::SignalLost),
        (203, WifiReason::Other),
        (2, WifiReason::Other),
        (0xFFFF, WifiReason::Other),
    ] {
        let mut script = Script::start();
        script.take();
        script.disconnected(code);
        assert_eq!(script.take(), failed(reason, code, 1));
    }
}

#[test]
fn authentication_expired_twice_in_a_row_is_a_wrong_passphrase() {
    let mut script = Script::start();
    script.disconnected(2).take();
    script.deadline();
    script.take();
    script.disconnected(2);
    assert_eq!(script.take(), failed(WifiReason::WrongPassphrase, 2, 2));
    script.deadline();
    script.take();
    script.disconnected(201).take();
    script.deadline();
    script.take();
    script.disconnected(2);
    assert_eq!(script.take(), failed(WifiReason::Other, 2, 4), "the network was gone in between");
}

#[test]
fn a_silent_radio_and_a_silent_dhcp_server_run_out_of_time() {
    let mut script = Script::start();
    assert_eq!(script.deadline(), JOIN_TIMEOUT);
    assert_eq!(script.take(), failed(WifiReason::NoAnswer, 0, 1));
    script.deadline();
    script.associated();
    assert_eq!(script.deadline(), ADDRESS_TIMEOUT);
    assert_eq!(script.take(), failed(WifiReason::NoAddress, 0, 2));
}

#[test]
fn pauses_double_up_to_the_longest_and_start_over_after_success() {
    let mut script = Script::start();
    for (attempt, seconds) in [1, 2, 4, 8, 16, 32, 32, 32].into_iter().enumerate() {
        script.disconnected(201);
        assert_eq!(script.deadline(), Duration::from_secs(seconds));
        assert_eq!(script.take(), joining(u32::try_from(attempt).unwrap() + 2));
    }
    script.associated().event(StationEvent::Address { ip: ADDRESS }).take();
    script.disconnected(200);
    let mut expected = vec![
        StationOutput::Report(WifiState::Lost { reason: WifiReason::SignalLost, code: 200 }),
        StationOutput::Down,
        StationOutput::Leave,
    ];
    expected.extend(joining(1));
    assert_eq!(script.take(), expected, "the first attempt to join again follows at once");
    script.disconnected(201);
    assert_eq!(script.deadline(), FIRST_PAUSE);
}

#[test]
fn a_new_address_is_reported_and_the_same_one_is_not() {
    let mut script = Script::start();
    script.associated().event(StationEvent::Address { ip: ADDRESS }).take();
    script.event(StationEvent::Address { ip: ADDRESS });
    assert_eq!(script.take(), []);
    let other = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 8));
    script.event(StationEvent::Address { ip: other });
    assert_eq!(script.take(), [StationOutput::Up(other)]);
}

#[test]
fn events_that_do_not_fit_the_state_change_nothing() {
    let mut script = Script::start();
    script.take();
    script.event(StationEvent::Address { ip: ADDRESS });
    assert_eq!(script.take(), [], "an address before the association");
    script.disconnected(201).take();
    script.disconnected(201).associated().event(StationEvent::Address { ip: ADDRESS });
    assert_eq!(script.take(), [], "anything while the station waits");
    script.deadline();
    assert_eq!(script.take(), joining(2));
}

#[test]
fn the_time_without_a_network_counts_from_the_first_attempt_or_the_loss() {
    let mut script = Script::start();
    let first = script.now;
    script.disconnected(201);
    script.deadline();
    assert_eq!(script.station.down_since(), Some(first));
    script.associated().event(StationEvent::Address { ip: ADDRESS });
    script.now += Duration::from_secs(500);
    script.disconnected(8);
    assert_eq!(script.station.down_since(), Some(script.now));
}

fn any_event() -> impl Strategy<Value = StationEvent> {
    prop_oneof![
        Just(StationEvent::Associated { channel: 1, rssi: -80 }),
        any::<u16>().prop_map(|code| StationEvent::Disconnected { code }),
        Just(StationEvent::Address { ip: ADDRESS }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_the_radio_says_the_station_is_up_or_has_a_deadline(
        steps in proptest::collection::vec((any_event(), 0_u64..20_000), 0..40),
    ) {
        let mut script = Script::start();
        let mut up = false;
        for (event, pause) in steps {
            script.now += Duration::from_millis(pause);
            let now = script.now;
            script.station.poll(now, &mut script.outputs);
            script.event(event);
            for output in script.take() {
                match output {
                    StationOutput::Up(_) => up = true,
                    StationOutput::Down => {
                        prop_assert!(up, "down comes only after up");
                        up = false;
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(script.station.address().is_some(), up);
            prop_assert_eq!(script.station.poll_at().is_none(), up);
            prop_assert!(script.station.poll_at().is_none_or(|due| due >= now));
        }
    }
}
