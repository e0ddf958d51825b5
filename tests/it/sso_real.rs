//! A real provider (`oidc-provider` for Node), a real server and a client that keeps cookies and
//! fills in the forms that it is shown.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use reqwest::{Client, Method, Response, Url, redirect::Policy};
use serde_json::{Value, json};

use super::house::{PASSWORD, Server, cheap, kept_address};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc");
/// More steps than any sign-in has.
const STEPS: usize = 20;

/// Where the provider is installed: `OIDC_PROVIDER_DIR`, else beside its script if it is there.
fn installed() -> Option<PathBuf> {
    let wanted = std::env::var_os("OIDC_PROVIDER_DIR").map(PathBuf::from);
    let folder = wanted.clone().unwrap_or_else(|| FOLDER.into());
    let node = Command::new("node").arg("--version").output();
    let has = node.is_ok_and(|output| output.status.success())
        && folder.join("node_modules/oidc-provider").is_dir();
    assert!(has || wanted.is_none(), "no node, or no provider in {}", folder.display());
    has.then_some(folder)
}

/// The provider while it runs; it ends with its standard input.
struct Provider {
    child: Child,
    issuer: String,
    _input: Option<ChildStdin>,
}

impl Provider {
    fn start(folder: &Path, callback: &str) -> Self {
        let mut child = Command::new("node")
            .args([&format!("{FOLDER}/server.mjs"), callback])
            .env("OIDC_PROVIDER_DIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let issuer = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("issuer ").map(str::to_owned))
            .expect("it listens");
        // It goes on talking, and ends when nobody listens.
        std::thread::spawn(move || lines.for_each(drop));
        let input = child.stdin.take();
        Self { child, issuer, _input: input }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A browser with a jar for each place.
struct Browser {
    client: Client,
    jar: BTreeMap<(String, String), String>,
}

impl Browser {
    fn new() -> Self {
        let client = Client::builder().redirect(Policy::none()).no_proxy().build();
        Self { client: client.expect("a client"), jar: BTreeMap::new() }
    }

    async fn send(&mut self, method: Method, url: &Url, form: Option<String>) -> Response {
        let place = url.authority().to_owned();
        let cookies = self.jar.iter().filter(|((at, _), _)| *at == place);
        let cookies: Vec<_> = cookies.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut request = self.client.request(method, url.clone());
        request = request.header("cookie", cookies.join("; ")).header("accept", "text/html");
        if let Some(form) = form {
            let kind = "application/x-www-form-urlencoded";
            request = request.header("content-type", kind).body(form);
        }
        let answer = request.send().await.expect("an answer");
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().expect("text");
            let (name, rest) = line.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default().to_owned();
            let gone = value.is_empty() || line.contains("Max-Age=0");
            let key = (place.clone(), name.to_owned());
            match gone {
                true => self.jar.remove(&key),
                false => self.jar.insert(key, value),
            };
        }
        answer
    }

    /// Follows redirects and fills in forms as `login`, until a page without one at `home`; the
    /// way there and the last answer.
    async fn walk(&mut self, home: &str, path: &str, login: &str) -> (Vec<String>, Response) {
        let mut way = Vec::new();
        let mut next = (Method::GET, Url::parse(&format!("{home}{path}")).expect("a URL"), None);
        for _ in 0..STEPS {
            let (method, url, form) = next;
            way.push(url.path().to_owned());
            let answer = self.send(method, &url, form).await;
            let location = answer.headers().get("location");
            if let Some(location) = location.map(|l| l.to_str().expect("text")) {
                next = (Method::GET, url.join(location).expect("a URL"), None);
                continue;
            }
            if format!("http://{}", url.authority()) == home {
                return (way, answer);
            }
            let page = answer.text().await.expect("a page");
            let (action, fields) = form_of(&page).unwrap_or_else(|| panic!("{url}: {page}"));
            let mut filled = Url::parse("http://form/").expect("a URL");
            for (name, value) in fields {
                let value = match name.as_str() {
                    "login" => login.to_owned(),
                    "password" => "any".to_owned(),
                    _ => value,
                };
                filled.query_pairs_mut().append_pair(&name, &value);
            }
            let body = filled.query().unwrap_or_default().to_owned();
            next = (Method::POST, url.join(&action).expect("a URL"), Some(body));
        }
        panic!("no end: {way:?}");
    }

    async fn json(&mut self, home: &str, path: &str) -> (u16, Value) {
        let url = Url::parse(&format!("{home}{path}")).expect("a URL");
        let answer = self.send(Method::GET, &url, None).await;
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON"))
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next().map(|value| value.replace("&amp;", "&"))
}

/// The action and the fields of the first form on a page.
fn form_of(page: &str) -> Option<(String, HashMap<String, String>)> {
    let (_, rest) = page.split_once("<form")?;
    let form = rest.split("</form>").next()?;
    let action = attribute(form, "action")?;
    let inputs = form.split("<input").skip(1).filter_map(|input| {
        let tag = input.split('>').next()?;
        Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()))
    });
    Some((action, inputs.collect()))
}

fn configuration(home: &str, issuer: &str, algorithm: &str) -> String {
    let secret = match algorithm {
        "EdDSA" => String::new(),
        _ => format!("      client_secret: \"secret: of & {algorithm}\"\n"),
    };
    format!(
        "server:\n  public_url: {home}\nregistration:\n  mode: open\nsso:\n  auto_create: true\n  \
         providers:\n    real:\n      display_name: The real one\n      issuer_url: {issuer}\n      \
         client_id: gatelodge-{algorithm}\n{secret}      scopes: [profile, email, groups]\n      \
         admin_group: admins\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_through_a_real_provider_by_its_own_form() {
    let Some(installed) = installed() else {
        eprintln!("NOT CHECKED: the OpenID provider of tests/oidc; run npm ci there");
        return;
    };
    let (_keeper, address) = kept_address();
    let address = address.to_string();
    let home = format!("http://{address}");
    let provider = Provider::start(&installed, &format!("{home}/auth/sso/callback"));
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = configuration(&home, &provider.issuer, algorithm);
        fs::write(folder.path().join("gatelodge.yaml"), settings).expect("a file");
        let checked = super::house::gatelodge()
            .current_dir(folder.path())
            .args(["sso", "check", "real"])
            .output()
            .expect("the program");
        assert!(checked.status.success(), "{algorithm}: {checked:?}");
        let mut environment = cheap().to_vec();
        environment.push(("GATELODGE_SERVER__LISTEN", &address));
        let server = Server::start(folder.path(), &environment);
        let body = json!({"username": "ann", "password": PASSWORD});
        assert_eq!(server.json("POST", "/api/2/register", "", &body).status, 200);
        sign_in_by_the_form(&home, algorithm).await;
        let (well, log) = server.terminate();
        assert!(well && !log.contains("panic"), "{log}");
    }
}

async fn sign_in_by_the_form(home: &str, algorithm: &str) {
    for (login, role) in [("kim", "reader"), ("root", "admin")] {
        let mut browser = Browser::new();
        let path = "/auth/sso/login?to=/api/v1/user";
        let (way, answer) = browser.walk(home, path, login).await;
        let status = answer.status().as_u16();
        let said = answer.text().await.expect("a body");
        assert_eq!(status, 200, "{algorithm} {login}: {way:?} {said}");
        assert!(way.iter().any(|path| path.starts_with("/interaction/")), "{way:?}");
        let user: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!((&user["username"], &user["role"]), (&json!(login), &json!(role)));
        assert_eq!(user["email"], format!("{login}@elsewhere.example"));
        assert_eq!(user["display_name"], format!("{login} of elsewhere"));
        let (status, me) = browser.json(home, "/api/2/me").await;
        assert_eq!((status, &me["username"]), (200, &json!(login)));
        // Again, while the provider still knows the browser: no form is shown.
        let (again, answer) = browser.walk(home, path, "nobody").await;
        assert_eq!(answer.status().as_u16(), 200);
        assert!(!again.iter().any(|path| path.starts_with("/interaction/")), "{again:?}");
    }
}
