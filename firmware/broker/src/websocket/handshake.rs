//! [`Handshake`]: the client's opening handshake, and the answer that accepts it.
//!
//! Implements RFC 6455 §4.2 on a request of HTTP/1.1 (RFC 9112), with the subprotocol of MQTT 3.1.1 §6. The request
//! is not collected: byte by byte it leaves nothing but the word being read, the key, and what is known so far, so
//! that a browser with many cookies costs no more memory than a sensor. What is wrong with the grammar ends it at
//! once; what is wrong with the contents is told when the whole request was read, because a browser shows an answer
//! only then.
//!
//! Left out: Origin, since CONNECT decides who may do what; Sec-WebSocket-Extensions, none of which is agreed to;
//! percent-encoding in the path; line ends without CR; folded lines, which RFC 9112 §5.2 lets a server refuse.

use base64ct::{Base64, Encoding as _};
use sha1::{Digest as _, Sha1};

use super::{
    Scratch, WebSocketError,
    word::{Field, Word, is_token},
    write,
};

/// Most bytes of a request.
const REQUEST_MAX: u16 = 8192;
/// What is appended to a key before it is hashed (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What is known of a request whose end has not arrived.
pub(super) struct Handshake {
    part: Part,
    word: Word,
    field: Field,
    /// Bytes so far.
    length: u16,
    /// The first reason against the request line, or the body.
    refusal: Option<WebSocketError>,
    host: Single<()>,
    upgrade: bool,
    connection: bool,
    version: Single<()>,
    key: Single<[u8; 24]>,
    subprotocol: Option<Subprotocol>,
}

/// An acceptable opening handshake.
pub(super) struct Upgrade {
    key: [u8; 24],
    subprotocol: Subprotocol,
}

/// What the next byte belongs to.
#[derive(Clone, Copy)]
enum Part {
    Method,
    Target,
    /// Host and port in a target of the absolute form (RFC 9112 §3.2.2).
    Authority,
    Query,
    Version,
    /// LF, after CR.
    LineEnd,
    /// A header name, or the CR of the empty line.
    Line,
    Name,
    Value,
    /// LF of the empty line.
    End,
}

/// Something that must be there exactly once.
#[derive(Clone, Copy)]
enum Single<T> {
    Missing,
    Once(T),
    /// More than once, or with a wrong value.
    Wrong,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Subprotocol {
    Mqtt,
    /// For clients of MQTT 3.1; mosquitto takes it, too.
    MqttV31,
}

impl Handshake {
    pub(super) const fn new() -> Self {
        Self {
            part: Part::Method,
            word: Word::EMPTY,
            field: Field::Other,
            length: 0,
            refusal: None,
            host: Single::Missing,
            upgrade: false,
            connection: false,
            version: Single::Missing,
            key: Single::Missing,
            subprotocol: None,
        }
    }

    /// Takes bytes of the request from the front of `input`, and none behind its end; `None` when `input` is used
    /// up. After the end or an error it is of no use.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Upgrade>, WebSocketError> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if self.length == REQUEST_MAX {
                return Err(WebSocketError::RequestTooLong);
            }
            self.length += 1;
            if matches!((self.part, byte), (Part::End, b'\n')) {
                return self.judge().map(Some);
            }
            self.part = self.step(byte)?;
        }
        Ok(None)
    }

    /// Takes one byte; what the next one belongs to.
    fn step(&mut self, byte: u8) -> Result<Part, WebSocketError> {
        Ok(match (self.part, byte) {
            (Part::Method, b' ') if !self.word.is_empty() => {
                if !self.word.take().is(b"GET") {
                    self.refuse(WebSocketError::Method);
                }
                Part::Target
            }
            (Part::Target, b'/') if self.word.is_any_case(b"http:/") || self.word.is_any_case(b"https:/") => {
                self.word.take();
                Part::Authority
            }
            (Part::Authority, b'/') => {
                self.word.push(byte);
                Part::Target
            }
            (Part::Target | Part::Authority, b'?' | b' ') => {
                if !self.word.take().is(b"/mqtt") {
                    self.refuse(WebSocketError::Path);
                }
                if byte == b'?' { Part::Query } else { Part::Version }
            }
            (Part::Query, b' ') => Part::Version,
            (Part::Version, b'\r') => {
                let version = self.word.take().http_version().ok_or(WebSocketError::NotHttp)?;
                if version < (b'1', b'1') {
                    self.refuse(WebSocketError::HttpVersion);
                }
                Part::LineEnd
            }
            (Part::LineEnd, b'\n') => Part::Line,
            (Part::Line, b'\r') => Part::End,
            (Part::Name, b':') => {
                self.field = self.word.take().field();
                if let Field::Host = self.field {
                    self.host.add(Some(()));
                }
                Part::Value
            }
            (Part::Value, b',') => {
                self.end_element();
                Part::Value
            }
            (Part::Value, b'\r') => {
                self.end_element();
                Part::LineEnd
            }
            (Part::Value, b' ' | b'\t') => {
                self.word.push_space();
                Part::Value
            }
            (Part::Authority | Part::Query, b'!'..=b'~') => self.part,
            (Part::Target | Part::Version, b'!'..=b'~') | (Part::Value, b'!'..=b'~' | 0x80..) => {
                self.word.push(byte);
                self.part
            }
            (Part::Method, _) if is_token(byte) => {
                self.word.push(byte);
                Part::Method
            }
            (Part::Line | Part::Name, _) if is_token(byte) => {
                self.word.push(byte);
                Part::Name
            }
            _ => return Err(WebSocketError::NotHttp),
        })
    }

    fn refuse(&mut self, refusal: WebSocketError) {
        self.refusal.get_or_insert(refusal);
    }

    /// Ends an element of a header's value. In a list, an empty one matters as little as a strange one.
    fn end_element(&mut self) {
        let word = self.word.take();
        match self.field {
            Field::Upgrade => self.upgrade |= word.is_any_case(b"websocket"),
            Field::Connection => self.connection |= word.is_any_case(b"upgrade"),
            Field::ContentLength if word.is(b"0") => {}
            Field::ContentLength | Field::TransferEncoding => self.refuse(WebSocketError::Body),
            Field::Version => self.version.add(word.is(b"13").then_some(())),
            Field::Key => self.key.add(word.key()),
            Field::Subprotocol if word.is(b"mqtt") => self.subprotocol = Some(Subprotocol::Mqtt),
            Field::Subprotocol if word.is(b"mqttv3.1") => {
                self.subprotocol.get_or_insert(Subprotocol::MqttV31);
            }
            Field::Subprotocol | Field::Host | Field::Other => {}
        }
    }

    /// Judges a whole request.
    fn judge(&self) -> Result<Upgrade, WebSocketError> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let Single::Once(()) = self.host else { return Err(WebSocketError::Host) };
        if !(self.upgrade && self.connection) {
            return Err(WebSocketError::NotUpgrade);
        }
        let Single::Once(()) = self.version else { return Err(WebSocketError::Version) };
        let Single::Once(key) = self.key else { return Err(WebSocketError::Key) };
        let subprotocol = self.subprotocol.ok_or(WebSocketError::Subprotocol)?;
        Ok(Upgrade { key, subprotocol })
    }
}

impl<T> Single<T> {
    /// Takes note of one more; `None` for a wrong value.
    fn add(&mut self, value: Option<T>) {
        *self = match (&self, value) {
            (Self::Missing, Some(value)) => Self::Once(value),
            _ => Self::Wrong,
        };
    }
}

impl Upgrade {
    /// Writes the answer to the front of `scratch`.
    pub(super) fn answer<'a>(&self, scratch: &'a mut Scratch) -> &'a [u8] {
        let digest = Sha1::new().chain_update(self.key).chain_update(GUID).finalize();
        let mut accept = [0; 28];
        // 28 characters are what 20 bytes need.
        let accept = Base64::encode(&digest, &mut accept).unwrap_or_default();
        let subprotocol = match self.subprotocol {
            Subprotocol::Mqtt => "mqtt",
            Subprotocol::MqttV31 => "mqttv3.1",
        };
        let length = write(
            scratch,
            format_args!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
            ),
        );
        scratch.get(..length).unwrap_or_default()
    }
}
