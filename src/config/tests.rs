use super::yaml::FILE_NAME;
use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

const SECRET: &str = "correct-horse-battery-staple-0123456789";
const OTHER: &str = "another-horse-battery-staple-0123456789";

/// A folder of its own for each test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("config-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.0.join(name), content).unwrap();
        self.0.join(name)
    }

    fn load(&self, env: &[(&str, &str)]) -> Result<Config, String> {
        let env: Vec<_> = env.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let loaded = load(None, &self.0, &env).map_err(|e| e.to_string());
        let printed = format!("{loaded:?}{:?}", loaded.as_ref().map(Config::shown));
        assert!(!printed.contains("horse"), "a secret is printed: {printed}");
        loaded
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn with(yaml: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let folder = Folder::new();
    folder.write(FILE_NAME, yaml);
    folder.load(env)
}

/// `parts` of the message, with ` | ` between them.
#[track_caller]
pub(super) fn refused(result: Result<Config, String>, parts: &str) {
    let message = result.expect_err("accepted");
    let all = parts.split(" | ").all(|part| message.contains(part));
    assert!(all && message.lines().count() == 1, "{message}\nlacks {parts}");
}

#[track_caller]
fn env_refused(name: &str, value: &str, parts: &str) {
    let result = Folder::new().load(&[(name, value)]);
    refused(result, &format!("environment {name}: | {parts}"));
}

/// Each line: a file (with `\n`) or, after `$`, a variable; then parts of the message.
#[track_caller]
pub(super) fn all_refused(table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (given, parts) = line.split_once(" => ").expect(line);
        let given = given.replace("\\n", "\n");
        match given.strip_prefix('$').and_then(|pair| pair.split_once('=')) {
            Some((name, value)) => env_refused(name, value, parts),
            None => refused(with(&given, &[]), parts),
        }
    }
}

fn shown(config: &Config, key: &str) -> Shown {
    config.shown().into_iter().find(|shown| shown.key == key).unwrap()
}

fn secret_of(config: &Config) -> Option<&str> {
    config.auth.jwt_secret.as_ref().map(Hidden::reveal)
}

#[test]
fn defaults_are_those_of_the_table() {
    let config = Config::default();
    for (setting, shown) in SETTINGS.iter().zip(config.shown()) {
        let value = shown.value.replace("(not set)", "");
        assert_eq!((value.as_str(), shown.origin.as_str()), (setting.default, "default"));
    }
    assert!(config.log.access);
    assert_eq!(config.auth.argon2_memory_cost, 19456);
    assert_eq!(config.pair.access_expiry, Duration::from_secs(8 * 3600));
    assert_eq!(config.server.listen, ["0.0.0.0:8080".parse().unwrap()]);
    assert_eq!(config.registration.mode, RegistrationMode::Closed);
    let folder = Folder::new();
    assert_eq!(folder.load(&[]).unwrap().data_dir, folder.0);
}

#[test]
fn what_is_empty_is_not_set() {
    let env = [("GATELODGE_DATA_DIR", ""), ("SECRET_KEY", ""), ("GATELODGE_X", "")];
    for yaml in ["", "# none\n", "---\n", "\u{feff}auth:\n", "auth:\n  jwt_secret:\n"] {
        let config = with(yaml, &env).unwrap();
        assert!(config.origins.is_empty() && config.auth.jwt_secret.is_none(), "{yaml:?}");
    }
}

#[test]
fn the_documentation_holds_the_table() {
    let page = include_str!("../../docs/CONFIG.md");
    let (_, rest) = page.split_once("<!-- settings begin -->\n\n").unwrap();
    let (table, _) = rest.split_once("\n<!-- settings end -->").unwrap();
    let right = reference();
    assert!(table == right, "docs/CONFIG.md should hold:\n{right}");
    assert!(table.lines().all(|line| line.matches('|').count() == 5));
}

#[test]
fn the_example_of_the_documentation_is_accepted() {
    let page = include_str!("../../docs/CONFIG.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let folder = Folder::new();
    let secret = folder.write("secret", SECRET);
    folder.write(FILE_NAME, example.replace("/run/secrets/gatelodge", secret.to_str().unwrap()));
    let config = folder.load(&[]).unwrap();
    assert_eq!(config.registration.mode, RegistrationMode::Invite);
    let mistake = page.lines().find(|line| line.starts_with("gatelodge.yaml:4: ")).unwrap();
    refused(with("\n\nauth:\n  jwt_expiry_hours: soon", &[]), mistake);
}

const YAML: &str = r#"
        data_dir: data
        auth: {jwt_secret: SECRET, password_hash: bcrypt, master_key_file: key}
        server:
          listen: '[::1]:1'
          public_url: HTTPS://Id.Example.org:443/
          trusted_proxies: [10.1.2.3, 'fd00::1', 10.9.9.9/8]
          allowed_origins:
            - http://A:80
            - http://a:81/
        api_keys: {prefix: "12"}
        throttle: {max_attempts: 0}
        pair:
          access_expiry: 1h30m
    "#;

#[test]
fn a_file_sets_values() {
    let folder = Folder::new();
    let path = folder.write("other.yaml", YAML.replace("SECRET", SECRET));
    let config = load(Some(&path), Path::new("/elsewhere"), &[]).unwrap();
    assert_eq!(config.data_dir, folder.0.join("data"));
    assert_eq!(config.auth.master_key_file, Some(folder.0.join("key")));
    assert_eq!(secret_of(&config), Some(SECRET));
    assert_eq!(shown(&config, "auth.jwt_secret").value, "(set, 39 characters)");
    assert_eq!(format!("{:?}", config.auth.jwt_secret), "Some(Hidden(…))");
    assert_eq!(config.auth.password_hash, PasswordHash::Bcrypt);
    assert_eq!(config.server.listen, ["[::1]:1".parse().unwrap()]);
    assert_eq!(config.server.public_url.unwrap(), "https://id.example.org");
    let networks = ["10.1.2.3/32", "fd00::1/128", "10.0.0.0/8"].map(|net| net.parse().unwrap());
    assert_eq!(config.server.trusted_proxies, networks);
    assert_eq!(config.server.allowed_origins, ["http://a", "http://a:81"]);
    assert_eq!((config.api_keys.prefix.as_str(), config.throttle.max_attempts), ("12", 0));
    assert_eq!(config.pair.access_expiry, Duration::from_secs(5400));
    let origin = format!("{}:14", path.display());
    assert_eq!(config.origins.get("pair.access_expiry"), Some(&origin));
}

#[test]
fn the_environment_wins_over_the_file() {
    let folder = Folder::new();
    let yaml = "auth: {jwt_expiry_hours: 1, jwt_secret: SECRET}\nthrottle:\n  max_attempts: 3";
    folder.write(FILE_NAME, yaml.replace("SECRET", SECRET));
    let env = [
        ("GATELODGE_AUTH__JWT_EXPIRY_HOURS", " 48 "),
        ("GATELODGE_SERVER__LISTEN", "127.0.0.1:1, [::1]:2"),
        ("GATELODGE_DATA_DIR", "inner"),
        ("GATELODGE_DIALECTS__PIN", "False"),
        ("GATELODGE_LOG__ACCESS", "false"),
        ("MAX_LOGIN_ATTEMPTS", "9"),
        ("RATE_LIMIT_WINDOW_SECONDS", "10"),
        ("JWT_EXPIRE_DURATION", "1.5h"),
        ("SECRET_KEY", SECRET),
        ("HOME", "x"),
    ];
    let config = folder.load(&env).unwrap();
    assert_eq!((config.auth.jwt_expiry_hours, config.server.listen.len()), (48, 2));
    assert_eq!(config.data_dir, folder.0.join("inner"));
    assert!(!config.log.access);
    assert!(!config.dialects.pin && secret_of(&config) == Some(SECRET));
    let throttle = &config.throttle;
    assert_eq!((throttle.max_attempts, throttle.window_seconds), (9, 10));
    assert_eq!(config.pair.access_expiry, Duration::from_secs(5400));
    let origin = shown(&config, "throttle.max_attempts").origin;
    assert_eq!(origin, "environment MAX_LOGIN_ATTEMPTS");
}

#[test]
fn secrets_come_from_files() {
    let folder = Folder::new();
    let path = folder.write("secret", format!("{SECRET}\n")).display().to_string();
    let (own, old) = ("GATELODGE_AUTH__JWT_SECRET_FILE", "SECRET_KEY_FILE");
    for env in [(old, path.as_str()), (own, "secret")] {
        assert_eq!(secret_of(&folder.load(&[env]).unwrap()), Some(SECRET));
    }
    let both = folder.load(&[(old, "secret"), ("SECRET_KEY", SECRET)]);
    refused(both, "environment SECRET_KEY_FILE: auth.jwt_secret | by SECRET_KEY; | keep one");
    folder.write(FILE_NAME, format!("auth:\n  jwt_secret_file: secret\n  jwt_secret: {SECRET}"));
    refused(folder.load(&[]), "gatelodge.yaml:3: auth.jwt_secret is given directly and as a file");
    folder.write(FILE_NAME, "auth:\n  jwt_secret_file: secret\n");
    assert_eq!(secret_of(&folder.load(&[]).unwrap()), Some(SECRET));
    folder.write("secret", "horse\n");
    refused(
        folder.load(&[]),
        "gatelodge.yaml:2: auth.jwt_secret is 5 bytes long; give at least 32",
    );
    folder.write("secret", b"horse\xff");
    refused(folder.load(&[]), "gatelodge.yaml:2: auth.jwt_secret_file names | not UTF-8");
    folder.write("secret", "horse".repeat(20_000));
    refused(folder.load(&[]), "gatelodge.yaml:2: | larger than 64 KiB | name a readable file");
    env_refused(old, "absent", "auth.jwt_secret names | cannot be read | name a readable file");
}

#[test]
fn two_names_must_agree() {
    let pairs = [
        ("SECRET_KEY", "AUTH__JWT_SECRET", SECRET, OTHER),
        ("MAX_LOGIN_ATTEMPTS", "THROTTLE__MAX_ATTEMPTS", "5", "6"),
        ("RATE_LIMIT_WINDOW_SECONDS", "THROTTLE__WINDOW_SECONDS", "5", "6"),
        ("JWT_EXPIRE_DURATION", "PAIR__ACCESS_EXPIRY", "60m", "2h"),
    ];
    for (old, new, value, other) in pairs {
        let new = format!("{PREFIX}{new}");
        let parts = format!("environment {old}: | another value than in environment {new}");
        refused(Folder::new().load(&[(old, value), (&new, other)]), &parts);
        Folder::new().load(&[(old, value), (&new, value)]).unwrap();
    }
    let same = [("JWT_EXPIRE_DURATION", "60m"), ("GATELODGE_PAIR__ACCESS_EXPIRY", "1h")];
    Folder::new().load(&same).unwrap();
    let yaml = format!("auth:\n  jwt_secret: {SECRET}\n");
    let differs = with(&yaml, &[("SECRET_KEY", OTHER)]);
    refused(differs, "environment SECRET_KEY: auth.jwt_secret | gatelodge.yaml:2 | keep one");
    with(&yaml, &[("GATELODGE_AUTH__JWT_SECRET", OTHER)]).unwrap();
}

#[test]
fn unknown_names_are_told_the_nearest() {
    all_refused(
        r"
        auth:\n  jwt_expiry_hour: 1 => gatelodge.yaml:2: auth.jwt_expiry_hour is not a setting; the nearest known one is auth.jwt_expiry_hours
        \nauht:\n  a: 1 => gatelodge.yaml:2: auht is not a setting; the nearest known one is auth
        server:\n  data_dir: x => server.data_dir | one is data_dir
        jwt_secret: horse => gatelodge.yaml:1: jwt_secret | one is auth.jwt_secret
        auth:\n  jwt_secret_fil: a => gatelodge.yaml:2: auth.jwt_secret_fil | one is auth.jwt_secret_file
        auth.jwt_secret: horse => gatelodge.yaml:1: auth.jwt_secret | write `auth:` | `jwt_secret:`
        auth:\n  horse=battery: 1 => gatelodge.yaml:2 | no plain name
        auth:\n  7: 1 => gatelodge.yaml:2 | no plain name
        $GATELODGE_AUTH_JWT_SECRET=horse => is not a setting | one is GATELODGE_AUTH__JWT_SECRET
        $GATELODGE_DATA_DIR_FILE=x => is not a setting | one is GATELODGE_DATA_DIR
        ",
    );
}

#[test]
fn files_that_are_no_settings_are_refused() {
    all_refused(
        r"
        auth: {jwt_expiry_hours: 1, jwt_expiry_hours: 2} => gatelodge.yaml:1: auth.jwt_expiry_hours is given twice
        logs:\n  keep_days: 1\n  keep_days: 1\n => gatelodge.yaml:3: logs.keep_days is given twice | keep one
        auth:\n\nauth:\n => gatelodge.yaml:3: auth is given twice
        auth:\n---\nauth:\n => gatelodge.yaml:3: a second document | keep one
        - auth\n => gatelodge.yaml:1: the file is a list, not a map | auth:
        horse => gatelodge.yaml:1: the file is text
        \nauth: horse => gatelodge.yaml:2: auth is text, not a section | indented
        auth:\n  jwt_secret: horse: battery\n => gatelodge.yaml:2: is not valid YAML | colons
        auth: [ => gatelodge.yaml: | is not valid YAML
        ",
    );
    let deep = format!("\n{}", "- ".repeat(100_000));
    refused(with(&deep, &[]), "gatelodge.yaml:2: is nested too deep");
    let large = "#".repeat(1_048_577);
    refused(with(&large, &[]), "gatelodge.yaml: is larger than 1024 KiB | at most 1 MiB");
    let folder = Folder::new();
    folder.write(FILE_NAME, b"data_dir: \xff");
    refused(folder.load(&[]), "gatelodge.yaml: is not UTF-8 text | UTF-8");
    let absent = folder.0.join("absent.yaml");
    let result = load(Some(&absent), &folder.0, &[]).map_err(|e| e.to_string());
    refused(result, "absent.yaml: cannot be read | give a readable");
}

#[test]
fn wrong_types_are_refused() {
    let hours = "give a whole number of hours from 1 to 8760";
    for wrong in "soon,\"24\",1.5,true,[1],{a: 1},,0,8761,-1".split(',') {
        let yaml = format!("auth:\n  jwt_expiry_hours: {wrong}");
        let parts = "gatelodge.yaml:2: auth.jwt_expiry_hours is ";
        refused(with(&yaml, &[]), &format!("{parts} | {hours}"));
    }
    all_refused(
        r#"
        $GATELODGE_AUTH__JWT_EXPIRY_HOURS=soon => auth.jwt_expiry_hours is "soon"; give a whole number of hours from 1 to 8760
        api_keys:\n  prefix: 1234 => gatelodge.yaml:2: api_keys.prefix is a number without quotes | put it in quotes
        signup: {default_role: true} => true or false without quotes | put it in quotes
        auth:\n  jwt_secret: 12345678901234567 => auth.jwt_secret is a number without quotes
        dialects:\n  pin: "yes" => gatelodge.yaml:2: dialects.pin is text | true or false
        $GATELODGE_DIALECTS__PIN=maybe => dialects.pin is "maybe" | true or false
        server:\n  listen: 8080 => server.listen is a number | 127.0.0.1:8080
        server:\n  listen: [] => server.listen is an empty list
        pin:\n  networks:\n  - 10.0.0.0/8\n  - x => gatelodge.yaml:4: pin.networks has "x" | 10.0.0.0/8
        pin:\n  networks: [[1]] => gatelodge.yaml:2: pin.networks has a list | 10.0.0.0/8
        pin:\n  networks:\n  - 7 => gatelodge.yaml:3: pin.networks has a number without quotes
        "#,
    );
}

#[test]
fn values_out_of_bounds_are_refused() {
    all_refused(
        r#"
        $SECRET_KEY=horse => auth.jwt_secret is 5 bytes long | 32 bytes | openssl rand -base64 32
        $GATELODGE_AUTH__PASSWORD_HASH=md5 => is "md5" | give argon2id or bcrypt
        $GATELODGE_REGISTRATION__MODE=x\ny => give closed or open or invite
        $GATELODGE_API_KEYS__PREFIX=Lodge => is "Lodge" | 1 to 16 lower-case
        $GATELODGE_SIGNUP__DEFAULT_ROLE=a b => is "a b" | 1 to 64 lower-case
        $GATELODGE_SERVER__LISTEN=localhost:80 => has "localhost:80" | IP addresses with port
        $GATELODGE_AUTH__ARGON2_MEMORY_COST=19455 => 19455 with auth.argon2_time_cost 2 is too weak | 19456/2
        auth: {argon2_time_cost: 1} => gatelodge.yaml:1: | auth.argon2_time_cost 1 is too weak
        auth: {argon2_memory_cost: 16, allow_weak: true, argon2_parallelism: 3} => auth.argon2_memory_cost is 16 for 3 lanes | 24 KiB
        "#,
    );
    for wrong in "8 h -1h 1d 1h+2m 1.2.3h 500ms 8761h 9999999999h 1000000000h .h".split(' ') {
        env_refused("JWT_EXPIRE_DURATION", wrong, "pair.access_expiry is | 8h, 90m or 1h30m");
    }
    for good in ["7168, argon2_time_cost: 5", "47104, argon2_time_cost: 1", "8, allow_weak: true"] {
        with(&format!("auth: {{argon2_memory_cost: {good}}}"), &[]).unwrap();
    }
}

#[test]
fn settings_of_https_are_checked() {
    all_refused(
        r#"
        server:\n  tls:\n    cert: a.pem => gatelodge.yaml:3: server.tls.cert is set without server.tls.key
        $GATELODGE_SERVER__TLS__KEY=k => server.tls.key is set without server.tls.cert
        server: {tls: {cert: c, key: k, self_signed: true}} => server.tls.cert is set beside server.tls.self_signed
        server: {tls: true} => server.tls is true or false, not a section
        server: {tls: {certs: c}} => server.tls.certs is not a setting | server.tls.cert
        server.tls.cert: c => server.tls.cert stands on one line | `server.tls:` | `cert:`
        tls: {cert: c} => tls is not a setting
        server: {tls: {listen: "8443"}} => server.tls.listen | 127.0.0.1:8080
        "#,
    );
    let folder = Folder::new();
    folder.write(FILE_NAME, "server:\n  tls: {cert: c.pem, key: /k.pem}\n  max_connections: 9\n");
    let config = folder.load(&[("GATELODGE_SERVER__TLS__LISTEN", "127.0.0.1:443")]).unwrap();
    assert_eq!(config.tls.cert, Some(folder.0.join("c.pem")));
    assert_eq!(config.tls.key.as_deref(), Some(Path::new("/k.pem")));
    assert_eq!(config.tls.listen, ["127.0.0.1:443".parse().unwrap()]);
    assert_eq!((config.tls.self_signed, config.server.max_connections), (false, 9));
}

#[test]
fn settings_of_the_mail_server_are_checked() {
    all_refused(
        r#"
        $GATELODGE_EMAIL__SMTP_HOST=mail server => is "mail server" | such as mail.example.org
        $GATELODGE_EMAIL__SMTP_HOST=https://a => email.smtp_host is | a host name
        $GATELODGE_EMAIL__SMTP_PORT=0 => out of range; give a port from 1 to 65535
        $GATELODGE_EMAIL__SMTP_PORT=65536 => out of range
        $GATELODGE_EMAIL__SMTP_TLS=ssl => give auto or starttls or implicit or none
        $GATELODGE_EMAIL__SMTP_FROM_EMAIL=Gate <gate@example.org> => such as gate@example.org
        $GATELODGE_EMAIL__SMTP_FROM_EMAIL=gate@ex ample => such as gate@example.org
        $GATELODGE_EMAIL__LANGUAGE=fr => give en or de
        email:\n  smtp_port: "25" => gatelodge.yaml:2: email.smtp_port is text
        email:\n  smtp_from_name: "a\u000d\u000ab" => email.smtp_from_name is | one line
        email:\n\n  smtp_host: a => gatelodge.yaml:3: email.smtp_host is set without email.smtp_from_email
        email: {smtp_username: a} => email.smtp_username is set without email.smtp_password
        $GATELODGE_EMAIL__SMTP_PASSWORD=horse => email.smtp_password is set without email.smtp_username
        "#,
    );
    let folder = Folder::new();
    folder.write("secret", "horse\n");
    folder.write(
        FILE_NAME,
        "email: {smtp_host: '::1', smtp_from_email: g@a, smtp_port: 25, smtp_username: g@a, \
         smtp_password_file: secret, smtp_tls: implicit, smtp_ca_file: ca.pem, language: de}",
    );
    let email = folder.load(&[]).unwrap().email;
    assert_eq!((email.smtp_port, email.smtp_tls), (Some(25), SmtpTls::Implicit));
    assert_eq!(email.smtp_password.as_ref().map(Hidden::reveal), Some("horse"));
    assert_eq!(email.smtp_ca_file, Some(folder.0.join("ca.pem")));
    assert_eq!((email.language, email.new_sign_in_letters), (Language::German, true));
}

#[test]
fn urls_are_checked() {
    all_refused(
        r"
        $GATELODGE_SERVER__PUBLIC_URL=example.org => server.public_url is no URL | an http or https URL
        $GATELODGE_SERVER__PUBLIC_URL=ftp://a => scheme
        $GATELODGE_SERVER__PUBLIC_URL=http:// => host
        $GATELODGE_SERVER__PUBLIC_URL=https://u:horse@a => user name
        $GATELODGE_SERVER__PUBLIC_URL=https://a/b => has a path
        $GATELODGE_SERVER__PUBLIC_URL=https://a/?b => has a query
        $GATELODGE_SERVER__PUBLIC_URL=https://a#b => has a fragment
        $GATELODGE_SERVER__PUBLIC_URL=https://a b => characters
        $GATELODGE_SERVER__PUBLIC_URL=https://ä.example => characters
        $GATELODGE_SERVER__PUBLIC_URL=https://a:0 => valid host and port
        $GATELODGE_SERVER__PUBLIC_URL=https://a:65536 => valid host and port
        $GATELODGE_SERVER__PUBLIC_URL=https://a:+1 => valid host and port
        $GATELODGE_SERVER__PUBLIC_URL=https://1.2.3 => valid host and port
        $GATELODGE_SERVER__PUBLIC_URL=https://a..b => valid host and port
        $GATELODGE_SERVER__PUBLIC_URL=https://[::g] => valid host and port
        $GATELODGE_SERVER__PUBLIC_URL=https://[::1]x => valid host and port
        $GATELODGE_EMAIL__VERIFICATION_URL_BASE=https://a/b?c => has a query
        $GATELODGE_SIGNUP__FRONTEND_URL=https://-a/b => valid host and port
        $GATELODGE_UPDATES__FEED_URL=http://example.org/feed => updates.feed_url is http; give an https URL
        $GATELODGE_SERVER__ALLOWED_ORIGINS=https://a/b => has an entry that has a path
        $GATELODGE_SERVER__ALLOWED_ORIGINS=* => has an entry that is no URL
        ",
    );
}

#[test]
fn urls_are_kept_in_one_form() {
    let right = [
        ("SERVER__PUBLIC_URL", "http://[0:0::1]:8080/", "http://[::1]:8080"),
        ("SERVER__PUBLIC_URL", "http://My_Box.lan:80", "http://my_box.lan"),
        ("SIGNUP__FRONTEND_URL", "https://A/B/", "https://a/B"),
        ("UPDATES__FEED_URL", "http://localhost:9/f?g=1", "http://localhost:9/f?g=1"),
    ];
    for (name, value, stored) in right {
        let config = Folder::new().load(&[(&format!("GATELODGE_{name}"), value)]).unwrap();
        assert!(config.shown().iter().any(|shown| shown.value == stored), "{value}");
    }
}
