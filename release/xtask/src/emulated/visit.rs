//! What clients do to a board while something fails: each kind of packet once, and a fresh client afterwards.

use std::{
    thread,
    time::{Duration, Instant},
};

use espbroker_mqtt::{Connect, Delivery, Packet, PacketId, Publish, QoS, TopicName, Will};

use super::{
    caller::{Caller, plain},
    upstream::Upstream,
};
use crate::{bench::WebSocketClient, process::Failure};

/// Longest wait until the board serves a fresh client.
const PATIENCE: Duration = Duration::from_secs(20);
/// A payload near the longest packet that a board takes.
const LONG: usize = 3_900;

/// The ports of a board.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) mqtt: u16,
    pub(crate) websocket: u16,
}

fn publish<'a>(topic: &'a str, payload: &'a [u8], qos: QoS) -> Result<Publish<'a>, Failure> {
    let packet_id = PacketId::new(9).ok_or("packet identifier 0")?;
    let delivery = match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { packet_id, duplicate: false },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { packet_id, duplicate: false },
    };
    Ok(Publish { topic: TopicName::new(topic)?, payload, retain: false, delivery })
}

/// Publishes a retained message at QoS 1, or clears it with an empty one.
///
/// # Errors
///
/// When the board does not acknowledge it.
pub(crate) fn retain(caller: &mut Caller, topic: &str, payload: &[u8]) -> Result<(), Failure> {
    let message = Publish { retain: true, ..publish(topic, payload, QoS::AtLeastOnce)? };
    caller.ask(&Packet::Publish(message), &[0x40, 2, 0, 9]).map(drop)
}

/// Clients connect, subscribe to five topics, publish at every QoS, a long message and a retained one, come over WebSocket,
/// die and leave. An error is what a client was refused.
///
/// # Errors
///
/// When the board did not do one of these things.
pub(crate) fn clients(ports: Ports) -> Result<(), Failure> {
    let will =
        Will { topic: TopicName::new("visit/gone")?, payload: b"x", qos: QoS::AtLeastOnce, retain: false };
    let mut watcher = Caller::connect(ports.mqtt, Connect { will: Some(will), ..plain("visit-watcher") })?;
    for (topic, qos) in ["visit/0", "visit/1", "visit/2", "visit/long/+", "visit/kept/#"].into_iter().zip([
        QoS::AtMostOnce,
        QoS::AtLeastOnce,
        QoS::ExactlyOnce,
        QoS::AtLeastOnce,
        QoS::AtLeastOnce,
    ]) {
        watcher.subscribe(topic, qos)?;
    }
    // A run that was refused something has left its session.
    Caller::connect(ports.mqtt, plain("visit-sender"))?.send(&Packet::Disconnect)?;
    let lasting = Connect { clean_session: false, ..plain("visit-sender") };
    let mut sender = Caller::connect(ports.mqtt, lasting)?;
    sender.subscribe("visit/gone", QoS::AtLeastOnce)?;

    sender.send(&Packet::Publish(publish("visit/0", b"hello", QoS::AtMostOnce)?))?;
    watcher.expect(&[0x30])?;

    sender.ask(&Packet::Publish(publish("visit/1", b"hello", QoS::AtLeastOnce)?), &[0x40])?;
    acknowledge(&mut watcher)?;

    let packet_id = PacketId::new(9).ok_or("packet identifier 0")?;
    sender.ask(&Packet::Publish(publish("visit/2", b"hello", QoS::ExactlyOnce)?), &[0x50])?;
    sender.ask(&Packet::Pubrel(packet_id), &[0x70])?;
    let message = watcher.expect(&[0x34])?;
    let number = identifier(&message)?;
    watcher.ask(&Packet::Pubrec(number), &[0x62])?;
    watcher.send(&Packet::Pubcomp(number))?;

    let long = vec![b'x'; LONG];
    sender.ask(&Packet::Publish(publish("visit/long/t", &long, QoS::AtLeastOnce)?), &[0x40])?;
    acknowledge(&mut watcher)?;

    retain(&mut sender, "visit/kept/t", b"hello")?;
    acknowledge(&mut watcher)?;
    let mut late = Caller::connect(ports.mqtt, plain("visit-late"))?;
    late.subscribe("visit/kept/#", QoS::AtMostOnce)?;
    late.expect(&[0x31])?;
    late.send(&Packet::Disconnect)?;
    retain(&mut sender, "visit/kept/t", b"")?;

    drop(WebSocketClient::open(ports.websocket)?);

    // Without a DISCONNECT its will is sent.
    drop(watcher);
    acknowledge(&mut sender)?;
    sender.send(&Packet::Disconnect)
}

/// Takes a message of QoS 1 and acknowledges it.
fn acknowledge(caller: &mut Caller) -> Result<(), Failure> {
    let message = caller.expect(&[0x32])?;
    caller.send(&Packet::Puback(identifier(&message)?))
}

fn identifier(packet: &[u8]) -> Result<PacketId, Failure> {
    match Packet::decode(packet)? {
        Packet::Publish(Publish {
            delivery: Delivery::AtLeastOnce { packet_id, .. } | Delivery::ExactlyOnce { packet_id, .. },
            ..
        }) => Ok(packet_id),
        other => Err(format!("{other:?} has no packet identifier").into()),
    }
}

/// The bridge loses its link, comes back, and brings a message.
///
/// # Errors
///
/// When it does not.
pub(crate) fn bridge(ports: Ports, upstream: &Upstream, topic: &str) -> Result<(), Failure> {
    upstream.cut()?;
    let mut sender = Caller::connect(ports.mqtt, plain("visit-bridge"))?;
    sender.ask(&Packet::Publish(publish(topic, b"hello", QoS::AtLeastOnce)?), &[0x40])?;
    upstream.takes(topic)?;
    sender.send(&Packet::Disconnect)
}

/// A fresh client connects, subscribes, publishes and gets its message, after some attempts if need be.
///
/// # Errors
///
/// When none of the attempts gets so far.
pub(crate) fn fresh(ports: Ports) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt(ports) {
            Ok(()) => return Ok(()),
            Err(failure) if Instant::now() > end => return Err(failure),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn attempt(ports: Ports) -> Result<(), Failure> {
    let mut caller = Caller::connect(ports.mqtt, plain("visit-fresh"))?;
    caller.subscribe("visit/fresh", QoS::AtMostOnce)?;
    caller.send(&Packet::Publish(publish("visit/fresh", b"hello", QoS::AtLeastOnce)?))?;
    let mut first = caller.packet()?;
    let mut second = caller.packet()?;
    first.truncate(1);
    second.truncate(1);
    let mut both = [first, second].concat();
    both.sort_unstable();
    if both != [0x30, 0x40] {
        return Err("a fresh client did not get its message".into());
    }
    caller.send(&Packet::Disconnect)
}
