//! What a node of YAML holds, and what only its text can tell.

use super::error::plain;
use saphyr::{MarkedYaml, Scalar, YamlData};

pub(super) fn kind(node: &MarkedYaml) -> &'static str {
    match &node.data {
        YamlData::Value(Scalar::String(_)) => "text",
        YamlData::Value(Scalar::Integer(_)) => "a number",
        YamlData::Value(Scalar::FloatingPoint(_)) => "a number with a fraction",
        YamlData::Value(Scalar::Boolean(_)) => "true or false",
        YamlData::Value(Scalar::Null) => "empty",
        YamlData::Sequence(_) => "a list",
        YamlData::Mapping(_) => "a map",
        _ => "a value with an unknown tag",
    }
}

/// The text, or what the node is and what to do with what would be right. YAML would change
/// `0123` or `1e3` silently, so a bare number is never taken for text.
pub(super) fn text_of<'a>(node: &'a MarkedYaml) -> Result<&'a str, (String, &'static str)> {
    match &node.data {
        YamlData::Value(Scalar::String(text)) => Ok(text),
        YamlData::Value(scalar) if *scalar != Scalar::Null => {
            Err((format!("{} without quotes", kind(node)), "put it in quotes and give"))
        }
        _ => Err((kind(node).into(), "give")),
    }
}

pub(super) fn line_of(node: &MarkedYaml) -> usize {
    node.span.start.line()
}

pub(super) fn key_of<'a>(key: &'a MarkedYaml) -> &'a str {
    key.data.as_str().unwrap_or_default()
}

/// The parser knows only the position of a doubled key; its name is read from the text again.
pub(super) fn key_at(text: &str, line: usize, column: usize) -> String {
    fn name(chars: impl Iterator<Item = char>) -> String {
        chars
            .skip_while(|c| *c == '"' || *c == '\'')
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    }
    let lines: Vec<&str> = text.lines().take(line).collect();
    let key = name(lines.last().into_iter().flat_map(|line| line.chars().skip(column)));
    let mut names = lines.iter().rev().map(|line| name(line.chars()));
    match names.find(|name| !name.is_empty() && column > 0) {
        _ if key.is_empty() => "a key".into(),
        Some(section) => plain(&format!("{section}.{key}")).into(),
        None => plain(&key).into(),
    }
}

/// The line that nests too deep, if there is one: the parser calls itself for each level, and a
/// megabyte of `- - -` would exhaust the stack.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let deep = |line: &str| {
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        let comment = line.trim_start().starts_with('#');
        let marks = line.split_whitespace().filter(|word| ["-", "?", ":"].contains(word)).count();
        !comment && (indent > 128 || marks > 16)
    };
    text.lines().position(deep).map(|index| index + 1)
}
