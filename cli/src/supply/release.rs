//! A release whose manifest was judged: its files are read, measured, and put together to what goes into a flash.
//!
//! The same checks for a folder, the cache and what was compiled in: signature, manifest, size and SHA-256 of each
//! file, and then the image itself, which must say the same of itself as the manifest says of it.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use espbroker_config::{flash_map::FlashMap, image::Target};

use super::{
    Judge, SupplyError,
    manifest::{MANIFEST_FILE, MANIFEST_MAX, Manifest, Part, SIGNATURE_FILE, Sha256Digest},
};
use crate::image_file::Firmware;

/// Who vouches for a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// A release key.
    Signed { key: String },
    /// This program, which made it.
    Program,
    /// Nobody: a local build.
    Nobody,
}

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Beside the manifest.
    Folder(PathBuf),
    /// In this program.
    Memory { name: String, files: BTreeMap<String, Cow<'static, [u8]>> },
}

/// A release that this program can use.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) manifest: Manifest,
    /// What was signed, byte for byte.
    pub(crate) manifest_bytes: Vec<u8>,
    pub(crate) signature: Option<String>,
    pub(crate) trust: Trust,
    pub(crate) place: Place,
}

/// Why a file of a release is not what the manifest says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartError {
    #[error("cannot read a file of the release: `{file}`")]
    Read {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("file of the release is cut short: {found} of {stated} bytes in `{file}`")]
    CutShort { file: String, stated: u32, found: u64 },
    #[error("file of the release is longer than the {stated} bytes of the manifest: `{file}`")]
    TooLong { file: String, stated: u32 },
    #[error("file of the release is not the one of the manifest: sha256 of `{file}` differs")]
    Digest { file: String },
}

impl Place {
    /// For people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Memory { name, .. } => name.clone(),
        }
    }
}

impl Release {
    /// Judges a manifest: its signature before its content, so that nothing is made of what nobody vouches for.
    ///
    /// # Errors
    ///
    /// When the signature is there and does not vouch, or the manifest is of no use to this program.
    pub(crate) fn judge(
        manifest_bytes: Vec<u8>,
        signature: Option<String>,
        judge: &Judge,
        place: Place,
    ) -> Result<Self, SupplyError> {
        let trust = match &signature {
            Some(signature) => {
                let key = judge
                    .keys
                    .check(&manifest_bytes, signature, judge.today)
                    .map_err(|source| SupplyError::Signature { place: place.name(), source })?;
                Trust::Signed { key: key.name.clone() }
            }
            None => Trust::Nobody,
        };
        let manifest = Manifest::parse(&manifest_bytes, &judge.tool)
            .map_err(|source| SupplyError::manifest(place.name(), source))?;
        Ok(Self { manifest, manifest_bytes, signature, trust, place })
    }

    /// Opens the release in a folder; its files are not looked at yet.
    ///
    /// # Errors
    ///
    /// When there is none, or as of [`Release::judge`].
    pub(crate) fn open(folder: &Path, judge: &Judge) -> Result<Self, SupplyError> {
        let read = |name: &str| {
            let path = folder.join(name);
            read_at_most(&path, MANIFEST_MAX + 1)
                .map_err(|source| SupplyError::Read { path: path.display().to_string(), source })
        };
        let manifest = read(MANIFEST_FILE)?
            .ok_or_else(|| SupplyError::NoManifest { place: folder.display().to_string() })?;
        // What is not text is no signature, and judged as such.
        let signature = read(SIGNATURE_FILE)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Self::judge(manifest, signature, judge, Place::Folder(folder.to_owned()))
    }

    /// Whether somebody vouches for it.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trust != Trust::Nobody
    }

    /// Whether it has an image for this machine.
    pub(crate) fn has(&self, target: Target) -> bool {
        self.manifest.targets.contains_key(&target.to_string())
    }

    /// Reads a file and measures it.
    ///
    /// # Errors
    ///
    /// When it is not there or is another than the manifest's.
    pub(crate) fn read(&self, part: &Part) -> Result<Cow<'_, [u8]>, PartError> {
        let file = part.file.clone();
        let bytes = match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(&part.file);
                let most = usize::try_from(part.size).unwrap_or(usize::MAX).saturating_add(1);
                match read_at_most(&path, most) {
                    Ok(Some(bytes)) => Cow::Owned(bytes),
                    Ok(None) => {
                        return Err(PartError::Read { file, source: ErrorKind::NotFound.into() });
                    }
                    Err(source) => return Err(PartError::Read { file, source }),
                }
            }
            Place::Memory { files, .. } => match files.get(&part.file) {
                Some(bytes) => Cow::Borrowed(bytes.as_ref()),
                None => return Err(PartError::Read { file, source: ErrorKind::NotFound.into() }),
            },
        };
        part.measure(&bytes)?;
        Ok(bytes)
    }

    /// The image for a machine, put together and checked.
    ///
    /// # Errors
    ///
    /// When there is none, or it is not what the manifest says.
    pub(crate) fn firmware(&self, target: Target) -> Result<Firmware, SupplyError> {
        let place = self.place.name();
        let Some(parts) = self.manifest.targets.get(&target.to_string()) else {
            let has = self.manifest.targets.keys().cloned().collect();
            return Err(SupplyError::NoTarget { version: self.manifest.version.clone(), target, has });
        };
        let flash_map = FlashMap::from_number(parts.flash_map)
            .ok_or_else(|| SupplyError::FlashMap { place: place.clone(), number: parts.flash_map })?;
        let mut image = Vec::new();
        for part in &parts.parts {
            // Parts are in order; what lies between them stays as erased flash is.
            image.resize(usize::try_from(part.offset).unwrap_or(usize::MAX), 0xFF);
            image.extend_from_slice(&self.read(part)?);
        }
        let origin = match &self.trust {
            Trust::Signed { key } => {
                format!("release {}, signed by the key `{key}`", self.manifest.version)
            }
            Trust::Program => place.clone(),
            Trust::Nobody => format!("unsigned, from {place}"),
        };
        let firmware = Firmware::check(origin, image, Path::new(&place))?;
        let firmware = Firmware { trusted: self.is_trusted(), ..firmware };
        let found = &firmware.descriptor;
        if found.target != target {
            return Err(SupplyError::OtherTarget { place, stated: target, found: found.target });
        }
        if found.version != self.manifest.version.to_string() || found.flash_map != flash_map {
            return Err(SupplyError::OtherVersion {
                place,
                stated: self.manifest.version.clone(),
                found: found.version.clone(),
            });
        }
        Ok(firmware)
    }

    /// Reads and checks every file, and every image for a machine that this program knows.
    ///
    /// # Errors
    ///
    /// The first thing that is not as the manifest says.
    pub(crate) fn check(&self) -> Result<(), SupplyError> {
        for target in known_targets().filter(|target| self.has(*target)) {
            self.firmware(target)?;
        }
        self.manifest.parts().try_for_each(|part| self.read(part).map(drop))?;
        Ok(())
    }
}

/// Every machine that this program knows.
pub(crate) fn known_targets() -> impl Iterator<Item = Target> {
    [Target::Esp8266, Target::Virtual, Target::EmulatedBoard].into_iter()
}

impl Part {
    /// Whether `bytes` are this file.
    ///
    /// # Errors
    ///
    /// When they are not: too few, too many, or others.
    pub(crate) fn measure(&self, bytes: &[u8]) -> Result<(), PartError> {
        let (file, stated, found) = (self.file.clone(), self.size, bytes.len() as u64);
        if found < u64::from(stated) {
            return Err(PartError::CutShort { file, stated, found });
        }
        if found > u64::from(stated) {
            return Err(PartError::TooLong { file, stated });
        }
        if Sha256Digest::of(bytes) != self.sha256 {
            return Err(PartError::Digest { file });
        }
        Ok(())
    }
}

/// At most `most` bytes of a file; `None` where there is none.
pub(crate) fn read_at_most(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match fs::File::open(path) {
        Ok(file) => file.take(most as u64).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::{
        manifest::ManifestError,
        testing::{Folder, Signer, image, manifest},
    };

    /// A signed release of the virtual device's image.
    fn release() -> (Folder, Signer) {
        let signer = Signer::new("2029-06-30");
        let folder = Folder::release(&signer, &image("0.2.0"));
        (folder, signer)
    }

    fn open(folder: &Folder, signer: &Signer) -> Result<Release, SupplyError> {
        Release::open(folder.path(), &signer.judge("2027-02-01"))
    }

    #[test]
    fn a_signed_release_gives_its_image_and_says_who_signed() {
        let (folder, signer) = release();
        let release = open(&folder, &signer).unwrap();
        release.check().unwrap();
        let firmware = release.firmware(Target::Virtual).unwrap();
        assert_eq!(firmware.origin, "release 0.2.0, signed by the key `test`");
        assert_eq!(firmware.bytes, image("0.2.0"));
        let error = release.firmware(Target::Esp8266).unwrap_err();
        assert_eq!(error.to_string(), "release 0.2.0 has no image for esp8266, only for virtual");
    }

    #[test]
    fn an_image_in_several_parts_is_put_together() {
        let image = image("0.2.0");
        // The image is full of 0xFF between its boot part and its descriptor.
        let gap = image.windows(8192).position(|bytes| bytes.iter().all(|byte| *byte == 0xFF)).unwrap();
        let (head, tail) = (&image[..gap], &image[gap + 8192..]);
        let offset = u32::try_from(gap + 8192).unwrap();
        let manifest = manifest("0.2.0", &[("head.bin", 0, head), ("tail.bin", offset, tail)]);
        let signer = Signer::new("2029-06-30");
        let folder = Folder::new();
        folder.write("head.bin", head);
        folder.write("tail.bin", tail);
        folder.sign(&signer, &manifest);
        assert_eq!(open(&folder, &signer).unwrap().firmware(Target::Virtual).unwrap().bytes, image);
    }

    #[test]
    fn each_way_in_which_a_file_can_be_wrong_has_its_own_refusal() {
        let (folder, signer) = release();
        let bytes = image("0.2.0");
        let refusal = |content: Option<&[u8]>| {
            match content {
                Some(content) => folder.write("image.bin", content),
                None => fs::remove_file(folder.path().join("image.bin")).unwrap(),
            }
            match open(&folder, &signer).unwrap().check().unwrap_err() {
                SupplyError::Part(error) => error,
                error => panic!("{error}"),
            }
        };
        assert!(matches!(refusal(Some(&bytes[..1000])), PartError::CutShort { found: 1000, .. }));
        assert!(matches!(refusal(Some(&[&bytes[..], b"x"].concat())), PartError::TooLong { .. }));
        let mut changed = bytes.clone();
        changed[100_000] ^= 1;
        assert!(matches!(refusal(Some(&changed)), PartError::Digest { .. }));
        assert!(matches!(refusal(None), PartError::Read { .. }));
    }

    #[test]
    fn a_signed_manifest_that_is_wrong_about_its_image_is_refused() {
        let signer = Signer::new("2029-06-30");
        let folder = Folder::release(&signer, &image("0.2.1"));
        assert!(matches!(open(&folder, &signer).unwrap().check(), Err(SupplyError::OtherVersion { .. })));
        let other = espbroker_virtual_device::image::filler(Target::Esp8266, "0.2.0").unwrap();
        let folder = Folder::release(&signer, &other);
        let error = open(&folder, &signer).unwrap().check().unwrap_err();
        assert!(matches!(error, SupplyError::OtherTarget { found: Target::Esp8266, .. }), "{error}");
        let folder = Folder::release(&signer, b"#!/bin/sh");
        assert!(matches!(open(&folder, &signer).unwrap().check(), Err(SupplyError::Image(_))));
    }

    #[test]
    fn a_manifest_is_judged_by_its_signature_first() {
        let (folder, signer) = release();
        let text = fs::read_to_string(folder.path().join(MANIFEST_FILE)).unwrap();
        folder.write(MANIFEST_FILE, text.replace("\"format\": 1", "\"format\": 2").as_bytes());
        assert!(
            matches!(open(&folder, &signer), Err(SupplyError::Signature { .. })),
            "changed after signing"
        );
        folder.write(SIGNATURE_FILE, b"\xFF\xFE");
        assert!(matches!(open(&folder, &signer), Err(SupplyError::Signature { .. })), "no text");
        fs::remove_file(folder.path().join(SIGNATURE_FILE)).unwrap();
        let Err(SupplyError::Manifest { source, .. }) = open(&folder, &signer) else { panic!("it is newer") };
        assert!(matches!(*source, ManifestError::NewerFormat { found: 2 }));
        folder.write(MANIFEST_FILE, text.as_bytes());
        assert!(!open(&folder, &signer).unwrap().is_trusted(), "without a signature it is a local build");
        fs::remove_file(folder.path().join(MANIFEST_FILE)).unwrap();
        assert!(matches!(open(&folder, &signer), Err(SupplyError::NoManifest { .. })));
    }
}
