//! A config on trial: why one was rolled back.

use crate::words::words;

/// Why a config that was on trial was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollBack {
    /// It is not known any more, or only to a newer program.
    Unknown,
    /// The device was started again too often before the trial had ended.
    Interrupted,
    /// The Wi-Fi network was not found.
    NetworkNotFound,
    /// The Wi-Fi network refused the passphrase.
    WrongPassphrase,
    /// The Wi-Fi network gave no address.
    NoAddress,
    /// The Wi-Fi network could not be joined in time, for another reason.
    NotJoined,
    /// A bridge was refused by the other broker: user name, password, or what they may do.
    BridgeRefused,
    /// A bridge was not connected in time.
    BridgeNotConnected,
    /// A port could not be opened.
    NotListening,
    /// The firmware cannot run on it.
    Invalid,
}

words!(RollBack {
    Unknown = 0 "unknown",
    Interrupted = 1 "interrupted",
    NetworkNotFound = 2 "network-not-found",
    WrongPassphrase = 3 "wrong-passphrase",
    NoAddress = 4 "no-address",
    NotJoined = 5 "not-joined",
    BridgeRefused = 6 "bridge-refused",
    BridgeNotConnected = 7 "bridge-not-connected",
    NotListening = 8 "not-listening",
    Invalid = 9 "invalid",
});
