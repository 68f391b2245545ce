//! A hash of a message, for those that remember what was sent without keeping it.

/// FNV-1a of 32 bits (RFC 9923) over the topic, a zero byte, which no topic has, and the payload.
pub(crate) fn hash(topic: &[u8], payload: &[u8]) -> u32 {
    let bytes = topic.iter().chain(&[0]).chain(payload);
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // RFC 9923 has 0xe40c292c for "a" and 0xbf9cf968 for "foobar"; one more byte 0 multiplies once more.
        for (text, expected) in [("a", 0xe40c_292c_u32), ("foobar", 0xbf9c_f968)] {
            assert_eq!(hash(text.as_bytes(), b""), expected.wrapping_mul(0x0100_0193));
        }
        assert_ne!(hash(b"foo", b"bar"), hash(b"foob", b"ar"));
    }
}
