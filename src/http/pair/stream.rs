//! The log stream: a websocket that a ticket opens (RFC 6455).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use poem::{
    FromRequest, Request, RequestBody,
    http::{HeaderMap, header},
    web::websocket::{BoxWebSocketUpgraded, Message, WebSocket, WebSocketConfig, WebSocketStream},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi, payload::PlainText,
    registry::Registry,
};
use tokio::{
    sync::{Notify, broadcast, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    Tag,
    seats::{Seat, Seats},
};
use crate::{
    domain::{Core, accounts::AccountId, caller::Caller, permissions::EVENTS_READ, secret::Secret},
    http::{scheme::of_key, visitor::facts},
};

const PING_EVERY: Duration = Duration::from_secs(80);
const SILENCE: Duration = Duration::from_secs(90);
/// Within a second of the end of its session a stream closes (wire rule 24).
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How long the last word may take.
const FAREWELL: Duration = Duration::from_millis(250);
/// Readers have nothing to say, and there may be many of them, in bytes.
const BUFFER: usize = 4 * 1024;
const PROTOCOL: &str = "token.";

/// When to come back for whoever finds no seat, in seconds.
const NO_SEAT: u64 = 10;

pub struct StreamApi {
    pub core: Core,
    pub stop: watch::Receiver<bool>,
    pub seats: Seats,
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
    /// As many follow the log as may, or as one account may; the ticket is good still.
    #[oai(status = 503)]
    Unavailable(
        PlainText<String>,
        /// Seconds.
        #[oai(header = "Retry-After")]
        u64,
    ),
}

impl StreamError {
    fn unauthorized(text: &str) -> Self {
        Self::Unauthorized(PlainText(text.to_owned()))
    }

    fn full() -> Self {
        Self::Unavailable(PlainText("too many readers".to_owned()), NO_SEAT)
    }
}

/// A ticket that is there and would be good; it is not used up before the upgrade is certain.
struct Ticket {
    token: Secret,
    holder: AccountId,
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
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        const TICKET: &str =
            "The token of `/api/ws-token`; or offer the subprotocol `token.TICKET`.";
        registry.create_security_scheme("ticket", of_key("query", "token", TICKET));
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["ticket"]
    }

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
        let Some(holder) = facts(request)?.core.ticket_holder(&token) else {
            return Err(StreamError::unauthorized("invalid or expired token").into());
        };
        Ok(Self { token, holder, protocol })
    }
}

/// A request that wants to become a websocket, from our own pages or from no page at all.
struct Knock(WebSocket);

impl<'a> FromRequest<'a> for Knock {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let knock = <WebSocket as FromRequest>::from_request(request, body).await;
        let refusal = || StreamError::NotWebSocket(PlainText("a websocket is needed".to_owned()));
        Ok(Self(knock.map_err(|_| refusal())?))
    }
}

/// The reader's origin, as the browser tells it.
struct FromOwnPage(bool);

impl<'a> FromRequest<'a> for FromOwnPage {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(facts(request)?.own_pages))
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
        let seat = self.seats.take(ticket.holder).ok_or_else(StreamError::full)?;
        let caller = self.core.ticket_redeem(&ticket.token).await;
        let caller = caller.map_err(|_| StreamError::unauthorized("invalid or expired token"))?;
        let reader = Reader {
            _seat: seat,
            entries: self.core.journal().follow(),
            core: self.core.clone(),
            caller,
            stop: self.stop.clone(),
        };
        let protocols = ticket.protocol.into_iter().collect::<Vec<_>>();
        let bounds = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_frame_size(Some(16 * BUFFER))
            .max_message_size(Some(16 * BUFFER));
        let socket = socket.0.protocols(protocols).config(bounds);
        let upgraded = socket.on_upgrade(move |socket| reader.run(socket));
        Ok(upgraded.boxed())
    }
}

struct Reader {
    /// Until the websocket is closed: connections that were upgraded are counted nowhere else.
    _seat: Seat,
    entries: broadcast::Receiver<Arc<str>>,
    core: Core,
    caller: Caller,
    stop: watch::Receiver<bool>,
}

/// When a reader was last heard and last pinged.
struct Pulse {
    heard: Instant,
    pinged: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Beat {
    Quiet,
    Ping,
    Over,
}

impl Pulse {
    fn new(now: Instant) -> Self {
        Self { heard: now, pinged: now }
    }

    /// What is due now.
    fn beat(&mut self, now: Instant) -> Beat {
        if now.duration_since(self.heard) >= SILENCE {
            return Beat::Over;
        }
        if now.duration_since(self.pinged) >= PING_EVERY {
            self.pinged = now;
            return Beat::Ping;
        }
        Beat::Quiet
    }
}

impl Reader {
    /// Writes until there is a reason not to. A reader that does not take what is written holds
    /// up nothing but its own entries: whether it may go on is asked all the same.
    async fn run(self, socket: WebSocketStream) {
        let Self { _seat, entries, core, caller, mut stop } = self;
        let (mut sink, inbound) = socket.split();
        let pulse = Mutex::new(Pulse::new(Instant::now()));
        let ping = Notify::new();
        tokio::select! {
            () = write(&mut sink, entries, &ping) => {}
            () = listen(inbound, &pulse) => {}
            () = watch_over(&core, caller, &pulse, &ping) => {}
            _ = stop.wait_for(|stopped| *stopped) => {}
        }
        // The reader may be gone already.
        let _ = timeout(FAREWELL, sink.send(Message::close())).await;
    }
}

type Outbound = SplitSink<WebSocketStream, Message>;

async fn write(sink: &mut Outbound, mut entries: broadcast::Receiver<Arc<str>>, ping: &Notify) {
    loop {
        let message = tokio::select! {
            entry = entries.recv() => match entry {
                Ok(text) => Message::text(&*text),
                // A slow reader loses what it could not take.
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            },
            () = ping.notified() => Message::ping(Vec::new()),
        };
        if sink.send(message).await.is_err() {
            return;
        }
    }
}

/// What a reader says is a sign of life and nothing else.
async fn listen(mut inbound: SplitStream<WebSocketStream>, pulse: &Mutex<Pulse>) {
    while let Some(Ok(frame)) = inbound.next().await {
        if frame.is_close() {
            return;
        }
        lock(pulse).heard = Instant::now();
    }
}

/// Ends with the reader's silence, its session or its right to read.
async fn watch_over(core: &Core, mut caller: Caller, pulse: &Mutex<Pulse>, ping: &Notify) {
    let mut ask = interval(ASK_AGAIN);
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ask.tick().await;
        let beat = lock(pulse).beat(Instant::now());
        match beat {
            Beat::Quiet => {}
            Beat::Ping => ping.notify_one(),
            Beat::Over => return,
        }
        match core.caller_again(&caller).await {
            Ok(again) if again.must(EVENTS_READ).is_ok() => caller = again,
            Ok(_) | Err(_) => return,
        }
    }
}

fn lock(pulse: &Mutex<Pulse>) -> MutexGuard<'_, Pulse> {
    pulse.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_reader_is_pinged_every_eighty_seconds_and_let_go_after_ninety_of_silence() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.beat(after(start, 79)), Beat::Quiet);
        assert_eq!(pulse.beat(after(start, 80)), Beat::Ping);
        assert_eq!(pulse.beat(after(start, 81)), Beat::Quiet);
        assert_eq!(pulse.beat(after(start, 89)), Beat::Quiet);
        assert_eq!(pulse.beat(after(start, 90)), Beat::Over);
    }

    #[test]
    fn a_reader_that_answers_pings_is_never_let_go() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        let beats = (1..=800).map(|second| {
            let now = after(start, second);
            let beat = pulse.beat(now);
            if beat == Beat::Ping {
                pulse.heard = now;
            }
            beat
        });
        let beats: Vec<Beat> = beats.collect();
        assert!(!beats.contains(&Beat::Over));
        assert_eq!(beats.iter().filter(|beat| **beat == Beat::Ping).count(), 10);
    }
}
