//! Serves a virtual ESP8266 to any serial tool until its standard input ends.
//!
//! `serve 127.0.0.1:4000 flash.bin` speaks RFC 2217 there; `serve pty flash.bin` opens a pseudo-terminal, where the
//! chip starts in its loader. Prints the port to give to the tool.

use std::io::Read;
use std::path::PathBuf;

use espbroker_virtual_device::{FlashSource, Options, VirtualDevice};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let flash = arguments.next().map_or(FlashSource::Blank, |path| FlashSource::File(PathBuf::from(path)));
    let options = Options { flash, ..Options::default() };
    #[cfg(unix)]
    if place == "pty" {
        use espbroker_virtual_device::{FlashButton, Wiring};
        let wiring = Wiring::Manual(FlashButton::Held);
        let device = VirtualDevice::new(Options { wiring, ..options })?;
        let served = device.serve_pty()?;
        println!("{}", served.path().display());
        return wait();
    }
    let device = VirtualDevice::new(options)?;
    let served = device.serve_rfc2217(place.parse()?)?;
    println!("rfc2217://{}", served.address());
    wait()
}

fn wait() -> Result<(), Box<dyn std::error::Error>> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
