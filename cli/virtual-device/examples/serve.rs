//! Serves a virtual ESP8266 for any serial tool that speaks RFC 2217: `serve 127.0.0.1:4000 flash.bin`.
//!
//! Runs until its standard input ends.

use std::io::Read;
use std::path::PathBuf;

use espbroker_virtual_device::{FlashSource, Options, VirtualDevice};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse()?;
    let flash = arguments.next().map_or(FlashSource::Blank, |path| FlashSource::File(PathBuf::from(path)));
    let device = VirtualDevice::new(Options { flash, ..Options::default() })?;
    let served = device.serve_rfc2217(address)?;
    println!("rfc2217://{}", served.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
