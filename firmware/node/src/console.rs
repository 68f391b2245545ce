//! The serial console: one command a line, for people with a terminal and for scripts.
//!
//! Lines end with CR, LF or both. Nothing is echoed: what comes back is text or status lines, so that a reader can
//! rely on the line structure. What was typed is never repeated either; it may have been a password in the wrong
//! window.

use alloc::vec::Vec;

/// Longest command line, bytes.
const LINE_MAX: usize = 64;

/// Answer to `help`.
pub(crate) const HELP: &str = "commands:\r\n  status   show the state of the device as status lines\r\n  restart  start the device again\r\n  help     show this\r\n";

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Status,
    Restart,
    Help,
    Unknown,
    TooLong,
}

/// Collects bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Console {
    line: Vec<u8>,
    too_long: bool,
}

impl Console {
    /// Takes one byte; the last byte of a line gives what it asks for.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Request> {
        if byte != b'\r' && byte != b'\n' {
            if self.line.len() < LINE_MAX {
                self.line.push(byte);
            } else {
                self.too_long = true;
            }
            return None;
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
        assert_eq!(requests(b"STATUS\nreboot now\n\xFF\n"), [Request::Unknown; 3]);
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

    proptest! {
        #[test]
        fn any_bytes_give_at_most_one_request_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let lines = bytes.iter().filter(|&&byte| byte == b'\r' || byte == b'\n').count();
            prop_assert!(requests(&bytes).len() <= lines);
        }
    }
}
