//! The text of Cedar's `ip`: an IPv4 or IPv6 address, or a range of them.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use super::ParseError;

const ADDRESS: &str = "an IP address or range such as `10.0.0.1`, `10.0.0.0/8` or `fe80::/10`";
const HEXADECIMAL: &str = "an IPv6 address without a part in IPv4 notation, as `::ffff:7f00:1`";
const PREFIX_V4: &str = "an IPv4 prefix length from 0 to 32, without leading zeros";
const PREFIX_V6: &str = "an IPv6 prefix length from 0 to 128, without leading zeros";

/// An IP address with the length of its network's prefix in bits; that of a single address is 32 or 128.
///
/// Values are equal where address and prefix are: `10.0.0.1/8` and `10.0.0.0/8` differ, as they do in Cedar, and an
/// IPv4 address differs from the IPv6 address that embeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

impl IpNetwork {
    /// An address with a prefix length in bits; bits of the address beyond the prefix are kept.
    ///
    /// # Errors
    ///
    /// The prefix is longer than the address: 32 bits for IPv4, 128 for IPv6.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, ParseError> {
        Self::checked(address, prefix).ok_or_else(|| ParseError::new(prefix_form(address), "a longer one"))
    }

    fn checked(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits(address)).then_some(Self { address, prefix })
    }

    /// The address, with all bits it was written with.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The length of the prefix in bits, at most 32 for IPv4 and 128 for IPv6.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether all of it lies in 127.0.0.0/8, or it is ::1.
    pub fn is_loopback(&self) -> bool {
        self.address.is_loopback() && self.prefix >= if self.address.is_ipv4() { 8 } else { 128 }
    }

    /// Whether all of it lies in 224.0.0.0/4 or ff00::/8.
    pub fn is_multicast(&self) -> bool {
        self.address.is_multicast() && self.prefix >= if self.address.is_ipv4() { 4 } else { 8 }
    }

    /// Whether every address of this network is one of `other`'s. Never so for IPv4 and IPv6 mixed.
    pub fn is_in(&self, other: &Self) -> bool {
        let (first, last) = self.range();
        let (other_first, other_last) = other.range();
        self.address.is_ipv4() == other.address.is_ipv4() && other_first <= first && last <= other_last
    }

    /// The first and the last address, as numbers.
    fn range(&self) -> (u128, u128) {
        let address = match self.address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        let host_bits = u32::from(bits(self.address).saturating_sub(self.prefix));
        let host = u128::MAX.checked_shr(128_u32.saturating_sub(host_bits)).unwrap_or(0);
        (address & !host, address | host)
    }
}

impl From<IpAddr> for IpNetwork {
    /// A single address.
    fn from(address: IpAddr) -> Self {
        Self { address, prefix: bits(address) }
    }
}

impl FromStr for IpNetwork {
    type Err = ParseError;

    /// Reads what Cedar's `ip("…")` reads.
    ///
    /// # Errors
    ///
    /// The text is not an address with an optional prefix length, writes a part of an IPv6 address in IPv4 notation,
    /// or has leading zeros in an IPv4 address or a prefix length.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        // Cedar reads addresses with the standard library too, and refuses dots in IPv6. Its limit of 43 bytes needs
        // no check: no text that gets past the others is longer.
        let dotted = address.contains('.');
        let address = address.parse::<IpAddr>().map_err(|_| ParseError::new(ADDRESS, text))?;
        if address.is_ipv6() && dotted {
            return Err(ParseError::new(HEXADECIMAL, text));
        }
        match prefix {
            None => Ok(Self::from(address)),
            Some(prefix) => {
                let network = prefix_length(prefix).and_then(|prefix| Self::checked(address, prefix));
                network.ok_or_else(|| ParseError::new(prefix_form(address), text))
            }
        }
    }
}

impl fmt::Display for IpNetwork {
    /// Writes Cedar's canonical form, `address/prefix` with the prefix always there, except for IPv4-mapped addresses.
    ///
    /// Those are in hexadecimal like all of IPv6: Cedar 4.14 would write `::ffff:127.0.0.1/128`, which it refuses.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
                let [.., high, low] = address.segments();
                write!(formatter, "::ffff:{high:x}:{low:x}/{}", self.prefix)
            }
            address => write!(formatter, "{address}/{}", self.prefix),
        }
    }
}

/// The number of bits in an address.
fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// What to say is expected of the prefix length of an address.
fn prefix_form(address: IpAddr) -> &'static str {
    if address.is_ipv4() { PREFIX_V4 } else { PREFIX_V6 }
}

/// A prefix length in plain digits; `None` for a sign, a leading zero or more than 255.
fn prefix_length(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNetwork {
        IpNetwork::new(Ipv4Addr::new(a, b, c, d).into(), prefix).unwrap()
    }

    fn v6(segments: [u16; 8], prefix: u8) -> IpNetwork {
        IpNetwork::new(Ipv6Addr::from(segments).into(), prefix).unwrap()
    }

    #[test]
    fn reads_cedars_grammar() {
        let cases = [
            ("10.1.2.3", v4(10, 1, 2, 3, 32)),
            ("10.1.2.3/32", v4(10, 1, 2, 3, 32)),
            ("10.1.2.3/8", v4(10, 1, 2, 3, 8)),
            ("0.0.0.0/0", v4(0, 0, 0, 0, 0)),
            ("255.255.255.255", v4(255, 255, 255, 255, 32)),
            ("::", v6([0; 8], 128)),
            ("::/0", v6([0; 8], 0)),
            ("fe80::/10", v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10)),
            ("::ffff:7f00:1", v6([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1], 128)),
            ("1:2:3:4:5:6:7::", v6([1, 2, 3, 4, 5, 6, 7, 0], 128)),
            ("0001:02:3::4", v6([1, 2, 3, 0, 0, 0, 0, 4], 128)),
            (
                "ABCD:EF01:2345:6789:abcd:ef01:2345:6789/128",
                v6([0xabcd, 0xef01, 0x2345, 0x6789, 0xabcd, 0xef01, 0x2345, 0x6789], 128),
            ),
        ];
        for (text, network) in cases {
            assert_eq!(text.parse(), Ok(network), "{text}");
        }
    }

    #[test]
    fn refuses_other_forms() {
        let cases = [
            ("", ADDRESS),
            ("/", ADDRESS),
            ("/8", ADDRESS),
            ("10.1.2", ADDRESS),
            ("10.1.2.3.4", ADDRESS),
            ("10.1.2.256", ADDRESS),
            ("10.1.2.03", ADDRESS),
            ("10.1.2.3:80", ADDRESS),
            (" 10.1.2.3", ADDRESS),
            ("10.1.2.3\n", ADDRESS),
            ("10.1.2.3 /8", ADDRESS),
            ("0x0a.1.2.3", ADDRESS),
            ("١.1.2.3", ADDRESS),
            ("[::1]", ADDRESS),
            ("fe80::1%eth0", ADDRESS),
            (":::", ADDRESS),
            ("1::2::3", ADDRESS),
            ("1:2:3:4:5:6:7", ADDRESS),
            ("1:2:3:4:5:6:7::8", ADDRESS),
            ("00001::", ADDRESS),
            ("::ffff:127.0.0.1", HEXADECIMAL),
            ("::127.0.0.1/96", HEXADECIMAL),
            ("10.1.2.3/", PREFIX_V4),
            ("10.1.2.3/33", PREFIX_V4),
            ("10.1.2.3/08", PREFIX_V4),
            ("10.1.2.3/00", PREFIX_V4),
            ("10.1.2.3/+8", PREFIX_V4),
            ("10.1.2.3/-8", PREFIX_V4),
            ("10.1.2.3/8 ", PREFIX_V4),
            ("10.1.2.3/8/8", PREFIX_V4),
            ("10.1.2.3/255.0.0.0", PREFIX_V4),
            ("10.1.2.3/999", PREFIX_V4),
            ("10.1.2.3/٨", PREFIX_V4),
            ("::/129", PREFIX_V6),
            ("::/064", PREFIX_V6),
            ("::/1000", PREFIX_V6),
            ("ABCD:EF01:2345:6789:ABCD:EF01:2345:6789/1280", PREFIX_V6),
            ("0ABCD:EF01:2345:6789:ABCD:EF01:2345:6789/128", ADDRESS),
            ("10.1.2.3                                    ", ADDRESS),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<IpNetwork>(), Err(ParseError::new(expected, text)), "{text:?}");
        }
    }

    #[test]
    fn refuses_a_prefix_longer_than_the_address() {
        for (address, prefix) in
            [(IpAddr::from(Ipv4Addr::LOCALHOST), 33), (IpAddr::from(Ipv6Addr::LOCALHOST), 129)]
        {
            assert!(IpNetwork::new(address, prefix).is_err());
            assert!(IpNetwork::new(address, prefix - 1).is_ok());
        }
    }

    #[test]
    fn writes_address_and_prefix() {
        let cases = [
            (v4(10, 1, 2, 3, 32), "10.1.2.3/32"),
            (v4(10, 1, 2, 3, 8), "10.1.2.3/8"),
            (v6([0; 8], 128), "::/128"),
            (v6([0xfe80, 0, 0, 0, 0, 0, 0, 1], 10), "fe80::1/10"),
            (v6([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1], 128), "::ffff:7f00:1/128"),
            (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), "::ffff:0:0/96"),
            (v6([0, 0, 0, 0, 0, 0, 0x7f00, 1], 128), "::7f00:1/128"),
            (v6([0xffff; 8], 128), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"),
        ];
        for (network, text) in cases {
            assert_eq!(network.to_string(), text);
            assert_eq!(text.parse(), Ok(network), "{text}");
        }
    }

    #[test]
    fn tells_networks_apart_by_address_and_prefix() {
        assert_ne!(v4(10, 0, 0, 1, 8), v4(10, 0, 0, 0, 8));
        assert_ne!(v4(10, 0, 0, 0, 8), v4(10, 0, 0, 0, 9));
        assert_ne!(v4(127, 0, 0, 1, 32), v6([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1], 128));
        assert_eq!(IpNetwork::from(IpAddr::from([10, 0, 0, 1])), v4(10, 0, 0, 1, 32));
    }
}
