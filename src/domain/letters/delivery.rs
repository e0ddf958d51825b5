//! The worker that hands letters to the mail server: one at a time, each marked before it goes and
//! noted at once when it is taken, tried again for a day.

use std::time::Duration;

use mail_send::mail_builder::{
    MessageBuilder,
    headers::{address::Address, content_type::ContentType, raw::Raw},
    mime::MimePart,
};
use rusqlite::{OptionalExtension, Row, params};
use tokio::sync::watch;

use super::{DAY, HOUR, LetterStatus, Purpose, words};
use crate::domain::{
    Core, Settings, Timestamp,
    accounts::{self, Account, AccountId, Email},
    error::{Error, Result},
    secret::{Secret, random_bytes, random_text},
    smtp::{self, MailError, MailSettings, Sealed},
};

/// From one try to the next: doubled each time, up to an hour.
const FIRST_WAIT: Duration = Duration::from_secs(60);

/// What one look into the outbox brought about.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// How many the server took.
    pub sent: usize,
    /// Each for the log: which letter, and what went wrong. Holds no secret and no address.
    pub troubles: Vec<String>,
    /// When to look again, whatever happens meanwhile.
    pub wait: Option<Duration>,
    /// The server itself is in trouble: news of more letters changes nothing.
    pub paused: bool,
}

/// A letter that is being handed over.
struct Taken {
    id: i64,
    purpose: Purpose,
    recipient: String,
    account: Option<Account>,
    link: Option<String>,
    details: String,
    message_id: String,
    attempts: u32,
    created_at: Timestamp,
    expires_at: Timestamp,
}

impl Taken {
    /// After this, no try makes sense any more.
    fn deadline(&self) -> Timestamp {
        self.expires_at.min(self.created_at.plus(DAY))
    }
}

/// The wait after so many tries, a quarter more or less, so that letters of one moment spread.
fn wait_after(attempts: u32) -> Duration {
    let doubled = FIRST_WAIT * 2u32.pow(attempts.saturating_sub(1).min(6));
    let chance = u32::from(u16::from_le_bytes(random_bytes()));
    doubled.min(HOUR) * (u32::from(u16::MAX) * 3 / 4 + chance / 2) / u32::from(u16::MAX)
}

// Rows

type TakenRow = (Taken, Option<AccountId>);

fn taken_from_row(row: &Row<'_>) -> rusqlite::Result<TakenRow> {
    let purpose: String = row.get(1)?;
    let taken = Taken {
        id: row.get(0)?,
        // What a later version wrote is not known here, and is handed over by nobody.
        purpose: Purpose::parse(&purpose).ok_or(rusqlite::Error::InvalidQuery)?,
        recipient: row.get(2)?,
        account: None,
        link: row.get(4)?,
        details: row.get(5)?,
        message_id: row.get(6)?,
        attempts: row.get(7)?,
        created_at: row.get(8)?,
        expires_at: row.get(9)?,
    };
    Ok((taken, row.get(3)?))
}

// Deeds

impl Core {
    /// Hands letters over until `stop` turns true: at once after a deed, and when one is due again.
    /// The letter in hand is finished, since what was cut short would have to go again.
    pub async fn deliver(
        self,
        mut stop: watch::Receiver<bool>,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) {
        let Some(mail) = &self.settings.mail else { return };
        let tell = |trouble: &str| tell(&format!("mail: {trouble}"));
        let mut bell = self.events.listen();
        let mut resumed = false;
        while !*stop.borrow() {
            bell.borrow_and_update();
            let round = self.resumed_round(&mut resumed, || !*stop.borrow(), &tell).await;
            let round = round.unwrap_or_else(|error| Round {
                troubles: vec![error.to_string()],
                wait: Some(mail.patience.pause),
                paused: true,
                ..Round::default()
            });
            round.troubles.iter().for_each(|trouble| tell(trouble));
            tokio::select! {
                () = tokio::time::sleep(round.wait.unwrap_or(HOUR).min(HOUR)) => {}
                _ = bell.changed(), if !round.paused => {}
                told = stop.changed() => if told.is_err() { return },
            }
        }
    }

    /// A round, and before the first what is owed after a start: until that has worked, each round begins
    /// with it, since a database that is locked when the process starts is not so for ever.
    async fn resumed_round(
        &self,
        resumed: &mut bool,
        goes_on: impl Fn() -> bool,
        tell: &(impl Fn(&str) + Sync),
    ) -> Result<Round> {
        if !*resumed {
            self.outbox_resume().await?;
            *resumed = true;
        }
        self.deliver_while(goes_on, tell).await
    }

    /// After a start: what was held for want of a mail server or an address goes out now, and what
    /// the process before was handing over is marked, since it may have arrived.
    pub async fn outbox_resume(&self) -> Result<()> {
        let Some(base) = self.settings.link_base.clone() else { return Ok(()) };
        self.db
            .write(move |transaction| {
                transaction
                    .prepare_cached(
                        "UPDATE outbox SET status = 'waiting',
                             link = CASE substr(link, 1, 1) WHEN '/' THEN ?1 || link ELSE link END
                         WHERE status = 'held'",
                    )?
                    .execute([base])?;
                transaction
                    .prepare_cached(
                        "UPDATE outbox SET sending_since = NULL,
                             last_error = 'interrupted while it was handed over; it may arrive twice'
                         WHERE sending_since IS NOT NULL AND status = 'waiting'",
                    )?
                    .execute([])?;
                Ok(())
            })
            .await
    }

    /// Hands over every letter that is due, one after the other.
    ///
    /// # Errors
    /// [`Error::Storage`] or [`Error::Internal`]; what goes wrong with the server is in the round.
    pub async fn deliver_due(&self) -> Result<Round> {
        self.deliver_while(|| true, &|_| {}).await
    }

    async fn deliver_while(
        &self,
        goes_on: impl Fn() -> bool,
        tell: &(impl Fn(&str) + Sync),
    ) -> Result<Round> {
        let mut round = Round::default();
        let Some(mail) = &self.settings.mail else { return Ok(round) };
        while goes_on()
            && let Some(letter) = self.letter_take().await?
        {
            let sealed = seal(mail, &self.settings, &letter);
            match smtp::hand_over(mail, &sealed).await {
                Ok(()) => {
                    self.note_sent(letter.id, mail.patience.pause, tell).await;
                    round.sent += 1;
                }
                Err(error) => {
                    let (id, purpose) = (letter.id, letter.purpose.name());
                    round.troubles.push(format!("letter {id} ({purpose}): {error}"));
                    self.letter_missed(&letter, &error).await?;
                    if error.is_of_the_server() {
                        round.paused = true;
                        round.wait = Some(mail.patience.pause);
                        return Ok(round);
                    }
                }
            }
        }
        round.wait = self.next_due().await?;
        Ok(round)
    }

    /// The next letter that is due, marked as being handed over. Its next try is set before the
    /// first byte goes out, so that a process which dies on it does not die on it again at once.
    async fn letter_take(&self) -> Result<Option<Taken>> {
        let now = self.clock.now();
        if !self.is_due(now).await? {
            return Ok(None);
        }
        self.db
            .write(move |transaction| {
                let row = transaction
                    .prepare_cached(
                        "UPDATE outbox SET sending_since = ?1, attempts = attempts + 1
                         WHERE id = (SELECT id FROM outbox
                                     WHERE status = 'waiting' AND next_attempt_at <= ?1
                                     ORDER BY next_attempt_at, id LIMIT 1)
                         RETURNING id, purpose, recipient, account_id, link, details, message_id,
                                   attempts, created_at, expires_at",
                    )?
                    .query_row([now], taken_from_row)
                    .optional()?;
                let Some((letter, account)) = row else { return Ok(None) };
                transaction
                    .prepare_cached("UPDATE outbox SET next_attempt_at = ?2 WHERE id = ?1")?
                    .execute(params![letter.id, now.plus(wait_after(letter.attempts))])?;
                let account = match account {
                    Some(id) => accounts::row_by_id(transaction, id)?,
                    None => None,
                };
                Ok::<_, Error>(Some(Taken { account, ..letter }))
            })
            .await
    }

    /// Only reads, since the worker is woken by every deed.
    async fn is_due(&self, now: Timestamp) -> Result<bool> {
        self.db
            .read(move |connection| {
                let due: bool = connection
                    .prepare_cached(
                        "SELECT EXISTS (SELECT 1 FROM outbox
                                        WHERE status = 'waiting' AND next_attempt_at <= ?1)",
                    )?
                    .query_row([now], |row| row.get(0))?;
                Ok(due)
            })
            .await
    }

    async fn next_due(&self) -> Result<Option<Duration>> {
        let now = self.clock.now();
        self.db
            .read(move |connection| {
                let next: Option<Timestamp> = connection
                    .prepare_cached(
                        "SELECT min(next_attempt_at) FROM outbox WHERE status = 'waiting'",
                    )?
                    .query_row([], |row| row.get(0))?;
                let left = next.map(|next| next.millis().saturating_sub(now.millis()).max(1000));
                Ok(left.map(|millis| Duration::from_millis(millis.unsigned_abs())))
            })
            .await
    }

    /// Nothing else goes out before this is noted, however long the disk is full: a letter that is not
    /// noted would go again. Told when it begins and when it ends, and not at each try.
    async fn note_sent(&self, id: i64, pause: Duration, tell: &(impl Fn(&str) + Sync)) {
        let Err(error) = self.letter_sent(id).await else { return };
        tell(&format!("letter {id} is sent, and no other goes out before this is noted: {error}"));
        loop {
            tokio::time::sleep(pause).await;
            if self.letter_sent(id).await.is_ok() {
                return tell(&format!("letter {id} is noted, and others go out again"));
            }
        }
    }

    /// Whatever became of it meanwhile: it is out, and its secrets are wiped.
    async fn letter_sent(&self, id: i64) -> Result<()> {
        let now = self.clock.now();
        self.db
            .write(move |transaction| {
                transaction
                    .prepare_cached(
                        "UPDATE outbox SET status = 'sent', sent_at = ?2, sending_since = NULL,
                             link = NULL, details = '{}', last_error = NULL, next_attempt_at = NULL
                         WHERE id = ?1",
                    )?
                    .execute(params![id, now])?;
                Ok(())
            })
            .await
    }

    async fn letter_missed(&self, letter: &Taken, error: &MailError) -> Result<()> {
        let next = self.clock.now().plus(wait_after(letter.attempts));
        let over = error.is_final() || next >= letter.deadline();
        let status = if over { LetterStatus::Failed } else { LetterStatus::Waiting };
        let (id, text) = (letter.id, error.to_string());
        self.db
            .write(move |transaction| {
                transaction
                    .prepare_cached(
                        "UPDATE outbox SET sending_since = NULL, last_error = ?2,
                             next_attempt_at = ?3
                         WHERE id = ?1 AND status = 'waiting'",
                    )?
                    .execute(params![id, text, next])?;
                if status == LetterStatus::Failed {
                    transaction
                        .prepare_cached(
                            "UPDATE outbox SET status = ?2, link = NULL, details = '{}',
                                 next_attempt_at = NULL
                             WHERE id = ?1 AND status = 'waiting'",
                        )?
                        .execute(params![id, status.name()])?;
                }
                Ok(())
            })
            .await
    }
}

/// Sends a test letter now and says how it went, without the outbox: for the command line.
///
/// # Errors
/// [`MailError`]; an address that is none is [`MailError::Refused`] by ourselves.
pub async fn mail_try(
    settings: &Settings,
    mail: &MailSettings,
    address: &str,
    now: Timestamp,
) -> Result<std::result::Result<(), MailError>> {
    let letter = Taken {
        id: 0,
        purpose: Purpose::Test,
        recipient: Email::parse(address)?.as_str().to_owned(),
        account: None,
        link: None,
        details: "{}".to_owned(),
        message_id: random_text(32),
        attempts: 1,
        created_at: now,
        expires_at: now.plus(HOUR),
    };
    Ok(smtp::hand_over(mail, &seal(mail, settings, &letter)).await)
}

/// The letter in words and as a message. Its Message-ID and Date stay the same in every try.
fn seal(mail: &MailSettings, settings: &Settings, letter: &Taken) -> Sealed {
    let composed =
        words::compose(settings.language, letter.purpose, &facts(mail, settings, letter));
    // Who has not proven an address may have called themself anything for a stranger to read.
    let name = letter.account.as_ref().filter(|account| account.email_verified);
    let to = Address::new_address(
        name.map(|account| account.display_name.as_str()),
        letter.recipient.as_str(),
    );
    let domain = mail.from_email.rsplit('@').next().unwrap_or_default();
    let message = MessageBuilder::new()
        .from(Address::new_address(Some(mail.from_name.as_str()), mail.from_email.as_str()))
        .to(to)
        .subject(composed.subject)
        .message_id(format!("{}@{domain}", letter.message_id))
        .date(letter.created_at.seconds())
        // Out-of-office robots stay quiet (RFC 3834, section 5).
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .body(MimePart::new(
            // Told by its id, so that every try is the same to the byte.
            ContentType::new("multipart/alternative").attribute("boundary", &*letter.message_id),
            vec![
                MimePart::new("text/plain", composed.text),
                MimePart::new("text/html", composed.html),
            ],
        ));
    let mut bytes = Vec::new();
    message.serialize(&mut bytes);
    let token = letter.link.as_deref().and_then(|link| link.rsplit('=').next());
    Sealed { recipient: letter.recipient.clone(), message: bytes, secret: token.map(Secret::new) }
}

fn facts(mail: &MailSettings, settings: &Settings, letter: &Taken) -> words::Facts {
    let account = letter.account.as_ref();
    let username = account.map_or("", |account| account.username.as_str());
    let name = account
        .filter(|account| account.email_verified && !account.display_name.is_empty())
        .map_or(username, |account| account.display_name.as_str());
    let until = letter.expires_at.minute_text();
    let base = settings.link_base.as_deref().unwrap_or_default();
    let reset_page = format!("{base}/{}", Purpose::ResetPassword.page());
    let known = [
        ("house", mail.from_name.as_str()),
        ("reset_page", &reset_page),
        ("email", &letter.recipient),
        ("username", username),
        ("name", name),
        ("link", letter.link.as_deref().unwrap_or_default()),
        ("until", &until),
    ];
    let known = known.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
    let details: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&letter.details).unwrap_or_default();
    let details = details
        .into_iter()
        .map(|(name, text)| (name, text.as_str().unwrap_or_default().to_owned()));
    known.chain(details).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_an_hour_and_differ() {
        for (attempts, base) in
            [(0, 60), (1, 60), (2, 120), (5, 960), (6, 1920), (7, 3600), (99, 3600)]
        {
            for _ in 0..50 {
                let wait = wait_after(attempts).as_secs_f64();
                let base = f64::from(base);
                assert!((base * 0.74..=base * 1.26).contains(&wait), "{attempts}: {wait}");
            }
        }
        let waits: Vec<_> = (0..32).map(|_| wait_after(1)).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
