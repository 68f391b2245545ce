//! What the tests share: devices on the simulated clock, and sessions of the real flasher with them.

use espbroker_flasher::{
    ConnectError, ConnectOptions, EraseAllowed, Event, Order, ProgramError, Programmed, Region, Secrecy,
    Session, Stub,
};
use espbroker_virtual_device::{Clock, Fault, FlashSource, Options, VirtualDevice};

/// The project's own stub, which the device runs as machine code.
const STUB: &[u8] = include_bytes!("../../../../firmware/lx106/stub/stub.bin");

pub(crate) fn stub() -> Stub {
    Stub::from_image(STUB).unwrap()
}

pub(crate) fn simulated(flash: Vec<u8>, faults: Vec<Fault>) -> VirtualDevice {
    let flash = FlashSource::Bytes(flash);
    VirtualDevice::new(Options { flash, faults, clock: Clock::Simulated, ..Options::default() }).unwrap()
}

/// Connects and does something with the session; events come back with the result.
pub(crate) fn session<T>(
    device: &VirtualDevice,
    work: impl FnOnce(&mut Session<'_>) -> T,
) -> (Result<T, ConnectError>, Vec<Event>) {
    let mut events = Vec::new();
    let mut note = |event| events.push(event);
    let result = Session::connect(Box::new(device.transport()), ConnectOptions::default(), &mut note)
        .map(|mut session| work(&mut session));
    (result, events)
}

/// Which loader a test goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Rom,
    Stub,
}

pub(crate) fn region(name: &str, offset: u32, bytes: Vec<u8>, order: Order) -> Region {
    Region { name: name.to_owned(), offset, bytes, secrecy: Secrecy::Public, order }
}

pub(crate) fn program(
    device: &VirtualDevice,
    path: Path,
    regions: &[Region],
) -> Result<Result<Vec<Programmed>, ProgramError>, ConnectError> {
    let (result, _) = session(device, |session| {
        if path != Path::Rom {
            session.start_stub(&stub(), &[460_800]).map(drop).unwrap_or_default();
        }
        session.program(regions, &EraseAllowed::only(regions.iter().map(Region::sectors)))
    });
    result
}
