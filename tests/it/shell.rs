//! What stands around every request: ids, headers, bounds, whom it believes.

use std::time::Duration;

use serde_json::json;

use super::house::{House, PASSWORD, text};

const MIB: usize = 1024 * 1024;
const LOGIN: &str = "/api/v1/auth/login";

/// A house with a trusted proxy in front.
async fn behind_a_proxy() -> House {
    House::lived_in_with(|plan| {
        let trusted = ["10.0.0.0/24", "192.0.2.1/32"];
        plan.http.surroundings.trusted_proxies =
            trusted.map(|network| network.parse().expect("a network")).to_vec();
    })
    .await
}

#[tokio::test]
async fn every_answer_carries_an_id_of_its_own_and_the_security_headers() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let answers = [
        (200, house.get("/").send().await),
        (200, house.get("/health").send().await),
        (200, house.get("/openapi.json").send().await),
        (200, house.get("/api/v1/user").bearer(&token).send().await),
        (401, house.get("/api/v1/user").send().await),
        (403, house.get("/api/v1/users").bearer(&token).send().await),
        (404, house.get("/nowhere").send().await),
        (404, house.get("/api/v1/nowhere").bearer(&token).send().await),
        (405, house.delete("/health").send().await),
        (400, house.post(LOGIN).raw("application/json", "{").send().await),
        (415, house.post(LOGIN).raw("text/plain", "{}").send().await),
        (413, house.post(LOGIN).raw("application/json", vec![b' '; MIB + 1]).send().await),
        (422, house.post(LOGIN).json(&json!({})).send().await),
        (403, house.post(LOGIN).header("origin", "https://evil.example").send().await),
    ];
    let mut ids = Vec::new();
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        assert!(!answer.header("cache-control").is_empty());
        let id = answer.header("x-request-id");
        assert!(id.len() >= 16 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        ids.push(id);
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "two answers share an id");
}

#[tokio::test]
async fn an_id_that_the_client_invents_is_not_taken_over() {
    let house = House::new().await;
    let answer = house.get("/health").header("x-request-id", "forged").send().await;
    assert!(answer.header("x-request-id").len() >= 16);
}

#[tokio::test]
async fn answers_with_tokens_are_not_stored() {
    let house = House::lived_in().await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let answer = house.post(LOGIN).json(&body).send().await;
    assert_eq!((answer.status, answer.header("cache-control").as_str()), (200, "no-store"));
}

#[tokio::test]
async fn https_is_asked_for_again_only_where_it_is_spoken() {
    let house = House::new().await;
    assert_eq!(house.get("/health").send().await.header("strict-transport-security"), "");
    let house = House::with(|plan| {
        plan.http.surroundings.public_url = Some("https://gate.example.org".to_owned());
    })
    .await;
    let answer = house.get("/health").send().await;
    assert!(answer.header("strict-transport-security").starts_with("max-age="));
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_bound_and_no_larger() {
    let house = House::lived_in().await;
    let body = json!({"username": "bob", "password": PASSWORD}).to_string();
    let fits = format!("{body}{}", " ".repeat(MIB - body.len()));
    let answer = house.post(LOGIN).raw("application/json", fits.clone()).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = house.post(LOGIN).raw("application/json", fits + " ").send().await;
    answer.problem(413, "bad_request");
}

#[tokio::test]
async fn a_compressed_body_is_refused_and_identity_is_none() {
    let house = House::lived_in().await;
    let body = json!({"username": "bob", "password": PASSWORD});
    for encoding in ["gzip", "br", "deflate", "identity, gzip"] {
        let ask = house.post(LOGIN).json(&body).header("content-encoding", encoding);
        ask.send().await.problem(415, "bad_request");
    }
    let plain = house.post(LOGIN).json(&body).header("content-encoding", "identity").send().await;
    assert_eq!(plain.status, 200);
}

#[tokio::test]
async fn an_unknown_path_is_hidden_from_strangers_and_unknown_to_the_others() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    for path in ["/api/v1", "/api/v1/", "/api/v1/libraries", "/api/v1/user/", "/api/v1//user"] {
        let stranger = house.get(path).send().await;
        stranger.problem(401, "unauthorized");
        assert!(stranger.header("www-authenticate").contains("Bearer"), "{path}");
        house.get(path).bearer(&token).send().await.problem(404, "not_found");
        house.get(path).bearer("x.y.z").send().await.problem(401, "unauthorized");
    }
    house.get("/nowhere").send().await.problem(404, "not_found");
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_refused_in_its_shape() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    house.delete("/api/v1/user").send().await.problem(401, "unauthorized");
    let signed_in = house.delete("/api/v1/user").bearer(&token).send().await;
    signed_in.problem(405, "bad_request");
    assert_eq!(signed_in.header("allow"), "GET, HEAD, PATCH");
    let one = house.post("/api/v1/api-keys/7").bearer(&token).send().await;
    assert_eq!((one.status, one.header("allow")), (405, "DELETE, GET, HEAD, PATCH".to_owned()));
    let health = house.post("/health").send().await;
    assert_eq!((health.status, &health.json()["status"]), (405, &json!("error")));
    assert_eq!(health.header("allow"), "GET, HEAD");
}

#[tokio::test]
async fn the_bucket_holds_sixty_requests_and_gains_twenty_a_second() {
    let house = House::lived_in_with(|plan| {
        plan.settings.throttle.requests_per_second = 20;
        plan.settings.throttle.burst = 60;
    })
    .await;
    let ask = |peer: &'static str| house.get("/api/v1/setup/status").from(peer).send();
    for _ in 0..60 {
        assert_eq!(ask("127.0.0.1").await.status, 200);
    }
    let refused = ask("127.0.0.1").await;
    refused.problem(429, "too_many_requests");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(!refused.header("x-request-id").is_empty());
    // Whatever path it asks for, strangers' and unknown ones too.
    house.get("/nowhere").send().await.problem(429, "too_many_requests");
    house.post(LOGIN).json(&json!({})).send().await.problem(429, "too_many_requests");
    for _ in 0..100 {
        assert_eq!(house.get("/health").send().await.status, 200, "health has no bucket");
    }
    assert_eq!(ask("127.0.0.2").await.status, 200, "others have their own");

    house.clock.advance(Duration::from_millis(100));
    for status in [200, 200, 429] {
        assert_eq!(ask("127.0.0.1").await.status, status);
    }
    house.clock.advance(Duration::from_secs(3600));
    for _ in 0..60 {
        assert_eq!(ask("127.0.0.1").await.status, 200);
    }
    assert_eq!(ask("127.0.0.1").await.status, 429, "it never holds more");
}

#[tokio::test]
async fn one_network_of_ipv6_shares_a_bucket() {
    let house = House::with(|plan| {
        plan.settings.throttle.requests_per_second = 1;
        plan.settings.throttle.burst = 2;
    })
    .await;
    let ask = |peer: &'static str| house.get("/").from(peer).send();
    assert_eq!(ask("2001:db8::1").await.status, 200);
    assert_eq!(ask("2001:db8::2").await.status, 200);
    assert_eq!(ask("2001:db8::3").await.status, 429);
    assert_eq!(ask("2001:db8:0:1::1").await.status, 200);
    assert_eq!(ask("::ffff:192.0.2.7").await.status, 200);
    assert_eq!(ask("192.0.2.7").await.status, 200);
    assert_eq!(ask("192.0.2.7").await.status, 429, "a mapped address is the address");
}

/// From where the newest session says that it came.
async fn address_of_a_login(house: &House, peer: &str, lines: &[&str]) -> String {
    let body = json!({"username": "bob", "password": PASSWORD});
    let ask = house.post(LOGIN).json(&body).from(peer);
    let ask = lines.iter().fold(ask, |ask, line| ask.also("x-forwarded-for", line.as_bytes()));
    let token = text(&ask.send().await.json()["token"]);
    let list = house.get("/api/v1/user/sessions").bearer(&token).send().await.json();
    let sessions = list["data"].as_array().cloned().unwrap_or_else(|| panic!("{list}"));
    let current = sessions.iter().find(|session| session["current"] == true);
    text(&current.unwrap_or_else(|| panic!("{list}"))["address"])
}

#[tokio::test]
async fn forwarded_addresses_are_believed_from_the_right_and_through_trusted_proxies_only() {
    let house = behind_a_proxy().await;
    for (peer, lines, client) in [
        ("10.0.0.1", &["203.0.113.7"][..], "203.0.113.7"),
        ("10.0.0.1", &["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", &["6.6.6.6", "203.0.113.7, 192.0.2.1"], "203.0.113.7"),
        ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", &["6.6.6.6, garbage"], "10.0.0.1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("203.0.113.9", &["6.6.6.6"], "203.0.113.9"),
        ("127.0.0.1", &["6.6.6.6"], "127.0.0.1"),
    ] {
        assert_eq!(address_of_a_login(&house, peer, lines).await, client, "{peer} {lines:?}");
    }
}

#[tokio::test]
async fn guesses_behind_a_proxy_count_for_their_client() {
    let house = behind_a_proxy().await;
    let guess = |client: &'static str, password: &'static str| {
        let body = json!({"username": "bob", "password": password});
        house.post(LOGIN).json(&body).from("10.0.0.1").header("x-forwarded-for", client).send()
    };
    for _ in 0..5 {
        guess("203.0.113.7", "Wrong-guess-1").await.problem(401, "unauthorized");
    }
    guess("203.0.113.7", PASSWORD).await.problem(429, "too_many_requests");
    assert_eq!(guess("203.0.113.8", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn guesses_with_invented_headers_count_for_their_peer() {
    let house = behind_a_proxy().await;
    let headers = ["x-forwarded-for", "x-real-ip", "forwarded", "x-forwarded-for", "x-real-ip"];
    for (number, header) in headers.into_iter().enumerate() {
        let body = json!({"username": "bob", "password": "Wrong-guess-1"});
        let ask = house.post(LOGIN).json(&body).from("203.0.113.9");
        let answer = ask.header(header, &format!("198.51.100.{number}")).send().await;
        answer.problem(401, "unauthorized");
    }
    let body = json!({"username": "bob", "password": PASSWORD});
    let ask = house.post(LOGIN).json(&body).from("203.0.113.9");
    ask.header("x-forwarded-for", "198.51.100.77").send().await.problem(429, "too_many_requests");
    assert_eq!(house.post(LOGIN).json(&body).from("203.0.113.10").send().await.status, 200);
}

#[tokio::test]
async fn a_forwarding_header_from_just_anybody_makes_the_request_public() {
    let house = House::new().await;
    let body = json!({"username": "ann", "email": "ann@example.org", "password": PASSWORD});
    for header in ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host"] {
        let ask = house.post("/api/v1/setup/initialize").json(&body);
        ask.header(header, "127.0.0.1").send().await.problem(403, "forbidden");
    }
    let made = house.post("/api/v1/setup/initialize").json(&body).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
}

#[tokio::test]
async fn pages_elsewhere_cannot_make_a_browser_change_anything() {
    let house = House::lived_in_with(|plan| {
        plan.http.surroundings.public_url = Some("https://gate.example.org".to_owned());
        plan.http.surroundings.allowed_origins = vec!["https://app.example.org".to_owned()];
    })
    .await;
    let post = |headers: &'static [(&'static str, &'static str)]| {
        let body = json!({"username": "bob", "password": PASSWORD});
        let ask = house.post(LOGIN).json(&body);
        headers.iter().fold(ask, |ask, (name, value)| ask.also(name, value.as_bytes())).send()
    };
    for passes in [
        &[][..],
        &[("origin", "http://localhost:8080")],
        &[("origin", "HTTP://LOCALHOST:8080")],
        &[("origin", "https://gate.example.org")],
        &[("origin", "https://gate.example.org:443")],
        &[("origin", "https://app.example.org"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
    ] {
        let answer = post(passes).await;
        assert_eq!(answer.status, 200, "{passes:?}: {}", answer.text());
    }
    for refused in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "")],
        &[("origin", "http://localhost:8081")],
        &[("origin", "http://localhost")],
        &[("origin", "http://gate.example.org")],
        &[("origin", "https://gate.example.org:8443")],
        &[("origin", "https://gate.example.org.evil.example")],
        &[("origin", "https://gate.example.org@evil.example")],
        &[("origin", "https://evil.example/https://gate.example.org")],
        &[("origin", "file://gate.example.org")],
        &[("origin", "https://gate.example.org"), ("origin", "https://evil.example")],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ] {
        post(refused).await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn the_cross_site_rule_holds_for_every_method_that_changes_something() {
    let house = House::lived_in().await;
    let token = house.token("ann").await;
    let foreign = "https://evil.example";
    for ask in [
        house.post("/api/v1/auth/logout"),
        house.put("/api/v1/users/x"),
        house.patch("/api/v1/user"),
        house.delete("/api/v1/user/sessions"),
    ] {
        let answer = ask.bearer(&token).header("origin", foreign).send().await;
        answer.problem(403, "forbidden");
    }
    for path in ["/api/v1/user", "/health", "/"] {
        let answer = house.get(path).bearer(&token).header("origin", foreign).send().await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
}

#[tokio::test]
async fn cookies_of_two_headers_are_read_as_one() {
    let house = House::lived_in().await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let signed_in = house.post("/api/v1/auth/session").json(&body).send().await;
    let cookie = signed_in.header("set-cookie");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    for lines in [["theme=dark", &cookie], [&cookie, "theme=dark"]] {
        let ask = house.get("/api/v1/user");
        let ask = lines.iter().fold(ask, |ask, line| ask.also("cookie", line.as_bytes()));
        let answer = ask.send().await;
        assert_eq!(answer.json()["username"], "bob", "{lines:?}");
    }
    let ask = house.get("/api/v1/user").also("cookie", b"theme=dark").also("cookie", b"other=1");
    ask.send().await.problem(401, "unauthorized");
}
