//! Shares of what is scarce: places for sessions, memory for content.
//!
//! Invariant: clients that were never seen before cannot use everything up, neither from one network nor from all together; what they leave serves
//! networks that are known, and what those leave serves accounts.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Everything is divided into this many parts.
const PARTS: usize = 8;

/// What a client is, as far as the server knows; each rank has a reserve that the ranks before it cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Port 25, from a network that was not seen before.
    Stranger,
    /// A submission port, before the login, from a network without a login before.
    Newcomer,
    /// Port 25, from a network whose mail was taken before.
    Known,
    /// A client that has logged in, or stands in a network from which an account did.
    Account,
}

impl Rank {
    /// Whether the client has neither logged in nor stands in a network that was seen before.
    pub fn is_unknown(self) -> bool {
        matches!(self, Self::Stranger | Self::Newcomer)
    }

    /// The parts that clients of this rank may use together, and those that one network may.
    fn parts(self) -> (usize, usize) {
        match self {
            Self::Stranger => (4, 1),
            Self::Newcomer => (2, 1),
            Self::Known => (PARTS - 1, 2),
            Self::Account => (PARTS, 4),
        }
    }
}

/// Who wants a share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claimant {
    pub rank: Rank,
    pub client: IpAddr,
}

/// Why there is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Clients of this rank have all that they may.
    All,
    /// The client's network has all that it may.
    Network,
}

/// What is in use, by rank and by network.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    used: [usize; 4],
    networks: HashMap<IpAddr, usize>,
}

/// The network whose clients share: an IPv4 /24, an IPv6 /48, which is what one customer of a provider gets at most.
pub(crate) fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & 0xffff_ff00)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 48))),
    }
}

impl Shares {
    /// Takes `amount` of `all`; a network may always use `network_least`.
    pub fn take(&mut self, who: Claimant, amount: usize, all: usize, network_least: usize) -> Result<(), Full> {
        let (of_rank, of_network) = who.rank.parts();
        let part = |parts: usize| part(all, parts);
        let total = self.total();
        // A reserve is what the others have to leave; strangers and newcomers are counted by themselves, so that neither keeps the other out.
        let counted = match who.rank {
            Rank::Stranger | Rank::Newcomer => self.used_by(who.rank),
            Rank::Known | Rank::Account => total,
        };
        if counted.saturating_add(amount) > part(of_rank) || total.saturating_add(amount) > all {
            return Err(Full::All);
        }
        let network = self.networks.entry(block(who.client)).or_default();
        if network.saturating_add(amount) > part(of_network).max(network_least) {
            if *network == 0 {
                self.networks.remove(&block(who.client));
            }
            return Err(Full::Network);
        }
        *network += amount;
        self.add(who.rank, amount);
        Ok(())
    }

    /// Whether clients that are not known have three quarters of what this rank of them may have.
    pub fn is_crowded(&self, rank: Rank, all: usize) -> bool {
        rank.is_unknown() && self.used_by(rank).saturating_mul(4) >= part(all, rank.parts().0).saturating_mul(3)
    }

    /// Gives back what was taken.
    pub fn give_back(&mut self, who: Claimant, amount: usize) {
        if let Some(used) = self.used.get_mut(who.rank as usize) {
            *used = used.saturating_sub(amount);
        }
        if let Some(network) = self.networks.get_mut(&block(who.client)) {
            *network = network.saturating_sub(amount);
            if *network == 0 {
                self.networks.remove(&block(who.client));
            }
        }
    }

    /// The client has become more: what it has counts for its new rank.
    pub fn promote(&mut self, who: Claimant, rank: Rank, amount: usize) {
        if let Some(used) = self.used.get_mut(who.rank as usize) {
            *used = used.saturating_sub(amount);
        }
        self.add(rank, amount);
    }

    /// All that is in use.
    pub fn total(&self) -> usize {
        self.used.iter().sum()
    }

    fn used_by(&self, rank: Rank) -> usize {
        self.used.get(rank as usize).copied().unwrap_or_default()
    }

    fn add(&mut self, rank: Rank, amount: usize) {
        if let Some(used) = self.used.get_mut(rank as usize) {
            *used = used.saturating_add(amount);
        }
    }
}

/// So many parts of all, rounded up.
fn part(all: usize, parts: usize) -> usize {
    (all / PARTS).saturating_mul(parts).saturating_add((all % PARTS * parts).div_ceil(PARTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(rank: Rank, client: &str) -> Claimant {
        Claimant { rank, client: client.parse().unwrap() }
    }

    /// How many single shares these get, one client in each of 200 networks after the other.
    fn taken(shares: &mut Shares, rank: Rank, all: usize) -> usize {
        let clients = (0..200u8).flat_map(|n| std::iter::repeat_n(format!("10.{}.{n}.1", rank as usize), all));
        clients.filter(|client| shares.take(who(rank, client), 1, all, 0).is_ok()).count()
    }

    #[test]
    fn each_rank_has_a_reserve() {
        let mut shares = Shares::default();
        assert_eq!([Rank::Stranger, Rank::Newcomer, Rank::Known, Rank::Account].map(|rank| taken(&mut shares, rank, 80)), [40, 20, 10, 10]);
        assert_eq!(shares.total(), 80);
        let mut shares = Shares::default();
        assert_eq!([Rank::Known, Rank::Stranger, Rank::Account].map(|rank| taken(&mut shares, rank, 80)), [70, 10, 0]);
    }

    #[test]
    fn one_network_has_a_part_of_its_ranks_share() {
        let mut shares = Shares::default();
        let mut of = |rank, client: &str| (0..80).filter(|_| shares.take(who(rank, client), 1, 80, 0).is_ok()).count();
        assert_eq!(of(Rank::Stranger, "192.0.2.1"), 10);
        assert_eq!(of(Rank::Stranger, "192.0.2.77"), 0, "the same /24");
        assert_eq!(of(Rank::Stranger, "192.0.3.1"), 10);
        assert_eq!(of(Rank::Stranger, "2001:db8:1:1::1"), 10);
        assert_eq!(of(Rank::Stranger, "2001:db8:1:ffff::1"), 0, "the same /48");
        assert_eq!(of(Rank::Known, "192.0.2.1"), 10, "it has become known: twice as much");
        assert!(shares.is_crowded(Rank::Stranger, 80) && !shares.is_crowded(Rank::Newcomer, 80) && !shares.is_crowded(Rank::Known, 1));
        let mut small = Shares::default();
        assert_eq!((0..8).filter(|_| small.take(who(Rank::Stranger, "192.0.2.1"), 1, 16, 5).is_ok()).count(), 5);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut shares = Shares::default();
        let client = who(Rank::Newcomer, "192.0.2.1");
        shares.take(client, 5, 80, 0).unwrap();
        shares.promote(client, Rank::Account, 5);
        assert_eq!((shares.used_by(Rank::Newcomer), shares.used_by(Rank::Account)), (0, 5));
        shares.give_back(Claimant { rank: Rank::Account, ..client }, 5);
        assert!(shares.total() == 0 && shares.networks.is_empty());
    }
}
