//! What happened, as pages and as a stream.

use std::{collections::VecDeque, time::Duration};

use futures_util::stream::{BoxStream, StreamExt, unfold};
use poem::web::sse::Event as SseEvent;
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Query},
    payload::EventStream,
    types::ToJSON,
};
use tokio::{sync::watch, time::timeout};

use super::{
    Tag,
    ask::{Moment, Signed},
    error::NativeError,
    shapes::{Paged, with_query},
};
use crate::domain::{
    Core, Timestamp,
    caller::Caller,
    events::{EventFilter, WrittenEvent},
    page::Page,
};

/// How often a stream asks whether it may still be served: within a second of the end of its
/// session it closes (wire rule 24).
const ASK_AGAIN: Duration = Duration::from_millis(500);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub struct EventsApi {
    pub core: Core,
    pub stop: watch::Receiver<bool>,
}

/// Something that happened.
#[derive(Clone, Debug, Object)]
struct Event {
    /// Counts up.
    id: i64,
    at: Moment,
    /// `signed_in`, `login_failure`, `account_created` …
    kind: String,
    /// The id of the account that it is about.
    #[oai(nullable)]
    account: Option<String>,
    /// Its name, while it exists.
    #[oai(nullable)]
    account_name: Option<String>,
    /// The id of the account that did it; `null` for strangers and the command line.
    #[oai(nullable)]
    actor: Option<String>,
    #[oai(nullable)]
    actor_name: Option<String>,
    /// Where it came from; empty for the command line.
    address: String,
    dialect: String,
    detail: String,
}

impl From<WrittenEvent> for Event {
    fn from(event: WrittenEvent) -> Self {
        Self {
            id: event.id,
            at: Moment(event.at),
            kind: event.kind,
            account: event.account,
            account_name: event.account_name,
            actor: event.actor,
            actor_name: event.actor_name,
            address: event.address,
            dialect: event.dialect,
            detail: event.detail,
        }
    }
}

fn list_path(filter: &EventFilter) -> String {
    let (since, until) = (filter.since.map(Timestamp::text), filter.until.map(Timestamp::text));
    let pairs = [
        ("kind", filter.kind.as_deref()),
        ("account", filter.account.as_deref()),
        ("dialect", filter.dialect.as_deref()),
        ("since", since.as_deref()),
        ("until", until.as_deref()),
    ];
    with_query("/api/v1/events", pairs)
}

#[OpenApi(prefix_path = "/api/v1", tag = "Tag::Events")]
impl EventsApi {
    /// List events
    ///
    /// Newest first. Needs `events-read`.
    #[oai(path = "/events", method = "get", operation_id = "events_list")]
    #[allow(clippy::too_many_arguments, reason = "each is one parameter of the query")]
    async fn list(
        &self,
        caller: Signed,
        /// Only of this kind.
        kind: Query<Option<String>>,
        /// Only about this account.
        account: Query<Option<String>>,
        /// Only of this dialect.
        dialect: Query<Option<String>>,
        /// At or after this moment.
        since: Query<Option<Moment>>,
        /// Before this moment.
        until: Query<Option<Moment>>,
        /// From 1.
        page: Query<Option<u32>>,
        /// 1 to 200.
        page_size: Query<Option<u32>>,
    ) -> Result<Paged<Event>, NativeError> {
        let page = Page::new(page.0, page_size.0)?;
        let filter = EventFilter {
            kind: kind.0,
            account: account.0,
            dialect: dialect.0,
            since: since.0.map(|moment| moment.0),
            until: until.0.map(|moment| moment.0),
        };
        let path = list_path(&filter);
        let found = self.core.events_list(&caller.0, filter, page).await?;
        Ok(Paged::of(&path, page, found, Event::from))
    }

    /// Follow events
    ///
    /// Server-sent events, each with its id; `Last-Event-ID` takes up where a stream broke off.
    /// Ends within a second of the end of the session or of the right to read. Needs
    /// `events-read`.
    #[oai(path = "/events/stream", method = "get", operation_id = "events_stream")]
    async fn stream(
        &self,
        caller: Signed,
        /// The id of the last event that was seen.
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<i64>>,
    ) -> Result<EventStream<BoxStream<'static, Event>>, NativeError> {
        let newest = self.core.events_newest(&caller.0).await?;
        let reader = Reader {
            core: self.core.clone(),
            caller: caller.0,
            last: last.0.unwrap_or(newest),
            bell: self.core.events().listen(),
            stop: self.stop.clone(),
            waiting: VecDeque::new(),
        };
        let events = unfold(reader, |mut reader| async move {
            let event = reader.next().await?;
            Some((event, reader))
        });
        Ok(EventStream::new(events.boxed()).keep_alive(KEEP_ALIVE).to_event(|event: Event| {
            SseEvent::message(event.to_json_string()).id(event.id.to_string()).event_type("event")
        }))
    }
}

/// One stream: it reads what is new from the database whenever the bell rings, so that a slow
/// one holds nothing in memory and slows nobody.
struct Reader {
    core: Core,
    caller: Caller,
    last: i64,
    bell: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    waiting: VecDeque<Event>,
}

impl Reader {
    /// `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            // Each time, not only in quiet moments: a long history must not outlive the session.
            self.caller = self.core.caller_again(&self.caller).await.ok()?;
            self.bell.borrow_and_update();
            let found = self.core.events_after(&self.caller, self.last).await.ok()?;
            if let Some(newest) = found.last() {
                self.last = newest.id;
                self.waiting.extend(found.into_iter().map(Event::from));
                continue;
            }
            self.pause().await?;
        }
    }

    async fn pause(&mut self) -> Option<()> {
        loop {
            if *self.stop.borrow() {
                return None;
            }
            self.caller = self.core.caller_again(&self.caller).await.ok()?;
            self.caller.must(crate::domain::permissions::EVENTS_READ).ok()?;
            tokio::select! {
                rung = timeout(ASK_AGAIN, self.bell.changed()) => match rung {
                    Ok(Ok(())) => return Some(()),
                    Ok(Err(_)) => return None,
                    Err(_) => {}
                },
                _ = self.stop.changed() => return None,
            }
        }
    }
}
