//! What `docs/SECURITY.md` and `docs/ASVS.md` name as tests are tests, and the hostile ones are all
//! named. `docs/ASVS.md` answers all that is asked, once.

use std::{collections::BTreeSet, fs, path::Path};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// How many requirements of levels 1 and 2 a section of ASVS 5.0.0 has, of the chapters on the page;
/// they come first in each. Sections of chapter 10 that do not apply stand in words there.
const ASKED: [(&str, u8); 36] = [
    ("6.1", 3),
    ("6.2", 12),
    ("6.3", 4),
    ("6.4", 4),
    ("6.5", 5),
    ("6.6", 3),
    ("6.8", 4),
    ("7.1", 3),
    ("7.2", 4),
    ("7.3", 2),
    ("7.4", 5),
    ("7.5", 2),
    ("7.6", 2),
    ("8.1", 2),
    ("8.2", 3),
    ("8.3", 1),
    ("8.4", 1),
    ("9.1", 3),
    ("9.2", 4),
    ("10.1", 2),
    ("10.2", 2),
    ("10.5", 5),
    ("11.1", 2),
    ("11.2", 3),
    ("11.3", 3),
    ("11.4", 4),
    ("11.5", 1),
    ("11.6", 1),
    ("14.1", 2),
    ("14.2", 4),
    ("14.3", 3),
    ("16.1", 1),
    ("16.2", 5),
    ("16.3", 4),
    ("16.4", 3),
    ("16.5", 3),
];

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

#[test]
fn the_standard_is_answered_number_by_number() {
    let page = read("docs/ASVS.md");
    let lines = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows: Vec<Vec<&str>> = lines
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| line.split(" | ").collect())
        .collect();
    let mut asked: Vec<String> = Vec::new();
    for (section, count) in ASKED {
        asked.extend((1..=count).map(|number| format!("{section}.{number}")));
    }
    let numbers: Vec<&str> = rows.iter().map(|cells| cells[0]).collect();
    assert_eq!(numbers, asked);

    let begin = page.split("\nIn short:").nth(1).expect("a summary");
    let short = begin.split("\n\n").next().expect("a paragraph");
    let mut partly = 0;
    for cells in &rows {
        assert_eq!(cells.len(), 4, "{cells:?}");
        match cells[2] {
            "met" | "does not apply" => {}
            "partly" => partly += 1,
            "not met" => assert!(short.contains(cells[0]), "the summary tells of {}", cells[0]),
            other => panic!("{}: {other}", cells[0]),
        }
        assert!(!cells[3].trim().is_empty(), "{} rests on something", cells[0]);
    }
    assert!(short.contains(&format!("{partly} are met partly")), "the summary counts {partly}");
}

#[test]
fn every_file_that_the_page_on_the_standard_names_is_there() {
    let page = read("docs/ASVS.md");
    let words = page.split('`').skip(1).step_by(2);
    let files = words.filter(|word| word.starts_with("src/") || word.starts_with("web/"));
    let gone: Vec<&str> =
        files.filter(|file| !Path::new(&format!("{ROOT}/{file}")).exists()).collect();
    assert!(gone.is_empty(), "docs/ASVS.md names {gone:#?}");
}
