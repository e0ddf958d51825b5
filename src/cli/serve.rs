//! `gatelodge serve`.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{Failure, descriptors, house, https, systemd, trouble, version};
use crate::{
    config::Config,
    db::Db,
    domain::{
        Core,
        journal::EventLine,
        podcasts::probe::{Probe, Rules},
        updates::{Feed, Pace},
    },
    http::{
        self,
        serve::{Limits, Listener},
        tls::{Https, Source},
    },
    log::{self, Field, Level, say},
};

const BACKLOG: u32 = 1024;
/// For the letter that is being handed over when the server is told to stop.
const LETTER_TIME: Duration = Duration::from_secs(5);
/// How long a chore may take for what it is at.
const CHORE_TIME: Duration = Duration::from_secs(2);
/// How long streams may take to say goodbye.
const STREAMS_END: Duration = Duration::from_secs(2);

/// Serves until SIGTERM or SIGINT; requests in flight finish, ten seconds at the most.
pub async fn run(config: Config) -> Result<(), Failure> {
    log::shape(house::log_format(&config), house::log_level(&config));
    let (ends, hangups) = (ends(), https::hangups());
    // First, so that a port which is taken leaves no database behind.
    let sockets = Sockets::bind(&config)?;
    let claim = Db::claim(&config.data_dir).map_err(trouble)?;
    let (listeners, https) = sockets.listen()?;
    let core = house::open_to_serve(&config, &claim).await?;
    core.check_roles().await?;
    core.sweep_copies();
    core.try_the_disk().await;
    let (stop, stopped) = watch::channel(false);
    let endpoint = http::routes(core.clone(), house::http_settings(&config), stopped);
    let mut mail = tokio::spawn(core.clone().deliver(stop.subscribe(), log::note));
    let upkeep = Chore::start(|end| core.clone().upkeep(end, log::note));
    let events = Chore::start(|end| core.clone().journal_events(end, log_event));
    let mut chores = chores(&config, &core)?;
    greet(&config, &core, &listeners).await?;
    systemd::ready();
    chores.spawn(systemd::watch(core.clone()));
    chores.spawn(https::follow(https, hangups));
    let told = async {
        told_to_stop(ends).await;
        systemd::stopping();
        say("stopping: requests in flight finish");
        let _ = stop.send(true);
    };
    let limits = Limits::connections(descriptors::enough_for(config.server.max_connections));
    http::serve::serve(listeners, endpoint, limits, told).await;
    // Streams have left their connections behind; they say that they close.
    let _ = timeout(STREAMS_END, stop.closed()).await;
    chores.shutdown().await;
    upkeep.finish().await;
    // A letter that is still being handed over then is marked, and the next process tries again.
    let _ = timeout(LETTER_TIME, &mut mail).await;
    mail.abort();
    core.quiet().await;
    let settled = core.settle().await;
    // What happened until now is told too: fail2ban would miss a failed sign-in.
    events.finish().await;
    settled?;
    say("stopped");
    Ok(())
}

/// What goes on beside requests and is not cut short.
struct Chore {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Chore {
    fn start<W>(work: impl FnOnce(oneshot::Receiver<()>) -> W) -> Self
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let (end, ended) = oneshot::channel();
        Self { end, task: tokio::spawn(work(ended)) }
    }

    async fn finish(self) {
        // Neither fails but for a chore that is over already.
        let _ = self.end.send(());
        let _ = timeout(CHORE_TIME, self.task).await;
    }
}

/// What goes on beside requests and may be cut short.
fn chores(config: &Config, core: &Core) -> Result<JoinSet<()>, Failure> {
    let mut chores = JoinSet::new();
    chores.spawn(core.clone().nightly_copies(log::note));
    if let Some(url) = &config.updates.feed_url {
        let feed = Feed::new(url, Pace::usual()).map_err(trouble)?;
        chores.spawn(core.clone().follow_updates(feed, log::note));
    }
    if config.gpodder.probe_https {
        let probe = Probe::new(Rules::strict());
        chores.spawn(core.clone().probe_upgrades(probe, log::note));
    }
    Ok(chores)
}

/// The ports, taken before anything else is.
struct Sockets {
    plain: Vec<TcpListener>,
    secure: Vec<TcpListener>,
    certificate: Option<Source>,
}

impl Sockets {
    fn bind(config: &Config) -> Result<Self, Failure> {
        let certificate = https::source(config);
        let secure = if certificate.is_some() { config.tls.listen.as_slice() } else { &[] };
        Ok(Self {
            plain: bind_all("server.listen", &config.server.listen)?,
            secure: bind_all("server.tls.listen", secure)?,
            certificate,
        })
    }

    fn listen(self) -> Result<(Vec<Listener>, Option<Https>), Failure> {
        let https = self.certificate.map(https::open).transpose()?;
        let mut listeners: Vec<Listener> = self.plain.into_iter().map(Listener::plain).collect();
        if let Some(https) = &https {
            let secure = self.secure.into_iter();
            listeners.extend(secure.map(|socket| Listener::secure(socket, https.current())));
        }
        Ok((listeners, https))
    }
}

/// Of each connection; Linux takes twice as many bytes.
const SEND_BYTES: u32 = 128 * 1024;

fn bind_all(setting: &str, addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Failure> {
    addresses.iter().map(|address| bind(setting, *address)).collect()
}

fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A successor may bind while connections of the predecessor linger.
        socket.set_reuseaddr(true)?;
        // What is sent and not yet taken lies with the system: it is bounded, and little enough for a
        // slow reader to be seen moving.
        socket.set_send_buffer_size(SEND_BYTES)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error: std::io::Error| {
        trouble(format!("{setting} {address}: {error}; is another program there?"))
    })
}

/// Both signals that mean the end. From here on they end no process before it has begun to serve.
fn ends() -> [Option<Signal>; 2] {
    [SignalKind::terminate(), SignalKind::interrupt()].map(|kind| signal(kind).ok())
}

async fn told_to_stop([terminate, interrupt]: [Option<Signal>; 2]) {
    let wait = |signal: Option<Signal>| async move {
        match signal {
            Some(mut signal) => {
                signal.recv().await;
            }
            // Without a handler the signal ends the process by itself.
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(terminate) => {}
        () = wait(interrupt) => {}
    }
}

/// One line for each event. The first two words and `client` of `login_failure` are what
/// `packaging/fail2ban` looks for.
fn log_event(event: &EventLine<'_>) {
    let level = match event.kind {
        "login_failure" | "login_failures" | "pin_locked" | "refresh_reused" => Level::Warn,
        _ => Level::Info,
    };
    let client = if event.client.is_empty() { "-" } else { &event.client };
    let fields = [
        ("client", Field::Word(&client)),
        ("user", Field::Text(event.user.unwrap_or("-"))),
        ("actor", Field::Text(event.actor.unwrap_or("-"))),
        ("dialect", Field::Word(&event.dialect)),
        ("detail", Field::Text(event.detail)),
    ];
    log::entry(level, event.kind, &fields);
}

/// Says where it serves, from what, and what to do first.
async fn greet(config: &Config, core: &Core, listeners: &[Listener]) -> Result<(), Failure> {
    let addresses: Vec<String> = listeners.iter().filter_map(|it| it.url().ok()).collect();
    say(&format!("gatelodge {} serves on {}", version::text(), addresses.join(", ")));
    say(&format!("database {}", config.data_dir.join(crate::db::FILE_NAME).display()));
    if let Some(token) = core.setup_token_make().await? {
        say("no account yet: make the first one, which will be the admin,");
        say("  here:      gatelodge user add NAME --generate");
        say("  at home:   open the address in a browser, or");
        say("             POST /api/v1/setup/initialize {username,email,password}");
        say(&format!("  elsewhere: the same with this token; X-Setup-Token: {}", token.reveal()));
    }
    Ok(())
}
