//! `gatelodge mail`: tries the mail server from here, without a running server and its outbox.

use clap::{Args, Subcommand};

use super::{Failure, house, say};
use crate::{
    config::Config,
    domain::{
        Clock,
        letters::mail_try,
        smtp::{Encryption, MailSettings},
    },
};

#[derive(Subcommand)]
pub enum MailCommand {
    /// Send a test letter and say how it went.
    Test(TestMail),
}

#[derive(Args)]
pub struct TestMail {
    /// Where the letter goes.
    address: String,
}

pub async fn run(config: Config, command: MailCommand) -> Result<(), Failure> {
    match command {
        MailCommand::Test(command) => test(&config, &command).await,
    }
}

async fn test(config: &Config, command: &TestMail) -> Result<(), Failure> {
    let settings = house::settings(config);
    let Some(mail) = &settings.mail else {
        const SAY: &str = "no mail server is set: set email.smtp_host and email.smtp_from_email; \
                           until then letters are held, and an admin hands their links over";
        return Err(Failure::No(SAY.to_owned()));
    };
    say(&way(mail))?;
    match mail_try(&settings, mail, &command.address, Clock::real().now()).await? {
        Ok(()) => say(&format!(
            "The mail server took the letter for {}.\n\
             Next: look whether it arrived, also among what was sorted out as spam.\n",
            command.address
        )),
        Err(error) => Err(Failure::Trouble(format!("{error}\nNext: {}", error.advice()))),
    }
}

/// By which way the letter goes.
fn way(mail: &MailSettings) -> String {
    let encryption = match mail.encryption {
        Encryption::Starttls => "encrypted by STARTTLS",
        Encryption::Implicit => "encrypted from the first byte on",
        Encryption::None => "not encrypted",
    };
    let login = match &mail.login {
        Some((name, _)) => format!("signed in as {name}"),
        None => "without signing in".to_owned(),
    };
    let (host, port) = (&mail.host, mail.port);
    let (name, sender) = (&mail.from_name, &mail.from_email);
    format!("To {host}, port {port}, {encryption}, {login}, from {name} <{sender}>.\n")
}
