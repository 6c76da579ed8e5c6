//! A connection to systemd: over the message bus, or over systemd's own socket where there is no bus. One call at a
//! time.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::error::BusError;
use super::manager::Manager;
use super::message::{
    ERROR, FIXED_BYTES, Incoming, Property, REPLY, SIGNAL, Target, Writer, call, parse, whole_length,
};

/// As long as runc waits for systemd.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Lines of the authentication are shorter.
const MAX_LINE_BYTES: usize = 1024;

/// Signals that are kept while a reply is awaited; jobs of others are told too.
const MAX_SIGNALS: usize = 1024;

/// Systemd's manager.
const PATH: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";

/// An open connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// `None` on systemd's own socket.
    destination: Option<&'static str>,
    /// Signals that came before they were waited for.
    signals: Vec<Incoming>,
}

impl Bus {
    /// Connects, and asks for signals about jobs.
    pub(super) fn connect(manager: Manager) -> Result<Self, BusError> {
        let mut first = None;
        for (path, is_bus) in sockets(manager)? {
            match UnixStream::connect(&path) {
                Ok(stream) => return Self::begin(stream, is_bus),
                Err(source) => drop(first.get_or_insert(BusError::Connect { path, source })),
            }
        }
        Err(first.unwrap_or(BusError::NoSocket("none is known")))
    }

    fn begin(stream: UnixStream, is_bus: bool) -> Result<Self, BusError> {
        let broken = |source| BusError::Broken { source };
        stream.set_read_timeout(Some(LONGEST_WAIT)).map_err(broken)?;
        stream.set_write_timeout(Some(LONGEST_WAIT)).map_err(broken)?;
        let destination = is_bus.then_some("org.freedesktop.systemd1");
        let mut bus = Self { stream, serial: 0, destination, signals: Vec::new() };
        bus.authenticate()?;
        if is_bus {
            bus.ask_bus("Hello", "", Writer::default())?;
            let mut rule = Writer::default();
            rule.text("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'");
            bus.ask_bus("AddMatch", "s", rule)?;
            bus.ask_manager("Subscribe", "", Writer::default())?;
        }
        Ok(bus)
    }

    /// D-Bus specification, "Authentication Protocol": EXTERNAL, the user id in hexadecimal ASCII. BEGIN does not wait
    /// for the answer, as with systemd's own client: systemd waits for ever for a message that it has read together
    /// with BEGIN.
    fn authenticate(&mut self) -> Result<(), BusError> {
        let broken = |source| BusError::Broken { source };
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hexadecimal: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        let lines = format!("\0AUTH EXTERNAL {hexadecimal}\r\nBEGIN\r\n");
        self.stream.write_all(lines.as_bytes()).map_err(broken)?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n") && answer.len() < MAX_LINE_BYTES {
            self.stream.read_exact(&mut byte).map_err(broken)?;
            answer.push(byte[0]);
        }
        if !answer.starts_with(b"OK ") {
            return Err(BusError::Authentication(String::from_utf8_lossy(&answer).trim().to_owned()));
        }
        Ok(())
    }

    fn ask_bus(&mut self, member: &str, signature: &str, body: Writer) -> Result<Incoming, BusError> {
        let target = Target {
            destination: Some("org.freedesktop.DBus"),
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member,
        };
        self.ask(target, signature, body)
    }

    /// Calls a method of systemd's manager.
    pub(super) fn ask_manager(
        &mut self,
        member: &str,
        signature: &str,
        body: Writer,
    ) -> Result<Incoming, BusError> {
        let target = Target { destination: self.destination, path: PATH, interface: INTERFACE, member };
        self.ask(target, signature, body)
    }

    /// The number that systemd's version begins with, as 249 in `249.11-0ubuntu3` or `v249`.
    pub(super) fn version(&mut self) -> Result<u32, BusError> {
        let interface = "org.freedesktop.DBus.Properties";
        let target = Target { destination: self.destination, path: PATH, interface, member: "Get" };
        let mut body = Writer::default();
        body.text(INTERFACE);
        body.text("Version");
        let told = self.ask(target, "ss", body)?.texts("v").ok_or(BusError::Malformed)?.concat();
        let number = told.trim_start_matches('v').split(|letter: char| !letter.is_ascii_digit()).next();
        number.and_then(|number| number.parse().ok()).ok_or(BusError::Malformed)
    }

    fn ask(&mut self, target: Target<'_>, signature: &str, body: Writer) -> Result<Incoming, BusError> {
        self.serial += 1;
        let bytes = call(self.serial, target, signature, body);
        self.stream.write_all(&bytes).map_err(|source| BusError::Broken { source })?;
        loop {
            let incoming = self.receive()?;
            match incoming.kind {
                REPLY if incoming.reply_serial == self.serial => return Ok(incoming),
                ERROR if incoming.reply_serial == self.serial => {
                    let text = incoming.texts("s").unwrap_or_default().concat();
                    return Err(BusError::Refused { name: incoming.error_name, text });
                }
                SIGNAL if self.signals.len() < MAX_SIGNALS => self.signals.push(incoming),
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> Result<Incoming, BusError> {
        let broken = |source| BusError::Broken { source };
        let mut fixed = [0; FIXED_BYTES];
        self.stream.read_exact(&mut fixed).map_err(broken)?;
        let length = whole_length(&fixed).ok_or(BusError::Malformed)?;
        let mut bytes = fixed.to_vec();
        bytes.resize(length.max(FIXED_BYTES), 0);
        self.stream.read_exact(&mut bytes[FIXED_BYTES..]).map_err(broken)?;
        parse(&bytes).ok_or(BusError::Malformed)
    }

    /// Does something to a unit that makes a job, and waits for the job's end.
    pub(super) fn job(&mut self, member: &str, signature: &str, body: Writer) -> Result<(), BusError> {
        let reply = self.ask_manager(member, signature, body)?;
        let job = reply.texts("o").ok_or(BusError::Malformed)?.concat();
        loop {
            let signal = match self.signals.pop() {
                Some(signal) => signal,
                None => self.receive()?,
            };
            if signal.kind != SIGNAL || signal.member != "JobRemoved" {
                continue;
            }
            // Number, job, unit, result.
            let told = signal.texts("uoss").ok_or(BusError::Malformed)?;
            if told[1] == job {
                return if told[3] == "done" { Ok(()) } else { Err(BusError::Job(told[3].clone())) };
            }
        }
    }

    /// Has a unit that failed be forgotten; others stay.
    pub(super) fn reset_failed(&mut self, unit: &str) -> Result<(), BusError> {
        let mut body = Writer::default();
        body.text(unit);
        self.ask_manager("ResetFailedUnit", "s", body).map(drop)
    }

    /// Sets properties of a unit, for as long as it runs.
    pub(super) fn set_properties(&mut self, unit: &str, properties: &[Property]) -> Result<(), BusError> {
        let mut body = Writer::default();
        body.text(unit);
        body.boolean(true);
        body.properties(properties);
        self.ask_manager("SetUnitProperties", "sba(sv)", body).map(drop)
    }
}

/// Where to try, and whether a bus is there.
fn sockets(manager: Manager) -> Result<Vec<(PathBuf, bool)>, BusError> {
    if manager == Manager::System {
        let bus = PathBuf::from("/run/dbus/system_bus_socket");
        return Ok(vec![(bus, true), (PathBuf::from("/run/systemd/private"), false)]);
    }
    let named = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    let named = named.split(';').find_map(|address| address.strip_prefix("unix:path="));
    let named = named.map(|path| PathBuf::from(path.split(',').next().unwrap_or(path)));
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let own =
        runtime.map(|directory| [(directory.join("bus"), true), (directory.join("systemd/private"), false)]);
    let all: Vec<_> = named.map(|path| (path, true)).into_iter().chain(own.into_iter().flatten()).collect();
    if all.is_empty() {
        return Err(BusError::NoSocket("set DBUS_SESSION_BUS_ADDRESS or XDG_RUNTIME_DIR, as a login does"));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bus with a systemd of this version behind it, which answers one question.
    fn bus(version: &'static str) -> Bus {
        let (stream, mut systemd) = UnixStream::pair().expect("two ends");
        std::thread::spawn(move || {
            let mut fixed = [0; FIXED_BYTES];
            systemd.read_exact(&mut fixed).expect("a call");
            let mut rest = vec![0; whole_length(&fixed).expect("a call") - FIXED_BYTES];
            systemd.read_exact(&mut rest).expect("a call");
            let length = u32::try_from(version.len()).expect("short");
            let text = [b"\x01s\0\0".as_slice(), &length.to_ne_bytes(), version.as_bytes(), b"\0"].concat();
            // A reply to the first call (serial 1, as field 5), whose body (field 8) is a variant.
            let header = [fixed[0], REPLY, 0, 1];
            let fields = [b"\x05\x01u\0".as_slice(), &1_u32.to_ne_bytes(), b"\x08\x01g\0\x01v\0\0"].concat();
            let numbers = [length + 9, 1, 15].map(u32::to_ne_bytes).concat();
            systemd.write_all(&[&header[..], &numbers, &fields, &text].concat()).expect("somebody asked");
        });
        Bus { stream, serial: 0, destination: None, signals: Vec::new() }
    }

    #[test]
    fn a_version_begins_with_a_number() {
        for (told, expected) in
            [("252.36-1~deb12u1", 252), ("v245.4-1.fc32", 245), ("249", 249), ("258~rc1", 258)]
        {
            assert_eq!(bus(told).version().expect(told), expected);
        }
        assert!(matches!(bus("devel").version(), Err(BusError::Malformed)));
    }
}
