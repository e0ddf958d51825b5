//! `docs/COMMANDS.md` and `--help` speak of the same commands and options.

use std::{collections::BTreeSet, process::Command};

use super::program::{folder, program, run, run_with_input};

const PAGE: &str = include_str!("../../docs/COMMANDS.md");

/// The names under "Commands:" of a help text.
fn commands(help: &str) -> Vec<String> {
    let Some(list) = help.split("\nCommands:\n").nth(1) else { return Vec::new() };
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    // Where a line goes on below, it begins further in.
    let names = lines
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The long options that a text names, but those that every command has.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    let options = words.filter(|word| word.len() > 2 && word.starts_with("--"));
    let own = options.filter(|word| !["--config", "--help", "--version"].contains(word));
    own.map(str::to_owned).collect()
}

/// Every command that does something, with its help.
fn leaves(path: &[String], found: &mut Vec<(String, String)>) {
    let home = folder();
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = run(home.path(), &arguments).succeeded();
    let below = commands(&help);
    if below.is_empty() {
        found.push((format!("gatelodge {}", path.join(" ")), help));
    }
    for name in below {
        leaves(&[path, &[name]].concat(), found);
    }
}

fn sections() -> Vec<(&'static str, &'static str)> {
    let sections = PAGE.split("\n## ").skip(1);
    sections.map(|text| text.split_once('\n').expect("a heading")).collect()
}

#[test]
fn the_page_and_the_help_name_the_same_commands_and_options() {
    let mut all = Vec::new();
    leaves(&[], &mut all);
    assert!(all.len() > 20, "the walk found the commands: {all:?}");
    let known: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let told: BTreeSet<&str> = sections().iter().map(|(name, _)| *name).collect();
    assert_eq!(told, known);
    for (name, text) in sections() {
        let help = &all.iter().find(|(known, _)| known == name).expect("known").1;
        let list = help.split("\nOptions:\n").nth(1).expect("options");
        assert_eq!(options(text), options(list), "{name}");
    }
}

#[test]
fn every_example_of_the_page_is_understood() {
    let home = folder();
    run(home.path(), &["user", "add", "zoe", "--generate"]).succeeded();
    run_with_input(home.path(), &["user", "add", "bob", "--generate"], "").succeeded();
    std::fs::write(home.path().join("password.txt"), "Chestnut-tree-8\n").expect("a file");
    std::fs::write(home.path().join("gatelodge.yaml"), "").expect("a file");
    let usual = program(home.path());
    let binary = std::path::Path::new(usual.get_program()).parent().expect("a folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").expect("a path"));
    for (name, text) in sections().into_iter().filter(|(name, _)| *name != "gatelodge serve") {
        let example = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
        let example = example.unwrap_or_else(|| panic!("{name} has no example"));
        assert!(example.starts_with(name), "{example}");
        let mut command = Command::new("sh");
        command.args(["-c", example]).env("PATH", &path).current_dir(home.path());
        let variables = usual.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let done = command.envs(variables).output().expect("a shell");
        let refused = matches!(name, "gatelodge key revoke" | "gatelodge invite revoke")
            || matches!(name, "gatelodge doctor" | "gatelodge mail test" | "gatelodge sso check");
        assert_eq!(done.status.code(), Some(i32::from(refused)), "{example}: {done:?}");
    }
}
