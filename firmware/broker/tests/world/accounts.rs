//! [`Accounts`]: users for tests, all with the password `secret`.

use espbroker_broker::{Access, LogIn, Permission, Rights, UserId};

/// A user that was never handed out makes this panic.
#[derive(Clone, Default)]
pub(crate) struct Accounts {
    users: Vec<(String, Vec<Permission>)>,
    everybody: Vec<Permission>,
}

impl Accounts {
    /// Adds a user with these permissions, none for all.
    pub(crate) fn user(mut self, name: &str, permissions: &[(&str, Rights)]) -> Self {
        self.users.push((name.into(), list(permissions)));
        self
    }

    /// What clients without an account may do.
    pub(crate) fn everybody(mut self, permissions: &[(&str, Rights)]) -> Self {
        self.everybody = list(permissions);
        self
    }
}

fn list(permissions: &[(&str, Rights)]) -> Vec<Permission> {
    permissions.iter().map(|&(pattern, rights)| Permission { pattern: pattern.into(), rights }).collect()
}

impl Access for Accounts {
    fn log_in(&self, user_name: &str, password: Option<&[u8]>) -> LogIn {
        match self.find(user_name) {
            None => LogIn::UnknownUser,
            Some(user) if password == Some(b"secret") => LogIn::Granted(user),
            Some(_) => LogIn::BadCredentials,
        }
    }

    fn permissions(&self, user: Option<UserId>) -> &[Permission] {
        user.map_or(&self.everybody, |user| &self.users[usize::from(user.0)].1)
    }

    fn find(&self, user_name: &str) -> Option<UserId> {
        let index = self.users.iter().position(|(name, _)| name == user_name)?;
        Some(UserId(u8::try_from(index).unwrap()))
    }

    fn user_name(&self, user: UserId) -> &str {
        &self.users[usize::from(user.0)].0
    }
}
