//! The pages as the server sends them, and that looking at those that letters lead to changes
//! nothing.

use gatelodge::domain::sign_up::RegistrationMode;
use serde_json::{Value, json};

use super::{
    house::{Answer, House, PASSWORD, text},
    native_register::{letter, token_in},
};

const PAGES: [&str; 11] = [
    "/",
    "/setup",
    "/sign-in",
    "/verify",
    "/activate",
    "/reset",
    "/invite",
    "/register",
    "/account",
    "/admin/people",
    "/admin/roles/reader",
];
const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

async fn seen(house: &House, path: &str) -> Answer {
    house.get(path).header("accept", BROWSER).send().await
}

/// The files that a page names, as addresses from the root.
fn named(path: &str, html: &str) -> Vec<String> {
    let up = "../".repeat(path.matches('/').count() - 1);
    let named = html.split('"').filter(|part| part.contains("assets/"));
    let from_root = named.map(|part| part.strip_prefix(&up).expect("the way up to the root"));
    from_root.map(|part| format!("/{part}")).collect()
}

/// One of the files that the first page names.
async fn style_sheet(house: &House) -> String {
    let named = named("/", &seen(house, "/").await.text());
    named.into_iter().find(|name| name.ends_with("/style.css")).expect("a style sheet")
}

async fn info(house: &House, token: &str) -> Answer {
    house.post("/api/v1/auth/link").json(&json!({"token": token})).send().await
}

/// A house in which `cleo` waits for the letter that activates her, and its token.
async fn waiting() -> (House, String) {
    let house =
        House::lived_in_with(|plan| plan.settings.registration = RegistrationMode::Invite).await;
    let body = json!({"username": "cleo", "email": "cleo@example.org", "password": PASSWORD});
    assert_eq!(house.post("/api/v1/auth/register").json(&body).send().await.status, 201);
    let token = token_in(&letter(&house, "cleo@example.org").await.expect("a letter")["link"]);
    (house, token)
}

async fn status_of(house: &House, name: &str) -> Value {
    let ann = house.token("ann").await;
    let found = house.get(&format!("/api/v1/users?q={name}")).bearer(&ann).send().await.json();
    found["data"][0]["status"].clone()
}

#[tokio::test]
async fn the_root_is_a_page_for_browsers_and_json_for_programs() {
    let house = House::new().await;
    let page = seen(&house, "/").await;
    assert!(page.text().contains("<div id=\"app\">") && page.header("vary") == "Accept");
    for accept in ["", "*/*", "application/json"] {
        let answer = house.get("/").header("accept", accept).send().await;
        assert_eq!((answer.status, &answer.json()["message"]), (200, &json!("Gatelodge")));
        assert_eq!(answer.header("vary"), "Accept");
    }
}

#[tokio::test]
async fn pages_come_with_a_policy_that_lets_nothing_else_in() {
    let house = House::lived_in().await;
    for path in PAGES {
        let page = seen(&house, path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        let policy = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";
        assert_eq!(page.header("content-security-policy"), policy);
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("x-frame-options"), "DENY");
        let html = page.text();
        for forbidden in ["<style", " style=", "onclick", "onsubmit", "http://", "https://"] {
            assert!(!html.contains(forbidden), "{path} holds {forbidden}");
        }
        let scripts: Vec<_> = html.split("<script").skip(1).collect();
        assert_eq!(scripts.len(), 2, "{path}");
        for script in scripts {
            assert!(script.contains("src=\"") && script.contains("\"></script>"), "{path}");
        }
    }
}

#[tokio::test]
async fn every_file_that_a_page_names_is_there() {
    let house = House::lived_in().await;
    for path in PAGES.into_iter().chain(["/nowhere", "/a/b/c"]) {
        let named = named(path, &seen(&house, path).await.text());
        assert!(named.len() > 3, "{path} names {named:?}");
        for name in &named {
            let file = house.get(name).send().await;
            assert_eq!(file.status, 200, "{path}: {name}");
            let kind = match name.rsplit('.').next().expect("an end") {
                "js" => "text/javascript; charset=utf-8",
                "css" => "text/css; charset=utf-8",
                _ => "image/svg+xml",
            };
            assert_eq!(file.header("content-type"), kind, "{name}");
        }
    }
}

#[tokio::test]
async fn what_was_loaded_before_is_not_sent_again() {
    let house = House::lived_in().await;
    let asset = style_sheet(&house).await;
    for (path, keep) in [("/verify", "no-cache"), (&*asset, "public, max-age=31536000, immutable")]
    {
        let first = house.get(path).send().await;
        let tag = first.header("etag");
        assert!(tag.starts_with('"') && tag.len() > 16, "{tag}");
        assert_eq!(first.header("cache-control"), keep);
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}")] {
            let again = house.get(path).header("if-none-match", &known).send().await;
            assert_eq!((again.status, again.body.len()), (304, 0));
            assert_eq!(again.header("etag"), tag);
        }
        let other = house.get(path).header("if-none-match", "\"x\"").send().await;
        assert_eq!(other.status, 200);
        assert_eq!(house.ask(poem::http::Method::HEAD, path).send().await.status, 200);
    }
}

#[tokio::test]
async fn files_are_sent_compressed_to_those_who_take_it() {
    let house = House::lived_in().await;
    let asset = style_sheet(&house).await;
    let plain = house.get(&asset).send().await;
    assert_eq!(
        (plain.header("content-encoding"), plain.header("vary")),
        ("".to_owned(), "Accept-Encoding".to_owned())
    );
    for takes in ["gzip", "br, GZIP;q=0.5", "deflate, gzip, br, zstd"] {
        let packed = house.get(&asset).header("accept-encoding", takes).send().await;
        assert_eq!(packed.header("content-encoding"), "gzip", "{takes}");
        assert_eq!(packed.header("vary"), "Accept-Encoding");
        assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() * 2 < plain.body.len());
    }
    for takes in ["", "br", "gzip;q=0", "identity"] {
        let answer = house.get(&asset).header("accept-encoding", takes).send().await;
        assert_eq!(answer.body, plain.body, "{takes}");
    }
}

#[tokio::test]
async fn following_a_link_by_get_changes_nothing() {
    let (house, token) = waiting().await;
    for path in PAGES {
        for _ in 0..3 {
            let page = seen(&house, &format!("{path}?token={token}")).await;
            assert_eq!(page.status, 200);
            assert!(!page.text().contains(&token), "the page does not hold the token");
        }
        house.ask(poem::http::Method::HEAD, &format!("{path}?token={token}")).send().await;
        let posted = house.post(&format!("{path}?token={token}")).send().await;
        assert_eq!(posted.status, 405);
    }
    assert_eq!(status_of(&house, "cleo").await, "pending");
    assert_eq!(info(&house, &token).await.status, 200, "and neither does asking what it is for");
    assert_eq!(status_of(&house, "cleo").await, "pending");
    let body = json!({"token": token});
    let verified = house.post("/api/v1/auth/verify-email").json(&body).send().await;
    assert_eq!(verified.status, 200);
    assert_eq!(status_of(&house, "cleo").await, "active");
}

#[tokio::test]
async fn a_link_tells_whose_account_it_is_about() {
    let (house, token) = waiting().await;
    let told = info(&house, &token).await.json();
    let wanted = json!({
        "purpose": "activate", "username": "cleo", "email": "cleo@example.org", "role": null,
        "has_password": true, "expires_at": "2026-01-02T00:00:00Z",
    });
    assert_eq!(told, wanted);

    let ann = house.token("ann").await;
    let body = json!({"role": "maintainer", "email": "dan@example.org"});
    let made = house.post("/api/v1/invitations").bearer(&ann).json(&body).send().await.json();
    let told = info(&house, &token_in(&made["link"])).await.json();
    let got = [&told["purpose"], &told["email"], &told["role"], &told["username"]];
    assert_eq!(json!(got), json!(["invitation", "dan@example.org", "maintainer", null]));
    let path = format!("/api/v1/invitations/{}", text(&made["id"]));
    assert_eq!(house.delete(&path).bearer(&ann).send().await.status, 204);
    info(&house, &token_in(&made["link"])).await.problem(400, "bad_request");

    let users = house.get("/api/v1/users?q=bob").bearer(&ann).send().await.json();
    let path = format!("/api/v1/users/{}", text(&users["data"][0]["id"]));
    let link = house.post(&format!("{path}/reset-link")).bearer(&ann).send().await.json();
    let token = token_in(&link["link"]);
    let told = info(&house, &token).await.json();
    assert_eq!(json!([told["purpose"], told["username"]]), json!(["reset-password", "bob"]));
    let off = json!({"status": "disabled"});
    assert_eq!(house.patch(&path).bearer(&ann).json(&off).send().await.status, 200);
    info(&house, &token).await.problem(400, "bad_request");
}

#[tokio::test]
async fn a_link_that_is_unknown_used_or_old_tells_nothing() {
    let (house, token) = waiting().await;
    for bad in ["", "x", "7c9e6679-7425-40de-944b-e07fc1f90ae7", &token.to_uppercase()] {
        let said = info(&house, bad).await.problem(400, "bad_request");
        assert_eq!(said, "the link is not valid or no longer valid");
    }
    let told = info(&house, &token).await;
    assert_eq!(told.header("cache-control"), "no-store");
    house.clock.advance(std::time::Duration::from_secs(24 * 3600));
    info(&house, &token).await.problem(400, "bad_request");
}

#[tokio::test]
async fn an_unknown_page_is_a_page_for_a_browser_and_json_for_a_program() {
    let house = House::lived_in().await;
    for path in [
        "/nowhere",
        "/verify/",
        "/assets/none.css",
        "/assets/../app/shell.html",
        "/a/b/c",
        "/admin/x",
    ] {
        let page = seen(&house, path).await;
        assert_eq!(page.status, 404, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert!(page.text().contains("There is no such page"), "{path}");
        assert!(page.header("content-security-policy").contains("style-src 'self'"));
        let program = house.get(path).header("accept", "application/json").send().await;
        program.problem(404, "not_found");
        house.get(path).send().await.problem(404, "not_found");
    }
    let api = seen(&house, "/api/v1/nowhere").await;
    api.problem(401, "unauthorized");
}

#[tokio::test]
async fn pages_are_outside_the_bucket_and_gone_with_native() {
    let house = House::lived_in_with(|plan| {
        plan.settings.throttle.requests_per_second = 1;
        plan.settings.throttle.burst = 1;
    })
    .await;
    let [_, pages @ ..] = PAGES;
    let asset = style_sheet(&house).await;
    for path in pages.into_iter().chain([&*asset]).cycle().take(40) {
        assert_eq!(seen(&house, path).await.status, 200);
    }
    let house = House::lived_in_with(|plan| plan.http.dialects.native = false).await;
    for path in pages.into_iter().chain([&*asset]) {
        assert_eq!(seen(&house, path).await.status, 404);
    }
    assert_eq!(seen(&house, "/").await.json()["message"], "Gatelodge");
}
