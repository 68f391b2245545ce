use alloc::{string::ToString, vec};
use core::net::Ipv4Addr;

use proptest::prelude::*;

use espbroker_config::slots::RollBack;

use super::*;

fn examples() -> Vec<(Status, &'static str)> {
    let ip = IpAddr::V4(Ipv4Addr::new(192, 168, 4, 1));
    vec![
        (
            Status::Boot {
                version: "0.1.0".to_string(),
                target: Target::Virtual,
                reset: ResetCause::External,
                mac: [0x5C, 0xCF, 0x7F, 0, 0, 1],
            },
            "@eb boot version=0.1.0 target=virtual reset=external mac=5ccf7f000001",
        ),
        (
            Status::Image(ImageCheck::Measured { length: 3, sha256: [0xA5; 32], stated: Stated::Match }),
            "@eb image length=3 sha256=a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5 stated=match",
        ),
        (Status::Image(ImageCheck::NoDescriptor), "@eb image stated=none"),
        (Status::Image(ImageCheck::Unreadable), "@eb image stated=unreadable"),
        (
            Status::Config(ConfigChoice::Loaded { slot: SlotName::B, sequence: 3, crc: 0x0A2B_3C4D }),
            "@eb config slot=b sequence=3 crc=0a2b3c4d",
        ),
        (Status::Config(ConfigChoice::None { reason: NoConfig::Blank }), "@eb config slot=none reason=blank"),
        (
            Status::Trial(TrialReport::Running { sequence: 4, seconds: 60 }),
            "@eb trial state=running sequence=4 seconds=60",
        ),
        (Status::Trial(TrialReport::Kept { sequence: 4 }), "@eb trial state=kept sequence=4"),
        (
            Status::Trial(TrialReport::RolledBack { sequence: 4, reason: RollBack::WrongPassphrase }),
            "@eb trial state=rolled-back sequence=4 reason=wrong-passphrase",
        ),
        (Status::Admin { part: 1, of: 2, data: vec![0xFB, 0xFF, 0] }, "@eb admin part=1 of=2 data=+/8A"),
        (
            Status::Wifi(WifiState::Joining { ssid: b"a b%*=@\xFF".to_vec(), attempt: 1 }),
            "@eb wifi state=joining ssid=a%20b%25%2a%3d%40%ff attempt=1",
        ),
        (
            Status::Wifi(WifiState::Failed { reason: WifiReason::WrongPassphrase, code: 202, attempt: 2 }),
            "@eb wifi state=failed reason=wrong-passphrase code=202 attempt=2",
        ),
        (
            Status::Wifi(WifiState::Joined { channel: 6, rssi: -51 }),
            "@eb wifi state=joined channel=6 rssi=-51",
        ),
        (
            Status::Wifi(WifiState::Lost { reason: WifiReason::SignalLost, code: 200 }),
            "@eb wifi state=lost reason=signal-lost code=200",
        ),
        (
            Status::Address { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), source: AddressSource::Dhcp },
            "@eb address ip=127.0.0.1 source=dhcp",
        ),
        (
            Status::AccessPoint(AccessPointState::Up { ssid: b"espbroker-000001".to_vec(), ip }),
            "@eb ap state=up ssid=espbroker-000001 ip=192.168.4.1",
        ),
        (Status::AccessPoint(AccessPointState::Down), "@eb ap state=down"),
        (Status::Listening { service: Service::Mqtt, port: 1883 }, "@eb listening service=mqtt port=1883"),
        (
            Status::ListenFailed { service: Service::Mqtt, port: 1883, reason: ListenFailure::InUse },
            "@eb listen-failed service=mqtt port=1883 reason=in-use",
        ),
        (Status::Relay { number: 1, state: State::On, ignored: 0 }, "@eb relay number=1 state=on ignored=0"),
        (Status::Heap { free: 41000, lowest: 40800 }, "@eb heap free=41000 lowest=40800"),
        (Status::Ready { mode: Mode::Station }, "@eb ready mode=station"),
    ]
}

/// A line with a right check sum around `body`.
fn sealed(body: &str) -> String {
    let whole = Status::Ready { mode: Mode::Station }.to_line();
    assert_eq!(whole.len(), "@eb ready mode=station *0000\r\n".len());
    let crc =
        body.bytes().fold(0xFFFF_u16, |crc, byte| {
            (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            })
        });
    format!("{body} *{crc:04x}\r\n")
}

#[test]
fn every_kind_is_written_as_documented_and_read_back() {
    for (status, text) in examples() {
        assert_eq!(status.to_line(), sealed(text));
        assert_eq!(Status::parse(sealed(text)), Ok(Some(status)));
    }
}

#[test]
fn other_text_is_no_status_line() {
    for text in
        ["", "\r\n", "ets Jan  8 2013,rst cause:2, boot mode:(3,6)", "@eb", "eb ready *0000", "@ebx *0000"]
    {
        assert_eq!(Status::parse(text), Ok(None), "{text}");
    }
}

#[test]
fn a_boot_log_without_line_end_does_not_hide_the_first_line() {
    let line = sealed("@eb ready mode=station");
    let mut bytes = b"\xE2\x80@eb bo\x00@e".to_vec();
    bytes.extend_from_slice(line.as_bytes());
    assert_eq!(Status::parse(bytes), Ok(Some(Status::Ready { mode: Mode::Station })));
}

#[test]
fn every_changed_byte_and_every_cut_is_noticed() {
    for (status, _) in examples() {
        let line = status.to_line();
        let line = line.trim_end().as_bytes();
        for at in 0..line.len() {
            let mut damaged = line.to_vec();
            damaged[at] ^= 0x01;
            assert_ne!(Status::parse(&damaged), Ok(Some(status.clone())));
            assert!(!matches!(Status::parse(&damaged), Ok(Some(_))), "byte {at} of {status:?}");
            assert!(!matches!(Status::parse(&line[..at]), Ok(Some(_))), "cut at {at} of {status:?}");
        }
    }
}

#[test]
fn a_newer_device_is_understood_as_far_as_possible() {
    let unknown = |body: &str| matches!(Status::parse(sealed(body)), Ok(Some(Status::Unknown { .. })));
    assert!(unknown("@eb bridge name=office state=up"));
    assert!(unknown("@eb ready mode=mesh"));
    assert!(unknown("@eb ready"));
    assert!(unknown("@eb listening service=mqtt port=70000"));
    assert_eq!(
        Status::parse(sealed("@eb heap free=1 lowest=0 largest=1")),
        Ok(Some(Status::Heap { free: 1, lowest: 0 }))
    );
    assert_eq!(
        Status::parse(sealed("@eb wifi state=failed reason=moon-phase code=9 attempt=1")),
        Ok(Some(Status::Wifi(WifiState::Failed { reason: WifiReason::Other, code: 9, attempt: 1 })))
    );
}

#[test]
fn a_line_of_another_form_is_malformed() {
    for body in ["@eb ", "@eb ready mode", "@eb ready =x", "@eb ready  mode=station", "@eb ready mode=%4"] {
        assert_eq!(Status::parse(sealed(body)), Err(StatusError::Malformed), "{body}");
    }
    assert_eq!(Status::parse("@eb ready mode=station"), Err(StatusError::NoChecksum));
}

fn word<T: Copy + core::fmt::Debug>(all: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

const TARGETS: &[Target] = &[Target::Esp8266, Target::Virtual, Target::EmulatedBoard];

fn any_status() -> impl Strategy<Value = Status> {
    let ssid = || proptest::collection::vec(any::<u8>(), 0..33);
    prop_oneof![
        (".*", word(ResetCause::ALL), any::<[u8; 6]>(), word(TARGETS))
            .prop_map(|(version, reset, mac, target)| { Status::Boot { version, target, reset, mac } }),
        (any::<u32>(), any::<[u8; 32]>(), word(Stated::ALL)).prop_map(|(length, sha256, stated)| {
            Status::Image(ImageCheck::Measured { length, sha256, stated })
        }),
        (word(SlotName::ALL), any::<u32>(), any::<u32>())
            .prop_map(|(slot, sequence, crc)| Status::Config(ConfigChoice::Loaded { slot, sequence, crc })),
        word(NoConfig::ALL).prop_map(|reason| Status::Config(ConfigChoice::None { reason })),
        (ssid(), any::<u32>()).prop_map(|(ssid, attempt)| Status::Wifi(WifiState::Joining { ssid, attempt })),
        (word(WifiReason::ALL), any::<u16>(), any::<u32>()).prop_map(|(reason, code, attempt)| {
            Status::Wifi(WifiState::Failed { reason, code, attempt })
        }),
        (any::<u8>(), any::<i8>())
            .prop_map(|(channel, rssi)| Status::Wifi(WifiState::Joined { channel, rssi })),
        (any::<IpAddr>(), word(AddressSource::ALL)).prop_map(|(ip, source)| Status::Address { ip, source }),
        (ssid(), any::<IpAddr>())
            .prop_map(|(ssid, ip)| Status::AccessPoint(AccessPointState::Up { ssid, ip })),
        (word(Service::ALL), any::<u16>(), word(ListenFailure::ALL))
            .prop_map(|(service, port, reason)| Status::ListenFailed { service, port, reason }),
        ("[a-z ]{1,5}x", proptest::collection::vec((".+", ssid()), 0..4))
            .prop_map(|(kind, fields)| Status::Unknown { kind, fields }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(status in any_status()) {
        let line = status.to_line();
        prop_assert!(line.trim_end().bytes().all(|byte| (0x20..0x7F).contains(&byte)));
        prop_assert_eq!(Status::parse(line), Ok(Some(status)));
    }

    #[test]
    fn any_bytes_are_read_without_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut line = noise.clone();
        line.extend_from_slice(b"@eb ");
        line.extend_from_slice(&noise);
        prop_assert!(!matches!(Status::parse(&noise), Ok(Some(_))));
        let _ = Status::parse(&line);
    }

    #[test]
    fn any_text_with_a_right_check_sum_is_read_without_panic(body in "[a-z@%=* 0-9]{0,60}") {
        let _ = Status::parse(sealed(&format!("@eb {body}")));
    }
}
