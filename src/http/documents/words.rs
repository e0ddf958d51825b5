//! What fields of one name mean, wherever their own type says nothing: a sentence, an example, a
//! format. So that `expires_at` reads the same in every answer of every dialect.

use serde_json::{Map, Value, json};

/// Name or `Type.name`, sentence, example as JSON, format; empty: none.
#[rustfmt::skip]
const FIELDS: [(&str, &str, &str, &str); 197] = [
    ("accessToken", "What the cookie of the same name holds.", r#""eyJhbGciOiJIUzI1NiJ9.eyJ1aWQiOiJhbm4ifQ.c2lnbmF0dXJl""#, ""),
    ("access_token", "Send it as `Authorization: Bearer …`.", r#""eyJhbGciOiJIUzI1NiJ9.eyJ1aWQiOiJhbm4ifQ.c2lnbmF0dXJl""#, ""),
    ("account", "The account that it concerns.", r#""0b0a8a5e-6a4f-4c7b-9d3e-0d5c5b1f2a10""#, ""),
    ("account_name", "Its name now.", r#""ann""#, ""),
    ("accounts", "How many there are.", "7", ""),
    ("action", "What happened.", r#""play""#, ""),
    ("actions", "What happened to episodes, in the order in which it arrived.", "", ""),
    ("actor", "The account that did it.", r#""0b0a8a5e-6a4f-4c7b-9d3e-0d5c5b1f2a10""#, ""),
    ("actor_name", "Its name now.", r#""ann""#, ""),
    ("add", "Addresses of podcasts that were added.", r#"["https://example.org/feed.xml"]"#, ""),
    ("address", "Where from.", r#""192.168.1.20""#, ""),
    ("advisories", "What is known to be wrong with this version.", "", ""),
    ("apiKeys", "How many.", "2", ""),
    ("at", "When it happened.", r#""2026-01-02T03:04:05Z""#, ""),
    ("attempts", "How often it was tried.", "1", ""),
    ("blocked", "Whether it has to wait now.", "true", ""),
    ("built_in", "Whether it came with the program.", "false", ""),
    ("bytes", "Its length.", "512", ""),
    ("caption", "What people call it.", r#""Ann's phone""#, ""),
    ("confirm_password", "The password once more.", r#""Walnut-tree-7""#, ""),
    ("created_at", "When it was made.", r#""2026-01-02T03:04:05Z""#, ""),
    ("created_by", "Who made it.", r#""0b0a8a5e-6a4f-4c7b-9d3e-0d5c5b1f2a10""#, ""),
    ("current", "Whether it is the one that asks.", "true", ""),
    ("current_password", "The password that the account has now.", r#""Walnut-tree-7""#, ""),
    ("data", "The entries.", "", ""),
    ("database_bytes", "Size of the database file.", "1048576", ""),
    ("description", "What it is for.", r#""Those who help""#, ""),
    ("detail", "What is wrong, for people.", r#""invalid or expired token""#, ""),
    ("device", "The device on which it happened.", r#""phone""#, ""),
    ("dialect", "The dialect through which.", r#""native""#, ""),
    ("display_name", "The name for people to read.", r#""Ann""#, ""),
    ("email", "An e-mail address; it is kept in lower case.", r#""ann@example.org""#, "email"),
    ("email_verified", "Whether somebody has followed a link that was sent there.", "true", ""),
    ("enabled", "Whether there is one.", "true", ""),
    ("episode", "The address of the episode's file.", r#""https://example.org/1.mp3""#, ""),
    ("error", "What is wrong, for people.", r#""unauthorized""#, ""),
    ("expires_at", "When it ends.", r#""2026-01-03T03:04:05Z""#, ""),
    ("field", "The field of the request that it speaks of.", r#""username""#, ""),
    ("guid", "The episode's own id.", r#""urn:uuid:1""#, ""),
    ("has_password", "Whether one can sign in by password.", "true", ""),
    ("has_pin", "Whether one can sign in by PIN.", "false", ""),
    ("hash_lanes", "Passwords that are hashed at the same time.", "1", ""),
    ("http_url", "The address as it is subscribed to.", r#""http://example.org/feed.xml""#, ""),
    ("https_url", "The same under https.", r#""https://example.org/feed.xml""#, ""),
    ("id", "Names it for good.", r#""6f1c2e34-8a5b-4d7c-9e0f-1a2b3c4d5e6f""#, ""),
    ("invitation", "The token of an invitation's link.", r#""k7h2m9""#, ""),
    ("ip", "The address, or the network of an IPv6 address.", r#""192.168.1.20""#, ""),
    ("isAdmin", "Whether the role is `admin`.", "true", ""),
    ("is_active", "Whether the account may sign in.", "true", ""),
    ("is_admin", "Whether the role is `admin`.", "false", ""),
    ("issuer", "The address of the provider that vouches for it.", r#""https://id.example.org""#, ""),
    ("key", "The key itself; it is shown this once.", r#""lodge_Ab3dEf7h_0123456789abcdefghijklmnopqrstuv5x7z9k""#, ""),
    ("key_prefix", "How the key begins.", r#""lodge_Ab3dEf7h""#, ""),
    ("kind", "What kind of thing happened.", r#""sign_in""#, ""),
    ("lastSeenAt", "When it was last used.", r#""2026-01-02T03:04:05Z""#, ""),
    ("lastSignIns", "The latest first.", "", ""),
    ("last_error", "What went wrong the last time.", r#""the server does not answer""#, ""),
    ("last_login_at", "The latest sign-in.", r#""2026-01-02T03:04:05Z""#, ""),
    ("last_seen_at", "When it was last used.", r#""2026-01-02T03:04:05Z""#, ""),
    ("last_used_at", "When it was last used.", r#""2026-01-02T03:04:05Z""#, ""),
    ("letters_waiting", "Letters that are still to go out.", "0", ""),
    ("limit", "How many entries were asked for.", "100", ""),
    ("link", "The link to hand over.", r#""https://gate.example.org/reset#token=k7h2m9""#, ""),
    ("live_sessions", "Sessions that have not ended.", "12", ""),
    ("location", "Where the browser goes on.", r#""https://id.example.org/authorize?client_id=gatelodge""#, ""),
    ("login_url", "Where a browser goes to sign in.", r#""/auth/sso/login?provider=home""#, ""),
    ("logo_url", "Always empty.", r#""""#, ""),
    ("max_attempts", "Failed tries before an address has to wait.", "5", ""),
    ("message", "A sentence for people.", r#""done""#, ""),
    ("meta", "The rule.", "", ""),
    ("method", "By what one signed in.", r#""password""#, ""),
    ("mygpo_link", "Always empty.", r#""""#, ""),
    ("name", "What it is called.", r#""ann""#, ""),
    ("new_password", "The password to have from now on.", r#""Chestnut-tree-8""#, ""),
    ("next_attempt_at", "When it is tried again.", r#""2026-01-02T03:09:05Z""#, ""),
    ("not-synchronized", "Devices that are kept alike with none.", r#"["tablet"]"#, ""),
    ("offset", "How many of the newest are left out.", "0", ""),
    ("old_password", "The password that the account has now.", r#""Walnut-tree-7""#, ""),
    ("page", "Counts from 1.", "1", ""),
    ("page_size", "Entries on a page, 200 at most.", "50", ""),
    ("password", "The password.", r#""Walnut-tree-7""#, ""),
    ("people", "People who have a PIN.", "", ""),
    ("permissions", "What it may do.", r#"["users-read"]"#, ""),
    ("perms", "What the account may do.", "", ""),
    ("phone", "There is none.", "null", ""),
    ("pin", "Four to twelve digits.", r#""2580""#, ""),
    ("pin_allowed", "Whether a PIN is good from where one asks.", "true", ""),
    ("podcast", "The address of the podcast.", r#""https://example.org/feed.xml""#, ""),
    ("podcast_title", "The podcast's title.", r#""https://example.org/feed.xml""#, ""),
    ("podcast_url", "The podcast's address.", r#""https://example.org/feed.xml""#, ""),
    ("position", "Seconds from its beginning at which playing stopped.", "120", ""),
    ("provider", "The provider's name.", r#""home""#, ""),
    ("provider_name", "The provider's name for people.", r#""Home""#, ""),
    ("providers", "Providers elsewhere.", "", ""),
    ("purpose", "What it is for.", r#""reset-password""#, ""),
    ("recipient", "The address that it goes to.", r#""ann@example.org""#, "email"),
    ("refresh_expires_at", "When the refresh token ends.", r#""2026-02-01T03:04:05Z""#, ""),
    ("refresh_token", "Exchange it once for new tokens.", r#""eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIxIn0.c2lnbmF0dXJl""#, ""),
    ("registration", "Who may register.", r#""closed""#, ""),
    ("registration_mode", "Who may register.", "", ""),
    ("released", "Always empty.", r#""""#, ""),
    ("remove", "Addresses of podcasts that were removed.", r#"["https://example.org/old.xml"]"#, ""),
    ("retryAfter", "Seconds to wait.", "240", ""),
    ("role", "The name of a role.", r#""reader""#, ""),
    ("roleId", "The role's id.", r#""1b4e28ba-2fa1-51d2-883f-0016d3cca427""#, ""),
    ("runtime", "Always `rust`.", r#""rust""#, ""),
    ("sent_at", "When it went out.", r#""2026-01-02T03:04:06Z""#, ""),
    ("sessions", "Where the account is signed in.", "", ""),
    ("setup_required", "Whether the first account is still to be made.", "false", ""),
    ("setup_token_required", "Whether that needs the set-up token.", "false", ""),
    ("setup_token", "What the server printed at its start.", r#""Xq3v9K""#, ""),
    ("severity", "How bad it is.", r#""high""#, ""),
    ("started", "Seconds from its beginning at which playing began.", "0", ""),
    ("state", "Where it stands.", r#""open""#, ""),
    ("status", "Where it stands.", r#""success""#, ""),
    ("stop-synchronize", "Devices to be kept alike with none.", r#"["tablet"]"#, ""),
    ("subject", "The provider's own id for it.", r#""8c1f""#, ""),
    ("subscribers", "How many subscribe.", "1", ""),
    ("subscriptions", "How many podcasts it subscribes to.", "3", ""),
    ("synchronize", "Groups of devices to keep alike.", r#"[["phone","laptop"]]"#, ""),
    ("synchronized", "Groups of devices that are kept alike.", r#"[["phone","laptop"]]"#, ""),
    ("timestamp", "Send it as `since` the next time.", "1767322800", ""),
    ("title", "A title for people.", r#""https://example.org/feed.xml""#, ""),
    ("to", "Where to go afterwards: a path of this server.", r#""/account""#, ""),
    ("token", "The token.", r#""eyJhbGciOiJIUzI1NiJ9.eyJ1aWQiOiJhbm4ifQ.c2lnbmF0dXJl""#, ""),
    ("token_type", "Always `Bearer`.", r#""Bearer""#, ""),
    ("total", "The length of the whole list.", "1", ""),
    ("type", "What kind of device it is.", r#""mobile""#, ""),
    ("update_available", "Whether there is a newer version.", "true", ""),
    ("update_url", "Where it is told of.", r#""https://example.org/gatelodge/0.2.0""#, ""),
    ("update_urls", "Addresses that were sent in another form than they are kept in: as sent, as kept.", r#"[["HTTP://example.org/feed.xml","http://example.org/feed.xml"]]"#, ""),
    ("updated_at", "When it was last changed.", r#""2026-01-02T03:04:05Z""#, ""),
    ("updates", "What is new of episodes.", "", ""),
    ("uptime_seconds", "Since the server started.", "3600", ""),
    ("url", "An address.", r#""https://example.org/feed.xml""#, ""),
    ("user", "The account.", "", ""),
    ("userId", "The account's id.", r#""0b0a8a5e-6a4f-4c7b-9d3e-0d5c5b1f2a10""#, ""),
    ("user_agent", "What the client calls itself.", r#""Mozilla/5.0""#, ""),
    ("username", "The name of an account.", r#""ann""#, ""),
    ("uses", "How many accounts it is good for.", "1", ""),
    ("uses_left", "How many of them are left.", "1", ""),
    ("version", "Of the program.", r#""0.1.0""#, ""),
    ("wal_bytes", "Size of what is still to be moved into the database file.", "0", ""),
    ("warnings", "What somebody should look at.", "[]", ""),
    ("website", "Always empty.", r#""""#, ""),
    ("window_seconds", "How long failed tries are counted.", "300", ""),
    ("ApiKey.name", "What its owner calls it.", r#""backup script""#, ""),
    ("ApiKey.permissions", "None of `null`: all of its owner's.", r#"["users-read"]"#, ""),
    ("NewApiKey.name", "What its owner calls it.", r#""backup script""#, ""),
    ("KeyRequest.name", "What its owner calls it.", r#""backup script""#, ""),
    ("KeyChange.name", "What its owner calls it.", r#""backup script""#, ""),
    ("AdvisoryShape.id", "Its name in the list of advisories.", r#""GL-2026-1""#, ""),
    ("AdvisoryShape.url", "Where it is described.", r#""https://example.org/advisories/GL-2026-1""#, ""),
    ("DeviceAnswer.id", "The name that the client gave it.", r#""phone""#, ""),
    ("Event.id", "Counts up.", "42", ""),
    ("Event.detail", "What else there is to know; never a secret.", r#""""#, ""),
    ("Letter.id", "Counts up.", "42", ""),
    ("Letter.account", "The account that it concerns.", r#""0b0a8a5e-6a4f-4c7b-9d3e-0d5c5b1f2a10""#, ""),
    ("Link.purpose", "What following it does.", "", ""),
    ("EpisodeAction.timestamp", "When it happened, as the client says.", r#""2026-01-02T03:04:05""#, ""),
    ("EpisodeAction.total", "Its length in seconds.", "1800", ""),
    ("EpisodeAnswer.description", "Always empty.", r#""""#, ""),
    ("EpisodeAnswer.title", "What the episode is called, or its address.", r#""https://example.org/1.mp3""#, ""),
    ("EpisodeAnswer.url", "The address of the episode's file.", r#""https://example.org/1.mp3""#, ""),
    ("EpisodeAnswer.status", "The latest that happened to it.", r#""play""#, ""),
    ("PodcastAnswer.description", "Always empty.", r#""""#, ""),
    ("EmailAnswer.role", "The role, in capitals.", r#""DEVELOPER""#, ""),
    ("EmailAnswer.message", "What happened.", r#""Login successful""#, ""),
    ("PinAnswer.message", "What happened.", r#""Login successful""#, ""),
    ("RefreshAnswer.message", "What happened.", r#""Access token refreshed successfully""#, ""),
    ("SignupAnswer.message", "What happened.", r#""Signup successful""#, ""),
    ("Dashboard.message", "What happened.", r#""Dashboard fetched successfully""#, ""),
    ("Dashboard.user", "The caller.", "", ""),
    ("Profile.role", "The role, in capitals.", r#""DEVELOPER""#, ""),
    ("SignInEntry.address", "Where from.", r#""192.168.1.20""#, ""),
    ("SignupRequest.name", "The name for people to read.", r#""John Doe""#, ""),
    ("SignupRequest.email", "It becomes the user name as well.", r#""john@example.org""#, ""),
    ("SignupProblem.error", "What is wrong with the token.", r#""jwt expired""#, ""),
    ("Health.status", "Always `healthy`.", r#""healthy""#, ""),
    ("Health.timestamp", "Now, RFC 3339, UTC.", r#""2026-01-02T03:04:05Z""#, "date-time"),
    ("PasswordRequest.new_password", "Eight characters or more, with a digit and a special character.", r#""Chestnut-tree-8""#, ""),
    ("Permission.name", "Its name.", r#""users-read""#, ""),
    ("Permission.description", "What it lets one do.", r#""See accounts""#, ""),
    ("Permission.enabled", "Always true.", "true", ""),
    ("Provider.name", "Its name in the configuration.", r#""home""#, ""),
    ("Provider.display_name", "Its name for people.", r#""Home""#, ""),
    ("Role.name", "Its name.", r#""helpers""#, ""),
    ("RoleRequest.name", "Its name.", r#""helpers""#, ""),
    ("Session.address", "Where from.", r#""192.168.1.20""#, ""),
    ("UpdatesAnswer.add", "Podcasts that were added.", "", ""),
    ("EmailRequest.email", "Any text; an address that no account has reads the same.", r#""ann@example.org""#, ""),
    ("GpodderAddress.email", "Any text; an address that no account has reads the same.", r#""ann@example.org""#, ""),
    ("GpodderRegistration.email", "Needed where the registration mode is `invite`.", r#""ann@example.org""#, ""),
    ("EmailLogin.email", "The e-mail address of the account.", r#""ann@example.org""#, ""),
    ("User.role", "The name of its role.", r#""admin""#, ""),
    ("Problem.status", "Always `error`.", r#""error""#, ""),
    ("RegisterAnswer.message", "What to do next.", r#""welcome""#, ""),
];

/// What may be sent: name, keyword of JSON Schema, value as JSON. The domain holds to them.
#[rustfmt::skip]
const BOUNDS: [(&str, &str, &str); 43] = [
    ("RegisterRequest.username", "minLength", "1"),
    ("RegisterRequest.username", "maxLength", "254"),
    ("UserRequest.username", "minLength", "1"),
    ("UserRequest.username", "maxLength", "254"),
    ("UserEdit.username", "minLength", "1"),
    ("UserEdit.username", "maxLength", "254"),
    ("InitializeRequest.username", "minLength", "1"),
    ("InitializeRequest.username", "maxLength", "254"),
    ("RegisterRequest.email", "maxLength", "254"),
    ("UserRequest.email", "maxLength", "254"),
    ("UserEdit.email", "maxLength", "254"),
    ("InitializeRequest.email", "maxLength", "254"),
    ("EmailChange.email", "maxLength", "254"),
    ("MailTestRequest.email", "maxLength", "254"),
    ("InvitationRequest.email", "maxLength", "254"),
    ("RegisterRequest.password", "minLength", "8"),
    ("RegisterRequest.password", "maxLength", "1024"),
    ("UserRequest.password", "minLength", "8"),
    ("UserRequest.password", "maxLength", "1024"),
    ("UserEdit.password", "minLength", "8"),
    ("UserEdit.password", "maxLength", "1024"),
    ("InitializeRequest.password", "minLength", "8"),
    ("InitializeRequest.password", "maxLength", "1024"),
    ("PasswordChange.new_password", "minLength", "8"),
    ("PasswordChange.new_password", "maxLength", "1024"),
    ("ResetRequest.new_password", "minLength", "8"),
    ("ResetRequest.new_password", "maxLength", "1024"),
    ("ProfileChange.display_name", "maxLength", "128"),
    ("UserRequest.display_name", "maxLength", "128"),
    ("UserEdit.display_name", "maxLength", "128"),
    ("KeyRequest.name", "maxLength", "128"),
    ("KeyChange.name", "maxLength", "128"),
    ("KeyRequest.permissions", "maxItems", "200"),
    ("KeyChange.permissions", "maxItems", "200"),
    ("RoleRequest.permissions", "maxItems", "200"),
    ("RoleEdit.permissions", "maxItems", "200"),
    ("RoleRequest.description", "maxLength", "500"),
    ("RoleEdit.description", "maxLength", "500"),
    ("RoleRequest.name", "pattern", r#""^[a-z0-9_-]{1,64}$""#),
    ("PinChange.pin", "pattern", r#""^[0-9]{4,12}$""#),
    ("PinEdit.pin", "pattern", r#""^[0-9]{4,12}$""#),
    ("InvitationRequest.uses", "minimum", "1"),
    ("InvitationRequest.uses", "maximum", "1000"),
];

/// What an error may say: status, native's kind of it, a sentence.
const PROBLEMS: [(&str, &str, &str); 11] = [
    ("400", "bad_request", "the request cannot be read"),
    ("401", "unauthorized", "sign in first"),
    ("403", "forbidden", "this account may not do this"),
    ("404", "not_found", "no such thing"),
    ("409", "conflict", "this name is taken"),
    ("413", "bad_request", "the body is too large"),
    ("415", "bad_request", "send JSON, with Content-Type: application/json"),
    ("422", "unprocessable", "username is required"),
    ("429", "too_many_requests", "too many tries; wait a while"),
    ("500", "internal", "something broke; the log says more"),
    ("503", "busy", "the server is busy; try again"),
];

/// Tells of fields what their types leave open, and what is true of all of them.
pub fn explain(document: &mut Value) {
    let asked = asked(document);
    let schemas = document["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.into_iter().flatten() {
        let is_answer = !asked.contains(name);
        let mut always = Vec::new();
        let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (key, field) in fields.into_iter().flatten() {
            explain_field(name, key, field);
            if is_answer && field["nullable"] == true {
                always.push(key.clone());
            }
        }
        require(schema, always);
    }
}

/// An answer holds what may be `null` always.
fn require(schema: &mut Value, names: Vec<String>) {
    if names.is_empty() {
        return;
    }
    let Some(schema) = schema.as_object_mut() else { return };
    let required = schema.entry("required").or_insert_with(|| json!([]));
    let known = required.as_array_mut().into_iter().flatten();
    let mut all: Vec<String> = known.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    all.extend(names);
    *required = json!(all);
}

fn explain_field(schema: &str, key: &str, field: &mut Value) {
    let full = format!("{schema}.{key}");
    let found = |name: &str| FIELDS.iter().find(|(known, ..)| *known == name);
    let Some((_, says, example, format)) = found(&full).or_else(|| found(key)) else { return };
    let Some(field) = field.as_object_mut() else { return };
    // Beside a bare reference nothing may stand (OpenAPI 3.0, "Reference Object").
    if field.contains_key("$ref") {
        return;
    }
    field.entry("description").or_insert_with(|| json!(says));
    let is_plain = !field.contains_key("allOf") && !field.contains_key("enum");
    if let Ok(example) = serde_json::from_str::<Value>(example)
        && is_plain
    {
        field.entry("example").or_insert(example);
    }
    for (_, keyword, value) in BOUNDS.iter().filter(|(known, ..)| *known == full) {
        if let Ok(value) = serde_json::from_str::<Value>(value) {
            field.insert((*keyword).to_owned(), value);
        }
    }
    if !format.is_empty() {
        field.entry("format").or_insert(json!(format));
    }
}

/// The schemas that a request can reach.
pub fn asked(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let paths = document["paths"].as_object().into_iter().flat_map(Map::values);
    for operation in paths.filter_map(Value::as_object).flat_map(Map::values) {
        reach(document, &operation["requestBody"], &mut found);
    }
    found
}

fn reach(document: &Value, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let name = value["$ref"].as_str().and_then(|path| path.rsplit('/').next());
            if let Some(name) = name.filter(|name| !found.iter().any(|known| known == name)) {
                found.push(name.to_owned());
                reach(document, &document["components"]["schemas"][name], found);
            }
            map.values().for_each(|value| reach(document, value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| reach(document, value, found)),
        _ => {}
    }
}

/// Makes an example of an error say something that fits its status.
pub fn problem(fields: &mut Map<String, Value>, status: &str) {
    let Some((_, kind, text)) = PROBLEMS.iter().find(|(known, ..)| *known == status) else {
        return;
    };
    let has_kind = fields.contains_key("error") && fields.contains_key("message");
    let texts: [&str; 2] = if has_kind { ["message", "detail"] } else { ["error", "detail"] };
    if has_kind {
        fields.insert("error".to_owned(), json!(kind));
    }
    for name in texts.into_iter().chain((!has_kind).then_some("message")) {
        if let Some(value) = fields.get_mut(name) {
            *value = json!(text);
        }
    }
}
