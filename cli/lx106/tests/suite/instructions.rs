//! Each instruction once or more, with operands where the definition has an edge. The words are GNU as's.

use espbroker_lx106::{SpecialRegister, Stop, disassemble};

use crate::board::{Board, CODE, DATA, cpu};

/// Executes one instruction with a2 and a3 as operands and SAR = `sar`; returns a4.
fn result(word: u32, a2: u32, a3: u32, sar: u32) -> u32 {
    let mut board = Board::new(&[word]);
    let mut cpu = cpu();
    (cpu.a[2], cpu.a[3], cpu.a[4]) = (a2, a3, 0xDEAD_BEEF);
    cpu.set_special(SpecialRegister::Sar, sar);
    assert_eq!(cpu.run(&mut board, 1), Stop::Until);
    cpu.a[4]
}

#[test]
fn arithmetic_gives_what_the_definition_says() {
    const MIN: u32 = 0x8000_0000;
    for (word, a2, a3, expected, text) in [
        (0x80_4230, u32::MAX, 2, 1, "add a4, a2, a3"),
        (0x423A, 5, 6, 11, "add.n a4, a2, a3"),
        (0x90_4230, 3, 1, 7, "addx2 a4, a2, a3"),
        (0xA0_4230, 3, 1, 13, "addx4 a4, a2, a3"),
        (0xB0_4230, 3, 1, 25, "addx8 a4, a2, a3"),
        (0xC0_4230, 3, 5, u32::MAX - 1, "sub a4, a2, a3"),
        (0xD0_4230, 3, 1, 5, "subx2 a4, a2, a3"),
        (0xE0_4230, 3, 1, 11, "subx4 a4, a2, a3"),
        (0xF0_4230, 3, 1, 23, "subx8 a4, a2, a3"),
        (0x10_4230, 12, 10, 8, "and a4, a2, a3"),
        (0x20_4230, 12, 10, 14, "or a4, a2, a3"),
        (0x30_4230, 12, 10, 6, "xor a4, a2, a3"),
        (0x60_4030, 0, 1, u32::MAX, "neg a4, a3"),
        (0x60_4130, 0, MIN, MIN, "abs a4, a3"),
        (0x60_4130, 0, u32::MAX, 1, "abs a4, a3"),
        (0x80_C242, 1, 0, 0xFFFF_FF81, "addi a4, a2, -128"),
        (0x80_D242, 1, 0, 0xFFFF_8001, "addmi a4, a2, -32768"),
        (0x420B, 7, 0, 6, "addi.n a4, a2, -1"),
        (0x42FB, 7, 0, 22, "addi.n a4, a2, 15"),
        (0x00_A842, 0, 0, 0xFFFF_F800, "movi a4, -2048"),
        (0xFF_A742, 0, 0, 2047, "movi a4, 2047"),
        (0x046C, 0, 0, 0xFFFF_FFE0, "movi.n a4, -32"),
        (0xF45C, 0, 0, 95, "movi.n a4, 95"),
        (0x024D, 9, 0, 9, "mov.n a4, a2"),
        (0x83_4230, 9, 0, 9, "moveqz a4, a2, a3"),
        (0x83_4230, 9, 1, 0xDEAD_BEEF, "moveqz a4, a2, a3"),
        (0x93_4230, 9, 1, 9, "movnez a4, a2, a3"),
        (0x93_4230, 9, 0, 0xDEAD_BEEF, "movnez a4, a2, a3"),
        (0xA3_4230, 9, MIN, 9, "movltz a4, a2, a3"),
        (0xA3_4230, 9, 0, 0xDEAD_BEEF, "movltz a4, a2, a3"),
        (0xB3_4230, 9, 0, 9, "movgez a4, a2, a3"),
        (0xB3_4230, 9, MIN, 0xDEAD_BEEF, "movgez a4, a2, a3"),
        (0xF4_4430, 0, 0x1234_5678, 0x4567, "extui a4, a3, 4, 16"),
        (0x05_4F30, 0, MIN, 1, "extui a4, a3, 31, 1"),
        (0x40_E240, 0, 0, 31, "nsa a4, a2"),
        (0x40_E240, u32::MAX, 0, 31, "nsa a4, a2"),
        (0x40_E240, MIN, 0, 0, "nsa a4, a2"),
        (0x40_F240, 0, 0, 32, "nsau a4, a2"),
        (0x40_F240, 1, 0, 31, "nsau a4, a2"),
        (0xC1_4230, 0xFFFF_FFFF, 0xFFFF, 0xFFFE_0001, "mul16u a4, a2, a3"),
        (0xD1_4230, 0xFFFF, 2, 0xFFFF_FFFE, "mul16s a4, a2, a3"),
        (0xD1_4230, 0x8000, 0x8000, 0x4000_0000, "mul16s a4, a2, a3"),
        (0x82_4230, 0x1_0001, 0x1_0001, 0x2_0001, "mull a4, a2, a3"),
        (0x01_42F0, 1, 0, 1 << 17, "slli a4, a2, 17"),
        (0x11_42F0, 1, 0, 2, "slli a4, a2, 1"),
        (0x31_4F30, 0, MIN, u32::MAX, "srai a4, a3, 31"),
        (0x41_4F30, 0, MIN, 0x1_0000, "srli a4, a3, 15"),
    ] {
        assert_eq!(disassemble(word, CODE).to_string(), text);
        assert_eq!(result(word, a2, a3, 0), expected, "{text} with {a2:#x} and {a3:#x}");
    }
}

#[test]
fn shifts_by_sar_reach_from_0_to_32() {
    let (sll, srl, sra, src) = (0xA1_4200, 0x91_4030, 0xB1_4030, 0x81_4230);
    for (word, sar, expected) in [
        (sll, 32, 0x8000_0001),
        (sll, 0, 0),
        (sll, 31, 2),
        (srl, 0, 0xC000_0000),
        (srl, 32, 0),
        (srl, 31, 1),
        (sra, 32, u32::MAX),
        (sra, 4, 0xFC00_0000),
        (src, 0, 0xC000_0000),
        (src, 32, 0x8000_0001),
        (src, 4, 0x1C00_0000),
    ] {
        assert_eq!(result(word, 0x8000_0001, 0xC000_0000, sar), expected, "{word:06x} by {sar}");
    }
}

#[test]
fn the_shift_amount_is_set_by_six_instructions() {
    for (word, a2, expected) in [
        (0x40_0200, 37, 5),           // ssr a2
        (0x40_1200, 0, 32),           // ssl a2
        (0x40_1200, 33, 31),          // ssl a2
        (0x40_2200, 7, 24),           // ssa8l a2
        (0x40_3200, 4, 32),           // ssa8b a2
        (0x40_3200, 3, 8),            // ssa8b a2
        (0x40_4310, 0, 19),           // ssai 19
        (0x13_0320, 0xFFFF_FFFF, 63), // wsr.sar a2
    ] {
        let mut board = Board::new(&[word]);
        let mut cpu = cpu();
        cpu.a[2] = a2;
        cpu.run(&mut board, 1);
        assert_eq!(cpu.special(SpecialRegister::Sar), expected, "{}", disassemble(word, CODE));
    }
}

#[test]
fn loads_and_stores_extend_and_cut() {
    for (word, expected, text) in [
        (0x03_0242, 0x84, "l8ui a4, a2, 3"),
        (0x01_1242, 0x8483, "l16ui a4, a2, 2"),
        (0x01_9242, 0xFFFF_8483, "l16si a4, a2, 2"),
        (0x00_2242, 0x8483_8281, "l32i a4, a2, 0"),
        (0x0248, 0x8483_8281, "l32i.n a4, a2, 0"),
    ] {
        let mut board = Board::new(&[word]);
        board.data[..4].copy_from_slice(&[0x81, 0x82, 0x83, 0x84]);
        let mut cpu = cpu();
        cpu.a[2] = DATA;
        cpu.run(&mut board, 1);
        assert_eq!(cpu.a[4], expected, "{text}");
        assert_eq!(disassemble(word, CODE).to_string(), text);
    }
    for (word, expected, text) in [
        (0x01_4242, [0, 0x44, 0, 0], "s8i a4, a2, 1"),
        (0x01_5242, [0, 0, 0x44, 0x33], "s16i a4, a2, 2"),
        (0x00_6242, [0x44, 0x33, 0x22, 0x11], "s32i a4, a2, 0"),
        (0x0249, [0x44, 0x33, 0x22, 0x11], "s32i.n a4, a2, 0"),
    ] {
        let mut board = Board::new(&[word]);
        let mut cpu = cpu();
        (cpu.a[2], cpu.a[4]) = (DATA, 0x1122_3344);
        cpu.run(&mut board, 1);
        assert_eq!(board.data[..4], expected, "{text}");
        assert_eq!(disassemble(word, CODE).to_string(), text);
    }
}

#[test]
fn l32r_reaches_only_back_and_from_litbase_when_that_is_on() {
    // NOP.N twice, the literal at 4, L32R at 8: (8 + 3) & !3 = 8, one word back.
    let mut board = Board::new(&[0xF03D, 0xF03D]);
    board.code[4..8].copy_from_slice(&0x1234_5678_u32.to_le_bytes());
    board.code[8..11].copy_from_slice(&0xFF_FF41_u32.to_le_bytes()[..3]);
    let mut cpu = cpu();
    cpu.pc = CODE + 8;
    cpu.run(&mut board, 1);
    assert_eq!(cpu.a[4], 0x1234_5678);
    assert_eq!(disassemble(0x00_0041, 0x4020_0002).to_string(), "l32r a4, 0x401c0004");
    cpu.set_special(SpecialRegister::Litbase, CODE + 0x1001);
    board.code[0xFFC..0x1000].copy_from_slice(&7_u32.to_le_bytes());
    cpu.pc = CODE + 8;
    cpu.run(&mut board, 2);
    assert_eq!(cpu.a[4], 7);
}

/// Executes one branch with a2 and a3; whether it went 12 bytes ahead.
fn taken(word: u32, a2: u32, a3: u32) -> bool {
    let mut board = Board::new(&[word]);
    let mut cpu = cpu();
    (cpu.a[2], cpu.a[3]) = (a2, a3);
    cpu.run(&mut board, 1);
    let length = if word & 8 == 0 { 3 } else { 2 };
    assert!(cpu.pc == CODE + 12 || cpu.pc == CODE + length, "{word:06x}: pc {:x}", cpu.pc);
    cpu.pc == CODE + 12
}

#[test]
fn branches_go_where_their_condition_holds() {
    const MINUS: u32 = u32::MAX;
    // The word, operands for which it is taken, operands for which it is not.
    for (word, yes, no, text) in [
        (0x08_0237, (1, 2), (3, 2), "bnone a2, a3, 0x4010000c"),
        (0x08_1237, (5, 5), (5, 6), "beq a2, a3, 0x4010000c"),
        (0x08_2237, (MINUS, 0), (0, MINUS), "blt a2, a3, 0x4010000c"),
        (0x08_3237, (0, MINUS), (MINUS, 0), "bltu a2, a3, 0x4010000c"),
        (0x08_4237, (7, 3), (5, 3), "ball a2, a3, 0x4010000c"),
        (0x08_5237, (!(1 << 17), 49), (1 << 17, 49), "bbc a2, a3, 0x4010000c"),
        (0x08_7217, (!(1 << 17), 0), (1 << 17, 0), "bbci a2, 17, 0x4010000c"),
        (0x08_6217, (!2, 0), (2, 0), "bbci a2, 1, 0x4010000c"),
        (0x08_8237, (3, 2), (1, 2), "bany a2, a3, 0x4010000c"),
        (0x08_9237, (5, 6), (5, 5), "bne a2, a3, 0x4010000c"),
        (0x08_A237, (0, MINUS), (MINUS, 0), "bge a2, a3, 0x4010000c"),
        (0x08_B237, (MINUS, 0), (0, MINUS), "bgeu a2, a3, 0x4010000c"),
        (0x08_C237, (5, 3), (7, 3), "bnall a2, a3, 0x4010000c"),
        (0x08_D237, (1 << 31, 63), (1, 31), "bbs a2, a3, 0x4010000c"),
        (0x08_F2F7, (1 << 31, 0), (1 << 15, 0), "bbsi a2, 31, 0x4010000c"),
        (0x00_8216, (0, 0), (1, 0), "beqz a2, 0x4010000c"),
        (0x00_8256, (1, 0), (0, 0), "bnez a2, 0x4010000c"),
        (0x00_8296, (MINUS, 0), (0, 0), "bltz a2, 0x4010000c"),
        (0x00_82D6, (0, 0), (MINUS, 0), "bgez a2, 0x4010000c"),
        (0x08_0226, (MINUS, 0), (0, 0), "beqi a2, -1, 0x4010000c"),
        (0x08_F266, (255, 0), (256, 0), "bnei a2, 256, 0x4010000c"),
        (0x08_02A6, (0x8000_0000, 0), (MINUS, 0), "blti a2, -1, 0x4010000c"),
        (0x08_92E6, (10, 0), (9, 0), "bgei a2, 10, 0x4010000c"),
        (0x08_02B6, (32767, 0), (32768, 0), "bltui a2, 32768, 0x4010000c"),
        (0x08_12F6, (65536, 0), (65535, 0), "bgeui a2, 65536, 0x4010000c"),
        (0x828C, (0, 0), (1, 0), "beqz.n a2, 0x4010000c"),
        (0x82CC, (1, 0), (0, 0), "bnez.n a2, 0x4010000c"),
    ] {
        assert_eq!(disassemble(word, CODE).to_string(), text);
        assert!(taken(word, yes.0, yes.1), "{text} with {yes:x?}");
        assert!(!taken(word, no.0, no.1), "{text} with {no:x?}");
    }
}

#[test]
fn jumps_and_calls_leave_the_return_address_in_a0() {
    for (word, target, link, text) in [
        (0xFF_FF06, CODE + 1 + 4 - 4, None, "j 0x40100001"),
        (0x00_02A0, CODE + 0x40, None, "jx a2"),
        (0x00_0080, CODE + 0x80, None, "ret"),
        (0xF00D, CODE + 0x80, None, "ret.n"),
        // From (1 & !3) + 4 + 16.
        (0x00_0105, CODE + 20, Some(CODE + 4), "call0 0x40100014"),
        (0x00_02C0, CODE + 0x40, Some(CODE + 4), "callx0 a2"),
    ] {
        let mut board = Board::new(&[]);
        board.code[1..4].copy_from_slice(&u32::to_le_bytes(word)[..3]);
        let mut cpu = cpu();
        cpu.pc = CODE + 1;
        (cpu.a[0], cpu.a[2]) = (CODE + 0x80, CODE + 0x40);
        cpu.run(&mut board, 1);
        assert_eq!(disassemble(word, CODE + 1).to_string(), text);
        assert_eq!((cpu.pc, cpu.a[0]), (target, link.unwrap_or(CODE + 0x80)), "{text}");
    }
}

#[test]
fn special_registers_are_read_written_and_exchanged() {
    let mut board = Board::new(&[0x13_D120, 0x03_D130, 0x61_D140, 0x03_EB50]);
    let mut cpu = cpu();
    (cpu.a[2], cpu.a[4]) = (77, 88);
    cpu.run(&mut board, 4);
    assert_eq!((cpu.a[3], cpu.a[4], cpu.a[5]), (77, 77, 0));
    assert_eq!(cpu.special(SpecialRegister::Excsave1), 88);
    assert_eq!(disassemble(0x61_D140, 0).to_string(), "xsr.excsave1 a4");
}

#[test]
fn synchronisation_and_nop_do_nothing() {
    for word in [0x2000, 0x2010, 0x2020, 0x2030, 0x2080, 0x20C0, 0x20D0, 0x20F0, 0xF03D] {
        let mut board = Board::new(&[word]);
        let mut cpu = cpu();
        cpu.run(&mut board, 1);
        assert_eq!(cpu.pc, CODE + if word & 8 == 0 { 3 } else { 2 });
        assert_eq!(cpu.a, [0; 16]);
    }
}

#[test]
fn code_that_is_written_over_is_decoded_again() {
    // s32i a3, a2, 0; j to itself's predecessor; the word at CODE + 8 becomes movi.n a4, 1.
    let mut board = Board::new(&[0xF03D, 0xF03D, 0xF03D, 0xF03D, 0xF03D, 0xF03D]);
    let mut cpu = cpu();
    cpu.run(&mut board, 6);
    board.code[0..3].copy_from_slice(&0x00_6232_u32.to_le_bytes()[..3]);
    cpu.forget_code_at(CODE, 3);
    cpu.pc = CODE;
    (cpu.a[2], cpu.a[3]) = (CODE + 8, 0xF03D_140C);
    board.code[3..6].copy_from_slice(&0x20F0_u32.to_le_bytes()[..3]);
    board.code[6..8].copy_from_slice(&0xF03D_u32.to_le_bytes()[..2]);
    cpu.forget_code();
    cpu.run(&mut board, cpu.cycles() + 4);
    assert_eq!(cpu.a[4], 1);
}
