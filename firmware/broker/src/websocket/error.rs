//! [`WebSocketError`]: why a WebSocket fails, and what the client is told.

use core::fmt;

use super::{Scratch, frame, write};

/// Why the opening handshake was refused or the WebSocket failed. The connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocketError {
    /// Bytes that are not an HTTP request (RFC 9112); answered with 400.
    NotHttp,
    /// A request of more than 8,192 bytes; answered with 431.
    RequestTooLong,
    /// Another method than GET; answered with 405.
    Method,
    /// Another path than `/mqtt`; answered with 404.
    Path,
    /// HTTP older than 1.1 (RFC 6455 §4.2.1); answered with 400.
    HttpVersion,
    /// Not exactly one Host (RFC 9112 §3.2); answered with 400.
    Host,
    /// A request with a body, which would be taken for frames; answered with 400.
    Body,
    /// No upgrade to `websocket` (RFC 6455 §4.2.1); answered with 426.
    NotUpgrade,
    /// Another version of WebSocket than 13 (RFC 6455 §4.4); answered with 426.
    Version,
    /// Not exactly one key of 16 bytes in base64 (RFC 6455 §4.2.1); answered with 400.
    Key,
    /// Neither `mqtt` nor `mqttv3.1` is offered (MQTT 3.1.1 §6, \[MQTT-6.0.0-3\]); answered with 400.
    Subprotocol,
    /// A frame without a mask (RFC 6455 §5.1); answered with 1002.
    Unmasked,
    /// A reserved bit is set without an extension that gives it a meaning (RFC 6455 §5.2); answered with 1002.
    ReservedBits,
    /// A reserved opcode (RFC 6455 §5.2); answered with 1002.
    Opcode,
    /// A continuation with nothing to continue (RFC 6455 §5.4); answered with 1002.
    Continuation,
    /// A new message inside a fragmented one (RFC 6455 §5.4); answered with 1002.
    Interleaved,
    /// A length in more bytes than it needs (RFC 6455 §5.2); answered with 1002.
    LengthNotMinimal,
    /// A length with its highest bit set (RFC 6455 §5.2); answered with 1002.
    Length,
    /// A control frame in fragments (RFC 6455 §5.5); answered with 1002.
    FragmentedControl,
    /// A control frame of more than 125 bytes (RFC 6455 §5.5); answered with 1002.
    ControlTooLong,
    /// A closing frame whose body is half a status code (RFC 6455 §5.5.1); answered with 1002.
    TruncatedCloseCode,
    /// A closing frame with a status code that must not be sent (RFC 6455 §7.4); answered with 1002.
    CloseCode(u16),
    /// A closing frame whose reason is not UTF-8 (RFC 6455 §5.5.1); answered with 1007.
    CloseReasonNotUtf8,
    /// A text frame (MQTT 3.1.1 §6, \[MQTT-6.0.0-1\]); answered with 1003.
    Text,
}

/// How a client hears of it.
enum Answer {
    /// Status and further header lines.
    Http(&'static str, &'static str),
    /// A closing frame with this status code.
    Close(u16),
}

impl WebSocketError {
    /// What is to be sent before the connection is closed: an HTTP response up to the end of the opening
    /// handshake, a closing frame after it.
    pub(crate) fn answer(self, scratch: &mut Scratch) -> &[u8] {
        const ABOUT: &str = "; this is MQTT over WebSocket at /mqtt\n";
        let length = match self.kind() {
            Answer::Http(status, lines) => {
                let reason = self.text();
                let body = reason.len() + ABOUT.len();
                write(
                    scratch,
                    format_args!(
                        "HTTP/1.1 {status}\r\n{lines}Connection: close\r\nContent-Type: text/plain\r\n\
                         Content-Length: {body}\r\n\r\n{reason}{ABOUT}"
                    ),
                )
            }
            Answer::Close(code) => frame::put(scratch, &frame::closing(code)),
        };
        scratch.get(..length).unwrap_or_default()
    }

    fn kind(self) -> Answer {
        match self {
            Self::NotHttp | Self::HttpVersion | Self::Host | Self::Body | Self::Key | Self::Subprotocol => {
                Answer::Http("400 Bad Request", "")
            }
            Self::Path => Answer::Http("404 Not Found", ""),
            Self::Method => Answer::Http("405 Method Not Allowed", "Allow: GET\r\n"),
            // RFC 9110 §15.5.22 asks for Upgrade, §7.8 then for the Connection that belongs to it, and RFC 6455
            // §4.4 for the version.
            Self::NotUpgrade | Self::Version => Answer::Http(
                "426 Upgrade Required",
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
            ),
            Self::RequestTooLong => Answer::Http("431 Request Header Fields Too Large", ""),
            Self::Unmasked
            | Self::ReservedBits
            | Self::Opcode
            | Self::Continuation
            | Self::Interleaved
            | Self::LengthNotMinimal
            | Self::Length
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::TruncatedCloseCode
            | Self::CloseCode(_) => Answer::Close(1002),
            Self::Text => Answer::Close(1003),
            Self::CloseReasonNotUtf8 => Answer::Close(1007),
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NotHttp => "not an HTTP request",
            Self::RequestTooLong => "request longer than 8192 bytes",
            Self::Method => "method is not GET",
            Self::Path => "path is not /mqtt",
            Self::HttpVersion => "older than HTTP/1.1",
            Self::Host => "not exactly one Host",
            Self::Body => "request with a body",
            Self::NotUpgrade => "no upgrade to websocket",
            Self::Version => "version of WebSocket is not 13",
            Self::Key => "Sec-WebSocket-Key is not 16 bytes in base64",
            Self::Subprotocol => "subprotocol mqtt is not offered",
            Self::Unmasked => "frame without a mask",
            Self::ReservedBits => "reserved bit of a frame is set",
            Self::Opcode => "reserved opcode",
            Self::Continuation => "continuation frame with nothing to continue",
            Self::Interleaved => "new message inside a fragmented one",
            Self::LengthNotMinimal => "frame length in more bytes than it needs",
            Self::Length => "frame length with its highest bit set",
            Self::FragmentedControl => "control frame in fragments",
            Self::ControlTooLong => "control frame longer than 125 bytes",
            Self::TruncatedCloseCode => "closing frame with half a status code",
            Self::CloseCode(_) => "closing frame with status code",
            Self::CloseReasonNotUtf8 => "reason in a closing frame is not UTF-8",
            Self::Text => "text frame",
        }
    }
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())?;
        match self {
            Self::CloseCode(code) => write!(formatter, ": {code}"),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for WebSocketError {}
