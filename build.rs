//! Puts the pages' files and the OpenAPI documents into the program, compressed: the pages below a
//! name made of all of them.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hasher},
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

/// The folders of `web` that browsers load, and what they load of them.
const FOLDERS: [&str; 2] = ["app", "vendor"];
/// Whose documents are committed.
const DIALECTS: [&str; 5] = ["native", "pin", "pair", "signup", "gpodder"];
const KINDS: [&str; 4] = ["css", "html", "js", "svg"];

fn main() -> Result<(), Box<dyn Error>> {
    let web = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("web");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = BTreeMap::new();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed=web/{folder}");
        collect(&web, &web.join(folder), &mut files)?;
    }
    fs::write(out.join("pages.rs"), table(&files, &out)?)?;
    for dialect in DIALECTS {
        let path = format!("openapi/{dialect}.json");
        println!("cargo::rerun-if-changed={path}");
        fs::write(out.join(format!("{dialect}.json.gz")), gzip(&fs::read(path)?)?)?;
    }
    Ok(())
}

/// Names with `/`, sorted, so that every machine makes the same of the same files.
fn collect(
    web: &Path,
    folder: &Path,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(web, &path, files)?;
            continue;
        }
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        if KINDS.contains(&kind) {
            let parts = path.strip_prefix(web)?.components();
            let parts: Vec<_> =
                parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
            files.insert(parts.join("/"), fs::read(&path)?);
        }
    }
    Ok(())
}

/// The Rust text that `http/pages.rs` includes.
fn table(files: &BTreeMap<String, Vec<u8>>, out: &Path) -> Result<String, Box<dyn Error>> {
    // Its keys are fixed: the same files have the same name until the compiler changes.
    let mut hasher = DefaultHasher::new();
    let mut text = String::from("const FILES: &[File] = &[\n");
    for (name, bytes) in files {
        hasher.write(name.as_bytes());
        hasher.write(bytes);
        let packed = out.join(format!("{}.gz", name.replace('/', "+")));
        fs::write(&packed, gzip(bytes)?)?;
        writeln!(text, "    File {{ name: {name:?}, packed: include_bytes!({packed:?}) }},",)?;
    }
    writeln!(text, "];\nconst BUILD: &str = \"{:016x}\";", hasher.finish())?;
    Ok(text)
}

/// Gzip and not Brotli, which browsers take over https only: most of these houses speak http.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
