//! Who may log in: the users in the config, judged by their password hashes.

use alloc::vec::Vec;

use espbroker_broker::{Access, LogIn};
use espbroker_config::model::User;

/// The accounts of one config.
#[derive(Debug)]
pub(crate) struct Users(pub(crate) Vec<User>);

impl Access for Users {
    fn log_in(&self, user_name: &str, password: Option<&[u8]>) -> LogIn {
        let found = self.0.iter().find(|user| user.name == user_name);
        // The time of an answer must not tell which names exist, so an unknown one costs a hash as well.
        let judged = found.or(self.0.first());
        let right = judged.zip(password).is_some_and(|(user, password)| user.password.verify(password));
        match (found, right) {
            (Some(_), true) => LogIn::Granted,
            (Some(_), false) => LogIn::BadCredentials,
            (None, _) => LogIn::UnknownUser,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use espbroker_config::model::PasswordHash;

    use super::*;

    #[test]
    fn only_the_right_password_of_a_known_user_lets_in() {
        let user = |name: &str, password: &[u8]| {
            User::new(name, PasswordHash::derive(password, b"saltsalt", 2).unwrap())
        };
        let users = Users(vec![user("anna", b"first"), user("bert", b"second")]);
        assert_eq!(users.log_in("anna", Some(b"first")), LogIn::Granted);
        assert_eq!(users.log_in("bert", Some(b"second")), LogIn::Granted);
        assert_eq!(users.log_in("anna", Some(b"second")), LogIn::BadCredentials);
        assert_eq!(users.log_in("anna", None), LogIn::BadCredentials);
        assert_eq!(users.log_in("carl", Some(b"first")), LogIn::UnknownUser);
        assert_eq!(Users(Vec::new()).log_in("anna", Some(b"first")), LogIn::UnknownUser);
    }
}
