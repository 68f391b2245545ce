//! Accounts that change while clients are connected.

use alloc::vec::Vec;

use crate::{
    access::{Access, UserId},
    broker::Broker,
    event::{CloseReason, ConnectionId},
    session::{Durability, Session},
    settings::Anonymous,
    time::Instant,
};

impl<A: Access> Broker<A> {
    /// Judges by other accounts and permissions from now on.
    ///
    /// Clients stay connected as the users of the same names. Those whose user is gone, or who have none where anonymous
    /// clients are no longer allowed, are closed; sessions of such clients that are away end.
    pub fn set_access(&mut self, access: A, anonymous: Anonymous, now: Instant) {
        let Self { connections, access: old, .. } = self;
        let mut gone: Vec<ConnectionId> = Vec::new();
        for connection in connections.iter_mut().filter(|connection| connection.is_client()) {
            if let Some(session) = connection.session.as_mut()
                && heir(session.user, old, &access, anonymous).is_none()
            {
                session.durability = Durability::Clean;
                gone.push(connection.id);
            }
        }
        // While the old accounts still say what their wills may do.
        for id in gone {
            self.close(id, CloseReason::NoLongerAllowed, now);
        }
        let old = core::mem::replace(&mut self.access, access);
        self.settings.anonymous = anonymous;
        let Self { connections, away, access, shared, .. } = self;
        for connection in connections.iter_mut().filter(|connection| connection.is_client()) {
            if let Some(session) = connection.session.as_mut() {
                adopt(session, &old, access, anonymous);
            }
        }
        away.retain_mut(|connection| {
            connection.session.as_mut().is_some_and(|session| {
                let goes_on = adopt(session, &old, access, anonymous);
                if !goes_on {
                    shared.release_all(session);
                }
                goes_on
            })
        });
        self.pump(now);
    }
}

/// Gives a session its user among the new accounts; `false` when there is none.
fn adopt<A: Access>(session: &mut Session, old: &A, new: &A, anonymous: Anonymous) -> bool {
    let Some(user) = heir(session.user, old, new, anonymous) else { return false };
    session.user = user;
    session.restricted = !new.permissions(user).is_empty();
    true
}

/// Who a user is among the new accounts; `None` for nobody.
fn heir<A: Access>(user: Option<UserId>, old: &A, new: &A, anonymous: Anonymous) -> Option<Option<UserId>> {
    match user {
        None => (anonymous == Anonymous::Allowed).then_some(None),
        Some(user) => new.find(old.user_name(user)).map(Some),
    }
}
