//! What can be wrong with a provider. Nothing of what it sent is repeated.

use std::fmt;

/// What a provider is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Discovery,
    Keys,
    Token,
    Userinfo,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discovery => "discovery document",
            Self::Keys => "key set",
            Self::Token => "token answer",
            Self::Userinfo => "userinfo answer",
        })
    }
}

/// Why a provider could not vouch for anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No client could be made here.
    Client,
    /// No address that may be asked: https, or http on this machine for an issuer that is there.
    Address(&'static str),
    /// No answer, or a broken one.
    Unreachable(Part),
    /// No whole answer within the patience of the settings.
    Slow(Part),
    /// More than 256 KiB.
    TooLarge(Part),
    /// Another HTTP status than 200; redirects are not followed.
    Status(Part, u16),
    /// Not JSON, or not of the right form.
    NotJson(Part),
    /// It says to be somebody else than the configuration says.
    Issuer,
    /// A field that is needed is not there.
    Missing(&'static str),
    /// It signs by none of RS256, ES256, EdDSA.
    Algorithms,
    /// It does not know us by this client id and secret.
    Unknown,
    /// It does not know the code, or not for this browser.
    Refused,
    /// The ID token is not believed.
    Token(BadToken),
    /// The userinfo answer is about somebody else (OpenID Connect Core, section 5.3.2).
    OtherPerson,
}

/// Why an ID token is not believed (OpenID Connect Core, section 3.1.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadToken {
    /// No JWT of three parts, too long, or with extensions that must be understood.
    Malformed,
    /// None of RS256, ES256, EdDSA.
    Algorithm,
    /// No key of the provider's has its id.
    UnknownKey,
    /// The key of that id has not signed it.
    Signature,
    /// `iss`.
    Issuer,
    /// `aud`.
    Audience,
    /// `azp`, which several audiences need.
    Party,
    /// `exp`, by more than a minute.
    Expired,
    /// `nbf`, by more than a minute.
    NotYet,
    /// `nonce`.
    Nonce,
    /// `sub`: none, or longer than 255 bytes.
    Subject,
}

impl Trouble {
    /// Whether what came back proves nothing: that counts as a failed sign-in. All else is the
    /// provider's fault, or ours.
    pub fn is_wrong_proof(&self) -> bool {
        matches!(self, Self::Refused | Self::Token(_) | Self::OtherPerson)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => write!(f, "no connection can be made from here"),
            Self::Address(name) => {
                write!(f, "the provider's {name} is no https address that can be asked")
            }
            Self::Unreachable(part) => write!(f, "the provider's {part} cannot be reached"),
            Self::Slow(part) => write!(f, "the provider's {part} takes too long"),
            Self::TooLarge(part) => write!(f, "the provider's {part} is larger than 256 KiB"),
            Self::Status(part, status) => write!(f, "the provider's {part} comes with {status}"),
            Self::NotJson(part) => write!(f, "the provider's {part} is not the JSON it should be"),
            Self::Issuer => write!(f, "the provider calls itself by another issuer"),
            Self::Missing(name) => write!(f, "the provider does not name its {name}"),
            Self::Algorithms => write!(f, "the provider signs by none of RS256, ES256, EdDSA"),
            Self::Unknown => write!(f, "the provider does not take our client id and secret"),
            Self::Refused => write!(f, "the provider does not take back the code of this sign-in"),
            Self::Token(bad) => write!(f, "the provider's ID token is not believed: {bad}"),
            Self::OtherPerson => write!(f, "the provider's answers are about different people"),
        }
    }
}

impl std::error::Error for Trouble {}

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is malformed",
            Self::Algorithm => "it is signed by an algorithm other than RS256, ES256, EdDSA",
            Self::UnknownKey => "it is signed by an unknown key",
            Self::Signature => "its signature is wrong",
            Self::Issuer => "it is of another issuer",
            Self::Audience => "it is for somebody else",
            Self::Party => "it was given to somebody else",
            Self::Expired => "it has expired",
            Self::NotYet => "it is not valid yet",
            Self::Nonce => "it belongs to another sign-in",
            Self::Subject => "it is about nobody",
        })
    }
}
