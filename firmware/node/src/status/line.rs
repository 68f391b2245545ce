//! The syntax of a status line: marker, words, percent-encoding, check sum.
//!
//! `@eb <kind>( <key>=<value>)* *<crc>`: the check sum is CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF) in four
//! hex digits over everything from the marker up to the space before `*`. Space, `%`, `*`, `=`, `@` and all bytes
//! outside printable ASCII are percent-encoded (RFC 3986 §2.1), so that the marker and the separators occur nowhere
//! else, whatever a network is called.

use alloc::{string::String, vec::Vec};
use core::{fmt, str};

const MARKER: &[u8] = b"@eb ";

/// A status line that did not arrive whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusError {
    /// Cut short: no check sum at the end.
    NoChecksum,
    /// Some bytes arrived wrong.
    Checksum {
        /// At the end of the line.
        stated: u16,
        /// Of the bytes that arrived.
        found: u16,
    },
    /// The check sum is right and the words are not of the form above.
    Malformed,
}

impl fmt::Display for StatusError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChecksum => formatter.write_str("status line without check sum"),
            Self::Checksum { stated, found } => {
                write!(formatter, "status line damaged: check sum {stated:04x}, calculated {found:04x}")
            }
            Self::Malformed => formatter.write_str("status line not in the form key=value"),
        }
    }
}

impl core::error::Error for StatusError {}

/// Builds one line.
pub(crate) struct Writer(String);

impl Writer {
    pub(crate) fn new(kind: &str) -> Self {
        let mut writer = Self(String::from("@eb "));
        writer.encoded(kind.as_bytes());
        writer
    }

    pub(crate) fn field(&mut self, key: &str, value: impl AsRef<[u8]>) {
        self.0.push(' ');
        self.encoded(key.as_bytes());
        self.0.push('=');
        self.encoded(value.as_ref());
    }

    pub(crate) fn finish(mut self) -> String {
        let crc = crc16(self.0.as_bytes());
        self.0.push_str(" *");
        self.0.push_str(&hex::to_text(&crc.to_be_bytes()));
        self.0.push_str("\r\n");
        self.0
    }

    fn encoded(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'*' | b'=' | b'@') {
                self.0.push(char::from(byte));
            } else {
                self.0.push('%');
                self.0.push_str(&hex::to_text(&[byte]));
            }
        }
    }
}

/// Kind and fields of one line, decoded.
type Words = (String, Vec<(String, Vec<u8>)>);

/// Takes a line apart; `Ok(None)` where the marker is missing.
pub(crate) fn read(line: &[u8]) -> Result<Option<Words>, StatusError> {
    let Some(start) = line.windows(MARKER.len()).rposition(|window| window == MARKER) else {
        return Ok(None);
    };
    let line = line.get(start..).unwrap_or_default().trim_ascii_end();
    let (body, checksum) = line.split_last_chunk::<6>().ok_or(StatusError::NoChecksum)?;
    let digits = checksum.strip_prefix(b" *").ok_or(StatusError::NoChecksum)?;
    let stated = u16::from_be_bytes(hex::from_text(digits).ok_or(StatusError::NoChecksum)?);
    let found = crc16(body);
    if stated != found {
        return Err(StatusError::Checksum { stated, found });
    }

    let text = body.strip_prefix(MARKER).ok_or(StatusError::Malformed)?;
    let mut words = text.split(|&byte| byte == b' ');
    let kind = words.next().and_then(name).ok_or(StatusError::Malformed)?;
    let fields = words.map(field).collect::<Option<_>>().ok_or(StatusError::Malformed)?;
    Ok(Some((kind, fields)))
}

fn field(word: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut parts = word.splitn(2, |&byte| byte == b'=');
    Some((name(parts.next()?)?, decoded(parts.next()?)?))
}

fn name(word: &[u8]) -> Option<String> {
    String::from_utf8(decoded(word)?).ok().filter(|name| !name.is_empty())
}

fn decoded(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some((&first, rest)) = text.split_first() {
        if first == b'%' {
            let (digits, rest) = rest.split_at_checked(2)?;
            bytes.extend_from_slice(&hex::from_text::<1>(digits)?);
            text = rest;
        } else {
            bytes.push(first);
            text = rest;
        }
    }
    Some(bytes)
}

/// Decoded fields of one line; the first of equal keys counts.
pub(crate) struct Fields<'a>(pub(crate) &'a [(String, Vec<u8>)]);

impl<'a> Fields<'a> {
    pub(crate) fn value(&self, key: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_slice())
    }

    pub(crate) fn is(&self, key: &str, value: &str) -> bool {
        self.value(key) == Some(value.as_bytes())
    }

    pub(crate) fn parsed<T: str::FromStr>(&self, key: &str) -> Option<T> {
        str::from_utf8(self.value(key)?).ok()?.parse().ok()
    }
}

/// Bytes as lower-case hex digits.
pub(crate) mod hex {
    use alloc::string::String;

    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    pub(crate) fn to_text(bytes: &[u8]) -> String {
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('?', char::from);
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect()
    }

    /// `None` unless there are exactly `2 * N` hex digits of either case.
    pub(crate) fn from_text<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
        let (pairs, rest) = text.as_chunks::<2>();
        if pairs.len() != N || !rest.is_empty() {
            return None;
        }
        let mut bytes = [0; N];
        for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(high)? << 4 | nibble(low)?;
        }
        Some(bytes)
    }

    fn nibble(digit: u8) -> Option<u8> {
        char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
    }
}

/// CRC-16/CCITT-FALSE. Bit by bit: a line is short and a table would cost 512 bytes of memory on the chip.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, &byte| {
        (0..8).fold(
            crc ^ u16::from(byte) << 8,
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_sum_is_the_catalogued_one() {
        // Check value of CRC-16/IBM-3740, also called CCITT-FALSE, in the reveng catalogue.
        assert_eq!(crc16(b"123456789"), 0x29B1);
    }

    #[test]
    fn hex_takes_only_the_exact_number_of_digits() {
        assert_eq!(hex::from_text(b"1aF0"), Some([0x1A, 0xF0]));
        for wrong in [&b"1a"[..], b"1af", b"1af00", b"1ag0", b"+1f0", b""] {
            assert_eq!(hex::from_text::<2>(wrong), None, "{wrong:?}");
        }
    }
}
