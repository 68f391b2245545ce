//! Hints for releases that cannot be trusted or had, and for what `doctor` finds on this computer.

use super::{
    Exit, Explain,
    loader::{BRLTTY, missing_port_hint, permission_hint},
    no, unable,
};
use crate::{
    commands::doctor::{DoctorError, Trouble},
    supply::{BundleError, FetchError, KeyError, ManifestError, PartError, SignatureError, SupplyError},
};

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
