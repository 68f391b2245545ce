//! Simulated devices: what the flags say, turned into a virtual ESP8266 and the networks around it.

use std::{
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use espbroker_config::model;
use espbroker_flasher::{cancel::Cancel, protocol::Opcode, transport::Transport as _};
use espbroker_virtual_device::{
    self as virtual_device, Clock, Dhcp, Direction, DiscoveryPorts, Fault, Firmware, FlashButton,
    FlashSource, Network, Options, SimulatedWifi, StorageError, Timing, VirtualDevice, Wiring,
};

use crate::{
    arguments::{Execution, Pace, SimulationArguments},
    screen::Screen,
    settings::{Settings, SettingsError, address, read_secret_file},
};

/// The virtual device's MAC address: Espressif's prefix with the bit for "locally administered" set, which no real
/// chip has.
pub(crate) const MAC: [u8; 6] = [0x5E, 0xCF, 0x7F, 0x00, 0x00, 0x01];

/// How long joining takes where nothing else is told; a real chip with DHCP takes about 4 s.
const JOIN_DELAY: Duration = Duration::from_millis(1500);

/// The same when everything is to be fast.
const FAST_JOIN_DELAY: Duration = Duration::from_millis(30);

/// MQTT ports that a demo tries, the usual one first.
const DEMO_PORTS: [u16; 4] = [1883, 11883, 21883, 31883];

/// How often a held program looks whether it was stopped.
const POLL: Duration = Duration::from_millis(25);

/// Every fault as it is written; N is a byte of the serial line, an operation of the flash, or milliseconds.
pub(crate) const FAULTS: [&str; 16] = [
    "baud-ceiling=BAUD",
    "flash-1mb",
    "gpio15-high",
    "late-reply=N",
    "lose-byte=N",
    "lose-reply=N",
    "no-auto-reset",
    "no-dhcp",
    "no-gpio0",
    "no-stub",
    "noise=N",
    "power-cut=N",
    "silent",
    "unplug=N",
    "unreadable-flash",
    "wrong-chip",
];

/// Why there is no simulated device.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SimulationError {
    #[error("cannot keep the virtual flash in `{}`", path.display())]
    Flash {
        path: PathBuf,
        #[source]
        source: StorageError,
    },
    #[error("cannot make the virtual flash")]
    Memory(#[source] StorageError),
    #[error("no such fault: `{text}`")]
    Fault { text: String },
    #[error("cannot serve the virtual device at {address}")]
    Serve {
        address: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// How the device's serial port is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// By this program alone, which need not wait for what takes no time.
    InProcess,
    /// By any program, with control lines.
    Server,
    /// By any program, without control lines: what a board without automatic reset is like.
    Terminal,
}

impl Access {
    const fn clock(self, pace: Pace) -> Clock {
        match (self, pace) {
            // Where the line takes no time, neither does waiting for a reply that never comes.
            (Self::InProcess, Pace::Instant) => Clock::Simulated,
            _ => Clock::Real,
        }
    }

    const fn wiring(self) -> Wiring {
        match self {
            Self::InProcess | Self::Server => Wiring::AutoReset,
            Self::Terminal => Wiring::Manual(FlashButton::HeldUntilFlashed),
        }
    }
}

/// Plugs a virtual device in. Without `--network`, the air holds the network that `config` names, with the same
/// passphrase, so that any settings can be tried.
///
/// # Errors
///
/// When a flag is not understood or the flash file cannot be used.
pub(crate) fn start(
    given: &SimulationArguments,
    execution: Execution,
    flash: Option<&Path>,
    config: Option<&model::Config>,
    access: Access,
) -> Result<VirtualDevice, SimulationError> {
    let (faults, surroundings) = parse_faults(&given.faults)?;
    let mut networks: Vec<Network> =
        given.networks.iter().map(|text| parse_network(text)).collect::<Result<_, _>>()?;
    if networks.is_empty() {
        networks.extend(config.and_then(|config| config.wifi.as_ref()).map(network_of));
    }
    for network in &mut networks {
        network.dhcp = surroundings.dhcp;
    }
    let (timing, join_delay) = match given.pace {
        Pace::RealTime => (Timing::default(), JOIN_DELAY),
        Pace::Instant => (
            Timing { uart: virtual_device::Pace::Instant, nor: virtual_device::Pace::Instant },
            FAST_JOIN_DELAY,
        ),
    };
    let options = Options {
        flash: flash.map_or(FlashSource::Blank, |path| FlashSource::File(path.to_owned())),
        mac: given.mac.as_deref().map(parse_mac).transpose()?.unwrap_or(MAC),
        flash_id: surroundings.flash_id,
        timing,
        clock: access.clock(given.pace),
        faults,
        wiring: surroundings.wiring.unwrap_or(access.wiring()),
        wifi: SimulatedWifi { networks, join_delay },
        bind: given.bind,
        discovery: Some(DiscoveryPorts::STANDARD),
        firmware: match execution {
            Execution::Lx106 => Firmware::Executed,
            Execution::Host => Firmware::Host,
        },
        ..Options::default()
    };
    VirtualDevice::new(options).map_err(|source| match flash {
        Some(path) => SimulationError::Flash { path: path.to_owned(), source },
        None => SimulationError::Memory(source),
    })
}

/// Lets a demo that chose no port take the first one that is free, so that a mosquitto on this computer does not spoil
/// the first try.
pub(crate) fn choose_free_port(settings: &mut Settings, bind: IpAddr, screen: Screen) {
    let broker = settings.broker.get_or_insert_default();
    if broker.mqtt_port.is_some() {
        return;
    }
    let free = DEMO_PORTS.into_iter().find(|port| TcpListener::bind((bind, *port)).is_ok());
    if let Some(port) = free
        && Some(port) != DEMO_PORTS.first().copied()
    {
        screen.line(format!("Port 1883 is taken on this computer; the simulated broker uses {port}."));
    }
    broker.mqtt_port = free;
}

/// Keeps the device up until the user stops the program; the ordinary end of a server.
pub(crate) fn hold(device: &VirtualDevice, cancel: &Cancel) {
    let mut transport = device.transport();
    while !cancel.is_cancelled() {
        std::thread::sleep(POLL);
        // Nobody else moves a simulated clock on, and a firmware that restarts needs that.
        transport.sleep(POLL);
    }
}

/// Warns when the flash file does not hold what the device does.
pub(crate) fn warn_if_not_saved(device: &VirtualDevice, screen: Screen) {
    if let Some(error) = device.flash_file_error() {
        screen.warning(format!("the flash file is not up to date: {error}"));
    }
}

/// `NAME` is an open network, `NAME=FILE` one with the passphrase in the file.
fn parse_network(text: &str) -> Result<Network, SimulationError> {
    let (ssid, passphrase) = match text.split_once('=') {
        None => (text, None),
        Some((ssid, file)) => (ssid, Some(read_secret_file("network passphrase", Path::new(file))?)),
    };
    let mut wifi = model::Wifi::new(ssid);
    wifi.passphrase = passphrase
        .map(|text| {
            text.expose().parse().map_err(|source| SettingsError::Passphrase {
                field: "--network passphrase".to_owned(),
                source,
            })
        })
        .transpose()?;
    Ok(network_of(&wifi))
}

fn network_of(wifi: &model::Wifi) -> Network {
    Network {
        passphrase: wifi.passphrase.clone(),
        channel: wifi.channel.unwrap_or(6),
        hidden: wifi.hidden,
        ..Network::new(wifi.ssid.clone(), "")
    }
}

fn parse_mac(text: &str) -> Result<[u8; 6], SimulationError> {
    Ok(address::mac("--mac", text)?)
}

/// What a fault changes that is no fault of the line.
struct Surroundings {
    flash_id: [u8; 3],
    dhcp: Dhcp,
    wiring: Option<Wiring>,
}

fn parse_faults(texts: &[String]) -> Result<(Vec<Fault>, Surroundings), SimulationError> {
    let mut surroundings =
        Surroundings { flash_id: Options::default().flash_id, dhcp: Dhcp::Answer, wiring: None };
    let mut faults = Vec::new();
    for text in texts {
        let unknown = || SimulationError::Fault { text: text.clone() };
        let (name, value) =
            text.split_once('=').map_or((text.as_str(), None), |(name, value)| (name, Some(value)));
        let number = || value.and_then(|value| value.parse::<u64>().ok()).ok_or_else(unknown);
        match (name, value) {
            ("no-dhcp", None) => surroundings.dhcp = Dhcp::Silent,
            ("no-gpio0", None) => surroundings.wiring = Some(Wiring::ResetOnly),
            ("no-auto-reset", None) => surroundings.wiring = Some(Wiring::Manual(FlashButton::Released)),
            ("flash-1mb", None) => surroundings.flash_id = [0xEF, 0x40, 0x14],
            ("unreadable-flash", None) => faults.push(Fault::FlashId([0xFF; 3])),
            ("wrong-chip", None) => faults.push(Fault::WrongChip { magic: 0x00F0_1D83 }),
            ("silent", None) => faults.push(Fault::SilentLine),
            ("gpio15-high", None) => faults.push(Fault::Gpio15High),
            ("no-stub", None) => faults.push(Fault::StubDoesNotStart),
            ("lose-byte", _) => {
                faults.push(Fault::LoseByte { direction: Direction::ToDevice, at: number()? });
            }
            ("lose-reply", _) => faults.push(Fault::LoseByte { direction: Direction::ToHost, at: number()? }),
            ("noise", _) => {
                faults.push(Fault::Noise { direction: Direction::ToHost, at: number()?, length: 8 });
            }
            ("late-reply", _) => faults.push(Fault::LateReply {
                opcode: Opcode::FlashData,
                delay: Duration::from_millis(number()?),
                times: 1,
            }),
            ("baud-ceiling", _) => {
                faults.push(Fault::BaudCeiling(u32::try_from(number()?).map_err(|_| unknown())?));
            }
            ("power-cut", _) => faults.push(Fault::PowerCutAfterFlashOperations(number()?)),
            ("unplug", _) => faults.push(Fault::UnplugAfterBytes(number()?)),
            _ => return Err(unknown()),
        }
    }
    Ok((faults, surroundings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_list_is_known() {
        for fault in FAULTS {
            let text = fault.split_once('=').map_or(fault.to_owned(), |(name, _)| format!("{name}=1"));
            assert!(parse_faults(&[text]).is_ok(), "{fault}");
        }
    }

    #[test]
    fn faults_are_read_and_a_wrong_one_is_named() {
        let (faults, surroundings) =
            parse_faults(&["power-cut=7".to_owned(), "flash-1mb".to_owned(), "no-dhcp".to_owned()]).unwrap();
        assert_eq!(faults, [Fault::PowerCutAfterFlashOperations(7)]);
        assert!(surroundings.flash_id == [0xEF, 0x40, 0x14] && surroundings.dhcp == Dhcp::Silent);
        for wrong in ["x", "power-cut", "power-cut=x", "silent=1", "baud-ceiling=99999999999"] {
            let error = parse_faults(&[wrong.to_owned()]).err().unwrap();
            assert_eq!(error.to_string(), format!("no such fault: `{wrong}`"));
        }
    }
}
