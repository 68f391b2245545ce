//! [`PasswordHash`] in the form of mosquitto's password file: `$7$<iterations>$<salt>$<hash>`.
//!
//! PBKDF2 (RFC 8018 §5.2) with HMAC-SHA-512, one block of 64 bytes; salt and hash in padded base64 (RFC 4648 §4).
//! Left out: mosquitto's older `$6$` form, a single SHA-512, which is too fast to guess.

use alloc::{format, string::String, vec::Vec};
use core::{fmt, hint::black_box};

use base64ct::{Base64, Encoding};
use sha2::Sha512;

use crate::model::PasswordHash;

/// Iterations that mosquitto 1.6 and 2.0 write.
pub const ITERATIONS_DEFAULT: u32 = 101;
/// Most iterations taken: the default of mosquitto 2.1, so that every file written with a default can be moved here.
///
/// A log-in holds up all other clients while it is judged. Each iteration is two SHA-512 blocks, an estimated 2 ms on
/// an ESP8266 at 80 MHz: 0.2 s with our default and 2 s with this, a third of what its hardware watchdog allows.
pub const ITERATIONS_MAX: u32 = 1000;
/// Fewest bytes of salt taken.
pub const SALT_MIN: usize = 8;
/// Most bytes of salt taken, and what mosquitto 2.1 writes.
pub const SALT_MAX: usize = 64;
/// Bytes of salt that mosquitto 1.6 and 2.0 write.
pub const SALT_DEFAULT: usize = 12;

/// Why there is no password hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// The text does not begin with `$7$`.
    Form,
    /// Iterations are not 1-1,000.
    Iterations,
    /// The salt is not 8-64 bytes in base64.
    Salt,
    /// The hash is not 64 bytes in base64.
    Hash,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => formatter.write_str("password hash is not in the form $7$iterations$salt$hash"),
            Self::Iterations => {
                write!(formatter, "iterations of the password hash must be 1-{ITERATIONS_MAX}")
            }
            Self::Salt => {
                write!(formatter, "salt of the password hash must be {SALT_MIN}-{SALT_MAX} bytes in base64")
            }
            Self::Hash => formatter.write_str("password hash must be 64 bytes in base64"),
        }
    }
}

impl core::error::Error for PasswordError {}

impl PasswordHash {
    /// Hashes `password`. `salt` must be random and used for nothing else.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Iterations`] and [`PasswordError::Salt`] outside their bounds.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Result<Self, PasswordError> {
        if !(1..=ITERATIONS_MAX).contains(&iterations) {
            return Err(PasswordError::Iterations);
        }
        if !(SALT_MIN..=SALT_MAX).contains(&salt.len()) {
            return Err(PasswordError::Salt);
        }
        Ok(Self { iterations, salt: Vec::from(salt), hash: hash(password, salt, iterations) })
    }

    /// Whether `password` is the one that was hashed.
    ///
    /// The comparison takes the same time wherever the hashes differ. A hash outside its bounds matches nothing.
    pub fn verify(&self, password: &[u8]) -> bool {
        if !(1..=ITERATIONS_MAX).contains(&self.iterations) {
            return false;
        }
        let found = hash(password, &self.salt, self.iterations);
        let difference = found.iter().zip(&self.hash).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
        difference == 0
    }

    /// The text that stands behind `user:` in mosquitto's password file.
    pub fn to_text(&self) -> String {
        let salt = Base64::encode_string(&self.salt);
        let hash = Base64::encode_string(&self.hash);
        format!("$7${}${salt}${hash}", self.iterations)
    }

    /// Reads what [`PasswordHash::to_text`] or `mosquitto_passwd` wrote.
    ///
    /// # Errors
    ///
    /// [`PasswordError`] for the first part that is not as it must be.
    pub fn from_text(text: &str) -> Result<Self, PasswordError> {
        let mut parts = text.strip_prefix("$7$").ok_or(PasswordError::Form)?.split('$');
        let (Some(iterations), Some(salt), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(PasswordError::Form);
        };
        // Digits only: `parse` alone would take a sign, too.
        let iterations = Some(iterations)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .filter(|count| (1..=ITERATIONS_MAX).contains(count))
            .ok_or(PasswordError::Iterations)?;
        let mut buffer = [0; SALT_MAX];
        let salt = match Base64::decode(salt, &mut buffer) {
            Ok(salt) if salt.len() >= SALT_MIN => Vec::from(salt),
            _ => return Err(PasswordError::Salt),
        };
        let mut buffer = [0; 64];
        let hash = Base64::decode(hash, &mut buffer).map_err(|_| PasswordError::Hash)?;
        let hash = hash.try_into().map_err(|_| PasswordError::Hash)?;
        Ok(Self { iterations, salt, hash })
    }
}

fn hash(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 64] {
    pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations)
}
