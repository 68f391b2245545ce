//! Flash functions against the contents of the NOR flash and its time.

use super::*;

const READ: u32 = 0x4000_4B1C;
const WRITE: u32 = 0x4000_4A4C;
const ERASE_SECTOR: u32 = 0x4000_4A00;
const ERASE_BLOCK: u32 = 0x4000_49B4;
const ERASE_CHIP: u32 = 0x4000_4984;
const ERASE_AREA: u32 = 0x4000_4B44;
const UNLOCK: u32 = 0x4000_4878;
const LOCK: u32 = 0x4000_48A8;
const ATTACH: u32 = 0x4000_4644;
const READ_STATUS: u32 = 0x4000_43C8;
const WAIT_IDLE: u32 = 0x4000_448C;
const PARAM: u32 = 0x4000_4C2C;
const CHIP: u32 = 0x3FFF_C718;

impl Bench {
    fn flash(&self) -> Vec<u8> {
        self.machine.bus.nor.lock().contents()
    }

    fn erased_sectors(&self) -> Vec<usize> {
        self.flash()
            .chunks(4096)
            .enumerate()
            .filter(|(_, sector)| sector.iter().all(|&byte| byte == 0xFF))
            .map(|(number, _)| number)
            .collect()
    }
}

fn programmed() -> Bench {
    Bench::with_flash(vec![0; 0x40_0000])
}

#[test]
fn reading_stores_whole_words_and_takes_the_time_of_the_wire() {
    let contents: Vec<u8> = (0..=255).cycle().take(0x2000).collect();
    let mut bench = Bench::with_flash(contents.clone());
    bench.put(DATA, &[0xEE; 0x1100]);
    assert_eq!(bench.call(READ, &[5, DATA, 33]), 0);
    assert_eq!(bench.bytes(DATA, 33), contents[5..38]);
    let behind = bench.bytes(DATA + 33, 4);
    assert!(behind[0] != 0xEE && behind[3] == 0xEE, "rounded up to words: {behind:x?}");
    let (result, time) = bench.timed(READ, &[0x100, DATA, 0x1000]);
    assert_eq!((result, bench.bytes(DATA, 0x1000)), (0, contents[0x100..0x1100].to_vec()));
    // 128 times 36 bytes at 13 MHz are 2.84 ms.
    assert!((2840..3500).contains(&time.as_micros()), "{time:?}");
    assert_eq!(bench.call(READ, &[0x3F_FFFC, DATA, 4]), 0);
    assert_eq!(bench.call(READ, &[0x3F_FFFC, DATA, 8]), 1, "behind the end");
}

#[test]
fn writing_splits_at_pages_and_refuses_a_page_with_an_odd_length() {
    let mut bench = Bench::new();
    let data: Vec<u8> = (0..=255).rev().cycle().take(0x400).collect();
    bench.put(DATA, &data);
    assert_eq!(bench.call(WRITE, &[0x10F0, DATA, 0x234]), 0);
    assert_eq!(bench.flash()[0x10F0..0x1324], data[..0x234]);
    assert_eq!(bench.flash()[0x1324], 0xFF);
    // 16, 256, 256 and 36 bytes in pieces of at most 32.
    assert_eq!(bench.machine.bus.nor.lock().operations(), 1 + 8 + 8 + 2);
    assert_eq!(bench.call(WRITE, &[0x2000, DATA, 30]), 1);
    assert_eq!(bench.flash()[0x2000], 0xFF);
    assert_eq!(bench.call(WRITE, &[0x3F_FF00, DATA, 0x104]), 1, "behind the end");
    assert_eq!(bench.call(WRITE, &[0x3000, DATA, 0]), 0);
    bench.begin(WRITE, &[0, DATA, 0x1_0100]);
    assert!(matches!(bench.step(), Step::Stuck(_)), "the ROM never ends with 256 pages behind the first");
    let (cause, address, _) = bench.exception(WRITE, &[0x3000, DATA + 2, 4]);
    assert_eq!((cause, address), (9, DATA + 2), "the source is read by words");
}

#[test]
fn an_interrupt_finds_a_write_between_two_pieces() {
    let mut bench = Bench::new();
    bench.put(DATA, &[0; 0x100]);
    bench.begin(WRITE, &[0, DATA, 0x100]);
    bench.step();
    let [_, _, address, source, length, ..] = bench.machine.cpu.a;
    assert_eq!((address, source, length, bench.machine.cpu.pc), (0x20, DATA + 0x20, 0xE0, WRITE));
    assert!(matches!(bench.step(), Step::Wait { .. }), "the flash is programming");
    assert_eq!(bench.machine.cpu.pc, WRITE);
}

#[test]
fn erasing_takes_the_time_of_the_flash() {
    let mut bench = programmed();
    let (result, time) = bench.timed(ERASE_SECTOR, &[3]);
    assert_eq!((result, time.as_millis()), (0, 45));
    let (result, time) = bench.timed(ERASE_BLOCK, &[1]);
    assert_eq!((result, time.as_millis()), (0, 150));
    assert_eq!(bench.erased_sectors(), [vec![3], (16..32).collect()].concat());
    assert_eq!(bench.call(ERASE_SECTOR, &[1024]), 1);
    assert_eq!(bench.call(ERASE_BLOCK, &[64]), 1);
    assert_eq!(bench.erased_sectors().len(), 17);
    let (result, time) = bench.timed(ERASE_CHIP, &[]);
    assert_eq!((result, time.as_secs(), bench.erased_sectors().len()), (0, 10, 1024));
}

#[test]
fn erasing_an_area_counts_the_head_sectors_twice() {
    for (sector, sectors, result, erased) in [
        (512, 1, 0, vec![512, 513]),
        (3, 20, 0, (3..36).collect::<Vec<_>>()),
        (16, 40, 0, (16..72).collect()),
        (1023, 1, 1, vec![1023]),
        (5, 0, 0, vec![]),
    ] {
        let mut bench = programmed();
        bench.call(LOCK, &[]);
        assert_eq!(bench.call(ERASE_AREA, &[sector * 4096, sectors * 4096]), result);
        assert_eq!(bench.erased_sectors(), erased);
    }
    let mut bench = programmed();
    assert_eq!(bench.call(ERASE_AREA, &[1, 4096]), 1);
    assert_eq!(bench.call(ERASE_AREA, &[0x40_0000, 4096]), 1);
    assert_eq!(bench.erased_sectors(), vec![0; 0]);
}

#[test]
fn a_locked_flash_ignores_erases_until_it_is_unlocked() {
    let mut bench = programmed();
    assert_eq!(bench.call(LOCK, &[]), 0);
    let (_, time) = bench.timed(WAIT_IDLE, &[CHIP]);
    assert!(time.as_millis() >= 9, "SPILock comes back while the status is being written: {time:?}");
    assert_eq!(bench.call(READ_STATUS, &[CHIP, DATA]), 0);
    assert_eq!(bench.word(DATA), 0x1C);
    assert_eq!(bench.call(ERASE_SECTOR, &[0]), 0);
    assert_eq!(bench.erased_sectors(), vec![0; 0]);
    assert_eq!(bench.call(UNLOCK, &[]), 0);
    assert_eq!(bench.call(ERASE_SECTOR, &[0]), 0);
    assert_eq!(bench.erased_sectors(), [0]);
}

#[test]
fn attaching_sets_pins_clock_and_mode_and_keeps_the_status() {
    let mut bench = programmed();
    bench.call(LOCK, &[]);
    bench.put_word(0x6000_0208, 0);
    assert_eq!(bench.call(ATTACH, &[]), 0);
    assert_eq!(bench.word(0x6000_0208) & 0x01F0_7FFF, 0x0040_0313 | 0x20_0000 & 0x01F0_0000);
    assert_eq!(bench.word(0x6000_081C) & 0x130, 0x10);
    bench.call(READ_STATUS, &[CHIP, DATA]);
    assert_eq!(bench.word(DATA) & 0xFF, 0x1C);
    bench.call(0x4000_48EC, &[0]);
    assert_eq!(bench.word(0x6000_0208) & 0x0190_6000, 0x0100_2000, "QIO");
}

#[test]
fn the_sizes_that_were_set_are_the_limits() {
    let mut bench = programmed();
    assert_eq!(bench.call(PARAM, &[0x1234, 0x8000, 0x1_0000, 0x1000, 0x100, 0xFFFF]), 0);
    assert_eq!(bench.call(ERASE_SECTOR, &[8]), 1);
    assert_eq!(bench.call(ERASE_SECTOR, &[7]), 0);
    assert_eq!(bench.call(ERASE_BLOCK, &[0]), 1);
    assert_eq!(bench.call(READ, &[0x8000, DATA, 4]), 1);
    assert_eq!(bench.word(CHIP), 0x1234);
}

#[test]
fn the_cache_shows_the_megabyte_that_was_asked_for() {
    let mut contents = vec![0; 0x20_0000];
    contents[0x10_0000] = 7;
    let mut bench = Bench::with_flash(contents);
    bench.call(0x4000_4678, &[1, 0, 0]);
    assert_eq!(bench.word(0x4020_0000), 7);
    assert_eq!(bench.word(0x3FF0_0024) & 0x18, 8);
    bench.call(0x4000_47F0, &[]);
    assert_eq!(bench.word(0x3FF0_000C) & 0x100, 0);
    bench.call(0x4000_4678, &[0, 0, 1]);
    assert_eq!((bench.word(0x4020_0000), bench.word(0x3FF0_0024) & 0x18), (0, 0x18));
}
