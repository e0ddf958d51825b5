//! Answers with many actions. They are read and sent a thousand at a time, so that 200,000 of
//! them take the memory of one page, and a client that reads slowly holds no database reader.

use std::io;

use bytes::Bytes;
use futures_util::stream;
use poem::{Body, IntoResponse, Response};
use poem_openapi::{
    ApiResponse, Object,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;

use super::episodes::EpisodeAction;
use crate::{
    domain::{
        Core,
        caller::Caller,
        error::Result,
        podcasts::episodes::{ActionPage, ActionQuery, Cursor},
    },
    log,
};

/// What happened, and what to ask next.
#[derive(Object)]
#[allow(dead_code, reason = "what the document is made from; the answer is written piece by piece")]
struct ActionList {
    actions: Vec<EpisodeAction>,
    /// What to ask `since` next time: up to it everything is told.
    timestamp: i64,
}

/// An [`ActionList`] as it is sent.
pub struct ActionsAnswer(Body);

/// What is left to be read.
struct Rest {
    core: Core,
    caller: Caller,
    query: ActionQuery,
    next: Option<Cursor>,
}

impl ActionsAnswer {
    /// Reads the first page, with which most answers are whole.
    ///
    /// # Errors
    /// Those of the deed. Later ones break the connection off, so that no client takes half an
    /// answer for a whole one.
    pub async fn read(core: Core, caller: Caller, query: ActionQuery) -> Result<Self> {
        let page = core.actions_page(&caller, &query, None).await?;
        let mut text = b"{\"actions\":[".to_vec();
        let next = page.next;
        write(page, &mut text, true);
        if next.is_none() {
            return Ok(Self(Body::from(text)));
        }
        let rest = Rest { core, caller, query, next };
        let first = stream::once(async { Ok::<_, io::Error>(Bytes::from(text)) });
        let others = stream::try_unfold(rest, Rest::more);
        Ok(Self(Body::from_bytes_stream(stream::StreamExt::chain(first, others))))
    }
}

impl Rest {
    async fn more(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.next.is_none() {
            return Ok(None);
        }
        let page = self.core.actions_page(&self.caller, &self.query, self.next).await;
        let page = page.map_err(|error| {
            log::trouble("answer", &error.to_string());
            io::Error::other("broken off")
        })?;
        self.next = page.next;
        let mut text = Vec::new();
        write(page, &mut text, false);
        Ok(Some((Bytes::from(text), self)))
    }
}

/// Adds a page, and the end after the last one.
fn write(page: ActionPage, text: &mut Vec<u8>, mut first: bool) {
    let ActionPage { actions, timestamp, next } = page;
    text.reserve(actions.len() * 256 + 64);
    for action in actions {
        if !first {
            text.push(b',');
        }
        first = false;
        let mut json = serde_json::Serializer::new(&mut *text);
        // Writing texts and numbers to memory cannot fail.
        let _ = EpisodeAction::from(action).serialize(&mut json);
    }
    if next.is_none() {
        text.extend_from_slice(format!("],\"timestamp\":{timestamp}}}").as_bytes());
    }
}

impl ApiResponse for ActionsAnswer {
    fn meta() -> MetaResponses {
        let content_type = "application/json";
        let response = MetaResponse {
            description: "",
            status: Some(200),
            status_range: None,
            content: vec![MetaMediaType { content_type, schema: ActionList::schema_ref() }],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        ActionList::register(registry);
    }
}

impl IntoResponse for ActionsAnswer {
    fn into_response(self) -> Response {
        Response::builder().content_type("application/json").body(self.0)
    }
}
