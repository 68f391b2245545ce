//! Any sector and any CBOR as a config: no panic, and a config that decodes encodes to one that decodes equal.
#![no_main]

use espbroker_config::{codec, image, model::PasswordHash, slots};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = slots::SlotHeader::parse(bytes);
    let _ = slots::read_sector(bytes);
    let _ = image::check(bytes);
    let _ = image::check_boot_image(bytes);
    if let Ok(text) = core::str::from_utf8(bytes) {
        let _ = PasswordHash::from_text(text);
    }
    if let Ok(config) = codec::decode(bytes) {
        let _ = config.validate();
        if let Ok(encoded) = codec::encode(&config) {
            assert_eq!(codec::decode(&encoded).unwrap(), config);
            let sector = slots::encode_sector(&config, 7).unwrap();
            let slots::SlotState::Valid(record) = slots::read_sector(&sector) else { panic!("not valid") };
            assert_eq!(record.config, config);
        }
    }
});
