//! The files of the pages themselves: what others wrote is as it was, every text is there in every
//! language, and the server and the scripts know the same addresses.

use std::{collections::BTreeSet, fs, path::Path};

use super::house::House;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("web").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every script of ours, by its name below `web`.
fn scripts() -> Vec<(String, String)> {
    fn walk(folder: &str, found: &mut Vec<(String, String)>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("web").join(folder);
        for entry in fs::read_dir(path).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&name, found);
            } else if name.ends_with(".js") {
                found.push((name.clone(), read(&name)));
            }
        }
    }
    let mut found = Vec::new();
    walk("app", &mut found);
    found
}

/// The texts of a catalogue by their keys.
fn catalogue(language: &str) -> Vec<(String, String)> {
    let text = read(&format!("app/words/{language}.js"));
    let lines = text.lines().map(str::trim).filter(|line| line.ends_with("\","));
    lines
        .map(|line| {
            let (key, value) = line.split_once(": \"").unwrap_or_else(|| panic!("{line}"));
            (key.trim_matches('"').to_owned(), value.trim_end_matches("\",").to_owned())
        })
        .collect()
}

fn keys(language: &str) -> BTreeSet<String> {
    catalogue(language).into_iter().map(|(key, _)| key).collect()
}

/// What stands between `before` and the next of `ends`.
fn between<'a>(text: &'a str, before: &'a str, ends: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).map(move |rest| rest.split(ends).next().unwrap_or_default())
}

/// The first argument of each `call`, which is not the end of another one's name, as `import(` is.
fn said<'a>(text: &'a str, call: &'a str) -> impl Iterator<Item = &'a str> {
    let found = text
        .match_indices(call)
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric()));
    found.filter_map(|(at, call)| text[at + call.len()..].split(['"', '`']).next())
}

#[test]
fn what_others_wrote_is_as_the_table_says() {
    let table = read("vendor/README.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/vendor");
    let mut checked = 0;
    for entry in fs::read_dir(folder).expect("the folder") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if name.ends_with(".js") {
            let bytes = read(&format!("vendor/{name}"));
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes.as_bytes());
            let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(table.contains(&format!("\n{hex}  {name}\n")), "{name} is {hex}");
            assert!(table.contains(&format!("\n| {name} | ")), "{name} has no package");
            checked += 1;
        }
    }
    assert!(checked >= 5);
}

#[test]
fn both_languages_have_the_same_texts_with_the_same_places() {
    let (english, german) = (catalogue("en"), catalogue("de"));
    assert_eq!(keys("en"), keys("de"));
    assert_eq!(english.len(), keys("en").len(), "a key is there twice");
    assert_eq!(german.len(), keys("de").len(), "a key is there twice");
    for (key, text) in &english {
        let places =
            |text: &str| between(text, "{", &['}']).map(str::to_owned).collect::<BTreeSet<_>>();
        let (_, other) = german.iter().find(|(name, _)| name == key).expect("the same keys");
        assert_eq!(places(text), places(other), "{key}");
    }
}

#[test]
fn every_text_that_is_used_is_there() {
    let known = keys("en");
    let mut used = BTreeSet::new();
    for (name, text) in scripts().into_iter().filter(|(name, _)| !name.contains("/words/")) {
        for key in said(&text, "t(\"") {
            let plural = known.contains(&format!("{key}.other"));
            assert!(known.contains(key) || plural, "{name} says {key}");
            used.insert(key.to_owned());
        }
        for start in said(&text, "t(`") {
            let start = start.split('$').next().unwrap_or_default();
            assert!(known.iter().any(|key| key.starts_with(start)), "{name} says {start}…");
        }
    }
    assert!(used.len() > 20, "only {} are used", used.len());
}

#[test]
fn every_text_that_is_there_is_used() {
    let all: String = scripts()
        .into_iter()
        .filter(|(name, _)| !name.contains("/words/"))
        .map(|(_, text)| text)
        .collect();
    let made: Vec<_> = all
        .split('`')
        .filter_map(|part| part.split_once('$').map(|(start, _)| start))
        .filter(|start| start.ends_with('.') && !start.contains(' '))
        .collect();
    for key in keys("en") {
        let stem = key.trim_end_matches(".one").trim_end_matches(".other");
        let named = all.contains(&format!("\"{stem}\""));
        assert!(named || made.iter().any(|start| key.starts_with(start)), "nobody says {key}");
    }
}

#[tokio::test]
async fn the_server_and_the_scripts_know_the_same_pages() {
    let house = House::lived_in().await;
    let routes = read("app/routes.js");
    let mut count = 0;
    for path in between(&routes, "{ path: \"", &['"']) {
        let path: Vec<_> =
            path.split('/').map(|part| if part.starts_with(':') { "x" } else { part }).collect();
        let path = path.join("/");
        let answer = house.get(&path).header("accept", "text/html").send().await;
        assert_eq!(answer.status, 200, "{path}");
        count += 1;
    }
    // The root is the one that stands apart in `http/pages.rs`.
    let pages = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/pages.rs"));
    let pages = pages.expect("the server's list");
    let list = pages.split("const PAGES").nth(1).and_then(|rest| rest.split("];").next());
    let listed = list.expect("a list").lines().filter(|line| line.trim().starts_with('"')).count();
    assert_eq!(listed + 1, count);
}

#[test]
fn the_shell_loads_ahead_what_every_page_needs() {
    let shell = read("app/shell.html");
    let mut seen = BTreeSet::new();
    let mut waiting = vec!["app/app.js".to_owned()];
    while let Some(name) = waiting.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let text = read(&name);
        let quoted = between(&text, "from \"", &['"']).chain(between(&text, "from\"", &['"']));
        for import in quoted.filter(|import| import.starts_with('.')) {
            let mut parts: Vec<_> = name.split('/').collect();
            parts.pop();
            for part in import.split('/') {
                match part {
                    "." => {}
                    ".." => drop(parts.pop()),
                    part => parts.push(part),
                }
            }
            waiting.push(parts.join("/"));
        }
    }
    for name in &seen {
        assert!(shell.contains(&format!("\"{{assets}}/{name}\"")), "{name} comes late");
    }
    let ahead = shell.matches("modulepreload").count();
    assert_eq!(ahead + 1, seen.len(), "something is loaded for nothing");
}
