//! Networks' tables. Plain statements; nothing of the kernel is touched. That an address or a port is given out once is the
//! tables' to say: their keys are the allocators' locks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::addresses::Subnet;
use super::model::{Endpoint, Mac, Network, Pool, Protocol, PublishedPort};
use crate::held::OwnerId;

/// An owner's rows say nothing of containers: those are not known here.
pub(crate) const SCHEMA_1: &str = "
CREATE TABLE networks (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  bridge TEXT NOT NULL UNIQUE,
  spec TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE network_pools (
  network TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
  subnet TEXT NOT NULL UNIQUE,
  pool TEXT NOT NULL,
  PRIMARY KEY (network, subnet)
) STRICT, WITHOUT ROWID;
CREATE TABLE endpoints (
  owner TEXT NOT NULL,
  network TEXT NOT NULL REFERENCES networks (id) ON DELETE RESTRICT,
  id TEXT NOT NULL,
  request TEXT NOT NULL,
  names TEXT NOT NULL,
  interface TEXT NOT NULL,            -- of the host's end; empty while it is not there
  mac TEXT NOT NULL,
  last TEXT NOT NULL,                 -- the addresses that it had last
  PRIMARY KEY (owner, network)
) STRICT, WITHOUT ROWID;
CREATE INDEX endpoints_by_network ON endpoints (network);
CREATE TABLE addresses (
  network TEXT NOT NULL REFERENCES networks (id) ON DELETE RESTRICT,
  address TEXT NOT NULL,
  owner TEXT NOT NULL,
  PRIMARY KEY (network, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX addresses_by_owner ON addresses (owner);
CREATE TABLE published_ports (
  protocol TEXT NOT NULL,
  host_address TEXT NOT NULL,
  host_port INTEGER NOT NULL,
  owner TEXT NOT NULL,
  container_port INTEGER NOT NULL,
  PRIMARY KEY (protocol, host_address, host_port)
) STRICT, WITHOUT ROWID;
CREATE INDEX published_ports_by_owner ON published_ports (owner);
";

type Result<T> = std::result::Result<T, rusqlite::Error>;

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| wrong(column, error))
}

fn wrong(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

/// All networks, by name.
pub(super) fn networks(tx: &Transaction<'_>) -> Result<Vec<Network>> {
    let mut pools: BTreeMap<String, Vec<Pool>> = BTreeMap::new();
    let mut statement =
        tx.prepare_cached("SELECT network, pool FROM network_pools ORDER BY network, subnet")?;
    for row in statement.query_map([], |row| Ok((row.get::<_, String>(0)?, from_json(row, 1)?)))? {
        let (network, pool) = row?;
        pools.entry(network).or_default().push(pool);
    }
    let mut statement = tx.prepare_cached("SELECT id, name, spec FROM networks ORDER BY name")?;
    let read = statement.query_map([], |row| {
        let id: String = row.get(0)?;
        let pools = pools.get(&id).cloned().unwrap_or_default();
        Ok(Network { id, name: row.get(1)?, spec: from_json(row, 2)?, pools })
    })?;
    read.collect()
}

pub(super) fn insert_network(tx: &Transaction<'_>, network: &Network) -> Result<()> {
    tx.prepare_cached("INSERT INTO networks (id, name, bridge, spec) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![network.id, network.name, network.spec.bridge, json(&network.spec)?])?;
    let mut statement =
        tx.prepare_cached("INSERT INTO network_pools (network, subnet, pool) VALUES (?1, ?2, ?3)")?;
    for pool in &network.pools {
        statement.execute(params![network.id, pool.subnet.to_string(), json(pool)?])?;
    }
    Ok(())
}

pub(super) fn delete_network(tx: &Transaction<'_>, id: &str) -> Result<()> {
    tx.execute("DELETE FROM networks WHERE id = ?1", [id]).map(drop)
}

const ENDPOINT_COLUMNS: &str = "SELECT owner, network, id, request, names, interface, mac FROM endpoints";

/// All endpoints, or one owner's.
pub(super) fn endpoints(tx: &Transaction<'_>, owner: Option<&OwnerId>) -> Result<Vec<Endpoint>> {
    let mut addresses: BTreeMap<(String, String), Vec<IpAddr>> = BTreeMap::new();
    let owner = owner.map(OwnerId::as_str);
    let mut statement = tx.prepare_cached(
        "SELECT owner, network, address FROM addresses WHERE ?1 IS NULL OR owner = ?1 ORDER BY address",
    )?;
    for row in statement.query_map([owner], |row| Ok(((row.get(0)?, row.get(1)?), ip(row, 2)?)))? {
        let (key, address) = row?;
        addresses.entry(key).or_default().push(address);
    }
    let mut statement = tx.prepare_cached(&format!(
        "{ENDPOINT_COLUMNS} WHERE ?1 IS NULL OR owner = ?1 ORDER BY owner, network"
    ))?;
    let read = statement.query_map([owner], |row| {
        let (owner, network): (String, String) = (row.get(0)?, row.get(1)?);
        let own = addresses.get(&(owner.clone(), network.clone())).cloned().unwrap_or_default();
        Ok(Endpoint {
            owner: owner.parse().map_err(|error| wrong(0, error))?,
            network,
            id: row.get(2)?,
            request: from_json(row, 3)?,
            names: from_json(row, 4)?,
            interface: row.get(5)?,
            mac: Mac::parse(row.get_ref(6)?.as_str()?).unwrap_or_default(),
            ipv4: own.iter().find_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            }),
            ipv6: own.iter().find_map(|address| match address {
                IpAddr::V6(address) => Some(*address),
                IpAddr::V4(_) => None,
            }),
        })
    })?;
    read.collect()
}

pub(super) fn insert_endpoint(tx: &Transaction<'_>, endpoint: &Endpoint) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO endpoints (owner, network, id, request, names, interface, mac, last)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, '[]')",
    )?
    .execute(params![
        endpoint.owner.as_str(),
        endpoint.network,
        endpoint.id,
        json(&endpoint.request)?,
        json(&endpoint.names)?,
        endpoint.interface,
        endpoint.mac.to_string(),
    ])?;
    Ok(())
}

/// Records what an endpoint is in the kernel, and which addresses it has.
pub(super) fn update_endpoint(tx: &Transaction<'_>, endpoint: &Endpoint) -> Result<()> {
    let last: Vec<IpAddr> = endpoint.addresses().collect();
    tx.prepare_cached(
        "UPDATE endpoints SET names = ?3, interface = ?4, mac = ?5, last = ?6 WHERE owner = ?1 AND network = ?2",
    )?
    .execute(params![
        endpoint.owner.as_str(),
        endpoint.network,
        json(&endpoint.names)?,
        endpoint.interface,
        endpoint.mac.to_string(),
        json(&last)?,
    ])?;
    Ok(())
}

pub(super) fn delete_endpoint(tx: &Transaction<'_>, owner: &OwnerId, network: &str) -> Result<()> {
    tx.execute("DELETE FROM addresses WHERE owner = ?1 AND network = ?2", [owner.as_str(), network])?;
    tx.execute("DELETE FROM endpoints WHERE owner = ?1 AND network = ?2", [owner.as_str(), network])?;
    Ok(())
}

/// The addresses that an endpoint had last.
pub(super) fn last_addresses(tx: &Transaction<'_>, endpoint: &Endpoint) -> Result<Vec<IpAddr>> {
    let found = tx
        .prepare_cached("SELECT last FROM endpoints WHERE owner = ?1 AND network = ?2")?
        .query_row([endpoint.owner.as_str(), &endpoint.network], |row| from_json(row, 0))
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// The addresses of a network that are given out, with whom they belong to.
pub(super) fn given_addresses(tx: &Transaction<'_>, network: &str) -> Result<BTreeMap<IpAddr, String>> {
    let mut statement = tx.prepare_cached("SELECT address, owner FROM addresses WHERE network = ?1")?;
    statement.query_map([network], |row| Ok((ip(row, 0)?, row.get(1)?)))?.collect()
}

pub(super) fn insert_address(
    tx: &Transaction<'_>,
    network: &str,
    address: IpAddr,
    owner: &OwnerId,
) -> Result<()> {
    tx.prepare_cached("INSERT INTO addresses (network, address, owner) VALUES (?1, ?2, ?3)")?
        .execute(params![network, address.to_string(), owner.as_str()])?;
    Ok(())
}

fn ip(row: &Row<'_>, column: usize) -> Result<IpAddr> {
    row.get_ref(column)?.as_str()?.parse().map_err(|error| wrong(column, error))
}

/// All published ports with their owners, or one owner's.
pub(super) fn ports(tx: &Transaction<'_>, owner: Option<&OwnerId>) -> Result<Vec<(OwnerId, PublishedPort)>> {
    let mut statement = tx.prepare_cached(
        "SELECT owner, protocol, host_address, host_port, container_port FROM published_ports
         WHERE ?1 IS NULL OR owner = ?1 ORDER BY container_port, protocol, host_address, host_port",
    )?;
    let read = statement.query_map([owner.map(OwnerId::as_str)], |row| {
        let owner: String = row.get(0)?;
        let port = PublishedPort {
            protocol: Protocol::parse(row.get_ref(1)?.as_str()?).unwrap_or(Protocol::Tcp),
            host_address: ip(row, 2)?,
            host_port: row.get(3)?,
            container_port: row.get(4)?,
        };
        Ok((owner.parse().map_err(|error| wrong(0, error))?, port))
    })?;
    read.collect()
}

/// Who has a port that `port` could not be beside: the same one, or one of all addresses.
pub(super) fn port_holder(tx: &Transaction<'_>, port: PublishedPort) -> Result<Option<String>> {
    let mut statement = tx.prepare_cached(
        "SELECT host_address, owner FROM published_ports WHERE protocol = ?1 AND host_port = ?2",
    )?;
    let rows = statement
        .query_map(params![port.protocol.as_str(), port.host_port], |row| Ok((ip(row, 0)?, row.get(1)?)))?;
    for row in rows {
        let (address, owner): (IpAddr, String) = row?;
        let is_same_family = address.is_ipv4() == port.host_address.is_ipv4();
        let meets = address == port.host_address
            || (is_same_family && (address.is_unspecified() || port.host_address.is_unspecified()));
        if meets {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

pub(super) fn insert_port(tx: &Transaction<'_>, owner: &OwnerId, port: PublishedPort) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO published_ports (protocol, host_address, host_port, owner, container_port)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        port.protocol.as_str(),
        port.host_address.to_string(),
        port.host_port,
        owner.as_str(),
        port.container_port,
    ])?;
    Ok(())
}

/// What a run had is given back: ports, addresses, and that the endpoints are in the kernel.
pub(super) fn release_run(tx: &Transaction<'_>, owner: &OwnerId) -> Result<()> {
    release_ports(tx, owner)?;
    tx.execute("DELETE FROM addresses WHERE owner = ?1", [owner.as_str()])?;
    tx.execute("UPDATE endpoints SET interface = '' WHERE owner = ?1", [owner.as_str()])?;
    Ok(())
}

pub(super) fn release_ports(tx: &Transaction<'_>, owner: &OwnerId) -> Result<()> {
    tx.execute("DELETE FROM published_ports WHERE owner = ?1", [owner.as_str()]).map(drop)
}

/// All that an owner has.
pub(super) fn release(tx: &Transaction<'_>, owner: &OwnerId) -> Result<()> {
    release_run(tx, owner)?;
    tx.execute("DELETE FROM endpoints WHERE owner = ?1", [owner.as_str()]).map(drop)
}

/// Everybody who has something.
pub(super) fn owners(tx: &Transaction<'_>) -> Result<BTreeSet<OwnerId>> {
    let mut statement = tx.prepare(
        "SELECT owner FROM endpoints UNION SELECT owner FROM addresses UNION SELECT owner FROM published_ports",
    )?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut owners = BTreeSet::new();
    for row in rows {
        owners.extend(row?.parse::<OwnerId>().ok());
    }
    Ok(owners)
}

/// All subnets that networks have, with the networks' names.
pub(super) fn subnets(tx: &Transaction<'_>) -> Result<Vec<(Subnet, String)>> {
    let all = networks(tx)?;
    Ok(all
        .iter()
        .flat_map(|network| network.pools.iter().map(|pool| (pool.subnet, network.name.clone())))
        .collect())
}
