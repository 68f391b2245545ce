//! The values of status lines that are single words, one enum for each key.
//!
//! A word stays for ever: a host program must understand every device that was ever set up.

use espbroker_broker::BridgeFailure;

/// Defines an enum whose variants are single words in status lines.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$meaning])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in the status line.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            pub(super) fn from_word(word: &[u8]) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word().as_bytes() == word)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str(self.word())
            }
        }
    };
}

words! {
    /// Why the chip started; the SDK's `rst_reason`.
    ResetCause {
        /// Power was applied.
        PowerOn = "power-on",
        /// The reset pin was pulled.
        External = "external",
        /// The hardware watchdog bit.
        HardwareWatchdog = "hardware-watchdog",
        /// The SDK's software watchdog bit.
        SoftwareWatchdog = "software-watchdog",
        /// A fatal exception.
        Exception = "exception",
        /// The firmware restarted itself.
        Software = "software",
        /// Wake from deep sleep.
        DeepSleep = "deep-sleep",
    }
}

words! {
    /// Calculated digest against the stated one.
    Stated {
        /// Equal: flash holds the image as it was built.
        Match = "match",
        /// Not equal: what is in flash is not what was built.
        Differs = "differs",
    }
}

words! {
    /// A config sector.
    SlotName {
        /// The first.
        A = "a",
        /// The second.
        B = "b",
    }
}

words! {
    /// Why there is no config.
    NoConfig {
        /// Both sectors are erased.
        Blank = "blank",
        /// At least one was written and is not valid, and none is of a newer format.
        Damaged = "damaged",
        /// At least one has a format that this firmware does not know.
        Newer = "newer",
        /// A slot was read whole, and a field in it is outside its bound.
        Invalid = "invalid",
        /// The flash failed while it was read.
        Unreadable = "unreadable",
    }
}

words! {
    /// What a failed or lost connection to the access point means.
    WifiReason {
        /// No access point with this name answers.
        NetworkNotFound = "network-not-found",
        /// The access point refuses the passphrase.
        WrongPassphrase = "wrong-passphrase",
        /// Joined, but no address was given in time.
        NoAddress = "no-address",
        /// The access point takes no more stations.
        AccessPointFull = "access-point-full",
        /// The access point has fallen silent.
        SignalLost = "signal-lost",
        /// The radio reported nothing in time.
        NoAnswer = "no-answer",
        /// Anything else: the code tells.
        Other = "other",
    }
}

words! {
    /// Where an address comes from.
    AddressSource {
        /// Given by the network.
        Dhcp = "dhcp",
        /// Stands in the config.
        Fixed = "fixed",
    }
}

words! {
    /// Something that clients connect to.
    Service {
        /// MQTT over TCP.
        Mqtt = "mqtt",
        /// MQTT over WebSocket.
        WebSocket = "websocket",
    }
}

words! {
    /// Why a port could not be opened.
    ListenFailure {
        /// Another program has it.
        InUse = "in-use",
        /// The platform does not allow it.
        Denied = "denied",
        /// This firmware does not have the service.
        NotSupported = "not-supported",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// Why a bridge is not connected.
    BridgeReason {
        /// The host's name has no address.
        NameNotFound = "name-not-found",
        /// The host is there and nothing listens on the port.
        Refused = "refused",
        /// There is no way to the host.
        Unreachable = "unreachable",
        /// The network or the other broker did not answer in time.
        TimedOut = "timed-out",
        /// The connection ended.
        ConnectionLost = "connection-lost",
        /// The other side closed the connection without an answer to CONNECT.
        NoAnswer = "no-answer",
        /// The other side does not keep to MQTT.
        ProtocolViolated = "protocol-violated",
        /// The other side does not speak MQTT 3.1.1.
        ProtocolRefused = "protocol-refused",
        /// The client identifier is not allowed there.
        IdentifierRejected = "identifier-rejected",
        /// The other broker has no room.
        ServerUnavailable = "server-unavailable",
        /// Wrong user name or password.
        BadCredentials = "bad-credentials",
        /// The bridge may not connect; mosquitto 2 says this for a wrong password, too.
        NotAuthorized = "not-authorized",
        /// TLS was asked for, which this firmware does not have; it does not connect without.
        TlsNotSupported = "tls-not-supported",
        /// Anything else.
        Other = "other",
    }
}

impl From<BridgeFailure> for BridgeReason {
    fn from(failure: BridgeFailure) -> Self {
        match failure {
            BridgeFailure::NameNotFound => Self::NameNotFound,
            BridgeFailure::Refused => Self::Refused,
            BridgeFailure::Unreachable => Self::Unreachable,
            BridgeFailure::TimedOut => Self::TimedOut,
            BridgeFailure::NotOpened => Self::Other,
            BridgeFailure::ClosedBeforeConnack => Self::NoAnswer,
            BridgeFailure::ConnectionLost => Self::ConnectionLost,
            BridgeFailure::ProtocolViolated => Self::ProtocolViolated,
            BridgeFailure::ProtocolRefused => Self::ProtocolRefused,
            BridgeFailure::IdentifierRejected => Self::IdentifierRejected,
            BridgeFailure::ServerUnavailable => Self::ServerUnavailable,
            BridgeFailure::BadCredentials => Self::BadCredentials,
            BridgeFailure::NotAuthorized => Self::NotAuthorized,
            BridgeFailure::TlsNotSupported => Self::TlsNotSupported,
        }
    }
}

words! {
    /// The network that clients come from.
    Mode {
        /// The configured network.
        Station = "station",
        /// The device's own access point.
        AccessPoint = "access-point",
    }
}
