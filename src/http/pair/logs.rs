//! The last entries of the live log, and who has to wait.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    types::Any,
};
use serde::Serialize;
use serde_json::Value;

use super::{Tag, ask::Signed, error::PairError};
use crate::{
    domain::{
        Core,
        error::{Error, Noun},
        journal::LogEntry,
        throttle::Throttled,
    },
    http::serial::Serial,
};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

pub struct LogsApi {
    pub core: Core,
}

/// Entries of the live log, newest first.
#[derive(Object)]
#[allow(dead_code, reason = "what the document is made from; the answer is a [`Page`]")]
struct LogPage {
    /// Always `success`.
    status: String,
    /// Requests (`id`, `timestamp`, `client_ip`, `method`, `destination`, `status`, `bytes`,
    /// `elapsed_ms`, `user`) and events (`type`, `data`).
    data: Vec<Any<Value>>,
    total: u64,
    limit: u64,
    offset: u64,
}

/// A [`LogPage`] as it is written.
#[derive(Serialize)]
struct Page {
    status: &'static str,
    data: Vec<LogEntry>,
    total: u64,
    limit: u64,
    offset: u64,
}

/// An address with failed tries.
#[derive(Object)]
struct Limited {
    ip: String,
    attempts: u32,
    blocked: bool,
}

impl From<Throttled> for Limited {
    fn from(throttled: Throttled) -> Self {
        Self {
            ip: throttled.subject.address().to_string(),
            attempts: throttled.attempts,
            blocked: throttled.blocked,
        }
    }
}

/// By which rule addresses have to wait.
#[derive(Object)]
struct LimitRule {
    max_attempts: u32,
    window_seconds: u64,
}

/// Who has to wait.
#[derive(Object)]
struct LimitedList {
    /// Always `success`.
    status: String,
    data: Vec<Limited>,
    meta: LimitRule,
}

/// Done.
#[derive(Object)]
struct Cleared {
    /// Always `success`.
    status: String,
    message: String,
}

#[OpenApi]
impl LogsApi {
    /// The last entries of the live log
    ///
    /// Newest first; the last thousand are kept. Needs `events-read`.
    #[oai(path = "/api/logs", method = "get", operation_id = "logs_list", tag = "Tag::Logs")]
    async fn logs(
        &self,
        caller: Signed,
        /// 1 to 1000; 100, if left out.
        limit: Query<Option<usize>>,
        /// How many of the newest to leave out.
        offset: Query<Option<usize>>,
    ) -> Result<Serial<Page, LogPage>, PairError> {
        let limit = limit.0.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        let offset = offset.0.unwrap_or(0);
        let (entries, total) = self.core.journal_page(&caller.0, limit, offset)?;
        Ok(Serial::new(Page {
            status: "success",
            data: entries,
            total: total as u64,
            limit: limit as u64,
            offset: offset as u64,
        }))
    }

    /// Who has to wait
    ///
    /// Addresses with failed tries in a window that lasts. Needs `system-admin`.
    #[oai(
        path = "/api/security/rate-limits",
        method = "get",
        operation_id = "rate_limits_list",
        tag = "Tag::Security"
    )]
    async fn rate_limits(&self, caller: Signed) -> Result<Json<LimitedList>, PairError> {
        let (policy, throttled) = self.core.throttled_list(&caller.0)?;
        Ok(Json(LimitedList {
            status: "success".to_owned(),
            data: throttled.into_iter().map(Limited::from).collect(),
            meta: LimitRule {
                max_attempts: policy.max_attempts,
                window_seconds: policy.window.as_secs(),
            },
        }))
    }

    /// Let an address try again
    ///
    /// Forgets its failed tries. Needs `system-admin`.
    #[oai(
        path = "/api/security/rate-limits/:ip",
        method = "delete",
        operation_id = "rate_limit_clear",
        tag = "Tag::Security"
    )]
    async fn rate_limit_clear(
        &self,
        caller: Signed,
        ip: Path<String>,
    ) -> Result<Json<Cleared>, PairError> {
        let address = ip.0.parse().map_err(|_| Error::NotFound(Noun::Page));
        self.core.throttled_clear(&caller.0, address)?;
        let message = "Rate limit cleared".to_owned();
        Ok(Json(Cleared { status: "success".to_owned(), message }))
    }
}
