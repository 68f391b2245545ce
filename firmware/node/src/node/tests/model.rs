//! The device against a model of its own log, whatever the platform reports.

use proptest::prelude::*;

use super::*;

/// What a platform may report at any time, right or wrong.
#[derive(Clone, Debug)]
enum Event {
    Wait(u64),
    Station(StationEvent),
    AccessPointUp,
    Listening,
    ListenFailed,
    Accepted(u16, Mode),
    Received(u16, Vec<u8>),
    Sent(u16, usize),
    Closed(u16),
    Console(Vec<u8>),
}

fn any_event() -> impl Strategy<Value = Event> {
    let client = || 0_u16..4;
    prop_oneof![
        (0_u64..70_000).prop_map(Event::Wait),
        Just(Event::Station(StationEvent::Associated { channel: 6, rssi: -51 })),
        Just(Event::Station(StationEvent::Address { ip: STATION_IP })),
        prop_oneof![Just(201), any::<u16>()]
            .prop_map(|code| Event::Station(StationEvent::Disconnected { code })),
        Just(Event::AccessPointUp),
        Just(Event::Listening),
        Just(Event::ListenFailed),
        (client(), prop_oneof![Just(Mode::Station), Just(Mode::AccessPoint)])
            .prop_map(|(id, mode)| Event::Accepted(id, mode)),
        (client(), prop_oneof![Just(CONNECT.to_vec()), Just(SUBSCRIBE_ALL.to_vec()), any::<Vec<u8>>()])
            .prop_map(|(id, bytes)| Event::Received(id, bytes)),
        (client(), 0_usize..100).prop_map(|(id, bytes)| Event::Sent(id, bytes)),
        client().prop_map(Event::Closed),
        prop_oneof![Just(b"status\r".to_vec()), any::<Vec<u8>>()].prop_map(Event::Console),
    ]
}

/// What the log says about the device so far.
#[derive(Default)]
struct Model {
    station: bool,
    access_point: bool,
    listening: bool,
}

impl Model {
    fn follow(&mut self, line: &str) {
        match line {
            line if line.starts_with("@eb address") => self.station = true,
            line if line.starts_with("@eb wifi state=lost") => self.station = false,
            line if line.starts_with("@eb ap") => self.access_point = line.contains("state=up"),
            line if line.starts_with("@eb listening") => self.listening = true,
            "stop mqtt" => self.listening = false,
            "@eb ready mode=station" => assert!(self.listening && self.station),
            "@eb ready mode=access-point" => assert!(self.listening && self.access_point && !self.station),
            line if line.starts_with("send") => assert!(self.station || self.access_point),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_the_platform_reports_ready_is_only_said_when_it_is_true(
        policy in prop_oneof![
            Just(AccessPointPolicy::Fallback), Just(AccessPointPolicy::Always), Just(AccessPointPolicy::Never)
        ],
        events in proptest::collection::vec(any_event(), 0..60),
    ) {
        let mut config = config();
        config.access_point.policy = policy;
        let mut platform = Platform::boot(flash_with(&config));
        let mut model = Model::default();
        for event in events {
            match event {
                Event::Wait(milliseconds) => platform.wait(Duration::from_millis(milliseconds)),
                Event::Station(event) => platform.input(Input::Station(event)),
                Event::AccessPointUp => platform.access_point_up(),
                Event::Listening => platform.listening(),
                Event::ListenFailed => {
                    platform.input(Input::ListenFailed { service: Service::Mqtt, reason: ListenFailure::InUse })
                }
                Event::Accepted(id, mode) => {
                    platform.input(Input::Accepted { connection: ConnectionId(id), mode, service: Service::Mqtt })
                }
                Event::Received(id, bytes) => {
                    platform.input(Input::Received { connection: ConnectionId(id), bytes: &bytes })
                }
                Event::Sent(id, bytes) => platform.input(Input::Sent { connection: ConnectionId(id), bytes }),
                Event::Closed(id) => platform.input(Input::Closed { connection: ConnectionId(id) }),
                Event::Console(bytes) => platform.input(Input::Console(&bytes)),
            };
            platform.take().iter().for_each(|line| model.follow(line));
            prop_assert_eq!(platform.node.mode().is_some(), model.station || model.access_point);
        }
    }
}
