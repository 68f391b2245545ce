//! Compiles the C side with the target's or the host's compiler, and chooses the link script.

use std::{env, path::PathBuf, process::Command};

fn main() {
    const SOURCE: &str = "src/foreign.c";
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/qemu.ld");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed={SCRIPT}");
    let on_the_chip = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "xtensa");
    let prefix = if on_the_chip { "xtensa-lx106-elf-" } else { "" };
    if on_the_chip {
        println!("cargo::rustc-link-arg-bins=-T{SCRIPT}");
    }
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let (object, archive) = (folder.join("foreign.o"), folder.join("libforeign.a"));
    run(Command::new(format!("{prefix}gcc"))
        .args(["-c", "-O2", "-ffreestanding", SOURCE, "-o"])
        .arg(&object));
    run(Command::new(format!("{prefix}ar")).arg("rcsD").arg(&archive).arg(&object));
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rustc-link-lib=static:-bundle=foreign");
}

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) => assert!(status.success(), "{command:?}: {status}"),
        Err(error) => panic!("{command:?}: {error}: apt-get install gcc gcc-xtensa-lx106"),
    }
}
