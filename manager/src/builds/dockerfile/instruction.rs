//! The instructions: one logical line becomes one of them, checked as far as it can be without variables.

use super::error::{DockerfileError, Place};
use super::flags::Flags;
use super::healthcheck::{self, Healthcheck};
use super::heredoc::{Heredoc, heredoc};
use super::lines::Logical;
use super::pairs::{pairs, words};

/// An instruction, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) kind: Kind,
    /// As written, on one line.
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    From {
        base: String,
        name: Option<String>,
        platform: Option<String>,
    },
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Run(Run),
    Copy(Copy),
    Cmd(Command),
    Entrypoint(Command),
    Shell(Vec<String>),
    Expose(Vec<String>),
    Volume(Vec<String>),
    User(String),
    Workdir(String),
    StopSignal(String),
    Maintainer(String),
    /// The trigger's text.
    Onbuild(String),
    Healthcheck(Healthcheck),
}

/// A command in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// For the stage's shell.
    Shell(String),
    /// As it is.
    Exec(Vec<String>),
}

/// RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) command: Command,
    pub(crate) heredocs: Vec<Heredoc>,
    /// As written: `type=cache,target=/x`.
    pub(crate) mounts: Vec<String>,
    pub(crate) network: Option<String>,
    pub(crate) security: Option<String>,
}

/// COPY and ADD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) is_add: bool,
    pub(crate) sources: Vec<String>,
    pub(crate) heredocs: Vec<Heredoc>,
    pub(crate) target: String,
    pub(crate) from: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) excludes: Vec<String>,
    pub(crate) link: bool,
    pub(crate) parents: bool,
    pub(crate) checksum: Option<String>,
    pub(crate) unpack: Option<bool>,
}

/// Reads one instruction.
///
/// # Errors
/// [`DockerfileError`].
pub(crate) fn instruction(line: &Logical, escape: char) -> Result<Instruction, DockerfileError> {
    let (word, rest) = line.text.split_once(char::is_whitespace).unwrap_or((&line.text, ""));
    let (flags, rest) = Flags::take(rest, escape);
    let name = word.to_ascii_uppercase();
    let reader = Reader { name: &name, rest: rest.trim(), flags, escape, line };
    flags_of(&name).map_or(Ok(()), |known| reader.flags.check(&name, known, &line.place))?;
    let kind = reader.kind().map_err(|what| match what {
        Wrong::Here(what) => DockerfileError::new(&line.place.of(word), what),
        Wrong::There(error) => error,
    })?;
    Ok(Instruction { kind, text: line.text.clone(), place: line.place.clone() })
}

/// The flags that an instruction has.
fn flags_of(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "FROM" => &["platform"],
        "RUN" => &["mount", "network", "security", "device"],
        "COPY" => &["from", "chown", "chmod", "link", "parents", "exclude"],
        "ADD" => &["chown", "chmod", "link", "keep-git-dir", "checksum", "exclude", "unpack"],
        "HEALTHCHECK" => &["interval", "timeout", "start-period", "start-interval", "retries"],
        "ONBUILD" => return None,
        _ => &[],
    })
}

enum Wrong {
    Here(String),
    There(DockerfileError),
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self::Here(what)
    }
}

impl From<DockerfileError> for Wrong {
    fn from(error: DockerfileError) -> Self {
        Self::There(error)
    }
}

struct Reader<'a> {
    name: &'a str,
    rest: &'a str,
    flags: Flags,
    escape: char,
    line: &'a Logical,
}

impl Reader<'_> {
    fn kind(&self) -> Result<Kind, Wrong> {
        Ok(match self.name {
            "FROM" => self.from()?,
            "ARG" => Kind::Arg(self.arguments()?),
            "ENV" => Kind::Env(pairs(self.rest, self.escape, self.name)?),
            "LABEL" => Kind::Label(pairs(self.rest, self.escape, self.name)?),
            "RUN" => Kind::Run(self.run()?),
            "COPY" | "ADD" => Kind::Copy(self.copy()?),
            "CMD" => Kind::Cmd(self.command()?),
            "ENTRYPOINT" => Kind::Entrypoint(self.command()?),
            "SHELL" => match self.json()? {
                Some(shell) if !shell.is_empty() => Kind::Shell(shell),
                Some(_) => return Err("SHELL requires at least one argument".to_owned().into()),
                None => return Err("SHELL requires the arguments to be in JSON form".to_owned().into()),
            },
            "EXPOSE" => Kind::Expose(self.some(self.fields())?),
            "VOLUME" => Kind::Volume(self.volumes()?),
            "USER" => Kind::User(self.one()?),
            "WORKDIR" => Kind::Workdir(self.one()?),
            "STOPSIGNAL" => Kind::StopSignal(self.one()?),
            "MAINTAINER" => Kind::Maintainer(self.one()?),
            "ONBUILD" => Kind::Onbuild(self.trigger()?),
            "HEALTHCHECK" => Kind::Healthcheck(self.healthcheck()?),
            other => return Err(format!("unknown instruction: {other}").into()),
        })
    }

    fn fields(&self) -> Vec<String> {
        self.rest.split_whitespace().map(str::to_owned).collect()
    }

    fn some(&self, words: Vec<String>) -> Result<Vec<String>, Wrong> {
        match words.is_empty() {
            true => Err(format!("{} requires at least one argument", self.name).into()),
            false => Ok(words),
        }
    }

    fn one(&self) -> Result<String, Wrong> {
        match self.rest.is_empty() {
            true => Err(format!("{} requires exactly one argument", self.name).into()),
            false => Ok(self.rest.to_owned()),
        }
    }

    /// The rest as an array of strings; `None` when it is no array.
    fn json(&self) -> Result<Option<Vec<String>>, Wrong> {
        if !self.rest.starts_with('[') {
            return Ok(None);
        }
        let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(self.rest) else { return Ok(None) };
        let strings = values.into_iter().map(|value| match value {
            serde_json::Value::String(text) => Ok(text),
            _ => Err("when using JSON array syntax, arrays must be comprised of strings only"
                .to_owned()
                .into()),
        });
        strings.collect::<Result<_, _>>().map(Some)
    }

    fn command(&self) -> Result<Command, Wrong> {
        Ok(match self.json()? {
            Some(words) => Command::Exec(words),
            None if self.rest.is_empty() => Command::Exec(Vec::new()),
            None => Command::Shell(self.rest.to_owned()),
        })
    }

    fn from(&self) -> Result<Kind, Wrong> {
        let platform = self.flags.one("platform", &self.line.place)?;
        let fields = self.fields();
        let (base, name) = match fields.as_slice() {
            [base] => (base, None),
            [base, word, name] if word.eq_ignore_ascii_case("as") => (base, Some(name.to_lowercase())),
            _ => return Err("FROM requires either one or three arguments".to_owned().into()),
        };
        if let Some(name) = &name {
            let is_part = |letter: char| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_.".contains(letter)
            };
            let is_proper =
                name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(is_part);
            if !is_proper {
                let what = format!(
                    "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
                );
                return Err(DockerfileError::new(&self.line.place.of(&fields[2]), what).into());
            }
            if matches!(name.as_str(), "context" | "scratch") {
                return Err(format!("the name {name:?} is reserved and can't be a build stage's").into());
            }
        }
        Ok(Kind::From { base: base.clone(), name, platform })
    }

    fn arguments(&self) -> Result<Vec<(String, Option<String>)>, Wrong> {
        let words = self.some(words(self.rest, self.escape))?;
        let argument = |word: String| match word.split_once('=') {
            Some(("", _)) => Err("ARG names can not be blank".to_owned().into()),
            Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
            None => Ok((word, None)),
        };
        words.into_iter().map(argument).collect()
    }

    fn run(&self) -> Result<Run, Wrong> {
        let place = &self.line.place;
        let command = self.command()?;
        if matches!(&command, Command::Exec(words) if words.is_empty()) {
            return Err("RUN requires at least one argument".to_owned().into());
        }
        if !self.flags.all("device").is_empty() {
            return Err("RUN --device is not supported".to_owned().into());
        }
        let network = self.flags.one("network", place)?;
        if network.as_deref().is_some_and(|mode| !matches!(mode, "none" | "host" | "default")) {
            let what =
                format!("invalid network mode {:?}: none, host or default", network.unwrap_or_default());
            return Err(DockerfileError::new(&place.of("--network"), what).into());
        }
        let security = self.flags.one("security", place)?;
        if security.as_deref().is_some_and(|mode| !matches!(mode, "sandbox" | "insecure")) {
            let what =
                format!("invalid security mode {:?}: sandbox or insecure", security.unwrap_or_default());
            return Err(DockerfileError::new(&place.of("--security"), what).into());
        }
        let mounts = self.flags.all("mount");
        Ok(Run { command, heredocs: self.line.heredocs.clone(), mounts, network, security })
    }

    fn copy(&self) -> Result<Copy, Wrong> {
        let place = &self.line.place;
        let words = match self.json()? {
            Some(words) => words,
            None => self.fields(),
        };
        let Some((target, sources)) = words.split_last().filter(|(_, sources)| !sources.is_empty()) else {
            let what = format!(
                "{} requires at least two arguments, but only {} was provided",
                self.name,
                words.len()
            );
            return Err(what.into());
        };
        let known = |word: &String| {
            let wanted = heredoc(word)?;
            self.line.heredocs.iter().find(|one| one.name == wanted.name).cloned()
        };
        let (mut paths, mut heredocs) = (Vec::new(), Vec::new());
        for source in sources {
            match known(source) {
                Some(heredoc) => heredocs.push(heredoc),
                None => paths.push(source.clone()),
            }
        }
        if known(target).is_some() {
            return Err(format!("{} cannot accept a heredoc as a destination", self.name).into());
        }
        if self.flags.boolean("keep-git-dir", place)?.is_some() {
            return Err("ADD --keep-git-dir needs a git repository as its source, which is not supported"
                .to_owned()
                .into());
        }
        Ok(Copy {
            is_add: self.name == "ADD",
            sources: paths,
            heredocs,
            target: target.clone(),
            from: self.flags.one("from", place)?,
            owner: self.flags.one("chown", place)?,
            mode: self.flags.one("chmod", place)?,
            excludes: self.flags.all("exclude"),
            link: self.flags.boolean("link", place)?.unwrap_or(false),
            parents: self.flags.boolean("parents", place)?.unwrap_or(false),
            checksum: self.flags.one("checksum", place)?,
            unpack: self.flags.boolean("unpack", place)?,
        })
    }

    fn volumes(&self) -> Result<Vec<String>, Wrong> {
        let volumes = match self.json()? {
            Some(volumes) => volumes,
            None => self.fields(),
        };
        let volumes = self.some(volumes)?;
        match volumes.iter().any(|volume| volume.trim().is_empty()) {
            true => Err("VOLUME specified can not be an empty string".to_owned().into()),
            false => Ok(volumes),
        }
    }

    fn trigger(&self) -> Result<String, Wrong> {
        let text = self.line.text.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim());
        let first = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        match first.as_str() {
            "" => return Err("ONBUILD requires at least one argument".to_owned().into()),
            "ONBUILD" => {
                return Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned().into());
            }
            "FROM" | "MAINTAINER" => {
                return Err(format!("{first} isn't allowed as an ONBUILD trigger").into());
            }
            _ => {}
        }
        let inner = Logical { text: text.to_owned(), ..self.line.clone() };
        instruction(&inner, self.escape)?;
        let mut trigger = text.to_owned();
        for heredoc in &self.line.heredocs {
            trigger.push('\n');
            trigger.push_str(&heredoc.body);
            trigger.push_str(&heredoc.name);
        }
        Ok(trigger)
    }

    fn healthcheck(&self) -> Result<Healthcheck, Wrong> {
        let (form, rest) = self.rest.split_once(char::is_whitespace).unwrap_or((self.rest, ""));
        let flag = |name| self.flags.one(name, &self.line.place);
        let settings = healthcheck::Settings {
            interval: flag("interval")?,
            timeout: flag("timeout")?,
            start_period: flag("start-period")?,
            start_interval: flag("start-interval")?,
            retries: flag("retries")?,
        };
        let command = Reader { rest: rest.trim(), flags: Flags::default(), ..*self }.command()?;
        Ok(healthcheck::read(form, command, &settings)?)
    }
}

impl Place {
    /// The place of a mistake of a whole instruction.
    pub(crate) fn error(&self, what: impl Into<String>) -> DockerfileError {
        DockerfileError::new(self, what)
    }
}
