//! Accounts that change while clients are connected.

use alloc::vec::Vec;

use crate::{
    access::{Access, UserId},
    broker::Broker,
    event::{CloseReason, ConnectionId},
    session::Session,
    settings::Anonymous,
    time::Instant,
};

impl<A: Access> Broker<A> {
    /// Judges by other accounts and permissions from now on.
    ///
    /// Clients stay connected as the users of the same names. Those whose user is gone, or who have none where anonymous
    /// clients are no longer allowed, are closed; sessions of such clients that are away end.
    pub fn set_access(&mut self, access: A, anonymous: Anonymous, now: Instant) {
        let old = core::mem::replace(&mut self.access, access);
        self.settings.anonymous = anonymous;
        let Self { connections, away, access, .. } = self;
        let mut gone: Vec<ConnectionId> = Vec::new();
        for connection in connections.iter_mut().filter(|connection| connection.is_client()) {
            let id = connection.id;
            let kept = connection
                .session
                .as_deref_mut()
                .is_none_or(|session| adopt(session, &old, access, anonymous));
            if !kept {
                gone.push(id);
            }
        }
        away.retain_mut(|session| adopt(session, &old, access, anonymous));
        for id in gone {
            self.close(id, CloseReason::NoLongerAllowed, now);
        }
        self.pump(now);
    }
}

/// Gives a session its user among the new accounts; `false` when there is none.
fn adopt<A: Access>(session: &mut Session, old: &A, new: &A, anonymous: Anonymous) -> bool {
    let user: Option<UserId> = match session.user {
        None if anonymous == Anonymous::Refused => return false,
        None => None,
        Some(user) => match new.find(old.user_name(user)) {
            Some(user) => Some(user),
            None => return false,
        },
    };
    session.user = user;
    session.restricted = !new.permissions(user).is_empty();
    true
}
