//! What docker has and knarr has not yet: commands and flags by name, with what each waits for. A person who types one
//! reads the reason instead of "unknown".

/// Why a command is not there.
pub(super) fn command(name: &str) -> Option<&'static str> {
    Some(match name {
        "cp" | "export" | "commit" => {
            "files are not copied into and out of containers yet; mount a directory by -v"
        }
        "buildx" | "bake" => "one builder is there: knarr build",
        "push" | "login" | "logout" | "search" | "manifest" => {
            "images can be pulled, saved and loaded, but not pushed yet"
        }
        "history" => "the layers of an image are in: knarr image inspect IMAGE",
        "context" => "name the daemon by -H or KNARR_HOST",
        "compose" => {
            "compose files are not read; use Docker's compose on knarrd's docker.sock, as far as that goes"
        }
        "checkpoint" => "knarr-runtime can checkpoint containers, knarrd cannot yet",
        "swarm" | "service" | "stack" | "node" | "secret" | "config" => {
            "knarr runs containers on one machine"
        }
        "plugin" | "trust" => "knarr has no plugins and no content trust",
        _ => return None,
    })
}

/// Why a flag of docker's `run`, `create` and their like is not there; `name` as it is typed, without a value.
pub(super) fn flag(name: &str) -> Option<&'static str> {
    Some(match name {
        "--link-local-ip" => "name an address of the network's own subnet, by --ip or --ip6",
        "--storage-opt" => "the size of a container's files cannot be limited yet",
        "--gpus" => "GPUs are not known yet; name the devices by --device",
        "--runtime" => "knarrd's runtime is set for all containers, by its flag --runtime",
        "--use-api-socket" => "mount the socket by -v",
        "--checkpoint" | "--checkpoint-dir" => "knarr-runtime can restore checkpoints, knarrd cannot yet",
        "--disable-content-trust" => "there is no content trust",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn nothing_that_is_there_is_called_absent() {
        let top = crate::args::Cli::command();
        for verb in top.get_subcommands() {
            assert_eq!(command(verb.get_name()), None, "{}", verb.get_name());
        }
        let run = top.find_subcommand("run").expect("run");
        for argument in run.get_arguments() {
            let long = argument.get_long().map(|name| format!("--{name}"));
            let short = argument.get_short().map(|letter| format!("-{letter}"));
            for name in long.into_iter().chain(short) {
                assert_eq!(flag(&name), None, "{name}");
            }
        }
    }
}
