//! [`Word`]: the word of an HTTP request that is being read, as far as it can be one of those that matter.

/// Most characters of a word that matters: a Sec-WebSocket-Key.
const LENGTH_MAX: usize = 24;

/// A word without the space around it. One that is longer than any that matters, or has space inside, is none of
/// them, however it goes on.
#[derive(Clone, Copy)]
pub(super) struct Word {
    bytes: [u8; LENGTH_MAX],
    /// 255 once it can be none of those that matter.
    length: u8,
    /// Whether space follows what was read.
    space: bool,
}

/// A header that matters.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Host,
    Upgrade,
    Connection,
    ContentLength,
    TransferEncoding,
    Version,
    Key,
    Subprotocol,
    Other,
}

impl Word {
    pub(super) const EMPTY: Self = Self { bytes: [0; LENGTH_MAX], length: 0, space: false };

    /// The word at its end, with an empty one in its place.
    pub(super) fn take(&mut self) -> Self {
        core::mem::replace(self, Self::EMPTY)
    }

    /// Appends a character that is not space.
    pub(super) fn push(&mut self, byte: u8) {
        match self.bytes.get_mut(usize::from(self.length)) {
            Some(next) if !self.space => {
                *next = byte;
                self.length += 1;
            }
            _ => self.length = u8::MAX,
        }
    }

    /// Takes note of a space or tab.
    pub(super) fn push_space(&mut self) {
        self.space = self.length > 0;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn text(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.length))
    }

    pub(super) fn is(&self, text: &[u8]) -> bool {
        self.text() == Some(text)
    }

    pub(super) fn is_any_case(&self, text: &[u8]) -> bool {
        self.text().is_some_and(|word| word.eq_ignore_ascii_case(text))
    }

    /// The header of this name.
    pub(super) fn field(&self) -> Field {
        const FIELDS: [(&[u8], Field); 8] = [
            (b"host", Field::Host),
            (b"upgrade", Field::Upgrade),
            (b"connection", Field::Connection),
            (b"content-length", Field::ContentLength),
            (b"transfer-encoding", Field::TransferEncoding),
            (b"sec-websocket-version", Field::Version),
            (b"sec-websocket-key", Field::Key),
            (b"sec-websocket-protocol", Field::Subprotocol),
        ];
        FIELDS.iter().find(|(name, _)| self.is_any_case(name)).map_or(Field::Other, |(_, field)| *field)
    }

    /// Major and minor version of `HTTP/1.1` and its like, as digits (RFC 9112 §2.3).
    pub(super) fn http_version(&self) -> Option<(u8, u8)> {
        match self.text()? {
            [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] => {
                Some((*major, *minor))
            }
            _ => None,
        }
    }

    /// The word, if it is 16 bytes in base64 (RFC 4648 §4).
    ///
    /// Four bits of the last character mean nothing. They are not looked at: a key is not decoded, and clients that
    /// make one up from random characters would fail on them.
    pub(super) fn key(&self) -> Option<[u8; LENGTH_MAX]> {
        let digits = self.text()?.strip_suffix(b"==")?;
        let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        (digits.len() == LENGTH_MAX - 2 && digits.iter().all(is_digit)).then_some(self.bytes)
    }
}

/// Whether `byte` may stand in a method or a header name (RFC 9110 §5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
