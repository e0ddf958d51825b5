//! Providers elsewhere by which people sign in: a map of names below `sso.providers`, and one table
//! of what each may say. They stand in the file only: a name in an environment variable could not
//! be told from the setting behind it.

use super::error::{nearest, plain};
use super::node::{key_of, kind, line_of, text_of};
use super::value::{Field, Items};
use super::yaml::{Entry, Map, Source};
use super::{Config, ConfigError, Hidden, Rule, Setting, Shown, from_file};
use saphyr::{MarkedYaml, YamlData};
use std::collections::BTreeMap;
use std::path::Path;

/// The name of the map.
pub(super) const KEY: &str = "sso.providers";
/// The setting that the map stands behind, wherever all are told.
pub(super) const BEFORE: &str = "sso.default_role";
/// The provider whose name is a preset, and its issuer (OpenID Connect Discovery 1.0, section 4).
pub(super) const GOOGLE: &str = "google";
const GOOGLE_ISSUER: &str = "https://accounts.google.com";
const NAME_MAX: usize = 32;
const MAX: usize = 32;

macro_rules! provider {
    ($(#[doc = $doc:literal] $field:ident: $ty:ty = $def:literal, $rule:expr;)*) => {
        /// One provider below `sso.providers`.
        #[derive(Clone, Debug, Default)]
        pub struct Provider {
            /// What it is called in paths: 1 to 32 lower-case letters, digits, `-` or `_`.
            pub name: String,
            $(#[doc = $doc] pub $field: $ty,)*
            /// Where each setting that is no default came from.
            origins: BTreeMap<&'static str, String>,
        }

        impl Provider {
            /// As [`Config::shown`].
            pub(super) fn shown(&self) -> Vec<Shown> {
                let values = [$(self.$field.show()),*];
                let one = |(setting, value): (&Setting, String)| Shown {
                    key: format!("{KEY}.{}.{}", self.name, leaf(setting)),
                    ..Shown::new(setting, value, self.origins.get(setting.key))
                };
                PROVIDER.iter().zip(values).map(one).collect()
            }
        }

        /// What each provider may say, in the order of the documentation.
        pub(super) const PROVIDER: &[Setting] = &[$(Setting {
            key: concat!("sso.providers.NAME.", stringify!($field)),
            default: $def, doc: $doc, rule: $rule, aliases: &[],
            set: |config, raw| match config.sso.providers.last_mut() {
                Some(provider) => provider.$field.set(raw),
                None => Ok(false),
            },
            // One row stands for all providers; each shows its own.
            show: |_| String::new(),
        }),*];
    };
}

provider! {
    /// The name for people. Not set: the provider's name in the file.
    display_name: Option<String> = "", Rule::Line(64);
    /// The issuer exactly as the provider writes it; `google` has one.
    issuer_url: Option<String> = "", Rule::Issuer;
    /// The name that this server has there.
    client_id: String = "", Rule::Line(512);
    /// The secret that belongs to it. Not set: the provider asks for none, PKCE has to do.
    client_secret: Option<Hidden> = "", Rule::Secret(1);
    /// What is asked for; `openid` is among it whether it is named or not.
    scopes: Vec<String> = "openid, profile, email", Rule::Scopes;
    /// The claim that a new account takes its name from.
    username_claim: String = "preferred_username", Rule::Line(128);
    /// The claim with the e-mail address.
    email_claim: String = "email", Rule::Line(128);
    /// The claim with the groups.
    groups_claim: String = "groups", Rule::Line(128);
    /// Which role a group gives; of several groups the first in the file counts.
    role_mapping: Vec<(String, String)> = "", Rule::Pairs;
    /// The group that makes an admin.
    admin_group: Option<String> = "", Rule::Line(256);
}

impl Source {
    /// Reads the whole map.
    pub(super) fn read_providers(
        &self,
        config: &mut Config,
        &Entry { line, node, .. }: &Entry,
    ) -> Result<(), ConfigError> {
        let providers = match &node.data {
            data if data.is_null() => return Ok(()),
            YamlData::Mapping(providers) => providers,
            _ => {
                let what = format!("{KEY} is {}, not a map of names", kind(node));
                return Err(self.wrong(
                    line,
                    what,
                    "write a name below it, and its settings below",
                ));
            }
        };
        for (name, node) in providers {
            self.read_provider(config, line_of(name), key_of(name), node)?;
        }
        config.origins.insert(KEY, self.place(line));
        Ok(())
    }

    fn read_provider(
        &self,
        config: &mut Config,
        line: usize,
        name: &str,
        node: &MarkedYaml,
    ) -> Result<(), ConfigError> {
        let plain_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        if !(1..=NAME_MAX).contains(&name.len()) || !name.bytes().all(plain_name) {
            let right = "give 1 to 32 lower-case letters, digits, - or _";
            return Err(self.wrong(line, format_args!("{KEY} has a name that is none"), right));
        }
        let YamlData::Mapping(settings) = &node.data else {
            let what = format!("{KEY}.{name} is {}, not a section", kind(node));
            return Err(self.wrong(line, what, "write its settings below it, indented"));
        };
        if config.sso.providers.len() >= MAX {
            return Err(self.wrong(line, format_args!("{KEY} has too many"), "keep 32 at most"));
        }
        config.sso.providers.push(blank(name));
        for (key, node) in settings {
            let entry = Entry { key: key_of(key), line: line_of(key), node };
            self.read_provider_setting(config, name, &entry, settings)?;
        }
        match config.sso.providers.last() {
            Some(provider) => self.check_provider(line, provider),
            None => Ok(()),
        }
    }

    fn read_provider_setting(
        &self,
        config: &mut Config,
        name: &str,
        entry: &Entry,
        all: &Map,
    ) -> Result<(), ConfigError> {
        let Entry { key, line, node } = *entry;
        let by_name = |key: &str| PROVIDER.iter().find(|setting| leaf(setting) == key);
        let secret = || key.strip_suffix("_file").and_then(by_name).filter(|s| s.is_secret());
        let Some(setting) = by_name(key).or_else(secret) else {
            let known = PROVIDER.iter().map(|setting| leaf(setting).to_owned());
            let what = format!("{KEY}.{name} has {}, which is no setting", plain(key));
            return Err(self.wrong(line, what, nearest(key, known)));
        };
        if node.data.is_null() && setting.default.is_empty() {
            return Ok(());
        }
        let direct = leaf(setting);
        if direct != key && all.iter().any(|(other, _)| key_of(other) == direct) {
            let what = format!("{KEY}.{name}.{direct} is given directly and as a file");
            return Err(self.wrong(line, what, "keep one of the two"));
        }
        let items = match (&setting.rule, direct == key) {
            (Rule::Pairs, _) => self.pairs(entry)?,
            (_, true) => self.items(setting, entry)?,
            (_, false) => vec![(self.place(line), self.content_of(entry)?)],
        };
        let raw = super::value::Raw { setting, place: self.place(line), items, base: self.base() };
        (setting.set)(config, &raw)?;
        let origin = match direct == key {
            true => raw.place,
            false => from_file(&raw.place, text_of(node).unwrap_or_default()),
        };
        if let Some(provider) = config.sso.providers.last_mut() {
            provider.origins.insert(setting.key, origin);
        }
        Ok(())
    }

    /// A map of texts, as items that come in twos.
    fn pairs(&self, &Entry { key, line, node }: &Entry) -> Result<Items, ConfigError> {
        let YamlData::Mapping(pairs) = &node.data else {
            let what = format!("{key} is {}, not a map", kind(node));
            return Err(self.wrong(
                line,
                what,
                "write one `GROUP: ROLE` a line below it, indented",
            ));
        };
        let mut items = Items::new();
        for (group, role) in pairs {
            for node in [group, role] {
                let text = text_of(node).map_err(|(kind, give)| {
                    let what = format!("{key} has {kind}");
                    self.wrong(line_of(node), what, format_args!("{give} a group and its role"))
                })?;
                items.push((self.place(line_of(node)), text.to_owned()));
            }
        }
        Ok(items)
    }

    fn check_provider(&self, line: usize, provider: &Provider) -> Result<(), ConfigError> {
        let lacks = match provider {
            p if p.client_id.is_empty() => "client_id",
            p if p.issuer_url.is_none() => "issuer_url",
            _ => return Ok(()),
        };
        let what = format!("{KEY}.{} has no {lacks}", provider.name);
        Err(self.wrong(line, what, "give it as the provider shows it"))
    }
}

impl Config {
    /// Addresses to come back to need a base, and an issuer must say for whom it speaks.
    pub(super) fn check_providers(&self) -> Result<(), ConfigError> {
        let wrong = |what: String, right: &str| {
            let place = self.origins.get(KEY).map_or("default", String::as_str);
            Err(ConfigError::new(place, what, right))
        };
        let providers = &self.sso.providers;
        if !providers.is_empty() && self.server.public_url.is_none() {
            let right = "set server.public_url, the address that browsers come back to";
            return wrong(format!("{KEY} is set without server.public_url"), right);
        }
        let bare =
            |p: &Provider| p.issuer_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
        for (index, provider) in providers.iter().enumerate() {
            if let Some(twin) = providers[..index].iter().find(|p| bare(p) == bare(provider)) {
                let what = format!("{KEY}: {} and {} have one issuer", twin.name, provider.name);
                return wrong(what, "keep one of them: people are known by issuer and subject");
            }
        }
        Ok(())
    }
}

fn leaf(setting: &Setting) -> &'static str {
    setting.key.rsplit('.').next().unwrap_or_default()
}

/// A provider with the defaults of the table, and those of a preset.
fn blank(name: &str) -> Provider {
    let mut config = Config::blank();
    config.sso.providers.push(Provider { name: name.to_owned(), ..Provider::default() });
    for setting in PROVIDER.iter().filter(|setting| !setting.default.is_empty()) {
        let raw = super::value::Raw::new(setting, String::new(), setting.default, Path::new(""));
        // A test holds each default against its rule, so none is refused here.
        let _ = (setting.set)(&mut config, &raw);
    }
    let mut provider = config.sso.providers.pop().unwrap_or_default();
    if name == GOOGLE {
        provider.issuer_url = Some(GOOGLE_ISSUER.to_owned());
        provider.display_name = Some("Google".to_owned());
    }
    provider
}

/// The rows of [`PROVIDER`], for `docs/CONFIG.md`.
pub(super) fn reference() -> String {
    let row = |setting: &Setting| {
        let default = match setting.default {
            "" if setting.rule.is_list() => "empty".into(),
            "" => "not set".to_owned(),
            text => format!("`{text}`"),
        };
        let file = if setting.is_secret() { " (also with `_file`)" } else { "" };
        let (key, doc, right) = (setting.key, setting.doc.trim(), setting.rule.right());
        format!("| `{key}` | {default} | the file only{file} | {doc} Give {right}. |\n")
    };
    PROVIDER.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{all_refused, refused, with};

    const HEAD: &str = "server: {public_url: https://gate.example.org}\n";

    #[test]
    fn every_default_of_a_provider_fits_its_rule() {
        let provider = blank("home");
        assert_eq!(provider.scopes, ["openid", "profile", "email"]);
        assert_eq!(provider.username_claim, "preferred_username");
        assert_eq!(
            (provider.email_claim, provider.groups_claim),
            ("email".into(), "groups".into())
        );
        assert!(provider.issuer_url.is_none() && provider.role_mapping.is_empty());
        assert_eq!(blank("google").issuer_url.as_deref(), Some(GOOGLE_ISSUER));
    }

    #[test]
    fn providers_are_read_in_the_order_of_the_file() {
        let yaml = format!(
            "{HEAD}sso:\n  auto_create: true\n  providers:\n    google:\n      client_id: g\n    home:\n      \
             display_name: Our house\n      issuer_url: https://ID.example.org:443/realms/a/\n      \
             client_id: gate\n      client_secret: a horse\n      scopes: [profile, groups]\n      \
             groups_claim: realm_access.roles\n      role_mapping:\n        the staff: maintainer\n        \
             guests: reader\n      admin_group: admins\n"
        );
        let config = with(&yaml, &[]).expect("a configuration");
        let [google, home] = config.sso.providers.as_slice() else { panic!("two") };
        assert_eq!(
            (google.name.as_str(), google.display_name.as_deref()),
            ("google", Some("Google"))
        );
        assert_eq!(google.issuer_url.as_deref(), Some(GOOGLE_ISSUER));
        assert_eq!(home.issuer_url.as_deref(), Some("https://id.example.org/realms/a/"));
        assert_eq!(home.scopes, ["profile", "groups"]);
        assert_eq!(home.client_secret.as_ref().map(Hidden::reveal), Some("a horse"));
        let mapping = [("the staff", "maintainer"), ("guests", "reader")];
        assert!(home.role_mapping.iter().map(|(g, r)| (g.as_str(), r.as_str())).eq(mapping));
        assert_eq!(home.admin_group.as_deref(), Some("admins"));
    }

    #[test]
    fn an_issuer_of_google_can_be_another_for_tests() {
        let yaml =
            "sso: {providers: {google: {client_id: g, issuer_url: \"http://127.0.0.1:9/\"}}}";
        let config = with(&format!("{HEAD}{yaml}"), &[]).expect("a configuration");
        assert_eq!(config.sso.providers[0].issuer_url.as_deref(), Some("http://127.0.0.1:9/"));
    }

    #[test]
    fn mistakes_about_providers_are_told_in_one_line() {
        let good = "issuer_url: https://a.example, client_id: x";
        let one = |name: &str, rest: &str| {
            format!("{HEAD}sso: {{providers: {{{name}: {{{good}{rest}}}}}}}")
        };
        for (yaml, parts) in [
            (one("Home", ""), ":2: | a name that is none | lower-case"),
            (one("\"a/b\"", ""), "a name that is none"),
            (one("home", ", client_sekret: x"), "client_sekret | nearest | client_secret"),
            (one("home", ", client_secret: x, client_secret_file: y"), "directly and as a file"),
            (one("home", ", client_secret_file: /nowhere"), "cannot be read"),
            (one("home", ", scopes: 7"), "scopes is a number"),
            (one("home", ", scopes: [a b]"), "scopes has"),
            (one("home", ", role_mapping: staff"), "role_mapping is text, not a map"),
            (one("home", ", role_mapping: {staff: Admin}"), "has a role that is none"),
            (one("home", ", role_mapping: {staff: [a]}"), "role_mapping has a list"),
            (one("home", ", admin_group: 7"), "admin_group is a number without quotes"),
            (one("home", ", issuer_url: https://b.example"), "given twice"),
            (
                format!("{HEAD}sso: {{providers: {{home: {{client_id: x}}}}}}"),
                "home has no issuer_url",
            ),
            (format!("{HEAD}sso: {{providers: {{google: {{}}}}}}"), "google has no client_id"),
            (format!("{HEAD}sso: {{providers: [home]}}"), "is a list, not a map of names"),
            (format!("{HEAD}sso: {{providers: {{home: x}}}}"), "home is text, not a section"),
            (format!("sso: {{providers: {{home: {{{good}}}}}}}"), "without server.public_url"),
            (
                format!("{HEAD}sso: {{providers: {{a: {{{good}}}, b: {{{good}}}}}}}"),
                "a and b have one issuer",
            ),
        ] {
            refused(with(&yaml, &[]), parts);
        }
        for bad in ["http://a.example", "https://a.example?b", "https://u:p@a.example", "a.example"]
        {
            let yaml = "sso: {providers: {home: {client_id: x, issuer_url: ";
            refused(with(&format!("{HEAD}{yaml}\"{bad}\"}}}}}}"), &[]), "issuer_url");
        }
        all_refused(
            r"$GATELODGE_SSO__PROVIDERS__A__CLIENT_ID=x => is not a setting
              sso:\n  provider: x => sso.provider is not a setting | sso.providers
              sso: {default_role: Admin} => sso.default_role",
        );
    }
}
