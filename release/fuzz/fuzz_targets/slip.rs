//! Any bytes, any split: the decoder never panics, and what it encodes it decodes.
#![no_main]

use espbroker_flasher::slip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = slip::Decoder::default();
    for byte in bytes {
        let _ = decoder.push(*byte);
    }
    decoder.reset();
    let frames: Vec<Vec<u8>> =
        slip::encode(bytes).iter().filter_map(|byte| decoder.push(*byte).unwrap()).collect();
    // An empty payload is two delimiters, which are no frame; one that is too long for a loader is refused whole.
    assert!(frames.len() <= 1);
    assert!(frames.iter().all(|frame| frame == bytes));
});
