//! What the tests of this folder share: keys that sign, releases in folders, and an HTTP server that misbehaves.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use minisign::KeyPair;
use semver::Version;
use tempfile::TempDir;

use super::{
    Judge,
    date::Date,
    keys::{Keys, ReleaseKey},
    manifest::{MANIFEST_FILE, Manifest, Part, SIGNATURE_FILE, Sha256Digest, TargetParts},
};

pub(crate) fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// The virtual device's image with another version.
pub(crate) fn image(version: &str) -> Vec<u8> {
    espbroker_virtual_device::image::build(version).unwrap()
}

/// A manifest for the virtual device.
pub(crate) fn manifest(version: &str, parts: &[(&str, u32, &[u8])]) -> Manifest {
    let parts = parts
        .iter()
        .map(|(file, offset, bytes)| Part {
            file: (*file).to_owned(),
            offset: *offset,
            size: u32::try_from(bytes.len()).unwrap(),
            sha256: Sha256Digest::of(bytes),
        })
        .collect();
    let targets = [("virtual".to_owned(), TargetParts { flash_map: 1, parts })].into();
    Manifest::new(version.parse().unwrap(), Version::new(0, 1, 0), day("2027-01-31"), targets)
}

/// A key pair that lives as long as a test.
pub(crate) struct Signer {
    pair: KeyPair,
    expires: String,
}

impl Signer {
    pub(crate) fn new(expires: &str) -> Self {
        Self { pair: KeyPair::generate_unencrypted_keypair().unwrap(), expires: expires.to_owned() }
    }

    /// The public key as a file.
    pub(crate) fn public(&self) -> String {
        let key = self.pair.pk.to_base64();
        format!("untrusted comment: test key, expires {}\n{key}\n", self.expires)
    }

    pub(crate) fn key(&self, name: &str) -> ReleaseKey {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pub");
        fs::write(&path, self.public()).unwrap();
        let keys = Keys::compiled_in().unwrap().with_file(&path).unwrap();
        let mut key = keys.iter().last().unwrap().clone();
        name.clone_into(&mut key.name);
        key
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        minisign::sign(None, &self.pair.sk, message, Some("test"), None).unwrap().into_string()
    }

    /// Trusts this key alone, on this day, in a program of version 0.1.0.
    pub(crate) fn judge(&self, today: &str) -> Judge {
        Judge { keys: Keys::of(self.key("test")), tool: Version::new(0, 1, 0), today: day(today) }
    }
}

/// A folder with a release.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A signed release 0.2.0 for the virtual device, its image in `image.bin`.
    pub(crate) fn release(signer: &Signer, image: &[u8]) -> Self {
        let folder = Self::new();
        folder.write("image.bin", image);
        folder.sign(signer, &manifest("0.2.0", &[("image.bin", 0, image)]));
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    pub(crate) fn sign(&self, signer: &Signer, manifest: &Manifest) {
        let text = manifest.to_json().unwrap();
        self.write(MANIFEST_FILE, text.as_bytes());
        self.write(SIGNATURE_FILE, signer.sign(text.as_bytes()).as_bytes());
    }

    /// Every file, for a server.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect()
    }
}

/// What the server does wrong, for files other than manifest and signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vice {
    None,
    /// Hangs up after this many bytes of each body.
    HangsUp(usize),
    /// Says nothing more after this many bytes of the first body.
    FallsSilent(usize),
    /// Gives the whole file, whatever was asked for.
    KnowsNoRanges,
    /// Has only this many bytes of the file.
    Truncated(usize),
    /// Has one more byte.
    Longer,
    /// Answers with this status.
    Status(u16),
}

/// A server for one test; each request is kept as `GET /name from OFFSET`.
pub(crate) struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(files: BTreeMap<String, Vec<u8>>, vice: Vice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/release/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                // A client that goes away in the middle is what some tests are about.
                if let Ok(Some(kept)) = answer(stream, &files, vice, &log) {
                    silent.push(kept);
                }
            }
        });
        Self { address, requests }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers one request on a connection; returns it where it is to stay open in silence.
fn answer(
    mut stream: TcpStream,
    files: &BTreeMap<String, Vec<u8>>,
    vice: Vice,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<Option<TcpStream>> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut from = 0;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap();
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let name = path.strip_prefix("/release/").unwrap_or_default();
    let first = {
        let mut log = log.lock().unwrap();
        log.push(format!("{name} from {from}"));
        log.iter().filter(|line| line.starts_with(name)).count() == 1
    };
    let vice = if name.starts_with("manifest") { Vice::None } else { vice };
    let mut head = |status: &str, length: usize, more: &str| {
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n")
    };
    if let Vice::Status(status) = vice {
        head(&format!("{status} No"), 0, "")?;
        return Ok(None);
    }
    let Some(file) = files.get(name) else {
        head("404 Not Found", 0, "")?;
        return Ok(None);
    };
    let mut file = file.clone();
    match vice {
        Vice::Truncated(length) => file.truncate(length),
        Vice::Longer => file.push(0),
        _ => {}
    }
    if from > 0 && vice != Vice::KnowsNoRanges {
        if from >= file.len() {
            head("416 Range Not Satisfiable", 0, "")?;
            return Ok(None);
        }
        let range = format!("Content-Range: bytes {from}-{}/{}\r\n", file.len() - 1, file.len());
        head("206 Partial Content", file.len() - from, &range)?;
        file.drain(..from);
    } else {
        head("200 OK", file.len(), "")?;
    }
    match vice {
        Vice::HangsUp(length) => stream.write_all(&file[..length.min(file.len())])?,
        Vice::FallsSilent(length) if first => {
            stream.write_all(&file[..length])?;
            return Ok(Some(stream));
        }
        _ => stream.write_all(&file)?,
    }
    Ok(None)
}
