//! rumqttc against `espbroker broker`, over TCP; its WebSocket would drag in packages with a licence that none of this
//! project's has.

use std::{
    collections::VecDeque,
    path::Path,
    time::{Duration, Instant},
};

use rumqttc::{
    Client, ConnAck, Connection, Event, LastWill, MqttOptions, Packet, Publish, QoS, SubscribeReasonCode,
};

use crate::{
    process::{Failure, Tally},
    stage::Stage,
};

type Outcome = Result<(), Failure>;
type Check = fn(u16) -> Outcome;

const PATIENCE: Duration = Duration::from_secs(15);

/// A client and what came for it.
struct Peer {
    client: Client,
    connection: Connection,
    packets: VecDeque<Packet>,
}

fn options(name: &str, port: u16) -> MqttOptions {
    let mut options = MqttOptions::new(name, "127.0.0.1", port);
    options.set_credentials("home", "secret").set_max_packet_size(10_000, 10_000);
    options
}

impl Peer {
    /// Connects, and tells whether the session was there.
    fn connect(options: MqttOptions) -> Result<(Self, bool), Failure> {
        let (client, connection) = Client::new(options, 64);
        let mut peer = Self { client, connection, packets: VecDeque::new() };
        let ConnAck { session_present, .. } = peer.wait(|packet| match packet {
            Packet::ConnAck(connack) => Some(connack.clone()),
            _ => None,
        })?;
        Ok((peer, session_present))
    }

    /// The first packet that is wanted; the others stay.
    fn wait<T>(&mut self, wanted: impl Fn(&Packet) -> Option<T>) -> Result<T, Failure> {
        let end = Instant::now() + PATIENCE;
        loop {
            let found =
                self.packets.iter().enumerate().find_map(|(place, packet)| Some((place, wanted(packet)?)));
            if let Some((place, found)) = found {
                self.packets.remove(place);
                return Ok(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.connection.recv_timeout(left).map_err(|error| format!("nothing came: {error:?}"))?? {
                Event::Incoming(packet) => self.packets.push_back(packet),
                Event::Outgoing(_) => {}
            }
        }
    }

    fn subscribe(&mut self, filter: &str, qos: QoS) -> Outcome {
        self.client.subscribe(filter, qos)?;
        let codes = self.wait(|packet| match packet {
            Packet::SubAck(suback) => Some(suback.return_codes.clone()),
            _ => None,
        })?;
        same(&codes, &vec![SubscribeReasonCode::Success(qos)])
    }

    fn next(&mut self) -> Result<Publish, Failure> {
        self.wait(|packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        })
    }

    /// Publishes, and waits until the broker has taken it.
    fn publish(&mut self, topic: &str, qos: QoS, payload: &str) -> Outcome {
        self.client.publish(topic, qos, false, payload)?;
        match qos {
            QoS::AtMostOnce => Ok(()),
            QoS::AtLeastOnce => self.wait(|packet| matches!(packet, Packet::PubAck(_)).then_some(())),
            QoS::ExactlyOnce => self.wait(|packet| matches!(packet, Packet::PubComp(_)).then_some(())),
        }
    }

    fn leave(mut self) -> Outcome {
        self.client.disconnect()?;
        // Until the end of the connection, so that the DISCONNECT is out.
        while let Ok(Ok(_)) = self.connection.recv_timeout(PATIENCE) {}
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, wanted: &T) -> Outcome {
    if found == wanted { Ok(()) } else { Err(format!("{found:?} instead of {wanted:?}").into()) }
}

const EVERY: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn every_qos(port: u16) -> Outcome {
    let (mut peer, _) = Peer::connect(options("every-qos", port))?;
    for granted in EVERY {
        peer.subscribe("rust/#", granted)?;
        for sent in EVERY {
            for length in [0, 5, 3_900] {
                let payload = "x".repeat(length);
                peer.publish("rust/t", sent, &payload)?;
                let message = peer.next()?;
                let qos = if (sent as u8) < granted as u8 { sent } else { granted };
                same(
                    &(message.qos, message.payload.len(), message.retain, message.dup),
                    &(qos, length, false, false),
                )?;
            }
        }
    }
    peer.leave()
}

fn session(port: u16) -> Outcome {
    let persistent = || {
        let mut options = options("away", port);
        options.set_clean_session(false);
        options
    };
    let (mut first, present) = Peer::connect(persistent())?;
    same(&present, &false)?;
    first.subscribe("away/#", QoS::ExactlyOnce)?;
    first.leave()?;
    let (mut publisher, _) = Peer::connect(options("publisher", port))?;
    for qos in EVERY {
        publisher.publish("away/t", qos, &format!("{qos:?}"))?;
    }
    let (mut again, present) = Peer::connect(persistent())?;
    same(&present, &true)?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let message = again.next()?;
        same(&(message.qos, message.payload.as_ref()), &(qos, format!("{qos:?}").as_bytes()))?;
    }
    again.leave()?;
    publisher.leave()?;
    Peer::connect(options("away", port))?.0.leave()
}

fn will(port: u16) -> Outcome {
    let (mut watcher, _) = Peer::connect(options("watcher", port))?;
    watcher.subscribe("gone/#", QoS::AtLeastOnce)?;
    let mut with_will = options("dying", port);
    with_will.set_last_will(LastWill::new("gone/t", "bye", QoS::AtLeastOnce, false));
    drop(Peer::connect(with_will)?);
    same(&watcher.next()?.payload.as_ref(), &b"bye".as_slice())?;
    watcher.leave()
}

/// # Errors
///
/// When the broker does not start.
pub(crate) fn run(program: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let stage = Stage::new(program)?;
    let port = Stage::port()?;
    let _broker = stage.ours("home", port, "", &[])?;
    with(port, "", tally);
    Ok(())
}

/// With a broker that others have started; `whose` goes before the names of the checks.
pub(crate) fn with(port: u16, whose: &str, tally: &mut Tally) {
    let checks: [(&str, Check); 3] = [
        ("every QoS arrives as granted, up to 3,900 bytes", every_qos),
        ("what waits for a persistent session comes, in order", session),
        ("a will is sent when the client is gone", will),
    ];
    for (name, check) in checks {
        tally.check(&format!("{whose}rumqttc: {name}"), || check(port));
    }
}
