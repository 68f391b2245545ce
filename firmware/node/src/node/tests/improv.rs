//! Setting the network over the serial port, as a browser does.

use espbroker_config::slots::RollBack;

use super::*;
use crate::status::TrialReport;

const STATE: &[u8] = b"\x02\x00";
const SET_NEW: &[u8] = b"\x01\x11\x07new net\x08password";

impl Platform {
    fn rpc(&mut self, data: &[u8]) -> Vec<String> {
        let mut packet = [b"IMPROV\x01\x03", &[u8::try_from(data.len()).unwrap()][..], data].concat();
        packet.push(packet.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
        self.take();
        self.input(Input::Console(&packet));
        self.packets()
    }

    /// What packets say since the log was taken last: kind, length and data in hex.
    fn packets(&mut self) -> Vec<String> {
        let packets = self.log.iter().filter_map(|line| line.strip_prefix("packet "));
        packets.map(|digits| digits[14..digits.len() - 4].to_string()).collect()
    }
}

fn url(command: u8) -> String {
    let url = "mqtt://192.168.1.7:1883";
    let length = u8::try_from(url.len()).unwrap();
    format!("04{:02x}{command:02x}{:02x}{length:02x}{}", length + 3, length + 1, hex(url.as_bytes()))
}

#[test]
fn a_device_without_a_config_is_brought_to_a_network() {
    let mut platform = Platform::boot(TestFlash::blank());
    platform.access_point_up().listening();
    assert_eq!(platform.rpc(STATE), ["020100", "010102"]);
    assert_eq!(platform.rpc(SET_NEW), ["020100", "010103"]);
    assert!(platform.log.contains(&"join new net None".to_string()), "{:?}", platform.log);
    assert_eq!(platform.rpc(STATE), ["020100", "010103"]);
    platform.associated();
    platform.take();
    platform.address().listening();
    assert_eq!(platform.packets(), ["010104".to_string(), url(1)]);
    assert!(platform.statuses.contains(&Status::Trial(TrialReport::Kept { sequence: 1 })));
    assert_eq!(platform.rpc(STATE), ["020100".to_string(), "010104".to_string(), url(2)]);

    let mut platform = Platform::boot(platform.node.flash);
    assert!(platform.take().contains(&"join new net None".to_string()), "for good");
}

#[test]
fn a_wrong_passphrase_is_told_and_the_device_goes_back() {
    let mut platform = Platform::online(flash_with(&config()));
    assert_eq!(platform.rpc(SET_NEW), ["020100", "010103"]);
    for _ in 0..2 {
        platform.disconnected(202).wait(Duration::from_secs(3));
    }
    assert_eq!(platform.packets().len(), 2);
    platform.take();
    platform.disconnected(202);
    assert_eq!(platform.packets(), ["020103", "010102"]);
    let reason = RollBack::WrongPassphrase;
    assert!(platform.statuses.contains(&Status::Trial(TrialReport::RolledBack { sequence: 2, reason })));
    platform.wait(Duration::from_millis(200));
    assert_eq!(platform.take().last().unwrap(), "restart");
    let mut platform = Platform::boot(platform.node.flash);
    assert!(platform.take().contains(&"join demo net None".to_string()));
}

#[test]
fn the_rest_of_the_config_stays_when_the_network_is_set() {
    let before = Config { admin_key: Some(espbroker_config::secret::Secret::new([7; 32])), ..config() };
    let mut platform = Platform::online(flash_with(&before));
    platform.client(1, Mode::Station, CONNECT);
    platform.rpc(SET_NEW);
    let log = platform.take();
    let order: Vec<_> = ["leave", "close 1", "join new net None"]
        .iter()
        .map(|wanted| log.iter().position(|line| line == wanted).unwrap())
        .collect();
    assert!(order.is_sorted(), "{log:?}");
    platform.associated().address().listening();
    let Ok(Loaded::Config { record, .. }) = slots::load(&mut platform.node.flash) else {
        panic!("no config")
    };
    assert_eq!(record.config.wifi.unwrap().ssid, b"new net");
    assert_eq!((record.config.name, record.config.admin_key), (before.name, before.admin_key));
}

#[test]
fn who_the_device_is_and_what_it_sees_is_told() {
    let mut platform = Platform::online(flash_with(&config()));
    let strings = ["espbroker", env!("CARGO_PKG_VERSION"), "virtual", "kitchen"];
    let list: Vec<u8> = strings
        .iter()
        .flat_map(|text| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat())
        .collect();
    let result = format!("04{:02x}03{:02x}{}", list.len() + 2, list.len(), hex(&list));
    assert_eq!(platform.rpc(b"\x03\x00"), ["020100".to_string(), result]);
    assert_eq!(platform.rpc(b"\x04\x00"), ["020100", "04020400"], "no network is in sight");
    assert_eq!(platform.rpc(b"\x06\x00"), ["020102"]);
    assert_eq!(platform.rpc(b"\x01\x02\x05n"), ["020101"]);
    assert_eq!(platform.rpc(b"\x01\x02\x00\x00"), ["020100", "020101"], "a network without a name");
    platform.rpc(SET_NEW);
    assert_eq!(platform.rpc(SET_NEW), ["020100", "020103"], "while another is tried");
}

#[test]
fn packets_and_lines_share_the_serial_port() {
    let mut platform = Platform::online(flash_with(&config()));
    platform.input(Input::Console(b"he"));
    assert_eq!(platform.rpc(STATE).len(), 3);
    platform.input(Input::Console(b"lp\r"));
    assert_eq!(platform.take().last().unwrap(), HELP);
}
