//! `gatelodge sso check`: what is wrong with a provider's settings.

use std::{fs, path::Path};

use serde_json::json;
use tempfile::TempDir;

use super::{
    house::gatelodge,
    oidc_server::{Provider, State, http},
};

fn home(issuer: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!(
        "server: {{public_url: https://gate.example.org}}\nsso:\n  providers:\n    home:\n      \
         issuer_url: {issuer}\n      client_id: gate\n      client_secret: hidden-word\n"
    );
    fs::write(folder.path().join("gatelodge.yaml"), settings).expect("a file");
    folder
}

/// The exit code and all that was said.
async fn check(folder: &Path, name: &str) -> (i32, String) {
    let mut command = gatelodge();
    command.current_dir(folder).args(["sso", "check", name]);
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.expect("an end").expect("the program");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("text");
    assert!(!said.contains("hidden-word"), "{said}");
    (output.status.code().expect("a code"), said)
}

#[tokio::test]
async fn a_provider_that_is_right_is_said_to_be_with_what_to_register_there() {
    let provider = Provider::start().await;
    let folder = home(&provider.url);
    let (code, said) = check(folder.path(), "home").await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("https://gate.example.org/auth/sso/callback"), "{said}");
    assert!(said.contains("right: 1 of its keys can be used"), "{said}");
    assert!(!folder.path().join("gatelodge.db").exists(), "no database is opened for this");
}

#[tokio::test]
async fn each_mistake_is_told_with_what_to_do() {
    type Change = fn(&mut State);
    let cases: [(&str, Change); 9] = [
        ("calls itself https://other.example", |s| {
            s.discovery["issuer"] = json!("https://other.example\u{7}");
        }),
        ("does not name its token_endpoint", |s| s.discovery["token_endpoint"] = json!(null)),
        ("jwks_uri is no https address", |s| s.discovery["jwks_uri"] = json!("http://10.0.0.1/")),
        ("none of RS256, ES256, EdDSA", |s| {
            s.discovery["id_token_signing_alg_values_supported"] = json!(["HS256"]);
        }),
        ("none of RS256, ES256, EdDSA", |s| s.published.clear()),
        ("response type code", |s| s.discovery["response_types_supported"] = json!(["id_token"])),
        ("comes with 404", |s| s.replies = [("/jwks", http("404 N", b""))].into()),
        ("not the JSON", |s| {
            let path = "/.well-known/openid-configuration";
            s.replies = [(path, http("200 OK", b"<html>"))].into();
        }),
        ("cannot be reached", |s| {
            s.replies = [("/.well-known/openid-configuration", Vec::new())].into();
        }),
    ];
    for (words, change) in cases {
        let provider = Provider::start().await;
        provider.change(change);
        let (code, said) = check(home(&provider.url).path(), "home").await;
        assert_eq!(code, 2, "{words}: {said}");
        assert!(said.contains("wrong: ") && said.contains("  next: "), "{said}");
        assert!(said.contains(words) && !said.contains('\u{7}'), "{words}: {said}");
        assert!(said.contains("/auth/sso/callback"), "{said}");
    }
    let provider = Provider::start().await;
    provider.change(|s| s.discovery["code_challenge_methods_supported"] = json!(["plain"]));
    let (code, said) = check(home(&provider.url).path(), "home").await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("look at: the provider does not say that it checks PKCE"), "{said}");
}

#[tokio::test]
async fn a_name_that_no_provider_has_is_refused() {
    let folder = home("https://id.example.org");
    let (code, said) = check(folder.path(), "work").await;
    assert_eq!(
        (code, said.as_str()),
        (1, "gatelodge: there is no such provider; there are home\n")
    );
    let empty = tempfile::tempdir().expect("a folder");
    let (code, said) = check(empty.path(), "home").await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no provider is set"), "{said}");
}
