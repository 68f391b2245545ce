//! The journal: what became of each row, one line of JSON for each event, so that a batch goes on where it was stopped.
//!
//! A line is in the file, and on the disk, before anything that it announces is done. Nothing in it is secret. One batch
//! at a time holds the lock on it. A last line that was cut short, by a power cut or a full disk, is taken off; damage
//! anywhere else is refused, because what it said is not known. The file belongs to its user alone.

use std::{
    fs::{File, TryLockError},
    io::{self, BufRead as _, BufReader, ErrorKind, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::fleet::Mac;
use crate::{hex, hex::to_hex};

/// Newest format that this version knows.
const FORMAT: u32 = 1;

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("cannot use the journal: `{}`", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("another batch is using the journal: `{}`", path.display())]
    InUse { path: PathBuf },
    #[error("this is no journal of a batch, or it is damaged: line {line} of `{}`", path.display())]
    Damaged { path: PathBuf, line: usize },
    #[error("the journal was written by a newer espbroker (format {format}): `{}`", path.display())]
    Newer { path: PathBuf, format: u32 },
    #[error("cannot write to the journal: `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// What a journal says of a device that is finished.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) name: String,
    /// Changes with the row's settings.
    pub(crate) settings: String,
    pub(crate) firmware: String,
    pub(crate) image_sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// Where its broker was reached.
    pub(crate) host: String,
    pub(crate) mqtt_port: u16,
    pub(crate) seconds: u64,
}

/// One line.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Record {
    /// The first line.
    Journal { format: u32 },
    /// A device was found for a row, and is about to be written.
    Begun { at: u64, row: String, mac: MacText, port: String },
    /// It runs and was tested.
    Done {
        at: u64,
        row: String,
        mac: MacText,
        port: String,
        #[serde(flatten)]
        device: Finished,
    },
    /// It does not, for this reason.
    Failed { at: u64, row: String, mac: MacText, port: String, why: String },
    /// The row was begun with another device before.
    Swapped { at: u64, row: String, before: MacText, mac: MacText },
    /// A device that no row is for, or whose row is finished; it was not written.
    Refused { at: u64, mac: MacText, port: String, why: String },
    /// Something on a port that did not say who it is.
    Unanswered { at: u64, port: String, why: String },
}

/// A MAC address as `5c:cf:7f:01:02:03`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MacText(pub(crate) Mac);

impl Serialize for MacText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(&self.0, ":"))
    }
}

impl<'de> Deserialize<'de> for MacText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mac = hex::array(&text.split(':').collect::<String>());
        mac.map(Self).ok_or_else(|| serde::de::Error::custom("no MAC address"))
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// What lines go to: a file, or what a test takes for one.
pub(crate) trait Paper: Send {
    /// Adds bytes at the end, and makes them last.
    fn add(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Takes off what is behind `length`.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Paper for File {
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        match self.sync_data() {
            // What is no file on a disk cannot be synced.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            result => result,
        }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// An open journal; the lock is held until it is dropped.
pub(crate) struct Journal {
    path: PathBuf,
    paper: Box<dyn Paper>,
    /// Bytes of whole lines.
    length: u64,
    /// Lines that did not fit, to be written before any other.
    waiting: Vec<Record>,
}

impl Journal {
    /// Opens or begins a journal, and gives what it says.
    ///
    /// # Errors
    ///
    /// When another batch has it, it is damaged, or cannot be read or written.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Record>), JournalError> {
        let failed = |source| JournalError::Open { path: path.to_owned(), source };
        let mut options = File::options();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // What is no file has nothing to tell, and may have no end.
        let is_file = file.metadata().map_err(failed)?.is_file();
        let (records, length) = if is_file { read(&mut file, path)? } else { (Vec::new(), 0) };
        if is_file && file.metadata().map_err(failed)?.len() > length {
            file.set_len(length).map_err(failed)?;
        }
        let mut journal = Self { path: path.to_owned(), paper: Box::new(file), length, waiting: Vec::new() };
        if length == 0 {
            journal.add(Record::Journal { format: FORMAT })?;
            // So that a new name lasts through a power cut too; where a folder cannot be synced, the system does it later.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        }
        Ok((journal, records))
    }

    /// What a journal says that is there, without using it.
    ///
    /// # Errors
    ///
    /// When it is damaged or cannot be read.
    pub(crate) fn peek(path: &Path) -> Result<Vec<Record>, JournalError> {
        match File::open(path) {
            Ok(mut file) if file.metadata().is_ok_and(|metadata| metadata.is_file()) => {
                read(&mut file, path).map(|(records, _)| records)
            }
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(JournalError::Open { path: path.to_owned(), source })
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Adds a line. When that fails, the file is as it was, and the line is kept for the next attempt.
    ///
    /// # Errors
    ///
    /// The operating system's, such as a full disk.
    pub(crate) fn add(&mut self, record: Record) -> Result<(), JournalError> {
        self.waiting.push(record);
        self.catch_up()
    }

    /// Writes what did not fit before.
    ///
    /// # Errors
    ///
    /// As [`Journal::add`].
    pub(crate) fn catch_up(&mut self) -> Result<(), JournalError> {
        while let Some(record) = self.waiting.first() {
            let written = line(record).and_then(|line| {
                self.paper.add(&line).map(|()| line.len() as u64).inspect_err(|_| {
                    // Also when that fails: a line without its end is taken off when the journal is opened.
                    let _ = self.paper.cut(self.length);
                })
            });
            self.length +=
                written.map_err(|source| JournalError::Write { path: self.path.clone(), source })?;
            self.waiting.remove(0);
        }
        Ok(())
    }

    /// Lines that are not in the file.
    pub(crate) fn waiting(&self) -> &[Record] {
        &self.waiting
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn line(record: &Record) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    Ok(line)
}

/// All whole lines, and how many bytes they are.
fn read(file: &mut File, path: &Path) -> Result<(Vec<Record>, u64), JournalError> {
    let failed = |source| JournalError::Open { path: path.to_owned(), source };
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut reader = BufReader::new(file);
    let (mut records, mut length) = (Vec::new(), 0);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let count = reader.read_until(b'\n', &mut line).map_err(failed)?;
        if !line.ends_with(b"\n") {
            // Nothing, or a line that was cut short.
            return Ok((records, length));
        }
        match serde_json::from_slice(&line) {
            Ok(Record::Journal { format }) if format > FORMAT => {
                return Err(JournalError::Newer { path: path.to_owned(), format });
            }
            Ok(Record::Journal { .. }) if number == 1 => {}
            Ok(record) if number > 1 => records.push(record),
            // A disk that lost its power may have the length of a line and not its bytes.
            _ if reader.fill_buf().map_err(failed)?.is_empty() && number > 1 => return Ok((records, length)),
            _ => return Err(JournalError::Damaged { path: path.to_owned(), line: number }),
        }
        length += count as u64;
    }
    Ok((records, length))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn failed(row: &str) -> Record {
        let mac = MacText([0x5C, 0xCF, 0x7F, 1, 2, 3]);
        Record::Failed { at: 1, row: row.to_owned(), mac, port: "p".to_owned(), why: "x".repeat(60) }
    }

    fn done(row: &str) -> Record {
        let device = Finished {
            name: "hall".to_owned(),
            settings: "00".to_owned(),
            firmware: "0.1.0".to_owned(),
            image_sha256: "ab".to_owned(),
            profile: None,
            host: "10.0.0.9".to_owned(),
            mqtt_port: 1883,
            seconds: 9,
        };
        let mac = MacText([0x5C, 0xCF, 0x7F, 1, 2, 3]);
        Record::Done { at: 1, row: row.to_owned(), mac, port: "p".to_owned(), device }
    }

    fn open(path: &Path) -> Result<Vec<Record>, String> {
        Journal::open(path).map(|(_, records)| records).map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_added_is_there_again_and_the_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let (mut journal, records) = Journal::open(&path).unwrap();
        assert!(records.is_empty());
        journal.add(failed("next 1")).unwrap();
        journal.add(done("next 1")).unwrap();
        assert_eq!(
            open(&path).unwrap_err(),
            format!("another batch is using the journal: `{}`", path.display())
        );
        drop(journal);
        assert_eq!(open(&path).unwrap(), [failed("next 1"), done("next 1")]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_journal_that_was_cut_at_any_byte_has_its_whole_lines_and_takes_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.add(failed("a")).unwrap();
        journal.add(done("b")).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (mut journal, records) = Journal::open(&path).unwrap();
            let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(records.len(), lines.saturating_sub(1), "cut at {length}");
            journal.add(done("c")).unwrap();
            drop(journal);
            assert_eq!(open(&path).unwrap().last(), Some(&done("c")), "cut at {length}");
        }
    }

    #[test]
    fn damage_elsewhere_is_refused_with_its_line_and_so_is_a_newer_format() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let shown = path.display();
        for (text, line) in [
            ("not a journal\n", 1),
            ("{\"event\":\"journal\",\"format\":1}\n{\"event\":\"beg\n{\"event\":\"beg\n", 2),
            ("{\"event\":\"unanswered\",\"at\":1,\"port\":\"p\",\"why\":\"\"}\n", 1),
        ] {
            std::fs::write(&path, text).unwrap();
            let expected =
                format!("this is no journal of a batch, or it is damaged: line {line} of `{shown}`");
            assert_eq!(open(&path).unwrap_err(), expected);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::write(&path, "{\"event\":\"journal\",\"format\":2}\n").unwrap();
        assert!(open(&path).unwrap_err().contains("newer espbroker (format 2)"));
    }

    /// Paper with so much room, shared with the test.
    #[derive(Clone)]
    struct Small(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Paper for Small {
        fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
            let mut inner = self.0.lock().unwrap();
            let room = inner.1.saturating_sub(inner.0.len());
            let fits = bytes.get(..bytes.len().min(room)).unwrap();
            inner.0.extend(fits);
            if fits.len() < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.0.lock().unwrap().0.truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_no_line_and_leaves_no_half_of_one() {
        let small = Small(Arc::new(Mutex::new((Vec::new(), 200))));
        let mut journal =
            Journal { path: "j".into(), paper: Box::new(small.clone()), length: 0, waiting: Vec::new() };
        journal.add(failed("a")).unwrap();
        let whole = small.0.lock().unwrap().0.clone();
        assert!(journal.add(done("b")).unwrap_err().to_string().starts_with("cannot write to the journal"));
        assert!(journal.add(done("c")).is_err());
        assert_eq!((small.0.lock().unwrap().0.clone(), journal.waiting().len()), (whole, 2));
        small.0.lock().unwrap().1 = 100_000;
        journal.add(failed("d")).unwrap();
        let text = String::from_utf8(small.0.lock().unwrap().0.clone()).unwrap();
        let records: Vec<Record> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records, [failed("a"), done("b"), done("c"), failed("d")]);
    }
}
