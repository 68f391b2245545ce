//! What of a linked program goes into memory: the loadable segments of a 32-bit little-endian ELF file.

use espbroker_config::image::boot::Segment;

use crate::process::Failure;

/// Type of a program header whose segment is loaded (`PT_LOAD`).
const LOAD: u32 = 1;

/// A linked program.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// Where it begins.
    pub(crate) entry: u32,
    /// What is loaded before, without what only has room reserved.
    pub(crate) segments: Vec<Segment<'a>>,
}

/// Reads a program.
///
/// # Errors
///
/// When the file is no such ELF file or is cut.
pub(crate) fn read(file: &[u8]) -> Result<Program<'_>, Failure> {
    if !file.starts_with(b"\x7FELF\x01\x01") {
        return Err("no 32-bit little-endian ELF file".into());
    }
    let first = offset(word(file, 28)?)?;
    let (size, count) = (usize::from(half(file, 42)?), usize::from(half(file, 44)?));
    let mut segments = Vec::new();
    for header in (0..count).map(|number| first + number * size) {
        let (start, length) = (offset(word(file, header + 4)?)?, offset(word(file, header + 16)?)?);
        if word(file, header)? == LOAD && length > 0 {
            let data = file.get(start..start + length).ok_or("the ELF file is cut")?;
            segments.push(Segment { address: word(file, header + 12)?, data });
        }
    }
    Ok(Program { entry: word(file, 24)?, segments })
}

fn offset(word: u32) -> Result<usize, Failure> {
    usize::try_from(word).map_err(Failure::from)
}

fn word(file: &[u8], at: usize) -> Result<u32, Failure> {
    let bytes = file.get(at..).and_then(|rest| rest.first_chunk()).ok_or("the ELF file is cut")?;
    Ok(u32::from_le_bytes(*bytes))
}

fn half(file: &[u8], at: usize) -> Result<u16, Failure> {
    let bytes = file.get(at..).and_then(|rest| rest.first_chunk()).ok_or("the ELF file is cut")?;
    Ok(u16::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let mut file = vec![0; 52 + 32];
        file[..6].copy_from_slice(b"\x7FELF\x01\x01");
        file[24..28].copy_from_slice(&0x4010_C000_u32.to_le_bytes());
        file[28..32].copy_from_slice(&52_u32.to_le_bytes());
        file[42..44].copy_from_slice(&32_u16.to_le_bytes());
        file[44..46].copy_from_slice(&1_u16.to_le_bytes());
        for (at, word) in [(52, LOAD), (56, 84), (64, 0x3FFE_8000), (68, 3), (72, 100)] {
            file[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        file.extend(*b"abc");
        let program = read(&file).unwrap();
        assert_eq!(program.entry, 0x4010_C000);
        assert_eq!(program.segments, [Segment { address: 0x3FFE_8000, data: b"abc" }]);
        for cut in 0..file.len() {
            assert!(read(&file[..cut]).is_err());
        }
    }
}
