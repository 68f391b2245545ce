//! The serial console: one command a line, for people with a terminal and for scripts.
//!
//! Lines end with CR, LF or both. Nothing is echoed: what comes back is text or status lines, so that a reader can
//! rely on the line structure. What was typed is never repeated either; it may have been a password in the wrong
//! window.

use alloc::vec::Vec;

use espbroker_admin::{FRAME_MAX, console};

/// Longest command line, bytes. `admin` has a bound of its own: the longest frame.
const LINE_MAX: usize = 64;

/// Answer to `help`.
pub(crate) const HELP: &str = "commands:\r\n  status   show the state of the device as status lines\r\n  restart  start the device again\r\n  help     show this\r\n";

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Status,
    Restart,
    Help,
    /// A frame of the administration.
    Admin(Vec<u8>),
    Unknown,
    TooLong,
}

/// Collects bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Console {
    line: Vec<u8>,
    /// Behind the command `admin`: what the base64 of the line has given so far. The line holds the rest.
    frame: Option<Vec<u8>>,
    too_long: bool,
}

/// Signs of base64 that are decoded at once: none of their bytes are left over.
const GROUP: usize = 4;

impl Console {
    /// Takes one byte; the last byte of a line gives what it asks for.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Request> {
        if byte != b'\r' && byte != b'\n' {
            if self.line.len() < LINE_MAX {
                self.line.push(byte);
            } else {
                self.too_long = true;
            }
            if self.frame.is_some() && self.line.len() == LINE_MAX / GROUP * GROUP {
                self.decode();
            } else if self.frame.is_none() && self.line == console::COMMAND.as_bytes() {
                self.frame = Some(Vec::new());
                self.line.clear();
            }
            return None;
        }
        if self.frame.is_some() {
            self.decode();
            let frame = self.frame.take().filter(|frame| !self.too_long && !frame.is_empty());
            self.too_long = false;
            return Some(frame.map_or(Request::Unknown, Request::Admin));
        }
        let request = match self.line.trim_ascii() {
            _ if self.too_long => Some(Request::TooLong),
            b"" => None,
            b"status" => Some(Request::Status),
            b"restart" => Some(Request::Restart),
            b"help" | b"?" => Some(Request::Help),
            _ => Some(Request::Unknown),
        };
        self.line.clear();
        self.too_long = false;
        request
    }
}

impl Console {
    /// Moves what the line holds to the frame. What is no base64, or too much of it, makes the line of no use.
    fn decode(&mut self) {
        let bytes = console::bytes(&self.line);
        self.line.clear();
        match (&mut self.frame, bytes) {
            (Some(frame), Some(bytes)) if frame.len() + bytes.len() <= FRAME_MAX => {
                frame.reserve_exact(bytes.len());
                frame.extend_from_slice(&bytes);
            }
            _ => self.too_long = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn requests(bytes: &[u8]) -> Vec<Request> {
        let mut console = Console::default();
        bytes.iter().filter_map(|&byte| console.push(byte)).collect()
    }

    #[test]
    fn commands_are_lines_with_any_line_end() {
        assert_eq!(
            requests(b"status\r\nrestart\n help \r?\r"),
            [Request::Status, Request::Restart, Request::Help, Request::Help]
        );
        assert_eq!(requests(b"\r\n\n\r  \r\nstat"), []);
        assert_eq!(requests(b"STATUS\nreboot now\n\xFF\n"), vec![Request::Unknown; 3]);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_error_and_the_next_one_works() {
        let mut bytes = vec![b'x'; LINE_MAX + 1];
        bytes.extend_from_slice(b"\nstatus\n");
        assert_eq!(requests(&bytes), [Request::TooLong, Request::Status]);
        let mut longest = vec![b' '; LINE_MAX - 6];
        longest.extend_from_slice(b"status\n");
        assert_eq!(requests(&longest), [Request::Status]);
    }

    #[test]
    fn a_frame_comes_in_base64_on_a_line_of_its_own() {
        for length in [1, 47, 48, 49, 500, FRAME_MAX] {
            let frame = vec![0xA5; length];
            let mut bytes = console::line(&frame).into_bytes();
            bytes.extend_from_slice(b"\r\nstatus\n");
            assert_eq!(requests(&bytes), [Request::Admin(frame), Request::Status], "{length}");
        }
        assert_eq!(requests(b"admin RUJ\nadmin RUI=\n").len(), 2);
        assert_eq!(requests(b"admin \nadmin !!\nadmin\n"), vec![Request::Unknown; 3]);
    }

    #[test]
    fn a_frame_that_is_too_long_is_one_error_and_takes_no_more_memory() {
        let mut console = Console::default();
        let bytes = [console::line(&vec![7; FRAME_MAX + 100]).into_bytes(), vec![b'A'; 9000]].concat();
        for byte in bytes {
            assert_eq!(console.push(byte), None);
            assert!(console.frame.as_ref().is_none_or(|frame| frame.capacity() <= FRAME_MAX));
        }
        assert_eq!(console.push(b'\n'), Some(Request::Unknown));
        assert_eq!(requests(b"help\n"), [Request::Help]);
    }

    proptest! {
        #[test]
        fn any_bytes_give_at_most_one_request_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let lines = bytes.iter().filter(|&&byte| byte == b'\r' || byte == b'\n').count();
            prop_assert!(requests(&bytes).len() <= lines);
        }
    }
}
