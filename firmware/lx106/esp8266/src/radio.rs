//! The radio: station and access point, with settings that the SDK never writes to its own sectors.

use alloc::collections::VecDeque;
use core::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr},
};

use espbroker_config::{
    model::{FixedIpv4, Passphrase, Wifi},
    secret::Secret,
};
use espbroker_node::{RadioCommand, StationEvent};

use crate::{
    bindings::{
        ACCESS_POINT, ACCESS_POINT_MODE, AUTHENTICATION_OPEN, AUTHENTICATION_WPA2, AccessPointConfig,
        Address, EVENT_ADDRESS, EVENT_CONNECTED, EVENT_DISCONNECTED, IpInfo, NULL_MODE, RadioEvent,
        SLEEP_NEVER, STATION, STATION_MODE, StationConfig, espconn_dns_setserver, wifi_get_ip_info,
        wifi_get_macaddr, wifi_get_opmode, wifi_set_event_handler_cb, wifi_set_ip_info,
        wifi_set_opmode_current, wifi_set_sleep_type, wifi_softap_set_config_current, wifi_station_connect,
        wifi_station_dhcpc_start, wifi_station_dhcpc_stop, wifi_station_disconnect, wifi_station_get_rssi,
        wifi_station_set_config_current, wifi_station_set_reconnect_policy,
    },
    entry,
    single::Single,
};

/// The channel of an access point without a station; with one the SDK takes the station's.
const CHANNEL: u8 = 1;
/// Stations that `user_interface.h` lets an access point have.
const STATIONS: u8 = 4;
/// Milliseconds.
const BEACON_INTERVAL: u16 = 100;
/// IEEE 802.11 §9.4.1.7: the sender leaves. The SDK gives it for its own leaving too.
const LEFT: u16 = 8;
/// Offset of the channel in `Event_StaMode_Connected_t` and of the reason in `Event_StaMode_Disconnected_t`.
const BEHIND_BSSID: usize = 39;

/// What the radio has to tell the device.
#[derive(Clone, Copy, Debug)]
pub(crate) enum News {
    /// Of the station.
    Station(StationEvent),
    /// The access point is open.
    AccessPoint(IpAddr),
}

static NEWS: Single<VecDeque<News>> = Single::new(VecDeque::new());

/// What the station is about to hear of its own doing.
struct Leaving(Cell<bool>);

// SAFETY: one task, and no interrupt handler reaches here.
unsafe impl Sync for Leaving {}

static LEAVING: Leaving = Leaving(Cell::new(false));

/// Keeps the radio off until the device asks for it, whatever the SDK has kept, and awake from then on: a radio that
/// sleeps between beacons answers a tenth of a second late.
pub(crate) fn set_up() {
    wifi_set_opmode_current(NULL_MODE);
    wifi_set_sleep_type(SLEEP_NEVER);
    // SAFETY: the function is there for ever.
    unsafe { wifi_set_event_handler_cb(on_event) };
}

/// The next thing that happened.
pub(crate) fn news() -> Option<News> {
    NEWS.use_it().pop_front()
}

/// Own address of the station.
pub(crate) fn mac() -> [u8; 6] {
    let mut mac = [0; 6];
    // SAFETY: the array is that long.
    unsafe { wifi_get_macaddr(STATION, &mut mac) };
    mac
}

/// Does what the device wants.
pub(crate) fn obey(command: &RadioCommand) {
    match command {
        RadioCommand::Join(network) => join(network),
        RadioCommand::Leave => {
            LEAVING.0.set(true);
            wifi_station_disconnect();
        }
        RadioCommand::OpenAccessPoint { ssid, passphrase } => open_access_point(ssid, passphrase.as_ref()),
        RadioCommand::CloseAccessPoint => {
            wifi_set_opmode_current(wifi_get_opmode() & !ACCESS_POINT_MODE);
        }
    }
}

fn join(network: &Wifi) {
    wifi_set_opmode_current(wifi_get_opmode() | STATION_MODE);
    // The device decides about the next attempt.
    wifi_station_set_reconnect_policy(false);
    let config = StationConfig {
        ssid: padded(&network.ssid),
        password: password(network.passphrase.as_ref()),
        channel: network.channel.unwrap_or(0),
        bssid_set: u8::from(network.bssid.is_some()),
        bssid: network.bssid.unwrap_or_default(),
        threshold_rssi: 0,
        threshold_authentication: AUTHENTICATION_OPEN,
        // A network that was protected and is open now is another one.
        secured_only: u8::from(network.passphrase.is_some()),
        // The strongest of several access points, not the first.
        all_channels: u8::from(network.channel.is_none()),
    };
    // SAFETY: the SDK copies it.
    unsafe { wifi_station_set_config_current(&config) };
    match &network.ipv4 {
        Some(fixed) => set_address(fixed),
        None => {
            wifi_station_dhcpc_start();
        }
    }
    wifi_station_connect();
}

fn set_address(fixed: &FixedIpv4) {
    wifi_station_dhcpc_stop();
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(fixed.prefix))).unwrap_or(0);
    let info = IpInfo { address: fixed.address, mask: mask.to_be_bytes(), gateway: fixed.gateway };
    // SAFETY: the SDK copies both.
    unsafe {
        wifi_set_ip_info(STATION, &info);
        espconn_dns_setserver(0, &Address(fixed.dns.unwrap_or(fixed.gateway)));
    }
}

fn open_access_point(ssid: &[u8], passphrase: Option<&Secret<alloc::string::String>>) {
    wifi_set_opmode_current(wifi_get_opmode() | ACCESS_POINT_MODE);
    let config = AccessPointConfig {
        ssid: padded(ssid),
        password: passphrase.map_or([0; 64], |passphrase| padded(passphrase.expose().as_bytes())),
        ssid_length: u8::try_from(ssid.len()).unwrap_or(0),
        channel: CHANNEL,
        authentication: if passphrase.is_some() { AUTHENTICATION_WPA2 } else { AUTHENTICATION_OPEN },
        hidden: 0,
        stations: STATIONS,
        beacon_interval: BEACON_INTERVAL,
    };
    let mut info = IpInfo::default();
    // SAFETY: the SDK copies the first and fills the second.
    let opened =
        unsafe { wifi_softap_set_config_current(&config) && wifi_get_ip_info(ACCESS_POINT, &mut info) };
    if opened {
        NEWS.use_it().push_back(News::AccessPoint(Ipv4Addr::from(info.address).into()));
        entry::wake();
    }
}

/// As the SDK has it: a passphrase ends with a zero, a key is 64 hex digits.
fn password(passphrase: Option<&Passphrase>) -> [u8; 64] {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).and_then(|digit| u8::try_from(digit).ok());
    match passphrase {
        None => [0; 64],
        Some(Passphrase::Text(text)) => padded(text.expose().as_bytes()),
        Some(Passphrase::Key(key)) => {
            let mut digits = [0; 64];
            for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(key.expose()) {
                *pair = [byte >> 4, byte & 0xF].map(|nibble| digit(nibble).unwrap_or(0));
            }
            digits
        }
    }
}

fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    all
}

extern "C" fn on_event(event: *const RadioEvent) {
    // SAFETY: null, or the SDK's own, valid during the call.
    let Some(RadioEvent { kind, body }) = (unsafe { event.as_ref() }) else { return };
    let behind_bssid = body.get(BEHIND_BSSID).copied().unwrap_or(0);
    let news = match *kind {
        EVENT_CONNECTED => {
            LEAVING.0.set(false);
            StationEvent::Associated { channel: behind_bssid, rssi: wifi_station_get_rssi() }
        }
        EVENT_DISCONNECTED => {
            let code = u16::from(behind_bssid);
            // What the device did itself is no news, and must not end the attempt that it has begun since.
            if LEAVING.0.replace(false) && code == LEFT {
                return;
            }
            StationEvent::Disconnected { code }
        }
        EVENT_ADDRESS => {
            let address: [u8; 4] = body.first_chunk().copied().unwrap_or_default();
            StationEvent::Address { ip: Ipv4Addr::from(address).into() }
        }
        _ => return,
    };
    NEWS.use_it().push_back(News::Station(news));
    entry::wake();
}
