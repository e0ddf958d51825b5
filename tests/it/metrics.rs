//! `/metrics`: who may read it, that its numbers move, that its series do not grow, that others can
//! read its format.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use gatelodge::http::client::Surroundings;
use serde_json::{Value, json};

use super::{
    house::{Ask, House, PASSWORD, Server, text},
    native_desk::Desk,
};

/// By a clock that stands still what was read of the disk stays fresh for ever.
const STALE: Duration = Duration::from_secs(16);

/// Every sample, by its name and labels as they are written. Strict: what the format does not allow
/// does not pass.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let (mut found, mut family, mut seen) = (BTreeMap::new(), String::new(), BTreeSet::new());
    let mut lines = page.lines().peekable();
    assert!(page.ends_with('\n'));
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a help");
            assert!(!words.is_empty() && seen.insert(name.to_owned()), "{line}");
            let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
            assert!(["counter", "gauge", "histogram", "summary"].contains(&kind.expect("a type")));
            assert_eq!(name.ends_with("_total"), kind == Some("counter"), "{name}");
            family = name.to_owned();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a sample");
        let name = series.split('{').next().expect("a name");
        let end = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} below {family}"));
        assert!(["", "_bucket", "_sum", "_count"].contains(&end), "{line}");
        assert!(series.len() == name.len() || series.ends_with("\"}"), "{line}");
        let value = value.parse().expect("a number");
        assert!(found.insert(series.to_owned(), value).is_none(), "{series} comes twice");
    }
    found
}

async fn scrape(house: &House) -> BTreeMap<String, f64> {
    house.clock.advance(STALE);
    let answer = house.get("/metrics").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    samples(&answer.text())
}

fn sign_ins(dialect: &str, outcome: &str) -> String {
    format!("gatelodge_sign_ins_total{{dialect=\"{dialect}\",outcome=\"{outcome}\"}}")
}

fn answered(dialect: &str, status: &str) -> String {
    format!("gatelodge_http_request_seconds_count{{dialect=\"{dialect}\",status=\"{status}\"}}")
}

async fn status(ask: Ask<'_>) -> u16 {
    ask.send().await.status
}

#[tokio::test]
async fn programs_nearby_read_it_and_nobody_else_without_a_credential() {
    let house = House::lived_in().await;
    let page = house.get("/metrics").send().await;
    assert_eq!(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-store");
    for (peer, host) in [
        ("127.0.0.1", "127.0.0.1:8080"),
        ("::1", "[::1]:8080"),
        ("192.168.1.7", "192.168.1.2:8080"),
        ("172.18.0.3", "gatelodge:8080"),
        ("fd00::7", "gate.lan"),
    ] {
        assert_eq!(status(house.get("/metrics").from(peer).header("host", host)).await, 200);
    }
    house.get("/metrics").from("203.0.113.7").send().await.problem(401, "unauthorized");
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-host", "localhost"),
        ("x-forwarded-proto", "https"),
        // A name that points here only since somebody makes it do so, and a page elsewhere.
        ("host", "rebound.example.net"),
        ("origin", "https://elsewhere.example.net"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let ask = house.get("/metrics").from("192.168.1.7").header(name, value);
        let answer = ask.send().await;
        assert_eq!(answer.problem(401, "unauthorized"), "sign in first", "{name}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{name}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_reads_nothing_for_others() {
    let house = House::lived_in_with(|plan| {
        plan.http.surroundings = Surroundings {
            trusted_proxies: vec!["10.0.0.1/32".parse().expect("a network")],
            ..Surroundings::default()
        };
    })
    .await;
    let ask = || house.get("/metrics").from("10.0.0.1");
    for forwarded in ["", "203.0.113.7", "192.168.1.7", "127.0.0.1"] {
        let answer = ask().header("x-forwarded-for", forwarded).send().await;
        answer.problem(401, "unauthorized");
    }
    assert_eq!(status(ask().basic("ann", PASSWORD)).await, 200);
    assert_eq!(status(house.get("/metrics").from("10.0.0.2")).await, 200);
}

#[tokio::test]
async fn from_elsewhere_it_takes_the_right_to_see_how_the_house_is() {
    let desk = Desk::new().await;
    let ask = || desk.house.get("/metrics").from("203.0.113.7");
    let watcher = desk.hire("watcher", &["system-health"]).await;
    for token in [&desk.admin, &watcher] {
        assert_eq!(status(ask().bearer(token)).await, 200);
    }
    let wanted = json!({"name": "prometheus", "permissions": ["system-health"]});
    let key = desk.key(&desk.admin, &wanted).await;
    assert_eq!(status(ask().bearer(&key)).await, 200);
    assert_eq!(status(ask().header("x-api-key", &key)).await, 200);
    assert_eq!(status(ask().basic("api", &key)).await, 200);
    let bare = desk.key(&desk.admin, &json!({"name": "bare", "permissions": []})).await;
    ask().bearer(&bare).send().await.problem(403, "forbidden");
    ask().basic("bob", PASSWORD).send().await.problem(403, "forbidden");
    ask().bearer("nonsense").send().await.problem(401, "unauthorized");
    let body = json!({"username": "ann", "password": PASSWORD});
    let pair = desk.house.post("/api/auth/login").json(&body).send().await.json();
    let of_pair = text(&pair["access_token"]);
    ask().bearer(&of_pair).send().await.problem(401, "unauthorized");
}

#[tokio::test]
async fn it_takes_get_and_can_be_switched_off() {
    let house = House::lived_in().await;
    let posted = house.post("/metrics").send().await;
    assert_eq!((posted.status, posted.header("allow").as_str()), (405, "GET, HEAD"));
    assert_eq!(status(house.get("/metrics/more")).await, 404);
    let off = House::with(|plan| plan.http.metrics = false).await;
    assert_eq!(off.get("/metrics").send().await.problem(404, "not_found"), "no such page");
}

/// One right and one wrong sign-in in each dialect.
async fn knock_everywhere(house: &House) {
    let knock = async |path: &'static str, name: &str, password: &str| {
        let field = if path == "/auth/login" { "email" } else { "username" };
        let body = json!({field: name, "password": password});
        status(house.post(path).json(&body)).await
    };
    for (path, name, refused) in [
        ("/api/v1/auth/login", "ann", 401),
        ("/api/auth/login", "ann", 401),
        ("/auth/login", "ann@example.org", 400),
    ] {
        assert_eq!(knock(path, name, PASSWORD).await, 200, "{path}");
        assert_eq!(knock(path, name, "not-this-one").await, refused, "{path}");
    }
    let pin = async |digits: &str| {
        let body = json!({"name": "ann", "pin": digits});
        status(house.post("/auth/login").json(&body)).await
    };
    assert_eq!((pin("2580").await, pin("2581").await), (200, 401));
    let devices = |word| house.get("/api/2/devices/ann.json").basic("ann", word);
    assert_eq!(status(devices(PASSWORD)).await, 200);
    assert_eq!(status(devices(PASSWORD)).await, 200, "from memory: no sign-in");
    assert_eq!(status(devices("not-this-one")).await, 401);
}

#[tokio::test]
async fn numbers_move_with_what_is_done_in_each_dialect() {
    let house = House::lived_in_with(|plan| plan.settings.throttle.max_attempts = 6).await;
    let token = house.token("ann").await;
    let body = json!({"current_password": PASSWORD, "pin": "2580"});
    assert_eq!(status(house.post("/api/v1/user/pin").bearer(&token).json(&body)).await, 200);
    let before = scrape(&house).await;
    knock_everywhere(&house).await;
    let after = scrape(&house).await;
    let moved = |series: &str| after[series] - before[series];
    for dialect in ["native", "pin", "pair", "signup", "gpodder"] {
        for outcome in ["ok", "refused"] {
            assert_eq!(moved(&sign_ins(dialect, outcome)), 1.0, "{dialect} {outcome}");
        }
        assert_eq!(moved(&sign_ins(dialect, "busy")), 0.0);
    }
    assert_eq!(moved(&answered("native", "2xx")), 1.0);
    assert_eq!(moved(&answered("pair", "4xx")), 1.0);
    assert_eq!(moved(&answered("pin", "4xx")), 2.0, "signup signs in at the same door");
    assert_eq!(moved(&answered("gpodder", "2xx")), 2.0);
    assert_eq!(moved(&answered("other", "2xx")), 1.0, "the scrape itself");
    assert_eq!(moved("gatelodge_hash_seconds_count"), 10.0);
    assert!(moved("gatelodge_hash_seconds_sum") > 0.0);
    assert_eq!(moved("gatelodge_sessions"), 5.0);
    assert_eq!(after["gatelodge_accounts{status=\"active\"}"], 2.0);
    assert_eq!(after["gatelodge_throttle_addresses"], 1.0);
    assert_eq!(after["gatelodge_throttle_addresses_blocked"], 0.0);
    let body = json!({"username": "bob", "password": "not-this-one"});
    for wanted in [401, 429] {
        assert_eq!(status(house.post("/api/v1/auth/login").json(&body)).await, wanted);
    }
    let last = scrape(&house).await;
    assert_eq!(last[&sign_ins("native", "throttled")], 1.0);
    assert_eq!(last["gatelodge_throttle_addresses_blocked"], 1.0);
    assert!(last["gatelodge_throttle_refused_total"] >= 1.0);
}

#[tokio::test]
async fn what_the_house_keeps_is_counted_and_read_now_and_then_only() {
    let house = House::lived_in_with(|plan| {
        plan.settings.throttle.requests_per_second = 1;
        plan.settings.throttle.burst = 4;
    })
    .await;
    let first = scrape(&house).await;
    assert!(first["gatelodge_database_bytes"] > 4096.0 && first["gatelodge_disk_free_bytes"] > 0.0);
    assert_eq!(first["gatelodge_database_up"], 1.0);
    assert!(!first.contains_key("gatelodge_last_backup_timestamp_seconds"));
    let body = json!({"email": "bob@example.org"});
    assert_eq!(status(house.post("/api/v1/auth/forgot-password").json(&body)).await, 200);
    house.core.quiet().await;
    let letters = "gatelodge_letters{status=\"waiting\"}";
    let soon = samples(&house.get("/metrics").send().await.text());
    assert_eq!((first[letters], soon[letters]), (0.0, 0.0), "read a moment ago");
    for _ in 0..6 {
        house.get("/api/v1/user").send().await;
    }
    let later = scrape(&house).await;
    assert_eq!(later[letters], 1.0);
    assert!(later["gatelodge_rate_limit_refused_total"] >= 2.0);
    // What is over counts no more, also before it is swept away.
    house.token("bob").await;
    assert_eq!(scrape(&house).await["gatelodge_sessions"], 1.0);
    house.clock.advance(Duration::from_secs(31 * 24 * 3600));
    assert_eq!(scrape(&house).await["gatelodge_sessions"], 0.0);
}

#[tokio::test]
async fn a_thousand_invented_names_and_addresses_make_no_series() {
    let house = House::lived_in_with(|plan| {
        plan.http.surroundings.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    })
    .await;
    let names = async || scrape_from_home(&house).await.into_keys().collect::<BTreeSet<_>>();
    let before = names().await;
    for number in 0..1000_u32 {
        let [_, _, c, d] = number.to_be_bytes();
        let body = json!({"username": format!("invented{number}"), "password": "not-this-one"});
        let ask = house.post("/api/v1/auth/login").json(&body);
        let ask = ask.header("x-forwarded-for", &format!("198.51.{c}.{d}"));
        assert_eq!(status(ask).await, 401);
        let nowhere = house.get(&format!("/nowhere/{number}"));
        assert_eq!(status(nowhere.header("user-agent", &format!("agent{number}"))).await, 404);
    }
    assert_eq!(names().await, before);
    let figures = scrape_from_home(&house).await;
    assert_eq!(figures["gatelodge_throttle_addresses"], 1000.0);
    assert!(before.len() < 450, "{}", before.len());
}

async fn scrape_from_home(house: &House) -> BTreeMap<String, f64> {
    house.clock.advance(Duration::from_secs(16));
    samples(&house.get("/metrics").from("192.168.1.7").send().await.text())
}

/// The samples of Python's own client for Prometheus.
const PARSE: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families
found = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.type in ('counter', 'gauge', 'histogram', 'summary'), family
    assert family.documentation and family.samples, family
    for sample in family.samples:
        found[sample.name + json.dumps(sorted(sample.labels.items()))] = sample.value
json.dump(found, sys.stdout)
";

/// A Python that has the client: `PYTHON_WITH_CLIENTS`, else the system's if it has.
fn python() -> Option<String> {
    let wanted = std::env::var("PYTHON_WITH_CLIENTS");
    let python = wanted.clone().unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python).args(["-c", "import prometheus_client"]).output();
    let has = has.is_ok_and(|output| output.status.success());
    assert!(has || wanted.is_err(), "{python} has no prometheus_client");
    has.then_some(python)
}

#[test]
fn a_real_server_tells_of_its_process_in_a_format_that_others_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let page = server.ask("GET", "/metrics", &[], "").expect("an answer").text();
    let told = samples(&page);
    assert!(told["process_resident_memory_bytes"] > 1e6);
    assert!(told["process_virtual_memory_bytes"] > told["process_resident_memory_bytes"]);
    assert!(told["process_open_fds"] > 3.0);
    assert!(told["process_max_fds"] > told["process_open_fds"]);
    assert!(told["process_start_time_seconds"] > 1.6e9);
    assert!(told["gatelodge_connections"] >= 1.0);
    // In a histogram the buckets add up, and the last of them is the count.
    let buckets = |le: &str| {
        let labels = format!("{{dialect=\"other\",status=\"2xx\",le=\"{le}\"}}");
        told[&format!("gatelodge_http_request_seconds_bucket{labels}")]
    };
    assert!(buckets("0.001") <= buckets("0.5") && buckets("0.5") <= buckets("+Inf"));
    assert!(buckets("+Inf") >= 1.0 && buckets("+Inf") == told[&answered("other", "2xx")]);

    let Some(python) = python() else {
        eprintln!("NOT CHECKED: python3 has no prometheus_client; pip install prometheus-client");
        return;
    };
    let mut child = Command::new(python)
        .args(["-c", PARSE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(page.as_bytes()).expect("written");
    drop(input);
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success());
    let read: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let read = read.as_object().expect("samples");
    assert_eq!(read.len(), told.len());
    assert_eq!(read["process_open_fds[]"].as_f64(), Some(told["process_open_fds"]));
}

#[test]
fn the_page_about_it_tells_every_name() {
    let page = include_str!("../../docs/METRICS.md");
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let told = server.ask("GET", "/metrics", &[], "").expect("an answer").text();
    let families = told.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut named: BTreeSet<&str> = families.filter_map(|line| line.split(' ').next()).collect();
    named.insert("gatelodge_last_backup_timestamp_seconds");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: BTreeSet<&str> = rows.map(|row| row.split('{').next().expect("a name")).collect();
    assert_eq!(rows, named);
}
