//! [`Packed`]: text that is kept in words, its beginning perhaps somewhere else.
//!
//! The chip has to put together from single bytes whatever may lie across two words, so texts that are compared with
//! every message are words themselves. The last one is filled up with zeros, which no text of MQTT has in it (MQTT 3.1.1
//! §1.5.3).

use alloc::{string::String, vec::Vec};
use core::{iter::Chain, slice::Iter};

/// Bytes of a word.
pub(crate) const WORD: usize = size_of::<u32>();

/// The words of a text, the last one filled up with zeros.
#[inline]
pub(crate) fn words(text: &[u8]) -> impl Iterator<Item = u32> {
    let (whole, rest) = text.as_chunks::<WORD>();
    let last = (!rest.is_empty())
        .then(|| rest.iter().rev().fold(0, |word, byte| word << u8::BITS | u32::from(*byte)));
    whole.iter().map(|word| u32::from_le_bytes(*word)).chain(last)
}

/// A text, of which the words of `head` come before those of `tail`. Only the last word of all may have zeros.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packed<'a> {
    pub(crate) head: &'a [u32],
    pub(crate) tail: &'a [u32],
}

impl<'a> Packed<'a> {
    /// All words.
    pub(crate) fn words(self) -> impl Iterator<Item = u32> {
        self.head.iter().chain(self.tail).copied()
    }

    /// Number of words.
    pub(crate) const fn count(self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Without so many words at the front.
    pub(crate) fn behind(self, words: usize) -> Self {
        match self.head.get(words..) {
            Some(head) => Self { head, ..self },
            None => Self { head: &[], tail: self.tail.get(words - self.head.len()..).unwrap_or_default() },
        }
    }

    /// All bytes.
    pub(crate) fn bytes(self) -> Text<'a> {
        Text { words: self.head.iter().chain(self.tail), word: 0 }
    }

    /// Number of bytes.
    pub(crate) fn length(self) -> usize {
        let zeros = self.words().last().map_or(0, |word| word.leading_zeros() / u8::BITS);
        self.count() * WORD - usize::try_from(zeros).unwrap_or(0)
    }

    /// Is this the text.
    pub(crate) fn is(self, text: &[u8]) -> bool {
        words(text).eq(self.words())
    }

    /// A copy of the text, empty if it was none.
    pub(crate) fn to_text(self) -> String {
        let mut bytes = Vec::with_capacity(self.length());
        bytes.extend(self.bytes());
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// The bytes of a text that is kept in words.
pub(crate) struct Text<'a> {
    words: Chain<Iter<'a, u32>, Iter<'a, u32>>,
    /// What is left of the present word.
    word: u32,
}

impl Iterator for Text<'_> {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        if self.word == 0 {
            self.word = *self.words.next()?;
        }
        let [byte, ..] = self.word.to_le_bytes();
        self.word >>= u8::BITS;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_wherever_it_is_cut() {
        for text in ["", "a", "abc", "abcd", "abcde", "house/kitchen/lamp"] {
            let all: Vec<u32> = words(text.as_bytes()).collect();
            for place in 0..=all.len() {
                let (head, tail) = all.split_at(place);
                let packed = Packed { head, tail };
                assert_eq!((packed.to_text().as_str(), packed.length()), (text, text.len()));
                assert!(packed.is(text.as_bytes()) && !packed.is(b"house"));
                for count in 0..=all.len() {
                    assert!(packed.behind(count).words().eq(all[count..].iter().copied()));
                }
            }
        }
    }
}
