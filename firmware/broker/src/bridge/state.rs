//! [`BridgeState`]: what there is to say about a bridge, for status lines and `$SYS`.

use core::fmt;

use espbroker_mqtt::ConnectReturnCode;

use crate::event::OpenFailure;

/// How a bridge is doing. A failure stays until the next attempt is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeState {
    /// The first attempt is under way.
    Connecting,
    /// The other broker has accepted the bridge.
    Connected {
        /// It took the bridge for one (`try_private`), so that it does not send the bridge's own messages back.
        private: bool,
    },
    /// The last attempt or the last link ended like this; there will be another attempt, save after
    /// [`BridgeFailure::TlsNotSupported`].
    Failed(BridgeFailure),
}

impl fmt::Display for BridgeState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => formatter.write_str("connecting"),
            Self::Connected { private: true } => formatter.write_str("connected as a bridge"),
            Self::Connected { private: false } => formatter.write_str("connected as an ordinary client"),
            Self::Failed(failure) => write!(formatter, "{failure}"),
        }
    }
}

/// Why a bridge is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeFailure {
    /// The host's name has no address.
    NameNotFound,
    /// The host is there and nothing listens on the port.
    Refused,
    /// There is no way to the host.
    Unreachable,
    /// The network or the broker did not answer: to the opening, to CONNECT or to PINGREQ.
    TimedOut,
    /// The connection could not be opened for another reason.
    NotOpened,
    /// The other side closed the connection without an answer to CONNECT.
    ClosedBeforeConnack,
    /// The connection was up and ended.
    ConnectionLost,
    /// The other side sent what is not MQTT, or what a server does not send.
    ProtocolViolated,
    /// CONNACK 1: MQTT 3.1.1 is not spoken there.
    ProtocolRefused,
    /// CONNACK 2: the client identifier is not allowed.
    IdentifierRejected,
    /// CONNACK 3: the broker has no room.
    ServerUnavailable,
    /// CONNACK 4: wrong user name or password.
    BadCredentials,
    /// CONNACK 5: the bridge may not connect. mosquitto 2 says this for a wrong password, too.
    NotAuthorized,
    /// TLS was asked for, which there is not.
    TlsNotSupported,
}

impl BridgeFailure {
    /// What a CONNACK that refuses means; `None` for one that accepts.
    pub(crate) const fn from_code(code: ConnectReturnCode) -> Option<Self> {
        Some(match code {
            ConnectReturnCode::Accepted => return None,
            ConnectReturnCode::UnacceptableProtocolVersion => Self::ProtocolRefused,
            ConnectReturnCode::IdentifierRejected => Self::IdentifierRejected,
            ConnectReturnCode::ServerUnavailable => Self::ServerUnavailable,
            ConnectReturnCode::BadUserNameOrPassword => Self::BadCredentials,
            ConnectReturnCode::NotAuthorized => Self::NotAuthorized,
        })
    }

    /// Does it stay until somebody changes a setting, so that there is no use in a quick next attempt. Many wrong
    /// passwords in a row also make some brokers lock the account or the address.
    pub(crate) const fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::ProtocolRefused | Self::IdentifierRejected | Self::BadCredentials | Self::NotAuthorized
        )
    }
}

impl From<OpenFailure> for BridgeFailure {
    fn from(failure: OpenFailure) -> Self {
        match failure {
            OpenFailure::NameNotFound => Self::NameNotFound,
            OpenFailure::Refused => Self::Refused,
            OpenFailure::Unreachable => Self::Unreachable,
            OpenFailure::TimedOut => Self::TimedOut,
            OpenFailure::Other => Self::NotOpened,
        }
    }
}

impl core::error::Error for BridgeFailure {}

impl fmt::Display for BridgeFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NameNotFound => "host name not found",
            Self::Refused => "connection refused",
            Self::Unreachable => "host unreachable",
            Self::TimedOut => "no answer in time",
            Self::NotOpened => "connection not opened",
            Self::ClosedBeforeConnack => "connection closed without an answer",
            Self::ConnectionLost => "connection lost",
            Self::ProtocolViolated => "the other side does not keep to MQTT",
            Self::ProtocolRefused => "protocol version refused",
            Self::IdentifierRejected => "client identifier rejected",
            Self::ServerUnavailable => "broker unavailable",
            Self::BadCredentials => "wrong user name or password",
            Self::NotAuthorized => "not authorized",
            Self::TlsNotSupported => "TLS is not supported",
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_refusal_of_the_account_is_lasting_and_one_for_want_of_room_is_not() {
        use ConnectReturnCode::*;
        for (code, failure, lasting) in [
            (UnacceptableProtocolVersion, BridgeFailure::ProtocolRefused, true),
            (IdentifierRejected, BridgeFailure::IdentifierRejected, true),
            (ServerUnavailable, BridgeFailure::ServerUnavailable, false),
            (BadUserNameOrPassword, BridgeFailure::BadCredentials, true),
            (NotAuthorized, BridgeFailure::NotAuthorized, true),
        ] {
            assert_eq!(BridgeFailure::from_code(code), Some(failure));
            assert_eq!(failure.is_lasting(), lasting);
        }
        assert_eq!(BridgeFailure::from_code(Accepted), None);
    }

    #[test]
    fn a_state_says_how_the_bridge_is_doing() {
        let failed = BridgeState::Failed(OpenFailure::NameNotFound.into());
        assert_eq!(failed.to_string(), "host name not found");
        assert_eq!(BridgeState::Connected { private: true }.to_string(), "connected as a bridge");
    }
}
