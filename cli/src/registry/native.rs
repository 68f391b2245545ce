//! The keyrings of macOS (Keychain) and Windows (Credential Manager), through the crate `keyring`.
//!
//! Built on Linux for the tests only, where that crate has nothing but an imitation; never tried on the systems that it is
//! for.

use espbroker_config::secret::Secret;
use keyring::{Entry, Error};

use super::keyring::{Keyring, KeyringError};

/// Under which all devices are.
const SERVICE: &str = "espbroker";

/// The keyring of the user who is logged in.
pub(super) struct Native;

fn entry(mac: &str) -> Result<Entry, KeyringError> {
    Entry::new(SERVICE, mac).map_err(|error| failed(&error))
}

fn failed(error: &Error) -> KeyringError {
    // Some of its errors hold the secret that they are about; what they say of themselves does not.
    KeyringError::System(error.to_string())
}

impl Keyring for Native {
    fn save(&self, mac: &str, secret: &Secret<String>) -> Result<(), KeyringError> {
        entry(mac)?.set_password(secret.expose()).map_err(|error| failed(&error))
    }

    fn load(&self, mac: &str) -> Result<Option<Secret<String>>, KeyringError> {
        match entry(mac)?.get_password() {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// The entry `espbroker` with this name as its account.
    fn named(&self, name: &str) -> Result<Option<Secret<String>>, KeyringError> {
        self.load(name)
    }

    fn remove(&self, mac: &str) -> Result<(), KeyringError> {
        match entry(mac)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }
}

#[cfg(all(test, not(any(target_os = "macos", windows))))]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_none_and_can_be_removed() {
        assert!(Native.save("5ccf7f000001", &Secret::new("sesame".to_owned())).is_ok());
        // The imitation keeps nothing beyond one entry.
        assert_eq!(Native.load("5ccf7f000002").unwrap(), None);
        assert!(Native.remove("5ccf7f000003").is_ok());
    }
}
