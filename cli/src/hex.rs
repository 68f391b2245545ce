//! Bytes as hex digits and back.

/// Exactly `LENGTH` bytes from hex digits; `None` for anything else.
pub(crate) fn array<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    bytes(text)?.try_into().ok()
}

/// Any number of bytes from pairs of hex digits; `None` for anything else.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        })
        .collect()
}

/// Lower-case hex digits with `separator` between the bytes.
pub(crate) fn to_hex(bytes: &[u8], separator: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_lengths_and_foreign_letters_are_refused() {
        assert_eq!(bytes("00fF"), Some(vec![0, 255]));
        assert_eq!(bytes("00f"), None);
        assert_eq!(bytes("g0"), None);
        assert_eq!(array::<1>("0001"), None);
    }

    #[test]
    fn digits_are_lower_case_pairs() {
        assert_eq!(to_hex(&[0, 255], ":"), "00:ff");
    }
}
