//! Frames as version 1 of the protocol has them, made by another implementation: Python's hashlib, and libsodium's
//! `crypto_aead_xchacha20poly1305_ietf_encrypt`. Append-only: what a released device says is understood for ever.

use std::{array, fs, path::PathBuf};

use espbroker_admin::{
    Effect, Plain, Refusal, Reply, Request, State, Trial,
    client::{OpenError, open_reply, seal},
    device::{Sealer, open},
};
use espbroker_config::slots::RollBack;

const NONCE: [u8; 24] = *b"defghijklmnopqrstuvwxyz{";
const SEED: u64 = 0x1122_3344_5566_7788;
const PERMIT: u64 = 0x0102_0304_0506_0708;

fn key() -> [u8; 32] {
    let mut bytes = 0..;
    array::from_fn(|_| bytes.next().unwrap_or_default())
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(folder().join(name).with_extension("bin")).unwrap()
}

fn requests() -> [(&'static str, Request<'static>); 3] {
    [
        ("1-request-state", Request::State),
        ("1-request-read", Request::Read),
        ("1-request-write", Request::Write { base: 7, permit: PERMIT, try_for: 60, config: b"config" }),
    ]
}

fn replies() -> [(&'static str, &'static str, Reply); 5] {
    let state = State {
        sequence: 8,
        crc: 0xDEAD_BEEF,
        base: 9,
        permit: PERMIT,
        trial: Trial::RolledBack { sequence: 9, reason: RollBack::WrongPassphrase },
        uptime: 3600,
        kept: 2,
        rolled_back: 1,
        wrong_keys: 5,
    };
    let config =
        Reply::Config { sequence: 8, crc: 0xDEAD_BEEF, base: 9, permit: PERMIT, config: b"config".into() };
    let invalid = Refusal::Invalid("bridges[1].port is 0: must be 1-65535".into());
    [
        ("1-reply-state", "1-request-state", Reply::State(state)),
        ("1-reply-config", "1-request-read", config),
        ("1-reply-accepted", "1-request-write", Reply::Accepted { sequence: 10, effect: Effect::Restart }),
        ("1-reply-changed", "1-request-write", Reply::Refused(Refusal::Changed { base: 9 })),
        ("1-reply-invalid", "1-request-write", Reply::Refused(invalid)),
    ]
}

#[test]
fn every_listed_request_is_opened_and_sealed_as_it_stands() {
    for (name, request) in requests() {
        let mut frame = golden(name);
        assert_eq!(seal(&request, &key(), &NONCE), frame, "{name}");
        assert_eq!(open(&mut frame, &key()).unwrap().request, Some(request), "{name}");
    }
}

#[test]
fn every_listed_reply_is_opened_and_sealed_as_it_stands() {
    let mut sealer = Sealer::new(SEED);
    for (name, request, reply) in replies() {
        let (frame, request) = (golden(name), golden(request));
        assert_eq!(open_reply(&frame, &key(), &request), Ok(reply.clone()), "{name}");
        let origin = open(&mut request.clone(), &key()).unwrap().origin;
        assert_eq!(sealer.seal(&reply, &key(), &origin), frame, "{name}");
    }
}

#[test]
fn a_refusal_in_the_clear_is_as_it_stands() {
    let frame = golden("1-plain-wrong-key");
    assert_eq!(Plain::WrongKey.frame(), frame);
    let request = golden("1-request-state");
    assert_eq!(open_reply(&frame, &key(), &request), Err(OpenError::Plain(Plain::WrongKey)));
}

#[test]
fn permits_are_as_the_other_implementation_makes_them() {
    let mut sealer = Sealer::new(SEED);
    assert_eq!(sealer.permit(&key(), 9), PERMITS[0]);
    sealer.used();
    assert_eq!(sealer.permit(&key(), 9), PERMITS[1]);
}

/// For the highest sequence 9, after no write and after one.
const PERMITS: [u64; 2] = [0x70d2e9ef1b8f3cfb, 0xd67dbcd615b91b9d];

#[test]
fn every_vector_in_the_folder_is_listed() {
    let mut listed: Vec<_> = requests().map(|(name, _)| name).into();
    listed.extend(replies().map(|(name, ..)| name));
    listed.push("1-plain-wrong-key");
    let mut found = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap();
        assert!(listed.iter().any(|listed| *listed == name), "{name:?} is not listed");
        found += 1;
    }
    assert_eq!(found, listed.len());
}
