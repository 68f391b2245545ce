//! CONNECT: who is let in, which session goes on, and the answer (MQTT 3.1.1 §3.1.4).

use alloc::{borrow::Cow, boxed::Box, format};

use espbroker_mqtt::{Connack, Connect, ConnectReturnCode, Packet, Protocol};

use crate::{
    access::{Access, LogIn, UserId},
    bridge::circle::Circle,
    broker::Broker,
    connection::{Connection, Will},
    counters::increment,
    event::{CloseReason, ConnectionId},
    room::Need,
    session::{Durability, Session},
    settings::{Anonymous, CLIENT_ID_LENGTH},
    subscriptions::Subscriptions,
    time::Instant,
};

/// The bytes that a will takes beside its topic and payload.
const WILL_OVERHEAD: usize = size_of::<Will>() + 20;

impl<A: Access> Broker<A> {
    pub(crate) fn connect(&mut self, id: ConnectionId, connect: &Connect<'_>, now: Instant) {
        let user = match self.judge(connect, now) {
            Ok(user) => user,
            Err(code) => return self.refuse(id, code, now),
        };
        let client_id = self.client_id(connect);
        let same = self.client(&client_id);
        if let Some(old) = same {
            // §3.1.4: the existing client is disconnected.
            self.close(old, CloseReason::TakenOver, now);
        } else if self.clients() >= usize::from(self.settings.clients) {
            return self.refuse(id, ConnectReturnCode::ServerUnavailable, now);
        }
        let will = connect.will.as_ref();
        // One more while a client takes over its own session.
        let places = usize::from(self.settings.sessions) + 1;
        let makes_places = !connect.clean_session && self.away.capacity() == 0;
        let bytes = Subscriptions::memory_of(&client_id)
            + will.map_or(0, |will| WILL_OVERHEAD + will.topic.as_str().len() + will.payload.len())
            // Circles are looked for where bridges are.
            + if connect.bridge { size_of::<Circle>() } else { 0 }
            + if makes_places { places * size_of::<Box<Connection>>() } else { 0 };
        // A client that was in already, or has its session here, takes what was counted before.
        let known = same.is_some() || self.away_of(&client_id).is_some();
        if !self.room.take(bytes, if known { Need::Service } else { Need::Growth }) {
            increment(&mut self.counters.no_memory);
            self.forget_sessions();
            return self.refuse(id, ConnectReturnCode::ServerUnavailable, now);
        }
        if makes_places {
            self.away.reserve_exact(places);
        }
        let durability = if connect.clean_session { Durability::Clean } else { Durability::Persistent };
        let parked = self.claim(&client_id, user, durability);
        let session_present = parked.is_some();
        let mut session = parked.unwrap_or_else(|| Session::new(&client_id, durability));
        session.user = user;
        session.is_bridge = connect.bridge;
        session.restricted = !self.access.permissions(user).is_empty();
        self.outbox.backlog |= !session.is_idle();
        let stall = self.outbox.stall_time();
        let Some(connection) = self.find(id) else { return };
        connection.keep_alive = connect.keep_alive;
        connection.session = Some(session);
        connection.will = will.and_then(Will::new).map(Box::new);
        if let Some((deadline, _)) = connection.deadline(stall, now) {
            self.outbox.wake_at(deadline);
        }
        if connect.bridge {
            self.watch_circles();
        }
        increment(&mut self.counters.clients);
        self.schedule_system(now);
        let connack = Connack { session_present, return_code: ConnectReturnCode::Accepted };
        self.answer(id, &Packet::Connack(connack), now);
    }

    /// Answers a CONNECT with `return_code` and closes (§3.2.2.3).
    pub(crate) fn refuse(&mut self, id: ConnectionId, return_code: ConnectReturnCode, now: Instant) {
        self.answer(id, &Packet::Connack(Connack { session_present: false, return_code }), now);
        self.close(id, CloseReason::Refused(return_code), now);
    }

    /// Takes the session that waits for this client, if there is one. It is gone, too, when it belongs to another
    /// user: what waits in it was not meant for this one.
    fn claim(&mut self, client_id: &str, user: Option<UserId>, durability: Durability) -> Option<Session> {
        let index = self.away_of(client_id)?;
        let session = self.away.remove(index).session?;
        if session.user == user && durability == Durability::Persistent {
            return Some(session);
        }
        self.shared.release_all(&session);
        None
    }

    /// Where among those away the session of this client is.
    fn away_of(&self, client_id: &str) -> Option<usize> {
        let is_its = |session: &Session| session.is_of(client_id);
        self.away.iter().position(|connection| connection.session.as_ref().is_some_and(is_its))
    }

    fn judge(&mut self, connect: &Connect<'_>, now: Instant) -> Result<Option<UserId>, ConnectReturnCode> {
        let length = connect.client_id.len();
        // §3.1.3.1: without an identifier there can be no session to keep. MQTT 3.1 always asks for one.
        let nameless = length == 0 && (!connect.clean_session || connect.protocol == Protocol::Mqtt31);
        if nameless || length > CLIENT_ID_LENGTH {
            return Err(ConnectReturnCode::IdentifierRejected);
        }
        let anonymous = self.settings.anonymous;
        let Some(name) = connect.user_name else {
            return match anonymous {
                Anonymous::Allowed => Ok(None),
                Anonymous::Refused => Err(ConnectReturnCode::NotAuthorized),
            };
        };
        if !self.log_in_guard.allows(now) {
            increment(&mut self.counters.log_ins_put_off);
            return Err(ConnectReturnCode::ServerUnavailable);
        }
        match self.access.log_in(name, connect.password) {
            LogIn::Granted(user) => Ok(Some(user)),
            LogIn::UnknownUser if anonymous == Anonymous::Allowed => Ok(None),
            LogIn::UnknownUser | LogIn::BadCredentials => {
                self.log_in_guard.failed();
                increment(&mut self.counters.log_ins_failed);
                Err(ConnectReturnCode::BadUserNameOrPassword)
            }
            LogIn::NotAuthorized => Err(ConnectReturnCode::NotAuthorized),
        }
    }

    /// The client's identifier, or a new one that nobody has.
    fn client_id<'a>(&mut self, connect: &Connect<'a>) -> Cow<'a, str> {
        if !connect.client_id.is_empty() {
            return connect.client_id.into();
        }
        loop {
            let client_id = format!("auto-{:08x}", self.next_client);
            self.next_client = self.next_client.wrapping_add(1);
            if self.away_of(&client_id).is_none() && self.client(&client_id).is_none() {
                return client_id.into();
            }
        }
    }

    fn client(&self, client_id: &str) -> Option<ConnectionId> {
        self.connections
            .iter()
            .filter(|connection| connection.is_client())
            .find(|connection| connection.session.as_ref().is_some_and(|session| session.is_of(client_id)))
            .map(|connection| connection.id)
    }
}
