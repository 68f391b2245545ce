//! A flash whose ring of retained messages has gone round already, so that every few writes a sector is taken again:
//! written by the device's own code here, with a clock that only this file moves.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use espbroker_config::{image::Target, model::Config};
use espbroker_host::{Flash, MemoryFlash, Nor};
use espbroker_mqtt::{Delivery, Packet, PacketId, Publish, TopicName};
use espbroker_node::{
    BootInfo, ConnectionId, Heap, Input, Network, Node, Output, StationEvent,
    status::{Mode, ResetCause, Service},
};

use super::caller::plain;
use crate::process::Failure;

/// Rounds of a message that fills a sector: more than the ring has sectors.
const ROUNDS: u16 = 70;
/// Longer than the device waits before it writes.
const PAUSE: Duration = Duration::from_secs(5);

type Shared = Arc<Mutex<MemoryFlash>>;

struct Clockwork {
    node: Node<Nor<Shared>>,
    now: Duration,
}

impl Clockwork {
    fn input(&mut self, input: Input<'_>) {
        self.node.handle(input, self.now);
        while let Some(output) = self.node.poll_output() {
            if let Output::Send { connection, bytes } = output {
                self.node.handle(Input::Sent { connection, bytes: bytes.len() }, self.now);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.node.poll_at().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = end;
    }
}

/// Writes on in `flash`, which holds a config, until the ring has gone round.
///
/// # Errors
///
/// When the flash has no room.
pub(super) fn round(flash: &[u8], config: &Config) -> Result<Vec<u8>, Failure> {
    let mut memory = MemoryFlash::blank(flash.len());
    for (sector, bytes) in (0..).step_by(4096).zip(flash.chunks(4096)) {
        if bytes.iter().any(|byte| *byte != 0xFF) {
            memory.program(sector, bytes)?;
        }
    }
    let shared: Shared = Arc::new(Mutex::new(memory));
    let info = BootInfo {
        reset: ResetCause::External,
        mac: [2, 0, 0, 0, 0, 1],
        target: Target::EmulatedBoard,
        heap: Heap::Budget(45_000),
        heap_floor: 0,
        network: Network { window: 16_384, in_flight: u32::MAX, segment: 0 },
        seed: 1,
    };
    let node = Node::boot(Nor(Arc::clone(&shared)), info);
    let mut device = Clockwork { node, now: Duration::from_millis(1) };
    device.pass(PAUSE);
    device.input(Input::Station(StationEvent::Associated { channel: 0, rssi: 0 }));
    let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15));
    device.input(Input::Station(StationEvent::Address { ip }));
    device.input(Input::Listening { service: Service::Mqtt, port: config.broker.mqtt_port });
    let connection = ConnectionId(1);
    device.input(Input::Accepted { connection, mode: Mode::Station, service: Service::Mqtt });
    send(&mut device, connection, &Packet::Connect(plain("filler")))?;
    for round in 1..=ROUNDS {
        let payload = vec![b'f'; 3_800 + usize::from(round)];
        send(&mut device, connection, &retained("fill", &payload, round)?)?;
        device.pass(PAUSE);
    }
    drop(device);
    let mut bytes = vec![0; flash.len()];
    shared.lock().unwrap_or_else(PoisonError::into_inner).read(0, &mut bytes)?;
    Ok(bytes)
}

fn retained<'a>(topic: &'a str, payload: &'a [u8], number: u16) -> Result<Packet<'a>, Failure> {
    let packet_id = PacketId::new(number).ok_or("packet identifier 0")?;
    let delivery = Delivery::AtLeastOnce { packet_id, duplicate: false };
    Ok(Packet::Publish(Publish { topic: TopicName::new(topic)?, payload, retain: true, delivery }))
}

/// Gives the device a packet in pieces that it takes.
fn send(device: &mut Clockwork, connection: ConnectionId, packet: &Packet<'_>) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes)?;
    bytes.chunks(1024).for_each(|bytes| device.input(Input::Received { connection, bytes }));
    Ok(())
}
