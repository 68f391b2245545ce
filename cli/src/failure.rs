//! How the program ends when it does not end well: one message, its causes, one next step, an exit code.
//!
//! The only file with hints and exit codes. An error type says what happened; here it is decided what a user should
//! do about it. Hints never suggest `sudo`, and never show a secret.

use std::{error::Error, fmt::Write as _, io::ErrorKind, process::ExitCode};

use anstyle::{AnsiColor, Style};
use espbroker_config::flash_map::FlashMap;
use espbroker_flasher::{
    CommandError as LoaderError, FlasherError,
    connect::{ConnectError, Diagnosis},
    identify::IdentifyError,
    ports,
    transport::{RFC2217_PREFIX, TransportError},
};
use espbroker_node::status::{BridgeReason, ListenFailure, Service, WifiReason};

use crate::{
    PrintError,
    answers::AnswersError,
    check::CheckError,
    commands::{
        CommandError,
        broker::BrokerError,
        doctor::{DoctorError, Trouble},
        export::ExportError,
        firmware::FirmwareError,
        selftest::SelftestError,
    },
    device::DeviceError,
    discover::DiscoverError,
    image_file::ImageFileError,
    preflight::PreflightError,
    registry::RegistryError,
    settings::SettingsError,
    setup::SetupError,
    simulation::{self, SimulationError},
    start_up::StartUpError,
    supply::{BundleError, FetchError, KeyError, ManifestError, PartError, SignatureError, SupplyError},
    wizard::WizardError,
};

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 1: the device's answer is no.
    No,
    /// 2: it could not be done.
    Unable,
    /// 130: stopped by the user, as shells count SIGINT.
    Stopped,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::No => 1,
            Exit::Unable => 2,
            Exit::Stopped => 130,
        })
    }
}

/// An error with what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
    pub(crate) exit: Exit,
}

/// Decides about one error type.
trait Explain: Error {
    /// Exit code and next step.
    fn explain(&self) -> (Exit, Option<String>);
}

impl<E: Explain + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let (exit, hint) = error.explain();
        Self { error: Box::new(error), hint, exit }
    }
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// Columns of `hint: `, which the lines of a long hint stand behind.
const HINT_INDENT: usize = 6;

impl Failure {
    /// Message and causes in one line, for what goes on in spite of it.
    pub(crate) fn sentence(&self) -> String {
        self.chain().join(": ")
    }

    /// What happened and its causes, each said once.
    fn chain(&self) -> Vec<String> {
        let mut said = vec![self.error.to_string()];
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let words = error.to_string();
            // Some messages already end with their cause.
            if !said.last().is_some_and(|before| before.contains(&words)) {
                said.push(words);
            }
            cause = error.source();
        }
        said
    }

    /// The whole message, as it goes to stderr; the hint is broken into lines of at most `columns`.
    pub(crate) fn text(&self, columns: Option<usize>) -> String {
        let mut text = format!("{ERROR}error:{ERROR:#} {}\n", self.error);
        for cause in self.chain().iter().skip(1) {
            let _ = writeln!(text, "  caused by: {cause}");
        }
        if let Some(hint) = &self.hint {
            let hint = match columns {
                Some(columns) => textwrap::fill(hint, columns.saturating_sub(HINT_INDENT).max(HINT_INDENT))
                    .replace('\n', &format!("\n{:HINT_INDENT$}", "")),
                None => hint.clone(),
            };
            let _ = write!(text, "\n{HINT}hint:{HINT:#} {hint}\n");
        }
        text
    }
}

fn unable(hint: impl Into<String>) -> (Exit, Option<String>) {
    (Exit::Unable, Some(hint.into()))
}

fn no(hint: impl Into<String>) -> (Exit, Option<String>) {
    (Exit::No, Some(hint.into()))
}

const CABLE: &str = "try another cable, another USB port, and an adapter that can power the board (300 mA)";
const RERUN: &str = "run the same command again: it starts over from what is there";

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

fn permission_hint(port: &str) -> String {
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

const BRLTTY: &str = "`brltty` (braille displays) is installed here and takes CH340, CP2102 and FTDI adapters a second \
                      after they appear: if no braille display is used, as administrator run `systemctl mask \
                      brltty-udev` and plug the board in again";

fn missing_port_hint() -> String {
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
            Self::FlashTooSmall { .. } => no(
                "the broker needs 4 MB, as on NodeMCU and D1 mini; most plugs have 1 MB. Nothing was changed",
            ),
            Self::WrongTarget { .. } => {
                no("take the image that was built for this machine; nothing was changed")
            }
            Self::HeaderSize { .. } => {
                no("build the image with flash size 4MB-c1, so that the SDK accepts its partition table")
            }
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

const FETCH_AGAIN: &str =
    "fetch it again with `espbroker firmware fetch`; if it happens again, tell whoever offers it";

impl Explain for SupplyError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Key(KeyError::Read { .. }) => (Exit::Unable, None),
            Self::Key(KeyError::NotAKey { .. }) => {
                unable("--key-file takes the public key that `minisign -G` wrote, a file of two lines")
            }
            Self::Signature { source, .. } => no(match source {
                SignatureError::Tampered => {
                    "do not use it: somebody changed it after it was signed. Get it from another place, and tell \
                     whoever offers it"
                }
                SignatureError::UnknownKey => {
                    "update espbroker: newer versions know newer keys. For a release of your own, name its public key \
                     with --key-file"
                }
                SignatureError::KeyExpired { .. } => {
                    "update espbroker and fetch a newer release; if the key ends in the future, set this computer's \
                     clock"
                }
                SignatureError::NotASignature => {
                    "manifest.json.minisig must be what `minisign -Sm manifest.json` wrote"
                }
            }),
            Self::Manifest { source, .. } => match source.as_ref() {
                ManifestError::NewerFormat { .. } | ManifestError::NewerTool { .. } => {
                    no("update espbroker; an older release can be fetched with --source")
                }
                ManifestError::Name { .. } => no("name the folder or address of an espbroker release"),
                ManifestError::TooLong
                | ManifestError::Json(_)
                | ManifestError::FileName { .. }
                | ManifestError::Parts { .. } => no(FETCH_AGAIN),
            },
            Self::NoManifest { .. } => {
                unable("name the folder or address that holds manifest.json, without the file's name")
            }
            Self::Unsigned { .. } => no(
                "an image of your own build needs --allow-unsigned; any other one should come from a release: \
                 `espbroker firmware fetch`",
            ),
            Self::Part(error) => explain_part(error),
            Self::NoTarget { .. } => no("fetch a release for this machine, or name an image with --image"),
            Self::FlashMap { .. } => no("update espbroker"),
            Self::OtherTarget { .. } | Self::OtherVersion { .. } => {
                no("do not use it: it was put together wrongly; please tell whoever offers it")
            }
            Self::Image(error) => error.explain(),
            Self::Fetch(error) => explain_fetch(error),
            Self::Bundle(error) => match error {
                BundleError::NotEmpty { .. } => unable("name a folder that does not exist yet"),
                BundleError::Twice { .. } | BundleError::Versions { .. } => {
                    unable("build the images from one checkout; a release has one for each machine")
                }
                BundleError::Version { .. } => {
                    unable("give the workspace such a version, and build the image again")
                }
                BundleError::Write { .. } => (Exit::Unable, None),
            },
            Self::NoSource => unable(
                "give the folder or address of a release with --source or ESPBROKER_FIRMWARE_SOURCE; none was \
                 compiled in",
            ),
            Self::Older { .. } => unable("allow it with --yes"),
            Self::Nothing => unable("fetch one with `espbroker firmware fetch`, or name images with --image"),
            Self::NoHome => unable("set HOME"),
            Self::Cache { .. } | Self::Read { .. } | Self::OwnVersion(_) => (Exit::Unable, None),
        }
    }
}

fn explain_part(error: &PartError) -> (Exit, Option<String>) {
    match error {
        PartError::Read { .. } => unable(FETCH_AGAIN),
        PartError::CutShort { .. } => no(format!("the file is incomplete: {FETCH_AGAIN}")),
        PartError::TooLong { .. } | PartError::Digest { .. } => {
            no(format!("do not use it: it is not the file that was signed; {FETCH_AGAIN}"))
        }
    }
}

fn explain_fetch(error: &FetchError) -> (Exit, Option<String>) {
    match error {
        FetchError::Unreachable { .. } => unable(
            "is the address right, and this computer online? A folder from `espbroker firmware bundle` needs no network",
        ),
        FetchError::NotThere { .. } => unable("the release there is incomplete: tell whoever offers it"),
        FetchError::Status { .. } => unable("try again later"),
        FetchError::Stalled { .. } | FetchError::EndedEarly { .. } => {
            unable("run the same command again: it goes on where it stopped")
        }
        FetchError::TooLong { .. } => unable("is this the address of a release?"),
        FetchError::Part(error) => explain_part(error),
        FetchError::Stopped => {
            (Exit::Stopped, Some("run the same command again: it goes on where it stopped".to_owned()))
        }
        FetchError::Client(_) | FetchError::Keep { .. } => (Exit::Unable, None),
    }
}

/// What to do about what `doctor` found.
pub(crate) fn trouble_hint(trouble: &Trouble) -> Option<String> {
    let hint = match trouble {
        Trouble::NoPorts => missing_port_hint(),
        Trouble::NoPermission { port } => permission_hint(port),
        Trouble::Held { .. } => "close that program; only one at a time can use a port".to_owned(),
        Trouble::NotListed => "`/sys` and `/dev` of the computer must be visible here".to_owned(),
        Trouble::Taken { .. } => BRLTTY.to_owned(),
        Trouble::NoDriver { driver, .. } => format!(
            "as administrator run `modprobe {driver}`; in a container or virtual machine, do that outside, and pass \
             the device in"
        ),
        Trouble::Brltty => BRLTTY.to_owned(),
        Trouble::ModemManager => {
            "it looks at a new port for some seconds; if a port is busy, wait or, where no modem is used, as \
             administrator run `systemctl disable --now ModemManager`"
                .to_owned()
        }
        Trouble::NoTool { package, .. } => format!("only needed to build firmware yourself: {package}"),
        Trouble::NoKeyring => "secrets are kept in private files instead (0600)".to_owned(),
        Trouble::NotWritable { .. } => {
            "make the folder writable for your user, and look for a full disk".to_owned()
        }
        Trouble::KeyEnded { .. } => "update espbroker: newer versions know newer keys".to_owned(),
    };
    Some(hint).filter(|hint| !hint.is_empty())
}

impl Explain for DoctorError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Troubles { .. } => (Exit::No, None),
        }
    }
}

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
            Self::StubUnreadable { .. } => (Exit::Unable, None),
            Self::TooSlow { .. } => unable("leave out --stub rom, name one --region, or insist with --slow"),
        }
    }
}

impl Explain for CommandError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::NoSuchRegion { .. } => {
                let names: Vec<&str> = FlashMap::Map4M.regions().iter().map(|region| region.name).collect();
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

impl Explain for StartUpError {
    fn explain(&self) -> (Exit, Option<String>) {
        const SETTINGS_ONLY: &str =
            "The firmware is in place; `espbroker config write` writes the settings alone";
        match self {
            Self::ImageDiffers { .. } | Self::NoImage => {
                no(format!("run setup again; if it happens again, {CABLE}"))
            }
            Self::ConfigDiffers { .. } | Self::Unconfirmed { .. } => no("run setup again"),
            Self::WrongPassphrase { .. } => {
                no(format!("check the passphrase, capitals and spaces included. {SETTINGS_ONLY}"))
            }
            Self::NetworkNotFound { .. } => no(format!(
                "check the name letter by letter; the ESP8266 sees 2.4 GHz networks only, channels 1-13, and no \
                 WPA3-only ones; a hidden network needs --hidden. {SETTINGS_ONLY}"
            )),
            Self::NoAddress { .. } => no(
                "the router's DHCP does not answer: has it free addresses? Else give a fixed one in [wifi.ipv4]",
            ),
            Self::NotJoined { reason: WifiReason::AccessPointFull, .. } => {
                no("the access point takes no more devices: restart it, or remove some")
            }
            Self::NotJoined { .. } => no("move the device closer to the access point, and try again"),
            Self::PortNotOpen { reason: ListenFailure::InUse, service: Service::Mqtt, .. } => no(
                "another program has this port (a mosquitto?): stop it, or choose another with --mqtt-port",
            ),
            Self::PortNotOpen { reason: ListenFailure::InUse, service: Service::WebSocket, .. } => no(
                "another program has this port: stop it, or choose another websocket_port in the settings file",
            ),
            Self::PortNotOpen { reason: ListenFailure::NotSupported, service, .. } => {
                no(format!("this firmware does not serve {service} yet: leave its port out of the settings"))
            }
            Self::PortNotOpen { service: Service::WebSocket, .. } => {
                no("choose another websocket_port in the settings file")
            }
            Self::PortNotOpen { .. } => no("choose another port with --mqtt-port"),
            Self::AccessPointInstead => {
                no("the device could not join the network; `espbroker monitor` shows why")
            }
            Self::Crashing => no("`espbroker monitor` shows the start-up; please report it with that text"),
            Self::Silent { .. } => {
                no("if the wire from GPIO0 to GND is still there, remove it and power-cycle the device; \
                 `espbroker monitor --monitor-baud 74880` shows what the boot ROM says")
            }
            Self::TooSlow { .. } => no("`espbroker monitor` shows what the device is doing"),
            Self::StartedSilent => {
                no("is this image built for this board and flash mode? `espbroker monitor` shows more")
            }
            Self::BootChecksum | Self::NothingToStart => no(format!(
                "run setup again; if it happens again the flash may not work in the image's mode, or {CABLE}"
            )),
            Self::StaysInLoader { .. } => no("remove the wire from GPIO0 to GND, and power-cycle the device"),
        }
    }
}

impl Explain for CheckError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::Unreachable { .. } => no(
                "the device is on the Wi-Fi; is this computer on the same network, and does the access point let its \
                 clients see each other (no guest network, no client isolation)?",
            ),
            Self::WebSocketClosed { .. } => no(
                "MQTT over TCP works, so this may be a firewall between here and the device; websocket_port chooses \
                 another port, and 0 turns WebSocket off",
            ),
            Self::NotWebSocket { .. } | Self::NotMqtt => no(
                "does something between here and the device answer for it, a proxy? Else please report this",
            ),
            Self::Silent { .. } | Self::Broken { .. } | Self::WebSocketBroken { .. } => {
                no("move the device closer to the access point, and run setup again")
            }
            Self::Refused { .. } => {
                no("the device uses other credentials than were written: run setup again")
            }
            Self::LetIn { .. } => {
                no("do not use this device: it does not check passwords; please report this")
            }
            Self::Changed { .. } => no("please report this"),
        }
    }
}

impl Explain for SetupError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::NoImage => unable(
                "get a release with `espbroker firmware fetch`, or name an image with --image FILE. To see it all without \
                 a board, use --simulate",
            ),
            Self::WouldLose { .. } => unable("save it with `espbroker backup`, then allow it with --yes"),
            Self::OnMains { .. } => unable(
                "MAINS VOLTAGE KILLS: unplug the device, power it from 3.3 V only, then confirm with --off-mains",
            ),
            Self::ImageNotVerified { .. } => no(format!("run setup again; if it happens again, {CABLE}")),
            Self::ConfigTooLong(_) => {
                unable("use fewer users, permissions, bridges or topics, or shorter ones")
            }
            Self::SavePassword { .. } => unable("give your own password with --user and --password-file"),
            Self::NotBridged { failed } => no(not_bridged_hint(failed)),
            Self::Stopped => (Exit::Stopped, Some(RERUN.to_owned())),
        }
    }
}

impl Explain for BrokerError {
    fn explain(&self) -> (Exit, Option<String>) {
        match self {
            Self::NoSettings => unable(
                "try `espbroker broker --anonymous`, or name a file with --config; this is enough for it: \
                 broker.users = [{ name = \"home\", password = \"...\" }]",
            ),
            Self::NobodyMayEnter => unable("add [[broker.users]], or let everybody in with --anonymous"),
            Self::Address { .. } => unable(
                "--bind takes an address of this computer: 127.0.0.1 for its own programs, 0.0.0.0 for all networks",
            ),
            Self::PortNotOpen { service, reason, .. } => {
                let flag = match service {
                    Service::Mqtt => "--port",
                    Service::WebSocket => "--websocket-port",
                };
                match reason {
                    ListenFailure::InUse => unable(format!(
                        "another program has this port (a mosquitto?): stop it, or choose another with {flag}"
                    )),
                    ListenFailure::Denied => {
                        unable(format!("ports below 1024 are for administrators: choose another with {flag}"))
                    }
                    ListenFailure::NotSupported => unable("leave this port out of the settings"),
                    ListenFailure::Other => unable(format!("choose another port with {flag}")),
                }
            }
            Self::Store { source, .. } => match source.kind() {
                ErrorKind::ResourceBusy => unable("stop the broker that uses it, or name another file"),
                ErrorKind::InvalidData => unable("name a file that is not there yet, or that a broker made"),
                _ => (Exit::Unable, None),
            },
            Self::NotAStore { .. } => unable("name a file that is not there yet, or that a broker made"),
            Self::Settings(_) | Self::Flash(_) | Self::System(_) | Self::Ended => (Exit::Unable, None),
        }
    }
}

/// The device is as it should be; what its bridges need is a matter of settings.
fn not_bridged_hint(failed: &[(String, BridgeReason)]) -> String {
    let mut hints: Vec<&str> = Vec::new();
    for (_, reason) in failed {
        let hint = bridge_hint(*reason);
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    format!(
        "{}. All else is done, and the broker runs; `espbroker config write` changes settings without flashing",
        hints.join("; ")
    )
}

/// What to do about a bridge that has failed; it goes on trying unless that makes no sense.
pub(crate) const fn bridge_hint(reason: BridgeReason) -> &'static str {
    match reason {
        BridgeReason::NameNotFound => "check the bridge's host letter by letter, and the network's DNS",
        BridgeReason::Refused => "check the bridge's port, and whether the other broker runs",
        BridgeReason::Unreachable | BridgeReason::TimedOut => {
            "check the bridge's host, and whether a firewall is in the way"
        }
        BridgeReason::ConnectionLost | BridgeReason::ServerUnavailable | BridgeReason::Other => {
            "it tries again by itself"
        }
        BridgeReason::NoAnswer | BridgeReason::ProtocolRefused => {
            "set try_private = false if the other broker is strict about the protocol; a port for TLS answers like \
             this too"
        }
        BridgeReason::ProtocolViolated => "is the bridge's port one for MQTT?",
        BridgeReason::IdentifierRejected => "give the bridge another client_id",
        BridgeReason::BadCredentials => "check user and password of the bridge",
        BridgeReason::NotAuthorized => {
            "check user and password of the bridge, and what the other broker allows this user"
        }
        BridgeReason::TlsNotSupported => "use the other broker's port without TLS, with tls = false",
    }
}

#[cfg(test)]
mod tests {
    use espbroker_flasher::ProgramError;

    use super::*;

    #[test]
    fn a_cause_that_the_message_already_holds_is_not_said_twice() {
        let failure = Failure::from(SettingsError::Read {
            what: "settings",
            path: "x.toml".into(),
            source: std::io::Error::new(ErrorKind::NotFound, "no such file"),
        });
        assert_eq!(
            anstream::adapter::strip_str(&failure.text(None)).to_string(),
            "error: cannot read settings: `x.toml`\n  caused by: no such file\n"
        );
    }

    #[test]
    fn a_port_that_goes_away_is_explained_by_what_was_going_on() {
        let gone = |port: &str| TransportError::Gone { port: port.to_owned() };
        let hint = |error: FlasherError| {
            let (exit, hint) = error.explain();
            assert_eq!(exit, Exit::Unable);
            hint.unwrap()
        };
        assert!(hint(gone("p").into()).contains("plug it in again"));
        assert!(hint(gone("rfc2217://h:1").into()).contains("another program may use its port"));
        let writing = ProgramError::Write {
            region: "firmware".to_owned(),
            offset: 0,
            source: LoaderError::Transport(gone("rfc2217://h:1")),
        };
        assert!(hint(writing.into()).contains("while it was written"));
    }

    #[test]
    fn a_serial_server_that_is_not_there_is_asked_about() {
        let port = "rfc2217://h:1".to_owned();
        let refused = TransportError::Other { port, message: "connection refused".to_owned() };
        let (exit, hint) = FlasherError::from(refused).explain();
        assert_eq!(exit, Exit::Unable);
        assert!(hint.unwrap().contains("is the serial server running"));
    }
}
