//! Which device a command works on, and the way from its port to a loader that answers.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use espbroker_flasher::{BAUD_LADDER, FAST_RATES, Stub, StubStart};
use espbroker_flasher::{
    FlasherError, Loader, Session,
    cancel::Cancel,
    connect::{ConnectOptions, DEFAULT_BAUD},
    event::Event,
    identify::DeviceInfo,
    ports::{self, Likelihood, PortInfo},
    reset::Wiring,
    transport::{self, RFC2217_PREFIX, Transport},
};
use espbroker_virtual_device::VirtualDevice;

use crate::{
    adapters::{self, Adapters},
    arguments::{DeviceArguments, LoaderArguments, Reset, StubChoice},
    failure::Failure,
    hex::to_hex,
    narrator::Narrator,
    registry::{Entry, Store, is_called, only_called},
    screen::Screen,
    wizard,
};

/// How long a user may take to ground GPIO0 and power-cycle a device.
const PATIENCE: Duration = Duration::from_secs(180);

/// Why there is no device to work on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    #[error("no serial port looks like an ESP8266")]
    NoPort,
    #[error("several serial ports look like an ESP8266: {}", names.join(", "))]
    SeveralPorts { names: Vec<String> },
    #[error("`{name}` is on no serial port of this computer")]
    NotConnected { name: String },
    #[error("on {port} is another device than `{name}` ({expected}): {found}")]
    AnotherOne { port: String, name: String, expected: String, found: String },
    #[error("cannot read the stub: `{}`", path.display())]
    StubUnreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("reading {bytes} bytes through the boot ROM takes about {minutes} minutes")]
    TooSlow { bytes: u32, minutes: u64 },
}

/// A device that can be opened.
#[derive(Clone)]
pub(crate) enum Device {
    /// Behind a port with this name.
    Port(String),
    /// Behind a port on which this device of the registry should be.
    Known { port: String, name: String, mac: [u8; 6] },
    /// Inside this program.
    Simulated(VirtualDevice),
}

impl Device {
    /// Finds the device that the user means: the one named, or the only one that looks like an ESP8266; with several
    /// and a terminal, asks.
    ///
    /// # Errors
    ///
    /// When there is none, or nobody can choose between several.
    pub(crate) fn find(given: &DeviceArguments, screen: Screen) -> Result<Self, Failure> {
        if let Some(port) = &given.port {
            return Self::named(port, screen);
        }
        let mut likely = ports::list().map_err(FlasherError::from)?;
        likely.retain(|port| port.likelihood == Likelihood::Likely);
        match likely.as_slice() {
            [] => Err(DeviceError::NoPort.into()),
            [only] => {
                screen.line(format!("Using the only likely port: {}", describe(only)));
                Ok(Self::Port(only.name.clone()))
            }
            several if screen.can_ask() => {
                let descriptions: Vec<String> = several.iter().map(describe).collect();
                let chosen = wizard::choose("Which port is the device on", &descriptions)?;
                several
                    .get(chosen)
                    .map(|port| Self::Port(port.name.clone()))
                    .ok_or(DeviceError::NoPort.into())
            }
            several => {
                let names = several.iter().map(|port| port.name.clone()).collect();
                Err(DeviceError::SeveralPorts { names }.into())
            }
        }
    }

    /// The port of this name; where there is none, the known device of this name.
    fn named(name: &str, screen: Screen) -> Result<Self, Failure> {
        let port = || Self::Port(name.to_owned());
        if is_path(name) || ports::list().is_ok_and(|ports| ports.iter().any(|port| port.name == name)) {
            return Ok(port());
        }
        // A registry that cannot be read knows nobody.
        let devices = Store::open(screen).and_then(|store| store.devices()).unwrap_or_default();
        if !devices.iter().any(|entry| is_called(entry, name)) {
            return Ok(port());
        }
        let entry = only_called(&devices, name)?;
        let device =
            Self::connected(entry).ok_or_else(|| DeviceError::NotConnected { name: name.to_owned() })?;
        screen.line(format!("`{name}` should be on {}", device.name()));
        Ok(device)
    }

    /// The port that a known device is on, as far as that can be told from outside: its adapter is plugged in, or the
    /// port has the name that it had.
    pub(crate) fn connected(entry: &Entry) -> Option<Self> {
        let ports = ports::list().unwrap_or_default();
        let by_adapter = entry.adapter.as_ref().and_then(|adapter| {
            ports.iter().find(|port| port.usb.as_ref().is_some_and(|usb| adapters::key(usb) == *adapter))
        });
        let by_name = || {
            let known = entry.port.as_deref()?;
            let there = known.starts_with(RFC2217_PREFIX) || Path::new(known).exists();
            (there || ports.iter().any(|port| port.name == known)).then(|| known.to_owned())
        };
        let port = by_adapter.map(|port| port.name.clone()).or_else(by_name)?;
        Some(Self::Known { port, name: entry.label().to_owned(), mac: entry.mac()? })
    }

    /// Makes sure that the device that has answered is the one that was meant.
    ///
    /// # Errors
    ///
    /// When it is another one.
    pub(crate) fn must_have(&self, mac: [u8; 6]) -> Result<(), DeviceError> {
        match self {
            Self::Known { port, name, mac: expected } if *expected != mac => Err(DeviceError::AnotherOne {
                port: port.clone(),
                name: name.clone(),
                expected: to_hex(expected, ":"),
                found: to_hex(&mac, ":"),
            }),
            _ => Ok(()),
        }
    }

    /// The port's name for people.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Port(name) | Self::Known { port: name, .. } => name,
            Self::Simulated(_) => "simulated",
        }
    }

    /// What the adapter is known by, wherever it is plugged in next; `None` for a port without one.
    pub(crate) fn adapter(&self) -> Option<String> {
        let (Self::Port(name) | Self::Known { port: name, .. }) = self else { return None };
        if name.starts_with(RFC2217_PREFIX) {
            return Some(name.clone());
        }
        let ports = ports::list().ok()?;
        let usb = ports.into_iter().find(|port| port.name == *name)?.usb?;
        Some(adapters::key(&usb))
    }

    /// Opens the port.
    ///
    /// # Errors
    ///
    /// The operating system's answer.
    pub(crate) fn open(&self) -> Result<Box<dyn Transport>, FlasherError> {
        match self {
            Self::Port(name) | Self::Known { port: name, .. } => Ok(transport::open(name, DEFAULT_BAUD)?),
            Self::Simulated(device) => Ok(Box::new(device.transport())),
        }
    }
}

/// Whether this is written as ports are, and not as a name.
pub(crate) fn is_path(text: &str) -> bool {
    text.starts_with(RFC2217_PREFIX) || text.contains(['/', '\\'])
}

/// One line about a port.
pub(crate) fn describe(port: &PortInfo) -> String {
    let Some(usb) = &port.usb else { return port.name.clone() };
    let what = usb.adapter.map(str::to_owned).or_else(|| usb.description.clone());
    let what = what.unwrap_or_else(|| format!("USB {:04x}:{:04x}", usb.vendor, usb.product));
    match &usb.location {
        Some(location) => format!("{} ({what} at USB {location})", port.name),
        None => format!("{} ({what})", port.name),
    }
}

/// A way into the loader, settled before the port is opened.
#[derive(Clone)]
pub(crate) struct LoaderPlan {
    options: ConnectOptions,
    stub: Option<Stub>,
    rates: Rates,
}

/// Which rates a stub is to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rates {
    /// This one, if it works.
    Given(u32),
    /// The one that worked with this adapter, or those of the ladder.
    Ladder,
    /// Those that few adapters bear, and then the ladder.
    Fast,
}

impl Rates {
    /// In the order of trying.
    fn ladder(self, remembered: Option<u32>) -> Vec<u32> {
        match self {
            Self::Given(baud) => vec![baud, DEFAULT_BAUD],
            Self::Fast => FAST_RATES.into_iter().chain(BAUD_LADDER).collect(),
            Self::Ladder => match remembered {
                Some(baud) => {
                    let lower = BAUD_LADDER.into_iter().filter(|&rate| rate < baud);
                    std::iter::once(baud).chain(lower).collect()
                }
                None => BAUD_LADDER.to_vec(),
            },
        }
    }
}

impl LoaderPlan {
    /// Settles it from the flags.
    ///
    /// # Errors
    ///
    /// When the stub file cannot be used.
    pub(crate) fn new(given: &LoaderArguments, cancel: Cancel) -> Result<Self, Failure> {
        let stub = match &given.stub {
            None => Some(Stub::bundled().map_err(FlasherError::from)?),
            Some(StubChoice::Rom) => None,
            Some(StubChoice::File(path)) => {
                let json = std::fs::read_to_string(path)
                    .map_err(|source| DeviceError::StubUnreadable { path: path.clone(), source })?;
                Some(Stub::from_esptool_json(&json).map_err(FlasherError::from)?)
            }
        };
        let (wiring, attempts, patience) = match given.reset {
            Reset::Auto => (Wiring::Usual, 7, Duration::ZERO),
            Reset::Manual => (Wiring::Manual, 1, PATIENCE),
            Reset::None => (Wiring::Manual, 1, Duration::ZERO),
        };
        let rates = match given.baud {
            Some(baud) => Rates::Given(baud),
            None if given.fast => Rates::Fast,
            None => Rates::Ladder,
        };
        // A stub is loaded at the rate that it expects and goes up from there; the boot ROM stays at its rate.
        let baud = match (&stub, given.baud) {
            (None, Some(baud)) => baud,
            _ => DEFAULT_BAUD,
        };
        let options = ConnectOptions { wiring, attempts, baud, patience, cancel };
        Ok(Self { options, stub, rates })
    }

    /// The same way, stopped by something else.
    pub(crate) fn stopped_by(&self, cancel: Cancel) -> Self {
        let mut plan = self.clone();
        plan.options.cancel = cancel;
        plan
    }

    /// The same way, tried once: where there may be no device.
    pub(crate) fn once(&self, cancel: Cancel) -> Self {
        let mut plan = self.stopped_by(cancel);
        plan.options.attempts = 1;
        plan
    }

    /// The rate at which most bytes will travel, if all goes well.
    pub(crate) fn expected_baud(&self) -> u32 {
        let ladder = if self.stub.is_some() { self.rates.ladder(None) } else { Vec::new() };
        ladder.first().copied().unwrap_or(self.options.baud)
    }

    /// Who will answer, if all goes well.
    pub(crate) fn expected_loader(&self) -> Loader {
        if self.stub.is_some() { Loader::Stub } else { Loader::Rom }
    }

    /// Remembers the rate of a session whose writes were verified.
    pub(crate) fn remember(&self, device: &Device, session: &Session<'_>) {
        if session.loader() == Loader::Stub
            && let Some(adapter) = device.adapter()
        {
            Adapters::remember(&adapter, session.baud());
        }
    }

    /// Connects and starts the stub, as one step.
    ///
    /// # Errors
    ///
    /// The flasher's; nothing was written.
    pub(crate) fn connect<'e>(
        &self,
        device: &Device,
        narrator: &Narrator,
        events: &'e mut dyn FnMut(Event),
    ) -> Result<Session<'e>, FlasherError> {
        narrator.step("connect", "opening the port", || {
            let transport = device.open()?;
            let mut session = Session::connect(transport, self.options.clone(), events)?;
            if let Some(stub) = &self.stub {
                let adapter = device.adapter();
                let remembered = adapter.as_deref().and_then(Adapters::rate_of);
                let ladder = self.rates.ladder(remembered);
                let started = session.start_stub(stub, &ladder)?;
                // A rate that did not work is not tried again; one that did proves itself with a verified write.
                if let (StubStart::Running { baud }, Some(adapter), Rates::Ladder) =
                    (started, adapter, self.rates)
                    && ladder.first().is_some_and(|&first| baud < first)
                    && session.may_change_baud()
                {
                    Adapters::remember(&adapter, baud);
                }
            }
            let loader = match session.loader() {
                Loader::Rom => "boot ROM",
                Loader::Stub => "stub",
            };
            let result = format!("{loader} answers at {} baud on {}", session.baud(), device.name());
            Ok((session, result))
        })
    }
}

/// Identifies the device, as one step.
///
/// # Errors
///
/// The flasher's; nothing was written.
pub(crate) fn identify(session: &mut Session<'_>, narrator: &Narrator) -> Result<DeviceInfo, FlasherError> {
    narrator.step("identify", "asking the chip", || {
        let info = session.identify()?;
        let flash = match info.flash.capacity {
            Some(bytes) => format!("{} KB flash ({})", bytes / 1024, info.flash.hex()),
            None => format!("flash of unknown size ({})", info.flash.hex()),
        };
        let result =
            format!("{}, {} MHz, {flash}, MAC {}", info.chip, info.crystal_mhz, to_hex(&info.mac, ":"));
        Ok((info, result))
    })
}
