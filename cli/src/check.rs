//! The connection test: this computer logs in as a user would, with clients that are not ours.
//!
//! It proves that the user can log in, a message comes back to its subscriber unchanged, a wrong password is refused,
//! so is no password where anonymous clients are, and that all this can be had over WebSocket where that has a port.
//! A user with permissions only logs in: every topic they may write to is one that somebody uses.

mod websocket;

use std::{
    io,
    time::{Duration, Instant},
};

use espbroker_config::secret::Secret;
use rumqttc::{
    Client, ConnectReturnCode, Connection, ConnectionError, Event, MqttOptions, Packet, QoS, RecvTimeoutError,
};

use crate::credentials;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A user whose password is known here.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: Secret<String>,
}

/// What is tested.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Host name or address.
    pub(crate) host: String,
    /// MQTT port.
    pub(crate) port: u16,
    /// Port of MQTT over WebSocket; `None` where it is off.
    pub(crate) websocket_port: Option<u16>,
    /// `None` when only hashes are known.
    pub(crate) login: Option<Login>,
    /// Whether that user may publish and subscribe to everything, and so to a topic that nobody else uses.
    pub(crate) sends_message: bool,
    /// Whether clients without a user name must be refused.
    pub(crate) anonymous_refused: bool,
}

/// What was found true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// One line each, as for a report.
    pub(crate) checks: Vec<String>,
    /// From publish to receipt, when that was tested.
    pub(crate) round_trip: Option<Duration>,
}

/// Why the test did not pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// Nothing answers.
    #[error("no MQTT broker answers at `{host}:{port}`")]
    Unreachable {
        host: String,
        port: u16,
        #[source]
        source: Box<ConnectionError>,
    },
    /// The connection opens and nothing comes.
    #[error("the broker does not answer within {} s: {waiting_for}", ANSWER_TIMEOUT.as_secs())]
    Silent { waiting_for: &'static str },
    /// The right password was refused.
    #[error("the broker refuses user `{user}`: {reason}")]
    Refused { user: String, reason: &'static str },
    /// Somebody who must be refused got in.
    #[error("the broker lets in {who}")]
    LetIn { who: &'static str },
    /// The message came back changed.
    #[error("the message came back changed: {received} bytes instead of {sent}")]
    Changed { sent: usize, received: usize },
    /// The connection broke in the middle.
    #[error("the connection broke while waiting for {waiting_for}")]
    Broken {
        waiting_for: &'static str,
        #[source]
        source: Box<ConnectionError>,
    },
    /// Nothing answers on the WebSocket port.
    #[error("nothing answers at `{url}`")]
    WebSocketClosed {
        url: String,
        #[source]
        source: io::Error,
    },
    /// What answers there does not speak WebSocket, or no MQTT in it.
    #[error("no MQTT over WebSocket at `{url}`")]
    NotWebSocket {
        url: String,
        #[source]
        source: Box<tungstenite::Error>,
    },
    /// The connection over WebSocket broke in the middle.
    #[error("the connection over WebSocket broke while waiting for {waiting_for}")]
    WebSocketBroken {
        waiting_for: &'static str,
        #[source]
        source: Box<tungstenite::Error>,
    },
    /// The answer over WebSocket is something else.
    #[error("the answer over WebSocket is no CONNACK")]
    NotMqtt,
}

/// Runs the whole test.
///
/// # Errors
///
/// The first thing that is not as it must be.
pub(crate) fn run(target: &Target) -> Result<Passed, CheckError> {
    let mut checks = Vec::new();
    let mut round_trip = None;
    let suffix = unique();
    if let Some(login) = &target.login {
        if target.sends_message {
            round_trip = Some(message_returns(target, login, &suffix)?);
            checks.push("login, subscribe, publish and receive work".to_owned());
        } else {
            log_in(target, login, &suffix)?;
            checks.push(format!(
                "login works; no message was sent, because the topics of `{}` are limited",
                login.user
            ));
        }
        let wrong = Login { user: login.user.clone(), password: Secret::new(format!("not-{suffix}")) };
        must_refuse(target, Some(&wrong), &suffix, "a wrong password")?;
        checks.push("a wrong password is refused".to_owned());
    }
    if target.anonymous_refused {
        must_refuse(target, None, &suffix, "a client without a password")?;
        checks.push("a client without a password is refused".to_owned());
    }
    if let Some(port) = target.websocket_port {
        checks.push(websocket::run(target, port, &suffix)?);
    }
    Ok(Passed { checks, round_trip })
}

/// Part of client id and topic that no other test uses; the time of day would do, were it not for two tests at once.
fn unique() -> String {
    credentials::random::<4>()
        .map_or_else(|_| std::process::id().to_string(), |bytes| format!("{:08x}", u32::from_le_bytes(bytes)))
}

fn client_id(suffix: &str) -> String {
    format!("espbroker-check-{suffix}")
}

fn connect(target: &Target, login: Option<&Login>, suffix: &str) -> (Client, Connection) {
    let mut options = MqttOptions::new(client_id(suffix), target.host.clone(), target.port);
    options.set_keep_alive(Duration::from_secs(30));
    if let Some(login) = login {
        options.set_credentials(login.user.clone(), login.password.expose().clone());
    }
    Client::new(options, 8)
}

/// Waits for an event that `matches`, for [`ANSWER_TIMEOUT`] in all.
fn wait<T>(
    target: &Target,
    connection: &mut Connection,
    waiting_for: &'static str,
    mut matches: impl FnMut(Packet) -> Option<T>,
) -> Result<T, CheckError> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match connection.recv_timeout(left) {
            Ok(Ok(Event::Incoming(packet))) => {
                if let Some(found) = matches(packet) {
                    return Ok(found);
                }
            }
            Ok(Ok(Event::Outgoing(_))) => {}
            Ok(Err(error)) => return Err(broken(target, waiting_for, error)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(CheckError::Silent { waiting_for });
            }
        }
    }
}

fn broken(target: &Target, waiting_for: &'static str, error: ConnectionError) -> CheckError {
    match &error {
        ConnectionError::ConnectionRefused(code) => refused(target, refusal_words(*code)),
        ConnectionError::Io(_) if waiting_for == CONNACK => {
            CheckError::Unreachable { host: target.host.clone(), port: target.port, source: Box::new(error) }
        }
        _ => CheckError::Broken { waiting_for, source: Box::new(error) },
    }
}

fn refused(target: &Target, reason: &'static str) -> CheckError {
    let user = target.login.as_ref().map(|login| login.user.clone()).unwrap_or_default();
    CheckError::Refused { user, reason }
}

const CONNACK: &str = "CONNACK";

fn refusal_words(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::Success => "accepted",
        ConnectReturnCode::RefusedProtocolVersion => "unacceptable protocol version",
        ConnectReturnCode::BadClientId => "client identifier rejected",
        ConnectReturnCode::ServiceUnavailable => "server unavailable, too many clients",
        ConnectReturnCode::BadUserNamePassword => "bad user name or password",
        ConnectReturnCode::NotAuthorized => "not authorized",
    }
}

fn message_returns(target: &Target, login: &Login, suffix: &str) -> Result<Duration, CheckError> {
    let (client, mut connection) = connect(target, Some(login), suffix);
    accepted(target, &mut connection)?;
    let topic = format!("espbroker/check/{suffix}");
    let payload = format!("hello from espbroker {suffix}").into_bytes();
    // The queue of 8 is empty, so neither call can fail or block; a broken link shows in the next wait.
    let _ = client.try_subscribe(topic.clone(), QoS::AtMostOnce);
    wait(target, &mut connection, "SUBACK", |packet| matches!(packet, Packet::SubAck(_)).then_some(()))?;
    let sent = Instant::now();
    let _ = client.try_publish(topic.clone(), QoS::AtMostOnce, false, payload.clone());
    let received = wait(target, &mut connection, "the message", |packet| match packet {
        Packet::Publish(publish) if publish.topic == topic => Some(publish.payload),
        _ => None,
    })?;
    let round_trip = sent.elapsed();
    if received != payload {
        return Err(CheckError::Changed { sent: payload.len(), received: received.len() });
    }
    leave(&client, &mut connection);
    Ok(round_trip)
}

fn log_in(target: &Target, login: &Login, suffix: &str) -> Result<(), CheckError> {
    let (client, mut connection) = connect(target, Some(login), suffix);
    accepted(target, &mut connection)?;
    leave(&client, &mut connection);
    Ok(())
}

fn accepted(target: &Target, connection: &mut Connection) -> Result<(), CheckError> {
    wait(target, connection, CONNACK, |packet| matches!(packet, Packet::ConnAck(_)).then_some(()))
}

/// Lets DISCONNECT leave, so that the broker does not take this for a lost client.
fn leave(client: &Client, connection: &mut Connection) {
    let _ = client.try_disconnect();
    let _ = connection.recv_timeout(Duration::from_millis(200));
}

fn must_refuse(
    target: &Target,
    login: Option<&Login>,
    suffix: &str,
    who: &'static str,
) -> Result<(), CheckError> {
    let (_client, mut connection) = connect(target, login, suffix);
    match accepted(target, &mut connection) {
        Ok(()) => Err(CheckError::LetIn { who }),
        Err(CheckError::Refused { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}
