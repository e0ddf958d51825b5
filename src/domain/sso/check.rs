//! Looks at one provider's settings from here, and says everything that is wrong at once.

use super::{
    ProviderSettings, SsoSettings,
    fetch::{ask, client, json},
    id_token,
    provider::{Found, Written, discovery_url, is_same_issuer, signs_well},
    trouble::{Part, Trouble},
};

/// One thing about a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Right(String),
    /// It may work all the same.
    Doubtful(String),
    /// What is wrong, and what to do.
    Wrong(String, &'static str),
}

/// All that was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// What has to be registered at the provider, to the letter.
    pub callback: String,
    /// In the order in which they were looked for.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether somebody could sign in, as far as that can be seen without doing it.
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(|finding| matches!(finding, Finding::Wrong(..)))
    }
}

fn advice(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Client | Trouble::Unreachable(_) => {
            "look whether the name resolves here, a firewall is between, and the certificate is \
             one that this system trusts"
        }
        Trouble::Slow(_) => "look whether the provider is well and near",
        Trouble::Address(_) => "use https; http works only on this machine, for both sides",
        Trouble::Issuer => "copy issuer_url from the provider's own discovery document",
        Trouble::Status(Part::Discovery, _) | Trouble::NotJson(Part::Discovery) => {
            "look at issuer_url: ISSUER/.well-known/openid-configuration must be there"
        }
        Trouble::Status(..) | Trouble::NotJson(_) | Trouble::TooLarge(_) | Trouble::Missing(_) => {
            "look at the provider: it does not speak OpenID Connect there"
        }
        Trouble::Algorithms => "set the signature of ID tokens there to RS256, ES256 or EdDSA",
        Trouble::Unknown => "look at client_id and client_secret",
        Trouble::Refused | Trouble::Token(_) | Trouble::OtherPerson => "sign in again",
    }
}

fn wrong(trouble: &Trouble) -> Finding {
    Finding::Wrong(trouble.to_string(), advice(trouble))
}

impl SsoSettings {
    /// Asks the provider what it says of itself; signs nobody in.
    pub async fn check(&self, provider: &ProviderSettings) -> Report {
        let mut findings = Vec::new();
        match self.discovery(provider).await {
            Ok(written) => {
                let url = &provider.issuer_url;
                findings.push(Finding::Right(format!("the discovery document of {url} is there")));
                compare(provider, &written, &mut findings);
                findings.push(self.keys(provider, &written).await);
            }
            Err(trouble) => findings.push(wrong(&trouble)),
        }
        if provider.client_secret.is_none() {
            let what = "no client_secret: the provider must know this as a public client with PKCE";
            findings.push(Finding::Doubtful(what.to_owned()));
        }
        Report { callback: provider.callback(&self.base), findings }
    }

    async fn discovery(&self, provider: &ProviderSettings) -> Result<Written, Trouble> {
        let request = client()?.get(discovery_url(&provider.issuer_url)?);
        json(request, Part::Discovery, self.patience).await
    }

    async fn keys(&self, provider: &ProviderSettings, written: &Written) -> Finding {
        let ask_for_keys = async {
            let http = super::fetch::is_here(&discovery_url(&provider.issuer_url)?);
            let text = written.jwks_uri.as_deref().ok_or(Trouble::Missing("jwks_uri"))?;
            let url = super::fetch::address(text, http, "jwks_uri")?;
            match ask(client()?.get(url), Part::Keys, self.patience).await? {
                (200, set) => id_token::keys(&set).ok_or(Trouble::NotJson(Part::Keys)),
                (status, _) => Err(Trouble::Status(Part::Keys, status)),
            }
        };
        match ask_for_keys.await {
            Ok(keys) if keys.is_empty() => wrong(&Trouble::Algorithms),
            Ok(keys) => Finding::Right(format!("{} of its keys can be used", keys.len())),
            Err(trouble) => wrong(&trouble),
        }
    }
}

/// What the provider says of itself against what the configuration says.
fn compare(provider: &ProviderSettings, written: &Written, findings: &mut Vec<Finding>) {
    let url = &provider.issuer_url;
    if let Some(said) = written.issuer.as_deref().filter(|said| !is_same_issuer(said, url)) {
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        let what = format!("issuer_url is {url}, and the provider calls itself {said}");
        findings.push(Finding::Wrong(what, advice(&Trouble::Issuer)));
    }
    let endpoints = [
        ("issuer", &written.issuer),
        ("authorization_endpoint", &written.authorization_endpoint),
        ("token_endpoint", &written.token_endpoint),
    ];
    for (name, _) in endpoints.into_iter().filter(|(_, said)| said.is_none()) {
        findings.push(wrong(&Trouble::Missing(name)));
    }
    if !signs_well(written) {
        findings.push(wrong(&Trouble::Algorithms));
    }
    // What is left over: addresses of a kind that is not asked.
    if let Err(trouble @ Trouble::Address(_)) = Found::of(written, url) {
        findings.push(wrong(&trouble));
    }
    let lacks = |said: &Option<Vec<String>>, word: &str| {
        said.as_ref().is_some_and(|said| !said.iter().any(|one| one == word))
    };
    if lacks(&written.response_types_supported, "code") {
        let what = "the provider does not offer the response type code";
        findings
            .push(Finding::Wrong(what.to_owned(), "switch the authorization code flow on there"));
    }
    if lacks(&written.code_challenge_methods_supported, "S256") {
        let what = "the provider does not say that it checks PKCE by S256";
        findings.push(Finding::Doubtful(what.to_owned()));
    }
}
