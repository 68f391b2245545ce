//! Releases that were fetched, in the user's cache folder: a folder for each version, and one for downloads that are
//! not complete. A version's folder appears when everything in it is there and was checked; it is judged again, with
//! today's keys, each time that it is used.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use espbroker_flasher::cancel::Cancel;
use semver::Version;

use super::{
    Judge, SupplyError,
    manifest::{MANIFEST_FILE, SIGNATURE_FILE},
    release::{Place, Release},
    source::Source,
};

/// Folder of downloads that are not complete.
const PARTIAL: &str = "partial";

/// A version that is in the cache, and its release or why it cannot be used.
pub(crate) type Kept = (Version, Result<Release, SupplyError>);

/// The user's store of releases.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The one of this user: `espbroker/firmware` in the cache folder.
    ///
    /// # Errors
    ///
    /// When the user has no home.
    pub(crate) fn of_user() -> Result<Self, SupplyError> {
        use etcetera::BaseStrategy as _;
        let folders = etcetera::choose_base_strategy().map_err(|_| SupplyError::NoHome)?;
        Ok(Self { folder: folders.cache_dir().join("espbroker").join("firmware") })
    }

    #[cfg(test)]
    fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every release in it, newest first, each judged; the folder's name stands for one that cannot be used.
    ///
    /// # Errors
    ///
    /// When the folder is there and cannot be read.
    pub(crate) fn releases(&self, judge: &Judge) -> Result<Vec<Kept>, SupplyError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.error(source)),
        };
        let mut releases: Vec<Kept> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let version = path.file_name()?.to_str()?.parse::<Version>().ok()?;
                Some((version, Release::open(&path, judge)))
            })
            .collect();
        releases.sort_by(|(a, _), (b, _)| b.cmp(a));
        Ok(releases)
    }

    /// Fetches every file of a release that was judged, and keeps the release; `release` has no files yet.
    ///
    /// # Errors
    ///
    /// When a file cannot be had or is wrong; what was kept before is as it was, and downloads go on the next time.
    pub(crate) fn fetch(
        &self,
        source: &Source,
        release: Release,
        cancel: &Cancel,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Release, SupplyError> {
        let error = |source| self.error(source);
        let partial = self.folder.join(PARTIAL);
        fs::create_dir_all(&partial).map_err(error)?;
        // Not named as a version, so that nobody takes it for one.
        let staging = tempfile::Builder::new().prefix("incoming-").tempdir_in(&self.folder).map_err(error)?;
        for part in release.manifest.parts() {
            let path = partial.join(String::from(part.sha256));
            source.part(part, &path, cancel, &mut |done, total| progress(&part.file, done, total))?;
            fs::copy(&path, staging.path().join(&part.file)).map_err(error)?;
        }
        if let Some(signature) = &release.signature {
            write(&staging.path().join(SIGNATURE_FILE), signature.as_bytes()).map_err(error)?;
        }
        write(&staging.path().join(MANIFEST_FILE), &release.manifest_bytes).map_err(error)?;
        let staged = Release { place: Place::Folder(staging.path().to_owned()), ..release };
        staged.check().map_err(|error| error.found_at(source.name()))?;
        let folder = self.folder.join(staged.manifest.version.to_string());
        match fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(self.error(source)),
            _ => {}
        }
        fs::rename(staging.path(), &folder).map_err(error)?;
        for part in staged.manifest.parts() {
            // Only room is lost when it stays.
            let _ = fs::remove_file(partial.join(String::from(part.sha256)));
        }
        Ok(Release { place: Place::Folder(folder), ..staged })
    }

    fn error(&self, source: io::Error) -> SupplyError {
        SupplyError::Cache { folder: self.folder.display().to_string(), source }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::supply::{
        manifest::Manifest,
        testing::{Folder, Server, Signer, Vice, image, manifest},
    };

    struct Shop {
        signer: Signer,
        home: Folder,
    }

    impl Shop {
        fn new() -> Self {
            Self { signer: Signer::new("2029-06-30"), home: Folder::new() }
        }

        fn cache(&self) -> Cache {
            Cache::at(self.home.path().join("firmware"))
        }

        fn judge(&self) -> Judge {
            self.signer.judge("2027-02-01")
        }

        fn fetch(&self, folder: &Folder, vice: Vice) -> Result<Release, SupplyError> {
            let server = Server::start(folder.files(), vice);
            let source = Source::new(server.address(), Duration::from_secs(20)).unwrap();
            let (bytes, signature) = source.manifest()?;
            let place = Place::Folder(PathBuf::new());
            let release = Release::judge(bytes, signature, &self.judge(), place)?;
            self.cache().fetch(&source, release, &Cancel::default(), &mut |_, _, _| {})
        }

        fn versions(&self) -> Vec<String> {
            let releases = self.cache().releases(&self.judge()).unwrap();
            releases.into_iter().filter(|(_, release)| release.is_ok()).map(|(v, _)| v.to_string()).collect()
        }

        fn release(&self, version: &str) -> Folder {
            let image = image(version);
            let folder = Folder::new();
            folder.write("image.bin", &image);
            folder.sign(&self.signer, &manifest(version, &[("image.bin", 0, &image)]));
            folder
        }
    }

    #[test]
    fn what_was_fetched_is_there_newest_first_and_judged_each_time() {
        let shop = Shop::new();
        assert!(shop.versions().is_empty());
        for version in ["0.2.0", "0.10.0", "0.3.0"] {
            shop.fetch(&shop.release(version), Vice::None).unwrap().check().unwrap();
        }
        assert_eq!(shop.versions(), ["0.10.0", "0.3.0", "0.2.0"]);
        let late = shop.signer.judge("2029-07-01");
        assert!(shop.cache().releases(&late).unwrap().iter().all(|(_, release)| release.is_err()));
        let left: Vec<_> = fs::read_dir(shop.cache().folder().join(PARTIAL)).unwrap().collect();
        assert!(left.is_empty());
    }

    #[test]
    fn a_fetch_that_fails_leaves_what_was_there_and_goes_on_the_next_time() {
        let shop = Shop::new();
        let release = shop.release("0.2.0");
        shop.fetch(&release, Vice::None).unwrap();
        assert!(shop.fetch(&shop.release("0.3.0"), Vice::HangsUp(10_000)).is_err());
        assert_eq!(shop.versions(), ["0.2.0"]);
        let entries = fs::read_dir(shop.cache().folder()).unwrap().count();
        assert_eq!(entries, 2, "the version and the folder of partial downloads");
        shop.fetch(&shop.release("0.3.0"), Vice::None).unwrap();
        assert_eq!(shop.versions(), ["0.3.0", "0.2.0"]);
        // The same version once more.
        shop.fetch(&release, Vice::None).unwrap();
        assert_eq!(shop.versions(), ["0.3.0", "0.2.0"]);
    }

    #[test]
    fn a_release_whose_files_are_right_and_whose_image_is_not_is_not_kept() {
        let shop = Shop::new();
        let folder = Folder::release(&shop.signer, &image("9.9.9"));
        assert!(matches!(shop.fetch(&folder, Vice::None), Err(SupplyError::OtherVersion { .. })));
        assert!(shop.versions().is_empty());
        let bytes = fs::read(folder.path().join(MANIFEST_FILE)).unwrap();
        assert!(Manifest::parse(&bytes, &Version::new(0, 1, 0)).is_ok());
    }
}
