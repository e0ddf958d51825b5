//! Hostile cases: canonical form. What means the same is one thing, whatever its spelling; what
//! only looks the same is refused.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gatelodge::domain::{accounts::canonical, sign_up::RegistrationMode};
use serde_json::{Value, json};

use super::{
    hostile_binding::{register, token_of},
    house::{Answer, House, PASSWORD, Server, text},
};

async fn knock(house: &House, name: &str, proof: Value, from: &str) -> Answer {
    let mut body = json!({"username": name});
    body.as_object_mut().expect("an object").extend(proof.as_object().expect("one").clone());
    house.post("/api/v1/auth/session").json(&body).from(from).send().await
}

#[tokio::test]
async fn one_account_signs_in_by_every_spelling_that_means_it() {
    let house = House::lived_in().await;
    let right = json!({"password": PASSWORD});
    for name in ["bob", "BOB", "ｂｏｂ", "Bob@Example.ORG", "ｂｏｂ@example.org"] {
        let answer = knock(&house, name, right.clone(), "127.0.0.1").await;
        assert_eq!((answer.status, &answer.json()["user"]["username"]), (200, &json!("bob")));
    }
    for name in ["bob.", "bob ", " bob", "%62ob", "bob\u{0}", "bob@example.org."] {
        let answer = knock(&house, name, right.clone(), "10.0.0.9").await;
        assert!([401, 429].contains(&answer.status), "{name:?}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_name_of_a_megabyte_is_nobodys_and_is_never_folded() {
    let plan = |plan: &mut super::house::Plan| {
        plan.settings.registration = RegistrationMode::Open;
        plan.settings.throttle.max_attempts = 0;
    };
    let house = House::lived_in_with(plan).await;
    let ann = house.token("ann").await;
    // Three bytes that would become 33, twice.
    let name = "\u{FDFA}".repeat(300_000);
    assert!(canonical(&name) == name, "it was folded");
    assert!(canonical(&name[..1020]).len() > 10_000, "what may still be a name is folded");

    let wrong = json!({"password": "not-this-one"});
    for long in [name.clone(), format!("{name}@example.org"), "a".repeat(900_000)] {
        let unknown = knock(&house, "nobody", wrong.clone(), "127.0.0.1").await;
        let answer = knock(&house, &long, wrong.clone(), "127.0.0.1").await;
        assert_eq!(answer.problem(401, "unauthorized"), unknown.problem(401, "unauthorized"));
        let basic = house.get("/api/v1/user").basic(&long, "not-this-one").send().await;
        assert_eq!(basic.status, 401, "{}", basic.text());
        let forgot = house.post("/api/v1/auth/forgot-password").json(&json!({"email": long}));
        let forgot = forgot.send().await;
        let other = json!({"email": "nobody@example.org"});
        let other = house.post("/api/v1/auth/forgot-password").json(&other).send().await;
        assert_eq!((forgot.status, forgot.text()), (other.status, other.text()));
        let email = json!({"email": "other@example.org"});
        assert_eq!(register(&house, &long, email).await.status, 422);
        assert_eq!(register(&house, "other", json!({"email": long})).await.status, 422);
    }

    let look = async |q: &str| {
        let q: String = q.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let found = house.get(&format!("/api/v1/users?q={q}")).bearer(&ann).send().await;
        assert_eq!(found.status, 200, "{}", found.text());
        found.json()["total"].clone()
    };
    assert_eq!(look(&name[..9_000]).await, 0);
    assert_eq!(look("bob@example").await, 1);
    let shown = json!({"display_name": "\u{FDFA}".repeat(128)});
    let named = house.patch("/api/v1/user").bearer(&ann).json(&shown).send().await;
    assert_eq!(named.status, 200, "{}", named.text());
    assert_eq!(look(&name[..3 * 128]).await, 1, "the longest name is found by the whole of it");
}

#[tokio::test]
async fn a_name_that_only_looks_new_is_taken_or_refused() {
    let house =
        House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Open).await;
    for (name, email, status) in [
        ("BOB", "other@example.org", 409),
        ("ｂｏｂ", "other@example.org", 422),
        ("bob.", "other@example.org", 422),
        ("bob ", "other@example.org", 422),
        ("bob%00", "other@example.org", 422),
        ("other", "BOB@example.org", 409),
        ("other", "ｂｏｂ@example.org", 422),
        ("bob@example.org", "other@example.org", 422),
        ("Bob@Example.org", "bob@example.org", 409),
    ] {
        let answer = register(&house, name, json!({"email": email})).await;
        assert_eq!(answer.status, status, "{name:?} {email:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn an_address_cannot_stand_before_another_that_folds_to_it() {
    let house =
        House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Open).await;
    house.add("jess", "reader").await;
    let shadow = json!({"email": "jeß@example.org"});
    register(&house, "jeß@example.org", shadow.clone()).await.problem(422, "unprocessable");
    register(&house, "other", shadow).await.problem(422, "unprocessable");
    let right = json!({"password": PASSWORD});
    let answer = knock(&house, "jess@example.org", right, "127.0.0.1").await;
    assert_eq!(answer.json()["user"]["username"], "jess");
}

#[tokio::test]
async fn all_spellings_of_a_name_share_one_throttle() {
    let house = House::lived_in().await;
    let wrong = json!({"password": "not-this-one"});
    for name in ["bob", "BOB", "ｂｏｂ", "bob@example.org", "BOB@EXAMPLE.ORG"] {
        knock(&house, name, wrong.clone(), "10.0.0.9").await.problem(401, "unauthorized");
    }
    for name in ["bob", "Bob", "ann", "nobody"] {
        let answer = knock(&house, name, json!({"password": PASSWORD}), "10.0.0.9").await;
        answer.problem(429, "too_many_requests");
        assert_eq!(answer.header("retry-after"), "300");
    }
    let elsewhere = knock(&house, "bob", json!({"password": PASSWORD}), "10.0.0.8").await;
    assert_eq!(elsewhere.status, 200);
}

#[tokio::test]
async fn all_spellings_of_a_name_share_one_pin_lock_also_at_once() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let pin = json!({"current_password": PASSWORD, "pin": "2580"});
    assert_eq!(house.post("/api/v1/user/pin").bearer(&token).json(&pin).send().await.status, 200);
    let guesses: Vec<(String, &str)> = (0..5)
        .flat_map(|number| [(number, "bob"), (number, "bob@example.org")])
        .map(|(number, name)| (format!("10.0.{}.{number}", name.len()), name))
        .collect();
    let guesses = guesses.iter().map(|(from, name)| {
        let wrong = json!({"pin": "1111"});
        async { knock(&house, name, wrong, from).await.problem(401, "unauthorized") }
    });
    assert_eq!(futures_util::future::join_all(guesses).await.len(), 10);
    let right = json!({"pin": "2580"});
    let locked = knock(&house, "ＢＯＢ", right.clone(), "10.1.0.1").await;
    locked.problem(401, "unauthorized");
    house.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(knock(&house, "bob", right, "10.1.0.1").await.status, 200);
}

#[tokio::test]
async fn crooked_paths_lead_nowhere() {
    let house = House::lived_in().await;
    let token = house.token("ann").await;
    for path in [
        "/api/v1//user",
        "//api/v1/user",
        "/api/v1/user/",
        "/api/v1/./user",
        "/api/v1/auth/../user",
        "/openapi.json/../api/v1/user",
        "/api/v1/user;x=1",
        "/api/v1/user%2f",
        "/api/v1/user%00",
        "/api/v1/user%3fpage=1",
        "/API/v1/user",
        "/api/v1/..%2fv1/user",
        "/api/v1/user\\",
        "/api/v1/users/%2e%2e/user",
    ] {
        let stranger = house.get(path).send().await;
        assert!([400, 401, 404].contains(&stranger.status), "{path}: {}", stranger.status);
        let signed_in = house.get(path).bearer(&token).send().await;
        assert!([400, 404].contains(&signed_in.status), "{path}: {}", signed_in.status);
    }
    // These lie behind pair's door, where a native token is nobody's.
    for path in ["/api/v1%2fuser", "/api/V1/user"] {
        let signed_in = house.get(path).bearer(&token).send().await;
        assert_eq!(signed_in.json()["detail"], "invalid or expired token", "{path}");
    }
    for path in ["/api/v1", "/api/v1/", "/api/v1/libraries", "/api/v1//user"] {
        house.get(path).send().await.problem(401, "unauthorized");
        house.get(path).bearer(&token).send().await.problem(404, "not_found");
    }
}

#[test]
fn crooked_request_lines_get_no_answer_that_a_straight_one_would_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let body = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
    let made = server.json("POST", "/api/v1/setup/initialize", "", &body);
    let bearer = format!("Bearer {}", text(&made.json()["token"]));
    let absolute = format!("http://{}/api/v1/user", server.address);
    for (method, path) in [
        ("GET", "/api/v1/user"),
        ("get", "/api/v1/user"),
        ("GET", "/api/v1/user#fragment"),
        ("GET", "/api/v1/user?x#y"),
        ("GET", "/\\api/v1/user"),
        ("GET", "*"),
        ("TRACE", "/api/v1/user"),
        ("CONNECT", "/api/v1/user"),
        ("BREW", "/api/v1/user"),
        ("GET", absolute.as_str()),
        ("GET", "http://elsewhere.example.org/api/v1/user"),
    ] {
        let stranger = server.ask(method, path, &[], "").expect("an answer");
        assert!((400..500).contains(&stranger.status), "{method} {path}: {}", stranger.status);
    }
    for method in ["get", "Get", "BREW", "TRACE"] {
        let headers = [("Authorization", bearer.as_str())];
        let answer = server.ask(method, "/api/v1/user", &headers, "").expect("an answer");
        assert!([400, 404, 405].contains(&answer.status), "{method}: {}", answer.status);
    }
    assert_eq!(server.json("GET", "/api/v1/user", &bearer[7..], &Value::Null).status, 200);
}

#[tokio::test]
async fn hosts_are_compared_in_one_spelling_and_strange_ones_are_not_home() {
    for host in ["LOCALHOST", "localhost:8080", "[::1]:8080", "NAS.Local:80", "192.168.1.2"] {
        let house = House::new().await;
        let body = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
        let made = house.post("/api/v1/setup/initialize").header("host", host).json(&body);
        assert_eq!(made.send().await.status, 201, "{host}");
    }
    let house = House::new().await;
    for host in [
        "",
        "localhost.",
        "localhost.evil.example",
        "evil.example:80",
        "user@localhost",
        "localhost:80:80",
        "localhost:x",
        "127.0.0.1.evil.example",
        "203.0.113.5",
        "localhost/",
        "local",
        ".local",
    ] {
        let body = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
        let made = house.post("/api/v1/setup/initialize").header("host", host).json(&body);
        made.send().await.problem(403, "forbidden");
    }
    let body = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
    let two = house.post("/api/v1/setup/initialize").also("host", b"localhost").json(&body);
    two.send().await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_token_has_one_spelling_and_one_algorithm() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("not a JWT: {token}")
    };
    let claims = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    let claims = String::from_utf8(claims).expect("text");
    let written = |text: &str| URL_SAFE_NO_PAD.encode(text);
    // The last character of 32 bytes carries four bits; its three neighbours mean the same.
    let (front, last) = signature.split_at(signature.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).expect("a letter") ^ 1;
    let mut forged = vec![
        format!("{header}.{payload}.{front}{}", &alphabet[at..=at]),
        format!("{token}="),
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!("{token}.{signature}"),
        format!("{header}.{}.{signature}", written(&claims.replace("bob", "ann"))),
        format!(
            "{header}.{}.{signature}",
            written(&format!("{{\"exp\":9999999999,{}", &claims[1..]))
        ),
    ];
    for other in [
        r#"{"typ":"JWT","alg":"none"}"#,
        r#"{"typ":"JWT","alg":"hs256"}"#,
        r#"{"typ":"JWT","alg":"RS256"}"#,
        r#"{"typ":"JWT","alg":"HS256","alg":"none"}"#,
        r#"{"typ":"JWT","alg":"HS256","crit":["exp"]}"#,
        r#"{"typ":"JWT","alg":"HS256","kid":"../../dev/null"}"#,
    ] {
        forged.push(format!("{}.{payload}.{signature}", written(other)));
        forged.push(format!("{}.{payload}.", written(other)));
    }
    for token in forged {
        let answer = house.get("/api/v1/user").bearer(&token).send().await;
        answer.problem(401, "unauthorized");
    }
    assert_eq!(house.get("/api/v1/user").bearer(&token).send().await.status, 200);
}

#[tokio::test]
async fn keys_and_one_time_tokens_have_one_spelling() {
    let house = House::lived_in().await;
    let admin = house.token("ann").await;
    let made = house.post("/api/v1/api-keys").bearer(&admin).json(&json!({"name": "script"}));
    let key = text(&made.send().await.json()["key"]);
    let longer = format!("{key}a");
    for wrong in [&key.to_uppercase(), &key[..key.len() - 1], &longer, &format!("{key}%00")] {
        house
            .get("/api/v1/user")
            .header("x-api-key", wrong)
            .send()
            .await
            .problem(401, "unauthorized");
    }
    let id = text(&house.login("bob").await["user"]["id"]);
    let link = house.post(&format!("/api/v1/users/{id}/reset-link")).bearer(&admin).send().await;
    let token = token_of(&link.json()["link"]);
    let reset = async |token: &str| {
        let body = json!({"token": token, "new_password": "Chestnut-tree-8"});
        house.post("/api/v1/auth/reset-password").json(&body).send().await
    };
    let (upper, braced, bare) =
        (token.to_uppercase(), format!("{{{token}}}"), token.replace('-', ""));
    for wrong in [&upper, &braced, &bare, &format!("urn:uuid:{token}"), &format!("{token} ")] {
        reset(wrong).await.problem(400, "bad_request");
    }
    assert_eq!(reset(&token).await.status, 200);
}

#[tokio::test]
async fn a_key_that_stands_twice_in_json_is_refused() {
    let house = House::lived_in().await;
    for body in [
        format!(r#"{{"username":"nobody","username":"ann","password":"{PASSWORD}"}}"#),
        format!(r#"{{"username":"ann","password":"x","password":"{PASSWORD}"}}"#),
        format!(r#"{{"username":"ann","password":"x","\u0070assword":"{PASSWORD}"}}"#),
        format!(r#"{{"username":"ann","password":"{PASSWORD}"}}{{}}"#),
        format!(r#"{{"username":"ann","password":"{PASSWORD}","Password":"x"}}"#),
    ] {
        let answer = house.post("/api/v1/auth/login").raw("application/json", body).send().await;
        assert!([400, 422].contains(&answer.status), "{}", answer.text());
        assert!(!answer.text().contains(PASSWORD), "{}", answer.text());
    }
}
