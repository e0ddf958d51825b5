//! What `docs/SECURITY.md` and `docs/ASVS.md` name as tests are tests, and the hostile ones are all
//! named.

use std::{collections::BTreeSet, fs, path::Path};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every source below a folder: its name without folder and ending, and its text.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).expect("a text")));
        }
    }
}

/// The names of the tests in a text.
fn tests(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked) {
            names.insert(rest.split('(').next().expect("a name").to_owned());
            marked = false;
        }
    }
    names
}

/// What stands in backquotes and could name a test (three words or more) or a file of them.
fn named(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2).filter(|word| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let name = word.strip_suffix("::");
        name.unwrap_or(word).chars().all(plain)
            && (name.is_some() || word.matches('_').count() >= 2)
    })
}

#[test]
fn every_test_that_the_pages_on_security_name_exists() {
    let mut all = Vec::new();
    sources(Path::new(&format!("{ROOT}/src")), &mut all);
    sources(Path::new(&format!("{ROOT}/tests/it")), &mut all);
    let files: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let known: BTreeSet<String> = all.iter().flat_map(|(_, text)| tests(text)).collect();
    for page in ["docs/SECURITY.md", "docs/ASVS.md"] {
        let text = read(page);
        let unknown: Vec<&str> = named(&text)
            .filter(|word| match word.strip_suffix("::") {
                Some(file) => !files.contains(file),
                None => !known.contains(*word),
            })
            .collect();
        assert!(unknown.is_empty(), "{page} names what is no test: {unknown:#?}");
        assert!(named(&text).count() > 50, "{page}: its names were found");
    }
}

#[test]
fn every_hostile_test_is_named_on_the_page() {
    let mut all = Vec::new();
    sources(Path::new(&format!("{ROOT}/tests/it")), &mut all);
    let page = read("docs/SECURITY.md");
    let named: BTreeSet<&str> = named(&page).collect();
    let hostile = all.iter().filter(|(file, _)| file.starts_with("hostile_"));
    let tests: BTreeSet<String> = hostile.flat_map(|(_, text)| tests(text)).collect();
    let missing: Vec<_> = tests.iter().filter(|name| !named.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/SECURITY.md does not name {missing:#?}");
}
