//! The SOCKS5 proxy on the way to Telegram: `[telegram] proxy`, or `TELEGRAM_PROXY` with a user
//! and password in it.

use crate::config::Problems;
use crate::config::environment::Environment;
use crate::domain::SecretValue;

/// A SOCKS5 proxy.
pub struct ProxyConfig {
    /// Its name or address; an IPv6 address in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `user:password`, where it wants them.
    pub credentials: Option<SecretValue>,
}

/// `TELEGRAM_PROXY`, else the file's `proxy`, where either is set.
pub(super) fn typed(
    in_file: Option<&str>,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<ProxyConfig> {
    let given = match environment.get("TELEGRAM_PROXY") {
        Ok(given) => given,
        Err(problem) => {
            problems.elsewhere(problem);
            return None;
        }
    };
    // No text of a mistake repeats what was given: there may be a password in it.
    if let Some(given) = given {
        #[expect(
            clippy::disallowed_methods,
            reason = "to be taken apart, and kept secret"
        )]
        let text = std::str::from_utf8(given.expose_secret()).unwrap_or_default();
        return parse(text)
            .map_err(|problem| problems.elsewhere(format!("TELEGRAM_PROXY: {problem}")))
            .ok();
    }
    let proxy = parse(in_file?);
    let proxy = proxy.and_then(|proxy| match proxy.credentials {
        Some(_) => Err("user and password do not belong into this file; set \
             TELEGRAM_PROXY=socks5://user:password@host:port instead"),
        None => Ok(proxy),
    });
    proxy
        .map_err(|problem| problems.push(format!("[telegram] proxy: {problem}")))
        .ok()
}

fn parse(text: &str) -> Result<ProxyConfig, &'static str> {
    const FORM: &str = "write it like socks5://host:port";
    let rest = text
        .trim()
        .strip_prefix("socks5://")
        .ok_or("only SOCKS5 is supported; write it like socks5://host:port")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (credentials, address) = match rest.rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, rest),
    };
    let (host, port) = address.rsplit_once(':').ok_or(FORM)?;
    let port = port
        .parse::<u16>()
        .ok()
        .filter(|port| *port > 0)
        .ok_or("the port is not a number from 1 to 65535; write it like socks5://host:port")?;
    let name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let sound = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(name),
    };
    if !sound {
        return Err("the host is no name and no address; write it like socks5://host:port");
    }
    // grammers hands other characters to the proxy percent-encoded, which would not match.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,".contains(c);
    if let Some(credentials) = credentials {
        let (user, password) = credentials
            .split_once(':')
            .ok_or("write user and password like socks5://user:password@host:port")?;
        let lengths = [user.len(), password.len()];
        if lengths.iter().any(|length| !(1..=255).contains(length))
            || !user.chars().chain(password.chars()).all(plain)
        {
            return Err(
                "user and password must have 1 to 255 characters, of letters, digits and \
                 -._~!$&'()*+, only",
            );
        }
    }
    Ok(ProxyConfig {
        host: host.to_owned(),
        port,
        credentials: credentials.map(|text| SecretValue::new(text.as_bytes().to_vec())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_proxy_is_told_without_repeating_it() {
        for wrong in [
            "",
            "http://h:1",
            "socks5://",
            "socks5://h",
            "socks5://h:0",
            "socks5://h:70000",
            "socks5://:1080",
            "socks5://h/x:1",
            "socks5://[::g]:1",
            "socks5://hunter2@h:1",
            "socks5://u:hunter2%41@h:1",
            "socks5://u:hunter2 @h:1",
            "socks5://u:@h:1",
        ] {
            let problem = parse(wrong).err().unwrap_or_else(|| panic!("{wrong}"));
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn a_proxy_is_taken_apart() {
        for (given, host, credentials) in [
            ("socks5://127.0.0.1:1080", "127.0.0.1", false),
            ("socks5://localhost:1080/", "localhost", false),
            ("socks5://u:p-w@[::1]:1080", "[::1]", true),
        ] {
            let proxy = parse(given).unwrap_or_else(|problem| panic!("{given}: {problem}"));
            assert_eq!((proxy.host.as_str(), proxy.port), (host, 1080));
            assert_eq!(proxy.credentials.is_some(), credentials);
        }
    }
}
