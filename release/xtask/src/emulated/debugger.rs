//! [`Debugger`]: reads and changes the board's memory while it runs, through QEMU's debugger port.
//!
//! Implements the few packets of the GDB Remote Serial Protocol that this takes: interrupt, `m`, `M`, `c`.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use super::start::Word;
use crate::process::Failure;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes read with one packet; QEMU's packets hold 4,096 characters.
const PIECE: usize = 1024;

/// A debugger of a board that runs, but while it is being looked at.
pub(crate) struct Debugger(TcpStream);

impl Debugger {
    /// Attaches, which stops the board, and lets it go on.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub(crate) fn attach(port: u16) -> Result<Self, Failure> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut debugger = Self(stream);
        debugger.send("?")?;
        debugger.receive()?;
        debugger.send("c")?;
        Ok(debugger)
    }

    /// Stops the board, looks and changes, and lets it go on.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer, as when the board has ended.
    pub(crate) fn stopped<T>(
        &mut self,
        act: impl FnOnce(&mut Stopped<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.0.write_all(&[0x03])?;
        let answer = self.receive()?;
        if !answer.starts_with(['T', 'S']) {
            return Err(format!("the board does not stop: `{answer}`").into());
        }
        let result = act(&mut Stopped(self));
        self.send("c")?;
        result
    }

    /// Reads a word.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub(crate) fn word(&mut self, word: Word) -> Result<u32, Failure> {
        self.stopped(|board| board.word(word))
    }

    fn send(&mut self, body: &str) -> Result<(), Failure> {
        Ok(self.0.write_all(packet(body).as_bytes())?)
    }

    /// The next packet's body.
    fn receive(&mut self) -> Result<String, Failure> {
        let mut body = Vec::new();
        // What comes before are acknowledgements.
        while self.byte()? != b'$' {}
        loop {
            match self.byte()? {
                b'#' => break,
                byte => body.push(byte),
            }
        }
        // TCP loses nothing, so the check sum is passed over.
        self.byte()?;
        self.byte()?;
        self.0.write_all(b"+")?;
        Ok(String::from_utf8(body)?)
    }

    fn byte(&mut self) -> Result<u8, Failure> {
        let mut byte = [0];
        self.0.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

/// A board that stands still.
pub(crate) struct Stopped<'a>(&'a mut Debugger);

impl Stopped<'_> {
    /// The answer to a question; QEMU may tell more than once that the board has stopped.
    fn ask(&mut self, question: &str) -> Result<String, Failure> {
        self.0.send(question)?;
        loop {
            let answer = self.0.receive()?;
            if !answer.starts_with(['T', 'S']) {
                return Ok(answer);
            }
        }
    }

    /// Reads memory.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer, or the board has no memory there.
    pub(crate) fn read(&mut self, address: u32, length: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let piece = PIECE.min(length - bytes.len());
            let at = address + u32::try_from(bytes.len())?;
            let answer = self.ask(&format!("m{at:x},{piece:x}"))?;
            let read = hex(&answer).filter(|read| read.len() == piece);
            bytes.extend(read.ok_or_else(|| format!("no memory at {at:#x}: `{answer}`"))?);
        }
        Ok(bytes)
    }

    /// Reads a word of the start block.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub(crate) fn word(&mut self, word: Word) -> Result<u32, Failure> {
        let bytes = self.read(word.address(), 4)?;
        Ok(bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).unwrap_or_default())
    }

    /// Changes a word of the start block.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub(crate) fn set(&mut self, word: Word, value: u32) -> Result<(), Failure> {
        match self.ask(&format!("M{:x},4:{:08x}", word.address(), value.swap_bytes()))?.as_str() {
            "OK" => Ok(()),
            other => Err(format!("memory was not changed: `{other}`").into()),
        }
    }
}

/// A packet with its check sum.
fn packet(body: &str) -> String {
    let sum = body.bytes().fold(0_u8, u8::wrapping_add);
    format!("${body}#{sum:02x}")
}

/// Bytes from their digits.
fn hex(text: &str) -> Option<Vec<u8>> {
    let (digits, []) = text.as_bytes().as_chunks::<2>() else { return None };
    digits
        .iter()
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_ends_in_the_sum_of_its_bytes() {
        assert_eq!(packet("c"), "$c#63");
        assert_eq!(packet(""), "$#00");
        assert_eq!(packet("m603ff000,4"), "$m603ff000,4#c2");
    }

    #[test]
    fn digits_are_bytes_and_an_error_is_none() {
        assert_eq!(hex("00ff7a"), Some(vec![0, 255, 0x7a]));
        assert_eq!(hex("E01"), None);
        assert_eq!(hex("zz"), None);
    }
}
