//! Conversions against a table, and where the text goes.

use super::*;

const PRINTF: u32 = 0x4000_24CC;
const FORMAT: u32 = DATA;
const TEXT: u32 = DATA + 0x100;

impl Bench {
    /// What comes out, and the result.
    fn print(&mut self, format: &str, arguments: &[u32]) -> (String, u32) {
        self.put_word(0x3FFF_DD3C + 12, OUTPUT);
        self.put(FORMAT, format.as_bytes());
        self.put(FORMAT + u32::try_from(format.len()).unwrap(), &[0]);
        let mut registers = vec![FORMAT];
        registers.extend(arguments.iter().take(5));
        for (place, &argument) in (self.machine.cpu.a[1]..).step_by(4).zip(arguments.iter().skip(5)) {
            self.put_word(place, argument);
        }
        let before = self.machine.cpu.a;
        let result = self.run(PRINTF, &registers);
        let after = self.machine.cpu.a;
        assert_eq!((before[1], &before[12..]), (after[1], &after[12..]), "callee-saved registers");
        (self.logged_text(), result)
    }
}

#[test]
fn conversions() {
    let mut bench = Bench::new();
    // Arguments on the stack are at the caller's stack pointer.
    bench.machine.cpu.a[1] = 0x3FFF_FF00;
    bench.put(TEXT, b"text\0");
    let minus_5 = (-5_i32).cast_unsigned();
    for (format, arguments, expected) in [
        ("plain", vec![], "plain"),
        ("%d|%d", vec![0, minus_5], "0|-5"),
        ("%D|%u|%U", vec![minus_5, 7, minus_5], "-5|7|4294967291"),
        ("%x|%X", vec![0xBEEF, 0xBEEF], "beef|BEEF"),
        ("%5d|%-5d|%05d", vec![42, 42, 42], "   42|42   |00042"),
        ("%5d|%05d|%-5d|", vec![minus_5, minus_5, minus_5], "   -5|-0005|-5   |"),
        ("%2d|%08x", vec![12345, 0xAB], "12345|000000ab"),
        ("%s|%S|%s", vec![TEXT, TEXT, 0], "text|text|<null>"),
        ("%6s|%-6s|%2s", vec![TEXT, TEXT, TEXT], "  text|text  |text"),
        ("%c%C%%", vec![0x41, 0x142], "AB%"),
        ("%ld|%lu", vec![minus_5, 5], "-5|5"),
        ("%lld", vec![0, 0xFFFF_FFFF, 0xFFFF_FFFE], "-4294967297"),
        ("%llx", vec![0, 0xFFFF_FFFF, 0x12], "ffffffff"),
        ("%.2d|%5.1x", vec![7, 7], "7|00007"),
        ("%i %f %o", vec![], "%i %f %o"),
        ("%d %d %d %d %d %d %d %d", vec![1, 2, 3, 4, 5, 6, 7, 8], "1 2 3 4 5 6 7 8"),
        ("%b", vec![5], "%b"),
        ("100%", vec![], "100%"),
    ] {
        let (text, count) = bench.print(format, &arguments);
        assert_eq!(text, expected, "{format}");
        assert_eq!(count as usize, expected.len(), "{format}");
    }
    assert_eq!(bench.print("%p|", &[0x3FFE_8000]), ("0x3ffe8000|".to_owned(), 9), "0x is not counted");
}

#[test]
fn without_an_output_function_nothing_is_printed_and_two_get_everything_twice() {
    let mut bench = Bench::new();
    bench.put(FORMAT, b"ab\0");
    bench.call(0x4000_242C, &[0]);
    assert_eq!(bench.call(PRINTF, &[FORMAT]), 0);
    bench.call(0x4000_248C, &[OUTPUT]);
    assert_eq!(bench.print("ab", &[]), ("aabb".to_owned(), 2));
}

#[test]
fn to_the_uart_a_line_feed_gets_a_carriage_return_and_each_character_its_time() {
    let mut bench = Bench::new();
    bench.put(FORMAT, b"a\rb\n%d\0");
    let (count, time) = bench.timed(PRINTF, &[FORMAT, 12]);
    assert_eq!(count, 6);
    bench.machine.advance(bench.machine.now() + Duration::from_millis(1));
    assert_eq!(bench.sent(), b"ab\r\n12");
    // Six characters at 74928 baud; the last but one is through when the last goes into the empty FIFO.
    let character = Duration::from_nanos(133_460);
    assert!(time > character * 4 && time < character * 5, "{time:?}");
    assert_eq!(bench.call(0x4000_2544, &[FORMAT, 12]), 6, "ets_uart_printf");
}

#[test]
fn a_format_in_flash_faults_with_nothing_lost() {
    let mut bench = Bench::with_flash(b"x\0".to_vec());
    bench.put_word(0x3FF0_000C, 1 << 8);
    let (cause, address, epc) = bench.exception(PRINTF, &[0x4020_0000]);
    assert_eq!((cause, address), (3, 0x4020_0000));
    assert!((0x4000_1F00..0x4000_242C).contains(&epc), "{epc:#x} is not in ets_vprintf");
}
