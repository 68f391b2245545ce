//! Reading back through the boot ROM and through a stub.

use super::*;
use crate::{ConnectOptions, ReadError, Session, Stub};

fn with_session<T>(bench: &Bench, stub: bool, operation: impl FnOnce(&mut Session<'_>) -> T) -> T {
    let mut events = ignore;
    let mut session = Session::connect(bench.port(), ConnectOptions::default(), &mut events).unwrap();
    if stub {
        let stub = Stub::from_esptool_json(r#"{"entry": 1, "text": "AAAA", "text_start": 0}"#).unwrap();
        session.start_stub(&stub, &[]).unwrap();
    }
    operation(&mut session)
}

#[test]
fn any_span_is_read_byte_for_byte_by_the_boot_rom_and_by_a_stub() {
    for stub in [false, true] {
        let bench = Bench::new(|device| {
            let bytes = pattern(0x2_0000);
            device.flash[..bytes.len()].copy_from_slice(&bytes);
        });
        for span in [0..1, 3..200, 0x1000..0x1040, 0x2000..0x2000, 0x7FF0..0x8123] {
            let read = with_session(&bench, stub, |session| session.read("span", span.clone())).unwrap();
            assert_eq!(read, bench.device().flash[span.start as usize..span.end as usize], "{span:?} {stub}");
        }
    }
    let bench = Bench::new(|device| device.flash[..0x2_0000].copy_from_slice(&pattern(0x2_0000)));
    let read = with_session(&bench, true, |session| session.read("all", 0..0x8_0000)).unwrap();
    assert_eq!(read, bench.device().flash);
}

#[test]
fn the_boot_roms_registers_are_put_back_after_reading() {
    let bench = Bench::new(|device| {
        device.registers.extend([
            (spi::USER, 0x8000_0004),
            (spi::USER1, 0x5C00_0000),
            (spi::USER2, 0x7000_0000),
        ]);
    });
    with_session(&bench, false, |session| session.read("span", 0..100)).unwrap();
    let device = bench.device();
    let registers = [spi::USER, spi::USER1, spi::USER2].map(|address| device.register(address));
    assert_eq!(registers, [0x8000_0004, 0x5C00_0000, 0x7000_0000]);
}

#[test]
fn a_lost_answer_is_read_again_and_a_dead_device_is_an_error_with_its_place() {
    let bench = Bench::new(|device| {
        device.fault = Box::new(|index, _| if index % 40 == 39 { Fault::LoseReply } else { Fault::None });
    });
    let read = with_session(&bench, false, |session| session.read("span", 0..300)).unwrap();
    assert_eq!(read, vec![0x5A; 300]);

    let bench = Bench::new(|device| {
        device.fault = Box::new(|_, command| match command {
            Command::ReadFlash { offset: 0x1_0000.., .. } => Fault::LoseRequest,
            _ => Fault::None,
        });
    });
    let error = with_session(&bench, true, |session| session.read("span", 0..0x2_0000)).unwrap_err();
    assert!(matches!(error, ReadError::Command { offset: 0x1_0000, .. }), "{error}");
    let reads = bench.device().requests.iter().filter(|line| *line == "READ_FLASH").count();
    assert_eq!(reads, 1 + 3);
}
