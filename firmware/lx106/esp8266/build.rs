//! Makes the linker leave one relocatable object with the two entry points and what they need.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=object.ld");
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture != "xtensa") {
        return;
    }
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    for argument in ["-r", "-Wl,--gc-sections", "-Wl,-e,user_init", "-Wl,-u,user_pre_init"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/object.ld");
}
