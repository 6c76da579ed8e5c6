//! `--publish` and `--expose`: ports, as a person types them.

use std::net::IpAddr;

use knarr_proto::v1::PortMapping;

use super::BadOption;

/// `[[ADDRESS:]HOST_PORT:]PORT[/PROTOCOL]`, of which both ports may be ranges.
///
/// # Errors
/// [`BadOption`] says which part is wrong.
pub(crate) fn publish(text: &str) -> Result<Vec<PortMapping>, BadOption> {
    let form = "a port to publish: write [[ADDRESS:]HOST_PORT:]PORT[/PROTOCOL], as 8080:80, 127.0.0.1:8080:80/tcp or 53:53/udp";
    if text.contains('=') {
        return long(text);
    }
    let (ports, protocol) = protocol(text)?;
    let (host, own) = match ports.rsplit_once(':') {
        Some((host, own)) => (Some(host), own),
        None => (None, ports),
    };
    let (address, host_ports) = match host {
        None => ("", ""),
        Some(host) => match host.rsplit_once(':') {
            Some((address, ports)) => (address, ports),
            None => ("", host),
        },
    };
    if own.is_empty() {
        return Err(BadOption::form(text, form));
    }
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(BadOption::part(address, text, "is no IP address"));
    }
    mappings(text, own, host_ports, (address, protocol))
}

/// `target=80,published=8080,protocol=tcp,mode=host`
fn long(text: &str) -> Result<Vec<PortMapping>, BadOption> {
    let (mut target, mut published, mut protocol) = ("", "", "tcp");
    for pair in text.split(',') {
        match pair.split_once('=') {
            Some(("target", value)) => target = value,
            Some(("published", value)) => published = value,
            Some(("protocol", value)) => protocol = known(value, text)?,
            Some(("mode", "host" | "ingress")) => {}
            _ => {
                return Err(BadOption::part(
                    pair,
                    text,
                    "is none of target=, published=, protocol= and mode=",
                ));
            }
        }
    }
    mappings(text, target, published, ("", protocol))
}

fn mappings(
    text: &str,
    own: &str,
    host: &str,
    (address, protocol): (&str, &str),
) -> Result<Vec<PortMapping>, BadOption> {
    let (own_first, own_last) = range(own, text)?;
    let mapping = |container_port: u16, first: u16, last: u16| PortMapping {
        protocol: protocol.to_owned(),
        container_port: container_port.into(),
        host_address: address.to_owned(),
        host_port: first.into(),
        host_port_end: last.into(),
    };
    if host.is_empty() || host == "0" {
        return Ok((own_first..=own_last).map(|port| mapping(port, 0, 0)).collect());
    }
    let (first, last) = range(host, text)?;
    let (own_count, host_count) = (own_last - own_first, last - first);
    if own_count == 0 {
        return Ok(vec![mapping(own_first, first, last)]);
    }
    if own_count != host_count {
        return Err(BadOption::part(text, text, "has two ranges of different lengths"));
    }
    let pairs = (own_first..=own_last).zip(first..=last);
    Ok(pairs.map(|(own, host)| mapping(own, host, host)).collect())
}

fn protocol(text: &str) -> Result<(&str, &str), BadOption> {
    match text.rsplit_once('/') {
        None => Ok((text, "tcp")),
        Some((ports, protocol)) => Ok((ports, known(protocol, text)?)),
    }
}

fn known<'a>(protocol: &'a str, text: &str) -> Result<&'a str, BadOption> {
    match protocol {
        "tcp" | "udp" | "sctp" => Ok(protocol),
        "TCP" => Ok("tcp"),
        "UDP" => Ok("udp"),
        "SCTP" => Ok("sctp"),
        _ => Err(BadOption::part(protocol, text, "is no protocol: there are tcp, udp and sctp")),
    }
}

fn range(part: &str, text: &str) -> Result<(u16, u16), BadOption> {
    let number = |number: &str| {
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let port = number.parse::<u16>().ok().filter(|port| *port != 0 && is_number);
        port.ok_or_else(|| BadOption::part(part, text, "is no port: ports are 1 to 65535"))
    };
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (number(first)?, number(last)?);
    match first <= last {
        true => Ok((first, last)),
        false => Err(BadOption::part(part, text, "is a range that ends before it begins")),
    }
}

/// `PORT[-PORT][/PROTOCOL]`
///
/// # Errors
/// [`BadOption`].
pub(crate) fn expose(text: &str) -> Result<Vec<String>, BadOption> {
    let (ports, protocol) = protocol(text)?;
    let (first, last) = range(ports, text)?;
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(text: &str) -> Vec<(String, u32, u32, u32, String)> {
        let ports = publish(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        ports
            .into_iter()
            .map(|port| {
                (port.host_address, port.host_port, port.host_port_end, port.container_port, port.protocol)
            })
            .collect()
    }

    #[test]
    fn docker_s_forms_are_understood() {
        let tcp = || "tcp".to_owned();
        for (text, expected) in [
            ("80", vec![(String::new(), 0, 0, 80, tcp())]),
            ("8080:80", vec![(String::new(), 8080, 8080, 80, tcp())]),
            ("53:53/udp", vec![(String::new(), 53, 53, 53, "udp".to_owned())]),
            ("127.0.0.1:8080:80", vec![("127.0.0.1".to_owned(), 8080, 8080, 80, tcp())]),
            ("127.0.0.1::80", vec![("127.0.0.1".to_owned(), 0, 0, 80, tcp())]),
            ("[::1]:8080:80", vec![("::1".to_owned(), 8080, 8080, 80, tcp())]),
            (
                "8000-8001:80-81",
                vec![(String::new(), 8000, 8000, 80, tcp()), (String::new(), 8001, 8001, 81, tcp())],
            ),
            ("8000-8010:80", vec![(String::new(), 8000, 8010, 80, tcp())]),
            ("80-81", vec![(String::new(), 0, 0, 80, tcp()), (String::new(), 0, 0, 81, tcp())]),
            (
                "target=80,published=8080,protocol=udp",
                vec![(String::new(), 8080, 8080, 80, "udp".to_owned())],
            ),
        ] {
            assert_eq!(published(text), expected, "{text}");
        }
        assert_eq!(expose("80-81/udp").expect("fine"), ["80/udp", "81/udp"]);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            ":",
            "0",
            "65536",
            "80/",
            "80/icmp",
            "x:80",
            "80:x",
            "1.2.3:80:80",
            "81-80",
            "80-",
            "-80",
            "8000-8002:80-81",
            "a=b",
            "target=",
            "+80",
            "8080:0",
            "8080:80:",
            "localhost:80:80",
            "[::1:80:80",
        ] {
            assert!(publish(text).is_err(), "{text}");
        }
        for text in ["", "0", "x", "80/x", "9-8"] {
            assert!(expose(text).is_err(), "{text}");
        }
    }
}
