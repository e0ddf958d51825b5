//! A file to begin with: every setting, none of them set.

use super::{Rule, SETTINGS, Setting, providers};

const HEAD: &str = "\
# The settings of Gatelodge. Each stands here with its default: take away the # to change it.
# All of it: docs/CONFIG.md. After a change: gatelodge config check, then restart the server.
";
const PROVIDERS: &str = "  \
  # Providers that people sign in through, each below a name of its own.
  # providers:
  #   home:
  #     display_name: Our house
  #     issuer_url: https://login.example.org/realms/home
  #     client_id: gatelodge
  #     client_secret_file: /etc/gatelodge/home-secret
";

/// The file, as YAML that sets nothing.
pub fn template() -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for setting in SETTINGS {
        let (path, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        if path != section {
            let (outer, inner) = path.rsplit_once('.').unwrap_or(("", path));
            let depth = if outer.is_empty() { "\n" } else { "  " };
            text += &format!("{depth}{inner}:\n");
            section = path;
        }
        let indent = match section {
            "" => String::new(),
            path => "  ".repeat(1 + path.matches('.').count()),
        };
        text += &format!("{indent}# {}\n", setting.doc.trim());
        text += format!("{indent}# {name}: {}", value(setting)).trim_end();
        text.push('\n');
        if setting.key == providers::BEFORE {
            text += PROVIDERS;
        }
    }
    text
}

/// The default, as YAML of the setting's type.
fn value(setting: &Setting) -> String {
    let quoted = |text: &str| format!("{:?}", text.trim());
    match (setting.default, &setting.rule) {
        ("", rule) if rule.is_list() => "[]".to_owned(),
        ("", _) => String::new(),
        (text, rule) if rule.is_list() => {
            let items: Vec<String> = text.split(',').map(quoted).collect();
            format!("[{}]", items.join(", "))
        }
        (text, Rule::Whole(..) | Rule::Port | Rule::Flag | Rule::OneOf(_)) => text.to_owned(),
        (text, _) => quoted(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, tests::with};

    fn values(config: &Config) -> Vec<(String, String)> {
        config.shown().into_iter().map(|one| (one.key, one.value)).collect()
    }

    #[test]
    fn it_sets_nothing_and_with_all_of_it_the_defaults() {
        let text = template();
        let empty = with(&text, &[]).expect("a configuration");
        let all: String = text
            .lines()
            .map(|line| match line.split_once("# ") {
                Some((indent, rest)) if is_setting(rest) => format!("{indent}{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_ne!(all, text);
        let full = with(&all, &[]).expect("a configuration");
        let mut expected = values(&empty);
        // A relative path begins at the folder of the file.
        expected.retain(|(key, _)| key != "data_dir");
        let mut found = values(&full);
        found.retain(|(key, _)| key != "data_dir");
        assert_eq!(found, expected);
        for setting in SETTINGS {
            let name = setting.key.rsplit('.').next().unwrap_or_default();
            assert!(text.contains(&format!("# {name}:")), "{name}");
        }
    }

    fn is_setting(line: &str) -> bool {
        let name = line.split(':').next().unwrap_or_default();
        let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        is_name && SETTINGS.iter().any(|one| one.key.rsplit('.').next() == Some(name))
    }
}
