//! Every kind of flash behaves as serial NOR does, and carries the config partition.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{
    io,
    sync::{Arc, Mutex},
};

use embedded_storage::nor_flash::{NorFlash as _, ReadNorFlash as _};
use espbroker_config::{
    flash_map::{CONFIG_A, FlashMap},
    model::Config,
    slots::{self, Loaded, Slot},
};
use espbroker_host::{FileFlash, Flash, FlashError, MemoryFlash, Nor};

fn capacity() -> usize {
    usize::try_from(FlashMap::Map4M.flash_size()).unwrap()
}

fn read<F: Flash>(flash: &mut Nor<F>, offset: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    flash.read(offset, &mut bytes).unwrap();
    bytes
}

fn behaves_as_nor(flash: impl Flash) {
    let mut flash = Nor(flash);
    let end = u32::try_from(flash.capacity()).unwrap();
    assert_eq!(read(&mut flash, 0), [0xFF; 8]);
    flash.write(4, &[0xF0; 4]).unwrap();
    flash.write(4, &[0x3C; 4]).unwrap();
    assert_eq!(
        read(&mut flash, 0),
        [0xFF, 0xFF, 0xFF, 0xFF, 0x30, 0x30, 0x30, 0x30],
        "bits are only cleared"
    );

    flash.write(4096, &[0; 4]).unwrap();
    flash.erase(0, 4096).unwrap();
    assert_eq!(read(&mut flash, 0), [0xFF; 8]);
    assert_eq!(read(&mut flash, 4096), [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], "the next sector is untouched");

    assert!(matches!(flash.write(2, &[0; 4]), Err(FlashError::NotAligned { offset: 2, length: 4 })));
    assert!(matches!(flash.read(0, &mut [0; 3]), Err(FlashError::NotAligned { .. })));
    assert!(matches!(flash.erase(4, 4096), Err(FlashError::NotAligned { .. })));
    assert!(matches!(flash.erase(4096, 0), Err(FlashError::NotAligned { .. })));
    assert!(matches!(flash.0.erase_sector(4), Err(FlashError::NotAligned { .. })));
    assert!(matches!(flash.read(end - 4, &mut [0; 8]), Err(FlashError::OutOfBounds { .. })));
    assert!(matches!(flash.write(end, &[0; 4]), Err(FlashError::OutOfBounds { .. })));
    assert!(matches!(flash.erase(end, end + 4096), Err(FlashError::OutOfBounds { .. })));
}

#[test]
fn memory_holds_what_lies_across_sectors() {
    let mut flash = MemoryFlash::blank(3 * 4096);
    let written: Vec<u8> = (0..=255).cycle().take(6000).collect();
    flash.program(3000, &written).unwrap();
    let mut read = vec![0; 3 * 4096];
    flash.read(0, &mut read).unwrap();
    assert!(read[..3000].iter().chain(&read[9000..]).all(|byte| *byte == 0xFF));
    assert!(read[3000..9000] == written);
    flash.erase_sector(4096).unwrap();
    flash.read(0, &mut read).unwrap();
    assert!(read[3000..4096] == written[..1096] && read[8192..9000] == written[5192..]);
    assert!(read[4096..8192].iter().all(|byte| *byte == 0xFF));
}

#[test]
fn memory_file_and_shared_flash_clear_bits_and_erase_sectors() {
    let folder = tempfile::tempdir().unwrap();
    behaves_as_nor(MemoryFlash::blank(capacity()));
    behaves_as_nor(FileFlash::open(&folder.path().join("flash.bin"), capacity()).unwrap());
    behaves_as_nor(Arc::new(Mutex::new(MemoryFlash::blank(capacity()))));
    let boxed: Box<dyn Flash> = Box::new(MemoryFlash::blank(capacity()));
    behaves_as_nor(boxed);
}

#[test]
fn a_config_stored_in_a_file_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flash.bin");
    let config = Config::new("kept");
    let mut flash = Nor(FileFlash::open(&path, capacity()).unwrap());
    assert_eq!(slots::store(&mut flash, &config).unwrap(), (Slot::A, 1));
    drop(flash);

    let mut flash = Nor(FileFlash::open(&path, capacity()).unwrap());
    let Loaded::Config { slot: Slot::A, record } = slots::load(&mut flash).unwrap() else {
        panic!("no config")
    };
    assert_eq!(record.config, config);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), capacity());
    assert_eq!(&bytes[usize::try_from(CONFIG_A.offset).unwrap()..][..4], slots::MAGIC);
}

#[cfg(unix)]
#[test]
fn a_new_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flash.bin");
    FileFlash::open(&path, capacity()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_belongs_to_one_device_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flash.bin");
    let first = FileFlash::open(&path, capacity()).unwrap();
    let error = FileFlash::open(&path, capacity()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (io::ErrorKind::ResourceBusy, "another device uses it".into())
    );
    drop(first);
    FileFlash::open(&path, capacity()).unwrap();
}

#[test]
fn a_file_of_another_length_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flash.bin");
    std::fs::write(&path, b"something else").unwrap();
    let error = FileFlash::open(&path, capacity()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "flash file is not 4194304 bytes long: 14");
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
}
