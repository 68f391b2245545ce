//! Loops that wait are recognised; loops that do something are not.

use espbroker_lx106::{SpecialRegister, Stop};

use crate::board::{Board, DATA, DEVICE, cpu};

/// L32I a3, a2, 0; BEQZ a3 back to it; then MOVI.N a4, 1.
const POLLING: [u32; 3] = [0x00_2232, 0xFF_9316, 0x140C];

#[test]
fn polling_a_register_or_memory_is_spinning_until_it_changes() {
    for address in [DATA, DEVICE] {
        let mut board = Board::new(&POLLING);
        let mut cpu = cpu();
        cpu.a[2] = address;
        assert_eq!(cpu.run(&mut board, 1_000_000), Stop::Spinning);
        assert!(cpu.cycles() < 1000);
        let before = cpu.cycles();
        cpu.skip(5001);
        assert!(cpu.cycles() <= 5001 && cpu.cycles() >= 4999);
        assert_eq!((cpu.cycles() - before) % 2, 0);
        board.device = 1;
        board.data[0] = 1;
        cpu.run(&mut board, cpu.cycles() + 3);
        assert_eq!(cpu.a[4], 1);
    }
}

#[test]
fn a_loop_that_counts_stores_to_a_device_or_reads_the_time_is_not_spinning() {
    for body in [[0x331B, 0xFF_FE86], [0x0239, 0xFF_FE86], [0x03_EA30, 0xFF_FE46]] {
        let mut board = Board::new(&body);
        let mut cpu = cpu();
        cpu.a[2] = DEVICE;
        assert_eq!(cpu.run(&mut board, 10_000), Stop::Until, "{body:x?}");
    }
}

#[test]
fn a_loop_that_stores_what_memory_holds_already_is_spinning() {
    let mut board = Board::new(&[0x0239, 0xFF_FE86]);
    let mut cpu = cpu();
    (cpu.a[2], cpu.a[3]) = (DATA, 7);
    assert_eq!(cpu.run(&mut board, 10_000), Stop::Spinning);
    assert_eq!(board.data[0], 7);
}

#[test]
fn a_loop_that_stores_a_count_is_not_spinning() {
    let mut board = Board::new(&[0x331B, 0x0239, 0xFF_FE06]);
    let mut cpu = cpu();
    cpu.a[2] = DATA;
    assert_eq!(cpu.run(&mut board, 10_000), Stop::Until);
}

#[test]
fn an_event_during_a_round_is_not_missed() {
    for next in 1..600 {
        let mut board = Board::new(&POLLING);
        let mut cpu = cpu();
        cpu.a[2] = DEVICE;
        board.next = next;
        // Up to the event the register may not change, from it on it does.
        while cpu.cycles() < next {
            match cpu.run(&mut board, next) {
                Stop::Spinning => cpu.skip(next),
                stop => assert_eq!(stop, Stop::Until),
            }
        }
        board.device = 1;
        board.next = u64::MAX;
        cpu.run(&mut board, cpu.cycles() + 10);
        assert_eq!(cpu.a[4], 1);
        assert_eq!(cpu.special(SpecialRegister::Exccause), 0);
    }
}
