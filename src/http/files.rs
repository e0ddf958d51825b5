//! What files that are served have in common. They lie in the program compressed, and go out so.

use std::{collections::HashMap, io::Read};

use flate2::read::GzDecoder;
use poem::{
    endpoint::BoxEndpoint,
    http::{HeaderMap, Method, header},
};
use poem_openapi::{
    OpenApi,
    registry::{MetaApi, Registry},
};

/// What a path answers to GET beside the operations of the dialects; it stands in no document.
pub struct Unlisted(pub Vec<(String, BoxEndpoint<'static>)>);

impl OpenApi for Unlisted {
    fn meta() -> Vec<MetaApi> {
        Vec::new()
    }

    fn register(_: &mut Registry) {}

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        for (path, endpoint) in self.0 {
            table.entry(path).or_default().insert(Method::GET, endpoint);
        }
    }
}

/// For the rare client that takes no gzip; what lies in the program can be unpacked.
pub fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match GzDecoder::new(packed).read_to_end(&mut plain) {
        Ok(_) => plain,
        Err(_) => Vec::new(),
    }
}

/// Whether a client says that it has what the tag names (RFC 9110, section 13.1.2).
pub fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| {
        known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*")
    })
}

/// By the ending of its name.
pub fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// Whether a client says that it takes gzip (RFC 9110, section 12.5.3).
pub fn takes_gzip(asked: &HeaderMap) -> bool {
    let values = || asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    let weight = |wanted: &str| {
        values().flat_map(|value| value.split(',')).find_map(|one| {
            let (name, rest) = one.split_once(';').unwrap_or((one, ""));
            let quality = rest.trim().strip_prefix("q=").and_then(|text| text.parse::<f32>().ok());
            name.trim().eq_ignore_ascii_case(wanted).then_some(quality.unwrap_or(1.0))
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|quality| quality > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().expect("a header"));
            takes_gzip(&headers)
        };
        for yes in ["gzip", "gzip, deflate, br", "br;q=1, GZIP;q=0.5", "*", "deflate, *;q=0.1"] {
            assert!(asked(yes), "{yes}");
        }
        for no in ["", "identity", "br", "gzip;q=0", "gzip;q=0, *", "gzip; q=0.0", "*;q=0"] {
            assert!(!asked(no), "{no}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
