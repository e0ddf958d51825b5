//! Credentials taken out of headers, and nothing more: whether they are right is the domain's
//! business.

use base64::{Engine, engine::general_purpose::STANDARD};
use poem::http::{HeaderMap, HeaderValue, header};

use crate::domain::{error::Why, secret::Secret};

/// What stands in `Authorization`. No `Debug`: it would print the token.
pub enum Authorization<'a> {
    Absent,
    Bearer(&'a str),
    Basic {
        user: String,
        password: Secret,
    },
    /// Present and not readable: never the same as absent.
    Unreadable(Why),
}

/// Reads the one `Authorization` header (RFC 9110, section 11.6.2).
pub fn authorization(headers: &HeaderMap) -> Authorization<'_> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, more) = (values.next(), values.next());
    let Some(value) = value else { return Authorization::Absent };
    let Some(text) = ascii(value).filter(|_| more.is_none()) else {
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

/// The same as `to_str`, which looks at the bytes one by one: a header's value holds no control
/// character but the tab anyway.
fn ascii(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok().filter(|text| text.is_ascii())
}

fn bearer(token: &str) -> Authorization<'_> {
    // All bytes, without leaving early: several at once.
    let graphic = token.bytes().fold(true, |all, byte| all & byte.is_ascii_graphic());
    if graphic && !token.is_empty() {
        Authorization::Bearer(token)
    } else {
        Authorization::Unreadable(Why::Malformed)
    }
}

/// RFC 7617; UTF-8 only, as our challenge says.
fn basic(encoded: &str) -> Option<Authorization<'static>> {
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Authorization::Basic { user: user.to_owned(), password: Secret::new(password) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).expect("a header value");
            headers.append(header::AUTHORIZATION, value);
        }
        headers
    }

    #[test]
    fn what_cannot_be_read_is_not_absent() {
        for bad in [
            &b"Bearer"[..],
            b"Bearer ",
            b"Bearer a b",
            b"Bearer a\tb",
            "Bearer é".as_bytes(),
            b"Basic !!!",
            b"Basic YWI=",
            b"Digest x",
            b"\xff\xfe",
            b"Basic /////w==",
            b"",
        ] {
            let headers = headers(&[bad]);
            assert!(matches!(authorization(&headers), Authorization::Unreadable(_)), "{bad:?}");
        }
        let two = headers(&[b"Bearer a", b"Bearer a"]);
        assert!(matches!(authorization(&two), Authorization::Unreadable(_)));
        assert!(matches!(authorization(&headers(&[])), Authorization::Absent));
    }

    #[test]
    fn schemes_are_read_in_any_case() {
        let bearer = headers(&[b"bearer abc"]);
        assert!(matches!(authorization(&bearer), Authorization::Bearer("abc")));
        assert!(matches!(
            authorization(&headers(&[b"BASIC YW5uOmE6Yg=="])),
            Authorization::Basic { user, password } if user == "ann" && password.reveal() == "a:b"
        ));
    }
}
