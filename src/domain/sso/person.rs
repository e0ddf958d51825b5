//! Whom a provider vouches for.

use serde_json::{Map, Value};

use super::ProviderSettings;
use crate::domain::accounts::{Email, Username};

/// Groups that are looked at.
const MAX_GROUPS: usize = 1000;
/// What of a name is kept, in characters; a number may follow.
const MAX_NAME: usize = 56;

/// Somebody elsewhere.
#[derive(Clone, Debug)]
pub struct Person {
    pub issuer: String,
    pub subject: String,
    pub email: Option<Email>,
    /// The provider says that the address is theirs.
    pub email_verified: bool,
    /// A name that may be taken here, if somebody else does not have it.
    pub username: String,
    pub display_name: Option<String>,
    pub groups: Vec<String>,
}

/// A claim by its name; `a.b` also means `b` inside `a`, as some providers nest them.
pub fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        claim(claims.get(outer)?.as_object()?, inner)
    })
}

impl Person {
    /// From claims that are verified.
    pub fn of(provider: &ProviderSettings, claims: &Map<String, Value>) -> Self {
        let text = |name: &str| claim(claims, name).and_then(Value::as_str);
        let email = text(&provider.email_claim).and_then(|email| Email::parse(email).ok());
        // The claim speaks of `email`; of another it says nothing.
        let says_verified = claims.get("email_verified") == Some(&Value::Bool(true));
        let named = text(&provider.username_claim)
            .or(email.as_ref().map(Email::as_str))
            .or(text("name"))
            .unwrap_or_default();
        Self {
            issuer: text("iss").unwrap_or_default().to_owned(),
            subject: text("sub").unwrap_or_default().to_owned(),
            email_verified: says_verified && provider.email_claim == "email" && email.is_some(),
            username: tidy(named),
            display_name: text("name").map(|name| name.trim().to_owned()),
            groups: groups(claim(claims, &provider.groups_claim)),
            email,
        }
    }
}

/// A list of texts, or one text.
fn groups(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => {
            all.iter().filter_map(Value::as_str).take(MAX_GROUPS).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// What of a name elsewhere may be a name here: of an address the part before the `@`, without
/// what names may not have.
fn tidy(named: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    let local = named.split('@').next().unwrap_or_default();
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = local.nfkc().filter(kept).take(MAX_NAME).collect();
    let name = name.trim_matches('.');
    match Username::parse(name, None) {
        Ok(name) => name.shown,
        Err(_) => "user".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_from_elsewhere_are_made_to_fit() {
        for (elsewhere, here) in [
            ("ann", "ann"),
            ("Ann.Lee@corp.example", "Ann.Lee"),
            ("ａｎｎ", "ann"),
            ("<b>ann</b>", "bannb"),
            ("..ann..", "ann"),
            ("", "user"),
            ("@", "user"),
            ("api", "user"),
            ("me", "user"),
            ("\u{202E}", "user"),
            (&"a".repeat(300), &"a".repeat(MAX_NAME)),
        ] {
            assert_eq!(tidy(elsewhere), here, "{elsewhere}");
        }
    }

    #[test]
    fn groups_are_texts_also_inside_another_claim() {
        let claims = json!({"groups": ["a", 7, "b"], "realm_access": {"roles": "c"}, "x": {}});
        let claims = claims.as_object().expect("an object");
        assert_eq!(groups(claim(claims, "groups")), ["a", "b"]);
        assert_eq!(groups(claim(claims, "realm_access.roles")), ["c"]);
        for none in ["x", "x.y", "nothing", "groups.a", ""] {
            assert!(groups(claim(claims, none)).is_empty(), "{none}");
        }
    }
}
