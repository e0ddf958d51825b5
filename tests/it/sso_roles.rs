//! Groups give roles at each sign-in, as far as the configuration maps them.

use serde_json::{Value, json};

use super::{
    house::{House, PASSWORD, text},
    oidc_server::{Browser, Provider, person},
};

const LOGIN: &str = "/auth/sso/login";

/// A house without anybody but `ann`, whose provider maps two groups.
async fn house_of(provider: &Provider) -> House {
    let plan = provider.plan("home");
    let house = House::with(|house| {
        plan(house);
        let pairs = [("staff", "maintainer"), ("guests", "developer"), ("lost", "nowhere")];
        let mapping = pairs.map(|(group, role)| (group.to_owned(), role.to_owned()));
        house.settings.sso.providers[0].role_mapping = mapping.to_vec();
        house.settings.sso.providers[0].admin_group = Some("admins".to_owned());
    });
    let house = house.await;
    house.add("ann", "admin").await;
    house
}

async fn sign_in<'a>(
    house: &'a House,
    provider: &Provider,
    name: &str,
    groups: Value,
) -> Browser<'a> {
    let mut claims = person(name);
    claims["groups"] = groups;
    let mut browser = Browser::new(house);
    let answer = browser.sign_in(provider, LOGIN, &claims).await;
    assert_eq!(answer.status, 302, "{}", answer.text());
    browser
}

async fn role(house: &House, provider: &Provider, name: &str, groups: Value) -> String {
    text(&sign_in(house, provider, name, groups).await.user().await["role"])
}

#[tokio::test]
async fn groups_give_a_role_and_take_it_back_at_each_sign_in() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    for (groups, expected) in [
        (json!([]), "reader"),
        (json!(["guests"]), "developer"),
        (json!(["guests", "staff"]), "maintainer"),
        (json!("guests"), "developer"),
        (json!(["admins", "guests"]), "admin"),
        (json!(["Admins", "admins ", "STAFF"]), "reader"),
        (json!(["lost"]), "reader"),
        (json!({"admins": true}), "reader"),
        (json!(["admin", "administrator"]), "reader"),
        (json!(["staff"]), "maintainer"),
        (Value::Null, "reader"),
    ] {
        assert_eq!(role(&house, &provider, "kim", groups.clone()).await, expected, "{groups}");
    }
}

#[tokio::test]
async fn a_role_that_a_provider_gives_ends_the_links_that_were_made_before() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let kim = sign_in(&house, &provider, "kim", json!([])).await.user().await;
    let admin = house.token("ann").await;
    let path = format!("/api/v1/users/{}/reset-link", text(&kim["id"]));
    for (groups, status) in [(json!([]), 200), (json!(["staff"]), 400)] {
        let link = house.post(&path).bearer(&admin).send().await.json();
        let link = text(&link["link"]);
        let token = link.split("token=").nth(1).expect("a token");
        sign_in(&house, &provider, "kim", groups).await;
        let body = json!({"token": token, "new_password": PASSWORD});
        let followed = house.post("/api/v1/auth/reset-password").json(&body).send().await;
        assert_eq!(followed.status, status, "{}", followed.text());
    }
}

#[tokio::test]
async fn another_role_ends_what_was_carried_before() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut admin = sign_in(&house, &provider, "kim", json!(["admins"])).await;
    assert_eq!(admin.get("/api/v1/users").await.status, 200);
    let mut reader = sign_in(&house, &provider, "kim", json!([])).await;
    assert_eq!(admin.get("/api/v1/users").await.status, 401);
    assert_eq!(reader.get("/api/v1/users").await.status, 403);
}

#[tokio::test]
async fn a_role_that_somebody_of_the_house_gave_is_not_taken_by_a_provider() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut kim = sign_in(&house, &provider, "kim", json!([])).await;
    let path = format!("/api/v1/users/{}", text(&kim.user().await["id"]));
    let token = house.token("ann").await;
    let ask = house.patch(&path).bearer(&token).json(&json!({"role": "maintainer"}));
    assert_eq!(ask.send().await.status, 200);
    assert_eq!(role(&house, &provider, "kim", json!([])).await, "maintainer");
    assert_eq!(role(&house, &provider, "kim", json!(["guests"])).await, "maintainer");
    assert_eq!(role(&house, &provider, "kim", json!(["admins"])).await, "admin");
    assert_eq!(role(&house, &provider, "kim", json!([])).await, "reader", "what it gave, it takes");
}

#[tokio::test]
async fn the_last_active_admin_is_not_demoted_by_a_provider() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut kim = sign_in(&house, &provider, "kim", json!(["admins"])).await;
    let users = kim.get("/api/v1/users?q=ann").await.json();
    let path = format!("/api/v1/users/{}", text(&users["data"][0]["id"]));
    let ask = house.patch(&path).json(&json!({"status": "disabled"}));
    assert_eq!(kim.send(ask).await.status, 200);
    let mut again = sign_in(&house, &provider, "kim", json!([])).await;
    assert_eq!(again.user().await["role"], "admin");
    assert_eq!(kim.get("/api/v1/user").await.status, 200, "nothing has changed");
    let ask = house.patch(&path).json(&json!({"status": "active"}));
    assert_eq!(again.send(ask).await.status, 200);
    assert_eq!(role(&house, &provider, "kim", json!([])).await, "reader");
}

#[tokio::test]
async fn a_role_goes_with_the_link_that_gave_it() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    let mut kim = sign_in(&house, &provider, "kim", json!(["staff"])).await;
    let ask = house.post("/api/v1/user/password").json(&json!({"new_password": PASSWORD}));
    assert_eq!(kim.send(ask).await.status, 200);
    let identities = kim.get("/api/v1/user/identities").await.json();
    let path = format!("/api/v1/user/identities/{}", text(&identities["data"][0]["id"]));
    let ask = house.delete(&path);
    assert_eq!(kim.send(ask).await.status, 204);
    assert_eq!(house.login("kim").await["user"]["role"], "reader");
}

#[tokio::test]
async fn without_a_mapping_groups_mean_nothing() {
    let provider = Provider::start().await;
    let house = House::lived_in_with(provider.plan("home")).await;
    for groups in [json!(["admin", "admins", "maintainer"]), json!(["admin"])] {
        assert_eq!(role(&house, &provider, "kim", groups).await, "reader");
    }
    let claims = json!({"role": "admin", "permissions": ["system-admin"], "is_admin": true});
    let mut kim = person("kim");
    for (name, value) in claims.as_object().expect("claims") {
        kim[name] = value.clone();
    }
    let mut browser = Browser::new(&house);
    browser.sign_in(&provider, LOGIN, &kim).await;
    assert_eq!(browser.user().await["role"], "reader");
}

#[tokio::test]
async fn roles_that_the_configuration_names_must_be_there_and_stay() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    assert!(house.core.check_roles().await.is_err(), "nowhere is no role");
    let token = house.token("ann").await;
    let draft = json!({"name": "nowhere", "permissions": []});
    let made = house.post("/api/v1/roles").bearer(&token).json(&draft).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    house.core.check_roles().await.expect("all are there");
    let gone = house.delete("/api/v1/roles/nowhere").bearer(&token).send().await;
    gone.problem(409, "conflict");
}

#[tokio::test]
async fn a_role_from_before_the_link_stays_when_the_groups_that_would_give_it_go() {
    let provider = Provider::start().await;
    let house = house_of(&provider).await;
    house.add("eva", "admin").await;
    let mut ann = Browser::new(&house);
    let body = json!({"username": "ann", "password": PASSWORD});
    let ask = house.post("/api/v1/auth/session").json(&body);
    assert_eq!(ann.send(ask).await.status, 200);
    let body = json!({"provider": "home", "current_password": PASSWORD});
    let ask = house.post("/api/v1/user/identities").json(&body);
    let location = text(&ann.send(ask).await.json()["location"]);
    assert_eq!(ann.come_back(&provider.approve(&location, &person("anna"))).await.status, 302);
    for groups in [json!(["admins"]), json!([]), json!(["guests"])] {
        let mut browser = sign_in(&house, &provider, "anna", groups.clone()).await;
        let user = browser.user().await;
        assert_eq!(
            (&user["username"], &user["role"]),
            (&json!("ann"), &json!("admin")),
            "{groups}"
        );
    }
}
