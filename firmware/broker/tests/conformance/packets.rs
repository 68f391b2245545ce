//! Packets that most tests need, and the bytes that a client gets.

use espbroker_mqtt::{Connack, Connect, ConnectReturnCode, Packet};

use crate::script::{Script, plain};

/// A CONNECT for a session that outlives the connection.
pub(crate) fn persistent(client_id: &str) -> Connect<'_> {
    Connect { clean_session: false, ..plain(client_id) }
}

/// CONNACK for a client that was let in.
pub(crate) fn accepted(session_present: bool) -> Packet<'static> {
    Packet::Connack(Connack { session_present, return_code: ConnectReturnCode::Accepted })
}

impl Script {
    /// Accepts and connects a client whose session may be there already, and checks all that it gets at once.
    #[track_caller]
    pub(crate) fn come_back(&mut self, connection: u16, client_id: &str, expected: &[Packet<'_>]) {
        self.accept(connection);
        self.send(connection, Packet::Connect(persistent(client_id)));
        self.expect(connection, expected);
    }
}
