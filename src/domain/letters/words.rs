//! What letters say: one small template for each purpose and language, filled for text and HTML.
//!
//! A template is its subject, perhaps a line `> LABEL` for the button, and paragraphs. A paragraph
//! of lines that begin with `| ` is a list; `{link}` alone becomes the button in HTML.

use super::Purpose;

const LAYOUT: &str = include_str!("../../../web/letters/layout.html");

/// In which language letters are written: `email.language`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    English,
    German,
}

impl Language {
    const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// What stands for a fact that is not known.
    fn unknown(self, name: &str) -> &'static str {
        match (self, name) {
            (Self::English, "by") => "An admin",
            (Self::German, "by") => "Die Verwaltung",
            (Self::English, _) => "not known",
            (Self::German, _) => "nicht bekannt",
        }
    }
}

macro_rules! templates {
    ($($purpose:ident: $file:literal),* $(,)?) => {
        const fn template(language: Language, purpose: Purpose) -> &'static str {
            match (language, purpose) {
                $(
                    (Language::English, Purpose::$purpose) => {
                        include_str!(concat!("../../../web/letters/en/", $file, ".txt"))
                    }
                    (Language::German, Purpose::$purpose) => {
                        include_str!(concat!("../../../web/letters/de/", $file, ".txt"))
                    }
                )*
            }
        }
    };
}

templates! {
    VerifyEmail: "verify-email",
    Activate: "activate",
    ChangeEmail: "change-email",
    ResetPassword: "reset-password",
    // Handed over, never mailed; if it ever were, it would say the same.
    ResetLink: "reset-password",
    Invitation: "invitation",
    AddressChanged: "address-changed",
    NewSignIn: "new-sign-in",
    AccountDisabled: "account-disabled",
    Test: "test",
}

/// The facts that a template may name.
pub(super) type Facts = Vec<(String, String)>;

/// A letter in words.
pub(super) struct Composed {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// Writes the letter of `purpose` with these facts, which may hold anything.
pub(super) fn compose(language: Language, purpose: Purpose, facts: &Facts) -> Composed {
    let mut blocks = template(language, purpose).trim().split("\n\n");
    let mut head = blocks.next().unwrap_or_default().lines();
    let subject = fill(language, head.next().unwrap_or_default(), facts, str::to_owned);
    let label = head.next().and_then(|line| line.strip_prefix("> ")).unwrap_or_default();
    let (mut text, mut html) = (String::new(), String::new());
    for block in blocks {
        let plain = block.lines().map(|line| line.strip_prefix("| ").unwrap_or(line));
        let plain = plain.collect::<Vec<_>>().join("\r\n");
        text += &format!("{}\r\n\r\n", fill(language, &plain, facts, str::to_owned));
        html += &match block {
            "{link}" => fill(language, &button(label), facts, escape),
            _ => {
                let joined = plain.replace("\r\n", "<br>\n");
                // Our own page is a link in HTML; nothing else that was filled in is.
                let link = "<a href=\"{reset_page}\">{reset_page}</a>";
                let joined = joined.replace("{reset_page}", link);
                let filled = fill(language, &joined, facts, escape);
                format!("<p style=\"margin:0 0 16px\">{filled}</p>\n")
            }
        };
    }
    let layout = [("lang", language.code()), ("title", &subject)].map(own);
    let house = facts.iter().filter(|(name, _)| name == "house").cloned();
    let layout = layout.into_iter().chain(house).collect();
    let (above, below) = LAYOUT.split_once("{body}").unwrap_or((LAYOUT, ""));
    let frame = |part| fill(language, part, &layout, escape);
    let html = format!("{}{html}{}", frame(above), frame(below));
    Composed { subject, text, html }
}

fn own((name, text): (&str, &str)) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

fn button(label: &str) -> String {
    format!(
        "<p style=\"margin:0 0 12px\"><a class=\"button\" href=\"{{link}}\" style=\"display:inline-block;\
         padding:12px 20px;background:#1f5f8b;color:#ffffff;text-decoration:none;\
         border-radius:8px;font-weight:600\">{label}</a></p>\n\
         <p class=\"quiet\" style=\"margin:0 0 16px;color:#56616c;font-size:13px;\
         word-break:break-all\">{{link}}</p>\n"
    )
}

/// Puts facts in place of their names, once: what a fact holds is never read as a name. Names that
/// are no facts, as those of styles, stay.
fn fill(language: Language, text: &str, facts: &Facts, write: fn(&str) -> String) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find('{') {
        filled += &rest[..begin];
        rest = &rest[begin..];
        let name = rest[1..].split_once('}').map_or("", |(name, _)| name);
        match facts.iter().find(|(known, _)| known == name) {
            Some((_, value)) => {
                let value = plain(value);
                let value = if value.is_empty() { language.unknown(name) } else { &value };
                filled += &write(value);
                rest = &rest[name.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled + rest
}

/// One line, without what would control the text around it.
fn plain(value: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}' | '\u{2029}'
                | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    value.chars().map(|c| if steers(c) { ' ' } else { c }).collect::<String>().trim().to_owned()
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 14] = [
        "house",
        "reset_page",
        "name",
        "username",
        "email",
        "link",
        "until",
        "by",
        "at",
        "place",
        "device",
        "old_email",
        "new_email",
        "body",
    ];
    const LANGUAGES: [Language; 2] = [Language::English, Language::German];

    fn facts(value: &str) -> Facts {
        NAMES.iter().map(|name| own((name, value))).collect()
    }

    #[test]
    fn every_template_names_known_facts_only_and_leads_somewhere() {
        for (language, purpose) in
            LANGUAGES.iter().flat_map(|language| Purpose::ALL.iter().map(move |p| (language, p)))
        {
            let all = facts("VALUE");
            let letter = compose(*language, *purpose, &all);
            let text = format!("{}{}", letter.subject, letter.text);
            assert!(!text.contains(['{', '}']), "{language:?} {purpose:?}: {text}");
            let has_link = template(*language, *purpose).contains("\n\n{link}\n\n");
            assert_eq!(has_link, !purpose.page().is_empty(), "{purpose:?}");
            let has_label = template(*language, *purpose).contains("\n> ");
            assert_eq!(has_label, has_link, "{purpose:?}");
            assert!(letter.html.contains("</html>") && !letter.html.contains("{body}"));
        }
    }

    #[test]
    fn what_a_fact_holds_is_neither_markup_nor_a_name_nor_a_line() {
        let evil = "<b>{link}</b>\"'&\r\nBcc: x\u{202e}{body}";
        for purpose in Purpose::ALL {
            let letter = compose(Language::English, *purpose, &facts(evil));
            assert!(!letter.html.contains("<b>"), "{}", letter.html);
            assert!(!letter.subject.contains(['\r', '\n', '\u{202e}']), "{}", letter.subject);
            assert!(!letter.text.contains("\r\nBcc"), "{}", letter.text);
            assert!(
                letter.html.contains("&lt;b&gt;{link}&lt;/b&gt;&quot;&#39;&amp;  Bcc: x {body}")
            );
        }
    }

    #[test]
    fn a_fact_that_is_not_known_is_told_so() {
        let letter = compose(Language::German, Purpose::Invitation, &facts(""));
        assert!(letter.text.contains("Die Verwaltung lädt Sie"), "{}", letter.text);
    }
}
