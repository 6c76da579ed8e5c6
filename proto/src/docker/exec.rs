//! Execs, as docker asks for them and shows them.

use serde_json::{Value, json};

use super::fields::{Fields, InvalidBody};
use crate::v1::{ExecConfig, ExecInspectReply, ExecState};

/// What docker's `POST /containers/{id}/exec` asks for.
///
/// # Errors
/// [`InvalidBody`].
pub fn exec_config(body: &Fields) -> Result<ExecConfig, InvalidBody> {
    Ok(ExecConfig {
        args: body.texts("Cmd")?,
        env: body.texts("Env")?,
        working_dir: body.text("WorkingDir")?,
        user: body.text("User")?,
        tty: body.flag("Tty")?,
        stdin: body.flag("AttachStdin")?,
        privileged: body.flag("Privileged")?,
        detach_keys: body.text("DetachKeys")?,
    })
}

/// An exec as docker's `GET /exec/{id}/json` has it.
#[must_use]
pub fn exec(exec: &ExecInspectReply) -> Value {
    let config = exec.config.clone().unwrap_or_default();
    let (entrypoint, arguments) =
        config.args.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
    let is_over = exec.state() == ExecState::Exited;
    json!({
        "ID": exec.exec_id,
        "Running": exec.state() == ExecState::Running,
        "ExitCode": exec.exit.as_ref().map(|exit| exit.code),
        "ProcessConfig": {
            "tty": config.tty,
            "entrypoint": entrypoint,
            "arguments": arguments,
            "privileged": config.privileged,
            "user": config.user,
        },
        "OpenStdin": config.stdin,
        "OpenStderr": true,
        "OpenStdout": true,
        "CanRemove": is_over,
        "ContainerID": exec.container,
        "DetachKeys": config.detach_keys,
        "Pid": exec.pid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::ExitStatus;

    #[test]
    fn the_exit_code_is_null_until_there_is_one() {
        let mut reply = ExecInspectReply {
            exec_id: "e".to_owned(),
            config: Some(ExecConfig { args: vec!["sh".into(), "-c".into()], ..ExecConfig::default() }),
            ..ExecInspectReply::default()
        };
        reply.set_state(ExecState::Running);
        let object = exec(&reply);
        assert_eq!((&object["ExitCode"], &object["Running"]), (&Value::Null, &json!(true)));
        assert_eq!(object["ProcessConfig"]["arguments"], json!(["-c"]));
        reply.set_state(ExecState::Exited);
        reply.exit = Some(ExitStatus { code: 3, ..ExitStatus::default() });
        assert_eq!((&exec(&reply)["ExitCode"], &exec(&reply)["Running"]), (&json!(3), &json!(false)));
    }
}
