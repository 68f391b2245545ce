//! What the boot ROM does after a reset: its log line, and loading an image from flash.
//!
//! Follows the ROM's machine code. The texts are the ROM's own, LF sent as CR LF; the loading loop works on chunks of
//! 16 bytes and prints what is left of them (`room`, `tail`, `ho`), which is why its lines look as they do. It knows
//! one check: the XOR of all segment bytes. Digests and descriptors are the business of the code that it starts.

use std::time::Duration;

use crate::flash_routines::{DEFAULT_SIZE, Flash, FlashFailure};
use crate::machine::Board;

/// First byte of an image that the ROM loads.
pub(crate) const MAGIC: u8 = 0xE9;
/// Time from the release of EN to the first byte of the log; a guess, boards differ by their crystal.
pub(crate) const START_TIME: Duration = Duration::from_millis(10);

const CHUNK: usize = 16;
const CHECKSUM_SEED: u8 = 0xEF;
/// Bits 31-29 of the GPIO input register: pins of the flash, 6 on boards with quad-capable wiring.
pub(crate) const FLASH_STRAP: u8 = 6;

/// Why the chip was reset, as the ROM prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cause {
    /// Supply came.
    PowerOn = 1,
    /// EN was low.
    External = 2,
    /// The watchdog was not fed.
    Watchdog = 4,
}

/// What GPIO15, GPIO0 and GPIO2 told the ROM at the release of EN; GPIO2 is always high here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Strap {
    /// GPIO0 low: serial loader.
    Download = 1,
    /// All as they should be for a start from flash.
    Flash = 3,
    /// GPIO15 high and GPIO0 low: the chip waits for an SDIO host.
    SdioDownload = 5,
    /// GPIO15 high: the same.
    Sdio = 7,
}

/// What the ROM prints when the straps make it wait for an SDIO host.
pub(crate) const WAITING_FOR_HOST: &[u8] = b"waiting for host\r\n";

/// What the ROM prints behind its first line when the watchdog brought it there.
pub(crate) const WATCHDOG_RESET: &[u8] = b"wdt reset\r\n";

/// How loading went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The ROM jumps to the image's entry point.
    Started {
        /// Where.
        entry: u32,
    },
    /// The ROM gave up and spins.
    Stuck,
}

/// The first lines after a reset.
pub(crate) fn banner(cause: Cause, strap: Strap) -> Vec<u8> {
    let (cause, strap) = (cause as u8, strap as u8);
    with_carriage_returns(&format!(
        "\n ets Jan  8 2013,rst cause:{cause}, boot mode:({strap},{FLASH_STRAP})\n\n"
    ))
}

/// Loads the image at flash address 0 into RAM; gives the log of it, how it went and when it was done.
pub(crate) fn load(board: &mut Board, now: Duration) -> (Vec<u8>, Outcome, Duration) {
    let mut loading = Loading { board, now, next_chunk: 0, before_tail: 0, log: String::new() };
    let outcome = match loading.run() {
        Ok(entry) => Outcome::Started { entry },
        Err(Failure) => {
            // The ROM prints a number as text here; real logs end behind the file's name.
            loading.log.push_str("ets_main.c ");
            Outcome::Stuck
        }
    };
    (with_carriage_returns(&loading.log), outcome, loading.now)
}

fn with_carriage_returns(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// The ROM's loader function returned 1.
struct Failure;

struct Loading<'a> {
    board: &'a mut Board,
    now: Duration,
    next_chunk: u32,
    /// How much of the chunk was taken before the last segment's tail.
    before_tail: usize,
    log: String,
}

impl Loading<'_> {
    fn chunk(&mut self) -> Result<[u8; CHUNK], Failure> {
        let mut chunk = [0; CHUNK];
        let mut flash = Flash::new(self.board.nor.lock(), DEFAULT_SIZE, self.now);
        let result = flash.read(self.next_chunk, &mut chunk);
        self.now = flash.now;
        drop(flash);
        self.next_chunk = self.next_chunk.saturating_add(16);
        result.map_err(|FlashFailure| {
            self.log.push_str("flash read err, ets_unpack_flash_code\n");
            Failure
        })?;
        Ok(chunk)
    }

    fn run(&mut self) -> Result<u32, Failure> {
        let [magic, segments, _, _, e0, e1, e2, e3, header @ ..] = self.chunk()?;
        if magic != MAGIC {
            return Err(Failure);
        }
        let entry = u32::from_le_bytes([e0, e1, e2, e3]);
        let mut header = header;
        let mut chunk = self.chunk()?;
        let mut used = 0_usize;
        let mut sum = CHECKSUM_SEED;
        for segment in 1..=segments {
            self.segment(header, &mut chunk, &mut used, &mut sum)?;
            if segment == segments {
                break;
            }
            header = self.next_header(&mut chunk, &mut used)?;
        }
        self.log.push_str(&format!("csum 0x{sum:02x}\n"));
        let [.., stated] = chunk;
        if sum != stated {
            self.log.push_str("csum err\n");
            return Err(Failure);
        }
        Ok(entry)
    }

    /// Copies one segment; `chunk` and `used` are the 16 bytes at hand and how many of them are taken.
    fn segment(
        &mut self,
        header: [u8; 8],
        chunk: &mut [u8; CHUNK],
        used: &mut usize,
        sum: &mut u8,
    ) -> Result<(), Failure> {
        let [a0, a1, a2, a3, l0, l1, l2, l3] = header;
        let mut address = u32::from_le_bytes([a0, a1, a2, a3]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let room = CHUNK - *used;
        self.log.push_str(&format!("load 0x{address:08x}, len {length}, room {room} \n"));
        let tail = if length < room {
            length
        } else {
            self.copy(&mut address, chunk.get(*used..).unwrap_or_default(), sum)?;
            for _ in 0..(length - room) / CHUNK {
                let whole = self.chunk()?;
                self.copy(&mut address, &whole, sum)?;
            }
            *chunk = self.chunk()?;
            *used = 0;
            (length - room) % CHUNK
        };
        self.log.push_str(&format!("tail {tail}\n"));
        self.before_tail = *used;
        self.copy(&mut address, chunk.get(*used..*used + tail).unwrap_or_default(), sum)?;
        self.log.push_str(&format!("chksum 0x{sum:02x}\n"));
        *used += tail;
        Ok(())
    }

    fn next_header(&mut self, chunk: &mut [u8; CHUNK], used: &mut usize) -> Result<[u8; 8], Failure> {
        let mut header = [0; 8];
        let room = CHUNK - *used;
        if room >= header.len() {
            header.copy_from_slice(chunk.get(*used..*used + 8).unwrap_or(&[0; 8]));
            *used += 8;
            return Ok(header);
        }
        let before = self.before_tail;
        self.log.push_str(&format!("ho {before} tail {} room {room}\n", *used - before));
        let rest = chunk.get(*used..).unwrap_or_default().to_vec();
        *chunk = self.chunk()?;
        let bytes = rest.iter().chain(chunk.iter());
        header.iter_mut().zip(bytes).for_each(|(target, byte)| *target = *byte);
        *used = 8 - room;
        Ok(header)
    }

    fn copy(&mut self, address: &mut u32, bytes: &[u8], sum: &mut u8) -> Result<(), Failure> {
        *sum = bytes.iter().fold(*sum, |sum, byte| sum ^ byte);
        // A store outside RAM is an exception that the ROM has no answer to at this point.
        if !bytes.is_empty() && !self.board.upload(*address, bytes) {
            return Err(Failure);
        }
        *address = address.wrapping_add(u32::try_from(bytes.len()).unwrap_or(0));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::machine::board::SharedNor;
    use crate::nor::{FlashSource, Nor};
    use crate::timing::Pace;

    fn load_from(flash: Vec<u8>) -> (String, Outcome, Board) {
        let source = FlashSource::Bytes(flash);
        let nor = Nor::new(source, 0x40_0000, [0xEF, 0x40, 0x16], Pace::RealTime, 0).unwrap();
        let mut board = Board::without_faults(SharedNor::new(nor), [0; 6]);
        let (log, outcome, _) = load(&mut board, Duration::ZERO);
        (String::from_utf8(log).unwrap(), outcome, board)
    }

    fn image(segments: &[(u32, usize)]) -> Vec<u8> {
        let mut image = vec![MAGIC, u8::try_from(segments.len()).unwrap(), 2, 0x40];
        image.extend(0x4010_0004_u32.to_le_bytes());
        let mut sum = CHECKSUM_SEED;
        for (number, &(address, length)) in segments.iter().enumerate() {
            image.extend(address.to_le_bytes());
            image.extend(u32::try_from(length).unwrap().to_le_bytes());
            let bytes: Vec<u8> = (0..length).map(|byte| (byte * 7 + number).to_le_bytes()[0]).collect();
            sum = bytes.iter().fold(sum, |sum, byte| sum ^ byte);
            image.extend(bytes);
        }
        while image.len() % 16 != 15 {
            image.push(0);
        }
        image.push(sum);
        image
    }

    fn lines_without_sums(log: &str) -> Vec<String> {
        log.split("\r\n").filter(|line| !line.contains("sum 0x")).map(str::to_owned).collect()
    }

    #[test]
    fn the_banner_is_the_roms() {
        let banner = banner(Cause::External, Strap::Flash);
        assert_eq!(banner, b"\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n\r\n");
    }

    #[test]
    fn the_log_of_three_segments_is_that_of_a_posted_one() {
        // Lengths of a log that was posted often: 25700, 848 and 184 bytes.
        let (log, outcome, board) =
            load_from(image(&[(0x4010_0000, 25_700), (0x3FFE_8000, 848), (0x3FFE_8350, 184)]));
        assert_eq!(outcome, Outcome::Started { entry: 0x4010_0004 });
        assert_eq!(
            lines_without_sums(&log),
            [
                "load 0x40100000, len 25700, room 16 ",
                "tail 4",
                "load 0x3ffe8000, len 848, room 4 ",
                "tail 12",
                "ho 0 tail 12 room 4",
                "load 0x3ffe8350, len 184, room 12 ",
                "tail 12",
                "",
            ]
        );
        assert_eq!(board.memory.ram(0x3FFE_8350, 3), Some(&[2, 9, 16][..]));
        assert!(log.contains("\r\ncsum 0x"));
    }

    #[test]
    fn empty_and_tiny_segments_are_taken_from_the_chunk_at_hand() {
        let (log, outcome, _) = load_from(image(&[(0x4010_0000, 212), (0x3FFE_8000, 0), (0x3FFE_8000, 0)]));
        assert_eq!(outcome, Outcome::Started { entry: 0x4010_0004 });
        assert!(log.contains("tail 4") && log.contains("len 0, room 4 "), "{log}");
    }

    #[test]
    fn one_wrong_byte_is_a_checksum_error_and_blank_flash_is_nothing_at_all() {
        let mut broken = image(&[(0x4010_0000, 100)]);
        broken[40] ^= 1;
        let (log, outcome, _) = load_from(broken);
        assert_eq!(outcome, Outcome::Stuck);
        assert!(log.ends_with("csum err\r\nets_main.c "), "{log}");
        assert_eq!(load_from(vec![]).0, "ets_main.c ");
    }

    #[test]
    fn endless_lengths_and_addresses_outside_ram_end_the_boot() {
        for (address, length) in [(0x4010_0000, u32::MAX), (0x4020_0000, 16), (u32::MAX, 16)] {
            let mut image = image(&[(0x4010_0000, 16)]);
            image[8..12].copy_from_slice(&u32::to_le_bytes(address));
            image[12..16].copy_from_slice(&u32::to_le_bytes(length));
            assert_eq!(load_from(image).1, Outcome::Stuck);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn any_flash_boots_or_does_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut flash = vec![MAGIC];
            flash.extend(bytes);
            load_from(flash);
        }
    }
}
