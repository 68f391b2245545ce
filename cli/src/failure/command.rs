//! Hints for what was asked for: settings, answers, commands, and the devices that they name.

use super::{Exit, Explain, loader::missing_port_hint, no, unable};
use crate::{
    PrintError,
    answers::AnswersError,
    commands::{CommandError, export::ExportError, firmware::FirmwareError},
    device::DeviceError,
    discover::DiscoverError,
    registry::RegistryError,
    settings::SettingsError,
    simulation::{self, SimulationError},
    wizard::WizardError,
};

impl Explain for SettingsError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::NothingToKeep { .. } => unable("write the value itself there, or name a file with it"),
            Self::GivenTwice { .. } => unable("keep one of the two"),
            Self::Parse { .. } => {
                unable("README lists every field; `espbroker config show` prints a device's settings")
            }
            _ => (Exit::Unable, None),
        }
    }
}

impl Explain for WizardError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Interrupted(_) | Self::Declined => (Exit::Stopped, None),
            Self::Profiles(_) => (Exit::Unable, None),
        }
    }
}

impl Explain for AnswersError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Settings(error) => error.explain(),
            Self::Wizard(error) => error.explain(),
            Self::NotTold { .. } => unable(
                "nobody can be asked here: give --settings FILE, or --ssid NAME and --wifi-passphrase-file FILE",
            ),
        }
    }
}

impl Explain for DeviceError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::NoPort => unable(format!(
                "connect the board with a USB cable that has data wires (on Windows with the CH340 or CP210x driver), \
                 or name its port with --port; {}. Without a board, try --simulate",
                missing_port_hint()
            )),
            Self::SeveralPorts { .. } => unable("choose one with --port"),
            Self::NotConnected { .. } => unable(
                "connect it; if it is connected, its adapter is not the one that it was set up through: name the port \
                 itself, as `espbroker ports` lists it",
            ),
            Self::AnotherOne { .. } => {
                no("nothing was changed; name the port itself, as `espbroker ports` lists it")
            }
            Self::StubUnreadable { .. } => (Exit::Unable, None),
            Self::TooSlow { .. } => unable("leave out --stub rom, name one --region, or insist with --slow"),
        }
    }
}

impl Explain for CommandError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::NoSuchRegion { map, .. } => {
                let names: Vec<&str> = map.regions().iter().map(|region| region.name).collect();
                unable(format!("the regions are {}", names.join(", ")))
            }
            Self::Save { .. } | Self::Load { .. } => (Exit::Unable, None),
            Self::Length { .. } => unable("name the --region that the file was made from"),
            Self::NoConfig => no("`espbroker setup` or `espbroker config write` gives it settings"),
            Self::Masked { .. } => unable(
                "restore single regions with --region, or allow it with --yes and run `config write` afterwards",
            ),
            Self::Differs { .. } | Self::DigestDiffers { .. } => {
                no("`espbroker setup` writes the image again")
            }
        }
    }
}

impl Explain for FirmwareError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::NoSource { .. } => {
                unable("run this in a checkout of espbroker's repository, or name one with --source")
            }
            Self::NoSdk { .. } => unable(
                "git clone https://github.com/espressif/ESP8266_NONOS_SDK, and name its folder with --sdk; it is \
                 Espressif's, and no part of this program",
            ),
            Self::NoCargo(_) => {
                unable("install Rust from https://rustup.rs; README lists what else a build needs")
            }
            Self::Build => (Exit::Unable, None),
        }
    }
}

impl Explain for RegistryError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::NoFolder | Self::File { .. } => (Exit::Unable, None),
            Self::Newer { .. } => unable("use that newer version here too; nothing was changed"),
            Self::Unknown { .. } => unable(
                "`espbroker devices` lists those that were set up from this computer; `espbroker discover` looks in the \
                 network",
            ),
            Self::Several { .. } => {
                unable("name its MAC address instead, or give it a name with `devices rename`")
            }
            Self::Taken { .. } => unable("choose another name"),
            Self::NoName { .. } => {
                unable("a name has 1-64 bytes without / and control characters, and is no address")
            }
            Self::WouldForget { .. } => unable(
                "without its key a device can only be changed over its serial port; allow it with --yes",
            ),
            Self::NoPassword { .. } => {
                unable("only passwords that espbroker generated are kept; `config write` gives a new one")
            }
            Self::NoKeyring | Self::NotInKeyring | Self::Keyring(_) => unable(
                "log in to the desktop session in which the device was set up, and unlock its keyring; secret-tool \
                 (libsecret-tools) must be installed",
            ),
        }
    }
}

impl Explain for DiscoverError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Socket { .. } => unable("--interface takes an IPv4 address of this computer"),
            Self::NotFound { .. } | Self::Away { .. } => no(
                "has it power, and is this computer in the same network (no guest network, no client isolation)? \
                 `espbroker monitor` shows on its serial port what it does",
            ),
            Self::Several { .. } => no("name its MAC address instead"),
        }
    }
}

impl Explain for ExportError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Exists { .. } => unable("name another folder, or replace its files with --force"),
            Self::Folder { .. } => (Exit::Unable, None),
            Self::Path { .. } => {
                unable("choose a folder without control characters, and no space at its end")
            }
        }
    }
}

impl Explain for PrintError {
    fn explain(&self) -> (Exit, Option<String>) {
        (Exit::Unable, None)
    }
}

impl Explain for SimulationError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Settings(error) => error.explain(),
            Self::Fault { .. } => unable(format!("the faults are {}", simulation::FAULTS.join(", "))),
            _ => (Exit::Unable, None),
        }
    }
}
