//! `gatelodge doctor`: looks, changes nothing, and says what to do.

mod health;
mod machine;
mod place;
mod surroundings;
mod tls;

use clap::Args;
use serde_json::{Value, json};

use super::{
    Failure, house, https, say,
    words::{plain, say_json},
};
use crate::{config::Config, domain::Clock};

#[derive(Args)]
pub struct DoctorCommand {
    /// Print a JSON array and nothing else.
    #[arg(long, conflicts_with = "health")]
    json: bool,
    /// Only ask the running server whether it is well: exit code 0 if it is, else 1.
    #[arg(long)]
    health: bool,
}

/// How bad something is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fine,
    /// It works, and somebody should look at it.
    Look,
    /// It does not work, or is not safe.
    Bad,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Look => "look",
            Self::Bad => "bad",
        }
    }
}

/// What one check found, and what to do about it; nothing, when it is fine.
struct Finding {
    name: &'static str,
    state: State,
    found: String,
    advice: String,
}

impl Finding {
    fn fine(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Fine, found: found.into(), advice: String::new() }
    }

    fn look(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: State::Look, found: found.into(), advice: advice.into() }
    }

    fn bad(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: State::Bad, found: found.into(), advice: advice.into() }
    }

    fn text(&self) -> String {
        let mut text =
            format!("{:<5} {:<12} {}\n", self.state.name(), self.name, plain(&self.found));
        if !self.advice.is_empty() {
            text += &format!("{:18} -> {}\n", "", plain(&self.advice));
        }
        text
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "state": self.state.name(),
            "found": self.found,
            "advice": Some(&self.advice).filter(|advice| !advice.is_empty()),
        })
    }
}

/// Looks at everything, also when the configuration is wrong.
pub async fn run(loaded: Result<Config, Failure>, command: &DoctorCommand) -> Result<(), Failure> {
    let config = match loaded {
        Ok(config) => config,
        Err(Failure::Trouble(text) | Failure::No(text)) => {
            return match command.health {
                true => Err(Failure::No(text)),
                false => tell(command, &[Finding::bad("configuration", text, "mend that first")]),
            };
        }
    };
    if command.health {
        return health::only(&config).await;
    }
    tell(command, &all(&config).await)
}

async fn all(config: &Config) -> Vec<Finding> {
    let now = Clock::real().now();
    let settings = house::settings(config);
    let mut findings = place::findings(config);
    findings.push(machine::clock(&config.data_dir, now));
    findings.push(machine::hashing(&settings).await);
    findings.push(tls::finding(config, now));
    findings.push(surroundings::public_url(&config.server));
    findings.push(surroundings::proxies(
        &config.server,
        https::source(config).is_some(),
        &config.pin.networks,
    ));
    findings.push(surroundings::mail(&settings).await);
    findings.push(health::finding(config).await);
    findings
}

fn tell(command: &DoctorCommand, findings: &[Finding]) -> Result<(), Failure> {
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (bad, look) = (count(State::Bad), count(State::Look));
    if command.json {
        say_json(&findings.iter().map(Finding::json).collect())?;
    } else {
        say(&findings.iter().map(Finding::text).collect::<String>())?;
    }
    match (bad, look) {
        (0, _) if command.json => Ok(()),
        (0, 0) => say("All is well.\n"),
        (0, look) => say(&format!("It works; {look} of {} to look at.\n", findings.len())),
        (bad, _) => Err(Failure::No(format!("{bad} of {} checks are bad", findings.len()))),
    }
}
