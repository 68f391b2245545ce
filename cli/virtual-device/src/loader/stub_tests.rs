use std::io::Write as _;

use espbroker_flasher::protocol::STUB_FLASH_BLOCK;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;
use crate::nor::{FlashSource, Nor};
use crate::peripherals::SharedNor;
use crate::timing::Pace;

const CURRENT_ENTRY: u32 = 0x4010_C504;

struct Bench {
    stub: Stub,
    peripherals: Peripherals,
    now: Duration,
}

impl Bench {
    fn new(entry: u32, flash: FlashSource) -> Self {
        let nor = Nor::new(flash, 0x40_0000, [0xEF, 0x40, 0x16], Pace::RealTime, 0).unwrap();
        let peripherals = Peripherals::new(SharedNor::new(nor), [1, 2, 3, 4, 5, 6]);
        let (stub, reaction) = Stub::start(entry, &peripherals, Duration::ZERO);
        assert_eq!(reaction.replies[0].frame, b"OHAI");
        Self { stub, peripherals, now: reaction.done_at }
    }

    fn send(&mut self, frame: &[u8]) -> Reaction {
        let mut last = Reaction::nothing(self.now);
        for byte in slip::encode(frame) {
            last = self.stub.receive(byte, &mut self.peripherals, self.now);
        }
        self.now = last.done_at;
        last
    }

    fn response(&mut self, command: &Command<'_>) -> Response {
        let reaction = self.send(&command.to_bytes());
        Response::parse(&reaction.replies[0].frame).unwrap()
    }

    fn refusal(&mut self, command: &Command<'_>) -> Option<Refusal> {
        self.response(command).refusal()
    }

    fn contents(&self) -> Vec<u8> {
        self.peripherals.nor.lock().contents()
    }
}

fn begin(size: u32, offset: u32) -> Command<'static> {
    Command::FlashBegin { erase_size: size, blocks: 1, block_size: 0x4000, offset }
}

fn data(block: Vec<u8>) -> Command<'static> {
    Command::FlashData { sequence: 0, block: block.into() }
}

#[test]
fn sync_has_eight_replies_with_value_zero() {
    let mut bench = Bench::new(CURRENT_ENTRY, FlashSource::Blank);
    let replies = bench.send(&Command::Sync.to_bytes()).replies;
    assert_eq!(replies.len(), 8);
    assert_eq!(Response::parse(&replies[0].frame).unwrap().value, 0);
}

#[test]
fn the_begin_size_is_what_is_written_and_padding_behind_it_is_not() {
    let mut bench = Bench::new(CURRENT_ENTRY, FlashSource::Bytes(vec![0; 0x3000]));
    assert_eq!(bench.refusal(&begin(0x1004, 0x1000)), None);
    assert_eq!(bench.refusal(&data(vec![7; 0x1400])), None);
    assert_eq!(bench.refusal(&Command::FlashEnd { stay: 1 }), None);
    let contents = bench.contents();
    assert_eq!((contents[0xFFF], contents[0x1000], contents[0x2003], contents[0x2004]), (0, 7, 7, 0xFF));
    assert_eq!(contents[0x3000], 0xFF);
}

#[test]
fn a_block_is_acknowledged_before_it_is_written_and_its_error_comes_with_the_next_command() {
    let mut bench = Bench::new(CURRENT_ENTRY, FlashSource::Blank);
    bench.response(&begin(0x4000, 0x3F_E000));
    let reaction = bench.send(&data(vec![1; STUB_FLASH_BLOCK]).to_bytes());
    assert_eq!(Response::parse(&reaction.replies[0].frame).unwrap().refusal(), None, "it runs past the end");
    assert_eq!(bench.refusal(&data(vec![1; 4])), Some(Refusal::StubSpiOperation));
    assert_eq!(bench.refusal(&Command::FlashEnd { stay: 1 }), Some(Refusal::StubSpiOperation));

    bench.response(&begin(0x4000, 0));
    let reaction = bench.send(&data(vec![1; STUB_FLASH_BLOCK]).to_bytes());
    assert!(reaction.done_at > reaction.replies[0].at + Duration::from_millis(40), "64 pages take time");
}

#[test]
fn a_compressed_image_is_unpacked_over_block_borders() {
    let image: Vec<u8> =
        (0..100_000_u32).flat_map(|word| (word.wrapping_mul(2_654_435_761) >> 12).to_le_bytes()).collect();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&image).unwrap();
    let packed = encoder.finish().unwrap();
    let mut bench = Bench::new(CURRENT_ENTRY, FlashSource::Bytes(vec![0; 0x8_0000]));
    let size = u32::try_from(image.len()).unwrap();
    let blocks = u32::try_from(packed.len().div_ceil(STUB_FLASH_BLOCK)).unwrap();
    let begin = Command::FlashDeflateBegin { size, blocks, block_size: 0x4000, offset: 0x1000 };
    assert_eq!(bench.refusal(&begin), None);
    for block in packed.chunks(STUB_FLASH_BLOCK) {
        let block = Command::FlashDeflateData { sequence: 0, block: block.into() };
        assert_eq!(bench.refusal(&block), None);
    }
    assert_eq!(bench.refusal(&Command::FlashDeflateEnd { stay: 1 }), None);
    let contents = bench.contents();
    assert_eq!(contents[0x1000..0x1000 + image.len()], image[..]);
    assert_eq!(contents[0xFFF], 0);
    let response = bench.response(&Command::SpiFlashMd5 { offset: 0x1000, size });
    assert_eq!(response.data, Md5::digest(&image).to_vec());
}

#[test]
fn broken_and_short_streams_are_refused() {
    let mut bench = Bench::new(CURRENT_ENTRY, FlashSource::Blank);
    let begin = Command::FlashDeflateBegin { size: 100, blocks: 1, block_size: 0x4000, offset: 0 };
    let garbage = Command::FlashDeflateData { sequence: 0, block: vec![0xFF; 64].into() };
    bench.response(&begin);
    assert_eq!(bench.refusal(&garbage), None);
    assert_eq!(bench.refusal(&garbage), Some(Refusal::StubInflate));
    bench.response(&begin);
    assert_eq!(bench.refusal(&Command::FlashDeflateEnd { stay: 1 }), Some(Refusal::StubDataLength));
    let mut legacy = Bench::new(LEGACY_ENTRY, FlashSource::Blank);
    legacy.response(&begin);
    assert_eq!(legacy.refusal(&Command::FlashDeflateEnd { stay: 1 }), Some(Refusal::StubNotEnoughData));
    assert_eq!(
        Bench::new(CURRENT_ENTRY, FlashSource::Blank).refusal(&data(vec![0; 4])),
        Some(Refusal::StubNotInFlashMode)
    );
}

#[test]
fn reading_waits_for_each_acknowledgement_and_ends_with_the_digest() {
    let image: Vec<u8> = (0..10_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    for (entry, at_once) in [(CURRENT_ENTRY, 1), (LEGACY_ENTRY, 2)] {
        let mut bench = Bench::new(entry, FlashSource::Bytes(image.clone()));
        let read = Command::ReadFlash { offset: 8, size: 9000, block_size: 4096, in_flight: 2 };
        let mut frames: Vec<Vec<u8>> =
            bench.send(&read.to_bytes()).replies.into_iter().skip(1).map(|reply| reply.frame).collect();
        assert_eq!(frames.len(), at_once);
        let mut received = Vec::new();
        let mut count = 0;
        let digest = loop {
            let frame = frames.remove(0);
            if received.len() == 9000 {
                break frame;
            }
            received.extend(frame);
            count += 1;
            let acknowledge = u32::try_from(received.len()).unwrap().to_le_bytes();
            frames.extend(bench.send(&acknowledge).replies.into_iter().map(|reply| reply.frame));
        };
        assert_eq!((count, &received[..]), (3, &image[8..9008]));
        assert_eq!(digest, Md5::digest(&received).to_vec());
        assert_eq!(bench.response(&Command::Sync).value, 0, "it listens to commands again");
    }
}

#[test]
fn wild_acknowledgements_and_lengths_send_no_more_than_one_window() {
    let mut bench = Bench::new(LEGACY_ENTRY, FlashSource::Blank);
    let read = Command::ReadFlash { offset: 0x10, size: u32::MAX, block_size: 1, in_flight: u32::MAX };
    assert_eq!(bench.send(&read.to_bytes()).replies.len(), 1 + 64);
    assert_eq!(bench.send(&u32::MAX.to_le_bytes()).replies.len(), 64);
    assert_eq!(bench.send(&0_u32.to_le_bytes()).replies.len(), 0);
    let mut bench = Bench::new(CURRENT_ENTRY, FlashSource::Blank);
    assert_eq!(bench.refusal(&begin(u32::MAX, 0xFFFF_F001)), None);
    assert_eq!(bench.refusal(&data(vec![1; 4])), None);
    assert_eq!(bench.refusal(&data(vec![1; 4])), Some(Refusal::StubSpiOperation));
}

#[test]
fn regions_are_erased_exactly_and_the_chip_whole() {
    for entry in [CURRENT_ENTRY, LEGACY_ENTRY] {
        let mut bench = Bench::new(entry, FlashSource::Bytes(vec![0; 0x40_0000]));
        let erase = |offset, size| Command::EraseRegion { offset, size };
        assert_eq!(bench.refusal(&erase(0x1000, 0x2_3000)), None);
        let contents = bench.contents();
        assert_eq!(
            (contents[0xFFF], contents[0x1000], contents[0x2_3FFF], contents[0x2_4000]),
            (0, 0xFF, 0xFF, 0)
        );
        assert_eq!(bench.refusal(&erase(0x1001, 0x1000)), Some(Refusal::StubDataLength));
        let before = bench.now;
        assert_eq!(bench.refusal(&Command::EraseFlash), None);
        assert!(bench.now - before >= Duration::from_secs(10));
        assert!(bench.contents().iter().all(|&byte| byte == 0xFF));
    }
}

#[test]
fn a_change_of_the_baud_rate_follows_the_reply() {
    let change = Command::ChangeBaud { new: 460_800, old: 230_400 };
    for (entry, divider) in [(LEGACY_ENTRY, 225), (CURRENT_ENTRY, 112)] {
        let mut bench = Bench::new(entry, FlashSource::Blank);
        bench.peripherals.divider = 451;
        let reaction = bench.send(&change.to_bytes());
        assert_eq!((reaction.replies.len(), reaction.next), (1, Next::Divider(divider)));
    }
}

#[test]
fn only_the_legacy_stub_can_be_left() {
    for (entry, end, run) in
        [(LEGACY_ENTRY, Next::SoftwareReset, Next::BootFromFlash), (CURRENT_ENTRY, Next::Stay, Next::Stay)]
    {
        let mut bench = Bench::new(entry, FlashSource::Blank);
        bench.response(&begin(0, 0));
        assert_eq!(bench.send(&Command::FlashEnd { stay: 0 }.to_bytes()).next, end);
        let reaction = bench.send(&Command::RunUserCode.to_bytes());
        assert_eq!((reaction.replies.len(), reaction.next), (0, run));
    }
}

#[test]
fn unknown_commands_and_wrong_lengths_have_the_stubs_own_codes() {
    let mut bench = Bench::new(CURRENT_ENTRY, FlashSource::Blank);
    let mut request = Command::EraseFlash.to_bytes();
    request[1] = 0x14;
    let replies = bench.send(&request).replies;
    assert_eq!(Response::parse(&replies[0].frame).unwrap().refusal(), Some(Refusal::StubUnknownCommand));
    let request = Request { opcode: 0x13, checksum: 0, data: &[0; 8] }.to_bytes();
    let replies = bench.send(&request).replies;
    assert_eq!(Response::parse(&replies[0].frame).unwrap().refusal(), Some(Refusal::StubDataLength));
    let begin = [&[0, 2, 20, 0, 0, 0, 0, 0][..], &[0; 20]].concat();
    let replies = bench.send(&begin).replies;
    assert_eq!(Response::parse(&replies[0].frame).unwrap().refusal(), None, "with the encryption word");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_requests_in_any_order_are_taken_without_a_panic(requests in proptest::collection::vec(
        (
            prop_oneof![0x02_u8..0x14, 0xD0_u8..0xD4, any::<u8>()],
            proptest::collection::vec(prop_oneof![0_u32..5000, any::<u32>()], 0..6),
        ),
        1..8,
    )) {
        let mut bench = Bench::new(CURRENT_ENTRY, FlashSource::Blank);
        for (opcode, words) in requests {
            let mut data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            if matches!(opcode, 0x03 | 0x07 | 0x11) && data.len() >= 16 {
                let length = u32::try_from(data.len() - 16).unwrap();
                data[..4].copy_from_slice(&length.to_le_bytes());
            }
            let sum = espbroker_flasher::protocol::checksum(data.get(16..).unwrap_or(&[]));
            bench.send(&Request { opcode, checksum: sum.into(), data: &data }.to_bytes());
        }
    }
}
