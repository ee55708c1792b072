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
    /// 32 or 128.
    bits: u8,
    /// The address in network byte order; zeros behind one of four bytes.
    octets: [u8; 16],
    prefix: u8,
}

impl IpNetwork {
    /// An address with a prefix length in bits; bits of the address beyond the prefix are kept.
    ///
    /// # Errors
    ///
    /// The prefix is longer than the address: 32 bits for IPv4, 128 for IPv6.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, ParseError> {
        let network = match address {
            IpAddr::V4(address) => Self::from_octets(&address.octets(), prefix),
            IpAddr::V6(address) => Self::from_octets(&address.octets(), prefix),
        };
        network.ok_or_else(|| ParseError::new(prefix_form(address.is_ipv4()), "a longer one"))
    }

    /// As [`Self::new`], with the address as 4 or 16 bytes in network byte order; `None` for another number of bytes too.
    pub fn from_octets(address: &[u8], prefix: u8) -> Option<Self> {
        let bits = match address.len() {
            4 => 32,
            16 => 128,
            _ => return None,
        };
        let mut octets = [0; 16];
        for (octet, byte) in octets.iter_mut().zip(address) {
            *octet = *byte;
        }
        (prefix <= bits).then_some(Self { bits, octets, prefix })
    }

    /// The bytes of the address in network byte order, 4 or 16.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.bits / 8)).unwrap_or_default()
    }

    /// The address, with all bits it was written with.
    pub fn address(&self) -> IpAddr {
        match self.octets {
            [a, b, c, d, ..] if self.is_ipv4() => IpAddr::from([a, b, c, d]),
            octets => IpAddr::from(octets),
        }
    }

    /// Whether the address is IPv4, not IPv6.
    pub fn is_ipv4(&self) -> bool {
        self.bits == 32
    }

    /// The length of the prefix in bits, at most 32 for IPv4 and 128 for IPv6.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether all of it lies in 127.0.0.0/8, or it is ::1.
    pub fn is_loopback(&self) -> bool {
        if self.is_ipv4() {
            self.starts_with(&[127], 8)
        } else {
            self.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 128)
        }
    }

    /// Whether all of it lies in 224.0.0.0/4 or ff00::/8.
    pub fn is_multicast(&self) -> bool {
        if self.is_ipv4() { self.starts_with(&[224], 4) } else { self.starts_with(&[255], 8) }
    }

    /// Whether every address of this network is one of `other`'s. Never so for IPv4 and IPv6 mixed.
    pub fn is_in(&self, other: &Self) -> bool {
        self.bits == other.bits && self.starts_with(&other.octets, other.prefix)
    }

    /// Whether the first `prefix` bits are those of `octets` in every address of this network.
    fn starts_with(&self, octets: &[u8], prefix: u8) -> bool {
        let mut left = prefix;
        for (ours, octet) in self.octets.iter().zip(octets) {
            let ignored = 8_u8.saturating_sub(left);
            if u32::from(ours ^ octet) >> ignored != 0 {
                return false;
            }
            left = left.saturating_sub(8);
        }
        self.prefix >= prefix
    }
}

impl From<IpAddr> for IpNetwork {
    /// A single address.
    fn from(address: IpAddr) -> Self {
        let (bits, mut octets) = (if address.is_ipv4() { 32 } else { 128 }, [0; 16]);
        match address {
            IpAddr::V4(address) => {
                octets.iter_mut().zip(address.octets()).for_each(|(octet, byte)| *octet = byte)
            }
            IpAddr::V6(address) => octets = address.octets(),
        }
        Self { bits, octets, prefix: bits }
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
        Self::read(text).map_err(|expected| ParseError::new(expected, text))
    }
}

impl IpNetwork {
    /// As [`Self::from_str`]; the error is what was expected.
    ///
    /// # Errors
    ///
    /// As [`Self::from_str`].
    pub fn read(text: &str) -> Result<Self, &'static str> {
        // Cedar's limit of 43 bytes needs no check: no text that is read here is longer.
        let text = text.as_bytes();
        let end = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
        let (address, prefix) = text.split_at_checked(end).ok_or(ADDRESS)?;
        // `contains` would bring a search by words along, longer than all of this.
        #[allow(clippy::manual_contains, reason = "size")]
        let is_ipv6 = address.iter().any(|byte| *byte == b':');
        let mut network = if is_ipv6 { read_v6(address)? } else { read_v4(address).ok_or(ADDRESS)? };
        if let [_, prefix @ ..] = prefix {
            let length = decimal(prefix).filter(|length| *length <= network.bits);
            network.prefix = length.ok_or(prefix_form(network.is_ipv4()))?;
        }
        Ok(network)
    }
}

fn read_v4(mut text: &[u8]) -> Option<IpNetwork> {
    let mut octets = [0; 16];
    for (index, octet) in octets.iter_mut().take(4).enumerate() {
        if index > 0 {
            text = text.strip_prefix(b".")?;
        }
        let end = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
        let (digits, rest) = text.split_at_checked(end)?;
        *octet = decimal(digits)?;
        text = rest;
    }
    text.is_empty().then_some(IpNetwork { bits: 32, octets, prefix: 32 })
}

fn read_v6(mut text: &[u8]) -> Result<IpNetwork, &'static str> {
    let mut groups = [0_u16; 8];
    let mut count = 0;
    // How many groups stand before the `::`.
    let mut gap = None;
    loop {
        if let [b':', b':', rest @ ..] = text {
            if gap.is_some() {
                return Err(ADDRESS);
            }
            gap = Some(count);
            text = rest;
            if text.is_empty() {
                break;
            }
        } else if count > 0 {
            text = text.strip_prefix(b":").ok_or(ADDRESS)?;
        }
        let group = groups.get_mut(count).ok_or(ADDRESS)?;
        let mut digits = 0;
        while let Some(digit) = text.first().and_then(|byte| char::from(*byte).to_digit(16)) {
            *group = *group << 4 | digit as u16;
            digits += 1;
            text = text.get(1..).unwrap_or_default();
        }
        if text.first() == Some(&b'.') && (count > 0 || gap.is_some()) {
            return Err(HEXADECIMAL);
        }
        if !(1..=4).contains(&digits) {
            return Err(ADDRESS);
        }
        count += 1;
        if text.is_empty() {
            break;
        }
    }
    // What the `::` leaves out, at least one group.
    let missing = groups.len() - count;
    if gap.is_some() != (missing > 0) {
        return Err(ADDRESS);
    }
    let mut octets = [0; 16];
    for (index, group) in groups.iter().take(count).enumerate() {
        let place = if gap.is_some_and(|gap| index >= gap) { index + missing } else { index };
        for (octet, byte) in octets.iter_mut().skip(2 * place).zip(group.to_be_bytes()) {
            *octet = byte;
        }
    }
    Ok(IpNetwork { bits: 128, octets, prefix: 128 })
}

/// A number up to 255 in plain digits; `None` for a sign, a leading zero or more.
fn decimal(text: &[u8]) -> Option<u8> {
    let mut number = 0_u8;
    for byte in text {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    match text {
        [] | [b'0', _, ..] => None,
        _ => Some(number),
    }
}

impl fmt::Display for IpNetwork {
    /// Writes Cedar's canonical form, `address/prefix` with the prefix always there, except for IPv4-mapped addresses.
    ///
    /// Those are in hexadecimal like all of IPv6: Cedar 4.14 would write `::ffff:127.0.0.1/128`, which it refuses.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
                let [.., high, low] = address.segments();
                write!(formatter, "::ffff:{high:x}:{low:x}/{}", self.prefix)
            }
            address => write!(formatter, "{address}/{}", self.prefix),
        }
    }
}

/// What to say is expected of the prefix length of an address.
fn prefix_form(is_ipv4: bool) -> &'static str {
    if is_ipv4 { PREFIX_V4 } else { PREFIX_V6 }
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
