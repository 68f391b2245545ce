//! Any bytes, any split: the decoder never panics, and what is encoded it decodes.
#![no_main]

use espbroker_flasher::slip::{self, Decoder};
use libfuzzer_sys::fuzz_target;

/// Longest frame that the decoder of this target takes.
const LIMIT: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new(LIMIT);
    for byte in bytes {
        if let Ok(Some(frame)) = decoder.push(*byte) {
            assert!(frame.len() <= LIMIT);
        }
    }
    decoder.reset();
    let frames: Vec<Vec<u8>> =
        slip::encode(bytes).iter().filter_map(|byte| decoder.push(*byte).unwrap_or_default()).collect();
    // An empty payload is two delimiters and no frame; one beyond the limit is refused whole.
    match bytes.len() {
        0 => assert!(frames.is_empty()),
        length if length <= LIMIT => assert_eq!(frames, [bytes]),
        _ => assert!(frames.is_empty()),
    }
});
