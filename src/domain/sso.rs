//! Sign-in through others: OpenID Connect Core 1.0, the authorization code flow with PKCE
//! (RFC 7636). Somebody leaves for a provider with what only their browser can bring back, and
//! arrives as whoever the provider says they are.

mod check;
mod entry;
mod fetch;
mod flow;
mod id_token;
mod person;
mod provider;
mod roles;
mod trouble;

use std::{sync::Arc, time::Duration};

use reqwest::Url;

pub use check::{Finding, Report};
pub(super) use person::Person;
pub(super) use roles::change as role_change;
pub use trouble::{BadToken, Trouble};

use super::{
    Core,
    accounts::Account,
    caller::{Caller, Origin},
    error::{Clash, Denied, Error, Field, Noun, Reason, Result},
    events::{Event, EventKind},
    identities,
    known::Stale,
    secret::{Secret, random_text},
    sessions::Carried,
};
use entry::{Guest, Outcome};
pub(super) use flow::Flows;
use flow::{Flow, Link};
pub(super) use provider::Providers;

/// The provider that is a preset and has doors of its own (seed 003).
pub const GOOGLE: &str = "google";
/// Where Google sends people back to.
pub const GOOGLE_CALLBACK: &str = "/auth/google/callback";
/// Where all others do.
pub const CALLBACK: &str = "/auth/sso/callback";
/// How long somebody may take at the provider.
pub const FLOW_LIFE: Duration = Duration::from_secs(600);
/// Longer codes are nobody's, in bytes.
const MAX_CODE: usize = 4096;
/// Longer targets lead nowhere, in bytes.
const MAX_TARGET: usize = 1024;

/// `sso`, as plain values.
#[derive(Clone, Debug)]
pub struct SsoSettings {
    /// `server.public_url`: providers send people back below it.
    pub base: String,
    /// `sso.auto_create`: strangers get an account, as far as `registration.mode` lets them.
    pub auto_create: bool,
    /// Of accounts that are made this way; Google's have `signup.default_role`.
    pub default_role: String,
    /// `signup.frontend_url`.
    pub frontend: Option<String>,
    /// In the order of the file.
    pub providers: Vec<ProviderSettings>,
    /// For a whole answer of a provider.
    pub patience: Duration,
}

impl Default for SsoSettings {
    fn default() -> Self {
        Self {
            base: String::new(),
            auto_create: false,
            default_role: super::permissions::DEFAULT_ROLE.to_owned(),
            frontend: None,
            providers: Vec::new(),
            patience: Duration::from_secs(10),
        }
    }
}

/// One provider of `sso.providers`.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// 1 to 32 lower-case letters, digits, `-` or `_`.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// Compared with what the provider says of itself; a slash at the end may differ.
    pub issuer_url: String,
    /// The name of this server there (RFC 6749, section 2.2).
    pub client_id: String,
    /// `None` for a public client, which has PKCE alone.
    pub client_secret: Option<Secret>,
    /// Besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that names of new accounts come from.
    pub username_claim: String,
    /// Only an address from `email` can be verified.
    pub email_claim: String,
    /// `a.b` also means `b` inside `a`.
    pub groups_claim: String,
    /// Group and role; the first that fits counts.
    pub role_mapping: Vec<(String, String)>,
    /// The group that makes an admin, before all mappings.
    pub admin_group: Option<String>,
}

impl ProviderSettings {
    /// Whether this is the preset of seed 003.
    pub fn is_google(&self) -> bool {
        self.name == GOOGLE
    }

    /// Whether groups decide about roles here.
    fn maps_roles(&self) -> bool {
        self.admin_group.is_some() || !self.role_mapping.is_empty()
    }

    /// Where somebody begins to sign in by it: a path of ours.
    pub fn login_path(&self) -> String {
        match self.is_google() {
            true => "/auth/google".to_owned(),
            false => format!("/auth/sso/login?provider={}", self.name),
        }
    }

    /// What has to be registered at the provider.
    pub fn callback(&self, base: &str) -> String {
        format!("{base}{}", if self.is_google() { GOOGLE_CALLBACK } else { CALLBACK })
    }
}

/// By which doors somebody leaves and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `/auth/sso/…`, for all providers but Google.
    Sso,
    /// `/auth/google…`.
    Google,
}

/// Somebody who wants to sign in through a provider.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// The doors.
    pub way: Way,
    /// Without a name the default one: the first in the file that is not Google.
    pub provider: Option<String>,
    /// Where to go afterwards: a path of ours.
    pub to: Option<String>,
    /// Where the browser is.
    pub origin: Origin,
}

/// The way to the provider.
#[derive(Clone, Debug)]
pub struct Departure {
    /// An address of the provider.
    pub location: String,
    /// What the browser has to bring back, sealed.
    pub ticket: Secret,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The doors, which must be those of the departure.
    pub way: Way,
    /// From the cookie of this browser.
    pub ticket: Option<Secret>,
    /// RFC 6749, section 4.1.2.
    pub state: Option<String>,
    /// The same; 4096 bytes at the most.
    pub code: Option<String>,
    /// The provider's refusal (RFC 6749, section 4.1.2.1).
    pub error: Option<String>,
    /// RFC 9207.
    pub iss: Option<String>,
    /// Whoever is signed in to the pages in this browser.
    pub pages: Option<Caller>,
    /// Where the browser is.
    pub origin: Origin,
}

/// Somebody who came in, or whose account elsewhere is linked now.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// As it is now.
    pub account: Arc<Account>,
    /// One for each carrier; none after linking.
    pub carried: Vec<Carried>,
    /// The path that was asked for.
    pub to: Option<String>,
}

/// A path of ours and nothing that a browser would read as another place: no scheme, no host, no
/// back-slash, no control characters (they are dropped by browsers: `/\t/evil`). In its path there is
/// no `//` and no dot segment: `/.//evil` is `//evil` as soon as somebody resolves it.
pub fn is_local_target(to: &str) -> bool {
    let path = to.split(['?', '#']).next().unwrap_or_default();
    path.starts_with('/')
        && !path.contains("//")
        && !path.split('/').any(is_dots)
        && to.len() <= MAX_TARGET
        && to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

/// A segment that stands for its folder or the one above, in every spelling that browsers know (URL
/// Standard, "single-dot" and "double-dot URL path segment").
fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

impl Core {
    /// All providers, in the order of the configuration.
    pub fn sso_providers(&self) -> &[ProviderSettings] {
        &self.settings.sso.providers
    }

    /// The one that is meant when nobody names one.
    pub fn sso_default(&self) -> Option<&ProviderSettings> {
        self.sso_providers().iter().find(|provider| !provider.is_google())
    }

    fn provider(&self, way: Way, name: Option<&str>) -> Result<&ProviderSettings> {
        let none = || Error::Disabled("sign-in through others");
        match (way, name) {
            (Way::Google, _) => {
                self.sso_providers().iter().find(|provider| provider.is_google()).ok_or_else(none)
            }
            (Way::Sso, None) => self.sso_default().ok_or_else(none),
            (Way::Sso, Some(name)) => {
                let mut others = self.sso_providers().iter().filter(|p| !p.is_google());
                others.find(|provider| provider.name == name).ok_or(Error::NotFound(Noun::Provider))
            }
        }
    }

    /// Sends somebody to a provider.
    ///
    /// # Errors
    /// [`Error::Disabled`] and [`Error::NotFound`] without such a provider, [`Error::Invalid`] for
    /// a target elsewhere, [`Error::Upstream`] when the provider cannot be asked.
    pub async fn sso_leave(&self, leaving: Leaving) -> Result<Departure> {
        let provider = self.provider(leaving.way, leaving.provider.as_deref())?;
        let setup = self.is_setup_token(&leaving.origin);
        self.depart(provider, leaving.to, None, setup).await
    }

    /// Sends the owner of an account to a provider, to link what they have there. Asks for the
    /// present password: whoever finds a session open must not add a way in of their own.
    ///
    /// # Errors
    /// As [`Core::sso_leave`]; [`Error::Forbidden`] for an account of Google and for keys,
    /// [`Error::Invalid`] for the password, [`Error::Unauthenticated`] without a session.
    pub async fn identity_link(
        &self,
        caller: &Caller,
        provider: &str,
        current: Option<Secret>,
        to: Option<String>,
    ) -> Result<Departure> {
        caller.must_not_be_key()?;
        let provider = self.provider(Way::Sso, Some(provider))?;
        let account = caller.account()?.id;
        let session = caller.session().ok_or(Error::Forbidden(Denied::NoSession))?;
        self.db.read(move |connection| identities::must_be_linkable(connection, account)).await?;
        let password = self.must_know_password(caller, current).await?.password_mark();
        self.depart(provider, to, Some(Link { account, session, password }), false).await
    }

    async fn depart(
        &self,
        provider: &ProviderSettings,
        to: Option<String>,
        link: Option<Link>,
        setup: bool,
    ) -> Result<Departure> {
        if to.as_deref().is_some_and(|to| !is_local_target(to)) {
            return Err(Error::Invalid(Field::To, Reason::Form("must be a path of this server")));
        }
        let found = self.providers.found(provider, &self.clock).await.map_err(Error::Upstream)?;
        let flow = Flow {
            provider: provider.name.clone(),
            state: random_text(43),
            nonce: random_text(43),
            verifier: random_text(64),
            to,
            link,
            setup,
            until: self.clock.now().plus(FLOW_LIFE).seconds(),
        };
        let location = self.authorization(provider, &found.authorization_endpoint, &flow);
        Ok(Departure { location, ticket: self.flows.seal(&flow)? })
    }

    /// OpenID Connect Core, section 3.1.2.1.
    fn authorization(&self, provider: &ProviderSettings, endpoint: &Url, flow: &Flow) -> String {
        let mut scopes = vec!["openid"];
        scopes.extend(provider.scopes.iter().map(String::as_str).filter(|s| *s != "openid"));
        let mut url = endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", &provider.callback(&self.settings.sso.base))
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &flow.state)
            .append_pair("nonce", &flow.nonce)
            .append_pair("code_challenge", &flow.challenge())
            .append_pair("code_challenge_method", "S256");
        url.into()
    }

    /// Lets somebody in who comes back from a provider, or links what they have there. Works once
    /// for each departure, in the browser that left.
    ///
    /// # Errors
    /// [`Error::Expired`] for what this browser did not begin, or has used already;
    /// [`Error::Forbidden`] for strangers without an account here, and for disabled and pending
    /// accounts; [`Error::Upstream`] when the provider fails or is not believed;
    /// [`Error::Conflict`], [`Error::Throttled`].
    pub async fn sso_arrive(&self, arrival: Arrival) -> Result<Arrived> {
        let answered = self.answer_arrival(&arrival).await;
        self.sign_ins.note(arrival.origin.dialect, answered.as_ref().err());
        answered
    }

    async fn answer_arrival(&self, arrival: &Arrival) -> Result<Arrived> {
        self.provider(arrival.way, None)?;
        let subject = arrival.origin.subject();
        self.throttle.check(subject)?;
        // What nobody can guess is no try: a page elsewhere could make a browser send it, and lock
        // out its whole house.
        let flow = self.flow_of(arrival)?;
        let reservation = self.throttle.reserve(subject).await?;
        match self.arrive(&flow, arrival).await {
            Ok(Outcome::In(arrived)) => {
                reservation.succeeded();
                Ok(*arrived)
            }
            Ok(Outcome::Refused(error, whose)) => {
                reservation.failed();
                let event =
                    Event::from_origin(EventKind::LoginFailure, &arrival.origin, self.clock.now());
                let event = event.about(format!("{}: {error}", flow.provider));
                self.events.note_failure(match whose {
                    Some(account) => event.of(account),
                    None => event,
                });
                Err(error)
            }
            Err(trouble) => {
                reservation.succeeded();
                Err(trouble)
            }
        }
    }

    fn flow_of(&self, arrival: &Arrival) -> Result<Flow> {
        let over = || Error::Expired(Noun::SignIn);
        let (ticket, state) =
            arrival.ticket.as_ref().zip(arrival.state.as_ref()).ok_or_else(over)?;
        let flow = self.flows.open(ticket, state, self.clock.now()).ok_or_else(over)?;
        let google = flow.provider == GOOGLE;
        if google != (arrival.way == Way::Google) {
            return Err(over());
        }
        Ok(flow)
    }

    async fn arrive(&self, flow: &Flow, arrival: &Arrival) -> Result<Outcome> {
        let provider = self.provider(arrival.way, Some(&flow.provider))?;
        if arrival.error.is_some() {
            return Err(Error::Forbidden(Denied::ByProvider));
        }
        let code = arrival.code.as_deref().filter(|code| (1..=MAX_CODE).contains(&code.len()));
        let code = code.ok_or(Error::Expired(Noun::SignIn))?;
        let asked = provider::Asked {
            code,
            verifier: &flow.verifier,
            nonce: &flow.nonce,
            iss: arrival.iss.as_deref(),
            callback: provider.callback(&self.settings.sso.base),
        };
        let person = match self.providers.person(provider, asked, &self.clock).await {
            Ok(person) => person,
            Err(trouble) if trouble.is_wrong_proof() => {
                return Ok(Outcome::Refused(Error::Upstream(trouble), None));
            }
            Err(trouble) => return Err(Error::Upstream(trouble)),
        };
        let guest = Guest { provider: provider.clone(), person, flow: flow.clone() };
        match &flow.link {
            Some(link) => self.link(guest, link, arrival).await,
            None => self.let_guest_in(guest, arrival).await,
        }
    }

    /// The session that asked to link must be the one of this browser's pages, and live; asked again
    /// when it is written, since the provider takes its time.
    async fn link(&self, guest: Guest, link: &Link, arrival: &Arrival) -> Result<Outcome> {
        let pages = arrival.pages.as_ref();
        let same = pages.filter(|caller| {
            caller.account_id() == Some(link.account) && caller.session() == Some(link.session)
        });
        let Some(caller) = same else { return Err(Error::Expired(Noun::SignIn)) };
        let account = Arc::clone(caller.account()?);
        let (asking, to, link) = (caller.clone(), guest.flow.to.clone(), *link);
        self.deed(Stale::Nobodys, move |transaction, now| {
            entry::link(transaction, &guest, (&asking, &link), now)
        })
        .await?;
        Ok(Outcome::In(Box::new(Arrived { account, carried: Vec::new(), to })))
    }

    async fn let_guest_in(&self, guest: Guest, arrival: &Arrival) -> Result<Outcome> {
        let (core, origin) = (self.clone(), arrival.origin.clone());
        let outcome = self
            .deed(Stale::OfWhom(Outcome::whose), move |transaction, now| {
                entry::enter(&core, transaction, &guest, &origin, now)
            })
            .await?;
        match &outcome {
            Outcome::In(arrived) if !arrived.account.is_active() => {
                Err(Error::Forbidden(Denied::Waits))
            }
            _ => Ok(outcome),
        }
    }
}

/// What somebody else holds already.
const TAKEN: Error = Error::Conflict(Clash::IdentityTaken);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_ours_are_targets() {
        for good in [
            "/",
            "/account",
            "/admin/users?page=2&q=a%20b",
            "/x#y",
            "/a?to=//b/../c",
            "/a#//b/./c",
            "/.well-known/...",
            "/a..b/%2e%2e%2e",
        ] {
            assert!(is_local_target(good), "{good}");
        }
        for bad in [
            "",
            "account",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/a\\b",
            "/a//b",
            "/.//evil.example/x",
            "/..//evil.example/x",
            "/%2e//evil.example/x",
            "/a/..//evil.example/x",
            "/./evil.example",
            "/a/..",
            "/%2E%2e/a",
            "/.%2e?a=b",
            "/a/%2E#b",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/\n/evil.example",
            "/ /evil.example",
            " /account",
            "/\u{e4}",
            "/a\r\nSet-Cookie: a=b",
            &format!("/{}", "a".repeat(MAX_TARGET)),
        ] {
            assert!(!is_local_target(bad), "{bad:?}");
        }
    }
}
