//! Compressing what is written: once, as well as it goes, and where it can be, while something else waits.
//!
//! The wire is slower than any host, so the best level is worth its time. libdeflate's leaves 2 to 5 % fewer bytes than
//! zlib's best level in about the same time (500 KB in 60 ms); searching longer, as zopfli does, gains less than another
//! percent and takes twenty times as long.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::thread;

use flate2::{Decompress, FlushDecompress};
use libdeflater::{CompressionLvl, Compressor};

use crate::differences::first_flash_runs;
use crate::program::Region;
use crate::session::length_of;

/// A zlib stream (RFC 1950) at the best level.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::best());
    let mut stream = vec![0; compressor.zlib_compress_bound(bytes.len())];
    // The bound is the library's own; were it wrong, a stub would refuse the end of an empty stream.
    let length = compressor.zlib_compress(bytes, &mut stream).unwrap_or(0);
    stream.truncate(length);
    stream
}

/// How many bytes each block of a zlib stream unpacks to, which is what the other side has to write for it.
pub(crate) fn unpacked_lengths(stream: &[u8], block_size: usize, total: usize) -> Vec<u32> {
    let mut inflater = Decompress::new(true);
    let mut scratch = vec![0; total];
    let unpack = |block: &[u8]| {
        let before = inflater.total_out();
        let rest =
            usize::try_from(before).ok().and_then(|start| scratch.get_mut(start..)).unwrap_or_default();
        // What was just compressed here unpacks here; only how far it gets is of interest.
        let _ = inflater.decompress(block, rest, FlushDecompress::None);
        u32::try_from(inflater.total_out() - before).unwrap_or(u32::MAX)
    };
    stream.chunks(block_size.max(1)).map(unpack).collect()
}

/// What a first flash of a region sends, compressed on a thread of its own as soon as this is made: meanwhile the
/// device is looked for.
#[derive(Clone, Debug)]
pub struct Prepared {
    runs: Arc<[PreparedRun]>,
}

#[derive(Debug)]
struct PreparedRun {
    bytes: Vec<u8>,
    stream: OnceLock<Vec<u8>>,
}

impl PreparedRun {
    fn stream(&self) -> &[u8] {
        self.stream.get_or_init(|| compress(&self.bytes))
    }
}

impl Prepared {
    /// Begins with what a blank device would get of `region`; without a thread to do it, it is done when it is needed.
    pub fn new(region: &Region) -> Self {
        let length = length_of(&region.bytes);
        let content = |span: Range<u32>| region.sector_content(span.start..span.end.min(length));
        let runs = first_flash_runs(region)
            .into_iter()
            .map(|span| PreparedRun { bytes: content(span), stream: OnceLock::new() });
        let prepared = Self { runs: runs.collect() };
        let worker = prepared.clone();
        let work = move || worker.runs.iter().for_each(|run| _ = run.stream());
        let _ = thread::Builder::new().name("compress".to_owned()).spawn(work);
        prepared
    }

    /// The stream for these bytes, if they are one of the runs; waits for the thread that is at it.
    pub(crate) fn stream_of(&self, bytes: &[u8]) -> Option<&[u8]> {
        self.runs.iter().find(|run| run.bytes == bytes).map(PreparedRun::stream)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::ZlibDecoder;

    use super::*;
    use crate::program::Order;
    use crate::session::SECTOR;
    use crate::tests::{pattern, region};

    fn unpack(stream: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        ZlibDecoder::new(stream).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn every_block_of_a_stream_has_its_share_of_the_bytes() {
        let bytes = [pattern(20_000), vec![0; 50_000], pattern(3)].concat();
        let stream = compress(&bytes);
        assert_eq!(unpack(&stream), bytes);
        let shares = unpacked_lengths(&stream, 4096, bytes.len());
        assert_eq!(shares.len(), stream.len().div_ceil(4096));
        assert_eq!(shares.iter().sum::<u32>(), 70_003);
        assert!(shares.contains(&4096) || shares[0] > 4000);
    }

    #[test]
    fn what_is_prepared_is_what_a_blank_device_gets() {
        let image = region("image", 0, pattern(3 * SECTOR + 100), Order::FirstSectorLast);
        let prepared = Prepared::new(&image);
        let mut rest = image.bytes[SECTOR as usize..].to_vec();
        rest.resize(3 * SECTOR as usize, 0xFF);
        assert_eq!(unpack(prepared.stream_of(&rest).unwrap()), rest);
        assert_eq!(prepared.stream_of(&rest[1..]), None);
    }
}
