//! MQTT over WebSocket, with a WebSocket client that is not ours: the log-in of the connection test once more, through
//! `/mqtt` with the subprotocol `mqtt` (MQTT 3.1.1 §6).

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use rumqttc::{ConnAck, Connect, ConnectReturnCode, Disconnect, Packet};
use tungstenite::{ClientRequestBuilder, HandshakeError, Message, WebSocket};

use super::{ANSWER_TIMEOUT, CONNACK, CheckError, Target, client_id, refusal_words, refused};

/// Longest CONNACK that makes sense, with room to spare.
const PACKET_MAX: usize = 128;

/// Logs in over WebSocket and says what that has shown. Without a login, being refused where that must be shows as
/// much: the answer came from the broker.
///
/// # Errors
///
/// The first thing that is not as it must be.
pub(super) fn run(target: &Target, port: u16, suffix: &str) -> Result<String, CheckError> {
    let url = url(&target.host, port);
    let mut socket = open(&url, &target.host, port)?;
    let code = connect(&mut socket, target, suffix)?.code;
    let checked = match (code, &target.login) {
        (ConnectReturnCode::Success, Some(_)) => format!("login over WebSocket works: {url}"),
        (ConnectReturnCode::Success, None) if target.anonymous_refused => {
            return Err(CheckError::LetIn { who: "a client without a password over WebSocket" });
        }
        (ConnectReturnCode::Success, None) => format!("a client is let in over WebSocket: {url}"),
        (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized, None)
            if target.anonymous_refused =>
        {
            format!("a client without a password is refused over WebSocket: {url}")
        }
        _ => return Err(refused(target, refusal_words(code))),
    };
    leave(socket);
    Ok(checked)
}

/// An IPv6 address stands in brackets (RFC 3986 §3.2.2).
fn url(host: &str, port: u16) -> String {
    if host.contains(':') { format!("ws://[{host}]:{port}/mqtt") } else { format!("ws://{host}:{port}/mqtt") }
}

/// A socket on which no wait goes past a moment, however slowly the bytes drip.
struct Bounded {
    stream: TcpStream,
    until: Instant,
}

impl Bounded {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

/// Systems differ in how they say that the time is over, and a WebSocket client would take one of them for an
/// invitation to try again.
fn settled(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer).map_err(settled)
    }
}

impl Write for Bounded {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer).map_err(settled)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn open(url: &str, host: &str, port: u16) -> Result<WebSocket<Bounded>, CheckError> {
    let closed = |source| CheckError::WebSocketClosed { url: url.to_owned(), source };
    let address = (host, port)
        .to_socket_addrs()
        .and_then(|mut addresses| addresses.next().ok_or_else(|| ErrorKind::NotFound.into()))
        .map_err(closed)?;
    let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).map_err(closed)?;
    let stream = Bounded { stream, until: Instant::now() + ANSWER_TIMEOUT };
    let uri = url.parse().map_err(|_| closed(ErrorKind::InvalidInput.into()))?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol("mqtt");
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(error)) if is_silence(&error) => Err(silent("the WebSocket handshake")),
        Err(HandshakeError::Failure(error)) => {
            Err(CheckError::NotWebSocket { url: url.to_owned(), source: Box::new(error) })
        }
        Err(HandshakeError::Interrupted(_)) => Err(silent("the WebSocket handshake")),
    }
}

fn connect(socket: &mut WebSocket<Bounded>, target: &Target, suffix: &str) -> Result<ConnAck, CheckError> {
    socket.get_mut().until = Instant::now() + ANSWER_TIMEOUT;
    let mut connect = Connect::new(client_id(suffix));
    if let Some(login) = &target.login {
        connect.set_login(login.user.clone(), login.password.expose().clone());
    }
    let mut packet = BytesMut::new();
    connect.write(&mut packet).map_err(|_| CheckError::NotMqtt)?;
    socket.send(Message::Binary(packet.freeze())).map_err(broken)?;
    // Packets need not be aligned with messages (MQTT 3.1.1 [MQTT-6.0.0-2]).
    let mut received = BytesMut::new();
    loop {
        match socket.read().map_err(broken)? {
            Message::Binary(bytes) => received.extend_from_slice(&bytes),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            Message::Text(_) | Message::Close(_) => return Err(CheckError::NotMqtt),
        }
        match Packet::read(&mut received, PACKET_MAX) {
            Ok(Packet::ConnAck(answer)) => return Ok(answer),
            Err(rumqttc::Error::InsufficientBytes(_)) => {}
            _ => return Err(CheckError::NotMqtt),
        }
    }
}

/// Ends the session as a client should, so that the broker does not take this for a lost one.
fn leave(mut socket: WebSocket<Bounded>) {
    socket.get_mut().until = Instant::now() + Duration::from_millis(200);
    let mut packet = BytesMut::new();
    // A broker that has hung up already, after a refusal, needs no goodbye.
    let _ = Disconnect.write(&mut packet);
    let _ = socket.send(Message::Binary(packet.freeze()));
    let _ = socket.close(None);
    while socket.read().is_ok() {}
}

fn broken(error: tungstenite::Error) -> CheckError {
    if is_silence(&error) {
        silent(CONNACK)
    } else {
        CheckError::WebSocketBroken { waiting_for: CONNACK, source: Box::new(error) }
    }
}

fn is_silence(error: &tungstenite::Error) -> bool {
    matches!(error, tungstenite::Error::Io(error) if error.kind() == ErrorKind::TimedOut)
}

fn silent(waiting_for: &'static str) -> CheckError {
    CheckError::Silent { waiting_for }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    /// Runs the test against a server of one connection.
    fn judged(serve: impl FnOnce(TcpStream) + Send + 'static) -> CheckError {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || serve(listener.accept().unwrap().0));
        let target = Target {
            host: "127.0.0.1".to_owned(),
            port: 0,
            websocket_port: Some(port),
            login: None,
            sends_message: false,
            anonymous_refused: true,
        };
        let error = run(&target, port, "test").unwrap_err();
        server.join().unwrap();
        error
    }

    /// Accepts, with the subprotocol, and answers the first message with these.
    fn websocket(answers: Vec<Message>) -> impl FnOnce(TcpStream) {
        use tungstenite::handshake::server::{Request, Response};
        move |stream| {
            #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
            let choose = |_: &Request, mut response: Response| {
                response.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
                Ok(response)
            };
            let mut socket = tungstenite::accept_hdr(stream, choose).unwrap();
            assert!(socket.read().unwrap().is_binary());
            for answer in answers {
                socket.send(answer).unwrap();
            }
        }
    }

    fn binary(bytes: &[u8]) -> Message {
        Message::Binary(bytes.to_vec().into())
    }

    #[test]
    fn a_closed_port_and_a_server_of_something_else_are_told_apart() {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        assert!(matches!(
            open("ws://127.0.0.1", "127.0.0.1", closed),
            Err(CheckError::WebSocketClosed { .. })
        ));
        let other = judged(|mut stream| {
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").unwrap();
        });
        assert!(matches!(other, CheckError::NotWebSocket { .. }), "{other}");
    }

    #[test]
    fn a_server_without_the_subprotocol_is_none_for_mqtt() {
        let error = judged(|stream| {
            // The client hangs up on it.
            let _ = tungstenite::accept(stream).map(|mut socket| socket.read());
        });
        assert!(matches!(error, CheckError::NotWebSocket { .. }), "{error}");
    }

    #[test]
    fn an_answer_that_comes_in_pieces_is_read_as_a_whole() {
        let error = judged(websocket(vec![binary(&[0x20]), Message::Ping("".into()), binary(&[2, 0, 0])]));
        assert!(matches!(error, CheckError::LetIn { .. }), "{error}");
    }

    #[test]
    fn a_text_another_packet_and_a_broken_connection_are_no_answers() {
        for wrong in [Message::Text("hello".into()), binary(&[0xD0, 0]), binary(&[0x20, 2, 0, 99])] {
            let error = judged(websocket(vec![wrong]));
            assert!(matches!(error, CheckError::NotMqtt), "{error}");
        }
        let error = judged(websocket(Vec::new()));
        assert!(matches!(error, CheckError::WebSocketBroken { .. }), "{error}");
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        assert_eq!(url("fd00::1", 9001), "ws://[fd00::1]:9001/mqtt");
    }
}
