//! Wi-Fi names and passphrases as people write and read them.

use alloc::string::String;
use core::{fmt, str::FromStr};

use zeroize::Zeroize;

use crate::{model::Passphrase, secret::Secret};

/// Most bytes of a network's name (IEEE 802.11 §9.4.2.2).
pub const SSID_MAX: usize = 32;

/// A network's name as one line of text.
///
/// UTF-8 is shown as it is; what does not print, backslashes and bytes that are no UTF-8 are escaped, so that two
/// names that look the same are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssid<'a>(pub &'a [u8]);

impl fmt::Display for Ssid<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    // Quotes need no escape: the text does not end at them.
                    '"' | '\'' => fmt::Write::write_char(formatter, character)?,
                    _ => write!(formatter, "{}", character.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(formatter, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Why text is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassphraseError {
    /// It is not 8-63 characters long, nor 64 hex digits.
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// It has characters that are not printable ASCII.
    NotAscii,
}

impl fmt::Display for PassphraseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("passphrase must be 8-63 printable ASCII characters or 64 hex digits: ")?;
        match self {
            Self::Length { length } => write!(formatter, "{length} bytes"),
            Self::NotAscii => formatter.write_str("not printable ASCII"),
        }
    }
}

impl core::error::Error for PassphraseError {}

/// Takes 64 hex digits as the key itself and everything else as a passphrase, as `wpa_supplicant` and access points
/// do; the two cannot be mistaken for each other, since a passphrase ends at 63 characters.
impl FromStr for Passphrase {
    type Err = PassphraseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(key) = key(text) {
            return Ok(Self::Key(key));
        }
        check_passphrase(text)?;
        Ok(Self::Text(Secret::new(String::from(text))))
    }
}

/// `Ok` for 8-63 printable ASCII characters (IEEE 802.11 annex J.4).
///
/// # Errors
///
/// [`PassphraseError`] for anything else.
pub(crate) fn check_passphrase(text: &str) -> Result<(), PassphraseError> {
    match text.len() {
        _ if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => Err(PassphraseError::NotAscii),
        8..=63 => Ok(()),
        length => Err(PassphraseError::Length { length }),
    }
}

/// The key that 64 hex digits stand for.
fn key(text: &str) -> Option<Secret<[u8; 32]>> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let (pairs, _) = digits.as_chunks::<2>();
    let mut key = [0; 32];
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => *byte = high << 4 | low,
            _ => {
                key.zeroize();
                return None;
            }
        }
    }
    let secret = Secret::new(key);
    key.zeroize();
    Some(secret)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use super::{PassphraseError, Ssid};
    use crate::model::Passphrase;

    #[test]
    fn an_ssid_is_shown_as_text_with_everything_invisible_escaped() {
        assert_eq!(Ssid("Büro \"5\"".as_bytes()).to_string(), "Büro \"5\"");
        assert_eq!(Ssid(b"a\tb\\c\0").to_string(), r"a\tb\\c\0");
        assert_eq!(Ssid(b"\xFFx\xC3").to_string(), r"\xffx\xc3");
        assert_eq!(Ssid("a\u{200b}b".as_bytes()).to_string(), r"a\u{200b}b", "a zero-width space shows");
        assert_eq!(Ssid(b"").to_string(), "");
    }

    #[test]
    fn text_of_8_to_63_characters_is_a_passphrase() {
        for length in [8, 63] {
            let text = "p".repeat(length);
            let Ok(Passphrase::Text(found)) = text.parse() else { panic!("{length} characters") };
            assert_eq!(found.expose(), &text);
        }
        for length in [0, 7, 64, 65] {
            assert_eq!("p".repeat(length).parse::<Passphrase>(), Err(PassphraseError::Length { length }));
        }
    }

    #[test]
    fn text_of_64_hex_digits_is_the_key() {
        let Ok(Passphrase::Key(key)) = "0123456789abcdefABCDEF".repeat(3)[..64].parse() else {
            panic!("a key")
        };
        assert_eq!(key.expose()[..11], [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF]);
        let sixty_three: String = "0".repeat(63);
        assert!(matches!(sixty_three.parse(), Ok(Passphrase::Text(_))));
    }

    #[test]
    fn characters_outside_printable_ascii_are_named_but_not_shown() {
        for text in ["schlüssel", "tab\tinside", "delete\x7f1"] {
            let error = text.parse::<Passphrase>().unwrap_err();
            assert_eq!(error, PassphraseError::NotAscii);
            assert!(!error.to_string().contains(text));
        }
    }
}
