//! [`Access`]: who may connect, and what they may read and write. Accounts and password hashes belong to the caller.

use alloc::boxed::Box;

/// The caller's accounts.
pub trait Access {
    /// Judges a user name and password from a CONNECT. Not asked when there is no user name:
    /// [`crate::Settings::anonymous`] decides that.
    fn log_in(&self, user_name: &str, password: Option<&[u8]>) -> LogIn;

    /// What a user may do; `None` is everybody without an account. An empty list allows everything.
    ///
    /// Asked for every message from and to a client whose list was not empty when it connected.
    fn permissions(&self, user: Option<UserId>) -> &[Permission];

    /// The account with this name.
    fn find(&self, user_name: &str) -> Option<UserId>;

    /// The user's name, for `%u` in permissions.
    fn user_name(&self, user: UserId) -> &str;
}

/// [`Access`] without accounts: everybody is a client without an account, who may do everything if
/// [`crate::Settings::anonymous`] lets them in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoAccounts;

impl Access for NoAccounts {
    fn log_in(&self, _: &str, _: Option<&[u8]>) -> LogIn {
        LogIn::UnknownUser
    }

    fn permissions(&self, _: Option<UserId>) -> &[Permission] {
        &[]
    }

    fn find(&self, _: &str) -> Option<UserId> {
        None
    }

    fn user_name(&self, _: UserId) -> &str {
        ""
    }
}

/// The caller's number for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u8);

/// What [`Access::log_in`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogIn {
    /// The password belongs to the user.
    Granted(UserId),
    /// There is no such user. Let in like a client without a user name where those are allowed, because some
    /// firmwares always send a built-in name; else refused exactly like [`Self::BadCredentials`].
    UnknownUser,
    /// The user exists and the password is wrong or missing: CONNACK 4.
    BadCredentials,
    /// The user may not connect: CONNACK 5.
    NotAuthorized,
}

/// One line of a user's permissions.
///
/// A message may be written to a topic if a line with that right matches it and no line that denies does. The same
/// goes for reading, which is judged for every message; a SUBSCRIBE is answered with 0x80 if its filter matches
/// nothing that may be read, or only what is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// A topic filter, in which `%u` stands for the user name and `%c` for the client identifier. A name that is not
    /// there, or holds `/`, `+` or `#`, matches nothing.
    pub pattern: Box<str>,
    /// What may be done there.
    pub rights: Rights,
}

/// What may be done with topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Subscribe and receive.
    Read,
    /// Publish.
    Write,
    /// Both.
    ReadWrite,
    /// Neither, whatever other lines say.
    Deny,
}
