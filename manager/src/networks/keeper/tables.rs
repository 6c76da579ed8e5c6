//! Which names there are, in which networks, and what each container may know of them. Pure.

use std::collections::HashMap;
use std::net::IpAddr;

use super::dns::{Answer, Kind, Question, pointed_address};
use super::message::Names;
use crate::held::OwnerId;

/// Everything that can be answered from memory.
#[derive(Debug, Default)]
pub(super) struct Tables {
    owners: HashMap<OwnerId, Names>,
    /// By network and name, in lower case.
    addresses: HashMap<(String, String), Vec<(OwnerId, IpAddr)>>,
    /// By network and address.
    names: HashMap<(String, IpAddr), (OwnerId, String)>,
    /// So that several addresses come in turn.
    turn: usize,
}

/// What becomes of a question.
pub(super) enum Known {
    Answer(Answer),
    /// Others are to be asked: these servers.
    Ask(Vec<IpAddr>),
    /// There is nobody to ask.
    Nobody,
}

impl Tables {
    /// Puts what is known of an owner in the place of what was.
    pub(super) fn set(&mut self, owner: &OwnerId, names: Names) {
        self.remove(owner);
        for place in &names.places {
            for name in &place.names {
                let key = (place.network.clone(), name.to_ascii_lowercase());
                let entry = self.addresses.entry(key).or_default();
                entry.extend(place.addresses.iter().map(|address| (owner.clone(), *address)));
            }
            if let Some(first) = place.names.first() {
                let full = format!("{first}.{}", place.network_name);
                for address in &place.addresses {
                    self.names.insert((place.network.clone(), *address), (owner.clone(), full.clone()));
                }
            }
        }
        self.owners.insert(owner.clone(), names);
    }

    pub(super) fn remove(&mut self, owner: &OwnerId) {
        let Some(names) = self.owners.remove(owner) else { return };
        for place in &names.places {
            for name in &place.names {
                let key = (place.network.clone(), name.to_ascii_lowercase());
                if let Some(entry) = self.addresses.get_mut(&key) {
                    entry.retain(|(other, _)| other != owner);
                    if entry.is_empty() {
                        self.addresses.remove(&key);
                    }
                }
            }
            for address in &place.addresses {
                let key = (place.network.clone(), *address);
                if self.names.get(&key).is_some_and(|(other, _)| other == owner) {
                    self.names.remove(&key);
                }
            }
        }
    }

    /// What an owner is told.
    pub(super) fn ask(&mut self, owner: &OwnerId, question: &Question) -> Known {
        let Some(asking) = self.owners.get(owner) else { return Known::Nobody };
        if question.kind == Kind::Pointer {
            let address = pointed_address(&question.name);
            let named = address.and_then(|address| {
                let with_names = asking.places.iter().filter(|place| place.has_names);
                with_names.into_iter().find_map(|place| self.names.get(&(place.network.clone(), address)))
            });
            if let Some((_, name)) = named {
                return Known::Answer(Answer::Name(name.clone()));
            }
        } else if let Some(found) = self.find(asking, &question.name) {
            let is_wanted = |address: &IpAddr| match question.kind {
                Kind::Address => address.is_ipv4(),
                Kind::Address6 => address.is_ipv6(),
                Kind::Pointer | Kind::Other => false,
            };
            let mut addresses: Vec<IpAddr> = found.into_iter().filter(is_wanted).collect();
            self.turn = self.turn.wrapping_add(1);
            if !addresses.is_empty() {
                let middle = self.turn % addresses.len();
                addresses.rotate_left(middle);
            }
            return Known::Answer(Answer::Addresses(addresses));
        }
        match asking.places.iter().any(|place| place.may_forward) && !asking.servers.is_empty() {
            true => Known::Ask(asking.servers.clone()),
            false => Known::Nobody,
        }
    }

    /// The addresses of a name, alone or with a network's behind it; `None` for one that nobody here has.
    fn find(&self, asking: &Names, name: &str) -> Option<Vec<IpAddr>> {
        let linked = asking.links.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        if let Some((_, target)) = linked {
            let target = target.to_ascii_lowercase();
            let all = asking.places.iter().map(|place| (&place.network, target.as_str()));
            return self.first(all);
        }
        let places = || asking.places.iter().filter(|place| place.has_names);
        let alone = self.first(places().map(|place| (&place.network, name)));
        alone.or_else(|| {
            let with_network = places().filter_map(|place| {
                let suffix = format!(".{}", place.network_name.to_ascii_lowercase());
                name.strip_suffix(suffix.as_str()).map(|name| (&place.network, name))
            });
            self.first(with_network)
        })
    }

    fn first<'a>(&self, keys: impl Iterator<Item = (&'a String, &'a str)>) -> Option<Vec<IpAddr>> {
        let mut found = keys.filter_map(|(network, name)| {
            let entry = self.addresses.get(&(network.clone(), name.to_owned()))?;
            Some(entry.iter().map(|(_, address)| *address).collect())
        });
        found.next()
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::NamedPlace;
    use super::*;

    fn owner(digit: char) -> OwnerId {
        digit.to_string().repeat(64).parse().expect("an id")
    }

    fn place(network: &str, names: &[&str], address: &str) -> NamedPlace {
        NamedPlace {
            network: network.to_owned(),
            network_name: network.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: vec![address.parse().expect("an address")],
            has_names: network != "bridge",
            may_forward: network != "inner",
        }
    }

    fn ask(tables: &mut Tables, owner: &OwnerId, name: &str, kind: Kind) -> Option<Vec<String>> {
        let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).expect("short"));
            query.extend_from_slice(label.as_bytes());
        }
        query.extend_from_slice(&[0, 0, 1, 0, 1]);
        let question = Question { kind, ..super::super::dns::question(&query).expect("one") };
        match tables.ask(owner, &question) {
            Known::Answer(Answer::Addresses(all)) => Some(all.iter().map(ToString::to_string).collect()),
            Known::Answer(Answer::Name(name)) => Some(vec![name]),
            Known::Ask(_) | Known::Nobody => None,
        }
    }

    #[test]
    fn a_container_knows_the_names_of_its_own_networks() {
        let mut tables = Tables::default();
        let (web, db, other) = (owner('a'), owner('b'), owner('c'));
        let names = |places| Names { places, ..Names::default() };
        tables.set(&web, names(vec![place("app", &["web", "front"], "10.0.0.2")]));
        tables.set(&db, names(vec![place("app", &["DB"], "10.0.0.3"), place("back", &["DB"], "10.1.0.3")]));
        tables.set(&other, names(vec![place("bridge", &["other"], "172.17.0.2")]));
        let found = |tables: &mut Tables, who: &OwnerId, name: &str| ask(tables, who, name, Kind::Address);
        assert_eq!(found(&mut tables, &web, "db"), Some(vec!["10.0.0.3".to_owned()]));
        assert_eq!(found(&mut tables, &web, "Db.app"), Some(vec!["10.0.0.3".to_owned()]));
        assert_eq!(found(&mut tables, &web, "db.back"), None, "a network that it is not in");
        assert_eq!(found(&mut tables, &db, "front"), Some(vec!["10.0.0.2".to_owned()]));
        assert_eq!(found(&mut tables, &other, "web"), None);
        assert_eq!(found(&mut tables, &other, "other"), None, "in the default network there are no names");
        assert_eq!(ask(&mut tables, &web, "db", Kind::Address6), Some(vec![]));
        let pointer = "3.0.0.10.in-addr.arpa";
        assert_eq!(ask(&mut tables, &web, pointer, Kind::Pointer), Some(vec!["DB.app".to_owned()]));
        assert_eq!(ask(&mut tables, &other, pointer, Kind::Pointer), None);
        tables.remove(&db);
        assert_eq!(found(&mut tables, &web, "db"), None);
        assert_eq!(tables.addresses.len(), 3);
    }

    #[test]
    fn links_come_first_and_an_internal_network_asks_nobody() {
        let mut tables = Tables::default();
        let (one, two) = (owner('a'), owner('b'));
        let links = vec![("base".to_owned(), "two".to_owned())];
        let servers = vec![IpAddr::from([9, 9, 9, 9])];
        tables.set(
            &one,
            Names { places: vec![place("bridge", &["one"], "172.17.0.2")], links, servers: servers.clone() },
        );
        tables.set(&two, Names { places: vec![place("bridge", &["two"], "172.17.0.3")], ..Names::default() });
        assert_eq!(ask(&mut tables, &one, "base", Kind::Address), Some(vec!["172.17.0.3".to_owned()]));
        let question = Question {
            kind: Kind::Address,
            ..super::super::dns::question(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'x', 0, 0, 1, 0, 1])
                .expect("one")
        };
        assert!(matches!(tables.ask(&one, &question), Known::Ask(_)));
        tables.set(
            &one,
            Names { places: vec![place("inner", &["one"], "10.9.0.2")], servers, ..Names::default() },
        );
        assert!(matches!(tables.ask(&one, &question), Known::Nobody));
    }
}
