//! Whose share it is.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// How much of an IPv6 address one subscriber has: they can choose the rest at will.
const SUBSCRIBER: u32 = 64;

/// A user of this host, or where somebody calls from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::http) enum Who {
    /// By user id.
    User(u32),
    /// By the address, of IPv6 the part that is the subscriber's.
    Address(IpAddr),
}

impl From<u32> for Who {
    fn from(uid: u32) -> Self {
        Self::User(uid)
    }
}

impl From<IpAddr> for Who {
    fn from(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let subscriber = u128::MAX << (u128::BITS - SUBSCRIBER);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & subscriber))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => write!(f, "uid:{uid}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_many_addresses_is_one() {
        let who = |text: &str| Who::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(who("2001:db8:1:2::1"), who("2001:db8:1:2:ffff::9"));
        assert_ne!(who("2001:db8:1:2::1"), who("2001:db8:1:3::1"));
        assert_eq!(who("::ffff:192.0.2.7"), who("192.0.2.7"));
        assert_ne!(who("192.0.2.7"), who("192.0.2.8"));
        assert_eq!(who("2001:db8:1:2::1").to_string(), "2001:db8:1:2::");
        assert_eq!(Who::from(990).to_string(), "uid:990");
    }
}
