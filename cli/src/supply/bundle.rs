//! Writes a release folder: images, manifest, signature where there is one, and the manifest that ESP Web Tools
//! reads for flashing from a browser. The same folder serves a web server, `fetch --source`, and the build of this
//! program.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use espbroker_config::image::Target;
use semver::Version;
use serde::Serialize;

use super::{
    SupplyError,
    date::Date,
    manifest::{
        MANIFEST_FILE, Manifest, ManifestError, NAME, Part, SIGNATURE_FILE, Sha256Digest, TargetParts,
    },
    release::Release,
};
use crate::image_file::Firmware;

/// File of the manifest for ESP Web Tools.
pub(crate) const WEB_TOOLS_FILE: &str = "esp-web-tools.json";

/// What will be in the folder.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
}

/// Manifest of ESP Web Tools (its README, "Manifest").
#[derive(Serialize)]
struct WebManifest<'a> {
    name: &'a str,
    version: String,
    new_install_prompt_erase: bool,
    builds: Vec<WebBuild<'a>>,
}

#[derive(Serialize)]
struct WebBuild<'a> {
    #[serde(rename = "chipFamily")]
    chip_family: &'a str,
    parts: Vec<WebPart<'a>>,
}

#[derive(Serialize)]
struct WebPart<'a> {
    path: &'a str,
    offset: u32,
}

/// Why no folder was made of these images.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    #[error("two images are for the same machine: {target}")]
    Twice { target: Target },
    #[error("images are of different versions: {one} and {other}")]
    Versions { one: String, other: String },
    #[error("version of the images is none of the form 1.2.3: `{version}`")]
    Version { version: String },
    #[error("folder is not empty: `{}`", path.display())]
    NotEmpty { path: PathBuf },
    #[error("cannot write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Bundle {
    /// A release made of images, not signed.
    ///
    /// # Errors
    ///
    /// When the images do not belong together.
    pub(crate) fn of_images(
        images: Vec<Firmware>,
        minimum_tool: Version,
        released: Date,
    ) -> Result<Self, SupplyError> {
        let mut targets = BTreeMap::new();
        let mut files = BTreeMap::new();
        let mut versions: Vec<String> = Vec::new();
        for Firmware { bytes, descriptor, .. } in images {
            let target = descriptor.target;
            versions.push(descriptor.version.clone());
            let part = Part {
                file: format!("{NAME}-{}-{target}.bin", descriptor.version),
                offset: 0,
                size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                sha256: Sha256Digest::of(&bytes),
            };
            files.insert(part.file.clone(), bytes);
            let parts = TargetParts { flash_map: descriptor.flash_map as u8, parts: vec![part] };
            if targets.insert(target.to_string(), parts).is_some() {
                return Err(BundleError::Twice { target }.into());
            }
        }
        let one = versions.first().cloned().unwrap_or_default();
        if let Some(other) = versions.into_iter().find(|version| *version != one) {
            return Err(BundleError::Versions { one, other }.into());
        }
        let version = one.parse().map_err(|_| BundleError::Version { version: one })?;
        let manifest = Manifest::new(version, minimum_tool, released, targets);
        let json_error = |error| SupplyError::manifest(MANIFEST_FILE, ManifestError::Json(error));
        let text = manifest.to_json().map_err(json_error)?;
        files.insert(MANIFEST_FILE.to_owned(), text.into_bytes());
        Self { manifest, files }.with_web_tools()
    }

    /// A release as it is, with its signature.
    ///
    /// # Errors
    ///
    /// When a file is not what the manifest says.
    pub(crate) fn of_release(release: &Release) -> Result<Self, SupplyError> {
        release.check()?;
        let mut files = BTreeMap::new();
        for part in release.manifest.parts() {
            files.insert(part.file.clone(), release.read(part)?.into_owned());
        }
        files.insert(MANIFEST_FILE.to_owned(), release.manifest_bytes.clone());
        if let Some(signature) = &release.signature {
            files.insert(SIGNATURE_FILE.to_owned(), signature.clone().into_bytes());
        }
        Self { manifest: release.manifest.clone(), files }.with_web_tools()
    }

    /// Adds the manifest for browsers where there is an image for a real chip.
    fn with_web_tools(mut self) -> Result<Self, SupplyError> {
        let Some(target) = self.manifest.targets.get(&Target::Esp8266.to_string()) else { return Ok(self) };
        let parts =
            target.parts.iter().map(|part| WebPart { path: &part.file, offset: part.offset }).collect();
        let web = WebManifest {
            name: NAME,
            version: self.manifest.version.to_string(),
            new_install_prompt_erase: true,
            builds: vec![WebBuild { chip_family: "ESP8266", parts }],
        };
        let json_error = |error| SupplyError::manifest(WEB_TOOLS_FILE, ManifestError::Json(error));
        let text = serde_json::to_string_pretty(&web).map_err(json_error)? + "\n";
        self.files.insert(WEB_TOOLS_FILE.to_owned(), text.into_bytes());
        Ok(self)
    }

    /// Names of the files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Writes the folder, which must be empty or not there; the manifest comes last.
    ///
    /// # Errors
    ///
    /// When something is in the way; what was written until then stays, without a manifest.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), BundleError> {
        let error = |path: &Path| {
            let path = path.to_owned();
            |source| BundleError::Write { path, source }
        };
        fs::create_dir_all(folder).map_err(error(folder))?;
        if fs::read_dir(folder).map_err(error(folder))?.next().is_some() {
            return Err(BundleError::NotEmpty { path: folder.to_owned() });
        }
        let (manifest, others): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|(name, _)| *name == MANIFEST_FILE);
        for (name, bytes) in others.into_iter().chain(manifest) {
            let path = folder.join(name);
            let mut file = fs::File::create_new(&path).map_err(error(&path))?;
            file.write_all(bytes).and_then(|()| file.sync_all()).map_err(error(&path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use espbroker_virtual_device::image as virtual_image;

    use super::*;
    use crate::supply::testing::{Folder, Signer, day};

    fn firmware(target: Target, version: &str) -> Firmware {
        let bytes = virtual_image::filler(target, version).unwrap();
        Firmware::check("test".to_owned(), bytes, Path::new("test")).unwrap()
    }

    fn bundle(images: &[(Target, &str)]) -> Result<Bundle, SupplyError> {
        let images = images.iter().map(|(target, version)| firmware(*target, version)).collect();
        Bundle::of_images(images, Version::new(0, 1, 0), day("2027-01-31"))
    }

    #[test]
    fn a_folder_of_images_is_a_release_once_it_is_signed_and_a_browser_can_flash_it() {
        let folder = Folder::new();
        let path = folder.path().join("release");
        bundle(&[(Target::Esp8266, "0.2.0"), (Target::Virtual, "0.2.0")]).unwrap().write(&path).unwrap();
        let web: serde_json::Value =
            serde_json::from_slice(&fs::read(path.join(WEB_TOOLS_FILE)).unwrap()).unwrap();
        assert_eq!(
            web,
            serde_json::json!({
                "name": "espbroker",
                "version": "0.2.0",
                "new_install_prompt_erase": true,
                "builds": [{
                    "chipFamily": "ESP8266",
                    "parts": [{ "path": "espbroker-0.2.0-esp8266.bin", "offset": 0 }],
                }],
            })
        );
        let signer = Signer::new("2029-06-30");
        let judge = signer.judge("2027-02-01");
        let unsigned = Release::open(&path, &judge).unwrap();
        assert!(!unsigned.is_trusted());
        let signature = signer.sign(&fs::read(path.join(MANIFEST_FILE)).unwrap());
        fs::write(path.join(SIGNATURE_FILE), signature).unwrap();
        let release = Release::open(&path, &judge).unwrap();
        release.check().unwrap();
        let bytes = release.firmware(Target::Virtual).unwrap().bytes;
        assert!(bytes == firmware(Target::Virtual, "0.2.0").bytes);

        let copy = folder.path().join("copy");
        Bundle::of_release(&release).unwrap().write(&copy).unwrap();
        Release::open(&copy, &judge).unwrap().check().unwrap();
        let names = |path: &Path| fs::read_dir(path).unwrap().count();
        assert_eq!((names(&path), names(&copy)), (5, 5));
    }

    #[test]
    fn without_an_image_for_the_chip_there_is_nothing_for_a_browser() {
        let bundle = bundle(&[(Target::Virtual, "0.2.0")]).unwrap();
        assert!(!bundle.files().any(|name| name == WEB_TOOLS_FILE));
    }

    #[test]
    fn images_that_do_not_belong_together_and_folders_in_use_are_refused() {
        let error = |images| match bundle(images) {
            Err(SupplyError::Bundle(error)) => error,
            other => panic!("{other:?}"),
        };
        assert!(matches!(
            error(&[(Target::Virtual, "0.2.0"), (Target::Virtual, "0.2.0")]),
            BundleError::Twice { target: Target::Virtual }
        ));
        assert!(matches!(
            error(&[(Target::Virtual, "0.2.0"), (Target::Esp8266, "0.2.1")]),
            BundleError::Versions { .. }
        ));
        assert!(matches!(error(&[(Target::Virtual, "tuesday")]), BundleError::Version { .. }));
        let folder = Folder::new();
        folder.write("notes.txt", b"mine");
        let written = bundle(&[(Target::Virtual, "0.2.0")]).unwrap().write(folder.path());
        assert!(matches!(written, Err(BundleError::NotEmpty { .. })));
    }
}
