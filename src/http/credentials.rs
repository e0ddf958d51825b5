//! Credentials taken out of headers, and nothing more: whether they are right is the domain's
//! business.

use base64::{Engine, engine::general_purpose::STANDARD};
use poem::http::{HeaderMap, header};

use crate::domain::{error::Why, secret::Secret};

/// What stands in `Authorization`.
#[derive(Debug)]
pub enum Authorization {
    Absent,
    Bearer(Secret),
    Basic {
        user: String,
        password: Secret,
    },
    /// Present and not readable: never the same as absent.
    Unreadable(Why),
}

/// Reads the one `Authorization` header (RFC 9110, section 11.6.2).
pub fn authorization(headers: &HeaderMap) -> Authorization {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, more) = (values.next(), values.next());
    let Some(value) = value else { return Authorization::Absent };
    let Some(text) = value.to_str().ok().filter(|_| more.is_none()) else {
        return Authorization::Unreadable(Why::Malformed);
    };
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return bearer(rest);
    }
    if scheme.eq_ignore_ascii_case("basic") {
        return basic(rest).unwrap_or(Authorization::Unreadable(Why::MalformedBasic));
    }
    Authorization::Unreadable(Why::UnknownScheme)
}

fn bearer(token: &str) -> Authorization {
    let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    if plain {
        Authorization::Bearer(Secret::new(token))
    } else {
        Authorization::Unreadable(Why::Malformed)
    }
}

/// RFC 7617; UTF-8 only, as our challenge says.
fn basic(encoded: &str) -> Option<Authorization> {
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Authorization::Basic { user: user.to_owned(), password: Secret::new(password) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> Authorization {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = poem::http::HeaderValue::from_bytes(value).expect("a header value");
            headers.append(header::AUTHORIZATION, value);
        }
        authorization(&headers)
    }

    #[test]
    fn what_cannot_be_read_is_not_absent() {
        for bad in [
            &b"Bearer"[..],
            b"Bearer ",
            b"Bearer a b",
            b"Basic !!!",
            b"Basic YWI=",
            b"Digest x",
            b"\xff\xfe",
            b"Basic /////w==",
            b"",
        ] {
            assert!(matches!(read(&[bad]), Authorization::Unreadable(_)), "{bad:?}");
        }
        assert!(matches!(read(&[b"Bearer a", b"Bearer a"]), Authorization::Unreadable(_)));
        assert!(matches!(read(&[]), Authorization::Absent));
    }

    #[test]
    fn schemes_are_read_in_any_case() {
        assert!(matches!(read(&[b"bearer abc"]), Authorization::Bearer(t) if t.reveal() == "abc"));
        assert!(matches!(
            read(&[b"BASIC YW5uOmE6Yg=="]),
            Authorization::Basic { user, password } if user == "ann" && password.reveal() == "a:b"
        ));
    }
}
