//! Exceptions: what is saved, and where the CPU goes on.

use espbroker_lx106::{Cpu, SpecialRegister as S, Stop};

use crate::board::{Board, CODE, DATA, cpu};

/// Runs one instruction that raises an exception; the vectors are native.
fn raised(word: u32, a2: u32) -> Cpu {
    let mut board = Board::new(&[word]);
    let mut cpu = cpu();
    cpu.a[2] = a2;
    assert_eq!(cpu.run(&mut board, 10), Stop::Native);
    assert_eq!((cpu.special(S::Epc1), cpu.special(S::Ps), cpu.pc), (CODE, 0x30, 0x4000_0050));
    cpu
}

#[test]
fn causes_and_addresses_are_those_of_the_access() {
    for (word, a2, cause, address) in [
        (0x00_0000, 0, 0, 0),
        (0xF06D, 0, 0, 0),
        (0x00_5000, 0, 1, 0),
        (0x00_2242, DATA + 2, 9, DATA + 2),
        (0x00_1242, DATA + 1, 9, DATA + 1),
        (0x00_5242, DATA + 1, 9, DATA + 1),
        (0x00_0242, CODE + 5, 3, CODE + 5),
        (0x00_2242, 16, 28, 16),
        (0x00_6242, 16, 29, 16),
    ] {
        let cpu = raised(word, a2);
        assert_eq!((cpu.special(S::Exccause), cpu.special(S::Excvaddr)), (cause, address), "{word:06x}");
        assert_eq!(cpu.a[4], 0);
    }
}

#[test]
fn what_the_lx106_lacks_is_illegal() {
    // ENTRY, RETW, CALL4, CALLX4, LOOP, MIN, SEXT, CLAMPS, QUOU, MULUH, S32C1I, L32AI, S32RI, DHWB, RFUE, BT, MAC16,
    // LSI, RETW.N, opcode 14, RSR.LBEG, RSR.INTCLEAR, WSR.PRID, XSR.INTERRUPT
    for word in [
        0x0136, 0x90, 0x15, 0xD0, 0x8076, 0x43_0000, 0x23_0000, 0x33_0000, 0xC2_0000, 0xA2_0000, 0xE002,
        0xB002, 0xF002, 0x7002, 0x3100, 0x1076, 0x04, 0x03, 0xF01D, 0xE, 0x03_0000, 0x03_E300, 0x13_EB00,
        0x61_E200,
    ] {
        assert_eq!(raised(word, 0).special(S::Exccause), 0, "{word:06x}");
    }
}

#[test]
fn an_exception_in_exception_mode_goes_to_the_double_vector_and_comes_back_with_rfde() {
    let mut board = Board::new(&[0x00_0000, 0x00_3200]);
    let mut cpu = cpu();
    cpu.set_special(S::Ps, 0x30);
    cpu.set_special(S::Epc1, 5);
    assert_eq!(cpu.run(&mut board, 10), Stop::Native);
    assert_eq!((cpu.pc, cpu.special(S::Depc), cpu.special(S::Epc1)), (0x4000_0070, CODE, 5));
    cpu.pc = CODE + 3;
    cpu.run(&mut board, cpu.cycles() + 1);
    assert_eq!((cpu.pc, cpu.special(S::Ps)), (CODE, 0x30));
}

#[test]
fn without_user_mode_exceptions_go_to_the_kernel_vector() {
    let mut board = Board::new(&[0x00_0000]);
    let mut cpu = cpu();
    cpu.set_special(S::Ps, 0);
    cpu.set_special(S::Vecbase, 0x4000_1000);
    assert_eq!(cpu.run(&mut board, 10), Stop::Native);
    assert_eq!(cpu.pc, 0x4000_1030);
}

#[test]
fn rfe_leaves_exception_mode() {
    let mut board = Board::new(&[0x00_3000]);
    let mut cpu = cpu();
    cpu.set_special(S::Ps, 0x3F);
    cpu.set_special(S::Epc1, CODE + 9);
    cpu.run(&mut board, 1);
    assert_eq!((cpu.pc, cpu.special(S::Ps)), (CODE + 9, 0x2F));
}

#[test]
fn break_enters_the_debug_vector_unless_masked_and_rfi_returns() {
    for (word, cause) in [(0x00_4120, 8), (0xF12D, 16)] {
        let mut board = Board::new(&[word, 0x00_3210]);
        let mut cpu = cpu();
        assert_eq!(cpu.run(&mut board, 10), Stop::Native);
        assert_eq!((cpu.pc, cpu.special(S::Ps), cpu.special(S::Debugcause)), (0x4000_0010, 0x32, cause));
        assert_eq!((cpu.special(S::Epc2), cpu.special(S::Eps2)), (CODE, 0x20));
        cpu.set_special(S::Epc2, CODE + 100);
        cpu.pc = CODE + if cause == 8 { 3 } else { 2 };
        cpu.run(&mut board, cpu.cycles() + 1);
        assert_eq!((cpu.pc, cpu.special(S::Ps)), (CODE + 100, 0x20));
        cpu.set_special(S::Ps, 0x22);
        cpu.pc = CODE;
        cpu.run(&mut board, cpu.cycles() + 1);
        assert_eq!(cpu.pc, CODE + if cause == 8 { 3 } else { 2 });
    }
}

#[test]
fn a_fetch_that_fails_names_the_address_it_failed_at() {
    let mut board = Board::new(&[]);
    let mut cpu = cpu();
    cpu.pc = 0x1000_0001;
    assert_eq!(cpu.run(&mut board, 10), Stop::Native);
    assert_eq!((cpu.special(S::Exccause), cpu.special(S::Excvaddr)), (20, 0x1000_0001));
}

#[test]
fn simcall_stops_behind_itself() {
    let mut board = Board::new(&[0x00_5100]);
    let mut cpu = cpu();
    assert_eq!(cpu.run(&mut board, 10), Stop::Simulator);
    assert_eq!((cpu.pc, cpu.cycles()), (CODE + 3, 1));
}
