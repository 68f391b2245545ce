use alloc::{vec, vec::Vec};

use espbroker_config::model::Profile;
use proptest::prelude::*;

use super::*;

fn pin(gpio: u8, function: PinFunction) -> Pin {
    let inverted = matches!(function, PinFunction::Button | PinFunction::Led);
    Pin { gpio, function, inverted }
}

/// A plug with a button on 0, a relay on 12 and an LED on 13.
fn config() -> Config {
    let mut config = Config::new("hall");
    config.role = Role::BrokerAndPlug;
    let pins = [(0, PinFunction::Button), (12, PinFunction::Relay), (13, PinFunction::Led)];
    let pins = pins.map(|(gpio, function)| pin(gpio, function)).to_vec();
    config.profile = Some(Profile { pins, ..Profile::new("sonoff-basic") });
    config
}

fn add(config: &mut Config, gpio: u8, function: PinFunction) {
    config.profile.as_mut().unwrap().pins.push(pin(gpio, function));
}

fn start(config: &Config) -> Plug {
    Plug::start(config, &Pins::default(), |_| None, 0).unwrap()
}

fn events(plug: &mut Plug) -> Vec<Event> {
    plug.take_events()
}

const fn driven(gpio: u8, level: Level) -> Event {
    Event::Pin { gpio, mode: PinMode::Driven(level) }
}

const fn watched(gpio: u8) -> Event {
    Event::Pin { gpio, mode: PinMode::Watched }
}

const fn relay(relay: usize, state: State) -> Event {
    Event::Relay { relay, state }
}

/// A plug that has started, whose button was found released.
fn settled(config: &Config) -> Plug {
    let mut plug = start(config);
    plug.link(Link::Joined, 0);
    for switch in 0..plug.contacts.len() {
        let gpio = plug.contacts[switch].contact.pin.gpio;
        plug.pin(gpio, Level::High, 0);
    }
    plug.tick(50);
    events(&mut plug);
    plug
}

/// Presses a button on this pin, and returns what came of it.
fn press(plug: &mut Plug, gpio: u8, at: u64, milliseconds: u64) -> Vec<Event> {
    plug.pin(gpio, Level::Low, at);
    plug.tick(at + 30);
    plug.pin(gpio, Level::High, at + milliseconds);
    plug.tick(at + milliseconds + 30);
    events(plug)
}

#[test]
fn the_relay_is_settled_before_anything_else() {
    let mut plug = start(&config());
    assert_eq!(
        events(&mut plug),
        [driven(12, Level::Low), relay(0, State::Off), driven(13, Level::Low), watched(0)]
    );
}

#[test]
fn a_device_that_is_no_plug_touches_no_pin() {
    let start = |config: &Config| Plug::start(config, &Pins::default(), |_| None, 0).is_some();
    assert!(start(&config()));
    assert!(!start(&Config { role: Role::Broker, ..config() }));
    assert!(!start(&Config { profile: None, ..config() }));
    assert!(!start(&Config { profile: Some(Profile::new("nodemcu")), ..config() }));
}

#[test]
fn power_brings_what_the_config_says() {
    let state = |power_on, last| {
        let mut config = config();
        config.plug.power_on = power_on;
        Plug::start(&config, &Pins::default(), |_| last, 0).unwrap().relays().next().unwrap()
    };
    assert_eq!(state(PowerOn::Off, Some(State::On)), State::Off);
    assert_eq!(state(PowerOn::On, Some(State::Off)), State::On);
    assert_eq!(state(PowerOn::Last, Some(State::On)), State::On);
    assert_eq!(state(PowerOn::Last, None), State::Off);
}

#[test]
fn a_restart_without_a_loss_of_power_leaves_the_relays_as_they_are() {
    let mut config = config();
    config.plug.power_on = PowerOn::Off;
    let mut kept = Pins::default();
    for gpio in [0, 4, 12, 13] {
        kept.note(gpio, Level::High);
    }
    let mut plug = Plug::start(&config, &kept, |_| None, 0).unwrap();
    let events = events(&mut plug);
    assert_eq!(events[..2], [driven(12, Level::High), relay(0, State::On)]);
    // GPIO 4 was an output of another config.
    assert_eq!(events[3..], [watched(0), Event::Pin { gpio: 4, mode: PinMode::Released }]);
}

#[test]
fn an_inverted_relay_is_off_while_its_pin_is_high() {
    let mut config = config();
    config.profile.as_mut().unwrap().pins[1].inverted = true;
    let mut plug = start(&config);
    assert_eq!(events(&mut plug)[0], driven(12, Level::High));
    plug.command("hall/relay/set", b"on");
    assert_eq!(events(&mut plug), [driven(12, Level::Low), relay(0, State::On)]);
}

#[test]
fn commands_switch_and_every_one_is_answered_with_the_state() {
    let mut plug = settled(&config());
    for (command, level, state) in [
        (&b"on"[..], Level::High, State::On),
        (b"ON", Level::High, State::On),
        (b"toggle", Level::Low, State::Off),
        (b"1", Level::High, State::On),
        (b"0", Level::Low, State::Off),
    ] {
        plug.command("hall/relay/set", command);
        assert_eq!(events(&mut plug), [driven(12, level), relay(0, state)]);
    }
    assert_eq!(plug.ignored(), 0);
}

#[test]
fn what_is_no_command_is_counted_and_changes_nothing() {
    let mut plug = settled(&config());
    for (topic, payload) in
        [("hall/relay/set", &b"maybe"[..]), ("hall/relay2/set", b"on"), ("hall/lamp/set", b"on")]
    {
        plug.command(topic, payload);
    }
    assert_eq!((events(&mut plug), plug.ignored()), (vec![], 3));
}

#[test]
fn a_short_press_toggles_when_it_ends() {
    let mut plug = settled(&config());
    let on = [driven(12, Level::High), relay(0, State::On), Event::Button(Press::Short)];
    assert_eq!(press(&mut plug, 0, 1000, 80), on);
    assert_eq!(press(&mut plug, 0, 2000, 4999)[1], relay(0, State::Off));
}

#[test]
fn a_long_press_is_told_while_the_button_is_held_and_switches_nothing() {
    let mut plug = settled(&config());
    plug.pin(0, Level::Low, 1000);
    plug.tick(1030);
    assert_eq!((plug.poll_at(), events(&mut plug)), (Some(6000), vec![]));
    plug.tick(6000);
    assert_eq!(events(&mut plug), [Event::Button(Press::Long)]);
    plug.pin(0, Level::High, 9000);
    plug.tick(9030);
    assert_eq!((plug.poll_at(), events(&mut plug)), (None, vec![]));
}

#[test]
fn a_long_press_counts_as_one_also_when_nobody_looked_in_time() {
    let mut plug = settled(&config());
    assert_eq!(press(&mut plug, 0, 1000, 7000), [Event::Button(Press::Long)]);
}

#[test]
fn a_wall_switch_toggles_whenever_it_is_moved_and_not_at_the_start() {
    let mut config = config();
    add(&mut config, 4, PinFunction::Switch);
    let mut plug = settled(&config);
    plug.pin(4, Level::Low, 1000);
    plug.tick(1030);
    assert_eq!(events(&mut plug), [driven(12, Level::High), relay(0, State::On)]);
    plug.pin(4, Level::High, 2000);
    plug.tick(2030);
    assert_eq!(events(&mut plug), [driven(12, Level::Low), relay(0, State::Off)]);
}

#[test]
fn every_relay_has_its_topic_and_its_button() {
    let mut config = config();
    add(&mut config, 14, PinFunction::Relay);
    add(&mut config, 4, PinFunction::Button);
    add(&mut config, 16, PinFunction::Button);
    add(&mut config, 15, PinFunction::RelayLed);
    let mut plug = settled(&config);
    plug.command("hall/relay2/set", b"on");
    assert_eq!(events(&mut plug), [driven(14, Level::High), relay(1, State::On)]);
    assert_eq!(press(&mut plug, 4, 1000, 80)[1], relay(1, State::Off));
    // There is no third relay; the LED is the first one's.
    let first = press(&mut plug, 16, 2000, 80);
    assert_eq!(first[..3], [driven(12, Level::High), driven(15, Level::High), relay(0, State::On)]);
}

#[test]
fn the_led_follows_the_network_and_stays_dark_if_it_is_to() {
    let mut plug = start(&config());
    events(&mut plug);
    assert_eq!(plug.poll_at(), Some(500));
    plug.tick(500);
    assert_eq!(events(&mut plug), [driven(13, Level::High)]);
    plug.link(Link::Joined, 700);
    assert_eq!((events(&mut plug), plug.poll_at()), (vec![driven(13, Level::Low)], None));
    plug.link(Link::AccessPoint, 750);
    plug.tick(800);
    assert_eq!(plug.poll_at(), Some(900));

    let mut config = config();
    config.plug.led = LedUse::Off;
    let mut dark = start(&config);
    assert_eq!(events(&mut dark)[2], driven(13, Level::High));
    dark.link(Link::AccessPoint, 100);
    assert_eq!((events(&mut dark), dark.poll_at()), (vec![], None));
}

proptest! {
    #[test]
    fn whatever_happens_the_pin_is_what_was_told_last(
        steps in proptest::collection::vec((0_u64..7000, 0_u8..6, any::<bool>()), 1..80),
    ) {
        let mut plug = settled(&config());
        let mut now = 100;
        let (mut level, mut told) = (Level::Low, State::Off);
        for (pause, what, flag) in steps {
            now += pause;
            match what {
                0 | 1 => plug.pin(0, if flag { Level::High } else { Level::Low }, now),
                2 => plug.command("hall/relay/set", if flag { b"toggle" } else { b"nonsense" }),
                3 => plug.command("hall/relay/set", if flag { b"on" } else { b"off" }),
                _ => plug.tick(now),
            }
            for event in plug.take_events() {
                match event {
                    Event::Pin { gpio: 12, mode: PinMode::Driven(driven) } => level = driven,
                    Event::Relay { relay: 0, state } => told = state,
                    _ => {}
                }
            }
            prop_assert_eq!(level == Level::High, told == State::On);
            prop_assert_eq!(plug.relays().collect::<Vec<_>>(), [told]);
        }
    }
}
