//! Writing what differs, through the project's own stub: compare by sector, write runs of sectors, compare again.
//!
//! Every round begins and ends with the device's own digests, so what an error or a cut left half done is what the next
//! round finds. Within a round the requests of all runs go out one behind the other, the question for a run's digests
//! right behind its end, so that the device compares while the next run is on the wire. Only around a first sector that
//! is written last ([`Order::FirstSectorLast`]) everything before it must have been acknowledged: nothing may be written
//! while the old one could still be started, and the new one may not come while something is missing.
//!
//! Where a sample says that nothing is as it should be, the rest is not asked for before it is written: the digests of a
//! whole image take the chip half a second.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use md5::{Digest as _, Md5};

use crate::deflate::{compress, unpacked_lengths};
use crate::erase::EraseError;
use crate::event::{Event, Stage, Warning};
use crate::pipeline::{Queued, block_size};
use crate::program::{ATTEMPTS, Order, ProgramError, Programmed, REGION_ATTEMPTS, Region};
use crate::protocol::{Command, StubInfo};
use crate::session::{SECTOR, Session, length_of, part};
use crate::start::BAUD_LADDER;
use crate::verify::{Content, Verified};

/// Sectors in one run at most: enough to compress as well as all in one, and little enough to be compared on the way.
const RUN_SECTORS: usize = 32;
/// Sectors of a region that are asked for before the others.
const SAMPLE: usize = 8;
/// No MD5 that anything has: the sector is to be written, whatever it holds.
const UNKNOWN: Digest = [0; 16];

/// The MD5 of one sector.
pub(crate) type Digest = [u8; 16];

/// What is known of one region.
struct Compared {
    /// By sector, as it should be.
    expected: Vec<Digest>,
    /// By sector, as the device has it.
    found: Vec<Digest>,
    /// Bytes that differed at first.
    written: u32,
    elapsed: Duration,
}

impl Compared {
    fn differs(&self, sector: usize) -> bool {
        self.expected.get(sector) != self.found.get(sector)
    }

    /// Takes the device's digests of these sectors; an answer of another length is as good as a difference.
    fn take(&mut self, sectors: &Range<usize>, data: &[u8]) {
        let (digests, _) = data.as_chunks::<16>();
        let fits = data.len() == sectors.len() * 16;
        for (index, found) in self.found.iter_mut().skip(sectors.start).take(sectors.len()).enumerate() {
            *found = digests.get(index).copied().filter(|_| fits).unwrap_or(UNKNOWN);
        }
    }

    /// The first sector that differs, with both digests.
    fn first_difference(&self) -> Option<(u32, Digest, Digest)> {
        let mut pairs = (0..).zip(self.expected.iter().zip(&self.found));
        pairs.find(|(_, (expected, found))| expected != found).map(|(sector, (&e, &f))| (sector, e, f))
    }

    /// Neighbouring sectors that differ, from sector `from` on, as bytes of the region.
    fn runs(&self, from: usize) -> Vec<Range<u32>> {
        runs((from..self.expected.len()).filter(|&sector| self.differs(sector)))
    }
}

/// The longest that erasing and writing takes by the data sheets of common chips: 400 ms and 16 pages of 3 ms a sector.
fn flash_time(bytes: u32) -> Duration {
    Duration::from_millis(450) * bytes.div_ceil(SECTOR)
}

/// The numbers of sectors from a byte of a region on.
fn sectors_of(start: u32, count: u32) -> Range<usize> {
    let number = |sectors: u32| usize::try_from(sectors).unwrap_or(usize::MAX);
    number(start / SECTOR)..number(start / SECTOR + count)
}

/// Joins ascending sectors to spans of bytes.
pub(crate) fn runs(sectors: impl Iterator<Item = usize>) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    for sector in sectors {
        let start = u32::try_from(sector).unwrap_or(u32::MAX).saturating_mul(SECTOR);
        let end = start.saturating_add(SECTOR);
        match runs.last_mut() {
            Some(last) if last.end == start && !sector.is_multiple_of(RUN_SECTORS) => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

/// A run of sectors, compressed.
struct Run {
    /// Index of the region.
    region: usize,
    /// First byte in flash.
    offset: u32,
    /// Uncompressed bytes.
    size: u32,
    stream: Vec<u8>,
    /// What each block unpacks to.
    shares: Vec<u32>,
}

/// What an answer means.
struct Step {
    region: usize,
    /// Where it is in flash.
    offset: u32,
    /// Bytes that were taken.
    unpacked: u32,
    /// The answer is the digests of these sectors of the region.
    digests: Option<Range<usize>>,
}

/// Spreads a sample over those sectors that hold something; the blank ones are all in it, as they say little.
fn sample(expected: &[Digest], blank: &Digest) -> Vec<usize> {
    let (blanks, others): (Vec<usize>, Vec<usize>) =
        (0..expected.len()).partition(|&sector| expected.get(sector) == Some(blank));
    if others.len() <= 2 * SAMPLE {
        return (0..expected.len()).collect();
    }
    let spread = (0..SAMPLE).filter_map(|step| others.get(step * (others.len() - 1) / (SAMPLE - 1)));
    let mut sample: Vec<usize> = blanks.into_iter().chain(spread.copied()).collect();
    sample.sort_unstable();
    sample
}

fn blank_digest() -> Digest {
    Md5::digest([0xFF; SECTOR as usize]).into()
}

/// The MD5 of each sector of `content`.
fn digests(content: &[u8]) -> Vec<Digest> {
    let sector = usize::try_from(SECTOR).unwrap_or(usize::MAX);
    content.chunks(sector).map(|sector| Md5::digest(sector).into()).collect()
}

impl Region {
    /// Bytes of a span of whole sectors that holds this part of the region, with the rest of the last one as erased
    /// flash.
    pub(crate) fn sector_content(&self, span: Range<u32>) -> Vec<u8> {
        let mut content = part(&self.bytes, span.start, span.end.saturating_sub(span.start)).to_vec();
        let sector = usize::try_from(SECTOR).unwrap_or(usize::MAX);
        content.resize(content.len().next_multiple_of(sector), 0xFF);
        content
    }

    fn whole_content(&self) -> Vec<u8> {
        self.sector_content(0..length_of(&self.bytes))
    }

    /// The part of `span` that is the region's own.
    fn own(&self, span: &Range<u32>) -> u32 {
        span.end.min(length_of(&self.bytes)).saturating_sub(span.start)
    }
}

impl Session<'_> {
    /// Writes regions that were checked, and verifies them.
    pub(crate) fn program_differences(
        &mut self,
        regions: &[Region],
        info: StubInfo,
    ) -> Result<Vec<Programmed>, ProgramError> {
        self.link.stage(Stage::Compare);
        let expected: Vec<Vec<Digest>> =
            regions.iter().map(|region| digests(&region.whole_content())).collect();
        let found = self.first_digests(regions, &expected)?;
        let mut compared: Vec<Compared> = expected
            .into_iter()
            .zip(found)
            .map(|(expected, found)| Compared { expected, found, written: 0, elapsed: Duration::ZERO })
            .collect();
        for (region, compared) in regions.iter().zip(&mut compared) {
            compared.written = compared.runs(0).iter().map(|run| region.own(run)).sum();
        }
        let mut differences = 0;
        for attempt in 1..=ATTEMPTS {
            let Some(bad) = compared.iter().position(|region| region.first_difference().is_some()) else {
                break;
            };
            if differences == REGION_ATTEMPTS {
                break;
            }
            if differences > 0 {
                let name = regions.get(bad).map(|region| region.name.as_str()).unwrap_or_default();
                let reason = format!("region `{name}` differs from what was written");
                let stage = Stage::Verify;
                self.link.event(Event::Retry { stage, attempt, attempts: ATTEMPTS, reason });
            }
            match self.write_differences(regions, &mut compared, info) {
                // The device has been asked for everything that was written.
                Ok(()) => differences += 1,
                Err(error) => {
                    self.recover(error, attempt)?;
                    self.link.stage(Stage::Compare);
                    let found = self.found_digests(regions)?;
                    for (compared, found) in compared.iter_mut().zip(found) {
                        compared.found = found;
                    }
                }
            }
        }
        self.link.stage(Stage::Verify);
        for region in regions {
            let length = length_of(&region.bytes);
            self.link.progress(Stage::Verify, &region.name, length, length);
        }
        Ok(regions.iter().zip(compared).map(|(region, compared)| self.outcome(region, &compared)).collect())
    }

    fn outcome(&self, region: &Region, compared: &Compared) -> Programmed {
        let verified = match compared.first_difference() {
            None => Verified::Matches,
            Some((sector, expected, found)) => {
                let offset = region.offset.saturating_add(sector * SECTOR);
                self.difference(region, offset, Content::Digest(expected), Content::Digest(found))
            }
        };
        Programmed {
            region: region.name.clone(),
            bytes: length_of(&region.bytes),
            written: compared.written,
            elapsed: compared.elapsed,
            verified,
        }
    }

    /// Gets both sides in step after an error that another round may mend; the last round is a slower one.
    fn recover(&mut self, error: ProgramError, attempt: u32) -> Result<(), ProgramError> {
        let (ProgramError::Write { source, .. }
        | ProgramError::Erase { source: EraseError::Command { source, .. }, .. }) = &error
        else {
            return Err(error);
        };
        if !source.is_retryable() || attempt == ATTEMPTS {
            return Err(error);
        }
        let (attempt, reason) = (attempt + 1, source.to_string());
        self.link.event(Event::Retry { stage: Stage::Write, attempt, attempts: ATTEMPTS, reason });
        if self.resync().is_err() {
            return Err(error);
        }
        if attempt == ATTEMPTS { self.slow_down(error) } else { Ok(()) }
    }

    /// Goes to the next lower rate of the ladder, if there is one.
    fn slow_down(&mut self, error: ProgramError) -> Result<(), ProgramError> {
        let baud = self.baud();
        let Some(lower) = BAUD_LADDER.into_iter().find(|&rate| rate < baud) else { return Ok(()) };
        self.link.warn(Warning::BaudFailed { baud });
        self.change_baud(lower).map_err(|_| error)
    }

    /// One round: everything that differs, in the order that a power cut cannot harm.
    fn write_differences(
        &mut self,
        regions: &[Region],
        compared: &mut [Compared],
        info: StubInfo,
    ) -> Result<(), ProgramError> {
        let blank = blank_digest();
        for (region, compared) in regions.iter().zip(compared.iter_mut()) {
            if region.order == Order::FirstSectorLast
                && !compared.runs(1).is_empty()
                && let Some(first) = compared.found.first_mut()
                && *first != blank
            {
                self.link.stage(Stage::Erase);
                let started = self.link.now();
                self.erase_sectors(region.offset..region.offset + SECTOR)
                    .map_err(|source| ProgramError::Erase { region: region.name.clone(), source })?;
                *first = blank;
                compared.elapsed += self.link.now().saturating_sub(started);
            }
        }
        self.link.stage(Stage::Write);
        let (mut before, mut last) = (Vec::new(), Vec::new());
        for (index, (region, compared)) in regions.iter().zip(compared.iter()).enumerate() {
            let from = if region.order == Order::FirstSectorLast { 1 } else { 0 };
            before.extend(compared.runs(from).into_iter().map(|span| (index, span)));
            if from == 1 && compared.differs(0) {
                last.push((index, 0..SECTOR));
            }
        }
        let mut done: Vec<u32> = regions
            .iter()
            .zip(compared.iter())
            .map(|(region, compared)| {
                let open: u32 = compared.runs(0).iter().map(|run| region.own(run)).sum();
                length_of(&region.bytes) - open
            })
            .collect();
        self.write_runs(regions, before, info, &mut done, compared)?;
        self.write_runs(regions, last, info, &mut done, compared)
    }

    fn write_runs(
        &mut self,
        regions: &[Region],
        spans: Vec<(usize, Range<u32>)>,
        info: StubInfo,
        done: &mut [u32],
        compared: &mut [Compared],
    ) -> Result<(), ProgramError> {
        let block = block_size(info);
        let runs: Vec<Run> = spans
            .into_iter()
            .filter_map(|(index, span)| Some(self.run(index, regions.get(index)?, span, block)))
            .collect();
        let mut steps = Vec::new();
        let mut requests = Vec::new();
        for run in &runs {
            let Some(region) = regions.get(run.region) else { continue };
            let secrecy = self.secrecy(&region.sectors());
            let mut push = |command, unpacked, offset, digests| {
                requests.push(Queued { command, secrecy, work: flash_time(unpacked) });
                steps.push(Step { region: run.region, offset, unpacked, digests });
            };
            let blocks = length_of(&run.stream).div_ceil(block);
            let Run { offset, size, .. } = *run;
            push(Command::FlashDeflateBegin { size, blocks, block_size: block, offset }, 0, offset, None);
            let mut reached = offset;
            let block_bytes = usize::try_from(block).unwrap_or(usize::MAX);
            for ((bytes, &share), sequence) in run.stream.chunks(block_bytes).zip(&run.shares).zip(0..) {
                let command = Command::FlashDeflateData { sequence, block: Cow::Borrowed(bytes) };
                push(command, share, reached, None);
                reached = reached.saturating_add(share);
            }
            push(Command::FlashDeflateEnd { stay: 1 }, 0, offset, None);
            let count = size / SECTOR;
            let sectors = sectors_of(offset.saturating_sub(region.offset), count);
            push(Command::SectorDigests { offset, count }, 0, offset, Some(sectors));
        }
        let mut reached = 0;
        let mut at = self.link.now();
        let result = self.link.pipeline(info.receive_window, requests, |link, number, response| {
            reached = number + 1;
            let now = link.now();
            let since = now.saturating_sub(std::mem::replace(&mut at, now));
            let Some(step) = steps.get(number) else { return };
            if let Some(compared) = compared.get_mut(step.region) {
                compared.elapsed += since;
                if let Some(sectors) = &step.digests {
                    compared.take(sectors, &response.data);
                }
            }
            let (Some(done), Some(region)) = (done.get_mut(step.region), regions.get(step.region)) else {
                return;
            };
            *done = done.saturating_add(step.unpacked).min(length_of(&region.bytes));
            if step.unpacked > 0 {
                link.progress(Stage::Write, &region.name, *done, length_of(&region.bytes));
            }
        });
        result.map_err(|source| {
            let step = steps.get(reached);
            let region = step.and_then(|step| regions.get(step.region));
            ProgramError::Write {
                region: region.map(|region| region.name.clone()).unwrap_or_default(),
                offset: step.map(|step| step.offset).unwrap_or_default(),
                source,
            }
        })
    }

    fn run(&self, index: usize, region: &Region, span: Range<u32>, block: u32) -> Run {
        let content = region.sector_content(span.start..span.end.min(length_of(&region.bytes)));
        let prepared = self.prepared.iter().find_map(|prepared| prepared.stream_of(&content));
        let stream = prepared.map_or_else(|| compress(&content), <[u8]>::to_vec);
        let block_bytes = usize::try_from(block).unwrap_or(usize::MAX);
        let shares = unpacked_lengths(&stream, block_bytes, content.len());
        let offset = region.offset.saturating_add(span.start);
        Run { region: index, offset, size: length_of(&content), stream, shares }
    }

    /// The digests of every sector of every region, as the device has them; where a sample of a region says that nothing
    /// is as it should be, the others are [`UNKNOWN`].
    fn first_digests(
        &mut self,
        regions: &[Region],
        expected: &[Vec<Digest>],
    ) -> Result<Vec<Vec<Digest>>, ProgramError> {
        let blank = blank_digest();
        let samples: Vec<Vec<usize>> = expected.iter().map(|expected| sample(expected, &blank)).collect();
        let spans = |wanted: &[Vec<usize>]| -> Vec<(usize, Range<u32>)> {
            let of_region = |(index, sectors): (usize, &Vec<usize>)| {
                runs(sectors.iter().copied()).into_iter().map(move |run| (index, run)).collect::<Vec<_>>()
            };
            wanted.iter().enumerate().flat_map(of_region).collect()
        };
        let mut found: Vec<Vec<Digest>> =
            expected.iter().map(|expected| vec![UNKNOWN; expected.len()]).collect();
        self.ask_into(regions, &spans(&samples), &mut found)?;
        // What a sample leaves open is asked for unless the whole sample is to be written.
        let open: Vec<Vec<usize>> = samples
            .iter()
            .zip(expected.iter().zip(&found))
            .map(|(sample, (expected, found))| {
                let is_right = |&sector: &usize| {
                    expected.get(sector) != Some(&blank) && expected.get(sector) == found.get(sector)
                };
                let rest = (0..expected.len()).filter(|sector| !sample.contains(sector));
                if sample.iter().any(is_right) { rest.collect() } else { Vec::new() }
            })
            .collect();
        self.ask_into(regions, &spans(&open), &mut found)?;
        Ok(found)
    }

    /// Asks for the digests of runs of sectors, and puts them where they belong.
    fn ask_into(
        &mut self,
        regions: &[Region],
        runs: &[(usize, Range<u32>)],
        found: &mut [Vec<Digest>],
    ) -> Result<(), ProgramError> {
        let spans: Vec<(&Region, Range<u32>)> = runs
            .iter()
            .filter_map(|(index, run)| {
                let region = regions.get(*index)?;
                Some((region, region.offset + run.start..region.offset + run.end))
            })
            .collect();
        if spans.is_empty() {
            return Ok(());
        }
        let answers = self.digest_spans(&spans)?;
        for ((index, run), digests) in runs.iter().zip(answers) {
            let sectors = sectors_of(run.start, (run.end - run.start) / SECTOR);
            let places = found.get_mut(*index).and_then(|found| found.get_mut(sectors));
            if let Some(places) = places.filter(|places| places.len() == digests.len()) {
                places.copy_from_slice(&digests);
            }
        }
        Ok(())
    }

    /// The digests of every sector of every region, as the device has them.
    fn found_digests(&mut self, regions: &[Region]) -> Result<Vec<Vec<Digest>>, ProgramError> {
        let spans: Vec<(&Region, Range<u32>)> =
            regions.iter().map(|region| (region, region.sectors())).collect();
        Ok(self.digest_spans(&spans)?)
    }
}

/// Which runs of a region a blank device gets, apart from a first sector that is written last.
pub(crate) fn first_flash_runs(region: &Region) -> Vec<Range<u32>> {
    let from = if region.order == Order::FirstSectorLast { 1 } else { 0 };
    let content = region.whole_content();
    let sector = usize::try_from(SECTOR).unwrap_or(usize::MAX);
    let holds_something = |bytes: &[u8]| bytes.iter().any(|&byte| byte != 0xFF);
    let sectors = content.chunks(sector).enumerate().skip(from);
    runs(sectors.filter(|(_, bytes)| holds_something(bytes)).map(|(number, _)| number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{pattern, region};

    #[test]
    fn a_sample_is_spread_and_takes_small_regions_whole() {
        let blank = blank_digest();
        let expected: Vec<Digest> = (0..60).map(|n| if n == 7 { blank } else { [n; 16] }).collect();
        let spread = sample(&expected, &blank);
        assert_eq!(spread.len(), SAMPLE + 1);
        assert!(spread.contains(&0) && spread.contains(&7) && spread.contains(&59));
        assert_eq!(sample(&expected[..16], &blank).len(), 16);
    }

    #[test]
    fn a_long_run_is_cut_so_that_its_parts_can_be_compared_on_the_way() {
        assert_eq!(runs(1..70), [0x1000..0x2_0000, 0x2_0000..0x4_0000, 0x4_0000..0x4_6000]);
    }

    #[test]
    fn neighbouring_sectors_are_one_run_and_others_are_not() {
        assert_eq!(runs([1, 2, 3, 7, 9, 10].into_iter()), [0x1000..0x4000, 0x7000..0x8000, 0x9000..0xB000]);
        assert!(runs(std::iter::empty()).is_empty());
    }

    #[test]
    fn a_first_flash_leaves_out_the_first_sector_and_what_is_blank() {
        let bytes = [pattern(0x2000), vec![0xFF; 0x3000], pattern(0x1080)].concat();
        let image = region("image", 0, bytes.clone(), Order::FirstSectorLast);
        assert_eq!(first_flash_runs(&image), [0x1000..0x2000, 0x5000..0x7000]);
        let plain = region("plain", 0, bytes, Order::Ascending);
        assert_eq!(first_flash_runs(&plain), [0..0x2000, 0x5000..0x7000]);
    }
}
