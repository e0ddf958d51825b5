//! What the service manager is told (sd_notify): nothing, unless it asked.

use std::time::Duration;

use sd_notify::{NotifyState, notify};
use tokio::time::{interval, timeout};

use crate::domain::Core;

/// A database that is as slow as this is as good as none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Listening, with an open house.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("open")]);
}

/// Requests in flight finish.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("requests in flight finish")]);
}

/// Nobody to tell is fine.
fn tell(state: &[NotifyState<'_>]) {
    let _ = notify(state);
}

/// Says twice in each span of the watchdog that tasks run and the database answers.
pub async fn watch(core: Core) {
    let Some(span) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = interval(span / 2);
    loop {
        ticks.tick().await;
        if let Ok(Ok(())) = timeout(PATIENCE, core.health()).await {
            tell(&[NotifyState::Watchdog]);
        }
    }
}
