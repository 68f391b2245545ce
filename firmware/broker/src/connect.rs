//! CONNECT: who is let in, and the answer (MQTT 3.1.1 §3.1.4).

use alloc::{boxed::Box, format};

use espbroker_mqtt::{Connack, Connect, ConnectReturnCode, Packet, Protocol};

use crate::{
    access::{Access, LogIn},
    broker::Broker,
    connection::Will,
    counters::increment,
    event::{CloseReason, ConnectionId},
    session::Session,
    settings::{Anonymous, CLIENT_ID_LENGTH},
    time::Instant,
};

impl<A: Access> Broker<A> {
    pub(crate) fn connect(&mut self, id: ConnectionId, connect: &Connect<'_>, now: Instant) {
        if let Err(code) = self.judge(connect) {
            return self.refuse(id, code, now);
        }
        let client_id = self.client_id(connect);
        let same = self.client(&client_id);
        if let Some(old) = same {
            // §3.1.4: the existing client is disconnected.
            self.close(old, CloseReason::TakenOver, now);
        } else if self.clients() >= usize::from(self.settings.clients) {
            return self.refuse(id, ConnectReturnCode::ServerUnavailable, now);
        }
        let Some(connection) = self.find(id) else { return };
        connection.keep_alive = connect.keep_alive;
        connection.session = Some(Box::new(Session::new(client_id)));
        connection.will = connect.will.as_ref().map(|will| Box::new(Will::new(will)));
        if let Some((deadline, _)) = connection.deadline() {
            self.outbox.wake_at(deadline);
        }
        increment(&mut self.counters.clients);
        let connack = Connack { session_present: false, return_code: ConnectReturnCode::Accepted };
        self.answer(id, &Packet::Connack(connack), now);
    }

    /// Answers a CONNECT with `return_code` and closes (§3.2.2.3).
    pub(crate) fn refuse(&mut self, id: ConnectionId, return_code: ConnectReturnCode, now: Instant) {
        self.answer(id, &Packet::Connack(Connack { session_present: false, return_code }), now);
        self.close(id, CloseReason::Refused(return_code), now);
    }

    fn judge(&self, connect: &Connect<'_>) -> Result<(), ConnectReturnCode> {
        let length = connect.client_id.len();
        // §3.1.3.1: without an identifier there can be no session to keep. MQTT 3.1 always asks for one.
        let nameless = length == 0 && (!connect.clean_session || connect.protocol == Protocol::Mqtt31);
        if nameless || length > CLIENT_ID_LENGTH {
            return Err(ConnectReturnCode::IdentifierRejected);
        }
        let anonymous = self.settings.anonymous;
        match connect.user_name.map(|name| self.access.log_in(name, connect.password)) {
            None if anonymous == Anonymous::Allowed => Ok(()),
            None => Err(ConnectReturnCode::NotAuthorized),
            Some(LogIn::Granted) => Ok(()),
            Some(LogIn::UnknownUser) if anonymous == Anonymous::Allowed => Ok(()),
            Some(LogIn::UnknownUser | LogIn::BadCredentials) => Err(ConnectReturnCode::BadUserNameOrPassword),
            Some(LogIn::NotAuthorized) => Err(ConnectReturnCode::NotAuthorized),
        }
    }

    /// The client's identifier, or a new one that nobody has.
    fn client_id(&mut self, connect: &Connect<'_>) -> Box<str> {
        if !connect.client_id.is_empty() {
            return connect.client_id.into();
        }
        loop {
            let client_id = format!("auto-{:08x}", self.next_client);
            self.next_client = self.next_client.wrapping_add(1);
            if self.client(&client_id).is_none() {
                return client_id.into();
            }
        }
    }

    fn client(&self, client_id: &str) -> Option<ConnectionId> {
        self.connections
            .iter()
            .find(|connection| {
                connection.session.as_ref().is_some_and(|session| *session.client_id == *client_id)
            })
            .map(|connection| connection.id)
    }
}
