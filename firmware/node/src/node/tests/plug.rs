//! The role of a plug: commands, presses and power, over the whole device.

use espbroker_config::model::{Pin, PinFunction, PowerOn, Profile, Role};
use espbroker_plug::{Level, State};

use super::*;
use crate::{access_point::ASKED_FOR, keeper::SAVE_DELAY};

const SET_ON: &[u8] = b"\x30\x15\x00\x11kitchen/relay/setON";
const SET_NONSENSE: &[u8] = b"\x30\x15\x00\x11kitchen/relay/set??";
const HIGH: &str = "pin 12 Driven(High)";
const LOW: &str = "pin 12 Driven(Low)";

fn plug() -> Config {
    let mut config = config();
    config.role = Role::BrokerAndPlug;
    let pin = |gpio, function, inverted| Pin { gpio, function, inverted };
    let pins = vec![
        pin(0, PinFunction::Button, true),
        pin(12, PinFunction::Relay, false),
        pin(13, PinFunction::Led, true),
    ];
    config.profile = Some(Profile { pins, ..Profile::new("sonoff-basic") });
    config
}

fn press(platform: &mut Platform, milliseconds: u64) {
    for (level, pause) in [(Level::High, 100), (Level::Low, milliseconds), (Level::High, 100)] {
        platform.input(Input::Pin { gpio: 0, level });
        platform.wait(Duration::from_millis(pause));
    }
}

fn pins(platform: &mut Platform) -> Vec<String> {
    platform.take().into_iter().filter(|line| line.starts_with("pin ")).collect()
}

#[test]
fn the_relay_is_settled_before_the_network_is() {
    let log = Platform::boot(flash_with(&plug())).take();
    let place = |text: &str| log.iter().position(|line| line.starts_with(text)).unwrap();
    assert!(place(LOW) < place("pin 13"), "{log:?}");
    assert!(place("@eb relay number=1 state=off ignored=0") < place("pin 0 Watched"), "{log:?}");
    // A broker leaves the same pins alone.
    let broker = Config { role: Role::Broker, ..plug() };
    assert_eq!(pins(&mut Platform::boot(flash_with(&broker))), Vec::<String>::new());
}

#[test]
fn a_command_switches_and_the_state_is_published() {
    let mut platform = Platform::online(flash_with(&plug()));
    platform.client(1, Mode::Station, CONNECT);
    platform.input(Input::Received { connection: ConnectionId(1), bytes: SUBSCRIBE_ALL });
    platform.take();
    platform.input(Input::Received { connection: ConnectionId(1), bytes: SET_ON });
    let log = platform.take();
    let state = format!("send 1 {}", hex(b"\x30\x11\x00\x0Dkitchen/relayon"));
    assert!(log.contains(&HIGH.to_string()) && log.contains(&state), "{log:?}");
    assert!(platform.statuses.contains(&Status::Relay { number: 1, state: State::On, ignored: 0 }));
    platform.input(Input::Received { connection: ConnectionId(1), bytes: SET_NONSENSE });
    assert_eq!(pins(&mut platform), Vec::<String>::new());
    platform.input(Input::Console(b"status\n"));
    assert!(platform.statuses.contains(&Status::Relay { number: 1, state: State::On, ignored: 1 }));
}

#[test]
fn a_short_press_toggles_without_any_network() {
    let mut platform = Platform::boot(flash_with(&plug()));
    platform.take();
    press(&mut platform, 200);
    assert!(platform.take().contains(&HIGH.to_string()));
    press(&mut platform, 200);
    assert!(platform.take().contains(&LOW.to_string()));
}

#[test]
fn a_long_press_opens_the_access_point_for_ten_minutes_beside_the_network() {
    let mut platform = Platform::online(flash_with(&plug()));
    platform.take();
    press(&mut platform, 5100);
    let log = platform.take();
    assert!(log.contains(&"open espbroker-abcd01".to_string()), "{log:?}");
    platform.access_point_up();
    platform.wait(ASKED_FOR - Duration::from_secs(1));
    assert!(!platform.take().contains(&"close access point".to_string()));
    platform.wait(Duration::from_secs(1));
    assert!(platform.take().contains(&"close access point".to_string()));

    let mut never = plug();
    never.access_point.policy = AccessPointPolicy::Never;
    let mut platform = Platform::online(flash_with(&never));
    press(&mut platform, 5100);
    assert!(!platform.take().iter().any(|line| line.starts_with("open ")));
}

#[test]
fn power_brings_the_last_state_back_that_was_two_seconds_old() {
    let mut platform = Platform::boot(flash_with(&plug()));
    press(&mut platform, 200);
    platform.wait(SAVE_DELAY);
    let mut platform = Platform::boot(platform.node.flash);
    assert_eq!(pins(&mut platform)[0], HIGH);
    press(&mut platform, 200);
    let mut platform = Platform::boot(platform.node.flash);
    assert_eq!(pins(&mut platform)[0], HIGH, "the store had no time");

    let mut off = plug();
    off.plug.power_on = PowerOn::Off;
    let mut flash = platform.node.flash;
    flash.put(CONFIG_B.offset, &slots::encode_sector(&off, 2).unwrap());
    assert_eq!(pins(&mut Platform::boot(flash))[0], LOW);
}

#[test]
fn a_restart_that_keeps_the_outputs_keeps_the_relay_whatever_the_config_says() {
    let mut off = plug();
    off.plug.power_on = PowerOn::Off;
    let boot = |config: &Config| {
        let mut platform = Platform::new(flash_with(config));
        platform.input(Input::Pin { gpio: 12, level: Level::High });
        platform.input(Input::Pin { gpio: 5, level: Level::High });
        platform.start_up();
        pins(&mut platform)
    };
    let log = boot(&off);
    assert!(log.first().is_some_and(|line| line == HIGH) && log.contains(&"pin 5 Released".to_string()));
    // What is no plug any more lets go.
    let broker = Config { role: Role::Broker, ..plug() };
    assert_eq!(boot(&broker), ["pin 5 Released", "pin 12 Released"]);
}

#[test]
fn the_plug_says_that_it_is_there_and_that_it_leaves() {
    let mut platform = Platform::online(flash_with(&plug()));
    platform.client(1, Mode::Station, CONNECT);
    platform.input(Input::Received { connection: ConnectionId(1), bytes: SUBSCRIBE_ALL });
    let sent =
        |log: &[String]| log.iter().filter_map(|line| line.strip_prefix("send 1 ")).collect::<String>();
    let online = hex(b"\x31\x16\x00\x0Ekitchen/statusonline");
    let log = platform.take();
    assert!(sent(&log).ends_with(&online), "{log:?}");
    platform.input(Input::Console(b"restart\n"));
    let log = platform.take();
    let offline = hex(b"\x30\x17\x00\x0Ekitchen/statusoffline");
    assert_eq!((sent(&log), log.last().map(String::as_str)), (offline, Some("restart")));
}
