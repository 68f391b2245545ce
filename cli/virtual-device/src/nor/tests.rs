use super::*;

const T0: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(100);

fn chip() -> Nor {
    Nor::new(FlashSource::Blank, 0x10_0000, [0xEF, 0x40, 0x14], Pace::Instant, 7).unwrap()
}

fn program(nor: &mut Nor, address: u32, data: &[u8]) {
    nor.write_enable(T0);
    nor.program(address, data, T0);
}

fn erase(nor: &mut Nor, unit: Erase) {
    nor.write_enable(T0);
    nor.erase(unit, T0);
}

fn byte(nor: &Nor, address: u32) -> u8 {
    let mut byte = [0];
    nor.read(address, &mut byte, LATER);
    byte[0]
}

#[test]
fn programming_only_clears_bits_and_erasing_sets_a_whole_sector() {
    let mut nor = chip();
    program(&mut nor, 0x1000, &[0xF0]);
    program(&mut nor, 0x1000, &[0x3C]);
    assert_eq!(byte(&nor, 0x1000), 0x30);
    program(&mut nor, 0x1FFF, &[0]);
    program(&mut nor, 0x2000, &[0]);
    erase(&mut nor, Erase::Sector(0x1234));
    assert_eq!([byte(&nor, 0x1000), byte(&nor, 0x1FFF), byte(&nor, 0x2000)], [0xFF, 0xFF, 0]);
}

#[test]
fn every_operation_needs_its_own_write_enable() {
    let mut nor = chip();
    nor.program(0, &[0], T0);
    assert_eq!(byte(&nor, 0), 0xFF);
    program(&mut nor, 0, &[0xF0]);
    nor.program(0, &[0], T0);
    assert_eq!((byte(&nor, 0), nor.operations()), (0xF0, 1));
    nor.write_enable(T0);
    assert_eq!(nor.read_status(T0), STATUS_WRITE_ENABLED);
    nor.write_disable(T0);
    nor.erase(Erase::Chip, T0);
    assert_eq!(byte(&nor, 0), 0xF0);
}

#[test]
fn a_program_wraps_inside_its_page_and_the_last_256_bytes_count() {
    let mut nor = chip();
    program(&mut nor, 0x1FE, &[1, 2, 3]);
    assert_eq!([0x1FE, 0x1FF, 0x100, 0x200].map(|at| byte(&nor, at)), [1, 2, 3, 0xFF]);
    let mut long = vec![0; 10];
    long.extend([0xAA; 256]);
    program(&mut nor, 0x300, &long);
    assert!((0x300..0x400).all(|at| byte(&nor, at) == 0xAA));
}

#[test]
fn a_busy_chip_answers_its_status_and_nothing_else() {
    let mut nor = Nor::new(FlashSource::Blank, 0x40_0000, [0xEF, 0x40, 0x16], Pace::RealTime, 7).unwrap();
    erase(&mut nor, Erase::Sector(0));
    assert_eq!(nor.busy_until(), Duration::from_millis(45));
    let during = Duration::from_millis(44);
    assert_eq!(nor.read_status(during), STATUS_BUSY);
    assert_eq!(nor.read_id(during), [0xFF; 3]);
    nor.write_enable(during);
    assert_eq!(nor.read_status(Duration::from_millis(45)), 0);
    assert_eq!(nor.read_id(Duration::from_millis(45)), [0xEF, 0x40, 0x16]);
    nor.write_enable(LATER);
    nor.erase(Erase::Chip, LATER);
    assert_eq!(nor.busy_until() - LATER, Duration::from_secs(10));
}

#[test]
fn protection_bits_refuse_everything_until_they_are_cleared_and_survive_a_power_cycle() {
    let mut nor = chip();
    nor.write_enable(T0);
    nor.write_status(0x1C, T0);
    nor.power_cycle();
    program(&mut nor, 0, &[0]);
    assert_eq!((byte(&nor, 0), nor.operations()), (0xFF, 0));
    nor.write_enable(T0);
    nor.write_status(0, T0);
    program(&mut nor, 0, &[0]);
    assert_eq!(byte(&nor, 0), 0);
}

#[test]
fn a_power_cut_leaves_a_page_half_programmed_and_a_sector_torn() {
    let mut nor = chip();
    program(&mut nor, 0x1000, &[0; 256]);
    nor.cut_power_after(1);
    program(&mut nor, 0x2000, &[0; 256]);
    assert!(nor.is_powered());
    program(&mut nor, 0x3000, &[0; 256]);
    assert!(!nor.is_powered());
    assert_eq!(byte(&nor, 0x3000), 0xFF, "a chip without supply gives FF");
    nor.power_cycle();
    assert!((0x3000..0x3080).all(|at| byte(&nor, at) == 0));
    assert!((0x3081..0x3100).all(|at| byte(&nor, at) == 0xFF));

    nor.cut_power_after(0);
    erase(&mut nor, Erase::Sector(0x1000));
    nor.power_cycle();
    let torn: Vec<u8> = (0x1000..0x1100).map(|at| byte(&nor, at)).collect();
    assert!(torn.iter().any(|&byte| byte != 0) && torn.iter().any(|&byte| byte != 0xFF));
}

#[test]
fn addresses_wrap_at_the_end_of_a_small_chip() {
    let mut nor = chip();
    program(&mut nor, 0x10_0005, &[0x55]);
    assert_eq!(byte(&nor, 5), 0x55);
    let mut across = [0; 8];
    nor.read(0x0F_FFFE, &mut across, T0);
    assert_eq!(across, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x55]);
}

#[test]
fn a_worn_out_sector_stays_as_it_is() {
    let mut nor = chip();
    program(&mut nor, 0x1000, &[0]);
    nor.wear_out(0x1000);
    erase(&mut nor, Erase::Block(0));
    assert_eq!(byte(&nor, 0x1000), 0);
}

#[test]
fn a_flash_file_holds_every_operation_and_a_file_of_another_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flash.bin");
    let open = |size| Nor::new(FlashSource::File(path.clone()), size, [0; 3], Pace::Instant, 0);
    let mut nor = open(0x10_0000).unwrap();
    program(&mut nor, 0x1000, b"kept");
    drop(nor);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!((bytes.len(), &bytes[0x1000..0x1005]), (0x10_0000, &b"kept\xFF"[..]));
    assert_eq!(byte(&open(0x10_0000).unwrap(), 0x1003), b't');
    assert!(matches!(open(0x8_0000), Err(StorageError::TooLong { size: 0x8_0000, length: 0x8_0001 })));
}
