//! Generated passwords, password hashes, and the private file that a generated password is saved in.

use std::{
    io,
    path::{Path, PathBuf},
};

use espbroker_config::{model::PasswordHash, secret::Secret};

use crate::{private_file, settings::SettingsError};

/// Iterations that mosquitto itself uses for `$7$`; each log-in on the chip costs this many rounds.
const ITERATIONS: u32 = 101;

/// Salt bytes that every mosquitto with `$7$` accepts.
const SALT_LENGTH: usize = 12;

/// Letters of a generated password: no pairs that look alike (0/O, 1/l/I), 32 of them, so five bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Letters in a generated password: 100 bits.
const PASSWORD_LENGTH: usize = 20;

/// Fills an array from the operating system.
///
/// # Errors
///
/// When it has no random numbers.
pub(crate) fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], SettingsError> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|_| SettingsError::Random)?;
    Ok(bytes)
}

/// Makes a password of 100 random bits.
///
/// # Errors
///
/// When the operating system has no random numbers.
pub(crate) fn generate() -> Result<Secret<String>, SettingsError> {
    let letters = random::<PASSWORD_LENGTH>()?
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter))
        .collect();
    Ok(Secret::new(letters))
}

/// Hashes `password` with a new salt.
///
/// # Errors
///
/// When the password is empty or the operating system has no random numbers.
pub(crate) fn hash(password: &Secret<String>) -> Result<PasswordHash, SettingsError> {
    if password.expose().is_empty() {
        return Err(SettingsError::SecretForm { field: "password".to_owned(), problem: "must not be empty" });
    }
    let salt = random::<SALT_LENGTH>()?;
    PasswordHash::derive(password.expose().as_bytes(), &salt, ITERATIONS)
        .map_err(|_| SettingsError::SecretForm { field: "password".to_owned(), problem: "cannot be hashed" })
}

/// Where generated passwords are kept: `espbroker` in the user's data folder.
pub(crate) fn folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    etcetera::choose_base_strategy().ok().map(|strategy| strategy.data_dir().join("espbroker"))
}

/// Name of the file that the password of this device is saved in.
pub(crate) fn file_name(device: &str) -> String {
    format!("{device}.password")
}

/// Saves a password so that only this user can read it, replacing an older one of the same device.
///
/// # Errors
///
/// When the folder or file cannot be written; an older file is then still whole.
pub(crate) fn save(folder: &Path, device: &str, password: &Secret<String>) -> io::Result<PathBuf> {
    private_file::create_folder(folder)?;
    let path = folder.join(file_name(device));
    private_file::replace(&path, format!("{}\n", password.expose()).as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_generated_password_is_long_varied_and_verifies_against_its_hash() {
        let password = generate().unwrap();
        assert_eq!(password.expose().len(), PASSWORD_LENGTH);
        assert_ne!(password, generate().unwrap());
        let hash = hash(&password).unwrap();
        assert!(hash.verify(password.expose().as_bytes()));
        assert!(!hash.verify(b"wrong"));
    }

    #[cfg(unix)]
    #[test]
    fn a_saved_password_is_private_and_replaces_the_older_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "hall", &Secret::new("first".to_owned())).unwrap();
        let path = save(folder.path(), "hall", &Secret::new("second".to_owned())).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
