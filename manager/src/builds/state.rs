//! A stage as it grows: its configuration, its layers, what was said so far. The instructions that only change the
//! configuration are carried out here; no file is touched.

use std::time::{Duration, SystemTime};

use super::config::{self, Config, Document, Health, History};
use super::dockerfile::DockerfileError;
use super::dockerfile::expand::{Expander, Variables};
use super::dockerfile::instruction::{Command, Instruction, Kind};
use super::records::Made;
use crate::content::Digest;

/// Variables that are known without ARG, and are no part of keys and history.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
const COMMENT: &str = "buildkit.dockerfile.v0";
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// A stage under way, or done.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) document: Document,
    /// The image whose layers are below the new ones.
    pub(super) base: Option<Digest>,
    pub(super) layers: Vec<Made>,
    /// The snapshot after all of them; `None` without any.
    pub(super) chain_id: Option<Digest>,
    /// Declared by ARG, as `NAME=value`.
    pub(super) args: Vec<String>,
    pub(super) escape: char,
    /// When the last layer was made, its own or the base's, in the form of configurations: what is built again from the
    /// cache is the same image.
    pub(super) created: Option<String>,
    has_own_cmd: bool,
}

/// What an expansion knows: ENV counts more than ARG.
struct Known<'a>(&'a State);

impl Variables for Known<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.0.document.config.env.get(name).or_else(|| self.0.args.get(name))
    }
}

/// What ARG may take its values from.
pub(super) struct Arguments {
    /// From the client, as `NAME=value`.
    pub(super) build: Vec<String>,
    /// Before the first FROM, and those of the platforms.
    pub(super) global: Vec<String>,
}

impl State {
    /// A stage on a base, whose last command is not its own.
    pub(super) fn new(document: Document, base: Option<Digest>, chain_id: Option<Digest>) -> Self {
        Self {
            base,
            layers: Vec::new(),
            chain_id,
            args: Vec::new(),
            escape: '\\',
            created: document.created.clone(),
            document,
            has_own_cmd: false,
        }
    }

    /// A stage on this one.
    pub(super) fn inherited(&self) -> Self {
        Self { has_own_cmd: false, ..self.clone() }
    }

    /// Adds a layer.
    pub(super) fn add(&mut self, made: Made, epoch: Option<i64>) {
        let seconds = Duration::from_secs(epoch.unwrap_or_default().max(0).unsigned_abs());
        let since = epoch.map_or(Duration::from_nanos(made.made_at.max(0).unsigned_abs()), |_| seconds);
        self.created = Some(prost_types::Timestamp::from(SystemTime::UNIX_EPOCH + since).to_string());
        self.chain_id = Some(made.chain_id.clone());
        self.layers.push(made);
    }

    fn config(&mut self) -> &mut Config {
        &mut self.document.config
    }

    /// Replaces the variables of a word.
    pub(super) fn expand(&self, word: &str, instruction: &Instruction) -> Result<String, DockerfileError> {
        let expanded = Expander::new(self.escape).word(word, &Known(self));
        expanded.map_err(|what| instruction.place.of(word).error(what))
    }

    /// As [`State::expand`], in another way.
    pub(super) fn expand_with(&self, expander: &Expander, text: &str) -> Result<String, String> {
        expander.word(text, &Known(self))
    }

    fn expand_words(&self, text: &str, instruction: &Instruction) -> Result<Vec<String>, DockerfileError> {
        let expanded = Expander::new(self.escape).words(text, &Known(self));
        expanded.map_err(|what| instruction.place.of(text).error(what))
    }

    /// The shell that commands in the shell form are for.
    pub(super) fn shell(&self) -> Vec<String> {
        match self.document.config.shell.as_slice() {
            [] => SHELL.map(str::to_owned).to_vec(),
            shell => shell.to_vec(),
        }
    }

    /// A command's words.
    pub(super) fn words(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(text) => [self.shell(), vec![text.clone()]].concat(),
        }
    }

    /// The environment of RUN: ENV, then the arguments that no ENV hides.
    pub(super) fn environment(&self) -> Vec<String> {
        let mut env = self.document.config.env.clone();
        for argument in &self.args {
            let name = argument.split('=').next().unwrap_or_default();
            if env.get(name).is_none() {
                env.push(argument.clone());
            }
        }
        env
    }

    /// The proxies that the client has given without their being declared.
    pub(super) fn proxies(&self, arguments: &Arguments) -> Vec<String> {
        let is_undeclared = |pair: &&String| {
            let name = pair.split('=').next().unwrap_or_default();
            is_proxy(name) && Known(self).get(name).is_none()
        };
        arguments.build.iter().filter(is_undeclared).cloned().collect()
    }

    /// A path in the stage: below its working directory, unless it is absolute. A slash at its end stays.
    pub(super) fn path(&self, path: &str) -> String {
        let whole = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("{}/{path}", self.document.config.working_dir),
        };
        let mut names: Vec<&str> = Vec::new();
        for name in whole.split('/') {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        let cleaned = format!("/{}", names.join("/"));
        let is_directory = path.is_empty() || path.ends_with('/') || path == "." || path.ends_with("/.");
        if is_directory && cleaned != "/" { format!("{cleaned}/") } else { cleaned }
    }

    /// Writes an instruction into the image's history.
    pub(super) fn remember(&mut self, created_by: String, empty_layer: bool) {
        let history = History {
            created: self.created.clone(),
            created_by,
            comment: COMMENT.to_owned(),
            empty_layer,
            author: self.document.author.clone(),
        };
        self.document.history.push(history);
    }

    /// Carries out an instruction that only changes the configuration.
    pub(super) fn apply(
        &mut self,
        instruction: &Instruction,
        arguments: &Arguments,
    ) -> Result<(), DockerfileError> {
        let text = instruction.text.clone();
        match &instruction.kind {
            Kind::Env(pairs) => {
                let pairs = self.expand_pairs(pairs, instruction)?;
                let said: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
                pairs.iter().for_each(|(name, value)| self.config().set_env(name, value));
                self.remember(format!("ENV {}", said.join(" ")), true);
                return Ok(());
            }
            Kind::Label(pairs) => {
                let pairs = self.expand_pairs(pairs, instruction)?;
                let said: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
                self.config().labels.extend(pairs);
                self.remember(format!("LABEL {}", said.join(" ")), true);
                return Ok(());
            }
            Kind::Arg(names) => {
                for (name, default) in names {
                    let given = arguments.build.get(name);
                    let value = match (given, default) {
                        (Some(given), _) => Some(given),
                        (None, Some(default)) => Some(self.expand(default, instruction)?),
                        (None, None) => arguments.global.get(name),
                    };
                    self.args.retain(|pair| pair.split('=').next() != Some(name));
                    self.args.extend(value.map(|value| format!("{name}={value}")));
                }
            }
            Kind::Cmd(command) => {
                self.set_cmd(command);
                return Ok(());
            }
            Kind::Entrypoint(command) => {
                self.set_entrypoint(command);
                return Ok(());
            }
            Kind::Shell(shell) => self.config().shell = shell.clone(),
            Kind::Expose(ports) => {
                let ports = self.expose(ports, instruction)?;
                self.remember(format!("EXPOSE [{}]", ports.join(" ")), true);
                return Ok(());
            }
            Kind::Volume(volumes) => {
                for volume in volumes {
                    let volume = self.expand(volume, instruction)?;
                    if volume.trim().is_empty() {
                        return Err(instruction.place.error("VOLUME specified can not be an empty string"));
                    }
                    self.config().volumes.insert(volume, config::member());
                }
            }
            Kind::User(user) => self.document.config.user = self.expand(user, instruction)?,
            Kind::StopSignal(signal) => {
                let signal = self.expand(signal, instruction)?;
                check_signal(&signal).map_err(|what| instruction.place.error(what))?;
                self.document.config.stop_signal = signal;
            }
            Kind::Maintainer(author) => self.document.author.clone_from(author),
            Kind::Onbuild(trigger) => self.config().on_build.push(trigger.clone()),
            Kind::Healthcheck(check) => self.config().healthcheck = Some(Health::from(check.clone())),
            Kind::From { .. } | Kind::Run(_) | Kind::Copy(_) | Kind::Workdir(_) => {}
        }
        self.remember(text, true);
        Ok(())
    }

    fn set_cmd(&mut self, command: &Command) {
        let words = self.words(command);
        self.remember(format!("CMD {}", said(&words)), true);
        self.document.config.args_escaped = true;
        // None at all is written as docker does.
        self.document.config.cmd = Some(words).filter(|words| !words.is_empty());
        self.has_own_cmd = true;
    }

    /// The base's command was for the base's entry point.
    fn set_entrypoint(&mut self, command: &Command) {
        let words = self.words(command);
        self.remember(format!("ENTRYPOINT {}", said(&words)), true);
        self.document.config.entrypoint = Some(words).filter(|words| !words.is_empty());
        if !self.has_own_cmd {
            self.document.config.cmd = None;
        }
    }

    fn expand_pairs(
        &self,
        pairs: &[(String, String)],
        instruction: &Instruction,
    ) -> Result<Vec<(String, String)>, DockerfileError> {
        // All of a line see what was there before it.
        let expanded = pairs.iter().map(|(name, value)| {
            let name = self.expand(name, instruction)?;
            match name.is_empty() {
                true => Err(instruction.place.error("names can not be blank")),
                false => Ok((name, self.expand(value, instruction)?)),
            }
        });
        expanded.collect()
    }

    /// Returns them in an order that does not depend on theirs.
    fn expose(
        &mut self,
        ports: &[String],
        instruction: &Instruction,
    ) -> Result<Vec<String>, DockerfileError> {
        let mut all = Vec::new();
        for port in ports {
            for port in self.expand_words(port, instruction)? {
                let ports = exposed(&port).map_err(|what| instruction.place.of(&port).error(what))?;
                all.extend(ports);
            }
        }
        all.sort();
        self.config().exposed_ports.extend(all.iter().map(|port| (port.clone(), config::member())));
        Ok(all)
    }
}

/// Whether a variable names a proxy, in either case.
pub(super) fn is_proxy(name: &str) -> bool {
    PROXIES.contains(&name.to_ascii_uppercase().as_str())
}

/// Words as history has them.
fn said(words: &[String]) -> String {
    serde_json::to_string(words).unwrap_or_default()
}

/// `80`, `80/udp`, `8000-8010`, each port by itself.
fn exposed(text: &str) -> Result<Vec<String>, String> {
    let wrong = |why: &str| format!("invalid port {text:?}: {why}");
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(wrong("the protocol is tcp, udp or sctp"));
    }
    // What is published is not for an image to say; only the container's side counts.
    let numbers = numbers.rsplit(':').next().unwrap_or_default();
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let number = |text: &str| text.parse::<u16>().map_err(|_| wrong("a port is a number up to 65535"));
    let (first, last) = (number(first)?, number(last)?);
    match first <= last {
        true => Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect()),
        false => Err(wrong("its range ends before it begins")),
    }
}

fn check_signal(text: &str) -> Result<(), String> {
    let is_number = text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let is_name = name.starts_with("RT") || format!("SIG{name}").parse::<nix::sys::signal::Signal>().is_ok();
    if is_number || is_name { Ok(()) } else { Err(format!("invalid signal: {text}")) }
}
