//! The proof that a copy can be lived with: it is restored into a scratch folder, a server starts on
//! it, and somebody signs in.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use reqwest::{Client, header};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, sync::watch};

use crate::{
    cli::{
        Failure, find, house,
        restore::{self, Input},
        say, trouble,
    },
    config::Config,
    db::Db,
    domain::{
        Clock, Core,
        accounts::Account,
        caller::Caller,
        people::UserChange,
        permissions::ADMIN,
        secret::{Secret, random_text},
    },
    http::{
        self,
        serve::{Limits, Listener},
    },
};

/// Gone with all that is in it once this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("gatelodge-drill-{}", random_text(12)));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing better can be done with a failure here; the system empties its folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub async fn run(config: Config, input: Input, asks: bool) -> Result<(), Failure> {
    let folder = Folder::new().map_err(|error| trouble(format!("a scratch folder: {error}")))?;
    let key = input.key(&config, asks)?;
    let config = apart(config, &folder.0);
    let claim = Db::claim(&folder.0).map_err(trouble)?;
    let now = Clock::real().now();
    let prepared = restore::prepared(&folder.0, &claim, input, key.as_ref(), now, false)?;
    say(&format!("whole and sound: schema {}, {}\n", prepared.schema, prepared.contents))?;
    prepared.put_in_place(now).map_err(trouble)?;
    let core = house::open_to_serve(&config, &claim).await?;
    say("restored into a scratch folder and opened\n")?;
    serve_and_ask(&config, core).await?;
    say("The copy is good; the scratch folder is gone, and nothing else was touched.\n")
}

/// The same house elsewhere: it listens to nobody but us, and asks nobody.
fn apart(mut config: Config, folder: &Path) -> Config {
    config.data_dir = folder.to_owned();
    config.dialects.native = true;
    config.log.access = false;
    // Looked for, and not made.
    config.auth.master_key_file = config.auth.master_key_file.filter(|path| path.exists());
    config
}

async fn serve_and_ask(config: &Config, core: Core) -> Result<(), Failure> {
    let socket = TcpListener::bind("127.0.0.1:0").await.map_err(trouble)?;
    let url = format!("http://{}", socket.local_addr().map_err(trouble)?);
    let (stop, stopped) = watch::channel(false);
    let endpoint = http::routes(core.clone(), house::http_settings(config), stopped);
    let (end, ended) = oneshot::channel::<()>();
    let server = tokio::spawn(http::serve::serve(
        vec![Listener::plain(socket)],
        endpoint,
        Limits::connections(8),
        async {
            let _ = ended.await;
        },
    ));
    let asked = ask(&url, &core).await;
    let _ = (stop.send(true), end.send(()));
    server.await.map_err(trouble)?;
    asked
}

/// As a client does, over the network.
async fn ask(url: &str, core: &Core) -> Result<(), Failure> {
    // It speaks plain http to itself: a machine that trusts nobody's certificates can do that as well.
    let client = Client::builder().no_proxy().tls_certs_only([]).build().map_err(trouble)?;
    let health = answered(client.get(format!("{url}/health"))).await?;
    if health["status"] != "healthy" {
        return Err(Failure::No(format!("a server on the copy is not healthy: {health}")));
    }
    say("a server serves it\n")?;
    let Some(account) = somebody(core).await? else {
        return say("nobody in it signs in by a password: no active account has one\n");
    };
    let password = Secret::new(random_text(24));
    let change = UserChange { password: Some(password.clone()), ..UserChange::default() };
    core.user_update(&Caller::operator(), account.id, change).await?;
    let body = json!({"username": account.username, "password": password.reveal()});
    let login = client
        .post(format!("{url}/api/v1/auth/login"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string());
    let token = answered(login).await?["token"].as_str().unwrap_or_default().to_owned();
    let me = answered(client.get(format!("{url}/api/v1/user")).bearer_auth(token)).await?;
    if me["username"] != json!(account.username) {
        return Err(Failure::No(format!(
            "signed in as {}, and was somebody else",
            account.username
        )));
    }
    say(&format!("{} signed in there, with a password of the drill\n", account.username))
}

async fn answered(request: reqwest::RequestBuilder) -> Result<Value, Failure> {
    let response = request.send().await.map_err(trouble)?;
    let (status, text) = (response.status(), response.text().await.map_err(trouble)?);
    match serde_json::from_str(&text) {
        Ok(value) if status.is_success() => Ok(value),
        _ => Err(Failure::No(format!("a server on the copy answers {status}: {text}"))),
    }
}

/// Somebody who signs in by a password, best an admin.
async fn somebody(core: &Core) -> Result<Option<Account>, Failure> {
    let accounts = find::accounts(core, 1000).await?;
    let able = |account: &Account| account.is_active() && account.password_hash.is_some();
    let able = accounts.into_iter().filter(able);
    Ok(able.min_by_key(|account| account.role != ADMIN))
}
