//! Retained messages over a restart.

use espbroker_config::flash_map::{CONFIG_B, STORE};

use super::*;
use crate::keeper::SAVE_DELAY;

/// A retained message `ON` for topic `t`, and one without payload, which clears it.
const ON: &[u8] = b"\x31\x05\x00\x01tON";
const CLEAR: &[u8] = b"\x31\x03\x00\x01t";

fn send(platform: &mut Platform, bytes: &[u8]) {
    platform.input(Input::Received { connection: ConnectionId(1), bytes });
}

fn with_client(flash: TestFlash) -> Platform {
    let mut platform = Platform::online(flash);
    platform.client(1, Mode::Station, CONNECT);
    platform.take();
    platform
}

/// What a new subscriber to everything gets after its SUBACK.
fn shown(platform: &mut Platform) -> String {
    send(platform, SUBSCRIBE_ALL);
    let log = platform.take();
    log.iter().filter_map(|line| line.strip_prefix("send 1 ")).skip(1).collect()
}

#[test]
fn a_retained_message_is_there_again_after_a_restart_and_a_cleared_one_is_not() {
    let mut platform = with_client(flash_with(&config()));
    send(&mut platform, ON);
    platform.wait(SAVE_DELAY);
    let mut platform = with_client(platform.node.flash);
    assert_eq!(shown(&mut platform), hex(ON));
    send(&mut platform, CLEAR);
    platform.wait(SAVE_DELAY);
    let mut platform = with_client(platform.node.flash);
    assert_eq!(shown(&mut platform), "");
}

#[test]
fn a_power_cut_before_the_message_is_written_leaves_the_one_before() {
    let mut platform = with_client(flash_with(&config()));
    send(&mut platform, ON);
    platform.wait(SAVE_DELAY);
    send(&mut platform, b"\x31\x06\x00\x01tOFF");
    let mut platform = with_client(platform.node.flash);
    assert_eq!(shown(&mut platform), hex(ON));
}

#[test]
fn a_restart_on_request_writes_what_is_left() {
    let mut platform = with_client(flash_with(&config()));
    send(&mut platform, ON);
    platform.input(Input::Console(b"restart\n"));
    let mut platform = with_client(platform.node.flash);
    assert_eq!(shown(&mut platform), hex(ON));
}

#[test]
fn a_value_that_changes_quickly_is_written_once() {
    let mut platform = with_client(flash_with(&config()));
    let blank = platform.node.flash.programs;
    for number in 0..100 {
        send(&mut platform, &[0x31, 4, 0, 1, b't', number]);
    }
    platform.wait(SAVE_DELAY);
    let once = platform.node.flash.programs - blank;
    send(&mut platform, ON);
    platform.wait(SAVE_DELAY);
    assert!(platform.node.flash.programs - blank <= 2 * once, "{once}");
}

#[test]
fn what_was_kept_does_not_come_back_once_nothing_was_to_be_retained() {
    let mut platform = with_client(flash_with(&config()));
    send(&mut platform, ON);
    platform.wait(SAVE_DELAY);
    let mut flash = platform.node.flash;
    let mut nothing = config();
    nothing.broker.limits.retained_messages = 0;
    flash.put(CONFIG_B.offset, &slots::encode_sector(&nothing, 2).unwrap());
    let mut platform = with_client(flash);
    assert_eq!(shown(&mut platform), "");
    platform.wait(SAVE_DELAY);
    let mut flash = platform.node.flash;
    flash.put(CONFIG_B.offset, &[0xFF; 4096]);
    let mut platform = with_client(flash);
    assert_eq!(shown(&mut platform), "");
}

#[test]
fn a_sector_that_is_worn_out_is_left_out_and_told() {
    let mut flash = flash_with(&config());
    flash.unerasable = Some(STORE.offset);
    flash.put(STORE.offset, &[0; 4096]);
    let mut platform = with_client(flash);
    send(&mut platform, ON);
    platform.wait(SAVE_DELAY);
    assert_eq!(platform.take(), ["store: worn out sectors left out: 1\r\n"]);
    let mut flash = platform.node.flash;
    flash.unerasable = None;
    assert_eq!(shown(&mut with_client(flash)), hex(ON));
}

#[test]
fn a_message_too_long_for_the_store_takes_the_outdated_one_from_it() {
    let mut platform = with_client(flash_with(&config()));
    send(&mut platform, ON);
    platform.wait(SAVE_DELAY);
    let mut long = vec![0x31, 0xE7, 0x1F, 0, 1, b't'];
    long.resize(3 + 0xFE7, b'x');
    send(&mut platform, &long);
    platform.wait(SAVE_DELAY);
    assert_eq!(shown(&mut platform), hex(&long));
    let mut platform = with_client(platform.node.flash);
    assert_eq!(shown(&mut platform), "");
}
