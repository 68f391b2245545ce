//! [`Everyone`]: accounts of a broker that lets anybody in.

use espbroker_broker::{Access, Anonymous, LogIn, Permission, Settings, UserId};

/// Nobody has an account.
pub(crate) struct Everyone;

impl Access for Everyone {
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

/// The device's own limits, and nobody has to log in.
pub(crate) fn settings() -> Settings {
    Settings { anonymous: Anonymous::Allowed, ..Settings::default() }
}
