//! Machine code against the board, without the boot ROM: the programs are assembled from the listings beside them.

use espbroker_lx106::Bus as _;
use espbroker_lx106::SpecialRegister;

use super::*;
use crate::boot::{Cause, Strap};
use crate::machine::board::SharedNor;
use crate::nor::{FlashSource, Nor};
use crate::timing::Pace;

const CODE: u32 = 0x4010_0000;

/// Sends back every byte plus one; an exclamation mark resets the chip.
///
/// ```text
///        .word 0x60000000, 0x60000700
/// start: l32r a3, 0            l32r of the first word
///        movi a6, 33
/// wait:  l32i a4, a3, 0x1C
///        extui a4, a4, 0, 8
///        beqz a4, wait
///        l32i a5, a3, 0
///        beq a5, a6, reset
///        addi a5, a5, 1
///        s32i a5, a3, 0
///        j wait
/// reset: l32r a3, 4
///        movi a5, 1
///        slli a5, a5, 31
///        s32i a5, a3, 0
/// spin:  j spin
/// ```
pub(crate) const ECHO: [u32; 14] = [
    0x6000_0000,
    0x6000_0700,
    0x62FF_FE31,
    0x2342_21A0,
    0x7440_4007,
    0x52FF_6416,
    0x1567_0023,
    0x01C5_5208,
    0xC600_6352,
    0xF731_FFF9,
    0x01A0_52FF,
    0x5201_5510,
    0xFF06_0063,
    0x0000_00FF,
];
/// Where [`ECHO`] starts, behind its constants.
pub(crate) const ECHO_ENTRY: u32 = CODE + 8;

/// Sets VECBASE to 0x40100100, enables the UART's interrupt and sleeps.
///
/// ```text
///        .word 0x60000000, 0x40100100
/// start: l32r a2, 4
///        wsr a2, vecbase
///        l32r a3, 0
///        movi a4, 1
///        s32i a4, a3, 0x0C
///        movi a4, 32
///        wsr a4, intenable
///        wsr a4, ps
/// sleep: waiti 0
///        j sleep
/// ```
const SLEEPER: [u32; 10] = [
    0x6000_0000,
    0x4010_0100,
    0x20FF_FF21,
    0xFC31_13E7,
    0x01A0_42FF,
    0x4203_6342,
    0xE440_20A0,
    0x13E6_4013,
    0x4600_7000,
    0x0000_FFFE,
];
/// Its interrupt handler, at the user vector: sends back every byte minus one.
///
/// ```text
///        movi a6, -1
///        l32i a4, a3, 0x1C
///        extui a4, a4, 0, 8
///        beqz a4, out
///        l32i a5, a3, 0
///        addi a5, a5, -1
///        s32i a5, a3, 0
/// out:   s32i a6, a3, 0x10
///        rfe
/// ```
const HANDLER: [u32; 7] =
    [0x42FF_AF62, 0x4040_0723, 0x0084_1674, 0x5200_2352, 0x6352_FFC5, 0x0463_6200, 0x0000_3000];
const HANDLER_AT: u32 = CODE + 0x150;

pub(crate) fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn machine(flash: Vec<u8>) -> Machine {
    let nor = Nor::new(FlashSource::Bytes(flash), 0x40_0000, [0xEF, 0x40, 0x16], Pace::RealTime, 0).unwrap();
    let mut machine = Machine::new(Board::without_faults(SharedNor::new(nor), [1, 2, 3, 4, 5, 6]));
    machine.restart(Cause::PowerOn, Strap::Flash);
    machine.bus.set_divider(451);
    machine
}

fn started(code: &[(u32, &[u32])], entry: u32) -> Machine {
    let mut machine = machine(vec![]);
    for (address, words) in code {
        assert!(machine.bus.upload(*address, &bytes(words)));
    }
    machine.enter(entry, Duration::from_millis(1));
    machine
}

fn sent(machine: &mut Machine) -> Vec<(u8, u128)> {
    let line = &mut machine.bus.line;
    std::iter::from_fn(|| line.to_host.receive(Duration::MAX))
        .map(|symbol| (symbol.byte, symbol.at.as_micros()))
        .collect()
}

#[test]
fn code_is_entered_as_the_rom_does_it() {
    let machine = started(&[(CODE, &ECHO)], ECHO_ENTRY);
    let [a0, a1, a2, ..] = machine.cpu.a;
    assert_eq!((a0, a1, a2, machine.cpu.pc), (0x4000_1100, 0x3FFF_FFF0, ECHO_ENTRY, ECHO_ENTRY));
    let special = |register| machine.cpu.special(register);
    assert_eq!(special(SpecialRegister::Ps), 0x20);
    assert_eq!((special(SpecialRegister::Intenable), special(SpecialRegister::Vecbase)), (0, 0x4000_0000));
    assert_eq!(machine.now(), Duration::from_millis(1));
}

#[test]
fn a_polling_loop_gets_each_byte_when_it_is_through_and_sends_its_own() {
    let mut machine = started(&[(CODE, &ECHO)], ECHO_ENTRY);
    for byte in *b"HAL" {
        machine.bus.line.host_sends(byte, Duration::from_millis(10));
    }
    assert_eq!(machine.advance(Duration::from_millis(20)), Halt::Until);
    let sent = sent(&mut machine);
    assert_eq!(sent.iter().map(|&(byte, _)| byte).collect::<Vec<_>>(), b"IBM");
    let times: Vec<u128> = sent.iter().map(|&(_, at)| at).collect();
    assert!((10_172..10_176).contains(&times[0]), "one byte time in, one out: {times:?}");
    assert!(times.windows(2).all(|pair| (85..89).contains(&(pair[1] - pair[0]))), "{times:?}");
}

#[test]
fn waiting_for_the_host_takes_no_work_however_long_it_takes() {
    for (code, entry) in
        [(vec![(CODE, &ECHO[..])], ECHO_ENTRY), (vec![(CODE, &SLEEPER), (HANDLER_AT, &HANDLER)], CODE + 8)]
    {
        let mut machine = started(&code, entry);
        assert_eq!(machine.advance(Duration::from_secs(36_000)), Halt::Until);
        assert_eq!(machine.next_event(), None);
        machine.bus.line.host_sends(b'M', Duration::from_secs(36_000));
        machine.advance(Duration::from_secs(36_001));
        assert_eq!(sent(&mut machine).len(), 1);
    }
}

#[test]
fn a_sleeping_program_is_woken_by_the_receive_interrupt() {
    let mut machine = started(&[(CODE, &SLEEPER), (HANDLER_AT, &HANDLER)], CODE + 8);
    machine.advance(Duration::from_millis(5));
    for byte in *b"IBM" {
        machine.bus.line.host_sends(byte, Duration::from_millis(5));
    }
    machine.advance(Duration::from_millis(20));
    assert_eq!(sent(&mut machine).iter().map(|&(byte, _)| byte).collect::<Vec<_>>(), b"HAL");
}

#[test]
fn a_reset_by_the_code_and_one_by_the_watchdog_end_it() {
    let mut machine = started(&[(CODE, &ECHO)], ECHO_ENTRY);
    machine.bus.line.host_sends(b'!', Duration::from_millis(10));
    assert_eq!(machine.advance(Duration::from_secs(10)), Halt::Reset(Cause::External));
    assert!(machine.now() < Duration::from_millis(13));

    let mut machine = started(&[(CODE, &ECHO)], ECHO_ENTRY);
    for (offset, value) in [(4, 5), (8, 6), (0, 1)] {
        machine.store(0x6000_0900 + offset, Width::Word, value).unwrap();
    }
    assert_eq!(machine.advance(Duration::from_secs(10)), Halt::Reset(Cause::Watchdog));
    assert_eq!(machine.now().as_micros() / 100, 10 + 768, "0.8 ms times 32 and 64, from 1 ms on");
}

#[test]
fn memory_takes_what_the_chip_takes_and_refuses_the_rest() {
    let mut machine = machine(vec![]);
    let access = |machine: &mut Machine, address| {
        [Width::Byte, Width::Half, Width::Word].map(|width| {
            (machine.bus.load(address, width, 0).err(), machine.bus.store(address, width, 0, 0).err())
        })
    };
    let narrow = (Some(Fault::LoadStoreError), Some(Fault::LoadStoreError));
    let all = (None, None);
    let read_only = (None, Some(Fault::LoadStoreError));
    let illegal = (Some(Fault::LoadProhibited), Some(Fault::StoreProhibited));
    for (address, expected) in [
        (0x0000_0000, [illegal; 3]),
        (0x1FFF_FFFC, [illegal; 3]),
        (0x3FFE_8000, [all; 3]),
        (0x3FFF_FFFC, [all; 3]),
        (0x4000_0000, [narrow, narrow, read_only]),
        (0x4010_0000, [narrow, narrow, all]),
        (0x4010_FFFC, [narrow, narrow, all]),
        (0x4011_0000, [narrow; 3]),
        (0x4020_0000, [narrow, narrow, read_only]),
        (0x6000_0304, [all; 3]),
    ] {
        assert_eq!(access(&mut machine, address), expected, "{address:#x}");
    }
    assert_eq!(machine.bus.fetch(0x3FFE_8000), Err(Fault::FetchError));
    assert_eq!(machine.bus.fetch(0x1000_0000), Err(Fault::FetchProhibited));
    assert!(machine.bus.fetch(0x4010_0000).is_ok());
}

#[test]
fn the_flash_window_opens_with_the_cache_and_takes_ram_from_the_code() {
    let mut machine = machine(vec![1, 2, 3, 4]);
    let window = 0x4020_0000;
    assert_eq!(machine.load(window, Width::Word), Ok(0));
    machine.store(0x3FF0_000C, Width::Word, 1 << 8).unwrap();
    assert_eq!(machine.load(window, Width::Word), Ok(0x0403_0201));
    assert_eq!(machine.bus.fetch(window), Ok(0x0403_0201));
    machine.store(0x4010_C000, Width::Word, 7).unwrap();
    machine.store(0x4010_8000, Width::Word, 8).unwrap();
    machine.store(0x3FF0_0024, Width::Word, 1 << 3).unwrap();
    let words = [0x4010_8000, 0x4010_C000].map(|address| machine.load(address, Width::Word));
    assert_eq!(words, [Ok(8), Ok(0)]);
    assert_eq!(machine.bus.fetch(0x4010_C000), Err(Fault::FetchError));
}

#[test]
fn a_flash_command_keeps_the_controller_busy_and_the_flash_longer() {
    let mut machine = machine(vec![]);
    let spi = 0x6000_0200;
    machine.store(spi + 0x08, Width::Word, 0x313).unwrap();
    machine.store(spi, Width::Word, 1 << 30).unwrap();
    assert_eq!(machine.load(spi, Width::Word), Ok(1 << 30));
    machine.cpu.pass(8 * 4);
    assert_eq!(machine.load(spi, Width::Word), Ok(0), "eight bits at 13 MHz");
    machine.store(spi + 4, Width::Word, 0x1000).unwrap();
    machine.store(spi, Width::Word, 1 << 24).unwrap();
    machine.cpu.pass(52_000);
    let polled = |machine: &mut Machine| {
        machine.store(spi, Width::Word, 1 << 27).unwrap();
        machine.cpu.pass(100);
        machine.load(spi + 0x10, Width::Word)
    };
    assert_eq!(polled(&mut machine), Ok(1));
    machine.cpu.pass(52_000 * 45);
    assert_eq!(polled(&mut machine), Ok(0));
}

#[test]
fn a_timer_interrupt_needs_its_edge_enabled() {
    for (edges, expected) in [(0, 0), (2, 1 << 9)] {
        let mut machine = machine(vec![]);
        machine.store(0x3FF0_0004, Width::Word, edges).unwrap();
        machine.store(0x6000_0608, Width::Word, 1 << 7).unwrap();
        machine.store(0x6000_0600, Width::Word, 1000).unwrap();
        let first = machine.bus.poll(machine.cpu.cycles());
        assert_eq!((first.edges, first.next), (0, machine.cpu.cycles() + 1000));
        assert_eq!(machine.bus.poll(first.next).edges, expected);
    }
}

#[test]
fn the_faster_clock_gives_two_cycles_for_one_of_the_peripherals() {
    let mut machine = machine(vec![]);
    let before = machine.now();
    machine.cpu.pass(52_000);
    machine.store(0x3FF0_0014, Width::Word, 1).unwrap();
    machine.cpu.pass(104_000);
    assert_eq!(machine.now() - before, Duration::from_millis(2));
}
