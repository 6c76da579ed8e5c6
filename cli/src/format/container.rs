//! Containers as rows of `ps`.

use std::collections::HashMap;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use knarr_proto::docker::reference::short;
use knarr_proto::docker::{Lived, command_line, human_duration, ports_text, state_name};
use knarr_proto::v1::{ContainerSize, ContainerSummary};
use serde_json::json;

use super::Columns;
use super::reference::short_id;
use super::template::Subject;
use super::units::{decimal_size, ellipsis, go_time, since, timestamp};

/// The columns of `ps`.
pub(crate) const COLUMNS: Columns = Columns {
    titles: &[
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Labels", "LABELS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Mounts", "MOUNTS"),
        ("Names", "NAMES"),
        ("Networks", "NETWORKS"),
        ("Ports", "PORTS"),
        ("RunningFor", "CREATED"),
        ("Size", "SIZE"),
        ("State", "STATE"),
        ("Status", "STATUS"),
    ],
    default: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
};

/// Docker's bound for a command in a table.
const COMMAND_WIDTH: usize = 20;
/// Docker's bound for a mount in a table.
const MOUNT_WIDTH: usize = 15;

/// When and how rows are shown.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// For "… ago".
    pub(crate) now: Timestamp,
    /// For times of day.
    pub(crate) zone: TimeZone,
    /// Ids, commands and mounts are cut.
    pub(crate) truncate: bool,
}

/// One row; fields in the order of their names, as docker's JSON has them.
pub(crate) fn row(container: &ContainerSummary, view: &View) -> Subject {
    let created = timestamp(container.created_at.as_ref());
    let command = command_line(&container.args);
    let mounts = container.mount_sources.iter().map(|source| match view.truncate {
        true => ellipsis(source, MOUNT_WIDTH),
        false => source.clone(),
    });
    let lived = Lived {
        state: container.state(),
        started_at: container.started_at.as_ref(),
        exit: container.exit.as_ref(),
        health: container.health(),
    };
    let id = if view.truncate { short_id(&container.id) } else { &container.id };
    let command = if view.truncate { ellipsis(&command, COMMAND_WIDTH) } else { command };
    let networks = match container.networks.as_slice() {
        [] => container.network.clone(),
        names => names.join(","),
    };
    // What is only exposed is shown of what runs, as docker does.
    let exposed = if container.pid == 0 { &[][..] } else { container.exposed.as_slice() };
    let fields = json!({
        "Command": quoted(&command),
        "CreatedAt": created.map(|time| go_time(time, &view.zone)).unwrap_or_default(),
        "ID": id,
        "Image": image_name(&container.image, view.truncate),
        "Labels": labels_text(&container.labels),
        "LocalVolumes": "0",
        "Mounts": mounts.collect::<Vec<_>>().join(","),
        "Names": container.name,
        "Networks": networks,
        "Ports": ports_text(&container.ports, exposed),
        "RunningFor": created.map(|time| ago(time, view.now)).unwrap_or_default(),
        "Size": container.size.as_ref().map_or_else(|| "0B".to_owned(), size_text),
        "State": state_name(container.state()),
        "Status": lived.status(SystemTime::UNIX_EPOCH + since(Timestamp::UNIX_EPOCH, view.now)),
    });
    Subject { fields, labels: container.labels.clone() }
}

/// Docker's two sizes: what is written, and all with the image.
fn size_text(of: &ContainerSize) -> String {
    format!("{} (virtual {})", decimal_size(of.written_bytes), decimal_size(of.rootfs_bytes))
}

/// `a=1,b=2`, in the order of the keys.
pub(crate) fn labels_text(labels: &HashMap<String, String>) -> String {
    let mut pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    pairs.join(",")
}

/// `About a minute ago`.
pub(crate) fn ago(time: Timestamp, now: Timestamp) -> String {
    format!("{} ago", human_duration(since(time, now)))
}

/// Go's `strconv.Quote`: no escape sequence of a container's command reaches the terminal.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if letter.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

fn image_name(image: &str, truncate: bool) -> String {
    match image.strip_prefix("sha256:") {
        Some(digits) if truncate => digits.get(..12).unwrap_or(digits).to_owned(),
        _ => short(image),
    }
}

#[cfg(test)]
mod tests {
    use knarr_proto::v1::ExitStatus;

    use super::super::Format;
    use super::super::units::to_proto;
    use knarr_proto::v1::ContainerState;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_795_478_346).expect("a time")
    }

    fn at(seconds_ago: i64) -> Option<prost_types::Timestamp> {
        Timestamp::from_second(now().as_second() - seconds_ago).ok().map(to_proto)
    }

    fn sample(state: ContainerState) -> ContainerSummary {
        ContainerSummary {
            id: "4f1c".repeat(16),
            name: "web".to_owned(),
            image: "docker.io/library/alpine:3.20".to_owned(),
            state: state.into(),
            network: "none".to_owned(),
            created_at: at(7200),
            started_at: at(65),
            exit: Some(ExitStatus { code: 137, finished_at: at(3), ..ExitStatus::default() }),
            args: ["sh", "-c", "echo a b; sleep 60"].map(str::to_owned).to_vec(),
            labels: HashMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]),
            ..ContainerSummary::default()
        }
    }

    fn render(format: &str, container: &ContainerSummary, truncate: bool) -> String {
        let view = View { now: now(), zone: TimeZone::UTC, truncate };
        let format = Format::parse(format, COLUMNS.default).expect("a template");
        format.render(COLUMNS, &[row(container, &view)]).expect("a table")
    }

    #[test]
    fn the_table_is_dockers() {
        assert_eq!(
            render("", &sample(ContainerState::Running), true),
            "CONTAINER ID   IMAGE         COMMAND                  CREATED       STATUS              PORTS     NAMES\n\
             4f1c4f1c4f1c   alpine:3.20   \"sh -c 'echo a b; sl…\"   2 hours ago   Up About a minute             web\n"
        );
    }

    #[test]
    fn every_state_has_its_words() {
        for (state, name, status) in [
            (ContainerState::Created, "created", "Created"),
            (ContainerState::Running, "running", "Up About a minute"),
            (ContainerState::Paused, "paused", "Up About a minute (Paused)"),
            (ContainerState::Exited, "exited", "Exited (137) 3 seconds ago"),
            (ContainerState::Removing, "removing", "Removal In Progress"),
            (ContainerState::Restarting, "restarting", "Restarting (137) 3 seconds ago"),
        ] {
            assert_eq!(render("{{.State}}|{{.Status}}", &sample(state), true), format!("{name}|{status}\n"));
        }
    }

    #[test]
    fn json_has_dockers_keys_in_their_order() {
        assert_eq!(
            render("json", &sample(ContainerState::Exited), false),
            format!(
                "{{\"Command\":\"\\\"sh -c 'echo a b; sleep 60'\\\"\",\"CreatedAt\":\"2026-11-23 21:59:06 +0000 UTC\",\
                 \"ID\":\"{}\",\"Image\":\"alpine:3.20\",\"Labels\":\"a=1,b=2\",\"LocalVolumes\":\"0\",\"Mounts\":\"\",\
                 \"Names\":\"web\",\"Networks\":\"none\",\"Ports\":\"\",\"RunningFor\":\"2 hours ago\",\"Size\":\"0B\",\
                 \"State\":\"exited\",\"Status\":\"Exited (137) 3 seconds ago\"}}\n",
                "4f1c".repeat(16)
            )
        );
    }

    #[test]
    fn control_characters_of_a_command_do_not_reach_the_terminal() {
        let mut container = sample(ContainerState::Running);
        container.args = vec!["\x1b[31m\"\n".to_owned()];
        assert_eq!(render("{{.Command}}", &container, true), "\"\\x1b[31m\\\"\\n\"\n");
    }
}
