//! CONNACK (MQTT 3.1.1 §3.2): the server's answer to CONNECT.

use crate::{
    malformed::Malformed,
    reader::Reader,
    writer::{EncodeError, Writer},
};

/// Connect return code (§3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectReturnCode {
    /// The client is connected.
    Accepted = 0,
    /// The server does not speak this protocol level.
    UnacceptableProtocolVersion = 1,
    /// The client identifier is not allowed.
    IdentifierRejected = 2,
    /// The server has no room.
    ServerUnavailable = 3,
    /// Wrong user name or password.
    BadUserNameOrPassword = 4,
    /// The client may not connect.
    NotAuthorized = 5,
}

impl ConnectReturnCode {
    /// The code with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Accepted,
            1 => Self::UnacceptableProtocolVersion,
            2 => Self::IdentifierRejected,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }

    /// 0 to 5.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// The server's answer to CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack {
    /// The server kept a session for this client identifier; only with [`ConnectReturnCode::Accepted`].
    pub session_present: bool,
    /// Accepted, or why not.
    pub return_code: ConnectReturnCode,
}

impl Connack {
    pub(crate) const BODY_LENGTH: usize = 2;

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let flags = reader.byte()?;
        if flags & !1 != 0 {
            return Err(Malformed::ConnackFlags(flags));
        }
        let number = reader.byte()?;
        let return_code =
            ConnectReturnCode::from_number(number).ok_or(Malformed::ConnackReturnCode(number))?;
        if flags == 1 && return_code != ConnectReturnCode::Accepted {
            return Err(Malformed::SessionPresentWithRefusal);
        }
        Ok(Self { session_present: flags == 1, return_code })
    }

    pub(crate) fn write_body(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.session_present && self.return_code != ConnectReturnCode::Accepted {
            return Err(EncodeError::SessionPresentWithRefusal);
        }
        writer.bytes(&[u8::from(self.session_present), self.return_code.number()])
    }
}
