//! The way of bytes of a WebSocket to the MQTT stream in it, and of packets back into frames (MQTT 3.1.1 §6).

use espbroker_mqtt::{EncodeError, Packet};

use crate::{
    access::Access,
    broker::Broker,
    bytes::{Bytes, INLINE},
    connection::Connection,
    event::{CloseReason, ConnectionId},
    message::OVERHEAD,
    room::{Need, Room},
    time::Instant,
    websocket::{Scratch, Step, WebSocket},
};

/// What came of some bytes, with the answer out of the way.
enum Turn {
    /// All of them are used.
    Done,
    /// So many bytes of the MQTT stream lie in the scratch.
    Data(usize),
    /// An answer was to be sent.
    Answer(Bytes),
    /// There is no memory for what has to wait.
    NoMemory,
    /// A last answer, if there is memory for it, and why the connection ends.
    End(Option<Bytes>, CloseReason),
}

impl<A: Access> Broker<A> {
    /// Takes bytes of a WebSocket.
    pub(crate) fn unwrap(&mut self, id: ConnectionId, mut bytes: &[u8], now: Instant) {
        let mut scratch: Scratch = [0; _];
        loop {
            let Self { connections, room, .. } = self;
            let connection = connections.get_mut(id);
            let Some(websocket) = connection.and_then(Connection::websocket) else {
                return;
            };
            match turn(websocket, &mut bytes, &mut scratch, room) {
                Turn::Done => return,
                Turn::NoMemory => self.close(id, CloseReason::NoMemory, now),
                Turn::Data(length) => {
                    let data = scratch.get(..length).unwrap_or_default();
                    self.stream(id, data, now);
                }
                Turn::Answer(answer) => self.answer_bytes(id, answer, now),
                Turn::End(answer, reason) => {
                    if let Some(answer) = answer {
                        self.answer_bytes(id, answer, now);
                    }
                    self.close(id, reason, now);
                }
            }
        }
    }
}

fn turn(websocket: &mut WebSocket, bytes: &mut &[u8], scratch: &mut Scratch, room: &mut Room) -> Turn {
    let copy = |answer: &[u8], room: &mut Room| {
        let fits = answer.len() <= INLINE || room.take(OVERHEAD + answer.len(), Need::Service);
        fits.then(|| Bytes::join([answer, &[]]))
    };
    let error = match websocket.next(bytes, scratch, room) {
        Ok(Step::NeedMore) => return Turn::Done,
        Ok(Step::NoMemory) => return Turn::NoMemory,
        Ok(Step::Data(data)) => return Turn::Data(data.len()),
        Ok(Step::Upgraded(answer) | Step::Pong(answer)) => {
            let Some(answer) = copy(answer, room) else {
                // Without this answer no frame can follow either.
                websocket.close(0);
                return Turn::NoMemory;
            };
            return Turn::Answer(answer);
        }
        // What MQTT says of an end without DISCONNECT holds for the end of a WebSocket, too.
        Ok(Step::Close(answer)) => return Turn::End(copy(answer, room), CloseReason::WebSocketClosed),
        Err(error) => error,
    };
    Turn::End(copy(error.answer(scratch), room), CloseReason::WebSocket(error))
}

impl Connection {
    /// Encodes a packet as this connection carries it.
    pub(crate) fn encode(&self, packet: &Packet<'_>) -> Result<Bytes, EncodeError> {
        match self.is_websocket() {
            false => Bytes::encode(&[], packet),
            true => Bytes::encode(&WebSocket::data_header(packet.encoded_length()?), packet),
        }
    }

    /// The frame that ends a WebSocket from our side, unless it has ended already (RFC 6455 §7.4.1).
    pub(crate) fn closing_frame(&mut self, reason: CloseReason) -> Option<[u8; 4]> {
        let code = match reason {
            CloseReason::Disconnected => 1000,
            CloseReason::Malformed(_)
            | CloseReason::ConnectExpected
            | CloseReason::SecondConnect
            | CloseReason::ServerPacket(_) => 1002,
            CloseReason::PacketTooLong => 1009,
            CloseReason::NoMemory => 1013,
            _ => 1008,
        };
        self.websocket().and_then(|websocket| websocket.close(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::WebSocketError;

    #[test]
    fn an_error_is_answered_and_ends_the_connection() {
        let mut websocket = WebSocket::new();
        let mut bytes: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        match turn(&mut websocket, &mut bytes, &mut [0; _], &mut Room::new(0)) {
            Turn::End(Some(answer), CloseReason::WebSocket(WebSocketError::Path)) => {
                assert!(answer.starts_with(b"HTTP/1.1 404"));
            }
            _ => panic!("another path is served"),
        }
    }
}
