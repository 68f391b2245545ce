//! The key that signs: the maintainer's, or one that exists for as long as a trial.

use std::{
    fs,
    path::{Path, PathBuf},
};

use minisign::{KeyPair, PublicKey, SecretKey};

use crate::process::Failure;

/// A secret key in memory; it is never written.
pub(super) struct SigningKey {
    secret: SecretKey,
    /// For a trial, what is compiled in instead of the project's keys.
    public: Option<[PublicKey; 2]>,
}

impl SigningKey {
    /// Reads a key as `minisign -G` wrote it; asks for the passphrase on the terminal.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let secret = SecretKey::from_file(path, None)
            .map_err(|error| format!("cannot use the secret key `{}`: {error}", path.display()))?;
        Ok(Self { secret, public: None })
    }

    /// Makes a key for one run; the second one of the program is thrown away at once.
    pub(super) fn for_test() -> Result<Self, Failure> {
        let (pair, next) =
            (KeyPair::generate_unencrypted_keypair()?, KeyPair::generate_unencrypted_keypair()?);
        Ok(Self { secret: pair.sk, public: Some([pair.pk, next.pk]) })
    }

    /// Writes the keys of a trial as `release/keys/` has them.
    pub(super) fn public_folder(&self, work: &Path) -> Result<Option<PathBuf>, Failure> {
        let Some([current, next]) = &self.public else { return Ok(None) };
        let folder = work.join("keys");
        fs::create_dir_all(&folder)?;
        for (name, key, expires) in [("current", current, "2998-12-31"), ("next", next, "2999-12-31")] {
            let text = format!("untrusted comment: test key, expires {expires}\n{}\n", key.to_base64());
            fs::write(folder.join(format!("{name}.pub")), text)?;
        }
        Ok(Some(folder))
    }

    /// Signs as `minisign -S` does, over a digest.
    pub(super) fn sign(&self, message: &[u8], file: &str) -> Result<String, Failure> {
        let comment = format!("file:{file}");
        Ok(minisign::sign(None, &self.secret, message, Some(&comment), None)?.into_string())
    }
}
