//! espflash's `Connection` on a pseudo terminal of the virtual ESP8266.
#![cfg(unix)]

use espbroker_virtual_device::{FlashButton, Options, VirtualDevice, Wiring};
use espflash::connection::{Connection, ResetAfterOperation, ResetBeforeOperation};
use serialport::UsbPortInfo;

/// Holds 0xFFF0C101 on every ESP8266.
const CHIP_MAGIC_REGISTER: u32 = 0x4000_1000;
/// GPIO output register, which can be written and read back.
const GPIO_OUTPUT: u32 = 0x6000_0300;

#[test]
fn espflash_syncs_and_reads_and_writes_registers() {
    let device = VirtualDevice::new(Options {
        mac: [0x5E, 0xCF, 0x7F, 0x01, 0x02, 0x03],
        // A terminal has no DTR and RTS, so the FLASH button is held while the board gets power.
        wiring: Wiring::Manual(FlashButton::Held),
        ..Options::default()
    })
    .unwrap();
    let served = device.serve_pty().unwrap();
    let serial = serialport::new(served.path().display().to_string(), 115_200).open_native().unwrap();
    let usb =
        UsbPortInfo { vid: 0x1A86, pid: 0x7523, serial_number: None, manufacturer: None, product: None };
    let mut connection =
        Connection::new(serial, usb, ResetAfterOperation::NoReset, ResetBeforeOperation::NoReset, 115_200);
    connection.begin().unwrap();
    assert_eq!(connection.read_reg(CHIP_MAGIC_REGISTER).unwrap(), 0xFFF0_C101);
    let efuse: Vec<u32> =
        [0x3FF0_0050, 0x3FF0_0054].map(|address| connection.read_reg(address).unwrap()).to_vec();
    assert_eq!((efuse[0] >> 24, efuse[1] & 0xFFFF), (0x03, 0x0102));
    connection.write_reg(GPIO_OUTPUT, 0xA5A5, None).unwrap();
    assert_eq!(connection.read_reg(GPIO_OUTPUT).unwrap() & 0xFFFF, 0xA5A5);
    connection.write_reg(GPIO_OUTPUT, 0x0000, Some(0x00FF)).unwrap();
    assert_eq!(connection.read_reg(GPIO_OUTPUT).unwrap() & 0xFFFF, 0xA500);
}
