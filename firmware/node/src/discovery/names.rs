//! Reading DNS messages (RFC 1035 §4.1) as far as multicast DNS needs: names, questions, records.
//!
//! Every read is bounded: a compression pointer leads backwards only, and no name is longer than the 255 bytes of RFC
//! 1035 §2.3.4.

use alloc::{string::String, vec::Vec};

/// Bytes before the first question.
pub const HEADER_LENGTH: usize = 12;
/// Flag in a header: this is an answer (QR).
pub const ANSWER: u16 = 0x8000;
/// Bits of a header that say what kind of question it is; 0 for an ordinary one.
pub const OPCODE: u16 = 0x7800;

/// Address of a host.
pub const A: u16 = 1;
/// Name of something.
pub const PTR: u16 = 12;
/// Key and value pairs.
pub const TXT: u16 = 16;
/// Host and port of a service.
pub const SRV: u16 = 33;
/// All types.
pub const ANY: u16 = 255;

/// Longest name.
const NAME_MAX: usize = 255;

/// Numbers of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the asker; 0 in multicasts.
    pub id: u16,
    /// QR, opcode and the rest.
    pub flags: u16,
    /// Number of questions.
    pub questions: u16,
    /// Number of answers, authorities and additional records.
    pub records: [u16; 3],
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// In lower case, labels separated by dots, without one at the end.
    pub name: String,
    /// Type of record.
    pub kind: u16,
    /// Class, with the highest bit for "answer me alone" (RFC 6762 §5.4).
    pub class: u16,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where the name begins.
    pub name: usize,
    /// Type.
    pub kind: u16,
    /// Seconds for which it may be believed.
    pub time_to_live: u32,
    /// Where the data begins.
    pub data: usize,
    /// Bytes of data.
    pub length: usize,
}

/// Reads through a message from its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of a message.
    pub const fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    /// Reads on from another place of the same message.
    pub const fn at(self, at: usize) -> Self {
        Self { message: self.message, at }
    }

    /// Takes the header.
    pub fn header(&mut self) -> Option<Header> {
        Some(Header {
            id: self.number()?,
            flags: self.number()?,
            questions: self.number()?,
            records: [self.number()?, self.number()?, self.number()?],
        })
    }

    /// Takes a question.
    pub fn question(&mut self) -> Option<Question> {
        Some(Question { name: self.name()?, kind: self.number()?, class: self.number()? })
    }

    /// Takes a record.
    pub fn record(&mut self) -> Option<Record> {
        let name = self.at;
        self.name()?;
        let kind = self.number()?;
        let _class = self.number()?;
        let time_to_live = u32::from(self.number()?) << 16 | u32::from(self.number()?);
        let length = usize::from(self.number()?);
        let data = self.at;
        self.take(length)?;
        Some(Record { name, kind, time_to_live, data, length })
    }

    /// Takes a name; what is not text in it becomes `?`.
    pub fn name(&mut self) -> Option<String> {
        let mut name = Vec::new();
        let mut at = self.at;
        let mut bound = self.message.len();
        let mut jumped = false;
        loop {
            let length = *self.message.get(at)?;
            match length {
                0 => {
                    at += 1;
                    break;
                }
                1..=63 => {
                    let label = self.message.get(at + 1..at + 1 + usize::from(length))?;
                    if !name.is_empty() {
                        name.push(b'.');
                    }
                    name.extend(label.iter().map(u8::to_ascii_lowercase));
                    if name.len() > NAME_MAX {
                        return None;
                    }
                    at += 1 + usize::from(length);
                }
                192.. => {
                    let low = *self.message.get(at + 1)?;
                    if !jumped {
                        self.at = at + 2;
                        bound = at;
                        jumped = true;
                    }
                    at = usize::from(u16::from_be_bytes([length & 0x3F, low]));
                    if at >= bound {
                        return None;
                    }
                    bound = at;
                }
                _ => return None,
            }
        }
        if !jumped {
            self.at = at;
        }
        Some(String::from_utf8(name).unwrap_or_else(|_| String::from("?")))
    }

    /// Takes a number of 16 bits.
    pub fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes(*bytes.first_chunk()?))
    }

    /// Takes so many bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.message.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(bytes)
    }
}

/// Writes a name, label by label; each must have 1-63 bytes.
pub fn write_name(message: &mut Vec<u8>, labels: &[&str]) {
    for label in labels {
        // Names of devices have at most 32 bytes, and the others are in this file's crate.
        message.push(u8::try_from(label.len()).unwrap_or_default());
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
}
