//! What a panic leaves for the next start: where it was and the beginning of what it said.
//!
//! [`Record`], 128 bytes: magic, a sum over the rest, the length of the text, the text. RTC memory keeps its bytes over
//! every restart but a loss of power, after which they are random: the sum tells.

use core::{fmt, str};

const MAGIC: u32 = u32::from_le_bytes(*b"EBcr");
/// Bytes of text.
const TEXT: usize = 116;
/// Words of a record.
pub(crate) const WORDS: usize = 32;

/// Text that ends where there is no more room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    text: [u8; TEXT],
    length: usize,
}

impl Record {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self { text: [0; TEXT], length: 0 }
    }

    /// What was written; a character that was cut is left out.
    pub(crate) fn text(&self) -> &str {
        let bytes = self.text.get(..self.length).unwrap_or_default();
        match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let sound = bytes.get(..error.valid_up_to()).unwrap_or_default();
                str::from_utf8(sound).unwrap_or_default()
            }
        }
    }

    /// The record as it is kept.
    pub(crate) fn words(&self) -> [u32; WORDS] {
        let mut words = [0; WORDS];
        let [magic, sum, length, rest @ ..] = &mut words;
        *magic = MAGIC;
        *length = u32::try_from(self.length).unwrap_or(0);
        for (word, bytes) in rest.iter_mut().zip(self.text.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        *sum = fnv1a(*length, rest);
        words
    }

    /// Reads a record; `None` if these words are something else.
    pub(crate) fn read(words: &[u32; WORDS]) -> Option<Self> {
        let [MAGIC, sum, length, rest @ ..] = words else { return None };
        let mut record = Self::new();
        record.length = usize::try_from(*length).ok().filter(|length| *length <= TEXT)?;
        for (bytes, word) in record.text.as_chunks_mut().0.iter_mut().zip(rest) {
            *bytes = word.to_le_bytes();
        }
        (*sum == fnv1a(*length, rest)).then_some(record)
    }
}

impl fmt::Write for Record {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.text.get_mut(self.length..).unwrap_or_default();
        let length = text.len().min(room.len());
        for (to, from) in room.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        self.length += length;
        Ok(())
    }
}

/// FNV-1a, by words.
fn fnv1a(length: u32, words: &[u32]) -> u32 {
    [length].iter().chain(words).fold(0x811C_9DC5, |sum, word| (sum ^ word).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::*;

    #[test]
    fn what_was_written_is_read_after_the_restart() {
        let mut record = Record::new();
        write!(record, "src/node.rs:{}: memory allocation of {} bytes failed", 12, 536).unwrap();
        let read = Record::read(&record.words()).unwrap();
        assert_eq!(read.text(), "src/node.rs:12: memory allocation of 536 bytes failed");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut record = Record::new();
        write!(record, "{}ä and more", "x".repeat(TEXT - 1)).unwrap();
        assert_eq!(record.text(), "x".repeat(TEXT - 1));
    }

    #[test]
    fn random_words_are_no_record() {
        let mut record = Record::new();
        record.write_str("panic").unwrap();
        let words = record.words();
        for index in 0..WORDS {
            let mut damaged = words;
            damaged[index] ^= 0x0001_0000;
            assert_eq!(Record::read(&damaged), None, "word {index}");
        }
        assert_eq!(Record::read(&[0; WORDS]), None);
        assert_eq!(Record::read(&[u32::MAX; WORDS]), None);
    }
}
