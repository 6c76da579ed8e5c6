//! gRPC's C core as a client, by its Python wheel: the library below Python, C++, Ruby, PHP and C#. It says other things
//! in its headers than tonic and Go do.

use knarr_tests::{Daemon, Scratch, process, python, require};

/// Calls by bytes, without generated code. Prints a line for each authority that was served.
const CLIENT: &str = r#"
import sys, grpc
socket = sys.argv[1]
def served(target, options):
    with grpc.insecure_channel(target, options=options) as channel:
        ping = channel.unary_unary("/knarr.v1.System/Ping")
        version = channel.unary_unary("/knarr.v1.System/Version")
        listed = channel.unary_stream("/knarr.v1.Images/List")
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        for number in range(150):
            # New headers push old ones out of the compression table, which must be the same on both sides.
            metadata = ((f"x-{number % 70}", "v" * (number % 90)), ("y-bin", bytes([number])))
            assert ping(b"", timeout=20, metadata=metadata) == b""
        assert b"v1" in version(b"", timeout=20)
        assert list(listed(b"", timeout=20)) == [b""]
        assert health(b"", timeout=20) == b"\x08\x01"
        try:
            channel.unary_unary("/knarr.v1.Containers/Inspect")(b"\x0a\x04none", timeout=20)
            raise AssertionError("no such container")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
            assert error.details() == "no such container: none", error
forms = [None, "localhost", "a b", "%", "%2Frun%2Fknarr.sock", "user:pw@host:1", "[::1]:50051", "[", "../../etc",
         "x" * 3000, "k", "://", "host:99999999", "ü".encode().decode("latin-1"), "a,b;c=d", "{}", "\"quoted\"", "<>"]
for form in forms:
    options = () if form is None else (("grpc.default_authority", form),)
    served("unix://" + socket, options)
    print("served", repr(form))
served("unix:" + socket, ())
print("served all")
"#;

#[test]
fn the_c_core_is_served_whatever_it_says_as_authority() {
    require!(root);
    let python = match python::with_package("grpcio") {
        Ok(python) => python,
        Err(why) => {
            let here = || ();
            return require::skip(std::any::type_name_of_val(&here), &why);
        }
    };
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let script = scratch.join("client.py");
    std::fs::write(&script, CLIENT).expect("our own file");
    let mut client = scratch.command(python);
    let outcome = process::run(client.arg(&script).arg(daemon.socket())).success();
    assert!(outcome.stdout.ends_with("served all\n"), "{outcome}");
    assert_eq!(outcome.stdout.lines().count(), 19, "{outcome}");
}
