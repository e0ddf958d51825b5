//! The log stream: a websocket that a ticket opens (RFC 6455).

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use poem::{
    Request, RequestBody,
    http::{HeaderMap, header},
    web::websocket::{BoxWebSocketUpgraded, Message, WebSocket, WebSocketStream},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi, payload::PlainText,
};
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::Tag;
use crate::{
    domain::{Core, caller::Caller, permissions::EVENTS_READ, secret::Secret},
    http::client::{Surroundings, is_own_origin},
};

const PING_EVERY: Duration = Duration::from_secs(80);
const SILENCE: Duration = Duration::from_secs(90);
/// Within a second of the end of its session a stream closes (wire rule 24).
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// A reader that takes longer than this for one message is gone.
const SEND_TIME: Duration = Duration::from_secs(20);
const PROTOCOL: &str = "token.";

pub struct StreamApi {
    pub core: Core,
    pub stop: watch::Receiver<bool>,
}

/// Refused before the upgrade.
#[derive(Debug, ApiResponse)]
enum StreamError {
    /// Not a websocket.
    #[oai(status = 400)]
    NotWebSocket(PlainText<String>),
    /// No ticket, or one that is not valid or no longer valid.
    #[oai(status = 401)]
    Unauthorized(PlainText<String>),
    /// From a page elsewhere.
    #[oai(status = 403)]
    Forbidden(PlainText<String>),
}

impl StreamError {
    fn unauthorized(text: &str) -> Self {
        Self::Unauthorized(PlainText(text.to_owned()))
    }
}

/// A ticket that is there and would be good; it is not used up before the upgrade is certain.
struct Ticket {
    token: Secret,
    /// The subprotocol that offered it, which has to be echoed.
    protocol: Option<String>,
}

fn offered(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .find(|protocol| protocol.len() > PROTOCOL.len() && protocol.starts_with(PROTOCOL))
        .map(str::to_owned)
}

fn of_query(request: &Request) -> Option<String> {
    let pairs: Vec<(String, String)> = request.params().unwrap_or_default();
    let found = pairs.into_iter().find(|(name, _)| name == "token");
    found.map(|(_, value)| value).filter(|value| !value.is_empty())
}

impl<'a> ApiExtractor<'a> for Ticket {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::PoemExtractor];

    type ParamType = ();
    type ParamRawType = ();

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let protocol = offered(request.headers());
        let token = protocol.as_deref().map(|text| text[PROTOCOL.len()..].to_owned());
        let Some(token) = token.or_else(|| of_query(request)).map(Secret::new) else {
            return Err(StreamError::unauthorized("missing token").into());
        };
        let core = request.extensions().get::<Core>();
        if !core.is_some_and(|core| core.ticket_lives(&token)) {
            return Err(StreamError::unauthorized("invalid or expired token").into());
        }
        Ok(Self { token, protocol })
    }
}

/// A request that wants to become a websocket, from our own pages or from no page at all.
struct Knock(WebSocket);

impl<'a> ApiExtractor<'a> for Knock {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::PoemExtractor];

    type ParamType = ();
    type ParamRawType = ();

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let knock = <WebSocket as poem::FromRequest>::from_request(request, body).await;
        let refusal = || StreamError::NotWebSocket(PlainText("a websocket is needed".to_owned()));
        Ok(Self(knock.map_err(|_| refusal())?))
    }
}

/// The reader's origin, as the browser tells it.
struct FromOwnPage(bool);

impl<'a> ApiExtractor<'a> for FromOwnPage {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::PoemExtractor];

    type ParamType = ();
    type ParamRawType = ();

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let surroundings = request.extensions().get::<Arc<Surroundings>>();
        Ok(Self(surroundings.is_some_and(|around| is_own_origin(request, around))))
    }
}

#[OpenApi(tag = "Tag::Logs")]
impl StreamApi {
    /// Follow the live log
    ///
    /// A websocket; one JSON text message for each entry. The ticket comes as `?token=` or as the
    /// offered subprotocol `token.TICKET`, which is echoed. A slow reader loses entries. Closes
    /// within a second of the end of the session or of the right to read.
    #[oai(path = "/api/ws/logs", method = "get", operation_id = "ws_logs")]
    async fn follow(
        &self,
        ticket: Ticket,
        own: FromOwnPage,
        socket: Knock,
    ) -> Result<BoxWebSocketUpgraded, StreamError> {
        if !own.0 {
            return Err(StreamError::Forbidden(PlainText("foreign origin".to_owned())));
        }
        let caller = self.core.ticket_redeem(&ticket.token).await;
        let caller = caller.map_err(|_| StreamError::unauthorized("invalid or expired token"))?;
        let reader = Reader {
            entries: self.core.journal().follow(),
            core: self.core.clone(),
            caller,
            stop: self.stop.clone(),
        };
        let protocols = ticket.protocol.into_iter().collect::<Vec<_>>();
        let upgraded = socket.0.protocols(protocols).on_upgrade(move |socket| reader.run(socket));
        Ok(upgraded.boxed())
    }
}

struct Reader {
    entries: broadcast::Receiver<Arc<str>>,
    core: Core,
    caller: Caller,
    stop: watch::Receiver<bool>,
}

impl Reader {
    async fn run(mut self, socket: WebSocketStream) {
        let (mut sink, mut inbound) = socket.split();
        let mut ask = interval(ASK_AGAIN);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ping = interval(PING_EVERY);
        let mut heard = Instant::now();
        loop {
            let message = tokio::select! {
                entry = self.entries.recv() => match entry {
                    Ok(text) => Some(Message::text(&*text)),
                    // A slow reader loses what it could not take.
                    Err(broadcast::error::RecvError::Lagged(_)) => None,
                    Err(broadcast::error::RecvError::Closed) => break,
                },
                frame = inbound.next() => match frame {
                    Some(Ok(frame)) if !frame.is_close() => {
                        heard = Instant::now();
                        None
                    }
                    _ => break,
                },
                _ = ping.tick() => Some(Message::ping(Vec::new())),
                _ = ask.tick() => {
                    if heard.elapsed() >= SILENCE || !self.may_go_on().await {
                        break;
                    }
                    None
                }
                _ = self.stop.changed() => break,
            };
            if let Some(message) = message {
                match timeout(SEND_TIME, sink.send(message)).await {
                    Ok(Ok(())) => {}
                    _ => return,
                }
            }
        }
        // The reader may be gone already.
        let _ = timeout(Duration::from_secs(1), sink.send(Message::close())).await;
    }

    async fn may_go_on(&mut self) -> bool {
        match self.core.caller_again(&self.caller).await {
            Ok(caller) => {
                self.caller = caller;
                self.caller.must(EVENTS_READ).is_ok()
            }
            Err(_) => false,
        }
    }
}
