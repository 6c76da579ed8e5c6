//! The plan: which stages there are, what each stands on, and which the target needs.

use std::collections::HashMap;

use super::error::DockerfileError;
use super::expand::{Expander, Variables};
use super::instruction::{Instruction, Kind};
use super::{Dockerfile, mount};

/// More stages than this are a mistake.
const MAX_STAGES: usize = 1000;

/// The stages of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) escape: char,
    pub(crate) stages: Vec<Stage>,
    /// The stage whose image is wanted.
    pub(crate) target: usize,
    /// The arguments before the first FROM, as `NAME=value`.
    pub(crate) global_args: Vec<String>,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) name: Option<String>,
    pub(crate) base: Base,
    pub(crate) platform: Option<String>,
    /// FROM itself, for messages.
    pub(crate) from: Instruction,
    pub(crate) instructions: Vec<Instruction>,
    /// Earlier stages that it needs, its base included.
    pub(crate) needs: Vec<usize>,
}

/// What a stage stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Scratch,
    Stage(usize),
    Image(String),
}

/// What was asked for beside the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes<'a> {
    /// A stage's name or number; the last one when empty.
    pub(crate) target: &'a str,
    /// `NAME=value`.
    pub(crate) build_args: &'a [String],
    /// What FROM knows without ARG, as `NAME=value`.
    pub(crate) platform_args: &'a [String],
}

/// Names first look here, then there.
struct Both<'a>(&'a Vec<String>, &'a Vec<String>);

impl Variables for Both<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).or_else(|| self.1.get(name))
    }
}

impl Plan {
    /// Puts a file's instructions into stages.
    ///
    /// # Errors
    /// [`DockerfileError`].
    pub(crate) fn new(file: Dockerfile, wishes: &Wishes<'_>) -> Result<Self, DockerfileError> {
        let escape = file.escape;
        let mut plan = Self { escape, stages: Vec::new(), target: 0, global_args: Vec::new() };
        let platform: Vec<String> = wishes.platform_args.to_vec();
        let build_args: Vec<String> = wishes.build_args.to_vec();
        for instruction in file.instructions {
            match (&instruction.kind, plan.stages.last_mut()) {
                (Kind::From { .. }, _) => plan.stage(instruction, &platform)?,
                (_, Some(stage)) => stage.instructions.push(instruction),
                (Kind::Arg(arguments), None) => {
                    for (name, default) in arguments {
                        let known = Both(&plan.global_args, &platform);
                        let value = build_args.get(name).map_or_else(
                            || {
                                default
                                    .as_deref()
                                    .map(|text| expanded(text, escape, &known, &instruction))
                                    .transpose()
                            },
                            |value| Ok(Some(value)),
                        )?;
                        plan.global_args.extend(value.map(|value| format!("{name}={value}")));
                    }
                }
                (_, None) => return Err(instruction.place.error("no build stage in current context")),
            }
        }
        if plan.stages.is_empty() {
            return Err(DockerfileError::of_file("the Dockerfile has no FROM: there is nothing to build"));
        }
        plan.target = plan.find_target(wishes.target)?;
        plan.connect();
        Ok(plan)
    }

    fn stage(&mut self, from: Instruction, platform: &Vec<String>) -> Result<(), DockerfileError> {
        let Kind::From { base, name, platform: wanted } = &from.kind else { return Ok(()) };
        if self.stages.len() == MAX_STAGES {
            return Err(from.place.error(format!("there are more than {MAX_STAGES} stages")));
        }
        if name.is_some() && self.stages.iter().any(|stage| stage.name == *name) {
            let name = name.clone().unwrap_or_default();
            return Err(from.place.error(format!("duplicate name {name}: another stage has it")));
        }
        let known = Both(&self.global_args, platform);
        let base = expanded(base, self.escape, &known, &from)?;
        if base.is_empty() {
            return Err(from
                .place
                .error("base name should not be blank: set the argument that it is made of"));
        }
        let wanted = wanted.as_deref().map(|text| expanded(text, self.escape, &known, &from)).transpose()?;
        let base = match self.by_name(&base) {
            Some(stage) => Base::Stage(stage),
            None if base == "scratch" => Base::Scratch,
            None => Base::Image(base),
        };
        let (name, platform) = (name.clone(), wanted.filter(|wanted| !wanted.is_empty()));
        self.stages.push(Stage { name, base, platform, from, instructions: Vec::new(), needs: Vec::new() });
        Ok(())
    }

    fn by_name(&self, name: &str) -> Option<usize> {
        let name = name.to_lowercase();
        self.stages.iter().position(|stage| stage.name.as_deref() == Some(name.as_str()))
    }

    /// The stage before `stage` that a `--from` means, by its name or number.
    pub(crate) fn earlier(&self, name: &str, stage: usize) -> Option<usize> {
        let found = self.by_name(name).or_else(|| name.parse().ok());
        found.filter(|found| *found < stage)
    }

    fn find_target(&self, target: &str) -> Result<usize, DockerfileError> {
        if target.is_empty() {
            return Ok(self.stages.len() - 1);
        }
        let by_number = || target.parse().ok().filter(|number| *number < self.stages.len());
        self.by_name(target)
            .or_else(by_number)
            .ok_or_else(|| DockerfileError::of_file(format!("target stage {target:?} could not be found")))
    }

    /// Writes down what each stage needs of the others.
    fn connect(&mut self) {
        let mut all = Vec::with_capacity(self.stages.len());
        for (number, stage) in self.stages.iter().enumerate() {
            let mut needs: Vec<usize> = match stage.base {
                Base::Stage(base) => vec![base],
                Base::Scratch | Base::Image(_) => Vec::new(),
            };
            for instruction in &stage.instructions {
                needs.extend(sources(instruction).iter().filter_map(|name| self.earlier(name, number)));
            }
            needs.sort_unstable();
            needs.dedup();
            all.push(needs);
        }
        for (stage, needs) in self.stages.iter_mut().zip(all) {
            stage.needs = needs;
        }
    }

    /// The stages that the target needs, itself last, each after what it needs.
    pub(crate) fn needed(&self) -> Vec<usize> {
        let mut is_needed = HashMap::from([(self.target, ())]);
        // Needs are earlier stages only, so that one pass from the end meets all.
        for number in (0..=self.target).rev() {
            if is_needed.contains_key(&number) {
                is_needed.extend(self.stages[number].needs.iter().map(|need| (*need, ())));
            }
        }
        let mut needed: Vec<usize> = is_needed.into_keys().collect();
        needed.sort_unstable();
        needed
    }
}

/// What an instruction names in its `--from`s.
fn sources(instruction: &Instruction) -> Vec<String> {
    match &instruction.kind {
        Kind::Copy(copy) => copy.from.iter().cloned().collect(),
        Kind::Run(run) => {
            let mounts =
                run.mounts.iter().filter_map(|text| mount::mount(text, |word| Ok(word.to_owned())).ok());
            mounts.filter_map(|mount| mount.from).collect()
        }
        _ => Vec::new(),
    }
}

fn expanded(
    text: &str,
    escape: char,
    known: &dyn Variables,
    instruction: &Instruction,
) -> Result<String, DockerfileError> {
    let expanded = Expander::new(escape).word(text, known);
    expanded.map_err(|what| instruction.place.of(text).error(what))
}
