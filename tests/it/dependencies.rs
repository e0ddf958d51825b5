//! `docs/DEPENDENCIES.md` names each direct crate, and no other.

use std::collections::BTreeSet;

const MANIFEST: &str = include_str!("../../Cargo.toml");
const PAGE: &str = include_str!("../../docs/DEPENDENCIES.md");

/// The crates of one section of the manifest.
fn named(section: &str) -> BTreeSet<&'static str> {
    let begin = MANIFEST.split(&format!("\n[{section}]\n")).nth(1).expect("a section");
    let lines = begin.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| Some(line.split_once(" = ")?.0)).collect()
}

/// The crates of the tables below a heading of the page.
fn told(heading: &str) -> BTreeSet<&'static str> {
    let begin = PAGE.split(&format!("\n## {heading}\n")).nth(1).expect("a heading");
    let lines = begin.lines().take_while(|line| !line.starts_with("## "));
    lines.filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

#[test]
fn each_direct_crate_has_its_reasons_and_no_other_has() {
    let own = named("dependencies");
    assert!(own.len() > 30 && own.contains("age"), "the sections are read");
    assert_eq!(told("In the program"), own);
    let all_tests: BTreeSet<_> = named("dev-dependencies");
    let tests = all_tests.difference(&own).copied().collect();
    assert_eq!(told("For tests, benchmarks and packages only"), tests);
    for (section, rest) in
        [("dev-dependencies", all_tests), ("build-dependencies", named("build-dependencies"))]
    {
        for shared in rest.intersection(&own) {
            let words = PAGE.split("\nSome of the program's own").nth(1).expect("a paragraph");
            assert!(words.contains(&format!("`{shared}`")), "{shared} of {section}");
        }
    }
    // None comes in by a way that the sections above do not show.
    let sections =
        MANIFEST.lines().filter(|line| line.starts_with('[') && line.contains("dependencies"));
    assert_eq!(sections.count(), 3);
    assert!(!MANIFEST.contains("\n[dependencies."));
}
