//! A client that progenitor makes of native's document, against a running server: signs in,
//! refreshes, makes a key, pages through people, gets an error as a value with a type. `BASE` and
//! `PASSWORD` come from the environment.

use std::{env, error::Error};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use gatelodge::{
    Client, Error as Refused, ResponseValue,
    types::{KeyRequest, Kind, LoginRequest, Problem, RefreshRequest, UserRequest},
};

mod gatelodge {
    progenitor::generate_api!(spec = "../../../openapi/native.json", interface = Builder);
}

type Answer<T> = Result<ResponseValue<T>, Refused<Problem>>;

fn signed_in(base: &str, token: &str) -> Result<Client, Box<dyn Error>> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}"))?);
    let http = reqwest::Client::builder().default_headers(headers).build()?;
    Ok(Client::new_with_client(base, http))
}

/// What an error says of itself.
fn kind<T>(answer: Answer<T>) -> Option<Kind> {
    match answer {
        Err(Refused::ErrorResponse(problem)) => Some(problem.into_inner().error),
        _ => None,
    }
}

async fn login(client: &Client, password: &str) -> Answer<gatelodge::types::Tokens> {
    let body = LoginRequest::builder().username("ann").password(password);
    client.auth_login().body(body).send().await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (base, password) = (env::var("BASE")?, env::var("PASSWORD")?);
    let stranger = Client::new(&base);
    let tokens = login(&stranger, &password).await?.into_inner();
    let refresh = RefreshRequest::builder().refresh_token(&tokens.refresh_token);
    let again = stranger.auth_refresh().body(refresh).send().await?.into_inner();
    assert_ne!(again.refresh_token, tokens.refresh_token);

    let ann = signed_in(&base, &again.token)?;
    let me = ann.profile_get().send().await?.into_inner();
    assert_eq!((me.username.as_str(), me.email.is_some()), ("ann", true));
    for number in 0..5 {
        let draft = UserRequest::builder().username(format!("friend{number}"));
        let made = ann.user_create().body(draft).send().await?;
        assert_eq!(made.into_inner().email, None);
    }

    let draft = KeyRequest::builder().name("script").permissions(vec!["users-read".to_owned()]);
    let key = ann.api_key_create().body(draft).send().await?.into_inner();
    let script = signed_in(&base, &key.key)?;

    let (mut names, mut page) = (Vec::new(), 1u32);
    loop {
        let found = script.users_list().page(page).page_size(3u32).send().await?.into_inner();
        names.extend(found.data.into_iter().map(|user| user.username));
        if names.len() as u64 >= found.total {
            break;
        }
        page += 1;
    }
    assert!(page > 1 && names.iter().any(|name| name == "friend4"), "{names:?}");

    let nobody = UserRequest::builder().username("nobody");
    let refused = script.user_create().body(nobody).send().await;
    assert_eq!(kind(refused), Some(Kind::Forbidden));
    assert_eq!(kind(login(&stranger, "wrong").await), Some(Kind::Unauthorized));
    ann.api_key_revoke().id(key.id).send().await?;
    assert_eq!(kind(script.users_list().send().await), Some(Kind::Unauthorized));
    println!("the client in Rust signs in, refreshes, makes a key, turns pages and reads errors");
    Ok(())
}
