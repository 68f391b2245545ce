//! The manifest of a release: what there is for which machine, and how to know that it is that.
//!
//! JSON, so that a web page or a script can read it too:
//!
//! ```json
//! {
//!   "format": 1,
//!   "name": "espbroker",
//!   "version": "0.2.0",
//!   "minimum_tool": "0.2.0",
//!   "released": "2027-01-31",
//!   "targets": {
//!     "esp8266": {
//!       "flash_map": 1,
//!       "parts": [{ "file": "espbroker-0.2.0-esp8266.bin", "offset": 0, "size": 412000, "sha256": "..." }]
//!     }
//!   }
//! }
//! ```
//!
//! `flash_map` is the number in the image's descriptor; offsets are bytes of flash; files lie beside the manifest.
//! Unknown fields and targets are passed over; what an older program must not pass over gets a new `format`. The
//! signature is in a file of its own, `manifest.json.minisig`, over the manifest's bytes.

use std::collections::BTreeMap;

use espbroker_config::flash_map::{FlashMap, IMAGE_MAX};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::date::Date;

/// The format that this program writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;
/// File of the manifest.
pub(crate) const MANIFEST_FILE: &str = "manifest.json";
/// File of its signature.
pub(crate) const SIGNATURE_FILE: &str = "manifest.json.minisig";
/// Bytes that a manifest or signature may have.
pub(crate) const MANIFEST_MAX: usize = 64 * 1024;
/// What releases of this project are called.
pub(crate) const NAME: &str = "espbroker";

/// A manifest that was judged to be usable by this program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    name: String,
    /// Version of the firmware.
    pub(crate) version: Version,
    /// The oldest program that may use this release.
    pub(crate) minimum_tool: Version,
    /// Day of the release.
    pub(crate) released: Date,
    /// By name of the machine, as in image descriptors.
    pub(crate) targets: BTreeMap<String, TargetParts>,
}

/// What goes into the flash of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TargetParts {
    /// Number of the flash map.
    pub(crate) flash_map: u8,
    /// In ascending order of their offsets; the first is at 0.
    pub(crate) parts: Vec<Part>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Its name beside the manifest.
    pub(crate) file: String,
    /// Where it goes in flash.
    pub(crate) offset: u32,
    /// Its bytes.
    pub(crate) size: u32,
    /// Its digest.
    pub(crate) sha256: Sha256Digest,
}

/// A digest, in hex digits where it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Sha256Digest(pub(crate) [u8; 32]);

impl Sha256Digest {
    /// The digest of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        use sha2::{Digest as _, Sha256};
        Self(Sha256::digest(bytes).into())
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        crate::hex::array(&text).map(Self).ok_or("a sha256 has 64 hex digits")
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        crate::hex::to_hex(&digest.0, "")
    }
}

/// Why a manifest is of no use to this program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("manifest is longer than {MANIFEST_MAX} bytes")]
    TooLong,
    #[error("manifest cannot be read")]
    Json(#[source] serde_json::Error),
    #[error("manifest is of a newer kind than this program knows: format {found}")]
    NewerFormat { found: u32 },
    #[error("release {version} needs espbroker {needed} or newer, and this is {own}")]
    NewerTool { version: Version, needed: Version, own: Version },
    #[error("manifest is for another product: `{found}`")]
    Name { found: String },
    #[error("manifest names a file that cannot be one: `{file}`")]
    FileName { file: String },
    #[error("manifest has no whole image for `{target}`: {problem}")]
    Parts { target: String, problem: &'static str },
}

/// The fields that decide whether the others can be read.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl Manifest {
    /// A new manifest, as this program writes it.
    pub(crate) fn new(
        version: Version,
        minimum_tool: Version,
        released: Date,
        targets: BTreeMap<String, TargetParts>,
    ) -> Self {
        Self { format: FORMAT, name: NAME.to_owned(), version, minimum_tool, released, targets }
    }

    /// Reads a manifest, and judges whether a program of version `own` can use it.
    ///
    /// # Errors
    ///
    /// The first reason why not; that it is newer comes before all else.
    pub(crate) fn parse(bytes: &[u8], own: &Version) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_MAX {
            return Err(ManifestError::TooLong);
        }
        let head: Head = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if head.format > FORMAT {
            return Err(ManifestError::NewerFormat { found: head.format });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if manifest.name != NAME {
            return Err(ManifestError::Name { found: manifest.name });
        }
        if manifest.minimum_tool > *own {
            let Self { version, minimum_tool: needed, .. } = manifest;
            return Err(ManifestError::NewerTool { version, needed, own: own.clone() });
        }
        manifest.targets.iter().try_for_each(|(target, parts)| parts.check(target))?;
        Ok(manifest)
    }

    /// The manifest as it is written and signed.
    ///
    /// # Errors
    ///
    /// Never: every field has a form in JSON.
    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Every file of the release.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.targets.values().flat_map(|target| &target.parts)
    }
}

impl TargetParts {
    fn check(&self, target: &str) -> Result<(), ManifestError> {
        let parts_error = |problem| Err(ManifestError::Parts { target: target.to_owned(), problem });
        if FlashMap::from_number(self.flash_map).is_none() {
            // A machine with a map of tomorrow; it is refused when somebody wants it.
            return Ok(());
        }
        let mut end = 0;
        for (index, part) in self.parts.iter().enumerate() {
            if !is_file_name(&part.file) {
                return Err(ManifestError::FileName { file: part.file.clone() });
            }
            if index == 0 && part.offset != 0 {
                return parts_error("nothing goes to the beginning of the flash");
            }
            if part.offset < end || part.size == 0 {
                return parts_error("its parts overlap, are empty, or are not in order");
            }
            end = part.offset.saturating_add(part.size);
        }
        if end == 0 {
            return parts_error("it has no parts");
        }
        if end > IMAGE_MAX {
            return parts_error("its parts reach beyond the place for the firmware");
        }
        Ok(())
    }
}

/// Whether `name` is a plain file name on every system; it becomes part of a path and of an address.
fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    let reserved = [MANIFEST_FILE, SIGNATURE_FILE].contains(&name);
    !reserved
        && name.len() <= 100
        && !name.starts_with(['.', '-'])
        && name.bytes().all(plain)
        && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::testing::{day, manifest};

    fn parse(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(text.as_bytes(), &Version::new(0, 1, 0))
    }

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        let manifest = manifest("0.2.0", &[("espbroker.bin", 0, b"one"), ("more.bin", 4096, b"two")]);
        assert_eq!(parse(&manifest.to_json().unwrap()).unwrap(), manifest);
        assert_eq!(manifest.parts().count(), 2);
        assert_eq!(manifest.released, day("2027-01-31"));
    }

    #[test]
    fn fields_and_targets_of_tomorrow_are_passed_over() {
        let text = manifest("0.2.0", &[("a.bin", 0, b"one")]).to_json().unwrap();
        let text = text
            .replace("\"format\": 1", "\"format\": 1, \"notes\": [1]")
            .replace("\"targets\": {", "\"targets\": { \"esp32\": { \"flash_map\": 9, \"parts\": [] },");
        assert_eq!(parse(&text).unwrap().targets.len(), 2);
    }

    #[test]
    fn a_manifest_that_is_too_new_says_so_whatever_else_it_holds() {
        assert!(matches!(
            parse(r#"{"format": 2, "parts": "elsewhere"}"#),
            Err(ManifestError::NewerFormat { found: 2 })
        ));
        let mut newer = manifest("0.2.0", &[("a.bin", 0, b"one")]);
        newer.minimum_tool = Version::new(0, 1, 1);
        let error = parse(&newer.to_json().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "release 0.2.0 needs espbroker 0.1.1 or newer, and this is 0.1.0");
    }

    #[test]
    fn parts_that_make_no_image_are_refused() {
        let limit = IMAGE_MAX as usize;
        type Files<'a> = &'a [(&'a str, u32, &'a [u8])];
        let cases: [(Files<'_>, &str); 6] = [
            (&[], "no parts"),
            (&[("a.bin", 4096, b"one")], "beginning"),
            (&[("a.bin", 0, b"")], "empty"),
            (&[("a.bin", 0, b"one"), ("b.bin", 2, b"two")], "overlap"),
            (&[("a.bin", 0, &vec![0; limit + 1])], "beyond"),
            (&[("a.bin", 0, b"one"), ("b.bin", u32::MAX, b"two")], "beyond"),
        ];
        for (parts, problem) in cases {
            let error = parse(&manifest("0.2.0", parts).to_json().unwrap()).unwrap_err();
            assert!(error.to_string().contains(problem), "{problem}: {error}");
        }
    }

    #[test]
    fn file_names_never_leave_the_folder() {
        for name in [
            "",
            ".",
            "..",
            "../a",
            "a/b",
            "a\\b",
            "/etc/passwd",
            "C:a",
            "a b",
            "-x",
            "manifest.json",
            "\u{fc}",
        ] {
            let error = parse(&manifest("0.2.0", &[(name, 0, b"one")]).to_json().unwrap()).unwrap_err();
            assert!(matches!(error, ManifestError::FileName { .. }), "{name}");
        }
        assert!(is_file_name("espbroker-0.2.0-rc.1+x_esp8266.bin"));
    }

    #[test]
    fn other_products_cut_texts_and_wrong_digests_are_refused() {
        let text = manifest("0.2.0", &[("a.bin", 0, b"one")]).to_json().unwrap();
        let other = text.replace("\"espbroker\"", "\"toaster\"");
        assert!(matches!(parse(&other), Err(ManifestError::Name { .. })));
        assert!(matches!(parse(&text.replace("0.2.0", "new")), Err(ManifestError::Json(_))));
        let digest = String::from(Sha256Digest::of(b"one"));
        assert!(matches!(parse(&text.replace(&digest, "abcd")), Err(ManifestError::Json(_))));
        for end in 0..text.trim_end().len() {
            assert!(matches!(parse(text.get(..end).unwrap()), Err(ManifestError::Json(_))), "{end}");
        }
        assert!(matches!(parse(&" ".repeat(MANIFEST_MAX + 1)), Err(ManifestError::TooLong)));
    }
}
