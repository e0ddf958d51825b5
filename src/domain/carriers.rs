//! What a sign-in of each dialect is carried by, and how long that lives.

use std::time::Duration;

use super::tokens::TokenKind;

/// What a client carries after signing in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Native: an access and a refresh token.
    NativeTokens,
    /// The session cookie of the pages.
    PagesCookie,
    /// Pin: an access cookie of a minute and a refresh cookie that stays (seed 001).
    PinCookies,
    /// Pair: an access and a one-time refresh token (seed 002).
    PairTokens,
    /// Sign-up: one token of half an hour (seed 003).
    SignupToken,
    /// Gpodder: the cookie of a podcast client (seed 004).
    GpodderCookie,
}

impl Carrier {
    /// The dialect that a session of this carrier belongs to.
    pub const fn dialect(self) -> &'static str {
        match self {
            Self::NativeTokens => "native",
            Self::PagesCookie => "pages",
            Self::PinCookies => "pin",
            Self::PairTokens => "pair",
            Self::SignupToken => "signup",
            Self::GpodderCookie => "gpodder",
        }
    }

    pub(super) const fn access(self) -> Option<TokenKind> {
        match self {
            Self::NativeTokens => Some(TokenKind::NativeAccess),
            Self::PagesCookie | Self::GpodderCookie => None,
            Self::PinCookies => Some(TokenKind::PinAccess),
            Self::PairTokens => Some(TokenKind::PairAccess),
            Self::SignupToken => Some(TokenKind::SignupAccess),
        }
    }

    pub(super) const fn refresh(self) -> Option<TokenKind> {
        match self {
            Self::NativeTokens => Some(TokenKind::NativeRefresh),
            Self::PinCookies => Some(TokenKind::PinRefresh),
            Self::PairTokens => Some(TokenKind::PairRefresh),
            Self::PagesCookie | Self::SignupToken | Self::GpodderCookie => None,
        }
    }

    pub(super) const fn has_cookie(self) -> bool {
        matches!(self, Self::PagesCookie | Self::GpodderCookie)
    }
}

/// How long what each carrier carries lives.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// `auth.jwt_expiry_hours`.
    pub native_access: Duration,
    pub native_refresh: Duration,
    pub pages_cookie: Duration,
    /// `pin.access_seconds`, `pin.refresh_days`.
    pub pin_access: Duration,
    pub pin_refresh: Duration,
    /// `pair.access_expiry`, `pair.refresh_days`.
    pub pair_access: Duration,
    pub pair_refresh: Duration,
    /// `signup.token_minutes`.
    pub signup_token: Duration,
    /// `gpodder.session_days`.
    pub gpodder_cookie: Duration,
}

impl Lives {
    pub(super) const fn access(&self, carrier: Carrier) -> Duration {
        match carrier {
            Carrier::NativeTokens => self.native_access,
            Carrier::PagesCookie => self.pages_cookie,
            Carrier::PinCookies => self.pin_access,
            Carrier::PairTokens => self.pair_access,
            Carrier::SignupToken => self.signup_token,
            Carrier::GpodderCookie => self.gpodder_cookie,
        }
    }

    pub(super) const fn refresh(&self, carrier: Carrier) -> Duration {
        match carrier {
            Carrier::NativeTokens => self.native_refresh,
            Carrier::PinCookies => self.pin_refresh,
            Carrier::PairTokens => self.pair_refresh,
            Carrier::PagesCookie | Carrier::SignupToken | Carrier::GpodderCookie => Duration::ZERO,
        }
    }

    /// As long as the longest-lived thing that it carries.
    pub(super) fn session(&self, carrier: Carrier) -> Duration {
        self.access(carrier).max(self.refresh(carrier))
    }
}
