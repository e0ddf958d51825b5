//! An OpenID provider that can be as bad as a test wants: a real server on loopback that signs with
//! real keys, checks PKCE and the client, and twists its answers where it is told to. And a
//! browser that keeps cookies.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use gatelodge::domain::{
    secret::Secret,
    sign_up::RegistrationMode,
    sso::{ProviderSettings, SsoSettings},
};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::house::{Answer, Ask, House, Plan, START};

pub const CLIENT: &str = "gatelodge";
pub const CLIENT_SECRET: &str = "a secret: with & signs";
/// Where providers send browsers back to.
pub const BASE: &str = "http://localhost:8080";

/// A key that signs ID tokens.
pub enum Signing {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signing {
    pub fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))
    }

    pub fn p256() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self::P256(key.expect("a key"))
    }

    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().expect("a key"))
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
                    .expect("a signature");
                signature
            }
            Self::P256(key) => {
                key.sign(&SystemRandom::new(), text).expect("a signature").as_ref().to_vec()
            }
            Self::Ed25519(key) => key.sign(text).as_ref().to_vec(),
        }
    }

    /// The public half, as a key set writes it.
    pub fn written(&self, kid: &str) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(key) => {
                let public = key.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let n = encode(n.big_endian_without_leading_zero());
                let e = encode(e.big_endian_without_leading_zero());
                json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": e})
            }
            Self::P256(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": x, "y": y})
            }
            Self::Ed25519(key) => {
                let x = encode(key.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": x})
            }
        }
    }

    /// The public key as bytes that somebody might take for a shared secret.
    pub fn public_bytes(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => key.public_key().as_ref().to_vec(),
            Self::P256(key) => key.public_key().as_ref().to_vec(),
            Self::Ed25519(key) => key.public_key().as_ref().to_vec(),
        }
    }
}

/// What somebody approved at the provider.
struct Approved {
    challenge: String,
    redirect_uri: String,
    claims: Value,
}

/// Changes the claims of a token before it is signed.
pub type Twist = fn(&mut Value);

/// How a token is made from its claims, where it is not made well.
pub type Forge = fn(&Signing, &Value) -> String;

/// What the provider does, all of which a test may change.
pub struct State {
    pub url: String,
    pub signing: Signing,
    pub kid: &'static str,
    /// Of the keys that are published.
    pub published: Vec<Value>,
    pub discovery: Value,
    /// Raw answers in place of its own.
    pub replies: HashMap<&'static str, Vec<u8>>,
    /// Paths that are never answered.
    pub hangs: Vec<&'static str>,
    pub twist: Twist,
    pub forge: Option<Forge>,
    /// What userinfo adds; `None`: there is no such thing.
    pub userinfo: Option<Value>,
    codes: HashMap<String, Approved>,
    asked: Vec<String>,
}

/// The provider itself.
pub struct Provider {
    pub url: String,
    pub state: Arc<Mutex<State>>,
}

pub fn http(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn jwt(head: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(head), encode(claims))
}

/// A token with any head and any signature.
pub fn forged(head: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = jwt(head, claims);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

impl State {
    fn token(&self, claims: &Value) -> String {
        match self.forge {
            Some(forge) => forge(&self.signing, claims),
            None => {
                let head = json!({"alg": self.signing.algorithm(), "kid": self.kid, "typ": "JWT"});
                forged(&head, claims, |text| self.signing.sign(text))
            }
        }
    }

    fn answer(&mut self, head: &str, body: &str) -> Vec<u8> {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        self.asked.push(path.clone());
        if let Some(reply) = self.replies.get(path.as_str()) {
            return reply.clone();
        }
        let json = |value: &Value| http("200 OK", value.to_string().as_bytes());
        match path.as_str() {
            "/.well-known/openid-configuration" => json(&self.discovery),
            "/jwks" => json(&json!({"keys": self.published})),
            "/token" => match self.exchange(head, body) {
                Ok(answer) => json(&answer),
                Err(error) => {
                    http("400 Bad Request", json!({"error": error}).to_string().as_bytes())
                }
            },
            "/userinfo" => match &self.userinfo {
                Some(claims) if head.contains("Bearer an-access-token") => json(claims),
                _ => http("401 Unauthorized", b""),
            },
            _ => http("404 Not Found", b""),
        }
    }

    /// RFC 6749, section 4.1.3; RFC 7636, section 4.6. A code is good once.
    fn exchange(&mut self, head: &str, body: &str) -> Result<Value, &'static str> {
        let form = Url::parse(&format!("http://form/?{body}")).expect("a form");
        let fields: HashMap<_, _> = form.query_pairs().into_owned().collect();
        let pair = format!("{CLIENT}:a+secret%3A+with+%26+signs");
        if !head.contains(&format!("Basic {}\r\n", STANDARD.encode(pair))) {
            return Err("invalid_client");
        }
        let approved = self.codes.remove(&fields["code"]).ok_or("invalid_grant")?;
        let digest = digest::digest(&digest::SHA256, fields["code_verifier"].as_bytes());
        let same = URL_SAFE_NO_PAD.encode(digest) == approved.challenge;
        if !same || fields["redirect_uri"] != approved.redirect_uri {
            return Err("invalid_grant");
        }
        let mut claims = approved.claims;
        (self.twist)(&mut claims);
        let token = self.token(&claims);
        Ok(json!({"access_token": "an-access-token", "token_type": "Bearer", "id_token": token}))
    }
}

async fn serve(mut socket: TcpStream, state: Arc<Mutex<State>>) {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                break (format!("{head}\r\n"), body.to_owned());
            }
        }
        match socket.read(&mut piece).await {
            Ok(count @ 1..) => read.extend_from_slice(&piece[..count]),
            _ => return,
        }
    };
    let (answer, hangs) = {
        let mut state = state.lock().expect("unpoisoned");
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        (state.answer(&head, &body), state.hangs.contains(&path.as_str()))
    };
    if hangs {
        // Until the other side has had enough.
        let _ = socket.read(&mut piece).await;
        return;
    }
    // Whoever has had enough hangs up in the middle.
    let _ = socket.write_all(&answer).await;
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener, Signing::ed25519())
    }

    pub async fn signing(signing: Signing) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener, signing)
    }

    /// One that was down until now.
    pub async fn at(address: SocketAddr) -> Self {
        Self::on(TcpListener::bind(address).await.expect("the port"), Signing::ed25519())
    }

    fn on(listener: TcpListener, signing: Signing) -> Self {
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let discovery = json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize?tenant=1"),
            "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/jwks"),
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
        });
        let published = vec![
            json!({"kty": "oct", "k": "AAAA"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
            json!("no key at all"),
            signing.written("1"),
        ];
        let state = Arc::new(Mutex::new(State {
            url: url.clone(),
            signing,
            kid: "1",
            published,
            discovery,
            replies: HashMap::new(),
            hangs: Vec::new(),
            twist: |_| {},
            forge: None,
            userinfo: None,
            codes: HashMap::new(),
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&shared)));
            }
        });
        Self { url, state }
    }

    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("unpoisoned"));
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let state = self.state.lock().expect("unpoisoned");
        state.asked.iter().filter(|asked| *asked == path).count()
    }

    /// What `sso.providers` says of it.
    pub fn settings(&self, name: &str) -> ProviderSettings {
        let text = |text: &str| text.to_owned();
        ProviderSettings {
            name: text(name),
            display_name: format!("The {name}"),
            issuer_url: self.url.clone(),
            client_id: text(CLIENT),
            client_secret: Some(Secret::new(CLIENT_SECRET)),
            scopes: ["profile", "email"].map(text).to_vec(),
            username_claim: text("preferred_username"),
            email_claim: text("email"),
            groups_claim: text("groups"),
            role_mapping: Vec::new(),
            admin_group: None,
        }
    }

    /// A house in which strangers of this provider, called `name`, get an account.
    pub fn plan(&self, name: &str) -> impl Fn(&mut Plan) + use<> {
        let provider = self.settings(name);
        move |plan: &mut Plan| {
            plan.settings.registration = RegistrationMode::Open;
            plan.settings.sso = SsoSettings {
                base: BASE.to_owned(),
                auto_create: true,
                providers: vec![provider.clone()],
                ..SsoSettings::default()
            };
        }
    }

    /// Somebody approves the way that `location` asks for; the code to come back with.
    pub fn approve(&self, location: &str, who: &Value) -> Ticket {
        let asked = query(location);
        let mut claims = json!({
            "iss": self.url, "aud": asked["client_id"], "nonce": asked["nonce"],
            "iat": START, "exp": START + 3600,
        });
        for (name, value) in who.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        let mut state = self.state.lock().expect("unpoisoned");
        let code = format!("code-{}", state.codes.len() + state.asked.len() * 1000);
        let approved = Approved {
            challenge: asked["code_challenge"].clone(),
            redirect_uri: asked["redirect_uri"].clone(),
            claims,
        };
        state.codes.insert(code.clone(), approved);
        let callback = Url::parse(&asked["redirect_uri"]).expect("an address");
        let query = format!("code={code}&state={}", asked["state"]);
        Ticket { path: callback.path().to_owned(), query }
    }
}

/// What the provider sends a browser back with.
#[derive(Clone)]
pub struct Ticket {
    pub path: String,
    pub query: String,
}

pub fn query(location: &str) -> HashMap<String, String> {
    let url = Url::parse(location).unwrap_or_else(|error| panic!("{error}: {location}"));
    url.query_pairs().into_owned().collect()
}

/// Somebody at the provider, whose address it vouches for.
pub fn person(name: &str) -> Value {
    json!({
        "sub": format!("sub-{name}"), "preferred_username": name,
        "email": format!("{name}@elsewhere.example"), "email_verified": true,
    })
}

/// A browser: it keeps its cookies and follows nothing by itself.
pub struct Browser<'a> {
    house: &'a House,
    pub cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    pub fn new(house: &'a House) -> Self {
        Self { house, cookies: BTreeMap::new() }
    }

    pub async fn send(&mut self, ask: Ask<'a>) -> Answer {
        let jar: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = ask.header("cookie", &jar.join("; ")).send().await;
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().expect("text");
            let (name, rest) = line.split_once('=').expect("a cookie");
            let value = rest.split(';').next().expect("a value").to_owned();
            match line.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value),
            };
        }
        answer
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let ask = self.house.get(path);
        self.send(ask).await
    }

    /// Leaves for the provider; where to.
    pub async fn leave(&mut self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 302, "{}", answer.text());
        answer.header("location")
    }

    pub async fn come_back(&mut self, ticket: &Ticket) -> Answer {
        self.get(&format!("{}?{}", ticket.path, ticket.query)).await
    }

    /// There and back as `who`.
    pub async fn sign_in(&mut self, provider: &Provider, path: &str, who: &Value) -> Answer {
        let location = self.leave(path).await;
        let ticket = provider.approve(&location, who);
        self.come_back(&ticket).await
    }

    /// Whom the pages know in this browser.
    pub async fn user(&mut self) -> Value {
        self.get("/api/v1/user").await.json()
    }
}
