//! `exec --cgroup [controllers:]path`: cgroups below the container's own, by hierarchy. Never leads out of them.

use crate::cgroup::paths::{CgroupPath, CgroupPaths};

/// Why `--cgroup` cannot be followed; the texts are runc's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum SubCgroupError {
    #[error("invalid --cgroup argument: {0} (empty <controller> prefix)")]
    EmptyController(String),
    #[error("invalid --cgroup argument(s): controller {0} specified multiple times")]
    Twice(String),
    #[error("invalid --cgroup argument: {0} (missing <controller>: prefix)")]
    NoController(String),
    #[error("bad sub cgroup path: {0} (it must stay below the container's cgroup)")]
    Path(String),
    #[error("unknown controller {0} in --cgroup: the container is in no such cgroup")]
    Unknown(String),
}

/// Paths by controller; an empty controller means all hierarchies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SubCgroups<'a>(Vec<(&'a str, &'a str)>);

impl<'a> SubCgroups<'a> {
    pub(super) fn parse(arguments: &'a [String], container: &CgroupPaths) -> Result<Self, SubCgroupError> {
        let mut paths: Vec<(&str, &str)> = Vec::new();
        for argument in arguments {
            let Some((controllers, path)) = argument.split_once(':') else {
                if arguments.len() != 1 {
                    return Err(SubCgroupError::NoController(argument.clone()));
                }
                paths.push(("", inner(argument)?));
                continue;
            };
            for controller in controllers.split(',') {
                if controller.is_empty() {
                    return Err(SubCgroupError::EmptyController(argument.clone()));
                }
                if paths.iter().any(|(known, _)| *known == controller) {
                    return Err(SubCgroupError::Twice(controller.to_owned()));
                }
                if container.v1(controller).is_none() {
                    return Err(SubCgroupError::Unknown(controller.to_owned()));
                }
                paths.push((controller, inner(path)?));
            }
        }
        Ok(Self(paths))
    }

    /// The path below this cgroup of the container's; empty for the cgroup itself.
    pub(super) fn path_for(&self, cgroup: &CgroupPath) -> &'a str {
        let wanted = |controller: &&str| {
            controller.is_empty() || cgroup.controllers.iter().any(|name| name == *controller)
        };
        self.0.iter().find(|(controller, _)| wanted(controller)).map_or("", |(_, path)| path)
    }
}

fn inner(path: &str) -> Result<&str, SubCgroupError> {
    match path.split('/').any(|name| name == "..") {
        true => Err(SubCgroupError::Path(path.to_owned())),
        false => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::layout::Version;

    fn container() -> CgroupPaths {
        let path = |controllers: &[&str]| CgroupPath {
            version: Version::V1,
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            mount: "/c".to_owned(),
            path: "/web".to_owned(),
        };
        CgroupPaths {
            hierarchies: vec![path(&["cpu", "cpuacct"]), path(&["memory"])],
            ..CgroupPaths::default()
        }
    }

    fn parse(arguments: &[&str]) -> Result<Vec<String>, SubCgroupError> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let container = container();
        let below = SubCgroups::parse(&arguments, &container)?;
        Ok(container.hierarchies.iter().map(|path| below.path_for(path).to_owned()).collect())
    }

    #[test]
    fn each_hierarchy_gets_the_path_of_its_controller() {
        assert_eq!(parse(&["memory:m", "cpu,cpuacct:c"]).expect("valid"), ["c", "m"]);
        assert_eq!(parse(&["/x"]).expect("valid"), ["/x", "/x"]);
        assert_eq!(parse(&[]).expect("valid"), ["", ""]);
    }

    #[test]
    fn what_leads_out_or_nowhere_is_refused() {
        assert_eq!(parse(&[".."]), Err(SubCgroupError::Path("..".to_owned())));
        assert_eq!(parse(&["memory:a/../../b"]), Err(SubCgroupError::Path("a/../../b".to_owned())));
        assert_eq!(parse(&["warp:/"]), Err(SubCgroupError::Unknown("warp".to_owned())));
        assert_eq!(parse(&[":x"]), Err(SubCgroupError::EmptyController(":x".to_owned())));
        assert_eq!(parse(&["a", "memory:b"]), Err(SubCgroupError::NoController("a".to_owned())));
        assert_eq!(parse(&["cpu:a", "cpu:b"]), Err(SubCgroupError::Twice("cpu".to_owned())));
    }
}
