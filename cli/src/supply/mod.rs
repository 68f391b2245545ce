//! Firmware that can be trusted: where images come from, who vouches for them, and which one a device gets.
//!
//! `Source -> manifest and signature -> Release (judged) -> Cache -> Firmware`. A release is a folder: `manifest`
//! says what is in it, `keys` who signed that, `release` reads and measures its files. `source` downloads, `cache`
//! keeps, `built_in` is what was compiled in, `bundle` writes release folders. The same checks apply to all of them.

mod built_in;
mod bundle;
mod cache;
mod date;
mod keys;
mod manifest;
mod release;
mod source;
#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};

use espbroker_config::image::Target;
use semver::Version;

pub(crate) use self::{
    bundle::{Bundle, BundleError},
    cache::Cache,
    date::Date,
    keys::{KeyError, Keys, SignatureError},
    manifest::{MANIFEST_FILE, ManifestError},
    release::{PartError, Place, Release, Trust},
    source::{FetchError, Source},
};
pub(crate) use built_in::{
    default_source, for_virtual_device, made as made_release, release as built_in_release,
};

use crate::{
    arguments::{KeyArguments, TrustArguments},
    image_file::{Firmware, ImageFileError},
    screen::Screen,
};

/// Why there is no firmware to use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupplyError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("release cannot be trusted: `{place}`")]
    Signature {
        place: String,
        #[source]
        source: SignatureError,
    },
    #[error("release cannot be used: `{place}`")]
    Manifest {
        place: String,
        #[source]
        source: Box<ManifestError>,
    },
    #[error("there is no release here: `{place}`")]
    NoManifest { place: String },
    #[error("nobody has signed this: `{what}`")]
    Unsigned { what: String },
    #[error(transparent)]
    Part(#[from] PartError),
    #[error("release {version} has no image for {target}, only for {}", has.join(", "))]
    NoTarget { version: Version, target: Target, has: Vec<String> },
    #[error("release has a flash map that this program does not know: number {number} in `{place}`")]
    FlashMap { place: String, number: u8 },
    #[error(
        "image of the release is for another machine than the manifest says: {found} instead of {stated} in `{place}`"
    )]
    OtherTarget { place: String, stated: Target, found: Target },
    #[error(
        "image of the release is another than the manifest says: {found} instead of {stated} in `{place}`"
    )]
    OtherVersion { place: String, stated: Version, found: String },
    #[error(transparent)]
    Image(#[from] ImageFileError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("cannot read `{path}`")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot keep releases in `{folder}`")]
    Cache {
        folder: String,
        #[source]
        source: std::io::Error,
    },
    #[error("not told where to fetch firmware from")]
    NoSource,
    #[error("release {found} is older than {known}, which is here already")]
    Older { found: Version, known: Version },
    #[error("there is no release on this computer")]
    Nothing,
    #[error("this user has no home folder")]
    NoHome,
    #[error("this program has no version")]
    OwnVersion(#[from] semver::Error),
}

impl SupplyError {
    fn manifest(place: impl Into<String>, source: ManifestError) -> Self {
        Self::Manifest { place: place.into(), source: Box::new(source) }
    }

    /// The same about an image that came from `place`, and lies elsewhere only for now.
    fn found_at(self, place: String) -> Self {
        match self {
            Self::OtherTarget { stated, found, .. } => Self::OtherTarget { place, stated, found },
            Self::OtherVersion { stated, found, .. } => Self::OtherVersion { place, stated, found },
            other => other,
        }
    }
}

/// By what releases are judged.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    pub(crate) keys: Keys,
    /// Version of this program.
    pub(crate) tool: Version,
    /// When keys must still be good.
    pub(crate) today: Date,
}

impl Judge {
    /// By the compiled-in keys, the key that the user names, and this computer's clock.
    ///
    /// # Errors
    ///
    /// When the key file is none.
    pub(crate) fn new(given: &KeyArguments) -> Result<Self, SupplyError> {
        let mut keys = Keys::compiled_in()?;
        if let Some(path) = &given.key_file {
            keys = keys.with_file(path)?;
        }
        Ok(Self { keys, tool: built_in::own_version()?, today: Date::today() })
    }
}

/// Every release on this computer that somebody vouches for, newest first; what is in the cache and cannot be used
/// is warned about.
///
/// # Errors
///
/// When the cache cannot be read.
pub(crate) fn trusted(judge: &Judge, screen: Screen) -> Result<Vec<Release>, SupplyError> {
    let mut releases: Vec<Release> = built_in_release()?.into_iter().collect();
    for (version, release) in Cache::of_user()?.releases(judge)? {
        match release {
            Ok(release) if release.is_trusted() => releases.push(release),
            Ok(_) => {}
            Err(error) => {
                screen.warning(format!("release {version} in the cache is left out: {}", sentence(&error)));
            }
        }
    }
    // Of the same version, the one inside the program stays first.
    releases.sort_by(|a, b| b.manifest.version.cmp(&a.manifest.version));
    Ok(releases)
}

/// The image for a device of this kind, where the user named none.
///
/// # Errors
///
/// When the newest release that has one is damaged.
pub(crate) fn newest(
    target: Target,
    given: &TrustArguments,
    screen: Screen,
) -> Result<Option<Firmware>, SupplyError> {
    if target == Target::Virtual {
        return for_virtual_device().map(Some);
    }
    let releases = trusted(&Judge::new(&given.key)?, screen)?;
    releases.iter().find(|release| release.has(target)).map(|release| release.firmware(target)).transpose()
}

/// Reads an image file that the user named, and refuses it when nobody vouches for it and the user did not allow
/// that.
///
/// An image is vouched for when it is, byte for byte, one of a release: beside it, in the cache, or in this program.
///
/// # Errors
///
/// When it is no image, is unsigned, or lies in a release that is not as it was signed.
pub(crate) fn named(path: &Path, given: &TrustArguments, screen: Screen) -> Result<Firmware, SupplyError> {
    let firmware = Firmware::read(path)?;
    let judge = Judge::new(&given.key)?;
    match vouched(&firmware, path, &judge, screen)? {
        Some(origin) => Ok(Firmware { origin, trusted: true, ..firmware }),
        None if given.allow_unsigned => {
            Ok(Firmware { origin: format!("unsigned, {}", path.display()), trusted: false, ..firmware })
        }
        None => Err(SupplyError::Unsigned { what: path.display().to_string() }),
    }
}

/// Who vouches for an image that was read from `path`.
fn vouched(
    firmware: &Firmware,
    path: &Path,
    judge: &Judge,
    screen: Screen,
) -> Result<Option<String>, SupplyError> {
    let target = firmware.descriptor.target;
    let same = |release: &Release| {
        release.firmware(target).ok().filter(|known| known.bytes == firmware.bytes).map(|known| known.origin)
    };
    if target == Target::Virtual && for_virtual_device()?.bytes == firmware.bytes {
        return Ok(Some("as built in".to_owned()));
    }
    if let Some(beside) = beside(path, judge)? {
        // A name that is in the manifest promises what the manifest says.
        let name = path.file_name().unwrap_or_default();
        if let Some(part) = beside.manifest.parts().find(|part| name == part.file.as_str()) {
            beside.read(part)?;
        }
        if let (true, Some(origin)) = (beside.is_trusted(), same(&beside)) {
            return Ok(Some(origin));
        }
    }
    Ok(trusted(judge, screen)?.iter().find_map(same))
}

/// The release in whose folder a file lies.
fn beside(path: &Path, judge: &Judge) -> Result<Option<Release>, SupplyError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if !folder.join(MANIFEST_FILE).is_file() {
        return Ok(None);
    }
    match Release::open(&folder, judge) {
        Ok(release) => Ok(Some(release)),
        // Another program's file of this common name is no release.
        Err(SupplyError::Manifest { source, .. })
            if matches!(*source, ManifestError::Json(_) | ManifestError::Name { .. }) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// An error and its causes in one line.
pub(crate) fn sentence(error: &SupplyError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
