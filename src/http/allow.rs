//! Which methods a path takes: an answer that refuses one has to name the others (RFC 9110, section
//! 15.5.6).

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, OnceLock},
};

use poem::{
    endpoint::BoxEndpoint,
    http::{HeaderValue, Method},
};
use poem_openapi::{
    OpenApi,
    registry::{MetaApi, Registry},
};

/// The methods of every path, known once the routes are mounted.
#[derive(Clone, Debug, Default)]
pub struct Allowed(Arc<OnceLock<Vec<(String, HeaderValue)>>>);

impl Allowed {
    /// What `Allow` says for a path that some operation has; plain parts win over parameters.
    pub fn of(&self, path: &str) -> Option<HeaderValue> {
        let fitting = self.0.get()?.iter().filter(|(pattern, _)| fits(pattern, path));
        let best = fitting.min_by_key(|(pattern, _)| pattern.matches("/:").count());
        best.map(|(_, methods)| methods.clone())
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut parts, mut asked) = (pattern.split('/'), path.split('/'));
    loop {
        match (parts.next(), asked.next()) {
            (None, None) => return true,
            (Some(part), Some(text))
                if part == text || (part.starts_with(':') && !text.is_empty()) => {}
            _ => return false,
        }
    }
}

fn line(methods: &HashMap<Method, BoxEndpoint<'static>>) -> Option<HeaderValue> {
    let mut names: BTreeSet<&str> = methods.keys().map(Method::as_str).collect();
    // The router answers HEAD as GET.
    if names.contains("GET") {
        names.insert("HEAD");
    }
    HeaderValue::try_from(names.into_iter().collect::<Vec<_>>().join(", ")).ok()
}

/// Mounts operations and takes down which methods their paths have.
pub struct Listed<A>(pub A, pub Allowed);

impl<A: OpenApi> OpenApi for Listed<A> {
    fn meta() -> Vec<MetaApi> {
        A::meta()
    }

    fn register(registry: &mut Registry) {
        A::register(registry);
    }

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        let Self(api, allowed) = self;
        api.add_routes(table);
        let lines = table.iter().filter_map(|(path, methods)| Some((path.clone(), line(methods)?)));
        // Mounted once.
        let _ = allowed.0.set(lines.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fits_a_pattern_part_by_part() {
        assert!(fits("/users/:id/pin", "/users/7/pin"));
        assert!(fits("/", "/"));
        for (pattern, path) in [
            ("/users/:id", "/users/"),
            ("/users/:id", "/users"),
            ("/users/:id", "/users/7/pin"),
            ("/users/me", "/users/7"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
    }
}
