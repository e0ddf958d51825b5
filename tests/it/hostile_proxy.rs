//! Hostile cases: headers and the proxy.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use gatelodge::http::client::Surroundings;
use serde_json::{Value, json};

use super::house::{Answer, House, PASSWORD, Plan, Server, text};

const FORWARDING: [(&str, &str); 5] = [
    ("x-forwarded-for", "203.0.113.7"),
    ("forwarded", "for=203.0.113.7;proto=https;host=gate.example.org"),
    ("x-real-ip", "203.0.113.7"),
    ("x-forwarded-host", "localhost"),
    ("x-forwarded-proto", "https"),
];

async fn wrong_password(house: &House, from: &str, headers: &[(&'static str, &str)]) -> Answer {
    let body = json!({"username": "bob", "password": "not-this-one"});
    let ask = house.post("/api/v1/auth/login").json(&body).from(from);
    let ask = headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
    ask.send().await
}

/// A proxy at 10.0.0.1, and one before it in a network of its own.
fn proxied(plan: &mut Plan) {
    let networks = ["10.0.0.1/32", "192.0.2.0/24"].map(|net| net.parse().expect("a network"));
    plan.http.surroundings =
        Surroundings { trusted_proxies: networks.to_vec(), ..Surroundings::default() };
}

async fn behind_proxies() -> House {
    House::lived_in_with(proxied).await
}

async fn addresses(house: &House, name: &str) -> Vec<String> {
    let token = house.token(name).await;
    let sessions = house.get("/api/v1/user/sessions").bearer(&token).send().await.json();
    let sessions = sessions["data"].as_array().expect("sessions").clone();
    sessions.iter().map(|session| text(&session["address"])).collect()
}

#[tokio::test]
async fn forwarding_headers_of_an_untrusted_peer_give_no_new_address() {
    let house = House::lived_in().await;
    for number in 0..5 {
        let invented = format!("198.51.100.{number}");
        let (name, _) = FORWARDING[number % 3];
        let answer = wrong_password(&house, "10.0.0.9", &[(name, &invented)]).await;
        answer.problem(401, "unauthorized");
    }
    for (name, value) in FORWARDING {
        let answer = wrong_password(&house, "10.0.0.9", &[(name, value)]).await;
        answer.problem(429, "too_many_requests");
    }
    // Whom they named is not locked out in their stead.
    wrong_password(&house, "203.0.113.7", &[]).await.problem(401, "unauthorized");
    let body = json!({"username": "ann", "password": PASSWORD});
    let ask = house.post("/api/v1/auth/login").json(&body).from("10.0.0.7");
    assert_eq!(ask.header("x-forwarded-for", "198.51.100.9").send().await.status, 200);
    let seen = addresses(&house, "ann").await;
    assert!(seen.contains(&"10.0.0.7".to_owned()) && !seen.contains(&"198.51.100.9".to_owned()));
}

#[tokio::test]
async fn a_forwarding_header_of_an_untrusted_peer_is_not_from_inside_the_house() {
    for (name, value) in FORWARDING {
        let house = House::new().await;
        let body = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
        let made = house.post("/api/v1/setup/initialize").header(name, value).json(&body);
        made.send().await.problem(403, "forbidden");

        let house = House::lived_in().await;
        let token = house.token("bob").await;
        let pin = json!({"current_password": PASSWORD, "pin": "2580"});
        house.post("/api/v1/user/pin").bearer(&token).json(&pin).send().await;
        let knock = json!({"username": "bob", "pin": "2580"});
        let ask = || house.post("/api/v1/auth/session").json(&knock);
        ask().header(name, "10.0.0.2").send().await.problem(401, "unauthorized");
        let inside = ask().send().await;
        assert_eq!(inside.status, 200);
        let pad = async |value: &str| {
            let options = house.get("/api/v1/auth/options").header(name, value).send().await;
            options.json()["people"].as_array().expect("people").len()
        };
        assert_eq!((pad("10.0.0.2").await, pad("").await), (0, 1));
    }
}

#[tokio::test]
async fn a_trusted_proxy_that_tells_of_nobody_makes_no_first_account() {
    let body = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
    let house = House::with(proxied).await;
    let made = async |from: &str| {
        house.post("/api/v1/setup/initialize").json(&body).from(from).send().await
    };
    made("10.0.0.1").await.problem(403, "forbidden");
    let options = house.get("/api/v1/auth/options").from("10.0.0.1").send().await.json();
    assert_eq!(options["setup_token_required"], true);
    assert_eq!(made("10.0.0.2").await.status, 201);
}

#[tokio::test]
async fn a_proxy_that_names_only_another_proxy_opens_nothing_that_is_for_the_house() {
    let house = House::lived_in_with(|plan| {
        let networks = ["10.0.0.1/32", "10.0.0.9/32"].map(|net| net.parse().expect("a network"));
        plan.http.surroundings =
            Surroundings { trusted_proxies: networks.to_vec(), ..Surroundings::default() };
    })
    .await;
    let people = async |hops: &str| {
        let ask = house.get("/users").from("10.0.0.1").header("x-forwarded-for", hops);
        ask.send().await.status
    };
    for hops in
        ["", "10.0.0.9", "unknown, 10.0.0.9", "203.0.113.5, unknown, 10.0.0.9", "203.0.113.5"]
    {
        assert_eq!(people(hops).await, 401, "{hops}");
    }
    assert_eq!(people("192.168.1.7, 10.0.0.9").await, 200);
}

#[tokio::test]
async fn an_untrusted_peer_cannot_claim_https() {
    let house = behind_proxies().await;
    let cookie = async |from: &str| {
        let body = json!({"username": "bob", "password": PASSWORD});
        let ask = house.post("/api/v1/auth/session").json(&body).from(from);
        ask.header("x-forwarded-proto", "https").send().await.header("set-cookie")
    };
    let plain = cookie("10.0.0.9").await;
    assert!(plain.starts_with("session=") && !plain.contains("Secure"), "{plain}");
    let secure = cookie("10.0.0.1").await;
    assert!(secure.starts_with("__Host-session=") && secure.contains("; Secure"), "{secure}");
    assert!(secure.contains("; HttpOnly; Path=/; SameSite=Lax"), "{secure}");
}

#[tokio::test]
async fn of_a_trusted_proxy_only_the_right_most_untrusted_hop_counts() {
    let house = behind_proxies().await;
    for number in 0..5 {
        // The left part is the client's own invention.
        let hops = format!("198.51.100.{number}, 203.0.113.7, 192.0.2.8");
        let answer = wrong_password(&house, "10.0.0.1", &[("x-forwarded-for", &hops)]).await;
        answer.problem(401, "unauthorized");
    }
    for hops in ["203.0.113.7", "10.0.0.1, 203.0.113.7", "::ffff:203.0.113.7, 192.0.2.9"] {
        let answer = wrong_password(&house, "10.0.0.1", &[("x-forwarded-for", hops)]).await;
        answer.problem(429, "too_many_requests");
    }
    // Other headers of the same meaning are not believed even from there.
    let other = [("x-forwarded-for", "203.0.113.8"), ("x-real-ip", "203.0.113.7")];
    wrong_password(&house, "10.0.0.1", &other).await.problem(401, "unauthorized");
    let other = [("x-forwarded-for", "203.0.113.8"), ("forwarded", "for=203.0.113.7")];
    wrong_password(&house, "10.0.0.1", &other).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn an_ipv6_household_is_one_client() {
    let house = House::lived_in().await;
    for number in 0..5 {
        let from = format!("2001:db8:1:2:{number}::1");
        wrong_password(&house, &from, &[]).await.problem(401, "unauthorized");
    }
    wrong_password(&house, "2001:db8:1:2:ffff::9", &[]).await.problem(429, "too_many_requests");
    wrong_password(&house, "2001:db8:1:3::1", &[]).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn identity_headers_of_the_client_mean_nothing() {
    let house = House::lived_in().await;
    for name in [
        "remote-user",
        "remote_user",
        "x-remote-user",
        "x-forwarded-user",
        "x-auth-request-user",
        "x-webauth-user",
        "x-authentik-username",
        "x-original-url",
    ] {
        let answer = house.get("/api/v1/user").header(name, "ann").send().await;
        answer.problem(401, "unauthorized");
    }
    // Nor does another path or method that a header names.
    let token = house.token("bob").await;
    for (name, value) in [
        ("x-original-url", "/api/v1/users"),
        ("x-rewrite-url", "/api/v1/users"),
        ("x-http-method-override", "DELETE"),
    ] {
        let answer = house.get("/api/v1/user").bearer(&token).header(name, value).send().await;
        assert_eq!((answer.status, &answer.json()["username"]), (200, &json!("bob")));
    }
}

#[tokio::test]
async fn a_malformed_credential_is_a_refusal_even_beside_a_good_one() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let signed = house.post("/api/v1/auth/session").json(&body).send().await;
    let cookie = signed.header("set-cookie");
    let cookie = cookie.split(';').next().expect("a cookie");
    let me = || house.get("/api/v1/user");
    assert_eq!(me().header("cookie", cookie).send().await.status, 200);

    let bearer = format!("Bearer {token}");
    for bad in [
        &b""[..],
        b"Bearer",
        b"Bearer ",
        b"Bearer  ",
        b"Bearer \xff\xfe",
        b"Bearer a b",
        b"Basic",
        b"Basic %%%",
        b"Basic Ym9i",
        b"Basic /////w==",
        b"Digest username=\"bob\"",
        b"bob",
        b"\xc3\xa9",
        token.as_bytes(),
        format!("Token {token}").as_bytes(),
        format!("Bearer Bearer {token}").as_bytes(),
        format!("{bearer}, {bearer}").as_bytes(),
    ] {
        // A good cookie does not make up for a credential that comes first and is wrong.
        let answer = me().also("authorization", bad).header("cookie", cookie).send().await;
        assert_eq!(answer.status, 401, "{bad:?}: {}", answer.text());
    }
    let twice = me().bearer(&token).also("authorization", bearer.as_bytes()).send().await;
    twice.problem(401, "unauthorized");
    let key_first = me().header("x-api-key", "nonsense").header("cookie", cookie).send().await;
    key_first.problem(401, "unauthorized");
    let bytes = me().also("x-api-key", b"\xff").header("cookie", cookie).send().await;
    bytes.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_malformed_cookie_is_a_refusal() {
    let house = House::lived_in().await;
    let value = "a".repeat(64);
    for bad in [
        &b"session"[..],
        b"session=",
        b"=",
        b";;;=;",
        b"session=\xff\xfe",
        b"session=\"quoted\"",
        b"session=%00",
        b"Session=x; SESSION=y",
        b"__Host-session=x",
        format!("session={value}; session={value}").as_bytes(),
        format!("session={value}; Path=/").as_bytes(),
        &[b'a'; 4096],
    ] {
        let answer = house.get("/api/v1/user").also("cookie", bad).send().await;
        answer.problem(401, "unauthorized");
        let out = house.delete("/api/v1/auth/session").also("cookie", bad).send().await;
        out.problem(401, "unauthorized");
    }
}

#[tokio::test]
async fn headers_that_are_not_text_are_answered_like_any_other() {
    let house = House::lived_in().await;
    for name in [
        "accept",
        "content-length",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "last-event-id",
        "origin",
        "sec-fetch-site",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-setup-token",
    ] {
        let ask = house.get("/api/v1/user").header(name, "").also(name, b"\xff\xfe\x80");
        assert_eq!(ask.send().await.status, 401, "{name}");
        let body = json!({"username": "bob", "password": PASSWORD}).to_string();
        let ask = house.post("/api/v1/auth/login").raw("application/json", body);
        let status = ask.header(name, "").also(name, b"\xff\xfe\x80").send().await.status;
        assert!([200, 403, 413, 415].contains(&status), "{name}: {status}");
    }
    let token = house.token("bob").await;
    assert_eq!(house.get("/api/v1/user").bearer(&token).send().await.status, 200);
}

#[test]
fn headers_and_urls_beyond_the_limit_are_refused_and_others_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let long = "a".repeat(64 * 1024);
    let many: String = (0..400).map(|number| format!("X-{number}: y\r\n")).collect();
    let heads = [
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{long}: x\r\n\r\n"),
        "GET /health\r\n\r\n".to_owned(),
        "GET /\u{0} HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: localhost\r\nA\u{0}b: c\r\n\r\n".to_owned(),
        "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
            .to_owned(),
        "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_owned(),
    ];
    for head in heads {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        let mut answer = Vec::new();
        // The server may hang up before it has read everything.
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.read_to_end(&mut answer);
        let line = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
        assert!(line.is_empty() || line.starts_with("HTTP/1.1 4"), "{line}");
        assert_eq!(server.json("GET", "/health", "", &Value::Null).status, 200);
    }
}
