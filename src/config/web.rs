//! URLs and web origins: checked, and written in the one form that can be compared.

use super::Rule;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The URL in its one form. The messages do not repeat it: a password may stand in it.
pub(super) fn checked(text: &str, rule: &Rule) -> Result<String, String> {
    let (scheme, rest) = text.split_once("://").ok_or("is no URL with http:// or https://")?;
    let scheme = scheme.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return Err("has a scheme other than http or https".into()),
    };
    let allowed = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
    if text.len() > 2048 || !text.bytes().all(allowed) {
        return Err("is too long or has characters that no URL has".into());
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("has a user name or password in it".into());
    }
    let (host, port) = host_and_port(authority).ok_or("has no valid host and port")?;
    let local = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
    if matches!(rule, Rule::Feed | Rule::Issuer) && usual == 80 && !local {
        return Err("is http".into());
    }
    let path = check_path(path, rule)?;
    let port = port.filter(|port| *port != usual).map(|port| format!(":{port}"));
    Ok(format!("{scheme}://{host}{}{path}", port.unwrap_or_default()))
}

/// The path as it is kept: a base that links are appended to must not end with a slash.
fn check_path<'a>(path: &'a str, rule: &Rule) -> Result<&'a str, &'static str> {
    match rule {
        _ if path.contains('#') => Err("has a fragment"),
        Rule::Feed => Ok(path),
        _ if path.contains('?') => Err("has a query"),
        // With or without a slash at its end is another issuer to whoever compares.
        Rule::Issuer => Ok(path),
        Rule::Link => Ok(path.trim_end_matches('/')),
        _ if path.is_empty() || path == "/" => Ok(""),
        _ => Err("has a path"),
    }
}

fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    // A colon inside brackets belongs to the address.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match address {
        Some(address) => format!("[{}]", address.parse::<Ipv6Addr>().ok()?),
        None => host_name(host)?,
    };
    let Some(digits) = port else { return Some((host, None)) };
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse::<u16>().ok().filter(|number| plain && *number > 0)?;
    Some((host, Some(number)))
}

/// Whether a machine can be called so: a name, or an IP address without brackets.
pub(super) fn is_host(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok() || host_name(text).is_some()
}

fn host_name(name: &str) -> Option<String> {
    let last = name.rsplit('.').next()?;
    // Browsers read a name that ends in a number as an IPv4 address, so it has to be one.
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return name.parse::<Ipv4Addr>().ok().map(|address| address.to_string());
    }
    let character = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let label = |label: &str| {
        let edge = label.starts_with('-') || label.ends_with('-');
        (1..=63).contains(&label.len()) && label.bytes().all(character) && !edge
    };
    (name.len() <= 253 && name.split('.').all(label)).then(|| name.to_ascii_lowercase())
}
