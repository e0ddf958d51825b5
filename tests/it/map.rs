//! The map of the house is kept: who may use whom (`docs/HOUSE.md`).

use std::{fs, path::Path};

/// A room (a path below `src`, a folder when it ends with `/`) and what must not stand in it.
const RULES: &[(&str, &[&str])] = &[
    ("db.rs", &["crate::domain", "crate::http", "crate::cli", "crate::config", "poem"]),
    ("db/", &["crate::domain", "crate::http", "crate::cli", "crate::config", "poem"]),
    (
        "domain/",
        &[
            "crate::http",
            "crate::cli",
            "crate::config",
            "poem",
            "clap",
            "StatusCode",
            "Uuid::new_v4",
        ],
    ),
    ("domain.rs", &["crate::http", "crate::cli", "crate::config", "poem", "clap"]),
    ("http.rs", &["crate::db", "crate::cli", "crate::config", "rusqlite", "argon2"]),
    (
        "http/",
        &[
            "crate::db",
            "crate::cli",
            "crate::config",
            "rusqlite",
            "argon2",
            "jsonwebtoken",
            "RealIp",
        ],
    ),
    ("config.rs", &["crate::domain", "crate::http", "crate::cli", "crate::db"]),
    ("config/", &["crate::domain", "crate::http", "crate::cli", "crate::db"]),
    ("cli.rs", &["poem", "rusqlite"]),
    ("cli/", &["poem", "rusqlite"]),
];

const DIALECTS: [&str; 5] = ["native", "pin", "pair", "signup", "gpodder"];

fn files(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path.to_string_lossy().into_owned());
        }
    }
}

/// The code of a file without its comments.
fn code(path: &str) -> String {
    let text = fs::read_to_string(path).expect("a file");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn rooms_use_only_what_the_map_allows() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
    let mut all = Vec::new();
    files(Path::new(root), &mut all);
    let mut broken = Vec::new();
    for path in &all {
        let name = path.strip_prefix(root).expect("below src");
        let code = code(path);
        for (room, forbidden) in RULES {
            let inside = name == *room || (room.ends_with('/') && name.starts_with(room));
            broken.extend(
                forbidden
                    .iter()
                    .filter(|word| inside && code.contains(**word))
                    .map(|word| format!("{name} uses {word}, which {room} may not")),
            );
        }
    }
    assert!(broken.is_empty(), "see the table in docs/HOUSE.md:\n{}", broken.join("\n"));
    assert!(all.len() > 30, "the walk found the source");
}

#[test]
fn a_dialect_uses_no_other() {
    let mut all = Vec::new();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/");
    files(Path::new(root), &mut all);
    let mut of_dialects = 0;
    for path in &all {
        let name = path.strip_prefix(root).expect("below it");
        let Some(own) = DIALECTS.iter().find(|own| name.split(['/', '.']).next() == Some(**own))
        else {
            continue;
        };
        of_dialects += 1;
        let code = code(path);
        for other in DIALECTS.iter().filter(|other| *other != own) {
            let path = format!("{other}::");
            let used = code.match_indices(&path).filter(|(at, _)| {
                !code[..*at].ends_with(|end: char| end.is_alphanumeric() || end == '_')
            });
            assert_eq!(used.count(), 0, "{name} uses {other}");
        }
    }
    assert!(of_dialects > 20, "the walk found the doors");
}

#[test]
fn sql_stands_under_its_type_and_nowhere_else() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
    let mut all = Vec::new();
    files(Path::new(root), &mut all);
    for path in all {
        let name = path.strip_prefix(root).expect("below src").to_owned();
        if name.starts_with("http") || name.starts_with("cli") || name.starts_with("config") {
            let code = code(&path);
            assert!(!code.contains("SELECT ") && !code.contains("UPDATE "), "{name} holds SQL");
        }
    }
}
