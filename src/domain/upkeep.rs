//! What the house does by itself: noticing other processes, writing bookkeeping together, and
//! forgetting what is over. Writes nothing when there is nothing to write.

use std::{pin::pin, time::Duration};

use rusqlite::Transaction;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Core, accounts, api_keys, error::Result, invitations, known::Stale, letters, places, podcasts,
    sessions,
};

const LOOK: Duration = Duration::from_millis(250);
const FAILURES_EVERY: u32 = 4;
const TOUCHES_EVERY: u32 = 240;
const SWEEP_EVERY: u32 = 4 * 3600;
const FIRST_SWEEP: u32 = 4 * 300;
const KEPT_REVOKED: Duration = Duration::from_secs(400 * 24 * 3600);
const KEPT_INVITATIONS: Duration = Duration::from_secs(90 * 24 * 3600);

impl Core {
    /// Runs until `end` comes, and finishes what it is at: it may hold what waits to be written. A
    /// failure is told and the round goes on: a full disk may be empty again in an hour.
    pub async fn upkeep(
        self,
        end: impl Future + Send,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) {
        let mut end = pin!(end);
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut round, mut told): (u32, Option<String>) = (0, None);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut end => return,
            }
            if self.stirred() || round.is_multiple_of(TOUCHES_EVERY) {
                self.look_around(&tell).await;
            }
            match self.round(round).await {
                // Once is enough to be noticed.
                Err(error) => {
                    let text = format!("upkeep: {error}");
                    if told.as_ref() != Some(&text) {
                        tell(&text);
                        told = Some(text);
                    }
                }
                // Only these rounds have something to fail at.
                Ok(()) if round.is_multiple_of(TOUCHES_EVERY) => told = None,
                Ok(()) => {}
            }
            round = round.wrapping_add(1);
        }
    }

    /// One step's failure keeps no other from being tried.
    async fn round(&self, round: u32) -> Result<()> {
        let mut done = self.notice_others().await;
        if round.is_multiple_of(FAILURES_EVERY) {
            done = done.and(self.write_failures(false).await);
        }
        if round.is_multiple_of(TOUCHES_EVERY) {
            self.throttle.sweep();
            done = done.and(self.write_touches().await);
        }
        // Not at the start, nor soon after a jump: a clock that is wrong is set right then, and what
        // it would have ended is good again.
        if round % SWEEP_EVERY == FIRST_SWEEP && !self.lookout.has_just_jumped(self.clock.steady())
        {
            done = done.and(self.sweep().await);
        }
        done
    }

    /// Forgets what it knows when another process has written.
    pub async fn notice_others(&self) -> Result<()> {
        if self.db.changed_elsewhere().await? {
            self.known.forget(Stale::Everybodys, &());
            self.events.ring();
        }
        Ok(())
    }

    /// Writes what waits, at the end of the process.
    pub async fn settle(&self) -> Result<()> {
        self.write_failures(true).await?;
        self.write_touches().await
    }

    /// They are read by the thread that writes them, and let go by it once that is done: whatever
    /// becomes of whoever waits here, none is lost and none is written twice. With the untold of this
    /// minute too, if it is the last.
    async fn write_failures(&self, is_last: bool) -> Result<()> {
        self.events.end_minute(self.clock.now(), is_last);
        if !self.events.has_failures() {
            return Ok(());
        }
        let (core, again) = (self.clone(), self.clone());
        let work = move |transaction: &Transaction<'_>| {
            let failures = core.events.waiting_failures();
            failures.iter().try_for_each(|event| event.append(transaction))?;
            Ok(failures.len())
        };
        let after = move |done: &Result<usize>| {
            if let Ok(count) = done {
                again.events.note_written(*count);
            }
            again.note_deed(done);
        };
        self.db.write_then(work, after).await.map(drop)
    }

    async fn write_touches(&self) -> Result<()> {
        let touches = self.known.take_touches();
        if touches.sessions.is_empty() && touches.keys.is_empty() {
            return Ok(());
        }
        let kept = touches.clone();
        let done = self
            .db
            .write(move |transaction| {
                for (id, at) in touches.sessions {
                    sessions::note_use(transaction, id, at)?;
                }
                for (id, at) in touches.keys {
                    api_keys::note_use(transaction, &id, at)?;
                }
                Ok(())
            })
            .await;
        if done.is_err() {
            self.known.give_back(kept);
        }
        done
    }

    /// Deletes what nobody can use any more.
    pub async fn sweep(&self) -> Result<()> {
        let now = self.clock.now();
        let kept_events = self.settings.events_kept;
        self.db
            .write(move |transaction| {
                sessions::sweep(transaction, now)?;
                accounts::sweep_pending(transaction, now)?;
                letters::sweep(transaction, now)?;
                podcasts::upgrades::sweep(transaction, now)?;
                places::sweep(transaction, now.minus(places::KEPT))?;
                invitations::sweep(transaction, now.minus(KEPT_INVITATIONS))?;
                api_keys::sweep(transaction, now.minus(KEPT_REVOKED))?;
                super::events::sweep(transaction, now.minus(kept_events))?;
                Ok(())
            })
            .await
    }
}
