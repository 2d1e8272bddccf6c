//! Shares of limited resources: sessions, and memory for content.
//!
//! Invariant: unknown clients cannot exhaust a resource, neither from one network nor all together; what they leave is reserved for known
//! networks, and what those leave for accounts.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::support::networks::block;

/// Parts that each resource is divided into.
const PARTS: usize = 8;

/// The rank of a client; each has a reserve that the ranks before it cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Port 25, from an unknown network.
    Stranger,
    /// A submission port, before the login, from a network without earlier logins.
    Newcomer,
    /// Port 25, from a network whose mail was accepted before.
    Known,
    /// A client that has logged in, or whose network had a login before.
    Account,
}

impl Rank {
    /// Whether the client has not logged in and its network is unknown.
    pub fn is_unknown(self) -> bool {
        matches!(self, Self::Stranger | Self::Newcomer)
    }

    /// Maximum parts for all clients of this rank, and for one network.
    fn parts(self) -> (usize, usize) {
        match self {
            Self::Stranger => (4, 1),
            Self::Newcomer => (2, 1),
            Self::Known => (PARTS - 1, 2),
            Self::Account => (PARTS, 4),
        }
    }
}

/// A client, with its rank.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RankedClient {
    pub rank: Rank,
    pub client: IpAddr,
}

/// Why a share is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Clients of this rank use all of their share.
    All,
    /// The client's network uses all of its share.
    Network,
}

/// Use of a resource, by rank and by network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shares {
    used: [usize; 4],
    networks: HashMap<IpAddr, usize>,
}

impl Shares {
    /// Takes `amount` of `all`; a network may always use `network_least`.
    pub fn take(&mut self, who: RankedClient, amount: usize, all: usize, network_least: usize) -> Result<(), Full> {
        let (of_rank, of_network) = who.rank.parts();
        let part = |parts: usize| part(all, parts);
        let total = self.total();
        // Strangers and newcomers are counted separately, so that neither blocks the other.
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

    /// Whether this rank is an unknown one and uses three quarters of its share.
    pub fn is_crowded(&self, rank: Rank, all: usize) -> bool {
        rank.is_unknown() && self.used_by(rank).saturating_mul(4) >= part(all, rank.parts().0).saturating_mul(3)
    }

    /// Returns what was taken.
    pub fn give_back(&mut self, who: RankedClient, amount: usize) {
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

    /// Moves what the client uses to its new rank.
    pub fn promote(&mut self, who: RankedClient, rank: Rank, amount: usize) {
        if let Some(used) = self.used.get_mut(who.rank as usize) {
            *used = used.saturating_sub(amount);
        }
        self.add(rank, amount);
    }

    /// Total in use.
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

/// The size of this number of parts, rounded up.
fn part(all: usize, parts: usize) -> usize {
    (all / PARTS).saturating_mul(parts).saturating_add((all % PARTS * parts).div_ceil(PARTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(rank: Rank, client: &str) -> RankedClient {
        RankedClient { rank, client: client.parse().unwrap() }
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
    fn one_network_gets_a_part_of_its_ranks_share() {
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
    fn returned_shares_can_be_taken_again() {
        let mut shares = Shares::default();
        let client = who(Rank::Newcomer, "192.0.2.1");
        shares.take(client, 5, 80, 0).unwrap();
        shares.promote(client, Rank::Account, 5);
        assert_eq!((shares.used_by(Rank::Newcomer), shares.used_by(Rank::Account)), (0, 5));
        shares.give_back(RankedClient { rank: Rank::Account, ..client }, 5);
        assert!(shares.total() == 0 && shares.networks.is_empty());
    }
}
