use super::house::{House, PASSWORD, Server, text};
use serde_json::json;

#[tokio::test]
async fn a_house_lets_its_people_in() {
    let house = House::lived_in().await;
    let token = house.token("bob").await;
    let me = house.get("/api/v1/user").bearer(&token).send().await;
    assert_eq!(me.status, 200);
    assert_eq!(me.json()["username"], "bob");
    house.get("/api/v1/user").send().await.problem(401, "unauthorized");
}

#[test]
fn the_binary_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let body = json!({"username": "ann", "email": "a@example.org", "password": PASSWORD});
    let made = server.json("POST", "/api/v1/setup/initialize", "", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    let me = server.json("GET", "/api/v1/user", &text(&made.json()["token"]), &json!(null));
    assert_eq!(me.status, 200);
    let (ok, log) = server.terminate();
    assert!(ok, "{log}");
}
