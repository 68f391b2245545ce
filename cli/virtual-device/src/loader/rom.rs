//! [`RomLoader`]: the serial loader in the ESP8266's boot ROM.
//!
//! Follows the ROM's machine code (`UartDwnLdProc`) and the esptool serial protocol document: ten commands, two
//! status bytes, a reply value that only SYNC and READ_REG refresh, eight replies to a SYNC, and the eraser's bug in
//! [`Flash::erase_area`]. What the ROM does with a frame that is no request was never measured; here it is ignored.

use std::time::Duration;

use espbroker_flasher::protocol::{
    Command, FrameError, RAM_BLOCK, Refusal, Request, Response, SYNC_REPLIES, checksum,
};
use espbroker_flasher::slip;

use super::{Blocks, Next, OVERHEAD, Reaction, Reply, common};
use crate::flash_routines::{DEFAULT_SIZE, Flash};
use crate::machine::Board;

/// Bytes in the ROM's receive buffer.
const BUFFER: usize = 0x2000;
/// Bytes that the UART's FIFO and the ROM's ring hold while the CPU is busy with a request.
pub(crate) const RECEIVE_QUEUE: usize = 128 + 256;

/// The loader's state between two bytes.
#[derive(Debug)]
pub(crate) struct RomLoader {
    decoder: slip::Decoder,
    flash: Option<Blocks>,
    memory: Option<Blocks>,
    flash_size: u32,
    value: u32,
}

impl Default for RomLoader {
    fn default() -> Self {
        Self {
            decoder: slip::Decoder::new(BUFFER),
            flash: None,
            memory: None,
            flash_size: DEFAULT_SIZE,
            value: 0,
        }
    }
}

impl RomLoader {
    /// Takes a byte that the CPU picks up at `now`.
    pub(crate) fn receive(&mut self, byte: u8, board: &mut Board, now: Duration) -> Reaction {
        // A damaged frame is forgotten and the loader waits for the next one.
        match self.decoder.push(byte) {
            Ok(Some(frame)) => self.run(&frame, board, now + OVERHEAD),
            Ok(None) | Err(_) => Reaction::nothing(now),
        }
    }

    fn run(&mut self, frame: &[u8], board: &mut Board, mut now: Duration) -> Reaction {
        let request = match Request::parse(frame) {
            Ok(request) => request,
            Err(FrameError::Length { .. }) => {
                let opcode = frame.get(1).copied().unwrap_or(0);
                return Reaction::reply(&Response::failure(opcode, self.value, Refusal::InvalidMessage), now);
            }
            Err(_) => return Reaction::nothing(now),
        };
        let mut next = Next::Stay;
        let result = match Command::parse(&request) {
            Ok(_) if !request.checksum_fits() => Err(Refusal::Checksum),
            Ok(command) => self.execute(&command, board, &mut now, &mut next),
            Err(_) => Err(Refusal::InvalidMessage),
        };
        let response = match result {
            Ok(()) => Response::success(request.opcode, self.value, Vec::new()),
            Err(refusal) => Response::failure(request.opcode, self.value, refusal),
        };
        let copies = if matches!(Command::parse(&request), Ok(Command::Sync)) { SYNC_REPLIES } else { 1 };
        let replies = (0..copies).map(|_| Reply { at: now, frame: response.to_bytes() }).collect();
        Reaction { replies, done_at: now, next }
    }

    fn execute(
        &mut self,
        command: &Command<'_>,
        board: &mut Board,
        now: &mut Duration,
        next: &mut Next,
    ) -> Result<(), Refusal> {
        if let Command::MemBegin { block_size, .. } | Command::FlashBegin { block_size, .. } = command
            && *block_size as usize > RAM_BLOCK
        {
            return Err(Refusal::InvalidMessage);
        }
        if let Some(result) = common(command, &mut self.memory, board, now) {
            self.value = result?.unwrap_or(self.value);
            return Ok(());
        }
        match command {
            Command::Sync => self.value = 0x2012_0707,
            Command::MemEnd { stay, entry } => {
                let [flag, ..] = stay.to_le_bytes();
                if flag == 0 {
                    *next = Next::Jump { entry: *entry };
                }
            }
            Command::SpiSetParameters { words: [_, size, ..] } => self.flash_size = *size,
            Command::FlashBegin { erase_size, blocks, block_size, offset } => {
                let mut flash = Flash::new(board.nor.lock(), self.flash_size, *now);
                let erased = flash.erase_area(*offset, *erase_size);
                *now = flash.now;
                self.flash =
                    Some(Blocks { expected: *blocks, received: 0, size: *block_size, address: *offset });
                erased.map_err(|_| Refusal::OperationFailed)?;
            }
            Command::FlashData { sequence, block } => self.program(*sequence, block, board, now)?,
            Command::FlashEnd { .. } => {
                let complete = self.flash.is_none_or(|blocks| blocks.received == blocks.expected);
                if !complete {
                    return Err(Refusal::OperationFailed);
                }
                let mut flash = Flash::new(board.nor.lock(), self.flash_size, *now);
                let locked = flash.lock();
                *now = flash.now;
                locked.map_err(|_| Refusal::OperationFailed)?;
                *next = Next::BootFromFlash;
            }
            _ => return Err(Refusal::InvalidMessage),
        }
        Ok(())
    }

    /// FLASH_DATA: writes a block, reads it back and compares the checksums.
    fn program(
        &mut self,
        sequence: u32,
        block: &[u8],
        board: &Board,
        now: &mut Duration,
    ) -> Result<(), Refusal> {
        let blocks = self.flash.as_mut().ok_or(Refusal::InvalidMessage)?;
        let address = blocks.place(sequence).ok_or(Refusal::InvalidMessage)?;
        if !block.len().is_multiple_of(4) {
            return Err(Refusal::InvalidMessage);
        }
        let mut flash = Flash::new(board.nor.lock(), self.flash_size, *now);
        let mut written = vec![0; block.len()];
        let result = flash.write(address, block).and_then(|()| flash.read(address, &mut written));
        *now = flash.now;
        result.map_err(|_| Refusal::OperationFailed)?;
        if checksum(&written) != checksum(block) {
            return Err(Refusal::FlashWrite);
        }
        blocks.received += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use espbroker_flasher::protocol::{CHIP_MAGIC_REGISTER, RegisterWrite};
    use proptest::prelude::*;

    use super::*;
    use crate::machine::board::SharedNor;
    use crate::nor::{FlashSource, Nor};
    use crate::timing::Pace;

    struct Bench {
        loader: RomLoader,
        board: Board,
        now: Duration,
    }

    impl Bench {
        fn new() -> Self {
            let nor = Nor::new(FlashSource::Blank, 0x40_0000, [0xEF, 0x40, 0x16], Pace::RealTime, 0).unwrap();
            let board = Board::without_faults(SharedNor::new(nor), [1, 2, 3, 4, 5, 6]);
            Self { loader: RomLoader::default(), board, now: Duration::ZERO }
        }

        fn send(&mut self, request: &[u8]) -> Reaction {
            let mut last = Reaction::nothing(self.now);
            for byte in slip::encode(request) {
                last = self.loader.receive(byte, &mut self.board, self.now);
            }
            self.now = last.done_at;
            last
        }

        fn command(&mut self, command: &Command<'_>) -> Response {
            let reaction = self.send(&command.to_bytes());
            Response::parse(&reaction.replies[0].frame).unwrap()
        }

        fn refusal(&mut self, command: &Command<'_>) -> Option<Refusal> {
            self.command(command).refusal()
        }
    }

    fn begin(offset: u32, blocks: u32, erase_size: u32) -> Command<'static> {
        Command::FlashBegin { erase_size, blocks, block_size: 0x400, offset }
    }

    fn data(sequence: u32, byte: u8) -> Command<'static> {
        Command::FlashData { sequence, block: vec![byte; 0x400].into() }
    }

    #[test]
    fn sync_is_answered_eight_times_with_its_first_word_as_value() {
        let mut bench = Bench::new();
        let reaction = bench.send(&Command::Sync.to_bytes());
        assert_eq!(reaction.replies.len(), 8);
        assert_eq!(reaction.replies[7].frame, [1, 8, 2, 0, 7, 7, 0x12, 0x20, 0, 0]);
    }

    #[test]
    fn a_stale_value_stands_in_replies_that_have_none() {
        let mut bench = Bench::new();
        assert_eq!(bench.command(&Command::ReadRegister { address: CHIP_MAGIC_REGISTER }).value, 0xFFF0_C101);
        assert_eq!(bench.command(&begin(0, 0, 0)).value, 0xFFF0_C101);
    }

    #[test]
    fn a_block_is_written_once_it_is_announced_and_in_order() {
        let mut bench = Bench::new();
        assert_eq!(bench.refusal(&data(0, 1)), Some(Refusal::InvalidMessage));
        assert_eq!(bench.refusal(&begin(0x1000, 2, 4096)), None);
        assert_eq!(bench.refusal(&data(1, 1)), Some(Refusal::InvalidMessage));
        assert_eq!(bench.refusal(&data(0, 1)), None);
        assert_eq!(bench.refusal(&data(0, 1)), Some(Refusal::InvalidMessage), "a repeated block is refused");
        assert_eq!(bench.refusal(&data(1, 2)), None);
        assert_eq!(bench.refusal(&data(2, 3)), Some(Refusal::InvalidMessage), "more than announced");
        let contents = bench.board.nor.lock().contents();
        assert_eq!((contents[0x1000], contents[0x1400], contents[0x1800]), (1, 2, 0xFF));
    }

    #[test]
    fn writing_over_data_that_was_not_erased_is_noticed_by_reading_back() {
        let mut bench = Bench::new();
        bench.command(&begin(0, 1, 4096));
        assert_eq!(bench.refusal(&data(0, 0x0F)), None);
        bench.command(&begin(0, 1, 0));
        // The read-back is an XOR over the block: an odd number of wrong bytes is needed for it to differ.
        let mut block = vec![0x0F; 0x400];
        block[0] = 0xF0;
        let crooked = Command::FlashData { sequence: 0, block: block.into() };
        assert_eq!(bench.refusal(&crooked), Some(Refusal::FlashWrite));
    }

    #[test]
    fn a_wrong_checksum_writes_nothing_and_the_block_can_be_sent_again() {
        let mut bench = Bench::new();
        bench.command(&begin(0, 1, 4096));
        let mut request = data(0, 5).to_bytes();
        request[4] ^= 1;
        let reaction = bench.send(&request);
        assert_eq!(Response::parse(&reaction.replies[0].frame).unwrap().refusal(), Some(Refusal::Checksum));
        assert_eq!(bench.refusal(&data(0, 5)), None);
    }

    #[test]
    fn flash_end_locks_the_flash_and_leaves_whatever_its_argument() {
        for stay in [0, 1] {
            let mut bench = Bench::new();
            bench.command(&begin(0, 1, 4096));
            let early = bench.send(&Command::FlashEnd { stay }.to_bytes());
            assert_eq!(early.next, Next::Stay, "blocks are missing");
            bench.command(&data(0, 5));
            let reaction = bench.send(&Command::FlashEnd { stay }.to_bytes());
            assert_eq!(reaction.next, Next::BootFromFlash);
            assert_eq!(bench.board.nor.lock().read_status(bench.now), 0x1C);
        }
    }

    #[test]
    fn an_upload_lands_in_ram_and_mem_end_jumps_after_its_reply() {
        let mut bench = Bench::new();
        let begin = Command::MemBegin { size: 8, blocks: 1, block_size: 0x1800, address: 0x4010_C500 };
        assert_eq!(bench.refusal(&begin), None);
        let block = Command::MemData { sequence: 0, block: vec![1, 2, 3, 4, 5, 6, 7, 8].into() };
        assert_eq!(bench.refusal(&block), None);
        assert_eq!(bench.board.read(0x4010_C504, Duration::ZERO), 0x0807_0605);
        assert_eq!(bench.send(&Command::MemEnd { stay: 1, entry: 0 }.to_bytes()).next, Next::Stay);
        let reaction = bench.send(&Command::MemEnd { stay: 0, entry: 0x4010_C504 }.to_bytes());
        assert_eq!((reaction.replies.len(), reaction.next), (1, Next::Jump { entry: 0x4010_C504 }));
    }

    #[test]
    fn masked_register_writes_keep_the_other_bits_and_delays_take_time() {
        let mut bench = Bench::new();
        let address = 0x6000_0838;
        let before = bench.now;
        let masked = RegisterWrite { address, value: 0xFFFF_FFFF, mask: 0x00FF_0000, delay: 2000 };
        bench.command(&Command::WriteRegister(vec![RegisterWrite::new(address, 0x1234_5678), masked]));
        assert_eq!(bench.command(&Command::ReadRegister { address }).value, 0x12FF_5678);
        assert!(bench.now - before >= Duration::from_millis(2));
    }

    #[test]
    fn stub_commands_unknown_opcodes_and_wrong_lengths_are_invalid_messages() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.refusal(&Command::SpiFlashMd5 { offset: 0, size: 1 }),
            Some(Refusal::InvalidMessage)
        );
        let mut request = Command::ReadRegister { address: 0 }.to_bytes();
        request[1] = 0x14;
        let replies = bench.send(&request).replies;
        assert_eq!(replies[0].frame, [1, 0x14, 2, 0, 0, 0, 0, 0, 1, 5]);
        let mut long = begin(0, 1, 4096).to_bytes();
        long.extend([0; 4]);
        let replies = bench.send(&long).replies;
        assert_eq!(Response::parse(&replies[0].frame).unwrap().refusal(), Some(Refusal::InvalidMessage));
    }

    #[test]
    fn erasing_takes_the_time_of_the_sectors_that_are_erased() {
        let mut bench = Bench::new();
        let reaction = bench.send(&begin(0x20_0000, 4, 4096).to_bytes());
        assert_eq!(
            reaction.replies[0].at,
            OVERHEAD + Duration::from_millis(90),
            "two sectors, as the ROM has it"
        );
    }

    proptest! {
        #[test]
        fn any_request_gets_an_answer_and_none_a_panic(
            opcode in prop_oneof![0_u8..0x16, any::<u8>()],
            words in proptest::collection::vec(prop_oneof![0_u32..5000, any::<u32>()], 0..8),
        ) {
            let mut bench = Bench::new();
            bench.command(&begin(0, 1, 0));
            let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let request = Request { opcode, checksum: u32::from(checksum(data.get(16..).unwrap_or(&[]))), data: &data };
            prop_assert!(!bench.send(&request.to_bytes()).replies.is_empty());
        }
    }
}
