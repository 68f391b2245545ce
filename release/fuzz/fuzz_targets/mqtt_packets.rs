//! Any bytes from a client: the codec and the broker never panic, and what decodes encodes to the same bytes.
#![no_main]

use espbroker_mqtt::Packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(packet) = Packet::decode(bytes) {
        let mut written = Vec::new();
        packet.encode(&mut written).unwrap();
        assert_eq!(Packet::decode(&written).unwrap(), packet);
    }
});
