//! Addresses to listen on, as exporters write them.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::str::FromStr;

use crate::error::Error;

/// Holds `HOST:PORT`, or `:PORT` for all interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    host: String,
    port: u16,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected HOST:PORT or :PORT, for example 127.0.0.1:9464".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port = port
            .parse()
            .map_err(|_| format!("'{port}' is no port; {}", expected()))?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(format!(
                "an IPv6 address stands in brackets: [{host}]:{port}"
            ));
        }
        Ok(Self {
            host: bare.unwrap_or(host).to_owned(),
            port,
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl ListenAddress {
    /// Binds the first of the addresses that the host has; all interfaces are `[::]`, which takes IPv4 as
    /// well, or `0.0.0.0` on a machine without IPv6.
    pub(crate) fn bind(&self) -> Result<TcpListener, Error> {
        let listener = self
            .addresses()
            .and_then(|addresses| TcpListener::bind(&*addresses));
        let listener =
            listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        listener.map_err(|source| Error::Listen {
            address: self.to_string(),
            source,
        })
    }

    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if !self.host.is_empty() {
            return Ok((&*self.host, self.port).to_socket_addrs()?.collect());
        }
        let mut all = vec![SocketAddr::from(([0_u16; 8], self.port))];
        // Where IPv6 works, a port that is taken must stay an error.
        let taken = |error: io::Error| error.kind() == io::ErrorKind::AddrInUse;
        if TcpListener::bind("[::]:0").is_err_and(|error| !taken(error)) {
            all = vec![SocketAddr::from(([0_u8; 4], self.port))];
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exporter_addresses_are_understood() {
        for text in ["127.0.0.1:9464", ":9464", "[::1]:0", "localhost:80"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for text in ["9464", "localhost", "::1:80", "host:70000", "host:", ""] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }
}
