//! Any frame as a reply or a request of the serial loader: no panic, and what parses is written back equal.
#![no_main]

use espbroker_flasher::protocol::{Command, Request, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(response) = Response::parse(bytes) {
        assert_eq!(Response::parse(&response.to_bytes()), Ok(response));
    }
    if let Ok(request) = Request::parse(bytes)
        && let Ok(command) = Command::parse(&request)
    {
        let written = command.to_bytes();
        let again = Request::parse(&written).unwrap();
        assert_eq!(Command::parse(&again).unwrap(), command);
    }
});
