//! [`Access`]: who may connect. Accounts and password hashes belong to the caller.

/// The caller's accounts.
pub trait Access {
    /// Judges a user name and password from a CONNECT. Not asked when there is no user name:
    /// [`crate::Settings::anonymous`] decides that.
    fn log_in(&self, user_name: &str, password: Option<&[u8]>) -> LogIn;
}

/// What [`Access::log_in`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogIn {
    /// The password belongs to the user.
    Granted,
    /// There is no such user. Let in like a client without a user name where those are allowed, because some
    /// firmwares always send a built-in name; else refused exactly like [`Self::BadCredentials`].
    UnknownUser,
    /// The user exists and the password is wrong or missing: CONNACK 4.
    BadCredentials,
    /// The user may not connect: CONNACK 5.
    NotAuthorized,
}
