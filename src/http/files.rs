//! What files that are served have in common. They lie in the program compressed, and go out so.

use std::{
    collections::HashMap,
    io::Read,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use bytes::Bytes;
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

/// A file as it is without gzip.
struct Plain(Arc<Vec<u8>>);

impl AsRef<[u8]> for Plain {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// For the rare client that takes no gzip. All who are being sent a file share one copy of it, which
/// goes with the last of them: whoever asks for much and takes nothing fills no memory.
pub fn unpacked(packed: &'static [u8]) -> Bytes {
    // By where they lie in the program: there are no more than it has files.
    static SHARED: LazyLock<Mutex<HashMap<usize, Weak<Vec<u8>>>>> = LazyLock::new(Mutex::default);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = shared.entry(packed.as_ptr().addr()).or_default();
    let plain = entry.upgrade().unwrap_or_else(|| Arc::new(unpack(packed)));
    *entry = Arc::downgrade(&plain);
    Bytes::from_owner(Plain(plain))
}

/// What lies in the program can be unpacked.
fn unpack(packed: &[u8]) -> Vec<u8> {
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
    use crate::http::documents;

    #[test]
    fn all_who_are_sent_a_file_share_one_copy_of_it() {
        let packed = documents::packed("native").expect("a document");
        let (one, other) = (unpacked(packed), unpacked(packed));
        assert!(one.starts_with(b"{") && one == other);
        assert_eq!(one.as_ptr(), other.as_ptr());
    }

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
