use espbroker_flasher::protocol::{Command, Opcode, Refusal, RegisterWrite, Response};

use super::*;
use crate::fault::Faults;
use crate::machine::tests::{ECHO, ECHO_ENTRY, bytes};
use crate::nor::{FlashSource, Nor};
use crate::timing::Pace;

struct Bench {
    chip: Chip,
    decoder: slip::Decoder,
}

/// Says everything again in capitals, and restarts at an exclamation mark.
struct Echo {
    output: Vec<u8>,
    restarts: bool,
}

impl Firmware for Echo {
    fn console_read(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.output.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.output[..count]);
        self.output.drain(..count);
        count
    }

    fn console_write(&mut self, bytes: &[u8]) {
        self.restarts |= bytes == b"!";
        self.output.extend(bytes.iter().map(u8::to_ascii_uppercase));
    }

    fn wants_restart(&self) -> bool {
        self.restarts
    }
}

fn tiny_image() -> Vec<u8> {
    let mut image = vec![0xE9, 1, 3, 0x40, 4, 0, 0x10, 0x40, 0, 0, 0x10, 0x40, 16, 0, 0, 0];
    image.extend([7; 16]);
    image.extend([0; 15]);
    image.push(0xEF);
    image
}

impl Bench {
    fn new(flash: Vec<u8>, faults: Vec<Fault>) -> Self {
        let nor =
            Nor::new(FlashSource::Bytes(flash), 0x40_0000, [0xEF, 0x40, 0x16], Pace::RealTime, 3).unwrap();
        let launcher: Launcher =
            Box::new(|_, _| Some(Box::new(Echo { output: b"hello\r\n".to_vec(), restarts: false })));
        let faults = Faults::new(faults, 4);
        let mac = [0x5C, 0xCF, 0x7F, 1, 2, 3];
        let board = Board::new(SharedNor::new(nor), mac, Pace::RealTime, faults, 4);
        let chip = Chip::new(board, Wiring::AutoReset, launcher);
        Self { chip, decoder: slip::Decoder::new(0x8000) }
    }

    fn pass(&mut self, milliseconds: u64) -> Vec<u8> {
        self.chip.advance(self.chip.now() + Duration::from_millis(milliseconds));
        let mut buffer = vec![0; 100_000];
        let count = self.chip.host_read(&mut buffer);
        buffer.truncate(count);
        buffer
    }

    fn lines(&mut self, dtr: bool, rts: bool) {
        self.chip.set_lines(ControlLines { dtr, rts });
    }

    fn reset_into_loader(&mut self) -> Vec<u8> {
        self.lines(false, true);
        self.pass(100);
        self.lines(true, false);
        let log = self.pass(50);
        self.lines(false, false);
        log
    }

    fn send(&mut self, command: &Command<'_>) {
        self.chip.host_write(&slip::encode(&command.to_bytes()));
    }

    fn frames(&mut self, milliseconds: u64) -> Vec<Vec<u8>> {
        let bytes = self.pass(milliseconds);
        bytes.into_iter().filter_map(|byte| self.decoder.push(byte).ok().flatten()).collect()
    }

    fn sync(&mut self) {
        for _ in 0..2 {
            self.send(&Command::Sync);
            if self.frames(100).len() == 8 {
                return;
            }
        }
        panic!("no sync");
    }

    fn upload(&mut self, code: &[u32]) {
        let block = bytes(code);
        let size = u32::try_from(block.len()).unwrap();
        let address = ECHO_ENTRY - 8;
        self.ask(&Command::MemBegin { size, blocks: 1, block_size: 0x1800, address }, 20).unwrap();
        self.ask(&Command::MemData { sequence: 0, block: block.into() }, 20).unwrap();
    }

    fn ask(&mut self, command: &Command<'_>, milliseconds: u64) -> Option<Response> {
        self.send(command);
        self.frames(milliseconds).first().and_then(|frame| Response::parse(frame).ok())
    }
}

#[test]
fn power_up_with_released_lines_starts_what_is_in_flash_and_then_its_console() {
    let mut bench = Bench::new(tiny_image(), vec![]);
    bench.chip.set_host_baud(74_880);
    let log = String::from_utf8(bench.pass(60)).unwrap();
    assert!(
        log.starts_with("\r\n ets Jan  8 2013,rst cause:1, boot mode:(3,6)\r\n\r\nload 0x40100000, len 16"),
        "{log}"
    );
    assert!(log.ends_with("csum 0xef\r\n"), "{log}");
    bench.chip.set_host_baud(115_200);
    assert!(bench.chip.runs_firmware());
    assert_eq!(bench.pass(2), b"hello\r\n");
    bench.chip.host_write(b"status");
    bench.pass(1);
    assert_eq!(bench.pass(2), b"STATUS");
}

#[test]
fn a_restart_by_firmware_logs_at_115200() {
    let mut bench = Bench::new(tiny_image(), vec![]);
    bench.pass(100);
    assert!(bench.chip.runs_firmware());
    bench.pass(2);
    bench.chip.host_write(b"!");
    let log = [1, 1, 60].map(|milliseconds| bench.pass(milliseconds)).concat();
    let log = String::from_utf8(log).unwrap();
    assert!(log.starts_with("!\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n"), "{log}");
}

#[test]
fn the_boot_log_is_garbage_at_115200() {
    let mut bench = Bench::new(vec![], vec![]);
    let log = bench.pass(60);
    assert!(!log.is_empty());
    assert!(!log.windows(3).any(|window| window == b"ets"));
}

#[test]
fn the_reset_sequence_ends_in_the_loader_and_the_second_sync_is_answered() {
    let mut bench = Bench::new(tiny_image(), vec![]);
    bench.pass(200);
    assert!(bench.chip.runs_firmware());
    bench.chip.set_host_baud(74_880);
    let log = String::from_utf8(bench.reset_into_loader()).unwrap();
    assert_eq!(log, "\r\n ets Jan  8 2013,rst cause:2, boot mode:(1,6)\r\n\r\n");
    assert!(!bench.chip.runs_firmware());
    bench.chip.set_host_baud(115_200);
    bench.send(&Command::Sync);
    assert_eq!(bench.frames(100).len(), 0, "the first one is used up by measuring the rate");
    bench.send(&Command::Sync);
    assert_eq!(bench.frames(100).len(), 8);
    let divider = bench.ask(&Command::ReadRegister { address: 0x6000_0014 }, 10).unwrap().value;
    assert_eq!(divider, 451);
}

#[test]
fn lines_changed_one_after_the_other_also_end_in_the_loader() {
    let mut bench = Bench::new(tiny_image(), vec![]);
    bench.lines(false, true);
    bench.pass(100);
    bench.lines(true, true);
    bench.chip.advance(bench.chip.now() + Duration::from_micros(200));
    bench.lines(true, false);
    bench.pass(50);
    bench.lines(false, false);
    bench.sync();
}

#[test]
fn a_slow_change_of_the_lines_starts_from_flash_as_on_a_real_board() {
    let mut bench = Bench::new(tiny_image(), vec![]);
    bench.lines(false, true);
    bench.pass(100);
    bench.lines(true, true);
    bench.pass(60);
    bench.lines(true, false);
    bench.pass(50);
    assert!(bench.chip.runs_firmware());
}

#[test]
fn a_byte_takes_its_time_both_ways() {
    let mut bench = Bench::new(vec![], vec![]);
    bench.reset_into_loader();
    bench.sync();
    let data = Command::MemData { sequence: 0, block: vec![0x55; 0x1800].into() };
    let request = slip::encode(&data.to_bytes()).len();
    bench
        .ask(&Command::MemBegin { size: 0x1800, blocks: 1, block_size: 0x1800, address: 0x3FFE_8000 }, 20)
        .unwrap();
    assert!(request > 6144);
    assert_eq!(bench.ask(&data, 530), None, "6,170 bytes at 115200 baud are 535 ms");
    assert_eq!(bench.frames(20).len(), 1);
}

#[test]
fn bytes_sent_while_the_rom_erases_wait_and_too_many_are_lost() {
    let mut bench = Bench::new(vec![], vec![]);
    bench.reset_into_loader();
    bench.sync();
    let begin = Command::FlashBegin { erase_size: 64 * 1024, blocks: 1, block_size: 0x400, offset: 0 };
    let read = Command::ReadRegister { address: 0x4000_1000 };
    bench.send(&begin);
    bench.send(&read);
    assert_eq!(bench.frames(400).len(), 0);
    assert_eq!(bench.frames(1200).len(), 2);
    bench.send(&begin);
    bench.send(&Command::FlashData { sequence: 0, block: vec![1; 0x400].into() });
    bench.send(&read);
    assert_eq!(bench.frames(3000).len(), 1, "both did not fit");
}

#[test]
fn a_host_at_another_rate_is_not_understood() {
    let mut bench = Bench::new(vec![], vec![]);
    bench.reset_into_loader();
    bench.sync();
    bench.chip.set_host_baud(230_400);
    assert_eq!(bench.ask(&Command::ReadRegister { address: 0 }, 50), None);
    bench.chip.set_host_baud(115_200);
    bench.send(&Command::Sync);
    assert!(bench.frames(100).len() >= 7);
}

#[test]
fn uploaded_code_runs_until_the_lines_reset_it() {
    let mut bench = Bench::new(tiny_image(), vec![]);
    bench.reset_into_loader();
    bench.sync();
    bench.upload(&ECHO);
    bench.send(&Command::MemEnd { stay: 0, entry: ECHO_ENTRY });
    assert_eq!(bench.frames(20).len(), 1);
    bench.chip.host_write(b"HAL");
    assert_eq!(bench.pass(2), b"IBM");
    bench.lines(false, true);
    bench.pass(10);
    bench.lines(false, false);
    bench.pass(100);
    assert!(bench.chip.runs_firmware());
}

#[test]
fn code_that_resets_the_chip_meets_the_straps_of_its_last_start() {
    let mut bench = Bench::new(tiny_image(), vec![]);
    bench.reset_into_loader();
    bench.sync();
    bench.upload(&ECHO);
    bench.send(&Command::MemEnd { stay: 0, entry: ECHO_ENTRY });
    bench.frames(20);
    bench.chip.host_write(b"!");
    bench.chip.set_host_baud(74_880);
    let log = String::from_utf8_lossy(&bench.pass(60)).into_owned();
    assert!(log.ends_with(" ets Jan  8 2013,rst cause:2, boot mode:(1,6)\r\n\r\n"), "{log}");
    bench.chip.set_host_baud(115_200);
    bench.sync();
}

#[test]
fn a_watchdog_that_nobody_feeds_ends_in_the_loader_too() {
    let mut bench = Bench::new(tiny_image(), vec![]);
    bench.reset_into_loader();
    bench.sync();
    bench.upload(&ECHO);
    let watchdog = [(4, 5), (8, 6), (0, 1)];
    let writes = watchdog.map(|(offset, value)| RegisterWrite::new(0x6000_0900 + offset, value));
    bench.ask(&Command::WriteRegister(writes.to_vec()), 20).unwrap();
    bench.send(&Command::MemEnd { stay: 0, entry: ECHO_ENTRY });
    bench.frames(20);
    bench.chip.set_host_baud(74_880);
    let log = String::from_utf8_lossy(&bench.pass(200)).into_owned();
    assert!(log.contains("rst cause:4") && log.ends_with("wdt reset\r\n"), "{log}");
}

#[test]
fn an_image_for_no_known_target_is_executed() {
    let mut image = vec![0xE9, 1, 3, 0x40];
    image.extend(ECHO_ENTRY.to_le_bytes());
    image.extend(0x4010_0000_u32.to_le_bytes());
    image.extend(56_u32.to_le_bytes());
    image.extend(bytes(&ECHO));
    image.resize(79, 0);
    image.push(bytes(&ECHO).iter().fold(0xEF, |sum, byte| sum ^ byte));
    let mut bench = Bench::new(image, vec![]);
    bench.chip.launcher = Box::new(|_, _| None);
    bench.pass(100);
    // The ROM's own rate is still set.
    bench.chip.set_host_baud(74_880);
    bench.chip.host_write(b"HAL");
    assert_eq!(bench.pass(2), b"IBM");
    assert!(!bench.chip.runs_firmware());
}

#[test]
fn flash_end_of_the_rom_starts_from_flash_with_the_button_still_held() {
    let mut bench = Bench::new(tiny_image(), vec![]);
    bench.reset_into_loader();
    bench.sync();
    bench.ask(&Command::FlashBegin { erase_size: 0, blocks: 0, block_size: 0x400, offset: 0 }, 20).unwrap();
    bench.send(&Command::FlashEnd { stay: 0 });
    let log = bench.pass(100);
    assert!(log.windows(16).any(|window| window == b"load 0x40100000,"), "at 115200, as autobaud left it");
    assert!(bench.chip.runs_firmware());
}

#[test]
fn power_cut_unplugging_and_their_ends() {
    let mut bench = Bench::new(tiny_image(), vec![Fault::UnplugAfterBytes(2000)]);
    bench.reset_into_loader();
    bench.sync();
    bench.chip.nor().lock().cut_power_after(1);
    assert_eq!(
        bench.ask(&Command::FlashBegin { erase_size: 8192, blocks: 8, block_size: 0x400, offset: 0 }, 500),
        None
    );
    assert_eq!(bench.ask(&Command::Sync, 500), None);
    bench.chip.power_cycle();
    bench.reset_into_loader();
    bench.sync();
    bench.chip.host_write(&[0; 2000]);
    assert!(!bench.chip.is_plugged());
    bench.chip.plug_in();
    bench.reset_into_loader();
    bench.sync();
}

#[test]
fn faults_of_line_and_straps_show_up() {
    let delay = Duration::from_millis(300);
    let late = Fault::LateReply { opcode: Opcode::ReadRegister, delay, times: 1 };
    let mut bench = Bench::new(vec![], vec![late, Fault::BaudCeiling(115_200)]);
    bench.reset_into_loader();
    bench.sync();
    let read = Command::ReadRegister { address: 0x4000_1000 };
    assert_eq!(bench.ask(&read, 250), None);
    assert_eq!(bench.frames(100).len(), 1);
    assert!(bench.ask(&read, 50).is_some());
    bench.chip.set_host_baud(230_400);
    bench.reset_into_loader();
    for _ in 0..4 {
        bench.send(&Command::Sync);
        assert!(bench.frames(100).iter().all(|frame| Response::parse(frame).is_err()));
    }

    let mut sdio = Bench::new(vec![], vec![Fault::Gpio15High]);
    sdio.chip.set_host_baud(74_880);
    let log = String::from_utf8(sdio.pass(60)).unwrap();
    assert!(log.ends_with("boot mode:(7,6)\r\n\r\nwaiting for host\r\n"), "{log}");
}

#[test]
fn a_stub_that_does_not_start_stays_silent_after_the_reply() {
    let mut bench = Bench::new(vec![], vec![Fault::StubDoesNotStart]);
    bench.reset_into_loader();
    bench.sync();
    let md5 = Command::SpiFlashMd5 { offset: 0, size: 4 };
    assert_eq!(bench.ask(&md5, 50).unwrap().refusal(), Some(Refusal::InvalidMessage));
    bench
        .ask(&Command::MemBegin { size: 4, blocks: 1, block_size: 0x1800, address: 0x4010_D004 }, 20)
        .unwrap();
    bench.ask(&Command::MemData { sequence: 0, block: vec![1; 4].into() }, 20).unwrap();
    bench.send(&Command::MemEnd { stay: 0, entry: 0x4010_D004 });
    assert_eq!(bench.frames(100).len(), 1, "the reply to MEM_END and no greeting");
}
