//! Stubs: small programs that replace the boot ROM's loader in RAM and add digests, compression and faster rates.
//!
//! The project's own comes with this crate, as an image that the boot ROM could load (`E9`, segments, checksum; ESP8266
//! image format of the esptool documentation). Any other is taken in the JSON form that esptool keeps its stubs in. How
//! one is started and which rate it gets is in [`crate::start`].

use base64ct::{Base64, Encoding};
use serde::Deserialize;

/// The project's own, as its build leaves it.
const BUNDLED: &[u8] = include_bytes!("../../../firmware/lx106/stub/stub.bin");
/// First byte of an image for the boot ROM.
const IMAGE_MAGIC: u8 = 0xE9;
/// The RAM that a stub can take: 32 KiB of instructions above the ROM's own, and as much data.
const SEGMENT_MAX: usize = 0x8000;

/// A program for RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    pub(crate) entry: u32,
    pub(crate) segments: Vec<(u32, Vec<u8>)>,
    pub(crate) origin: Origin,
}

/// Whose it is, which decides whether it is asked for more than esptool's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Own,
    Foreign,
}

/// Why a stub file is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StubFileError {
    /// Not JSON, or without one of the fields.
    #[error("stub file is not in esptool's form: {0}")]
    Json(String),
    /// A field that holds no base64.
    #[error("stub file has no valid base64 in: `{0}`")]
    Base64(&'static str),
    /// Nothing to upload, or more than fits.
    #[error("stub file has a segment of an impossible length: `{field}` with {length} bytes")]
    Length {
        /// `text` or `data`.
        field: &'static str,
        /// Bytes.
        length: usize,
    },
    /// Not an image for the boot ROM, or a damaged one.
    #[error("stub is no image for the boot ROM's loader")]
    Image,
}

#[derive(Deserialize)]
struct StubFile {
    entry: u32,
    text: String,
    text_start: u32,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    data_start: Option<u32>,
}

impl Stub {
    /// Parses `{"entry": …, "text": base64, "text_start": …, "data": base64, "data_start": …}`.
    ///
    /// # Errors
    /// [`StubFileError`] when it is not that.
    pub fn from_esptool_json(json: &str) -> Result<Self, StubFileError> {
        let file: StubFile =
            serde_json::from_str(json).map_err(|error| StubFileError::Json(error.to_string()))?;
        let mut segments = vec![(file.text_start, segment("text", &file.text)?)];
        if let (Some(data), Some(start)) = (&file.data, file.data_start) {
            segments.push((start, segment("data", data)?));
        }
        Ok(Self { entry: file.entry, segments, origin: Origin::Foreign })
    }

    /// The project's own.
    ///
    /// # Errors
    /// [`StubFileError`] never in a build whose tests passed.
    pub fn bundled() -> Result<Self, StubFileError> {
        Self::from_image(BUNDLED)
    }

    /// Parses the project's own stub: an image with all of its segments in RAM.
    ///
    /// # Errors
    /// [`StubFileError`] when it is not that, or damaged.
    pub fn from_image(image: &[u8]) -> Result<Self, StubFileError> {
        let (&header, mut rest) = image.split_first_chunk::<8>().ok_or(StubFileError::Image)?;
        let [magic, count, _, _, e0, e1, e2, e3] = header;
        if magic != IMAGE_MAGIC {
            return Err(StubFileError::Image);
        }
        let mut segments = Vec::new();
        let mut sum = crate::protocol::CHECKSUM_SEED;
        for _ in 0..count {
            let (&[a0, a1, a2, a3, l0, l1, l2, l3], behind) =
                rest.split_first_chunk::<8>().ok_or(StubFileError::Image)?;
            let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
            if length == 0 || length > SEGMENT_MAX || !length.is_multiple_of(4) {
                return Err(StubFileError::Length { field: "segment", length });
            }
            let (bytes, behind) = behind.split_at_checked(length).ok_or(StubFileError::Image)?;
            sum = bytes.iter().fold(sum, |sum, byte| sum ^ byte);
            segments.push((u32::from_le_bytes([a0, a1, a2, a3]), bytes.to_vec()));
            rest = behind;
        }
        // The checksum is the last byte of the next multiple of 16.
        let at = 15 - (image.len() - rest.len()) % 16;
        if segments.is_empty() || rest.get(at) != Some(&sum) {
            return Err(StubFileError::Image);
        }
        Ok(Self { entry: u32::from_le_bytes([e0, e1, e2, e3]), segments, origin: Origin::Own })
    }

    /// Bytes to upload.
    pub fn length(&self) -> usize {
        self.segments.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

fn segment(field: &'static str, text: &str) -> Result<Vec<u8>, StubFileError> {
    let mut bytes = Base64::decode_vec(text).map_err(|_| StubFileError::Base64(field))?;
    let length = bytes.len();
    if length == 0 || length > SEGMENT_MAX {
        return Err(StubFileError::Length { field, length });
    }
    // The boot ROM takes whole words.
    bytes.resize(length.next_multiple_of(4), 0);
    Ok(bytes)
}
