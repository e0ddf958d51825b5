//! What is known of each provider: asked when it is first needed, kept for an hour, and asked by
//! one sign-in at a time.

use std::{collections::HashMap, sync::Arc, sync::OnceLock, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Client, RequestBuilder, Url, header};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    ProviderSettings, SsoSettings,
    fetch::{address, ask, client, is_here, json},
    id_token::{self, ALGORITHMS, Expected, Key},
    person::{Person, claim},
    trouble::{BadToken, Part, Trouble},
};
use crate::domain::Clock;

/// What a provider said of itself is asked again after this.
const KEPT: Duration = Duration::from_secs(3600);
/// A failure is remembered this long, so that a provider which is down is not asked by everybody.
const FAILURE_KEPT: Duration = Duration::from_secs(10);
/// Keys are asked for anew because of an unknown one at most this often: whoever holds a code
/// could make us ask all the time.
const REFRESH_AFTER: Duration = Duration::from_secs(10);
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// A discovery document (OpenID Connect Discovery 1.0, section 3), as far as it is read.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Written {
    pub issuer: Option<String>,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    pub userinfo_endpoint: Option<String>,
    pub jwks_uri: Option<String>,
    pub id_token_signing_alg_values_supported: Option<Vec<String>>,
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    pub code_challenge_methods_supported: Option<Vec<String>>,
    pub response_types_supported: Option<Vec<String>>,
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// A provider as it was found.
#[derive(Debug)]
pub struct Found {
    pub issuer: String,
    pub authorization_endpoint: Url,
    token_endpoint: Url,
    userinfo_endpoint: Option<Url>,
    jwks_uri: Url,
    /// The secret goes into the body, since the provider does not take it in a header.
    secret_in_body: bool,
    says_iss: bool,
    keys: Vec<Key>,
    asked_at: Duration,
}

#[derive(Default)]
struct State {
    found: Option<Arc<Found>>,
    failed: Option<(Duration, Trouble)>,
    refreshed: Option<Duration>,
}

/// All providers of the configuration.
pub struct Providers {
    client: OnceLock<Client>,
    states: HashMap<String, Arc<Mutex<State>>>,
    patience: Duration,
}

/// What a provider is asked for when somebody comes back.
pub struct Asked<'a> {
    pub code: &'a str,
    pub verifier: &'a str,
    pub nonce: &'a str,
    /// What came back as `iss`.
    pub iss: Option<&'a str>,
    pub callback: String,
}

/// A token answer (OpenID Connect Core, section 3.1.3.3).
#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
    access_token: Option<String>,
}

/// RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// The address of a discovery document.
///
/// # Errors
/// [`Trouble::Address`] for an issuer that may not be asked.
pub fn discovery_url(issuer: &str) -> Result<Url, Trouble> {
    let url = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
    address(&url, true, "issuer")
}

/// Whether both name one issuer; people leave out or add a slash at the end.
pub fn is_same_issuer(said: &str, wanted: &str) -> bool {
    said.trim_end_matches('/') == wanted.trim_end_matches('/')
}

/// Whether one of the algorithms will be believed; a provider that names none has RS256.
pub fn signs_well(written: &Written) -> bool {
    let said = written.id_token_signing_alg_values_supported.as_ref();
    said.is_none_or(|said| said.iter().any(|alg| ALGORITHMS.contains(&alg.as_str())))
}

fn secret_in_body(written: &Written) -> bool {
    let said = written.token_endpoint_auth_methods_supported.as_ref();
    said.is_some_and(|said| !said.iter().any(|way| way == "client_secret_basic"))
}

impl Found {
    /// From what the provider of `issuer` wrote, before its keys are known.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn of(written: &Written, issuer: &str) -> Result<Self, Trouble> {
        let http = is_here(&discovery_url(issuer)?);
        let url = |text: &Option<String>, name| match text {
            Some(text) => address(text, http, name),
            None => Err(Trouble::Missing(name)),
        };
        let said = written.issuer.clone().ok_or(Trouble::Missing("issuer"))?;
        if !is_same_issuer(&said, issuer) {
            return Err(Trouble::Issuer);
        }
        if !signs_well(written) {
            return Err(Trouble::Algorithms);
        }
        let userinfo = written.userinfo_endpoint.as_ref();
        Ok(Self {
            issuer: said,
            authorization_endpoint: url(&written.authorization_endpoint, "authorization_endpoint")?,
            token_endpoint: url(&written.token_endpoint, "token_endpoint")?,
            userinfo_endpoint: userinfo
                .map(|text| address(text, http, "userinfo_endpoint"))
                .transpose()?,
            jwks_uri: url(&written.jwks_uri, "jwks_uri")?,
            secret_in_body: secret_in_body(written),
            says_iss: written.authorization_response_iss_parameter_supported,
            keys: Vec::new(),
            asked_at: Duration::ZERO,
        })
    }
}

/// Form fields, as `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    // The crate that encodes them is behind this type.
    let Ok(mut url) = Url::parse("https://form.invalid/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

impl Providers {
    pub fn new(settings: &SsoSettings) -> Self {
        let states = settings.providers.iter().map(|p| (p.name.clone(), Arc::default()));
        Self { client: OnceLock::new(), states: states.collect(), patience: settings.patience }
    }

    fn client(&self) -> Result<&Client, Trouble> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = client()?;
        Ok(self.client.get_or_init(|| made))
    }

    /// One at a time: others wait, and find what the first one found.
    async fn state(&self, provider: &ProviderSettings) -> Result<OwnedMutexGuard<State>, Trouble> {
        let state = self.states.get(&provider.name).ok_or(Trouble::Client)?;
        Ok(Arc::clone(state).lock_owned().await)
    }

    /// What is known of a provider, asked for if it is not known or old. Somebody who is known from
    /// before stays so while the provider is down.
    pub async fn found(
        &self,
        provider: &ProviderSettings,
        clock: &Clock,
    ) -> Result<Arc<Found>, Trouble> {
        let state = self.state(provider).await?;
        let now = clock.ticks();
        let fresh = |at: Duration, life| now.saturating_sub(at) < life;
        if let Some(found) = state.found.as_ref().filter(|found| fresh(found.asked_at, KEPT)) {
            return Ok(Arc::clone(found));
        }
        if let Some((at, trouble)) = &state.failed
            && fresh(*at, FAILURE_KEPT)
        {
            return state.found.clone().ok_or_else(|| trouble.clone());
        }
        let known = state.found.clone();
        let discovered = self.discovered(provider, state, clock).await;
        discovered.or_else(|trouble| known.ok_or(trouble))
    }

    /// Asks anew and notes what came of it, whoever hangs up meanwhile: the look-up of a name goes on in
    /// a thread of its own until the system ends it, and each impatient click would begin another.
    async fn discovered(
        &self,
        provider: &ProviderSettings,
        mut state: OwnedMutexGuard<State>,
        clock: &Clock,
    ) -> Result<Arc<Found>, Trouble> {
        let (client, patience) = (self.client()?.clone(), self.patience);
        let (issuer, clock) = (provider.issuer_url.clone(), clock.clone());
        let asked = tokio::spawn(async move {
            let now = clock.ticks();
            let found = discover(&client, &issuer, patience, now).await.map(Arc::new);
            match &found {
                Ok(found) => (state.found, state.failed) = (Some(Arc::clone(found)), None),
                Err(trouble) => state.failed = Some((clock.ticks(), trouble.clone())),
            }
            found
        });
        asked.await.unwrap_or(Err(Trouble::Client))
    }

    /// Asks for keys anew, because one is unknown; `None` when that was done a moment ago.
    async fn refreshed(
        &self,
        provider: &ProviderSettings,
        old: &Found,
        clock: &Clock,
    ) -> Result<Option<Arc<Found>>, Trouble> {
        let mut state = self.state(provider).await?;
        let now = clock.ticks();
        if let Some(newer) = state.found.as_ref().filter(|found| found.asked_at > old.asked_at) {
            return Ok(Some(Arc::clone(newer)));
        }
        if state.refreshed.is_some_and(|at| now.saturating_sub(at) < REFRESH_AFTER) {
            // Somebody else may have had them refreshed meanwhile.
            return Ok(state.found.clone());
        }
        state.refreshed = Some(now);
        self.discovered(provider, state, clock).await.map(Some)
    }

    /// Exchanges a code for the person that it stands for.
    ///
    /// # Errors
    /// What is wrong with the provider or with what it says.
    pub async fn person(
        &self,
        provider: &ProviderSettings,
        asked: Asked<'_>,
        clock: &Clock,
    ) -> Result<Person, Trouble> {
        let found = self.found(provider, clock).await?;
        // RFC 9207, section 2.4: a code of another provider must not come here.
        match asked.iss {
            Some(iss) if iss != found.issuer => return Err(Trouble::Token(BadToken::Issuer)),
            None if found.says_iss => return Err(Trouble::Token(BadToken::Issuer)),
            _ => {}
        }
        let tokens = self.exchange(provider, &found, &asked).await?;
        let token = tokens.id_token.ok_or(Trouble::Missing("id_token"))?;
        let mut claims = self.believed(provider, found.as_ref(), &token, &asked, clock).await?;
        if lacks(provider, &claims) {
            self.add_userinfo(&found, tokens.access_token, &mut claims).await?;
        }
        Ok(Person::of(provider, &claims))
    }

    /// With the keys that are known, and once more with newer ones.
    async fn believed(
        &self,
        provider: &ProviderSettings,
        found: &Found,
        token: &str,
        asked: &Asked<'_>,
        clock: &Clock,
    ) -> Result<Map<String, Value>, Trouble> {
        let expected = Expected {
            issuer: &found.issuer,
            client_id: &provider.client_id,
            nonce: asked.nonce,
            now: clock.now(),
        };
        let read = |keys: &[Key]| id_token::verify(token, keys, &expected);
        match read(&found.keys) {
            Err(BadToken::UnknownKey) => match self.refreshed(provider, found, clock).await? {
                Some(newer) => read(&newer.keys).map_err(Trouble::Token),
                None => Err(Trouble::Token(BadToken::UnknownKey)),
            },
            read => read.map_err(Trouble::Token),
        }
    }

    async fn exchange(
        &self,
        provider: &ProviderSettings,
        found: &Found,
        asked: &Asked<'_>,
    ) -> Result<Tokens, Trouble> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", asked.code),
            ("redirect_uri", &asked.callback),
            ("code_verifier", asked.verifier),
        ];
        let request = self.client()?.post(found.token_endpoint.clone());
        let request = with_client(request, provider, found.secret_in_body, &mut fields)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form(&fields));
        let (status, text) = ask(request, Part::Token, self.patience).await?;
        if status == 200 {
            return serde_json::from_slice(&text).map_err(|_| Trouble::NotJson(Part::Token));
        }
        let refusal = serde_json::from_slice::<Refusal>(&text).ok();
        Err(match refusal.as_ref().map(|refusal| refusal.error.as_str()) {
            Some("invalid_grant") => Trouble::Refused,
            Some("invalid_client" | "unauthorized_client") => Trouble::Unknown,
            _ if status == 401 => Trouble::Unknown,
            _ => Trouble::Status(Part::Token, status),
        })
    }

    /// Some providers keep names and groups out of the ID token (OpenID Connect Core, sections
    /// 5.3 and 5.4). What the token says itself stays.
    async fn add_userinfo(
        &self,
        found: &Found,
        access_token: Option<String>,
        claims: &mut Map<String, Value>,
    ) -> Result<(), Trouble> {
        let Some((url, token)) = found.userinfo_endpoint.clone().zip(access_token) else {
            return Ok(());
        };
        let request = self.client()?.get(url).bearer_auth(token);
        let more: Map<String, Value> = json(request, Part::Userinfo, self.patience).await?;
        if more.get("sub") != claims.get("sub") {
            return Err(Trouble::OtherPerson);
        }
        for (name, value) in more {
            claims.entry(name).or_insert(value);
        }
        Ok(())
    }
}

/// What a provider says of itself, with its keys.
async fn discover(
    client: &Client,
    issuer: &str,
    patience: Duration,
    now: Duration,
) -> Result<Found, Trouble> {
    let url = discovery_url(issuer)?;
    let written: Written = json(client.get(url), Part::Discovery, patience).await?;
    let found = Found::of(&written, issuer)?;
    let (status, set) = ask(client.get(found.jwks_uri.clone()), Part::Keys, patience).await?;
    if status != 200 {
        return Err(Trouble::Status(Part::Keys, status));
    }
    let keys = id_token::keys(&set).ok_or(Trouble::NotJson(Part::Keys))?;
    Ok(Found { keys, asked_at: now, ..found })
}

/// Whether something is missing that userinfo may know.
fn lacks(provider: &ProviderSettings, claims: &Map<String, Value>) -> bool {
    let groups = provider.maps_roles().then_some(&provider.groups_claim);
    let names = [&provider.username_claim, &provider.email_claim].into_iter().chain(groups);
    names.into_iter().any(|name| claim(claims, name).is_none())
}

/// Says who we are: in a header (RFC 6749, section 2.3.1), or in the body.
fn with_client<'a>(
    request: RequestBuilder,
    provider: &'a ProviderSettings,
    in_body: bool,
    fields: &mut Vec<(&'a str, &'a str)>,
) -> RequestBuilder {
    match &provider.client_secret {
        Some(secret) if !in_body => {
            let encoded = |text: &str| form(&[("", text)]).trim_start_matches('=').to_owned();
            let pair = format!("{}:{}", encoded(&provider.client_id), encoded(secret.reveal()));
            request.header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)))
        }
        secret => {
            fields.push(("client_id", &provider.client_id));
            fields.extend(secret.as_ref().map(|secret| ("client_secret", secret.reveal())));
            request
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Written {
        let at = |path: &str| Some(format!("https://id.example.org{path}"));
        Written {
            issuer: at(""),
            authorization_endpoint: at("/a"),
            token_endpoint: at("/t"),
            jwks_uri: at("/k"),
            ..Written::default()
        }
    }

    #[test]
    fn what_a_provider_says_of_itself_is_held_against_the_configuration() {
        let of = |written: &Written| Found::of(written, "https://id.example.org/").map(|_| ());
        assert_eq!(of(&written()), Ok(()));
        let issuer = |text: &str| Written { issuer: Some(text.to_owned()), ..written() };
        for other in ["https://id.example.org.evil.example", "https://id.example.org/x", ""] {
            assert_eq!(of(&issuer(other)), Err(Trouble::Issuer), "{other}");
        }
        let lacking = Written { token_endpoint: None, ..written() };
        assert_eq!(of(&lacking), Err(Trouble::Missing("token_endpoint")));
        for bad in ["http://id.example.org/k", "http://127.0.0.1/k", "ftp://x/", "/k", ""] {
            let bad = Written { jwks_uri: Some(bad.to_owned()), ..written() };
            assert_eq!(of(&bad), Err(Trouble::Address("jwks_uri")));
        }
        let weak = Some(vec!["HS256".to_owned(), "none".to_owned()]);
        let weak = Written { id_token_signing_alg_values_supported: weak, ..written() };
        assert_eq!(of(&weak), Err(Trouble::Algorithms));
    }

    #[test]
    fn issuers_are_asked_by_https_or_on_this_machine() {
        for good in ["https://id.example.org", "http://127.0.0.1:9/x/", "http://localhost"] {
            assert!(discovery_url(good).is_ok(), "{good}");
        }
        for bad in ["http://id.example.org", "http://127.0.0.1.evil.example", "https://a:b@c", ""] {
            assert!(discovery_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(form(&[("a", "b c&d=e"), ("ä", "+")]), "a=b+c%26d%3De&%C3%A4=%2B");
    }
}
