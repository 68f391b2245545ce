//! Judges a device's start-up from its status lines: ready, failed for a reason, or not decided yet.
//!
//! Pure: lines go in, a verdict comes out; who reads the serial port and for how long is decided elsewhere.

use std::{collections::BTreeMap, net::IpAddr};

use espbroker_config::slots::Slot;
use espbroker_node::status::{
    AccessPointState, BridgeReason, BridgeReport, ConfigChoice, ImageCheck, ListenFailure, Mode, Service,
    SlotName, Status, WifiReason, WifiState,
};

use crate::registry::Seen;

/// Starts without reaching `ready` after which the device is said to be crashing.
const STARTS_MAX: u32 = 3;

/// Attempts with the same definite reason after which waiting longer makes no sense.
const SAME_REASON_MAX: u32 = 2;

/// What the host wrote, to be found again in what the device says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// MAC address of the device that was written.
    pub(crate) mac: Option<[u8; 6]>,
    /// Length and SHA-256 of the image; `None` when only settings were written.
    pub(crate) image: Option<(u32, [u8; 32])>,
    /// Slot, sequence number and CRC-32 of the config.
    pub(crate) config: Option<(Slot, u32, u32)>,
    /// The config names a network to join.
    pub(crate) station: bool,
}

/// What is known once the device is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Running {
    /// The device's address.
    pub(crate) address: Option<IpAddr>,
    /// Port of MQTT over TCP.
    pub(crate) mqtt_port: Option<u16>,
    /// Port of MQTT over WebSocket.
    pub(crate) websocket_port: Option<u16>,
    /// Firmware version.
    pub(crate) version: Option<String>,
    /// Bytes of heap left.
    pub(crate) heap_free: Option<u32>,
    /// The device's own access point, when that is where it is reached.
    pub(crate) access_point: Option<Vec<u8>>,
    /// What was said last of each bridge, by name; most say nothing before the device is ready.
    pub(crate) bridges: BTreeMap<String, BridgeReport>,
    /// The image in flash was measured by the device and is the one that was written.
    pub(crate) image_verified: bool,
    /// The config in use is the one that was written.
    pub(crate) config_verified: bool,
}

impl Running {
    /// Where it can be reached.
    pub(crate) fn seen(&self) -> Seen {
        Seen { address: self.address, mqtt_port: self.mqtt_port, websocket_port: self.websocket_port }
    }
}

/// Why a start-up failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StartUpError {
    #[error("another device has started than was written: {found} instead of {written}")]
    OtherDevice { found: String, written: String },
    #[error("the device measures another image than was written: sha256 {found}")]
    ImageDiffers { found: String },
    #[error("the device finds no espbroker image in its flash")]
    NoImage,
    #[error("the device uses other settings than were written: {found}")]
    ConfigDiffers { found: String },
    #[error("the access point refuses the passphrase of network `{ssid}` (code {code})")]
    WrongPassphrase { ssid: String, code: u16 },
    #[error("the device does not see the network `{ssid}` (code {code})")]
    NetworkNotFound { ssid: String, code: u16 },
    #[error("the network `{ssid}` gives the device no address")]
    NoAddress { ssid: String },
    #[error("the device cannot join the network `{ssid}`: {} (code {code})", wifi_words(*reason))]
    NotJoined { ssid: String, reason: WifiReason, code: u16 },
    #[error("the device cannot open its {} port: {port} is {}", service_words(*service), listen_words(*reason))]
    PortNotOpen { service: Service, port: u16, reason: ListenFailure },
    #[error("the device has opened its own access point instead of joining the network")]
    AccessPointInstead,
    #[error("the device started {STARTS_MAX} times without becoming ready")]
    Crashing,
    #[error("the device said nothing that was understood within {seconds} s of its reset")]
    Silent { seconds: u64 },
    #[error("the device did not say within {seconds} s which image and settings it uses")]
    Unconfirmed { seconds: u64 },
    #[error("the boot ROM started the firmware, and the firmware says nothing")]
    StartedSilent,
    #[error("the boot ROM finds the image damaged (csum err)")]
    BootChecksum,
    #[error("the boot ROM finds nothing to start at offset 0")]
    NothingToStart,
    #[error("the chip does not start its flash: boot mode {boot_mode}")]
    StaysInLoader { boot_mode: u8 },
    #[error("the device did not become ready within {seconds} s; its last word: {last}")]
    TooSlow { seconds: u64, last: String },
}

/// A start-up in progress.
#[derive(Clone, Debug)]
pub(crate) struct StartUp {
    expected: Expected,
    running: Running,
    ssid: Vec<u8>,
    starts: u32,
    /// Answers to [`Self::asked`] that are still to come.
    repeats: u32,
    failures: Option<Failures>,
    /// `ready` came before everything that must be known.
    incomplete: bool,
    last: Option<String>,
}

/// Attempts to join that failed for the same reason, one after the other.
#[derive(Clone, Copy, Debug)]
struct Failures {
    reason: WifiReason,
    count: u32,
    /// The last of them; 0 for a lost connection.
    attempt: u32,
}

impl StartUp {
    /// Begins to watch.
    pub(crate) fn new(expected: Expected) -> Self {
        Self {
            expected,
            running: Running::default(),
            ssid: Vec::new(),
            starts: 0,
            repeats: 0,
            failures: None,
            incomplete: false,
            last: None,
        }
    }

    /// Takes one status; `Some` is the end.
    ///
    /// # Errors
    ///
    /// When the device can no longer become what was asked for.
    pub(crate) fn observe(&mut self, status: &Status) -> Result<Option<Running>, StartUpError> {
        self.last = Some(status.to_line().trim_end().to_owned());
        match status {
            Status::Boot { version, mac, .. } => {
                if let Some(written) = self.expected.mac.filter(|written| written != mac) {
                    let [found, written] = [*mac, written].map(|mac| crate::hex::to_hex(&mac, ":"));
                    return Err(StartUpError::OtherDevice { found, written });
                }
                // The answer to a question repeats this line, and is no start.
                match self.repeats.checked_sub(1) {
                    Some(left) => self.repeats = left,
                    None => self.starts += 1,
                }
                self.running.version = Some(version.clone());
                if self.starts >= STARTS_MAX {
                    return Err(StartUpError::Crashing);
                }
            }
            Status::Image(check) => self.image(check)?,
            Status::Config(choice) => self.config(*choice)?,
            Status::Wifi(state) => self.wifi(state)?,
            Status::Address { ip, .. } => self.running.address = Some(*ip),
            Status::AccessPoint(AccessPointState::Up { ssid, ip }) => {
                self.running.access_point = Some(ssid.clone());
                self.running.address = Some(*ip);
            }
            Status::Listening { service: Service::Mqtt, port } => self.running.mqtt_port = Some(*port),
            Status::Listening { service: Service::WebSocket, port } => {
                self.running.websocket_port = Some(*port);
            }
            Status::ListenFailed { service, port, reason } => {
                return Err(StartUpError::PortNotOpen { service: *service, port: *port, reason: *reason });
            }
            Status::Bridge { name, report } => {
                self.running.bridges.insert(name.clone(), *report);
            }
            Status::Heap { free, .. } => self.running.heap_free = Some(*free),
            Status::Ready { mode: Mode::AccessPoint } if self.expected.station => {
                return Err(StartUpError::AccessPointInstead);
            }
            Status::Ready { .. } => return Ok(self.ready()),
            _ => {}
        }
        Ok(None)
    }

    /// Whether the device must be asked for what it said before: a lost byte takes a whole line. True once.
    pub(crate) fn lacks_a_line(&mut self) -> bool {
        std::mem::take(&mut self.incomplete)
    }

    /// The device was asked to repeat all its lines.
    pub(crate) fn asked(&mut self) {
        self.repeats += 1;
    }

    /// What to say when `seconds` have passed without an end.
    pub(crate) fn timed_out(&self, seconds: u64) -> StartUpError {
        match &self.last {
            Some(_) if !self.is_confirmed() => StartUpError::Unconfirmed { seconds },
            None => StartUpError::Silent { seconds },
            Some(last) => StartUpError::TooSlow { seconds, last: last.clone() },
        }
    }

    /// What the device has confirmed so far, for people.
    pub(crate) fn verified_words(&self) -> String {
        let version = self.running.version.as_deref().unwrap_or("?");
        match (self.running.image_verified, self.running.config_verified) {
            (true, true) => format!("firmware {version} runs; image and settings verified by the device"),
            (_, true) => format!("firmware {version} runs; settings verified by the device"),
            _ => format!("firmware {version} runs"),
        }
    }

    fn image(&mut self, check: &ImageCheck) -> Result<(), StartUpError> {
        let Some((length, digest)) = self.expected.image else { return Ok(()) };
        match check {
            ImageCheck::Measured { length: found, sha256, .. } if (*found, *sha256) == (length, digest) => {
                self.running.image_verified = true;
                Ok(())
            }
            ImageCheck::Measured { sha256, .. } => {
                Err(StartUpError::ImageDiffers { found: crate::hex::to_hex(sha256, "") })
            }
            ImageCheck::NoDescriptor | ImageCheck::Unreadable => Err(StartUpError::NoImage),
        }
    }

    fn config(&mut self, choice: ConfigChoice) -> Result<(), StartUpError> {
        let Some((slot, sequence, crc)) = self.expected.config else { return Ok(()) };
        let wanted_slot = match slot {
            Slot::A => SlotName::A,
            Slot::B => SlotName::B,
        };
        if choice == (ConfigChoice::Loaded { slot: wanted_slot, sequence, crc }) {
            self.running.config_verified = true;
            return Ok(());
        }
        Err(StartUpError::ConfigDiffers { found: Status::Config(choice).to_line().trim_end().to_owned() })
    }

    fn wifi(&mut self, state: &WifiState) -> Result<(), StartUpError> {
        let (reason, code, attempt) = match state {
            WifiState::Joining { ssid, .. } => {
                self.ssid.clone_from(ssid);
                return Ok(());
            }
            WifiState::Joined { .. } => {
                self.failures = None;
                return Ok(());
            }
            WifiState::Failed { reason, code, attempt } => (*reason, *code, *attempt),
            WifiState::Lost { reason, code } => (*reason, *code, 0),
        };
        let count = match self.failures {
            Some(before) if before.reason == reason && before.attempt == attempt && attempt != 0 => {
                before.count
            }
            Some(before) if before.reason == reason => before.count + 1,
            _ => 1,
        };
        self.failures = Some(Failures { reason, count, attempt });
        // A silent DHCP server has been asked several times within one attempt.
        if count < SAME_REASON_MAX && reason != WifiReason::NoAddress {
            return Ok(());
        }
        let ssid = String::from_utf8_lossy(&self.ssid).into_owned();
        Err(match reason {
            WifiReason::WrongPassphrase => StartUpError::WrongPassphrase { ssid, code },
            WifiReason::NetworkNotFound => StartUpError::NetworkNotFound { ssid, code },
            WifiReason::NoAddress => StartUpError::NoAddress { ssid },
            _ => StartUpError::NotJoined { ssid, reason, code },
        })
    }

    /// `ready` counts only when what was written has been confirmed before.
    fn ready(&mut self) -> Option<Running> {
        self.incomplete = !self.is_confirmed() || self.running.address.is_none();
        (!self.incomplete).then(|| self.running.clone())
    }

    fn is_confirmed(&self) -> bool {
        (self.expected.image.is_none() || self.running.image_verified)
            && (self.expected.config.is_none() || self.running.config_verified)
    }
}

/// Why a network was not joined, for people.
pub(crate) const fn wifi_words(reason: WifiReason) -> &'static str {
    match reason {
        WifiReason::NetworkNotFound => "the network was not found",
        WifiReason::WrongPassphrase => "the passphrase is wrong",
        WifiReason::NoAddress => "the network gives no address",
        WifiReason::AccessPointFull => "the access point takes no more devices",
        WifiReason::SignalLost => "the access point fell silent",
        WifiReason::NoAnswer => "the access point does not answer",
        WifiReason::Other => "the access point refuses the device",
    }
}

/// Why a bridge is not connected, for people.
pub(crate) const fn bridge_words(reason: BridgeReason) -> &'static str {
    match reason {
        BridgeReason::NameNotFound => "its host's name has no address",
        BridgeReason::Refused => "nothing listens on its host's port",
        BridgeReason::Unreachable => "there is no way to its host",
        BridgeReason::TimedOut => "its host does not answer",
        BridgeReason::ConnectionLost => "the connection was lost",
        BridgeReason::NoAnswer => "the other broker hangs up before it lets the bridge in",
        BridgeReason::ProtocolViolated => "the answer is not MQTT",
        BridgeReason::ProtocolRefused => "the other broker does not speak MQTT 3.1.1",
        BridgeReason::IdentifierRejected => "the other broker refuses its client id",
        BridgeReason::ServerUnavailable => "the other broker has no room",
        BridgeReason::BadCredentials => "wrong user name or password",
        BridgeReason::NotAuthorized => "the other broker does not allow it",
        BridgeReason::TlsNotSupported => "this firmware cannot encrypt yet",
        BridgeReason::Other => "the device gives no reason",
    }
}

/// What clients connect to, for people.
pub(crate) const fn service_words(service: Service) -> &'static str {
    match service {
        Service::Mqtt => "MQTT",
        Service::WebSocket => "WebSocket",
    }
}

/// What a port is that cannot be opened, for people.
pub(crate) const fn listen_words(reason: ListenFailure) -> &'static str {
    match reason {
        ListenFailure::InUse => "in use",
        ListenFailure::Denied => "not allowed here",
        ListenFailure::NotSupported => "not served by this firmware",
        ListenFailure::Other => "not usable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start_up() -> StartUp {
        StartUp::new(Expected { mac: None, image: None, config: None, station: true })
    }

    fn failed(reason: WifiReason, attempt: u32) -> Status {
        Status::Wifi(WifiState::Failed { reason, code: 201, attempt })
    }

    fn boot() -> Status {
        Status::Boot {
            version: "1".to_owned(),
            target: espbroker_config::image::Target::Esp8266,
            reset: espbroker_node::status::ResetCause::External,
            mac: [0; 6],
        }
    }

    #[test]
    fn a_device_that_was_swapped_between_writing_and_starting_is_noticed() {
        let mut start_up = StartUp::new(Expected { mac: Some([1; 6]), ..start_up().expected });
        let error = start_up.observe(&boot()).unwrap_err().to_string();
        assert_eq!(
            error,
            "another device has started than was written: 00:00:00:00:00:00 instead of 01:01:01:01:01:01"
        );
    }

    #[test]
    fn one_lost_frame_is_no_wrong_passphrase_and_a_second_refusal_is() {
        let mut start_up = start_up();
        assert_eq!(start_up.observe(&failed(WifiReason::WrongPassphrase, 1)), Ok(None));
        assert_eq!(start_up.observe(&failed(WifiReason::NetworkNotFound, 2)), Ok(None));
        assert_eq!(
            start_up.observe(&failed(WifiReason::NetworkNotFound, 3)),
            Err(StartUpError::NetworkNotFound { ssid: String::new(), code: 201 })
        );
    }

    #[test]
    fn a_network_without_dhcp_is_named_after_one_attempt_although_joining_it_worked() {
        let mut start_up = start_up();
        let joined = Status::Wifi(WifiState::Joined { channel: 6, rssi: -51 });
        assert_eq!(start_up.observe(&joined), Ok(None));
        assert_eq!(
            start_up.observe(&failed(WifiReason::NoAddress, 1)),
            Err(StartUpError::NoAddress { ssid: String::new() })
        );
    }

    #[test]
    fn a_device_that_keeps_starting_is_said_to_crash() {
        let mut start_up = start_up();
        assert_eq!(start_up.observe(&boot()), Ok(None));
        assert_eq!(start_up.observe(&boot()), Ok(None));
        assert_eq!(start_up.observe(&boot()), Err(StartUpError::Crashing));
    }

    #[test]
    fn an_answer_repeats_lines_and_counts_neither_as_a_start_nor_as_an_attempt() {
        let mut start_up = start_up();
        for _ in 0..5 {
            assert_eq!(start_up.observe(&boot()), Ok(None));
            assert_eq!(start_up.observe(&failed(WifiReason::WrongPassphrase, 1)), Ok(None));
            start_up.asked();
        }
    }

    #[test]
    fn a_device_that_is_ready_is_asked_for_the_lines_that_were_lost() {
        let config = (Slot::A, 1, 7);
        let mut start_up =
            StartUp::new(Expected { mac: None, image: None, config: Some(config), station: true });
        let ready = Status::Ready { mode: Mode::Station };
        let loaded = |crc| Status::Config(ConfigChoice::Loaded { slot: SlotName::A, sequence: 1, crc });
        assert_eq!(start_up.observe(&ready), Ok(None));
        assert!(start_up.lacks_a_line() && !start_up.lacks_a_line());
        assert_eq!(start_up.timed_out(45), StartUpError::Unconfirmed { seconds: 45 });
        assert!(start_up.clone().observe(&loaded(8)).is_err());
        assert_eq!(start_up.observe(&loaded(7)), Ok(None));
        let source = espbroker_node::status::AddressSource::Dhcp;
        let ip = IpAddr::from([10, 0, 0, 9]);
        assert_eq!(start_up.observe(&Status::Address { ip, source }), Ok(None));
        assert!(start_up.observe(&ready).unwrap().is_some_and(|running| running.config_verified));
    }

    #[test]
    fn reasons_are_told_in_words_and_not_as_the_devices_keywords() {
        let error =
            StartUpError::PortNotOpen { service: Service::Mqtt, port: 1883, reason: ListenFailure::InUse };
        assert_eq!(error.to_string(), "the device cannot open its MQTT port: 1883 is in use");
    }
}
