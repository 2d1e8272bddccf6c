//! The aliases of a snapshot, in order and by key, shared between snapshots.
//!
//! Invariant: a clone costs a pointer for each alias and a change one small table; of two aliases with one key the first counts.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::alias::{Alias, AliasSource, Origin};

/// Tables by key: a change copies one of them.
const TABLES: usize = 256;

/// The aliases, in order of precedence.
#[derive(Clone, Default)]
pub struct Aliases {
    list: Vec<Arc<Alias>>,
    tables: Vec<Arc<Table>>,
    hasher: RandomState,
}

type Table = HashMap<String, Arc<Alias>>;

impl Aliases {
    /// Returns their number.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns all aliases, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Alias> + Clone {
        self.list.iter().map(Arc::as_ref)
    }

    /// Returns the aliases from this position on, in order.
    pub fn from_place(&self, place: usize) -> impl Iterator<Item = &Alias> {
        self.list.get(place..).unwrap_or_default().iter().map(Arc::as_ref)
    }

    /// Returns the place of the first alias of the database whose key is greater than this, or of the first alias of the file.
    pub fn place_after(&self, key: &str) -> usize {
        self.list.partition_point(|alias| alias.origin == Origin::Database && alias.source.key().as_str() <= key)
    }

    /// Returns the first alias with this key ([`AliasSource::key`]).
    pub fn get(&self, key: &str) -> Option<&Alias> {
        self.tables.get(self.table_of(key))?.get(key).map(Arc::as_ref)
    }

    /// Appends an alias.
    pub fn push(&mut self, alias: Alias) {
        let (key, alias) = (alias.source.key(), Arc::new(alias));
        if let Some(table) = self.table(&key) {
            table.entry(key).or_insert_with(|| alias.clone());
        }
        self.list.push(alias);
    }

    /// Inserts an alias of the database in its order, and removes all others with its source.
    pub fn put(&mut self, alias: Alias) {
        self.remove(&alias.source);
        let (key, alias) = (alias.source.key(), Arc::new(alias));
        let goes_before = |other: &Arc<Alias>| other.origin == Origin::Database && other.source.key() < key;
        let place = self.list.partition_point(goes_before);
        self.list.insert(place, alias.clone());
        if let Some(table) = self.table(&key) {
            table.insert(key, alias);
        }
    }

    /// Removes all aliases with this source. Returns whether there was one.
    pub fn remove(&mut self, source: &AliasSource) -> bool {
        let key = source.key();
        if self.get(&key).is_none() {
            return false;
        }
        self.list.retain(|alias| alias.source != *source);
        self.table(&key).is_some_and(|table| table.remove(&key).is_some())
    }

    /// Keeps the aliases for which `keep` returns true.
    pub fn retain(&mut self, keep: impl Fn(&Alias) -> bool) {
        *self = self.list.iter().filter(|alias| keep(alias)).map(|alias| Alias::clone(alias)).collect();
    }

    fn table_of(&self, key: &str) -> usize {
        usize::try_from(self.hasher.hash_one(key)).unwrap_or_default() % TABLES
    }

    fn table(&mut self, key: &str) -> Option<&mut Table> {
        if self.tables.is_empty() {
            self.tables = std::iter::repeat_with(Arc::default).take(TABLES).collect();
        }
        let place = self.table_of(key);
        self.tables.get_mut(place).map(Arc::make_mut)
    }
}

impl fmt::Debug for Aliases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Aliases {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Eq for Aliases {}

impl Extend<Alias> for Aliases {
    fn extend<I: IntoIterator<Item = Alias>>(&mut self, aliases: I) {
        aliases.into_iter().for_each(|alias| self.push(alias));
    }
}

impl FromIterator<Alias> for Aliases {
    fn from_iter<I: IntoIterator<Item = Alias>>(aliases: I) -> Self {
        let mut all = Self::default();
        all.extend(aliases);
        all
    }
}

impl From<Vec<Alias>> for Aliases {
    fn from(aliases: Vec<Alias>) -> Self {
        aliases.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Aliases {
    type Item = &'a Alias;
    type IntoIter = std::iter::Map<std::slice::Iter<'a, Arc<Alias>>, fn(&'a Arc<Alias>) -> &'a Alias>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter().map(Arc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(source: &str, target: &str, origin: Origin) -> Alias {
        Alias { source: source.parse().unwrap(), targets: vec![target.parse().unwrap()], enabled: true, origin }
    }

    fn text(aliases: &Aliases) -> Vec<String> {
        aliases.iter().map(|alias| format!("{} {}", alias.source, alias.targets[0])).collect()
    }

    #[test]
    fn the_first_of_a_key_counts_and_changes_keep_the_order() {
        let mut aliases: Aliases = vec![
            alias("b@x.test", "1@g.test", Origin::Database),
            alias("d@x.test", "2@g.test", Origin::Database),
            alias("z@x.test", "3@g.test", Origin::File),
            alias("c@x.test", "4@g.test", Origin::File),
            alias("Z@x.test", "5@g.test", Origin::File),
        ]
        .into();
        assert_eq!(aliases.get("z@x.test").unwrap().targets[0].to_string(), "3@g.test");
        let before = aliases.clone();
        aliases.put(alias("c@x.test", "6@g.test", Origin::Database));
        aliases.put(alias("e@x.test", "7@g.test", Origin::Database));
        aliases.put(alias("b@x.test", "8@g.test", Origin::Database));
        assert_eq!(
            text(&aliases),
            ["b@x.test 8@g.test", "c@x.test 6@g.test", "d@x.test 2@g.test", "e@x.test 7@g.test", "z@x.test 3@g.test", "Z@x.test 5@g.test"]
        );
        let places = ["a", "b@x.test", "c", "e@x.test", "f"].map(|key| aliases.place_after(key));
        assert_eq!(places, [0, 1, 1, 4, 4]);
        assert!(aliases.remove(&"z@x.test".parse().unwrap()) && !aliases.remove(&"z@x.test".parse().unwrap()));
        assert_eq!((aliases.len(), aliases.get("z@x.test"), aliases.get("c@x.test").unwrap().origin), (4, None, Origin::Database));
        assert_eq!(
            (before.len(), before.get("b@x.test").unwrap().targets[0].to_string()),
            (5, "1@g.test".to_owned()),
            "a snapshot never changes"
        );
        aliases.retain(|alias| alias.source.key() != "c@x.test");
        assert_eq!((aliases.len(), aliases.get("c@x.test")), (3, None));
    }

    #[test]
    fn a_clone_shares_unchanged_tables() {
        let aliases: Aliases = (0..5_000).map(|n| alias(&format!("a{n}@x.test"), "b@g.test", Origin::Database)).collect();
        let mut changed = aliases.clone();
        changed.put(alias("new@x.test", "b@g.test", Origin::Database));
        let shared = aliases.tables.iter().zip(&changed.tables).filter(|(before, after)| Arc::ptr_eq(before, after)).count();
        assert_eq!(shared, TABLES - 1);
        assert!(aliases.iter().all(|alias| changed.get(&alias.source.key()) == Some(alias)));
    }
}
