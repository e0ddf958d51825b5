//! The configuration file.

use super::error::{nearest, plain};
use super::files::{self, NAME_ONE, read_text};
use super::node::{key_at, key_of, kind, line_of, text_of, too_deep};
use super::providers;
use super::value::{Items, Raw};
use super::{Config, ConfigError, Rule, SECTIONS, SETTINGS, Setting};
use saphyr::{AnnotatedMapping, LoadableYamlNode, MarkedYaml, Scalar, ScanError, YamlData};
use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file in the working folder.
pub const FILE_NAME: &str = "gatelodge.yaml";
const FILE_MAX: u64 = 1 << 20;

pub(super) type Map<'a> = AnnotatedMapping<'a, MarkedYaml<'a>>;

pub(super) struct Source {
    name: String,
    base: PathBuf,
    text: String,
}

/// One line of the file that should be a setting.
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) line: usize,
    pub(super) node: &'a MarkedYaml<'a>,
}

impl Source {
    pub(super) fn open(file: Option<&Path>, folder: &Path) -> Result<Option<Self>, ConfigError> {
        let (path, name) = match file {
            Some(path) => (path.to_owned(), path.display().to_string()),
            None => (folder.join(FILE_NAME), FILE_NAME.to_owned()),
        };
        // A dangling link is a mistake, not an absent file.
        let absent = || path.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound);
        if file.is_none() && absent() {
            return Ok(None);
        }
        let right = "give a readable UTF-8 file of at most 1 MiB";
        let text =
            read_text(&path, FILE_MAX).map_err(|what| ConfigError::new(&name, what, right))?;
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Some(Self { name, base, text }))
    }

    /// Where relative paths of the file begin.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }

    pub(super) fn wrong(
        &self,
        line: usize,
        what: impl Display,
        right: impl Display,
    ) -> ConfigError {
        ConfigError::new(self.place(line), what, right)
    }

    pub(super) fn read(&self, config: &mut Config) -> Result<(), ConfigError> {
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(&self.text);
        if let Some(line) = too_deep(text) {
            let right = "settings stand at most three levels deep";
            return Err(self.wrong(line, "is nested too deep", right));
        }
        let documents = MarkedYaml::load_from_str(text).map_err(|e| self.not_yaml(text, &e))?;
        let root = match documents.as_slice() {
            [] => return Ok(()),
            [root] => root,
            [_, second, ..] => {
                let right = "keep one and remove the `---` line between them";
                return Err(self.wrong(line_of(second), "a second document begins here", right));
            }
        };
        match &root.data {
            YamlData::Mapping(sections) => self.read_sections(config, sections),
            YamlData::Value(Scalar::Null) => Ok(()),
            _ => {
                let what = format!("the file is {}, not a map of sections", kind(root));
                let right = "write sections such as `auth:` with settings below";
                Err(self.wrong(line_of(root), what, right))
            }
        }
    }

    fn read_sections(&self, config: &mut Config, sections: &Map<'_>) -> Result<(), ConfigError> {
        for (key, node) in sections {
            let (line, name) = (line_of(key), key_of(key));
            let section = SECTIONS.iter().filter(|section| name.starts_with(*section)).max();
            if let Some(section) = section.filter(|_| find(name).is_some() && name.contains('.')) {
                let rest = name.trim_start_matches(section).trim_start_matches('.');
                let right = format!("write `{section}:` and below it, indented, `{rest}:`");
                return Err(self.wrong(line, format_args!("{name} stands on one line"), right));
            }
            self.read_section(config, &Entry { key: name, line, node })?;
        }
        Ok(())
    }

    /// A section, at the top or in another, or a setting.
    fn read_section(&self, config: &mut Config, entry: &Entry) -> Result<(), ConfigError> {
        let Entry { key: name, line, node } = *entry;
        match &node.data {
            _ if !SECTIONS.contains(&name) => self.read_setting(config, entry),
            YamlData::Value(Scalar::Null) => Ok(()),
            YamlData::Mapping(settings) => settings.iter().try_for_each(|(key, node)| {
                let (line, key) = (line_of(key), format!("{name}.{}", key_of(key)));
                self.read_section(config, &Entry { key: &key, line, node })
            }),
            _ => {
                let what = format!("{name} is {}, not a section", kind(node));
                Err(self.wrong(line, what, "write its settings below it, indented"))
            }
        }
    }

    fn read_setting(&self, config: &mut Config, entry: &Entry) -> Result<(), ConfigError> {
        let Entry { key, line, node } = *entry;
        if key == providers::KEY {
            return self.read_providers(config, entry);
        }
        let secret = || key.strip_suffix("_file").and_then(find).filter(|s| s.is_secret());
        let setting = find(key).or_else(secret).ok_or_else(|| self.unknown(line, key))?;
        // `key:` with nothing behind it can only mean "not set" where that is possible.
        if node.data.is_null() && setting.default.is_empty() {
            return Ok(());
        }
        if config.origins.contains_key(setting.key) {
            let what = format!("{} is given directly and as a file", setting.key);
            return Err(self.wrong(line, what, "keep one of the two"));
        }
        let place = self.place(line);
        let items = match setting.key == key {
            true => self.items(setting, entry)?,
            false => vec![(place.clone(), self.content_of(entry)?)],
        };
        config.apply(Raw { setting, place, items, base: &self.base })?;
        if setting.key != key {
            config.came_from_file(setting.key, text_of(node).unwrap_or_default());
        }
        Ok(())
    }

    /// The value, or the items of a list, if YAML gave it the type that the setting has.
    pub(super) fn items(&self, setting: &Setting, entry: &Entry) -> Result<Items, ConfigError> {
        let wrong = |line, verb, kind, give| {
            setting.refused(&self.place(line), give, format_args!("{verb} {kind}"))
        };
        let item = |line, verb, node| match text_of(node) {
            Ok(text) => Ok((self.place(line), text.to_owned())),
            Err((kind, give)) => Err(wrong(line, verb, kind, give)),
        };
        let Entry { line, node, .. } = *entry;
        let typed = match &setting.rule {
            Rule::Whole(..) | Rule::Port => node.data.as_integer().map(|number| number.to_string()),
            Rule::Flag => node.data.as_bool().map(|flag| flag.to_string()),
            rule => {
                return match node.data.as_sequence().filter(|_| rule.is_list()) {
                    Some(nodes) => nodes.iter().map(|n| item(line_of(n), "has", n)).collect(),
                    None => Ok(vec![item(line, "is", node)?]),
                };
            }
        };
        let text = typed.ok_or_else(|| wrong(line, "is", kind(node).into(), "give"))?;
        Ok(vec![(self.place(line), text)])
    }

    /// What stands in the file that `key: path` names.
    pub(super) fn content_of(
        &self,
        &Entry { key, line, node }: &Entry,
    ) -> Result<String, ConfigError> {
        let wrong = |(kind, _)| self.wrong(line, format_args!("{key} is {kind}"), NAME_ONE);
        let path = text_of(node).map_err(wrong)?;
        files::secret(&self.base, path, &self.place(line), key)
    }

    fn unknown(&self, line: usize, key: &str) -> ConfigError {
        let files = SETTINGS.iter().filter(|setting| setting.is_secret());
        let known = SETTINGS.iter().map(|setting| setting.key.to_owned());
        let known = known.chain(SECTIONS.iter().map(|section| (*section).to_owned()));
        let known = known.chain([providers::KEY.to_owned()]);
        let known = known.chain(files.map(|setting| format!("{}_file", setting.key)));
        let what = format!("{} is not a setting", plain(key));
        self.wrong(line, what, nearest(key, known))
    }

    fn not_yaml(&self, text: &str, error: &ScanError) -> ConfigError {
        let line = error.marker().line();
        if error.info().starts_with("duplicated key") {
            let key = key_at(text, line, error.marker().col());
            return self.wrong(line, format_args!("{key} is given twice"), "keep one of the two");
        }
        let right = "look at the indentation, the colons and the quotes on this line and above";
        self.wrong(line, format_args!("is not valid YAML ({})", error.info()), right)
    }
}

fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}
