//! rumqttc against `espbroker broker`, over TCP and over WebSocket.
//!
//! Its WebSocket drags a TLS library and what that needs in, so it is built outside the workspace, in a folder of its
//! own, and leaves the workspace's lock file alone.

use std::{fs, path::Path, process::Command};

use crate::{
    libraries::script,
    process::{self, Failure, Tally, scratch},
    stage::Stage,
};

/// From crates.io.
const MANIFEST: &str = r#"
[package]
name = "rumqttc-check"
version = "0.0.0"
edition = "2024"

[dependencies]
rumqttc = { version = "=0.25.1", default-features = false, features = ["websocket"] }

[workspace]
"#;

/// # Errors
///
/// When the broker does not start, or the check cannot be built.
pub(crate) fn run(program: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let folder = scratch().join("rumqttc-check");
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("Cargo.toml"), MANIFEST)?;
    fs::write(folder.join("src/main.rs"), include_str!("check.rs"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = folder.join("target");
    process::run(
        Command::new(cargo).current_dir(&folder).args(["build", "--quiet", "--target-dir"]).arg(&target),
    )?;
    let stage = Stage::new(program)?;
    let [port, websocket] = Stage::ports()?;
    let _broker = stage.ours("home", port, "", &["--websocket-port", &websocket.to_string()])?;
    let check = target.join(format!("debug/rumqttc-check{}", std::env::consts::EXE_SUFFIX));
    script(tally, "rumqttc", Command::new(check).args([port.to_string(), websocket.to_string()]));
    Ok(())
}
