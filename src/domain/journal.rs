//! The live log: the last requests and events in memory, for those who may watch, and the
//! single-use tickets by which a websocket is opened.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{
    Core, Timestamp,
    accounts::AccountId,
    caller::{Caller, Origin},
    error::{Error, Result, Why},
    events::WrittenEvent,
    permissions::EVENTS_READ,
    secret::{Secret, TokenDigest, random_text},
};

/// When events are looked for again that could not be read.
const AGAIN: Duration = Duration::from_secs(5);
/// Entries that are kept to be looked at later.
const KEPT: usize = 1000;
/// Entries that a reader may lag behind before it loses some.
const LAG: usize = 256;
/// A ticket opens one websocket within this time (seed 002).
const TICKET_LIFE: Duration = Duration::from_secs(120);
const MAX_TICKETS: usize = 1024;
/// What a name, a path or a method may take in an entry, in characters.
const MAX_TEXT: usize = 256;

/// One request, told.
#[derive(Debug)]
pub struct RequestEntry<'a> {
    pub client: Option<IpAddr>,
    pub method: &'a str,
    /// The path; never the query.
    pub path: &'a str,
    pub status: u16,
    /// Of the body; `None` for streams.
    pub bytes: Option<u64>,
    pub elapsed: Duration,
    pub user: Option<&'a str>,
}

/// An event for the log of the process.
#[derive(Debug)]
pub struct EventLine<'a> {
    pub kind: &'a str,
    /// Masked where `logs.mask_addresses` wants that; empty for the command line.
    pub client: String,
    /// Whose account it is about; for a failed sign-in the name that was tried, if it could be one.
    pub user: Option<&'a str>,
    pub actor: Option<&'a str>,
    pub dialect: &'a str,
    pub detail: &'a str,
}

/// The live log. A slow reader loses entries and slows nobody.
pub struct Journal {
    kept: Mutex<Kept>,
    live: broadcast::Sender<Arc<str>>,
}

#[derive(Default)]
struct Kept {
    next_id: u64,
    entries: VecDeque<Arc<Entry>>,
}

/// What is kept of a request or an event. It becomes JSON when somebody reads it: most entries
/// are never read.
enum Entry {
    Request(Told),
    Event(Value),
}

struct Told {
    id: u64,
    at: Timestamp,
    client: Option<IpAddr>,
    method: String,
    path: String,
    status: u16,
    bytes: Option<u64>,
    elapsed: Duration,
    /// Empty when nobody was signed in.
    user: String,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            id: 0,
            at: Timestamp::from_millis(0),
            client: None,
            method: String::new(),
            path: String::new(),
            status: 0,
            bytes: None,
            elapsed: Duration::ZERO,
            user: String::new(),
        }
    }
}

impl Told {
    /// Tells of another request in the same memory.
    fn tell(&mut self, id: u64, at: Timestamp, entry: &RequestEntry<'_>) {
        let RequestEntry { client, status, bytes, elapsed, .. } = *entry;
        show(&mut self.method, entry.method);
        show(&mut self.path, entry.path);
        show(&mut self.user, entry.user.unwrap_or_default());
        (self.id, self.at, self.client) = (id, at, client);
        (self.status, self.bytes, self.elapsed) = (status, bytes, elapsed);
    }
}

impl Serialize for LogEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match &*self.0 {
            Entry::Request(told) => RequestLine {
                id: told.id,
                timestamp: moment(told.at),
                client_ip: text_of(told.client),
                method: &told.method,
                destination: &told.path,
                status: told.status,
                bytes: told.bytes,
                elapsed_ms: u64::try_from(told.elapsed.as_millis()).unwrap_or(u64::MAX),
                user: Some(&*told.user).filter(|name| !name.is_empty()),
            }
            .serialize(serializer),
            Entry::Event(json) => json.serialize(serializer),
        }
    }
}

/// A request as readers see it (seed 002).
#[derive(Serialize)]
struct RequestLine<'a> {
    id: u64,
    timestamp: String,
    client_ip: String,
    method: &'a str,
    destination: &'a str,
    status: u16,
    bytes: Option<u64>,
    elapsed_ms: u64,
    user: Option<&'a str>,
}

/// An entry of the live log, to be written as JSON.
#[derive(Clone)]
pub struct LogEntry(Arc<Entry>);

impl LogEntry {
    fn text(&self) -> String {
        // Texts and numbers, and values that were JSON before: writing them cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self { kept: Mutex::default(), live: broadcast::Sender::new(LAG) }
    }
}

impl Journal {
    /// Entries as they come, JSON each.
    pub fn follow(&self) -> broadcast::Receiver<Arc<str>> {
        self.live.subscribe()
    }

    /// How many follow it just now.
    pub fn readers(&self) -> usize {
        self.live.receiver_count()
    }

    fn add_event(&self, event: Value) {
        self.add(|_, _| Arc::new(Entry::Event(event)));
    }

    /// In the memory of the oldest entry, unless somebody reads that one just now: every request
    /// comes by here, on whichever thread.
    fn add_request(&self, at: Timestamp, request: &RequestEntry<'_>) {
        self.add(|id, oldest| {
            if let Some(mut entry) = oldest
                && let Some(Entry::Request(told)) = Arc::get_mut(&mut entry)
            {
                told.tell(id, at, request);
                return entry;
            }
            let mut told = Told::default();
            told.tell(id, at, request);
            Arc::new(Entry::Request(told))
        });
    }

    /// `make` is given the new entry's id and the entry that makes room for it.
    fn add(&self, make: impl FnOnce(u64, Option<Arc<Entry>>) -> Arc<Entry>) {
        let mut kept = lock(&self.kept);
        kept.next_id += 1;
        let full = kept.entries.len() >= KEPT;
        let oldest = if full { kept.entries.pop_front() } else { None };
        let entry = make(kept.next_id, oldest);
        kept.entries.push_back(Arc::clone(&entry));
        if self.live.receiver_count() > 0 {
            // Under the lock, so that readers see the order of the ids. The last may just have left.
            let _ = self.live.send(LogEntry(entry).text().into());
        }
    }

    /// The newest first, and how many there are.
    fn page(&self, limit: usize, offset: usize) -> (Vec<LogEntry>, usize) {
        let kept = lock(&self.kept);
        let page = kept.entries.iter().rev().skip(offset).take(limit).cloned();
        let page = page.map(LogEntry).collect();
        (page, kept.entries.len())
    }
}

/// Tickets in memory, by digest.
#[derive(Default)]
pub(super) struct Tickets(Mutex<HashMap<TokenDigest, Ticket>>);

struct Ticket {
    caller: Caller,
    ends: Timestamp,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An address without what tells one household from its neighbours: the last byte of IPv4, all
/// but the first 48 bits of IPv6.
pub fn masked(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80)).into(),
    }
}

/// Puts there what an entry may show of a text that a client chose.
fn show(target: &mut String, text: &str) {
    target.clear();
    if text.len() <= MAX_TEXT && text.bytes().all(|b| b.is_ascii() && !b.is_ascii_control()) {
        // Nearly always; and every request comes by here.
        target.push_str(text);
    } else {
        target.extend(text.chars().filter(|c| !c.is_control()).take(MAX_TEXT));
    }
}

/// Empty when there is none.
fn text_of(address: Option<IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

fn moment(at: Timestamp) -> String {
    let text = at.whole_seconds().text();
    text.trim_end_matches('Z').replacen('T', " ", 1)
}

impl Core {
    /// A client's address as logs may show it; empty where there is none.
    pub fn shown_client(&self, origin: &Origin) -> String {
        text_of(self.shown_address(origin.address))
    }

    fn shown_address(&self, address: Option<IpAddr>) -> Option<IpAddr> {
        address.map(|address| match self.settings.mask_addresses {
            true => masked(address),
            false => address.to_canonical(),
        })
    }

    /// Tells a request to the live log.
    pub fn journal_request(&self, entry: &RequestEntry<'_>) {
        let client = self.shown_address(entry.client);
        self.journal.add_request(self.clock.now(), &RequestEntry { client, ..*entry });
    }

    fn journal_event(&self, event: &WrittenEvent) {
        let client = text_of(self.shown_address(event.address.parse().ok()));
        let name = event.account_name.clone();
        let data = if event.kind == "login_failure" {
            let typed = (!event.detail.is_empty()).then(|| event.detail.clone());
            json!({
                "client_ip": client,
                "username": name.or(typed).unwrap_or_default(),
                "reason": "invalid credentials",
                "dialect": event.dialect,
                "timestamp": moment(event.at),
            })
        } else {
            json!({
                "client_ip": client,
                "username": name,
                "actor": event.actor_name,
                "dialect": event.dialect,
                "detail": event.detail,
                "timestamp": moment(event.at),
            })
        };
        self.journal.add_event(json!({ "type": event.kind, "data": data }));
    }

    fn event_line<'a>(&self, event: &'a WrittenEvent) -> EventLine<'a> {
        let is_failure = event.kind == "login_failure";
        EventLine {
            kind: &event.kind,
            client: text_of(self.shown_address(event.address.parse().ok())),
            user: event.account_name.as_deref().or(is_failure.then_some(&*event.detail)),
            actor: event.actor_name.as_deref(),
            dialect: &event.dialect,
            detail: if is_failure { "" } else { &event.detail },
        }
    }

    /// Brings events from the database into the live log, wherever they were written, until `end`
    /// comes: then those that are written by now, and no more.
    ///
    /// `tell` hears of each too.
    pub async fn journal_events(
        self,
        end: impl Future + Send,
        tell: impl Fn(&EventLine<'_>) + Send + 'static,
    ) {
        let mut bell = self.events.listen();
        let (mut last, mut ended) = (None, false);
        let mut end = pin!(end);
        loop {
            let found = self.journal_new(&mut last, &tell).await;
            if let Ok(true) = found {
                continue;
            }
            if ended {
                return;
            }
            tokio::select! {
                rung = bell.changed() => ended = rung.is_err(),
                // What cannot be read is told of by whoever looks after the disk.
                () = tokio::time::sleep(AGAIN), if found.is_err() => {}
                _ = &mut end => ended = true,
            }
        }
    }

    /// Whether there may be more than were read at once.
    async fn journal_new(
        &self,
        last: &mut Option<i64>,
        tell: &impl Fn(&EventLine<'_>),
    ) -> Result<bool> {
        let operator = Caller::operator();
        let Some(after) = *last else {
            *last = Some(self.events_newest(&operator).await?);
            return Ok(false);
        };
        let found = self.events_after(&operator, after).await?;
        *last = found.last().map_or(*last, |event| Some(event.id));
        for event in &found {
            self.journal_event(event);
            tell(&self.event_line(event));
        }
        Ok(!found.is_empty())
    }

    /// The last entries of the live log, newest first; with their number.
    pub fn journal_page(
        &self,
        caller: &Caller,
        limit: usize,
        offset: usize,
    ) -> Result<(Vec<LogEntry>, usize)> {
        caller.must(EVENTS_READ)?;
        Ok(self.journal.page(limit, offset))
    }

    /// A ticket for one websocket: two minutes, one use.
    pub fn ticket_issue(&self, caller: &Caller) -> Result<Secret> {
        caller.must_not_be_key()?;
        caller.must(EVENTS_READ)?;
        let now = self.clock.now();
        let token = Secret::new(random_text(43));
        let ticket = Ticket { caller: caller.clone(), ends: now.plus(TICKET_LIFE) };
        let mut tickets = lock(&self.tickets.0);
        if tickets.len() >= MAX_TICKETS {
            tickets.retain(|_, ticket| ticket.ends > now);
        }
        if tickets.len() >= MAX_TICKETS {
            return Err(Error::Busy { retry_after: Duration::from_secs(10) });
        }
        tickets.insert(TokenDigest::of(token.reveal()), ticket);
        Ok(token)
    }

    /// Whose websocket a ticket would open; it is not used up.
    pub fn ticket_holder(&self, token: &Secret) -> Option<AccountId> {
        let now = self.clock.now();
        let tickets = lock(&self.tickets.0);
        let ticket = tickets.get(&TokenDigest::of(token.reveal()));
        ticket.filter(|ticket| ticket.ends > now)?.caller.account_id()
    }

    /// Uses a ticket up. Whoever issued it must still be who they were.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a ticket that is unknown, used or too old.
    pub async fn ticket_redeem(&self, token: &Secret) -> Result<Caller> {
        let ticket = lock(&self.tickets.0).remove(&TokenDigest::of(token.reveal()));
        let now = self.clock.now();
        let ticket = ticket.filter(|ticket| ticket.ends > now);
        let ticket = ticket.ok_or(Error::Unauthenticated(Why::TokenExpired))?;
        let caller = self.caller_again(&ticket.caller).await?;
        caller.must(EVENTS_READ)?;
        Ok(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_the_network_only() {
        for (address, mask) in [
            ("192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2::3", "2001:db8:1::"),
            ("::ffff:192.0.2.77", "192.0.2.0"),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(masked(address).to_string(), mask);
        }
    }

    #[test]
    fn the_journal_keeps_a_bounded_number_and_tells_the_newest_first() {
        let journal = Journal::default();
        for _ in 0..KEPT + 10 {
            journal.add(|id, _| Arc::new(Entry::Event(json!({ "id": id }))));
        }
        let (page, total) = journal.page(2, 1);
        assert_eq!(total, KEPT);
        assert_eq!(page[0].text(), json!({ "id": 1009 }).to_string());
        assert_eq!(page[1].text(), json!({ "id": 1008 }).to_string());
    }
}
