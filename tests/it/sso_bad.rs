//! Providers that are bad, slow, hostile or down: nobody comes in, and nothing is told of what
//! they sent.

use std::time::Duration;

use aws_lc_rs::hmac;
use gatelodge::domain::sso::SsoSettings;
use poem::http::Method;
use serde_json::{Value, json};

use super::{
    house::{Answer, House, START, kept_address, text},
    oidc_server::{Browser, Forge, Provider, Signing, State, Twist, forged, http, person, query},
};

const LOGIN: &str = "/auth/sso/login";
const DISCOVERY: &str = "/.well-known/openid-configuration";

#[track_caller]
fn refused(answer: &Answer, status: u16, words: &str) {
    let said = answer.json()["error"].as_str().expect("words").to_owned();
    assert_eq!(answer.status, status, "{said}");
    assert!(said.contains(words), "{words}: {said}");
}

async fn house_of(provider: &Provider) -> House {
    house_with(provider, SsoSettings::default().patience).await
}

async fn house_with(provider: &Provider, patience: Duration) -> House {
    let plan = provider.plan("home");
    let house = House::lived_in_with(|house| {
        plan(house);
        house.settings.sso.patience = patience;
        house.settings.throttle.max_attempts = 0;
    });
    house.await
}

async fn try_it(house: &House, provider: &Provider) -> Answer {
    let mut browser = Browser::new(house);
    let answer = browser.sign_in(provider, LOGIN, &person("kim")).await;
    let others = browser.cookies.keys().any(|name| name != "sso");
    assert_eq!(others, answer.status == 302, "a session only for who is let in");
    answer
}

#[tokio::test]
async fn a_token_that_says_the_wrong_thing_is_not_believed() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let twists: [(&str, Twist); 18] = [
        ("another issuer", |c| c["iss"] = json!("https://evil.example")),
        ("another issuer", |c| c["iss"] = json!(format!("{}/", text(&c["iss"])))),
        ("another issuer", |c| c["iss"] = Value::Null),
        ("for somebody else", |c| c["aud"] = json!("another")),
        ("for somebody else", |c| c["aud"] = json!(["another", "third"])),
        ("for somebody else", |c| c["aud"] = json!([])),
        ("for somebody else", |c| c["aud"] = Value::Null),
        ("given to somebody else", |c| c["aud"] = json!(["gatelodge", "another"])),
        ("given to somebody else", |c| c["azp"] = json!("another")),
        ("another sign-in", |c| c["nonce"] = json!("another")),
        ("another sign-in", |c| c["nonce"] = Value::Null),
        ("has expired", |c| c["exp"] = json!(START - 61)),
        ("has expired", |c| c["exp"] = Value::Null),
        ("has expired", |c| c["exp"] = json!("soon")),
        ("not valid yet", |c| c["nbf"] = json!(START + 120)),
        ("about nobody", |c| c["sub"] = json!("")),
        ("about nobody", |c| c["sub"] = json!("a".repeat(256))),
        ("about nobody", |c| c["sub"] = json!(7)),
    ];
    for (words, twist) in twists {
        provider.change(|state| state.twist = twist);
        refused(&try_it(&house, &provider).await, 403, words);
    }
    let fine: [Twist; 3] = [
        |c| c["aud"] = json!(["gatelodge"]),
        |c| {
            c["aud"] = json!(["gatelodge", "another"]);
            c["azp"] = json!("gatelodge");
        },
        |c| c["exp"] = json!(START - 30),
    ];
    for twist in fine {
        provider.change(|state| state.twist = twist);
        assert_eq!(try_it(&house, &provider).await.status, 302);
    }
}

fn hs256(signing: &Signing, claims: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &signing.public_bytes());
    let head = json!({"alg": "HS256", "kid": "1"});
    forged(&head, claims, |text| hmac::sign(&key, text).as_ref().to_vec())
}

#[tokio::test]
async fn a_token_that_nobody_of_the_provider_signed_is_not_believed() {
    let none: Forge = |_, claims| forged(&json!({"alg": "none"}), claims, |_| Vec::new());
    let upper: Forge = |_, claims| forged(&json!({"alg": "NONE", "kid": "1"}), claims, |_| vec![]);
    let unsigned: Forge = |signing, claims| {
        forged(&json!({"alg": signing.algorithm(), "kid": "1"}), claims, |_| Vec::new())
    };
    let other: Forge = |signing, claims| {
        let head = json!({"alg": signing.algorithm(), "kid": "1"});
        forged(&head, claims, |_| vec![7; 64])
    };
    let crit: Forge = |signing, claims| {
        let head = json!({"alg": signing.algorithm(), "kid": "1", "crit": ["exp"]});
        forged(&head, claims, |_| vec![7; 64])
    };
    let another_kind: Forge = |signing, claims| {
        let alg = if signing.algorithm() == "ES256" { "EdDSA" } else { "ES256" };
        forged(&json!({"alg": alg, "kid": "1"}), claims, |_| vec![7; 64])
    };
    let parts: Forge = |_, _| "a.b".to_owned();
    let words = "a.b.c.d";
    for signing in [Signing::rsa(), Signing::p256(), Signing::ed25519()] {
        let name = signing.algorithm();
        let provider = Provider::signing(signing).await;
        let house = house_of(&provider).await;
        for (why, forge) in [
            ("an algorithm other", none),
            ("an algorithm other", upper),
            ("an algorithm other", hs256 as Forge),
            ("signature is wrong", unsigned),
            ("signature is wrong", other),
            ("malformed", crit),
            ("unknown key", another_kind),
            ("malformed", parts),
            ("malformed", |_, _| "a.b.c.d".to_owned()),
            ("malformed", |_, _| "a".repeat(70_000)),
        ] {
            provider.change(|state| state.forge = Some(forge));
            let answer = try_it(&house, &provider).await;
            refused(&answer, 403, why);
            assert!(!answer.text().contains(words), "{name}: {}", answer.text());
        }
        provider.change(|state| state.forge = None);
        assert_eq!(try_it(&house, &provider).await.status, 302, "{name}");
    }
}

#[tokio::test]
async fn a_key_that_was_rotated_works_after_one_refresh_and_unknown_ones_cost_little() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    assert_eq!(try_it(&house, &provider).await.status, 302);
    let rotate = |state: &mut State, kid: &'static str| {
        state.signing = Signing::p256();
        state.kid = kid;
        state.published = vec![state.signing.written(kid)];
    };
    provider.change(|state| rotate(state, "2"));
    assert_eq!(try_it(&house, &provider).await.status, 302);
    assert_eq!(provider.asked("/jwks"), 2);
    // A key that is published nowhere: one refresh in ten seconds, however often it comes.
    provider.change(|state| state.kid = "3");
    for _ in 0..5 {
        refused(&try_it(&house, &provider).await, 403, "unknown key");
    }
    assert_eq!(provider.asked("/jwks"), 2, "a moment ago");
    house.clock.advance(Duration::from_secs(10));
    for _ in 0..5 {
        refused(&try_it(&house, &provider).await, 403, "unknown key");
    }
    assert_eq!(provider.asked("/jwks"), 3);
    house.clock.advance(Duration::from_secs(3600 - 60));
    provider.change(|state| state.kid = "2");
    provider.change(|state| state.twist = |claims| claims["exp"] = json!(START + 9000));
    assert_eq!(try_it(&house, &provider).await.status, 302);
    house.clock.advance(Duration::from_secs(3600));
    assert_eq!(try_it(&house, &provider).await.status, 302);
    assert_eq!((provider.asked(DISCOVERY), provider.asked("/jwks")), (4, 4), "once an hour");
}

#[tokio::test]
async fn a_provider_that_is_down_at_the_start_is_found_once_it_is_up() {
    let (_keeper, address) = kept_address();
    let plan = Provider::start().await.plan("home");
    let issuer = format!("http://{address}");
    let house = House::lived_in_with(|house| {
        plan(house);
        house.settings.sso.providers[0].issuer_url = issuer;
    });
    let house = house.await;
    let answer = house.get(LOGIN).send().await;
    refused(&answer, 503, "cannot be reached");
    assert_eq!(answer.header("retry-after"), "10");
    assert_eq!(house.get("/auth/sso/info").send().await.json()["enabled"], true);
    let provider = Provider::at(address).await;
    refused(&house.get(LOGIN).send().await, 503, "cannot be reached");
    assert_eq!(provider.asked(DISCOVERY), 0, "a failure is remembered for ten seconds");
    house.clock.advance(Duration::from_secs(10));
    assert_eq!(try_it(&house, &provider).await.status, 302);
    // Down again: who is known stays so, and the code cannot be exchanged.
    provider.change(|state| {
        state.replies.insert("/token", b"".to_vec());
    });
    refused(&try_it(&house, &provider).await, 503, "token answer cannot be reached");
}

/// For an answer that does not come. What comes has this long too, so it is not shorter.
const SHORT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_provider_that_does_not_answer_is_asked_once_however_many_give_up() {
    let provider = Provider::start().await;
    let plan = provider.plan("home");
    let house = House::lived_in_with(|house| {
        plan(house);
        house.settings.sso.patience = SHORT;
    });
    let house = house.await;
    provider.change(|state| state.hangs.push(DISCOVERY));
    // They click, see nothing, and click again.
    for _ in 0..8 {
        let given_up = tokio::time::timeout(Duration::from_millis(20), house.get(LOGIN).send());
        assert!(given_up.await.is_err(), "there is no answer so soon");
    }
    refused(&house.get(LOGIN).send().await, 503, "takes too long");
    assert_eq!(provider.asked(DISCOVERY), 1, "what the first one began went on to its end");
}

type Change = fn(&mut State);

fn reply(state: &mut State, path: &'static str, answer: Vec<u8>) {
    state.replies.insert(path, answer);
}

#[tokio::test]
async fn a_discovery_that_is_bad_slow_or_huge_lets_nobody_leave() {
    let cases: [(&str, Change); 15] = [
        ("another issuer", |s| s.discovery["issuer"] = json!("https://evil.example")),
        ("does not name its issuer", |s| s.discovery["issuer"] = Value::Null),
        ("name its authorization_endpoint", |s| {
            s.discovery["authorization_endpoint"] = json!(null)
        }),
        ("name its token_endpoint", |s| s.discovery["token_endpoint"] = Value::Null),
        ("name its jwks_uri", |s| s.discovery["jwks_uri"] = Value::Null),
        ("authorization_endpoint is no https", |s| {
            s.discovery["authorization_endpoint"] = json!("javascript:alert(1)");
        }),
        ("token_endpoint is no https", |s| {
            s.discovery["token_endpoint"] = json!("http://192.168.1.1/token");
        }),
        ("none of RS256", |s| {
            s.discovery["id_token_signing_alg_values_supported"] = json!(["HS256", "none"]);
        }),
        ("not the JSON", |s| reply(s, DISCOVERY, http("200 OK", b"<html>"))),
        ("not the JSON", |s| reply(s, DISCOVERY, http("200 OK", &b"[".repeat(60_000)))),
        ("comes with 302", |s| {
            let url = format!("302 Found\r\nLocation: {}/jwks", s.url);
            reply(s, DISCOVERY, http(&url, b""));
        }),
        ("comes with 500", |s| reply(s, DISCOVERY, http("500 Internal Server Error", b"{}"))),
        ("larger than 256 KiB", |s| {
            reply(s, DISCOVERY, http("200 OK", &vec![b' '; 300 * 1024]));
        }),
        ("takes too long", |s| s.hangs = vec![DISCOVERY]),
        ("key set is not the JSON", |s| reply(s, "/jwks", http("200 OK", b"{}"))),
    ];
    for (words, change) in cases {
        let provider = Provider::start().await;
        provider.change(change);
        let hangs = !provider.state.lock().expect("unpoisoned").hangs.is_empty();
        let house =
            if hangs { house_with(&provider, SHORT).await } else { house_of(&provider).await };
        let answer = house.get(LOGIN).send().await;
        refused(&answer, 503, words);
        assert_eq!(answer.header("set-cookie"), "");
        assert!(!answer.text().contains("127.0.0.1") && !answer.text().contains("evil"));
        assert_eq!(house.get("/health").send().await.status, 200);
    }
}

#[tokio::test]
async fn a_token_endpoint_that_is_bad_slow_or_huge_lets_nobody_in() {
    let cases: [(u16, &str, Change); 8] = [
        (503, "not the JSON", |s| reply(s, "/token", http("200 OK", b"{"))),
        (503, "id_token", |s| reply(s, "/token", http("200 OK", b"{\"access_token\":\"a\"}"))),
        (503, "comes with 500", |s| reply(s, "/token", http("500 Oh", b"{}"))),
        (503, "comes with 307", |s| reply(s, "/token", http("307 T\r\nLocation: /jwks", b""))),
        (503, "client id and secret", |s| reply(s, "/token", http("401 Unauthorized", b""))),
        (403, "the code", |s| {
            let body = b"{\"error\":\"invalid_grant\",\"error_description\":\"<b>secret</b>\"}";
            reply(s, "/token", http("400 Bad Request", body));
        }),
        (503, "larger than 256 KiB", |s| {
            reply(s, "/token", http("200 OK", &vec![b'a'; 300 * 1024]));
        }),
        (503, "larger than 256 KiB", |s| {
            let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b' '; 300 * 1024]].concat();
            reply(s, "/token", endless);
        }),
    ];
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    for (status, words, change) in cases {
        provider.change(|state| {
            state.replies.clear();
            change(state);
        });
        let answer = try_it(&house, &provider).await;
        refused(&answer, status, words);
        assert!(!answer.text().contains("<b>"), "what it sent is not repeated");
    }
    provider.change(|state| {
        state.replies.clear();
        state.hangs = vec!["/token"];
    });
    let house = house_with(&provider, SHORT).await;
    refused(&try_it(&house, &provider).await, 503, "token answer takes too long");
}

#[tokio::test]
async fn the_issuer_that_comes_back_must_be_the_one_that_was_left_for() {
    let provider = Provider::start().await;
    provider.change(|state| {
        state.discovery["authorization_response_iss_parameter_supported"] = json!(true);
    });
    let house = house_of(&provider).await;
    for (iss, status) in [
        (String::new(), 403),
        ("&iss=https%3A%2F%2Fevil.example".to_owned(), 403),
        (format!("&iss={}", provider.url.replace(':', "%3A").replace('/', "%2F")), 302),
    ] {
        let mut browser = Browser::new(&house);
        let location = browser.leave(LOGIN).await;
        let mut ticket = provider.approve(&location, &person("kim"));
        ticket.query += &iss;
        assert_eq!(browser.come_back(&ticket).await.status, status, "{iss}");
    }
}

#[tokio::test]
async fn who_changes_their_mind_at_the_provider_is_not_let_in_and_not_counted() {
    let provider = Provider::start().await;
    let house = House::lived_in_with(provider.plan("home")).await;
    for _ in 0..7 {
        let mut browser = Browser::new(&house);
        let state = query(&browser.leave(LOGIN).await)["state"].clone();
        let path = format!(
            "/auth/sso/callback?error=access_denied&error_description=%3Cb%3E&state={state}"
        );
        let answer = browser.get(&path).await;
        refused(&answer, 403, "the provider let nobody in");
        assert!(!answer.text().contains("<b>"));
    }
}

#[tokio::test]
async fn a_callback_answers_only_to_get_and_never_panics() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    for query in ["", "?", "?code=", "?state=%00", "?code=a&code=b", "?iss=%ff", "?error=%0d%0a"] {
        let answer = house.get(&format!("/auth/sso/callback{query}")).send().await;
        assert!([400, 403].contains(&answer.status), "{query}: {}", answer.status);
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = house.ask(method, "/auth/sso/callback").send().await;
        assert_eq!(answer.status, 405);
    }
}
