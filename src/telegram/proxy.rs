//! The SOCKS5 proxy on the way to Telegram.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// A SOCKS5 proxy, its user and password kept out of what is printed.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    /// `user:password`
    credentials: Option<Arc<Zeroizing<String>>>,
}

impl Proxy {
    /// At `host` and `port`; `credentials` are `user:password`.
    #[must_use]
    pub fn new(host: String, port: u16, credentials: Option<Zeroizing<String>>) -> Self {
        Self {
            host,
            port,
            credentials: credentials.map(Arc::new),
        }
    }

    /// Makes sure that somebody listens there, and gives the URL for grammers. Its host is an
    /// address: grammers would look names up past the system's resolver, and panics without
    /// `/etc/resolv.conf`.
    pub(super) async fn url(&self, limit: Duration) -> Result<String, String> {
        let connecting = async {
            // Their order is the system's; the first that answers serves.
            let mut last = None;
            for address in lookup_host(self.to_string()).await? {
                match TcpStream::connect(address).await {
                    Ok(_) => return Ok(address),
                    Err(error) => last = Some(error),
                }
            }
            Err(last.unwrap_or_else(|| std::io::Error::other("it has no address")))
        };
        let address = timeout(limit, connecting)
            .await
            .map_err(|_| format!("the proxy {self} does not answer"))?
            .map_err(|error| format!("the proxy {self} cannot be reached: {error}"))?;
        Ok(match &self.credentials {
            Some(credentials) => format!("socks5://{}@{address}", credentials.as_str()),
            None => format!("socks5://{address}"),
        })
    }
}

/// As `host:port`.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}
