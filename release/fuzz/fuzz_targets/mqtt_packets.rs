//! Any bytes from a client: codec and broker never panic, what decodes encodes to an equal packet, and a client that
//! has left leaves no memory behind.
#![no_main]

use espbroker_broker::{
    Access, Broker, ConnectionId, Input, Instant, LogIn, Output, Permission, Settings, Transport, UserId,
};
use espbroker_mqtt::Packet;
use libfuzzer_sys::fuzz_target;

struct Everybody;

impl Access for Everybody {
    fn log_in(&self, _user_name: &str, _password: Option<&[u8]>) -> LogIn {
        LogIn::Granted(UserId(0))
    }

    fn permissions(&self, _: Option<UserId>) -> &[Permission] {
        &[]
    }

    fn find(&self, _: &str) -> Option<UserId> {
        Some(UserId(0))
    }

    fn user_name(&self, _: UserId) -> &str {
        "u"
    }
}

/// CONNECT with user `u` and an empty password, so that what follows is heard as a client's.
const CONNECT: [u8; 19] = *b"\x10\x11\0\x04MQTT\x04\xC2\0\x3C\0\0\0\x01u\0\0";

fuzz_target!(|bytes: &[u8]| {
    if let Ok(packet) = Packet::decode(bytes) {
        let mut written = Vec::new();
        packet.encode(&mut written).unwrap();
        assert_eq!(Packet::decode(&written).unwrap(), packet);
    }
    let mut broker =
        Broker::new(Settings { retained_messages: 0, system_interval: 0, ..Settings::default() }, Everybody);
    let empty = broker.memory();
    let connection = ConnectionId(1);
    broker.handle(Input::Accepted { connection, transport: Transport::Tcp }, Instant(0));
    broker.handle(Input::Received { connection, bytes: &CONNECT }, Instant(0));
    let mut closed = false;
    for (time, piece) in (1..).zip(bytes.chunks(7)) {
        if closed {
            break;
        }
        broker.handle(Input::Received { connection, bytes: piece }, Instant(time));
        while let Some(output) = broker.poll_output() {
            match output {
                Output::Send { connection, bytes } => {
                    broker.handle(Input::Sent { connection, bytes: bytes.len() }, Instant(time));
                }
                Output::Close { .. } => closed = true,
                Output::Open { .. } | Output::Abandon { .. } | Output::Bridge { .. } => unreachable!(),
            }
        }
    }
    broker.handle(Input::Closed { connection }, Instant(1_000_000));
    while broker.poll_output().is_some() {}
    assert_eq!(broker.memory(), empty);
});
