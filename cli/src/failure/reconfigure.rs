//! Hints for settings that are changed on a device that is set up.

use espbroker_admin::client::{Plain, Refusal};
use espbroker_config::slots::RollBack;

use super::{Exit, Explain, no, unable};
use crate::{
    commands::wipe::WipeError,
    reconfigure::{ChangeError, ReconfigureError, RemoteError},
};

/// What is left where the key is not known or does not fit.
const BY_PORT: &str =
    "connect the board and name its serial port with --port: whoever has it in hand needs no key";

impl Explain for ChangeError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Settings(error) => error.explain(),
            Self::Nothing => unable(
                "name what is to change, with --settings FILE or a flag such as --bridge-host; `espbroker reconfigure \
                 --help` lists them",
            ),
            Self::SameOnAll { .. } => unable("leave it out, or change one device at a time with --host"),
            Self::SeveralBridges { .. } => unable("choose one with --bridge"),
            Self::NoBridgeHost => unable("name it with --bridge-host"),
        }
    }
}

impl Explain for RemoteError {
    fn explain(&self) -> (Exit, Option<String>) {
        const RERUN: &str = "run the same command again: it begins with what the device has then";
        match self {
            Self::Connect { .. } => unable(format!(
                "has the device power, and is this computer in its network? `espbroker discover` looks for it; else {BY_PORT}"
            )),
            Self::Broken { .. } | Self::Silent { .. } => {
                unable(format!("move the device closer to the access point, and {RERUN}"))
            }
            Self::Closed { .. } | Self::Stranger { .. } => unable(format!(
                "another program may answer there, or a firmware that cannot be changed from afar; {BY_PORT}"
            )),
            Self::Plain(Plain::WrongKey) | Self::Open(_) => no(format!(
                "it was set up again from another computer, or another device has its address now. \
                 `espbroker discover` shows who is where; --admin-key-file takes another key; else {BY_PORT}"
            )),
            Self::Plain(Plain::NoKey) => no(format!("`espbroker setup` gives it one; {BY_PORT}")),
            Self::Plain(Plain::Busy | Plain::Later) => {
                unable("wait a moment, and run the same command again")
            }
            Self::Plain(_) | Self::Refused(Refusal::NotSupported | Refusal::Other(_)) | Self::OtherAnswer => {
                no("the device's firmware and this program are too far apart in age: update the older one")
            }
            Self::Refused(Refusal::Trial { .. }) => no(
                "somebody else's change is being tried out: wait until that has ended, and run the command again",
            ),
            Self::Refused(Refusal::Invalid(_)) => no("change that field, and run the command again"),
            Self::Refused(Refusal::TooLong { .. }) => {
                no("use fewer users, permissions, bridges or topics, or shorter ones")
            }
            Self::Refused(Refusal::Flash) => no("the flash is worn out or broken: replace the board"),
            Self::Refused(_) => no(RERUN),
            Self::Config(_) => unable("update this program: the device's settings are of a newer one"),
            Self::Random => (Exit::Unable, None),
            Self::Stopped => (Exit::Stopped, Some("nothing was changed".to_owned())),
            Self::Port(error) => error.explain(),
        }
    }
}

impl Explain for ReconfigureError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::NobodyKnown => unable(
                "name a device with --host or --port; `espbroker setup` makes devices known, `espbroker discover` looks in \
                 the network",
            ),
            Self::SeveralKnown { .. } => unable("choose one with --host or --port, or take --all"),
            Self::NoKey { .. } => unable(format!(
                "it was set up from another computer: give its key with --admin-key-file, or {BY_PORT}"
            )),
            Self::NoMac { .. } => unable(BY_PORT),
            Self::NoAddress { .. } => unable(
                "`espbroker discover` looks for it in the network; name an address with --host, or the serial port with \
                 --port",
            ),
            Self::NoSerial { .. } => unable("connect it, or name its serial port with --port"),
            Self::NotRunning { .. } => unable(
                "is its firmware running, and at 115200 baud? `espbroker monitor` shows; through the boot loader it \
                 also goes without: --via loader",
            ),
            Self::WouldChange { .. } => {
                unable("allow it with --yes; --dry-run shows the same without changing anything")
            }
            Self::RolledBack { reason } => no(rolled_back(*reason)),
            Self::NotHeardOf { .. } => no(
                "it has kept the new settings or gone back to the old ones by now, and this computer does not reach it \
                 there: is it in another network? `espbroker discover` looks for it, `espbroker monitor` shows on its \
                 serial port what it does",
            ),
            Self::Overtaken => no("run the same command again: it begins with what the device has now"),
            Self::StoppedInTrial => (
                Exit::Stopped,
                Some(
                    "the device goes on without you: it keeps the new settings if they work, and goes back if not; \
                     the same command again shows which"
                        .to_owned(),
                ),
            ),
            Self::SomeFailed { .. } => no("each reason stands above; run the same command again for those"),
        }
    }
}

fn rolled_back(reason: RollBack) -> &'static str {
    match reason {
        RollBack::WrongPassphrase => {
            "check the passphrase, capitals and spaces included; the device runs with what it had"
        }
        RollBack::NetworkNotFound => {
            "check the name letter by letter; the ESP8266 sees 2.4 GHz networks only; the device runs with what it had"
        }
        RollBack::NoAddress => {
            "has the router's DHCP free addresses? Else give a fixed one in [wifi.ipv4]; the device runs with what it had"
        }
        RollBack::NotJoined | RollBack::Interrupted | RollBack::Unknown => {
            "the device runs with what it had; try again, perhaps with a longer --try-for"
        }
        RollBack::BridgeRefused => {
            "check user and password of the bridge, and what the other broker allows; the device runs with what it had"
        }
        RollBack::BridgeNotConnected => {
            "check host and port of the bridge, and whether the other broker runs; the device runs with what it had"
        }
        RollBack::NotListening => "choose another port; the device runs with what it had",
        RollBack::Invalid => "the device runs with what it had; its firmware may be older than this program",
    }
}

impl Explain for WipeError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::WouldErase { name } => unable(format!("allow it with --confirm {name}")),
            Self::OtherName { .. } => unable("nothing was erased"),
            Self::NotBlank { .. } => {
                no("run the same command again; if it happens again, the flash is broken: destroy the chip")
            }
        }
    }
}
