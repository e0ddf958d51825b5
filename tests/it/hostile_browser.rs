//! Hostile cases: browser. A page elsewhere makes the browser of somebody in the house ask.

use gatelodge::http::{client::Surroundings, documents};
use poem::http::Method;
use serde_json::{Value, json};

use super::house::{Answer, Ask, House, PASSWORD, Server, text};

/// What a browser says when a page that is not ours makes it ask.
const ELSEWHERE: [&[(&str, &str)]; 12] = [
    &[("origin", "https://evil.example")],
    &[("origin", "null")],
    &[("origin", "")],
    &[("origin", "http://localhost.evil.example")],
    &[("origin", "http://photos.localhost:8080")],
    &[("origin", "http://localhost:9090")],
    &[("origin", "http://localhost:8080@evil.example")],
    &[("origin", "file://localhost:8080")],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
    &[("origin", "null"), ("sec-fetch-site", "none")],
];

fn from_page<'a>(ask: Ask<'a>, page: &[(&'static str, &str)]) -> Ask<'a> {
    page.iter().fold(ask, |ask, (name, value)| ask.also(name, value.as_bytes()))
}

fn first_account() -> Value {
    json!({"username": "ann", "email": "a@example.org", "password": PASSWORD})
}

async fn is_empty(house: &House) -> bool {
    let status = house.get("/api/v1/setup/status").send().await.json();
    status["setup_required"] == true
}

#[tokio::test]
async fn a_page_elsewhere_cannot_make_the_first_account() {
    let house = House::new().await;
    for page in ELSEWHERE {
        for path in ["/api/v1/setup/initialize", "/api/v1/auth/register"] {
            let ask = from_page(house.post(path), page).json(&first_account());
            ask.send().await.problem(403, "forbidden");
        }
    }
    // A name of the page's own that leads to us (DNS rebinding) is not home either.
    let ask = house.post("/api/v1/setup/initialize").header("host", "evil.example");
    let ask = ask.header("origin", "http://evil.example").json(&first_account());
    ask.send().await.problem(403, "forbidden");
    assert!(is_empty(&house).await);
    let own = house.post("/api/v1/setup/initialize").header("origin", "http://localhost:8080");
    assert_eq!(own.json(&first_account()).send().await.status, 201);
}

#[tokio::test]
async fn a_page_elsewhere_cannot_act_for_somebody_who_is_signed_in() {
    let house = House::lived_in().await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let signed = house.post("/api/v1/auth/session").json(&body).send().await;
    let cookie = signed.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let change = json!({"current_password": PASSWORD, "new_password": "Chestnut-tree-8"});
    for page in ELSEWHERE {
        let ask = |method: Method, path: &str| {
            from_page(house.ask(method, path), page).header("cookie", &cookie)
        };
        let asks = [
            ask(Method::POST, "/api/v1/user/password").json(&change),
            ask(Method::POST, "/api/v1/auth/logout"),
            ask(Method::DELETE, "/api/v1/auth/session"),
            ask(Method::DELETE, "/api/v1/user/sessions"),
            ask(Method::POST, "/api/v1/auth/session").json(&body),
            ask(Method::POST, "/api/v1/api-keys").json(&json!({"name": "theirs"})),
        ];
        for ask in asks {
            let answer = ask.send().await;
            answer.problem(403, "forbidden");
            assert_eq!(answer.header("set-cookie"), "");
        }
    }
    assert_eq!(house.get("/api/v1/user").header("cookie", &cookie).send().await.status, 200);
    let own = house.post("/api/v1/auth/logout").header("cookie", &cookie);
    assert_eq!(own.header("sec-fetch-site", "same-origin").send().await.status, 200);
}

#[tokio::test]
async fn no_operation_that_changes_something_takes_it_from_a_page_elsewhere() {
    let house = House::lived_in().await;
    let mut tried = 0;
    for dialect in ["native", "pin", "pair", "signup", "gpodder"] {
        let document = documents::generate(dialect).expect("a document").expect("JSON");
        let document: Value = serde_json::from_str(&document).expect("JSON");
        for (path, item) in document["paths"].as_object().expect("paths") {
            let path: Vec<&str> =
                path.split('/').map(|part| if part.contains('{') { "bob" } else { part }).collect();
            for method in item.as_object().expect("operations").keys().filter(|m| *m != "get") {
                for page in [ELSEWHERE[0], ELSEWHERE[1], ELSEWHERE[8], ELSEWHERE[9]] {
                    let method: Method = method.to_uppercase().parse().expect("a method");
                    let ask = house.ask(method.clone(), &path.join("/")).basic("bob", PASSWORD);
                    let answer = from_page(ask, page).send().await;
                    assert_eq!(answer.status, 403, "{method} {path:?} {page:?}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

/// What a browser says to a name of an attacker that leads to us (DNS rebinding).
fn rebound<'a>(ask: Ask<'a>, host: &str) -> Ask<'a> {
    ask.header("host", host).header("origin", &format!("http://{host}"))
}

#[tokio::test]
async fn a_name_that_is_made_to_point_here_lists_nobody_and_tries_nothing() {
    let house = House::lived_in().await;
    let pin = json!({"current_password": PASSWORD, "pin": "4711"});
    let token = house.token("bob").await;
    let set = house.post("/api/v1/user/pin").bearer(&token).json(&pin).send().await;
    assert!(set.status < 300, "{}", set.text());
    let evil = "evil.example:8080";
    for host in [evil, "localhost.evil.example", "evil.fritz.box.example", "evil@localhost"] {
        let options = house.get("/api/v1/auth/options").header("host", host).send().await;
        assert_eq!(options.json()["pin_allowed"], false, "{host}");
        assert_eq!(options.json()["people"], json!([]), "{host}");
        assert_eq!(house.get("/users").header("host", host).send().await.status, 401, "{host}");
        let pin = house.post("/auth/login").json(&json!({"name": "bob", "pin": "4711"}));
        assert_eq!(pin.header("host", host).send().await.status, 401, "{host}");
    }
    // A simple program may say no name; a browser always does.
    let nameless = house.get("/users").header("host", "").send().await;
    assert_eq!(nameless.status, 200);
    // Nothing is tried, so that nothing counts against the household.
    for _ in 0..6 {
        let pin = house.post("/auth/login").json(&json!({"name": "bob", "pin": "0000"}));
        assert_eq!(rebound(pin, evil).send().await.status, 403);
        let wrong = json!({"username": "bob", "password": "Wrong-guess-1"});
        let login = house.post("/api/v1/auth/login").json(&wrong);
        let refused = rebound(login, evil).send().await;
        assert!(refused.problem(403, "forbidden").contains("server.public_url"));
        assert_eq!(refused.json()["reason"], "cross_site");
    }
    let near = [
        "localhost",
        "192.168.1.5:8080",
        "[::1]:8080",
        "nas",
        "nas.local",
        "nas.fritz.box",
        "nas.local.",
        "gate.localhost",
    ];
    for host in near {
        let pin = house.post("/auth/login").json(&json!({"name": "bob", "pin": "4711"}));
        assert_eq!(rebound(pin, host).send().await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn names_of_the_configuration_are_ours_on_plain_http_too() {
    let house = House::lived_in_with(|plan| {
        plan.http.surroundings = Surroundings {
            public_url: Some("http://gate.example.org".to_owned()),
            allowed_origins: vec!["http://start.example.org".to_owned()],
            ..Surroundings::default()
        };
    })
    .await;
    let body = json!({"username": "bob", "password": PASSWORD});
    for host in ["gate.example.org", "gate.example.org:8080", "start.example.org:8080"] {
        let login = rebound(house.post("/api/v1/auth/login").json(&body), host);
        assert_eq!(login.send().await.status, 200, "{host}");
        let options = house.get("/api/v1/auth/options").header("host", host).send().await;
        assert_eq!(options.json()["pin_allowed"], true, "{host}");
    }
    // From outside there is nothing to win by a name.
    let login = rebound(house.post("/api/v1/auth/login").json(&body), "other.example");
    assert_eq!(login.from("203.0.113.7").send().await.status, 200);
}

#[tokio::test]
async fn a_page_over_http_is_not_ours_where_the_browser_comes_by_https() {
    let house = House::lived_in_with(|plan| {
        plan.http.surroundings = Surroundings {
            trusted_proxies: vec!["10.0.0.1/32".parse().expect("a network")],
            ..Surroundings::default()
        };
    })
    .await;
    let login = async |proto: &str, origin: &str| {
        let body = json!({"username": "bob", "password": PASSWORD});
        let ask = house.post("/api/v1/auth/login").json(&body).from("10.0.0.1");
        let ask = ask.header("x-forwarded-for", "203.0.113.7").header("x-forwarded-proto", proto);
        let ask = ask.header("host", "gate.example.org").header("origin", origin);
        ask.send().await.status
    };
    assert_eq!(login("https", "https://gate.example.org").await, 200);
    assert_eq!(login("https", "http://gate.example.org").await, 403);
    assert_eq!(login("http", "http://gate.example.org").await, 200);
}

#[tokio::test]
async fn a_page_elsewhere_cannot_use_up_the_tries_of_the_household() {
    let house = House::lived_in().await;
    for site in ["cross-site", "same-site"] {
        for number in 0..6 {
            for path in ["/api/2/me", "/api/v1/user", "/api/change-password"] {
                let ask = house.get(path).basic(&format!("x{number}"), "Wrong-guess-1");
                let ask = ask.header("sec-fetch-site", site).header("sec-fetch-mode", "navigate");
                let answer = ask.send().await;
                let told = (answer.status, answer.header("www-authenticate").contains("Basic"));
                assert!([(401, false), (405, false)].contains(&told), "{path} {told:?}");
            }
        }
    }
    assert_eq!(house.get("/api/v1/user").basic("bob", PASSWORD).send().await.status, 200);
    // A page that may ask brings Basic along as ever.
    let own = house.get("/api/2/me").basic("bob", PASSWORD).header("sec-fetch-site", "same-origin");
    assert_ne!(own.send().await.status, 401);
}

#[tokio::test]
async fn pages_of_public_url_and_of_allowed_origins_may_ask_and_their_neighbours_not() {
    let house = House::lived_in_with(|plan| {
        plan.http.surroundings = Surroundings {
            public_url: Some("https://gate.example.org".to_owned()),
            allowed_origins: vec!["https://start.example.org:8443".to_owned()],
            ..Surroundings::default()
        };
    })
    .await;
    let login = async |origin: &str| -> Answer {
        let body = json!({"username": "bob", "password": PASSWORD});
        let ask = house.post("/api/v1/auth/login").json(&body).header("origin", origin);
        ask.header("sec-fetch-site", "same-site").send().await
    };
    for own in [
        "https://gate.example.org",
        "https://GATE.example.org:443",
        "https://start.example.org:8443",
    ] {
        assert_eq!(login(own).await.status, 200, "{own}");
    }
    for other in [
        "http://gate.example.org",
        "https://gate.example.org:8443",
        "https://start.example.org",
        "https://gate.example.org.evil.example",
        "https://agate.example.org",
        "https://example.org",
    ] {
        login(other).await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn a_form_of_another_site_is_not_json() {
    let house = House::lived_in().await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let signed = house.post("/api/v1/auth/session").json(&body).send().await;
    let cookie = signed.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let change = json!({"current_password": PASSWORD, "new_password": "Chestnut-tree-8"});
    for kind in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/jsonp",
        "text/json",
        "application",
    ] {
        for (path, body) in [
            ("/api/v1/setup/initialize", first_account()),
            ("/api/v1/auth/register", first_account()),
            ("/api/v1/auth/session", body.clone()),
            ("/api/v1/user/password", change.clone()),
        ] {
            let ask = house.post(path).raw(kind, body.to_string()).header("cookie", &cookie);
            let answer = ask.send().await;
            assert_eq!(answer.status, 415, "{path} {kind:?}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn two_firsts_at_once_make_one_admin() {
    let house = House::new().await;
    let firsts = (0..20).map(|number| {
        let body = json!({
            "username": format!("first{number}"),
            "email": format!("first{number}@example.org"),
            "password": PASSWORD,
        });
        let path = ["/api/v1/setup/initialize", "/api/v1/auth/register"][number % 2];
        house.post(path).json(&body).send()
    });
    let answers = futures_util::future::join_all(firsts).await;
    let made: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].json()["user"]["role"], "admin");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert!([403, 409].contains(&answer.status), "{}", answer.text());
    }
    let users = house.get("/api/v1/users").bearer(&text(&made[0].json()["token"])).send().await;
    assert_eq!(users.json()["total"], 1);
}

#[tokio::test]
async fn set_up_is_not_reopened_when_all_accounts_are_disabled_from_outside() {
    let house = House::lived_in().await;
    let database = rusqlite::Connection::open(house.database()).expect("the database");
    database.execute("UPDATE accounts SET status = 'disabled'", []).expect("an update");
    let token = house.core.setup_token_make().await.expect("a house").expect("a token");
    let body = json!({"username": "eve", "email": "e@example.org", "password": PASSWORD});
    let ask = || house.post("/api/v1/setup/initialize").json(&body);
    ask().send().await.problem(403, "forbidden");
    ask().header("x-setup-token", "guessed").send().await.problem(403, "forbidden");
    house.post("/api/v1/auth/register").json(&body).send().await.problem(403, "forbidden");
    let made = ask().header("x-setup-token", token.reveal()).send().await;
    assert_eq!((made.status, &made.json()["user"]["role"]), (201, &json!("admin")));
}

#[tokio::test]
async fn names_that_steer_the_text_around_them_are_refused() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    for bad in [
        "a\r\nBcc: x",
        "a\nb",
        "a\u{0}b",
        "a\u{1b}[31m",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{61c}b",
        "a\u{200f}b",
        "a\u{202e}b",
        "a\u{2028}b",
        "a\u{2066}b",
    ] {
        let change = json!({"display_name": bad});
        let named = house.patch("/api/v1/user").bearer(&token).json(&change).send().await;
        named.problem(422, "unprocessable");
        let key = house.post("/api/v1/api-keys").bearer(&token).json(&json!({"name": bad}));
        key.send().await.problem(422, "unprocessable");
    }
}

#[tokio::test]
async fn html_in_names_comes_back_as_json_that_no_browser_renders() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let html = "<script>alert('x')</script> & \"<b>\"";
    let change = json!({"display_name": html});
    let named = house.patch("/api/v1/user").bearer(&token).json(&change).send().await;
    assert_eq!((named.status, &named.json()["display_name"]), (200, &json!(html)));
    house.post("/api/v1/api-keys").bearer(&token).json(&json!({"name": html})).send().await;
    let body = json!({"username": "bob", "password": PASSWORD});
    let ask = house.post("/api/v1/auth/login").json(&body).header("user-agent", html);
    assert_eq!(ask.send().await.status, 200);
    for path in ["/api/v1/user", "/api/v1/api-keys", "/api/v1/user/sessions"] {
        let answer = house.get(path).bearer(&token).send().await;
        assert!(answer.json().to_string().contains("<script>"), "{path}");
        assert!(answer.header("content-type").starts_with("application/json"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
    }
    let admin = house.token("ann").await;
    let backup = house.post("/api/v1/system/backup").bearer(&admin).send().await;
    assert_eq!(backup.header("content-disposition"), "attachment; filename=\"gatelodge.db\"");
}

#[test]
fn what_a_client_sends_stays_on_its_own_line_of_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let hostile = [("User-Agent", "<b>\u{202e}"), ("X-Request-Id", "forged")];
    let path = "/api/v1/x%0d%0arequest%20id=forged%1b[31m%e2%80%ae";
    assert_eq!(server.ask("GET", path, &hostile, "").expect("an answer").status, 401);
    let body = json!({"username": "x\nrequest id=forged", "password": "x\u{1b}[31m"});
    assert_eq!(server.json("POST", "/api/v1/auth/login", "", &body).status, 401);
    let (_, log) = server.terminate();
    assert!(log.contains("path=\"/api/v1/x%0d%0a"), "{log}");
    assert!(
        !log.lines().any(|line| line
            .split_once(' ')
            .unwrap_or_default()
            .1
            .contains("request id=forged ")
            || line.starts_with("request id=forged")),
        "{log}"
    );
    assert!(log.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')), "{log}");
}
