//! A load of deeds, what of them was acknowledged, and whether that still holds afterwards.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::house::{PASSWORD, Server, text};

const NEW_PASSWORD: &str = "Chestnut-tree-8";
/// For the server: passwords that have ended are tried, and nobody shall have to wait for that.
pub const NO_THROTTLE: [(&str, &str); 1] = [("GATELODGE_THROTTLE__MAX_ATTEMPTS", "0")];

/// Chance that can be had again: the seed is printed where a test fails.
pub struct Dice(u64);

impl Dice {
    /// Of `FAULTS_SEED`, or another one each time.
    pub fn new() -> Self {
        let given = std::env::var("FAULTS_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        println!("FAULTS_SEED={seed}");
        Self(seed | 1)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*, by S. Vigna.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) % bound.max(1)
    }
}

/// How often something is done: so many times in the suite, as `variable` says in `.ci/long`.
pub fn rounds(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[derive(Clone, Debug)]
pub enum Proof {
    Token(String),
    Key(String),
    Password(String, &'static str),
}

impl Proof {
    /// Whether it opens the door; `None` without a sensible answer.
    fn opens(&self, server: &Server) -> Option<bool> {
        let answer = match self {
            Self::Token(word) | Self::Key(word) => {
                server.json("GET", "/api/v1/user", word, &Value::Null)
            }
            Self::Password(name, password) => {
                let body = json!({"username": name, "password": password});
                server.json("POST", "/api/v1/auth/login", "", &body)
            }
        };
        match answer.status {
            200 => Some(true),
            401 => Some(false),
            _ => None,
        }
    }
}

/// Something that an answer said. Moments are those of whoever counts them.
#[derive(Clone, Debug)]
struct Fact {
    proof: Proof,
    made: u64,
    /// When its end was asked for, and when that was acknowledged.
    ending: Option<u64>,
    ended: Option<u64>,
}

impl Fact {
    /// Whether it must open the door, as far as was known at `moment`.
    fn must_open(&self, moment: u64) -> Option<bool> {
        match (self.ending, self.ended) {
            (_, Some(ended)) if ended <= moment => Some(false),
            (Some(ending), _) if ending <= moment => None,
            _ => (self.made <= moment).then_some(true),
        }
    }
}

/// What clients know.
#[derive(Default)]
pub struct Ledger {
    facts: Mutex<Vec<Fact>>,
    names: AtomicU64,
    acknowledged: AtomicU64,
    /// Those before are checked in samples.
    checked: AtomicU64,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    pub there: u64,
    pub ended: u64,
    pub wrong: Vec<String>,
}

type Moment<'a> = &'a (dyn Fn() -> u64 + Sync);

impl Ledger {
    /// Deeds, one after the other, until the server is gone or `stop` is set.
    pub fn work(&self, server: &Server, admin: &str, stop: &AtomicBool, moment: Moment<'_>) {
        while !stop.load(Ordering::Relaxed) && self.one_life(server, admin, moment).is_some() {}
    }

    /// How many deeds were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many deeds were acknowledged. After five minutes it goes on without them: who
    /// fails in the middle of a load never ends it.
    pub fn wait_for(&self, least: u64) {
        for _ in 0..300_000 {
            if self.acknowledged() >= least {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// An account, its sessions and keys, and the end of some of them.
    fn one_life(&self, server: &Server, admin: &str, moment: Moment<'_>) -> Option<()> {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let name = format!("p{number}");
        let body = json!({"username": name, "password": PASSWORD});
        self.asked(server, "POST", "/api/v1/users", admin, &body)?;
        let password = self.made(Proof::Password(name.clone(), PASSWORD), moment);
        let sign_in = || {
            let answer = self.asked(server, "POST", "/api/v1/auth/login", "", &body)?;
            Some(text(&answer["token"]))
        };
        let token = sign_in()?;
        let kept = self.made(Proof::Token(token.clone()), moment);
        let other = sign_in()?;
        let left = self.made(Proof::Token(other.clone()), moment);
        let key = || self.asked(server, "POST", "/api/v1/api-keys", &token, &json!({"name": "k"}));
        let (first, second) = (key()?, moment());
        let revoked = self.made(Proof::Key(text(&first["key"])), &|| second);
        let lasting = self.made(Proof::Key(text(&key()?["key"])), moment);

        self.ending(&[revoked], moment);
        let path = format!("/api/v1/api-keys/{}", text(&first["id"]));
        self.asked(server, "DELETE", &path, &token, &Value::Null)?;
        self.ended(&[revoked], moment);

        self.ending(&[left], moment);
        self.asked(server, "POST", "/api/v1/auth/logout", &other, &Value::Null)?;
        self.ended(&[left], moment);

        if number.is_multiple_of(3) {
            // What becomes of the session that asks, and of its keys, is not this test's affair.
            self.ending(&[password, kept, lasting], moment);
            let body = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
            self.asked(server, "POST", "/api/v1/user/password", &token, &body)?;
            self.ended(&[password], moment);
            self.made(Proof::Password(name, NEW_PASSWORD), moment);
        }
        Some(())
    }

    /// The body of an answer that is a yes, whole.
    fn asked(
        &self,
        server: &Server,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Option<Value> {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Content-Type", "application/json")];
        if !token.is_empty() {
            headers.push(("Authorization", &bearer));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = server.ask(method, path, &headers, &body)?;
        // 503: the disk is full, and this clerk goes home.
        if answer.status == 503 {
            return None;
        }
        assert!([200, 201, 204].contains(&answer.status), "{method} {path}: {}", answer.text());
        let length = answer.header("content-length").parse::<usize>();
        if length.is_ok_and(|length| length != answer.body.len()) {
            return None;
        }
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        Some(serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    fn made(&self, proof: Proof, moment: Moment<'_>) -> usize {
        let mut facts = self.facts.lock().expect("unpoisoned");
        facts.push(Fact { proof, made: moment(), ending: None, ended: None });
        facts.len() - 1
    }

    fn ending(&self, which: &[usize], moment: Moment<'_>) {
        let mut facts = self.facts.lock().expect("unpoisoned");
        which.iter().for_each(|which| facts[*which].ending = Some(moment()));
    }

    fn ended(&self, which: &[usize], moment: Moment<'_>) {
        let mut facts = self.facts.lock().expect("unpoisoned");
        which.iter().for_each(|which| facts[*which].ended = Some(moment()));
    }

    /// Tries what came since the last time, and a hundred of those before.
    pub fn check_new(&self, server: &Server, dice: &mut Dice) -> Checked {
        let facts = self.facts.lock().expect("unpoisoned").clone();
        let old = usize::try_from(self.checked.load(Ordering::Relaxed)).expect("a count");
        let sample = (0..100.min(old)).map(|_| &facts[dice.below(old as u64) as usize]);
        let checked = check(sample.chain(&facts[old..]), server, u64::MAX);
        self.checked.store(facts.len() as u64, Ordering::Relaxed);
        checked
    }

    /// Tries all of what was known at `moment`.
    pub fn check_at(&self, server: &Server, moment: u64) -> Checked {
        check(&*self.facts.lock().expect("unpoisoned"), server, moment)
    }

    /// The same, of those that nobody asked to change later.
    pub fn check_settled_at(&self, server: &Server, moment: u64) -> Checked {
        let facts = self.facts.lock().expect("unpoisoned");
        let is_settled = |fact: &&Fact| fact.ending.is_none_or(|ending| ending <= moment);
        check(facts.iter().filter(is_settled), server, moment)
    }
}

fn check<'a>(facts: impl IntoIterator<Item = &'a Fact>, server: &Server, moment: u64) -> Checked {
    let mut checked = Checked::default();
    for fact in facts {
        let Some(must) = fact.must_open(moment) else { continue };
        match (must, fact.proof.opens(server)) {
            (true, Some(true)) => checked.there += 1,
            (false, Some(false)) => checked.ended += 1,
            (_, found) => checked.wrong.push(format!("must open: {must}, {found:?}: {fact:?}")),
        }
    }
    checked
}

/// Signs the admin in whom [`first_account`] made.
pub fn admin(server: &Server) -> String {
    let body = json!({"username": "ann", "password": PASSWORD});
    let answer = server.json("POST", "/api/v1/auth/login", "", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    text(&answer.json()["token"])
}

/// Makes the admin.
pub fn first_account(server: &Server) -> String {
    let body = json!({"username": "ann", "email": "ann@example.org", "password": PASSWORD});
    let made = server.json("POST", "/api/v1/setup/initialize", "", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    text(&made.json()["token"])
}

/// So many clients work in [`under_load`], each with one deed at a time.
pub const CLIENTS: usize = 4;

/// [`CLIENTS`] work until `meanwhile` is done and the server is gone, or they are told to stop.
pub fn under_load<T>(
    (ledger, server, admin): (&Ledger, &Server, &str),
    moment: Moment<'_>,
    meanwhile: impl FnOnce(&AtomicBool) -> T,
) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| ledger.work(server, admin, &stop, moment));
        }
        meanwhile(&stop)
    })
}
