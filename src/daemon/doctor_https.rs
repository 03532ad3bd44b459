//! What `vaultgram doctor` says of HTTPS, and of the issuers whose tokens are taken there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use time::{Date, OffsetDateTime};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::broker::ports::{Clock, SystemClock};
use crate::config::HttpsConfig;
use crate::daemon::https;
use crate::identity;

/// How long before its end a certificate is worth a word.
const SOON: time::Duration = time::Duration::days(14);
/// How long a connection may take to be there.
const PATIENCE: Duration = Duration::from_secs(5);

/// The certificate, and where it is listened.
pub(super) async fn examine(config: &HttpsConfig, running: bool) -> Result<String, String> {
    let files = https::files(config);
    let ends = files.examine()?;
    let holds = holds(ends, SystemClock.now())?;
    let at = config.listen;
    if running {
        let near = nearest(at);
        let connected = timeout(PATIENCE, TcpStream::connect(near)).await;
        let late = |_| Err(std::io::ErrorKind::TimedOut.into());
        let connected = connected.unwrap_or_else(late);
        connected.map_err(|error| format!("the vaultgram that runs is not at {near}: {error}"))?;
        return Ok(format!("{at} answers; {holds}"));
    }
    let bound = TcpListener::bind(at).await;
    bound.map_err(|error| format!("{at}: cannot listen there: {error}"))?;
    Ok(format!("{at} can be listened at; {holds}"))
}

/// What is said of a certificate that ends then.
fn holds(ends: OffsetDateTime, now: OffsetDateTime) -> Result<String, String> {
    let day: Date = ends.date();
    if ends <= now {
        return Err(format!(
            "its certificate ended on {day}; put a new one in its place, which is seen without a \
             restart"
        ));
    }
    if ends - now < SOON {
        let days = (ends - now).whole_days();
        return Ok(format!(
            "its certificate ends on {day}, in {days} days: put a new one in its place soon"
        ));
    }
    Ok(format!("its certificate holds until {day}"))
}

/// Where on this host somebody is reached who listens at `at`.
fn nearest(at: SocketAddr) -> SocketAddr {
    let host = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(host, at.port())
}

/// The keys of each issuer, fetched once.
pub(super) async fn examine_issuers(config: HttpsConfig) -> Vec<Result<String, String>> {
    let mut found = vec![];
    for issuer in https::issuers(config.issuers) {
        let keys = identity::examine(&issuer).await;
        let name = &issuer.name;
        found.push(match keys {
            Ok(1) => Ok(format!("{name} tells 1 key")),
            Ok(keys) => Ok(format!("{name} tells {keys} keys")),
            Err(why) => Err(format!(
                "the keys of {name} ({}) cannot be fetched: {why}; see that it is right in \
                 [issuers.{name}], and can be reached from here",
                issuer.issuer
            )),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_to_be_replaced_in_time() {
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let days = time::Duration::days;
        let said = |left| holds(now + left, now);
        assert!(said(days(14)).unwrap().contains("holds until 2023-11-28"));
        let soon = said(days(14) - time::Duration::SECOND).unwrap();
        assert!(soon.contains("ends on 2023-11-28, in 13 days"), "{soon}");
        assert!(said(time::Duration::ZERO).unwrap_err().contains("ended on"));
    }

    #[test]
    fn who_listens_everywhere_is_reached_here() {
        for (at, near) in [
            ("0.0.0.0:8443", "127.0.0.1:8443"),
            ("[::]:8443", "[::1]:8443"),
            ("192.0.2.1:8443", "192.0.2.1:8443"),
        ] {
            assert_eq!(nearest(at.parse().unwrap()).to_string(), near);
        }
    }
}
