//! `knarr logs`: a container's recorded output, each stream on ours.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use knarr_proto::v1::{ContainerLogsReply, ContainerLogsRequest, Stream};

use super::each::DONE;
use crate::args::container::LogsArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::units::{rfc3339_fixed, timestamp, to_proto};
use crate::options::time;
use crate::output;

/// Lines that come at once are written at once; more are not held back than this.
const BUFFER_BYTES: usize = 64 * 1024;

/// Shows the log, and goes on with what comes when that is wanted.
pub(super) async fn run(args: LogsArgs, address: &Address) -> Result<u8, Error> {
    let (now, zone) = (Timestamp::now(), TimeZone::system());
    let moment = |text: &Option<String>| {
        let parsed = text.as_deref().map(|text| time::parse(text, now, &zone)).transpose();
        parsed.map(|time| time.map(to_proto))
    };
    let request = ContainerLogsRequest {
        container: args.container,
        follow: args.follow,
        stdout: true,
        stderr: true,
        since: moment(&args.since)?,
        until: moment(&args.until)?,
        // Docker: what is no number of lines means all of them.
        tail: args.tail.parse().ok(),
    };
    let client = Client::connect(address).await?;
    let mut replies = client.containers().logs(request).await?.into_inner();
    let mut printer = Printer::new(args.timestamps);
    loop {
        let reply = tokio::select! {
            biased;
            reply = replies.message() => reply,
            // Nothing is there at the moment: show what there was, then wait.
            () = std::future::ready(()), if printer.has_unseen() => {
                printer.show()?;
                continue;
            }
        };
        match reply {
            Ok(Some(reply)) => printer.take(&reply)?,
            Ok(None) => break,
            Err(status) => {
                printer.show()?;
                return Err(status.into());
            }
        }
    }
    printer.show()?;
    Ok(DONE)
}

/// Puts pieces together to lines with times.
struct Printer {
    timestamps: bool,
    stream: Stream,
    unseen: Vec<u8>,
    /// Of standard output and standard error: the last piece was no whole line.
    inside_line: [bool; 2],
}

impl Printer {
    fn new(timestamps: bool) -> Self {
        Self { timestamps, stream: Stream::Stdout, unseen: Vec::new(), inside_line: [false; 2] }
    }

    fn has_unseen(&self) -> bool {
        !self.unseen.is_empty()
    }

    fn take(&mut self, reply: &ContainerLogsReply) -> Result<(), Error> {
        let stream = match reply.stream() {
            Stream::Stderr => Stream::Stderr,
            Stream::Stdout | Stream::Unspecified => Stream::Stdout,
        };
        if stream != self.stream || self.unseen.len() >= BUFFER_BYTES {
            self.show()?;
            self.stream = stream;
        }
        let inside_line = &mut self.inside_line[usize::from(stream == Stream::Stderr)];
        if self.timestamps && !*inside_line {
            let time = timestamp(reply.time.as_ref()).unwrap_or_default();
            self.unseen.extend_from_slice(rfc3339_fixed(time, &TimeZone::UTC).as_bytes());
            self.unseen.push(b' ');
        }
        *inside_line = !reply.data.ends_with(b"\n");
        self.unseen.extend_from_slice(&reply.data);
        Ok(())
    }

    fn show(&mut self) -> Result<(), Error> {
        let written = match self.stream {
            Stream::Stderr => {
                let mut stderr = std::io::stderr().lock();
                stderr.write_all(&self.unseen).and_then(|()| stderr.flush())
            }
            Stream::Stdout | Stream::Unspecified => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(&self.unseen).and_then(|()| stdout.flush())
            }
        };
        self.unseen.clear();
        written.map_err(output::written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_time_once_even_in_pieces() {
        let mut printer = Printer::new(true);
        let time = Timestamp::new(1_795_478_346, 120_000_000).ok().map(to_proto);
        for data in ["one", " more\n", "two\n"] {
            let reply = ContainerLogsReply { stream: Stream::Stdout.into(), time, data: data.into() };
            printer.take(&reply).expect("nothing is written yet");
        }
        assert_eq!(
            String::from_utf8_lossy(&printer.unseen),
            "2026-11-23T23:59:06.120000000Z one more\n2026-11-23T23:59:06.120000000Z two\n"
        );
    }
}
