//! The environment, which wins over the file.

use super::error::{nearest, plain};
use super::files;
use super::value::Raw;
use super::{Config, ConfigError, PREFIX, SETTINGS, Setting};
use std::path::Path;

type Env = [(String, String)];

pub(super) fn read(config: &mut Config, folder: &Path, env: &Env) -> Result<(), ConfigError> {
    refuse_unknown(env)?;
    for setting in SETTINGS {
        let mut rival = None;
        for name in setting.names() {
            let Some((name, text)) = given(setting, name, folder, env)? else { continue };
            // Two names for the master secret that disagree would sign everyone out by chance,
            // so here the file counts as a rival as well.
            if setting.is_secret() && !name.starts_with(PREFIX) && rival.is_none() {
                rival = config.origins.get(setting.key).cloned();
            }
            let place = format!("environment {name}");
            let differs = config.apply(Raw::new(setting, place.clone(), &text, folder))?;
            if let Some(rival) = rival.filter(|_| differs) {
                let what = format!("{} has another value than in {rival}", setting.key);
                return Err(ConfigError::new(place, what, "keep one, or make both the same"));
            }
            if let Some(path) = variable(env, &name).filter(|_| name.ends_with("_FILE")) {
                config.came_from_file(setting.key, path);
            }
            rival = Some(place);
        }
    }
    Ok(())
}

/// An empty variable counts as not set: compose files write `NAME: ${NAME:-}`.
fn variable<'a>(env: &'a Env, name: &str) -> Option<&'a str> {
    let mut values = env.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
    values.find(|value| !value.is_empty())
}

fn refuse_unknown(env: &Env) -> Result<(), ConfigError> {
    let names = |setting: &Setting| {
        let name = setting.name();
        let file = setting.is_secret().then(|| format!("{name}_FILE"));
        file.into_iter().chain([name])
    };
    let known: Vec<String> = SETTINGS.iter().flat_map(names).collect();
    let ours = |(name, value): &&(String, String)| name.starts_with(PREFIX) && !value.is_empty();
    match env.iter().filter(ours).find(|(name, _)| !known.contains(name)) {
        None => Ok(()),
        Some((name, _)) => {
            let place = format_args!("environment {}", plain(name));
            Err(ConfigError::new(place, "is not a setting", nearest(name, known.into_iter())))
        }
    }
}

/// The value of `name` or, for a secret, of the file that `name_FILE` names; with the name used.
fn given(
    setting: &Setting,
    name: String,
    folder: &Path,
    env: &Env,
) -> Result<Option<(String, String)>, ConfigError> {
    let file_name = format!("{name}_FILE");
    let place = format!("environment {file_name}");
    let path = variable(env, &file_name).filter(|_| setting.is_secret());
    match (variable(env, &name), path) {
        (direct, None) => Ok(direct.map(|text| (name, text.to_owned()))),
        (None, Some(path)) => {
            files::secret(folder, path, &place, setting.key).map(|text| Some((file_name, text)))
        }
        (Some(_), Some(_)) => {
            let what = format!("{} is also given by {name}", setting.key);
            Err(ConfigError::new(place, what, "keep one of the two"))
        }
    }
}
