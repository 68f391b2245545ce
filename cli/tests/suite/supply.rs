//! Firmware supply and doctor: releases made, signed with a key of the test, served over HTTP, fetched, flashed, and
//! refused in every way that they should be.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
};

use espbroker_config::image::Target;
use espbroker_virtual_device::image;
use insta::assert_snapshot;
use minisign::KeyPair;

use crate::common::{Background, Home, Run};

/// A key that lasts longer than this project.
const EXPIRES: &str = "2999-12-31";

struct Shop {
    home: Home,
    pair: KeyPair,
}

impl Shop {
    fn new() -> Self {
        Self::until(EXPIRES)
    }

    /// A shop whose key ends on this day.
    fn until(expires: &str) -> Self {
        let shop = Self { home: Home::new(), pair: KeyPair::generate_unencrypted_keypair().unwrap() };
        let key = shop.pair.pk.to_base64();
        shop.home.write("test.pub", format!("untrusted comment: expires {expires}\n{key}\n"));
        shop
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.home.command(arguments);
        command.env("ESPBROKER_KEY_FILE", self.home.path("test.pub")).env("NO_PROXY", "127.0.0.1");
        Run::from(command.output().unwrap())
    }

    /// Makes a folder of images of this version, as `firmware bundle` does.
    fn bundle(&self, folder: &str, targets: &[Target], version: &str) {
        let mut arguments: Vec<String> =
            ["firmware", "bundle", folder, "--released", "2027-01-31"].map(str::to_owned).into();
        for target in targets {
            let name = format!("{target}-{version}.bin");
            let image = image::filler(*target, version).unwrap();
            arguments.extend(["--image".to_owned(), self.home.write(&name, image)]);
        }
        assert_eq!(self.home.run(&arguments).code, 0);
    }

    fn sign(&self, folder: &str) {
        let path = self.home.path(folder).join("manifest.json");
        let signature =
            minisign::sign(None, &self.pair.sk, &fs::read(&path).unwrap()[..], None, None).unwrap();
        fs::write(path.with_extension("json.minisig"), signature.into_string()).unwrap();
    }

    /// A signed folder with an image for the virtual device.
    fn release(&self, folder: &str, version: &str) {
        self.bundle(folder, &[Target::Virtual], version);
        self.sign(folder);
    }

    /// Rewrites a text in a manifest, and signs it again.
    fn rewrite(&self, folder: &str, from: &str, to: &str) {
        let path = self.home.path(folder).join("manifest.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replace(from, to)).unwrap();
        self.sign(folder);
    }

    fn refusal(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.stdout, "");
        run.verdict()
    }
}

/// Serves the files of a folder over HTTP; each body ends after `most` bytes.
fn serve(home: &Home, folder: &str, most: usize) -> String {
    let files: BTreeMap<String, Vec<u8>> = fs::read_dir(home.path(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut from = 0;
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            for line in lines.take_while(|line| !line.is_empty()) {
                if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
                    from = range.trim_end_matches('-').parse().unwrap();
                }
            }
            let name = request.split([' ', '/']).nth(2).unwrap_or_default();
            let Some(file) = files.get(name) else {
                let _ = write!(stream, "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                continue;
            };
            let (status, rest) = (if from > 0 { "206 Part" } else { "200 OK" }, &file[from..]);
            let range = format!("Content-Range: bytes {from}-{}/{}", file.len() - 1, file.len());
            let length = rest.len();
            let head = format!(
                "HTTP/1.1 {status}\r\n{range}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&rest[..length.min(most)]);
        }
    });
    address
}

// ---- the way of a release ----

#[test]
fn a_release_is_bundled_signed_served_fetched_listed_and_flashed() {
    let shop = Shop::new();
    shop.bundle("release", &[Target::Virtual, Target::Esp8266], "0.2.0");
    shop.sign("release");
    let address = serve(&shop.home, "release", usize::MAX);
    let fetched = shop.run(&["firmware", "fetch", "--source", &address, "--json"]).json();
    assert_eq!(fetched["kept"], false);
    assert_eq!(fetched["release"]["version"], "0.2.0");
    assert_eq!(fetched["release"]["trust"], "signed");
    let again = shop.run(&["firmware", "fetch", "--source", &address, "--json"]).json();
    assert_eq!(again["kept"], true);

    let list = shop.run(&["firmware", "list", "--source", &address, "--json"]).json();
    let trusts: Vec<_> = list["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|release| release["trust"].as_str().unwrap())
        .collect();
    assert_eq!(trusts, ["program", "signed", "signed"]);
    assert_eq!(shop.run(&["firmware", "verify"]).ok().lines().count(), 2);

    // A device that passes for a real chip gets the newest release by itself; its image says nothing here.
    let device = Background::simulate(&shop.home, "f.bin", &["--mac", "5c:cf:7f:00:00:01"]);
    let run = shop.run(&[
        "setup",
        "-q",
        "--port",
        &device.line,
        "--ssid",
        "home",
        "--open-network",
        "--name",
        "hall",
    ]);
    assert!(run.stderr.contains("the firmware says nothing"), "{}", run.stderr);
    let flash = fs::read(shop.home.path("f.bin")).unwrap();
    assert!(flash.starts_with(&image::filler(Target::Esp8266, "0.2.0").unwrap()));

    // For a computer without network: out of the cache, and into another user's.
    assert_eq!(shop.run(&["firmware", "bundle", "stick"]).code, 0);
    assert!(shop.home.path("stick/esp-web-tools.json").is_file());
    let other = Shop { home: Home::new(), pair: shop.pair.clone() };
    fs::copy(shop.home.path("test.pub"), other.home.path("test.pub")).unwrap();
    assert_eq!(other.run(&["firmware", "fetch", "--source", &shop.home.file("stick")]).code, 0);
}

#[test]
fn a_download_that_ends_early_goes_on_with_the_next_run() {
    let shop = Shop::new();
    shop.release("release", "0.2.0");
    let address = serve(&shop.home, "release", 50_000);
    let refusal = shop.refusal(&["firmware", "fetch", "-q", "--source", &address]);
    let _guard = shop.home.settled().bind_to_scope();
    assert_snapshot!(refusal, @"
    exit 2
    error: the download ended early, 4 times: 200000 of 221572 bytes of `espbroker-0.2.0-virtual.bin`

    hint: run the same command again: it goes on where it stopped
    ");
    assert_eq!(shop.run(&["firmware", "fetch", "-q", "--source", &address]).code, 0);
}

// ---- images without a signature ----

#[test]
fn a_local_build_is_flashed_only_when_that_is_allowed() {
    let shop = Shop::new();
    let image = shop.home.write("mine.bin", image::build("0.1.7").unwrap());
    let run = shop.home.setup(&["-q", "--image", &image, "--flash", "f.bin"]);
    let _guard = shop.home.settled().bind_to_scope();
    assert_snapshot!(run.verdict(), @"
    exit 1
    error: nobody has signed this: `[HOME]/mine.bin`

    hint: an image of your own build needs --allow-unsigned; any other one should come from a release: `espbroker firmware fetch`
    ");
    let arguments = ["--image", &image, "--allow-unsigned", "--dry-run", "--port", "x"];
    let plan =
        shop.home.run(&[["setup", "-q", "--ssid", "home", "--open-network"].as_slice(), &arguments].concat());
    assert!(plan.ok().contains("espbroker 0.1.7 for virtual (unsigned, "), "{}", plan.stdout);
    assert_eq!(shop.home.setup(&["-q", "--image", &image, "--allow-unsigned"]).code, 0);
}

#[test]
fn an_image_that_lies_in_a_signed_release_needs_no_permission() {
    let shop = Shop::new();
    shop.release("release", "0.2.0");
    let image = shop.home.file("release/espbroker-0.2.0-virtual.bin");
    let verified = shop.run(&["firmware", "verify", "--json", &image]).json();
    assert_eq!((verified["trusted"].as_bool(), verified["firmware"].as_str()), (Some(true), Some("0.2.0")));
    // The same bytes elsewhere are vouched for by the cache, once the release is there.
    let copy = shop.home.write("copy.bin", fs::read(&image).unwrap());
    assert_eq!(shop.run(&["firmware", "verify", &copy]).code, 1);
    assert_eq!(shop.run(&["firmware", "fetch", "--source", &shop.home.file("release")]).code, 0);
    assert_eq!(shop.run(&["firmware", "verify", &copy]).code, 0);
    // Without the key it is as unsigned as any other.
    assert_eq!(shop.home.run(&["firmware", "verify", &image]).code, 1);
}

// ---- refusals ----

#[test]
fn each_way_in_which_a_release_can_be_wrong_is_refused_with_its_own_hint() {
    let shop = Shop::new();
    let old = Shop { home: Home::new(), pair: shop.pair.clone() };
    let mut text = String::new();
    let mut refused = |name: &str, shop: &Shop, folder: &str| {
        let refusal = shop.refusal(&["firmware", "fetch", "-q", "--source", folder]);
        text.push_str(&format!("---- {name}\n{refusal}\n"));
        assert!(shop.run(&["firmware", "list"]).ok().lines().count() == 1, "{name}: nothing was kept");
    };
    let made = |folder: &str| shop.release(folder, "0.2.0");
    let file = |folder: &str| shop.home.path(folder).join("espbroker-0.2.0-virtual.bin");

    made("tampered-manifest");
    let path = shop.home.path("tampered-manifest/manifest.json");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("0.2.0", "0.3.0")).unwrap();
    refused("tampered manifest", &shop, "tampered-manifest");

    made("tampered");
    let mut bytes = fs::read(file("tampered")).unwrap();
    bytes[100_000] ^= 1;
    fs::write(file("tampered"), bytes).unwrap();
    refused("tampered image", &shop, "tampered");

    made("truncated");
    fs::write(file("truncated"), &fs::read(file("truncated")).unwrap()[..1000]).unwrap();
    refused("truncated image", &shop, "truncated");

    made("missing");
    fs::remove_file(file("missing")).unwrap();
    refused("missing image", &shop, "missing");

    shop.bundle("wrong-target", &[Target::Esp8266], "0.2.0");
    shop.rewrite("wrong-target", "\"esp8266\"", "\"virtual\"");
    refused("wrong target", &shop, "wrong-target");

    made("newer-format");
    shop.rewrite("newer-format", "\"format\": 1", "\"format\": 2");
    refused("newer format", &shop, "newer-format");

    made("newer-tool");
    let own = format!("\"minimum_tool\": \"{}\"", env!("CARGO_PKG_VERSION"));
    shop.rewrite("newer-tool", &own, "\"minimum_tool\": \"99.0.0\"");
    refused("newer tool", &shop, "newer-tool");

    shop.bundle("unsigned", &[Target::Virtual], "0.2.0");
    refused("unsigned", &shop, "unsigned");

    let stranger = Shop { home: Home::new(), pair: KeyPair::generate_unencrypted_keypair().unwrap() };
    stranger.release("unknown-key", "0.2.0");
    fs::rename(stranger.home.path("unknown-key"), shop.home.path("unknown-key")).unwrap();
    refused("unknown key", &shop, "unknown-key");

    made("no-signature");
    shop.home.write("no-signature/manifest.json.minisig", "signed: me");
    refused("not a signature", &shop, "no-signature");

    made("not-json");
    shop.home.write("not-json/manifest.json", "{");
    shop.sign("not-json");
    refused("not a manifest", &shop, "not-json");

    refused("no release", &shop, "nowhere");

    old.home
        .write("test.pub", format!("untrusted comment: expires 2020-01-01\n{}\n", shop.pair.pk.to_base64()));
    old.release("expired-key", "0.2.0");
    refused("expired key", &old, "expired-key");

    let empty = serve(&shop.home, "missing", usize::MAX);
    refused("404 for the image", &shop, &empty);

    let mut settings = shop.home.settled();
    settings.add_filter("key `[^`]*test.pub`", "key `[KEY]`");
    settings.add_filter(r"is \d+\.\d+\.\d+\n", "is [VERSION]\n");
    let _guard = settings.bind_to_scope();
    assert_snapshot!("supply", text);
}

#[test]
fn an_older_release_is_taken_only_when_that_is_allowed() {
    let shop = Shop::new();
    shop.release("new", "0.3.0");
    shop.release("old", "0.2.0");
    assert_eq!(shop.run(&["firmware", "fetch", "--source", "new"]).code, 0);
    assert_snapshot!(shop.refusal(&["firmware", "fetch", "-q", "--source", "old"]), @"
    exit 2
    error: release 0.2.0 is older than 0.3.0, which is here already

    hint: allow it with --yes
    ");
    assert_eq!(shop.run(&["firmware", "fetch", "--source", "old", "--yes"]).code, 0);
    let list = shop.run(&["firmware", "list"]).ok().to_owned();
    assert!(list.find("0.3.0").unwrap() < list.find("0.2.0").unwrap(), "{list}");
}

#[test]
fn a_device_with_a_newer_firmware_is_not_given_an_older_one_without_agreement() {
    let home = Home::new();
    let mut flash = image::build("9.0.0").unwrap();
    flash.resize(4 << 20, 0xFF);
    home.write("flash.bin", &flash);
    let run = home.setup(&["-q", "--flash", "flash.bin"]);
    assert_snapshot!(run.verdict(), @"
    exit 2
    error: this would replace the firmware that is on the device, version 9.0.0, with an older one

    hint: save it with `espbroker backup`, then allow it with --yes
    ");
    assert!(fs::read(home.path("flash.bin")).unwrap() == flash);
    assert_eq!(home.setup(&["-q", "--flash", "flash.bin", "--yes"]).code, 0);
}

#[test]
fn what_is_in_the_cache_is_judged_each_time_that_it_is_used() {
    let shop = Shop::new();
    shop.release("release", "0.2.0");
    assert_eq!(shop.run(&["firmware", "fetch", "--source", "release"]).code, 0);
    let cached = shop.home.path("cache/espbroker/firmware/0.2.0/espbroker-0.2.0-virtual.bin");
    let mut bytes = fs::read(&cached).unwrap();
    bytes[5000] ^= 1;
    fs::write(&cached, bytes).unwrap();
    let run = shop.run(&["firmware", "verify"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("sha256 of `espbroker-0.2.0-virtual.bin` differs"), "{}", run.stderr);
    // It is simply fetched again.
    assert_eq!(shop.run(&["firmware", "fetch", "--source", "release"]).code, 0);
    assert_eq!(shop.run(&["firmware", "verify"]).code, 0);
}

#[test]
fn nowhere_to_fetch_from_and_nothing_to_bundle_are_said() {
    let home = Home::new();
    assert_snapshot!(home.run(&["firmware", "fetch", "-q"]).verdict(), @"
    exit 2
    error: not told where to fetch firmware from

    hint: give the folder or address of a release with --source or ESPBROKER_FIRMWARE_SOURCE; none was compiled in
    ");
    assert_snapshot!(home.run(&["firmware", "bundle", "-q", "x"]).verdict(), @"
    exit 2
    error: there is no release on this computer

    hint: fetch one with `espbroker firmware fetch`, or name images with --image
    ");
}

// ---- doctor ----

#[test]
fn the_doctor_reports_every_check_and_changes_nothing() {
    let home = Home::new();
    let run = home.run(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(run.code, i32::from(report["problems"] != 0), "{}", run.stderr);
    let findings = report["findings"].as_array().unwrap();
    for check in ["firmware", "folders", "keyring", "toolchain"] {
        assert!(findings.iter().any(|finding| finding["check"] == check), "{check}");
    }
    for finding in findings.iter().filter(|finding| finding["verdict"] != "good") {
        assert!(finding["hint"].is_string(), "{finding}");
    }
    assert_eq!(fs::read_dir(home.path(".")).unwrap().count(), 0, "no folder was made");
}
