//! A network as docker's `GET /networks/{id}` shows it, and what `POST /networks/create` asks for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fields::{Fields, InvalidBody};
use super::time::rfc3339;
use super::words::sorted;
use crate::v1::{CreateNetworkRequest, Network, NetworkPool};

/// A network as docker has it. `is_listed` leaves its containers out, as lists do.
#[must_use]
pub fn network(network: &Network, is_listed: bool) -> Value {
    let pools: Vec<Value> = network.pools.iter().map(pool).collect();
    let members: BTreeMap<&str, Value> = match is_listed {
        true => BTreeMap::new(),
        false => network.members.iter().map(|member| (member.container.as_str(), place(member))).collect(),
    };
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created_at.as_ref()),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": true,
        "EnableIPv6": network.ipv6,
        "IPAM": {"Driver": "default", "Options": null, "Config": pools},
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Containers": members,
        "Options": sorted(&network.options),
        "Labels": sorted(&network.labels),
    })
}

fn pool(pool: &NetworkPool) -> Value {
    let mut object = json!({"Subnet": pool.subnet, "Gateway": pool.gateway});
    if let Value::Object(fields) = &mut object {
        if !pool.ip_range.is_empty() {
            fields.insert("IPRange".to_owned(), json!(pool.ip_range));
        }
        if !pool.reserved.is_empty() {
            fields.insert("AuxiliaryAddresses".to_owned(), sorted(&pool.reserved));
        }
    }
    object
}

fn place(member: &crate::v1::NetworkMember) -> Value {
    json!({
        "Name": member.name,
        "EndpointID": member.endpoint_id,
        "MacAddress": member.mac_address,
        "IPv4Address": member.ipv4,
        "IPv6Address": member.ipv6,
    })
}

/// Reads a request for a network.
///
/// # Errors
/// [`InvalidBody`].
pub fn create_network(body: &Fields) -> Result<CreateNetworkRequest, InvalidBody> {
    body.refuse(&[("Ingress", ""), ("ConfigOnly", ""), ("ConfigFrom", "")])?;
    if body.value("EnableIPv4").is_some_and(|value| value.as_bool() == Some(false)) {
        let hint = ": networks have IPv4";
        return Err(InvalidBody::Unsupported { field: body.path("EnableIPv4"), hint });
    }
    let scope = body.text("Scope")?;
    if !["", "local"].contains(&scope.as_str()) {
        let field = format!("{} {scope:?}", body.path("Scope"));
        return Err(InvalidBody::Unsupported { field, hint: ": networks are of one machine" });
    }
    let ipam = body.object("IPAM")?;
    let driver = ipam.text("Driver")?;
    if !["", "default"].contains(&driver.as_str()) {
        let field = format!("{} {driver:?}", ipam.path("Driver"));
        return Err(InvalidBody::Unsupported { field, hint: ": there is default" });
    }
    let pool = |config: &Fields| {
        Ok(NetworkPool {
            subnet: config.text("Subnet")?,
            gateway: config.text("Gateway")?,
            ip_range: config.text("IPRange")?,
            reserved: config
                .map("AuxiliaryAddresses")?
                .into_iter()
                .chain(config.map("AuxAddress")?)
                .collect(),
        })
    };
    Ok(CreateNetworkRequest {
        name: body.text("Name")?,
        driver: body.text("Driver")?,
        internal: body.flag("Internal")?,
        attachable: body.flag("Attachable")?,
        ipv6: body.flag("EnableIPv6")?,
        pools: ipam.objects("Config")?.iter().map(pool).collect::<Result<_, InvalidBody>>()?,
        options: body.map("Options")?.into_iter().collect(),
        labels: body.map("Labels")?.into_iter().collect(),
    })
}
