//! Hints for what goes wrong between port, loader and image.

use espbroker_config::flash_map::FlashMap;
use espbroker_flasher::{
    CommandError as LoaderError, FlasherError,
    connect::{ConnectError, Diagnosis},
    identify::IdentifyError,
    ports,
    transport::{RFC2217_PREFIX, TransportError},
};

use super::{CABLE, Exit, Explain, RERUN, no, unable};
use crate::{commands::selftest::SelftestError, image_file::ImageFileError, preflight::PreflightError};

impl Explain for FlasherError {
    fn explain(&self) -> (Exit, Option<String>) {
        if self.is_cancelled() {
            return (Exit::Stopped, Some(RERUN.to_owned()));
        }
        if let Some(error) = self.transport() {
            return explain_transport(error, self.into());
        }
        let silent = matches!(self.command(), Some(LoaderError::NoReply { .. }));
        match self {
            Self::Connect(error) => explain_connect(error),
            Self::Identify(IdentifyError::WrongChip { .. }) => {
                no("espbroker is for the ESP8266 and ESP8285; nothing was changed on this chip")
            }
            Self::StubFile(_) => unable(
                "take the file from esptool's folder targets/stub_flasher, or leave --stub out for espbroker's own",
            ),
            Self::Program(_) | Self::Erase(_) if silent => unable(format!(
                "the device fell silent while it was written: check its power, then {RERUN}; if it happens again, {CABLE}"
            )),
            Self::Program(_) => unable(format!("{RERUN}; if it happens again, {CABLE}")),
            Self::Identify(_) | Self::Verify(_) | Self::Read(_) | Self::Stub(_) => unable(CABLE),
            Self::Erase(_) => {
                unable("the flash may be write-protected or worn out; `espbroker info` shows its id")
            }
            Self::Transport(_) | Self::Boot(_) | Self::List(_) => (Exit::Unable, None),
        }
    }
}

/// What was going on when a port failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Activity {
    Opening,
    Writing,
    Other,
}

impl From<&FlasherError> for Activity {
    fn from(error: &FlasherError) -> Self {
        match error {
            FlasherError::Transport(_) => Self::Opening,
            FlasherError::Program(_) | FlasherError::Erase(_) => Self::Writing,
            _ => Self::Other,
        }
    }
}

fn explain_transport(error: &TransportError, activity: Activity) -> (Exit, Option<String>) {
    match error {
        TransportError::NotFound { port } | TransportError::Other { port, .. } if is_remote(port) => {
            unable("is the serial server running, and are its address and port right?")
        }
        TransportError::Gone { port } if is_remote(port) && activity == Activity::Opening => {
            unable("the serial server hung up: another program may use its port; close that, and try again")
        }
        TransportError::NotFound { .. } => unable(missing_port_hint()),
        TransportError::PermissionDenied { port } => unable(permission_hint(port)),
        TransportError::Busy { port } => unable(busy_hint(port)),
        TransportError::Gone { .. } if activity == Activity::Writing => unable(format!(
            "the device was unplugged or lost power while it was written: plug it in again, then {RERUN}"
        )),
        TransportError::Gone { .. } => {
            unable("the device was unplugged or the serial server went away; plug it in again")
        }
        TransportError::NoControlLines { .. } => {
            unable("use --reset manual: hold GPIO0 to GND and power-cycle the device when asked to")
        }
        TransportError::BaudRefused { .. } => unable("use --baud 115200"),
        TransportError::Other { .. } => {
            unable("is it a serial port? `espbroker ports` lists those of this computer")
        }
    }
}

fn is_remote(port: &str) -> bool {
    port.starts_with(RFC2217_PREFIX)
}

pub(super) fn permission_hint(port: &str) -> String {
    let access = ports::access(port);
    let group = access.as_ref().and_then(|access| access.group.clone().filter(|_| access.group_may_open));
    match (group, access.and_then(|access| access.in_group)) {
        (Some(group), Some(true)) => format!(
            "you are in the port's group `{group}`, but not yet in this session: log out and in again"
        ),
        (Some(group), _) => format!(
            "the port belongs to group `{group}`: as administrator run `usermod -aG {group} $USER`, then log out and in \
             again"
        ),
        (None, _) => "ask whoever runs this computer for access to the port".to_owned(),
    }
}

fn busy_hint(port: &str) -> String {
    let names: Vec<String> = ports::holders(port)
        .iter()
        .map(|holder| format!("`{}` (process {})", holder.command, holder.pid))
        .collect();
    if names.is_empty() {
        "close the serial monitor that uses it; ModemManager lets go of a new port after some seconds"
            .to_owned()
    } else {
        format!("close {} and try again", names.join(", "))
    }
}

pub(super) const BRLTTY: &str = "`brltty` (braille displays) is installed here and takes CH340, CP2102 and FTDI adapters a second \
                      after they appear: if no braille display is used, as administrator run `systemctl mask \
                      brltty-udev` and plug the board in again";

pub(super) fn missing_port_hint() -> String {
    match ports::brltty() {
        Some(_) => BRLTTY.to_owned(),
        None => "`espbroker ports` lists what is there; a cable that only charges shows nothing".to_owned(),
    }
}

fn explain_connect(error: &ConnectError) -> (Exit, Option<String>) {
    let ConnectError::NoReply { diagnosis, .. } = error else {
        return unable(
            "hold GPIO0 (FLASH button) to GND, power-cycle the device, and keep GPIO0 low until it answers",
        );
    };
    unable(match diagnosis {
        Diagnosis::BootedFromFlash { .. } => {
            "the chip runs its firmware: hold the FLASH button (GPIO0 low), tap RESET, and run this with --reset manual"
                .to_owned()
        }
        Diagnosis::LoaderDoesNotHear { .. } => {
            "the chip is in its loader and does not hear: check the wire from the adapter's TX to the chip's RX".to_owned()
        }
        Diagnosis::OtherBootMode { boot_mode, .. } if boot_mode.is_sdio() => {
            "GPIO15 is high: tie it to GND (10 kΩ) and reset".to_owned()
        }
        Diagnosis::OtherBootMode { .. } => "GPIO2 is low: disconnect what pulls it down, and reset".to_owned(),
        Diagnosis::Silence => format!(
            "a board without automatic reset needs --reset manual. Else check power (3.3 V at the chip), EN high, and \
             that TX goes to RX and RX to TX; then {CABLE}"
        ),
        Diagnosis::Noise { .. } => {
            format!("bytes come but make no sense: is this the ESP8266's port? Then check GND, and {CABLE}")
        }
        Diagnosis::CannotListen => {
            "hold the FLASH button (GPIO0 low), tap RESET, and run this with --reset manual".to_owned()
        }
    })
}

impl Explain for SelftestError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Failed { .. } => no("attach the report to a bug; --report FILE saves it"),
            Self::NotRestored { .. } => unable(
                "the store region holds retained messages only: the broker does without, or keep the file for later",
            ),
        }
    }
}

impl Explain for PreflightError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::FlashUnreadable { .. } => no(
                "GPIO6 to GPIO11 belong to the flash: disconnect what hangs on them; check the 3.3 V supply",
            ),
            Self::FlashTooSmall { found, .. } if FlashMap::for_capacity(found * 1024).is_some() => {
                no("take the image for 1 MB, espbroker-esp8266-1mb.bin, with --image; nothing was changed")
            }
            Self::FlashTooSmall { .. } => {
                no("the broker needs 1 MB, as in most plugs, or 4 MB; nothing was changed")
            }
            Self::WrongMap { .. } => {
                no("take the image for 4 MB, espbroker-esp8266-4mb.bin; nothing was changed")
            }
            Self::WrongTarget { .. } => {
                no("take the image that was built for this machine; nothing was changed")
            }
            Self::HeaderSize { .. } => no(
                "build the image with the flash size of its map, 4MB-c1 or 1MB: else the SDK refuses its partition table",
            ),
        }
    }
}

impl Explain for ImageFileError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Read { .. } | Self::BuiltIn(_) => (Exit::Unable, None),
            Self::CutShort { .. } => unable("download or build the image again"),
            Self::TooLong { .. } | Self::NotBootable { .. } | Self::Foreign { .. } => {
                unable("--image takes an espbroker firmware image as it was built, unpacked and unpatched")
            }
        }
    }
}
