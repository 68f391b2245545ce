//! Puts two release keys and, for a release, a release folder into the program.
//!
//! - `ESPBROKER_RELEASE_KEYS`: folder with `current.pub` and `next.pub`; without it `release/keys/` of the checkout
//! - `ESPBROKER_RELEASE_SOURCE`: address that `firmware fetch` asks when it is told none; without it there is none
//! - `ESPBROKER_RELEASE_FOLDER`: what `espbroker firmware bundle` made, signed; without it the program carries no
//!   signed release
//!
//! Whether keys and release are any good is judged by the program's own code: by its tests, and by the release steps.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

const KEYS: [&str; 2] = ["current", "next"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let keys = folder("ESPBROKER_RELEASE_KEYS")
        .map_or_else(|| Ok::<_, env::VarError>(checkout()?.join("release/keys")), Ok)?;
    let mut source = String::from("const KEYS: [(&str, &str); 2] = [\n");
    for name in KEYS {
        let text = read(&keys.join(format!("{name}.pub")))?;
        writeln!(source, "    ({name:?}, {:?}),", String::from_utf8(text)?)?;
    }
    source.push_str("];\nconst FILES: &[(&str, &[u8])] = &[\n");
    if let Some(release) = folder("ESPBROKER_RELEASE_FOLDER") {
        let copies = out.join("release");
        fs::create_dir_all(&copies)?;
        let mut names: Vec<String> = fs::read_dir(&release)
            .map_err(|error| format!("{}: {error}", release.display()))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name == "manifest.json" || name.ends_with(".minisig") || name.ends_with(".bin"))
            .collect();
        names.sort();
        for name in names {
            fs::write(copies.join(&name), read(&release.join(&name))?)?;
            let place = format!("/release/{name}");
            writeln!(
                source,
                "    ({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), {place:?})).as_slice()),"
            )?;
        }
    }
    source.push_str("];\n");
    println!("cargo::rerun-if-env-changed=ESPBROKER_RELEASE_SOURCE");
    let address = env::var("ESPBROKER_RELEASE_SOURCE").ok().filter(|address| !address.is_empty());
    writeln!(source, "const SOURCE: Option<&str> = {address:?};")?;
    fs::write(out.join("built_in.rs"), source)?;
    Ok(())
}

fn folder(variable: &str) -> Option<PathBuf> {
    println!("cargo::rerun-if-env-changed={variable}");
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn checkout() -> Result<PathBuf, env::VarError> {
    Ok(Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(".."))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
