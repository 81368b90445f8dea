//! Which client addresses may connect: addresses and networks.

use std::net::IpAddr;

/// `allowedip`; if it is empty, only this machine.
#[derive(Clone, Debug)]
pub struct Allowed(Vec<(IpAddr, u8)>);

impl Allowed {
    /// Parses addresses, and networks such as `10.0.0.0/8`. `Err` contains the word that is neither.
    pub fn parse(words: &[&str]) -> Result<Allowed, String> {
        let nets: Result<Vec<_>, String> = words.iter().map(|word| parse(word).ok_or(word.to_string())).collect();
        Ok(Allowed(nets?))
    }

    /// Whether that client may connect. An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn admits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        match self.0.is_empty() {
            true => peer.is_loopback(),
            false => self.0.iter().any(|net| contains(*net, peer)),
        }
    }

    /// Whether any client on another machine may connect.
    pub fn admits_others(&self) -> bool {
        self.0.iter().any(|(net, length)| !net.is_loopback() || *length < if net.is_ipv4() { 8 } else { 128 })
    }
}

fn parse(word: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = word.split_once('/').map_or((word, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.trim().parse().ok()?;
    let address = address.to_canonical();
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(most), |length| length.trim().parse().ok().filter(|length| *length <= most))?;
    Some((address, length))
}

fn contains((net, length): (IpAddr, u8), peer: IpAddr) -> bool {
    // Shifts out the bits beyond the prefix; `checked_shr` is `None` for a prefix length of 0, which matches
    // everything.
    let is_same = |differing: u128, bits: u8| differing.checked_shr((bits - length).into()).unwrap_or(0) == 0;
    match (net, peer) {
        (IpAddr::V4(net), IpAddr::V4(peer)) => is_same((net.to_bits() ^ peer.to_bits()).into(), 32),
        (IpAddr::V6(net), IpAddr::V6(peer)) => is_same(net.to_bits() ^ peer.to_bits(), 128),
        _ => false,
    }
}
