//! What the project's stub says of itself.

/// The first four bytes of the answer: nobody else gives them.
const MAGIC: [u8; 4] = *b"EBS1";

/// The answer to STUB_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StubInfo {
    /// Of the commands that other stubs do not know.
    pub version: u16,
    /// Bytes of requests, unescaped and with their eight bytes of header, that may be without an answer at a time.
    pub receive_window: u32,
    /// Bytes in one block of a flash write at most.
    pub block_max: u32,
}

/// Why an answer to STUB_INFO is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StubInfoError {
    /// Not 16 bytes.
    #[error("stub information has a wrong length: {0}")]
    Length(usize),
    /// Another beginning.
    #[error("stub information begins with other bytes than `EBS1`")]
    Magic,
    /// No request fits.
    #[error("stub has no room for a request: window {window}, block {block}")]
    Window {
        /// As stated.
        window: u32,
        /// As stated.
        block: u32,
    },
}

impl StubInfo {
    /// The smallest block and window that make sense: one block with its 24 bytes of headers.
    const SMALLEST_BLOCK: u32 = 64;

    /// Takes the answer's data apart.
    ///
    /// # Errors
    /// [`StubInfoError`] when it is not that.
    pub fn parse(data: &[u8]) -> Result<Self, StubInfoError> {
        let data: [u8; 16] = data.try_into().map_err(|_| StubInfoError::Length(data.len()))?;
        let [a, b, c, d, v0, v1, _, _, w0, w1, w2, w3, b0, b1, b2, b3] = data;
        if [a, b, c, d] != MAGIC {
            return Err(StubInfoError::Magic);
        }
        let window = u32::from_le_bytes([w0, w1, w2, w3]);
        let block = u32::from_le_bytes([b0, b1, b2, b3]);
        if block < Self::SMALLEST_BLOCK || window < block.saturating_add(24) {
            return Err(StubInfoError::Window { window, block });
        }
        Ok(Self { version: u16::from_le_bytes([v0, v1]), receive_window: window, block_max: block })
    }

    /// The answer's data.
    pub fn to_bytes(&self) -> [u8; 16] {
        let [v0, v1] = self.version.to_le_bytes();
        let [w0, w1, w2, w3] = self.receive_window.to_le_bytes();
        let [b0, b1, b2, b3] = self.block_max.to_le_bytes();
        let [a, b, c, d] = MAGIC;
        [a, b, c, d, v0, v1, 0, 0, w0, w1, w2, w3, b0, b1, b2, b3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_the_round_trip_and_nonsense_is_refused() {
        let info = StubInfo { version: 1, receive_window: 12_288, block_max: 4096 };
        let bytes = info.to_bytes();
        assert_eq!(bytes[..6], *b"EBS1\x01\x00");
        assert_eq!(StubInfo::parse(&bytes), Ok(info));
        assert_eq!(StubInfo::parse(&bytes[..15]), Err(StubInfoError::Length(15)));
        assert_eq!(StubInfo::parse(&[0; 16]), Err(StubInfoError::Magic));
        let narrow = StubInfo { receive_window: 100, block_max: 100, ..info };
        assert_eq!(
            StubInfo::parse(&narrow.to_bytes()),
            Err(StubInfoError::Window { window: 100, block: 100 })
        );
    }
}
