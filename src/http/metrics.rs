//! `GET /metrics`: the house in numbers, for Prometheus and whatever reads its format. No label knows
//! people, addresses or paths, so that there are always the same series.

mod latency;
mod text;

use std::sync::Arc;

use poem::http::HeaderMap;
use poem_openapi::{ApiResponse, OpenApi, payload::Binary};

pub use latency::{Latencies, Room};

use self::text::{MEDIA_TYPE, Text};
use super::{
    native::{self, NativeError},
    serve,
    visitor::Visitor,
};
use crate::domain::{
    Core, Timestamp,
    figures::{DIALECTS, Figures, OUTCOMES, Stored},
    passwords::Lanes,
    process::Process,
    throttle::Crowd,
};

/// Like the documents it stands in none of them: nobody makes a client of it.
pub struct MetricsApi {
    pub core: Core,
    pub latencies: Arc<Latencies>,
}

#[derive(ApiResponse)]
enum Page {
    #[oai(status = 200)]
    Told(Binary<String>, #[oai(header = "Content-Type")] String),
}

#[OpenApi]
impl MetricsApi {
    /// To programs nearby, and to whoever has `system-health`.
    #[oai(path = "/metrics", method = "get", hidden)]
    async fn metrics(&self, visitor: Visitor, headers: &HeaderMap) -> Result<Page, NativeError> {
        let facts = &visitor.0;
        let figures = match facts.origin.nearby {
            true => self.core.figures_nearby(&facts.origin).await?,
            false => self.core.figures(&native::caller(headers, facts).await?).await?,
        };
        Ok(Page::Told(Binary(told(&figures, &self.latencies)), MEDIA_TYPE.to_owned()))
    }
}

fn told(figures: &Figures, latencies: &Latencies) -> String {
    let mut text = Text::default();
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.family("gatelodge_build_info", "gauge", "The version that runs.").sample("", &version, 1);
    sign_ins(&mut text, figures);
    hashing(&mut text, &figures.lanes);
    throttle(&mut text, &figures.crowd);
    requests(&mut text, latencies);
    text.gauge("gatelodge_connections", "Connections that are open.", serve::open());
    text.gauge("gatelodge_log_readers", "Websockets on the live log.", figures.log_readers);
    let up = u8::from(figures.stored.is_some());
    text.gauge("gatelodge_database_up", "Whether the database can be read.", up);
    if let Some(kept) = &figures.stored {
        stored(&mut text, kept);
    }
    backups(&mut text, figures);
    if let Some(own) = &figures.process {
        process(&mut text, own);
    }
    text.done()
}

fn sign_ins(text: &mut Text, figures: &Figures) {
    const HELP: &str =
        "Sign-ins by dialect and outcome; a Basic credential that is remembered is none.";
    let mut family = text.family("gatelodge_sign_ins_total", "counter", HELP);
    for (dialect, row) in DIALECTS.iter().zip(&figures.sign_ins) {
        for (outcome, count) in OUTCOMES.iter().zip(row) {
            family.sample("", &[("dialect", dialect), ("outcome", outcome)], count);
        }
    }
}

fn hashing(text: &mut Text, lanes: &Lanes) {
    text.gauge("gatelodge_hash_lanes", "Passwords that can be hashed at once.", lanes.total);
    text.gauge("gatelodge_hash_lanes_busy", "Passwords being hashed.", lanes.busy);
    text.gauge("gatelodge_hash_lanes_bytes", "Memory that the lanes hold.", lanes.bytes);
    text.gauge("gatelodge_hash_queue", "Passwords that wait for a lane.", lanes.waiting);
    text.gauge("gatelodge_hash_queue_limit", "How many may wait.", lanes.room);
    const REFUSED: &str = "Tries that were told to come back later, since too many waited.";
    text.counter("gatelodge_hash_refused_total", REFUSED, lanes.refused);
    let mut family = text.family("gatelodge_hash_seconds", "summary", "Time in a lane, each hash.");
    family.sample("_sum", &[], lanes.time.as_secs_f64());
    family.sample("_count", &[], lanes.hashes);
}

fn throttle(text: &mut Text, crowd: &Crowd) {
    const KNOWN: &str = "Addresses with failed sign-ins that still count.";
    text.gauge("gatelodge_throttle_addresses", KNOWN, crowd.known);
    const BLOCKED: &str = "Those of them that have to wait.";
    text.gauge("gatelodge_throttle_addresses_blocked", BLOCKED, crowd.blocked);
    const TRIES: &str = "Tries refused since their address has to wait.";
    text.counter("gatelodge_throttle_refused_total", TRIES, crowd.tries_refused);
    const REQUESTS: &str = "Requests refused since their address made too many.";
    text.counter("gatelodge_rate_limit_refused_total", REQUESTS, crowd.requests_refused);
}

fn requests(text: &mut Text, latencies: &Latencies) {
    const HELP: &str = "Time until the answer began, by dialect and class of status.";
    let mut family = text.family("gatelodge_http_request_seconds", "histogram", HELP);
    for (room, name) in Room::ALL {
        for (at, class) in latency::CLASSES.iter().enumerate() {
            let cell = latencies.read(room, at);
            for ((_, end), count) in latency::ENDS.iter().zip(cell.up_to) {
                let labels = [("dialect", name), ("status", *class), ("le", *end)];
                family.sample("_bucket", &labels, count);
            }
            let labels = [("dialect", name), ("status", *class)];
            family.sample("_sum", &labels, cell.micros as f64 / 1e6);
            family.sample("_count", &labels, cell.up_to[cell.up_to.len() - 1]);
        }
    }
}

fn stored(text: &mut Text, kept: &Stored) {
    let mut family = text.family("gatelodge_accounts", "gauge", "Accounts by status.");
    family.sample("", &[("status", "active")], kept.accounts_active);
    family.sample("", &[("status", "pending")], kept.accounts_pending);
    family.sample("", &[("status", "disabled")], kept.accounts_disabled);
    text.gauge("gatelodge_sessions", "Sessions that live.", kept.sessions);
    let mut family = text.family("gatelodge_letters", "gauge", "Letters that are not sent.");
    family.sample("", &[("status", "waiting")], kept.letters_waiting);
    family.sample("", &[("status", "held")], kept.letters_held);
    family.sample("", &[("status", "failed")], kept.letters_failed);
    text.gauge("gatelodge_database_bytes", "Size of the database.", kept.database);
    text.gauge("gatelodge_database_wal_bytes", "Size of its log.", kept.wal);
    if let Some(free) = kept.free {
        text.gauge("gatelodge_disk_free_bytes", "What is left of its disk.", free);
    }
}

fn backups(text: &mut Text, figures: &Figures) {
    const FAILS: &str = "Whether the last scheduled backup had trouble.";
    text.gauge("gatelodge_backup_failing", FAILS, u8::from(figures.backup_fails));
    if let Some(at) =
        figures.stored.and_then(|stored| stored.last_backup_at).map(Timestamp::seconds)
    {
        const HELP: &str = "When a backup was made last.";
        text.gauge("gatelodge_last_backup_timestamp_seconds", HELP, at);
    }
}

/// By the names that every exporter gives them.
fn process(text: &mut Text, own: &Process) {
    let cpu = own.cpu.as_secs_f64();
    text.counter("process_cpu_seconds_total", "Processor time, user and system.", cpu);
    text.gauge("process_open_fds", "Files and connections that are open.", own.files);
    text.gauge("process_max_fds", "How many may be open.", own.max_files);
    text.gauge("process_virtual_memory_bytes", "Address space.", own.virtual_memory);
    text.gauge("process_resident_memory_bytes", "Memory in use.", own.resident);
    text.gauge("process_start_time_seconds", "When it began, since 1970.", own.started);
}
