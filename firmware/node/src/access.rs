//! Who may log in and what they may do: the users in the config.

use alloc::vec::Vec;

use espbroker_broker::{Access, LogIn, Permission, Rights, UserId};
use espbroker_config::model;

/// The accounts of one config.
#[derive(Debug)]
pub(crate) struct Users {
    users: Vec<User>,
    anonymous: Vec<Permission>,
}

#[derive(Debug)]
struct User {
    account: model::User,
    permissions: Vec<Permission>,
}

impl Users {
    pub(crate) fn new(config: &model::Broker) -> Self {
        let user = |account: &model::User| User {
            account: model::User { permissions: Vec::new(), ..account.clone() },
            permissions: permissions(&account.permissions),
        };
        Self {
            users: config.users.iter().map(user).collect(),
            anonymous: permissions(&config.anonymous_permissions),
        }
    }

    fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(usize::from(id.0))
    }
}

fn permissions(config: &[model::Permission]) -> Vec<Permission> {
    let permission = |permission: &model::Permission| Permission {
        pattern: permission.pattern.as_str().into(),
        rights: match permission.access {
            model::Access::Read => Rights::Read,
            model::Access::Write => Rights::Write,
            model::Access::ReadWrite => Rights::ReadWrite,
            model::Access::Deny => Rights::Deny,
        },
    };
    config.iter().map(permission).collect()
}

impl Access for Users {
    fn log_in(&self, user_name: &str, password: Option<&[u8]>) -> LogIn {
        let found = self.find(user_name);
        // The time of an answer must not tell which names exist, so an unknown one costs a hash as well.
        let judged = found.and_then(|id| self.user(id)).or(self.users.first());
        let right =
            judged.zip(password).is_some_and(|(user, password)| user.account.password.verify(password));
        match (found, right) {
            (Some(id), true) => LogIn::Granted(id),
            (Some(_), false) => LogIn::BadCredentials,
            (None, _) => LogIn::UnknownUser,
        }
    }

    fn permissions(&self, user: Option<UserId>) -> &[Permission] {
        match user {
            None => &self.anonymous,
            Some(id) => self.user(id).map_or(&[], |user| &user.permissions),
        }
    }

    fn find(&self, user_name: &str) -> Option<UserId> {
        let index = self.users.iter().position(|user| user.account.name == user_name)?;
        // There are at most 16.
        u8::try_from(index).ok().map(UserId)
    }

    fn user_name(&self, user: UserId) -> &str {
        self.user(user).map_or("", |user| &user.account.name)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use espbroker_config::model::{Broker, PasswordHash};

    use super::*;

    fn user(name: &str, password: &[u8]) -> model::User {
        model::User::new(name, PasswordHash::derive(password, b"saltsalt", 2).unwrap())
    }

    #[test]
    fn only_the_right_password_of_a_known_user_lets_in() {
        let users = vec![user("anna", b"first"), user("bert", b"second")];
        let users = Users::new(&Broker { users, ..Broker::default() });
        assert_eq!(users.log_in("anna", Some(b"first")), LogIn::Granted(UserId(0)));
        assert_eq!(users.log_in("bert", Some(b"second")), LogIn::Granted(UserId(1)));
        assert_eq!(users.log_in("anna", Some(b"second")), LogIn::BadCredentials);
        assert_eq!(users.log_in("anna", None), LogIn::BadCredentials);
        assert_eq!(users.log_in("carl", Some(b"first")), LogIn::UnknownUser);
        let nobody = Users::new(&Broker::default());
        assert_eq!(nobody.log_in("anna", Some(b"first")), LogIn::UnknownUser);
        assert_eq!((users.find("bert"), users.user_name(UserId(1))), (Some(UserId(1)), "bert"));
    }

    #[test]
    fn every_user_and_everybody_else_has_a_list_of_permissions() {
        let permission = |access| model::Permission::new("a/#", access);
        let mut anna = user("anna", b"x");
        anna.permissions = vec![permission(model::Access::Read), permission(model::Access::Deny)];
        let broker = Broker {
            users: vec![anna, user("bert", b"x")],
            anonymous_permissions: vec![
                permission(model::Access::Write),
                permission(model::Access::ReadWrite),
            ],
            ..Broker::default()
        };
        let users = Users::new(&broker);
        let rights = |user: Option<u8>| {
            let list = users.permissions(user.map(UserId));
            list.iter().map(|permission| (&*permission.pattern, permission.rights)).collect::<Vec<_>>()
        };
        assert_eq!(rights(Some(0)), [("a/#", Rights::Read), ("a/#", Rights::Deny)]);
        assert_eq!(rights(Some(1)), []);
        assert_eq!(rights(None), [("a/#", Rights::Write), ("a/#", Rights::ReadWrite)]);
    }
}
