//! What was compiled in: two release keys, a signed release where the build was given one, and the image for the
//! virtual device, whose code is part of this program.

use std::{borrow::Cow, collections::BTreeMap};

use espbroker_config::{flash_map::FlashMap, image::Target};
use espbroker_virtual_device::image as virtual_image;
use semver::Version;

use super::{
    Judge, SupplyError,
    date::Date,
    keys::Keys,
    manifest::{MANIFEST_FILE, Manifest, ManifestError, Part, SIGNATURE_FILE, Sha256Digest, TargetParts},
    release::{Place, Release, Trust},
};
use crate::image_file::{Firmware, ImageFileError};

// `KEYS`, `FILES` and `SOURCE`, written by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// Name and text of the compiled-in keys.
pub(crate) fn keys() -> [(&'static str, &'static str); 2] {
    KEYS
}

/// Where to fetch from when nobody says.
pub(crate) fn default_source() -> Option<&'static str> {
    SOURCE
}

/// This program's version.
///
/// # Errors
///
/// Never: cargo takes no other versions.
pub(crate) fn own_version() -> Result<Version, SupplyError> {
    Ok(env!("CARGO_PKG_VERSION").parse::<Version>()?)
}

/// The signed release that was compiled in, if any.
///
/// Only the compiled-in keys count here, and as of the day of the release: a program that cannot be updated goes on
/// flashing what it carries.
///
/// # Errors
///
/// When it is not what it should be, which the release steps rule out.
pub(crate) fn release() -> Result<Option<Release>, SupplyError> {
    let files: BTreeMap<String, Cow<'static, [u8]>> =
        FILES.iter().map(|(name, bytes)| ((*name).to_owned(), Cow::Borrowed(*bytes))).collect();
    let Some(manifest) = files.get(MANIFEST_FILE).map(|bytes| bytes.to_vec()) else { return Ok(None) };
    let place = "the release inside this program".to_owned();
    let Some(signature) = files.get(SIGNATURE_FILE).and_then(|bytes| str::from_utf8(bytes).ok()) else {
        return Err(SupplyError::Unsigned { what: place });
    };
    let tool = own_version()?;
    let unread = |source| SupplyError::manifest(place.clone(), source);
    let today = Manifest::parse(&manifest, &tool).map_err(unread)?.released;
    let judge = Judge { keys: Keys::compiled_in()?, tool, today };
    let signature = Some(signature.to_owned());
    Release::judge(manifest, signature, &judge, Place::Memory { name: place, files }).map(Some)
}

/// The release for the virtual device alone, made now; it needs no signature, as it is this program that made it.
///
/// # Errors
///
/// Never in a build whose tests passed.
pub(crate) fn made() -> Result<Release, SupplyError> {
    let version = own_version()?;
    let image = virtual_image::build(env!("CARGO_PKG_VERSION"))
        .map_err(|source| SupplyError::Image(ImageFileError::BuiltIn(source)))?;
    let part = Part {
        file: format!("espbroker-{version}-{}.bin", Target::Virtual),
        offset: 0,
        size: u32::try_from(image.len()).unwrap_or(u32::MAX),
        sha256: Sha256Digest::of(&image),
    };
    let parts = TargetParts { flash_map: FlashMap::Map4M as u8, parts: vec![part.clone()] };
    let targets = [(Target::Virtual.to_string(), parts)].into();
    let manifest = Manifest::new(version.clone(), version.clone(), Date::today(), targets);
    let place = "this program".to_owned();
    let bytes = manifest
        .to_json()
        .map_err(|source| SupplyError::manifest(place.clone(), ManifestError::Json(source)))?;
    let files = [(part.file, Cow::Owned(image))].into();
    let judge = Judge { keys: Keys::compiled_in()?, tool: version, today: manifest.released };
    let release = Release::judge(bytes.into_bytes(), None, &judge, Place::Memory { name: place, files })?;
    Ok(Release { trust: Trust::Program, ..release })
}

/// The image for the virtual device: out of the signed release where that has one, else made now.
///
/// # Errors
///
/// Never in a build whose tests passed; all checks of a release apply.
pub(crate) fn for_virtual_device() -> Result<Firmware, SupplyError> {
    let signed = release()?.filter(|release| release.has(Target::Virtual));
    let release = match signed {
        Some(release) => release,
        None => made()?,
    };
    let firmware = release.firmware(Target::Virtual)?;
    // One word in plans and reports: nobody had to fetch or name it.
    Ok(Firmware { origin: "built in".to_owned(), ..firmware })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_for_the_virtual_device_passes_the_checks_of_every_release() {
        let release = made().unwrap();
        release.check().unwrap();
        assert_eq!(release.trust, Trust::Program);
        let firmware = for_virtual_device().unwrap();
        assert_eq!(firmware.descriptor.target, Target::Virtual);
        assert_eq!(firmware.descriptor.version, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn a_release_that_was_compiled_in_is_whole_and_signed() {
        if let Some(release) = release().unwrap() {
            release.check().unwrap();
            assert!(matches!(release.trust, Trust::Signed { .. }));
        }
    }
}
