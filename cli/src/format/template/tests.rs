//! Templates as people write them, and the ways in which they go wrong.

use serde_json::json;

use super::*;

fn subject() -> Subject {
    let fields = json!({
        "ID": "4f1c", "Names": "web", "Count": 3, "Zero": 0, "On": true, "Empty": null,
        "State": {"Status": "running", "ExitCode": 0},
        "Args": ["sh", "-c", "true"],
        "Labels": {"b": "2", "a": "1", "com.example.x": "y"},
        "Mounts": [{"Source": "/a", "Destination": "/b"}, {"Source": "/c", "Destination": "/d"}],
    });
    Subject { fields, labels: HashMap::from([("com.example.some-key".to_owned(), "value".to_owned())]) }
}

fn render(template: &str) -> String {
    Template::parse(template)
        .and_then(|parsed| parsed.render(&subject()))
        .unwrap_or_else(|error| error.to_string())
}

#[test]
fn fields_pipelines_and_functions_do_as_in_go() {
    for (template, expected) in [
        ("{{.ID}} {{ .State.Status }}", "4f1c running"),
        ("{{json .State}}", r#"{"Status":"running","ExitCode":0}"#),
        ("{{.State | json}}", r#"{"Status":"running","ExitCode":0}"#),
        ("{{join .Args \" \"}}", "sh -c true"),
        ("{{ .Names | upper | printf \"<%s>\"}}", "<WEB>"),
        ("{{title \"two words\"}} {{lower \"ABC\"}}", "Two Words abc"),
        ("{{len .Args}} {{index .Args 1}} {{index .Labels \"com.example.x\"}}", "3 -c y"),
        ("{{index .Labels \"none\"}}|{{.Labels.none}}", "|<no value>"),
        ("{{.Args}} {{.Labels}}", "[sh -c true] map[a:1 b:2 com.example.x:y]"),
        ("{{println .ID .Count}}", "4f1c 3\n"),
        ("{{print .ID .Names}} {{print 1 2}}", "4f1cweb 1 2"),
        (
            "{{printf \"%-6s|%04d|%5.1f|%q|%x|%t|100%%\" .ID .Count 2.25 .Names \"a\" .On}}",
            "4f1c  |0003|  2.2|\"web\"|61|true|100%",
        ),
        ("{{.Label \"com.example.some-key\"}}", "value"),
        ("{{(index .Mounts 1).Source}}", "/c"),
        ("{{split \"a,b\" \",\"}}", "[a b]"),
        ("{{truncate .ID 2}}{{pad \"x\" 1 2}}|", "4f x  |"),
        ("{{`raw \\n`}} {{\"esc\\t\\\"\"}}", "raw \\n esc\t\""),
        ("a {{- /* nothing */ -}} b{{/* x */}} c", "ab c"),
        ("{{/* nothing */}}x  {{- .ID -}}  y", "x4f1cy"),
    ] {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn blocks_branch_and_loop() {
    for (template, expected) in [
        ("{{if .On}}yes{{else}}no{{end}}", "yes"),
        ("{{if .Zero}}a{{else if eq .Count 3}}b{{else}}c{{end}}", "b"),
        ("{{if and .On (not .Zero)}}x{{end}}{{if or .Zero .Empty}}y{{end}}", "x"),
        ("{{if and .Empty .Empty.Deep}}x{{else}}short{{end}}", "short"),
        ("{{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}", "/a:/b /c:/d "),
        ("{{range $i, $arg := .Args}}{{if $i}},{{end}}{{$arg}}{{end}}", "sh,-c,true"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;com.example.x=y;"),
        ("{{range $m := .Mounts}}{{$m.Source}}{{$.ID}} {{end}}", "/a4f1c /c4f1c "),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{with .State}}{{.Status}}{{end}}{{with .Empty}}x{{else}}-{{end}}", "running-"),
        ("{{$x := .Count}}{{$x}}{{if true}}{{$x = 4}}{{end}}{{$x}}", "34"),
        (
            "{{eq .Names \"db\" \"web\"}} {{ne 1 2}} {{lt 1 2}} {{ge 1 2}} {{eq \"1\" 1}}",
            "true true true false false",
        ),
    ] {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn mistakes_are_named() {
    for (template, part) in [
        ("{{.Foo", "unclosed action"),
        ("{{.Foo}}", "there is no field .Foo (there are ID, "),
        ("{{.id}}", "did you mean .ID?"),
        ("{{.Empty.Deep}}", ".Empty is empty here"),
        ("{{.ID.x}}", "plain value"),
        ("{{nope .ID}}", "function \"nope\" is not defined"),
        ("{{join .Args}}", "wrong number of arguments for join"),
        ("{{if .On}}", "{{if}} without {{end}}"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{if .On}}{{else}}{{else}}{{end}}", "expected {{end}}"),
        ("{{}}", "missing value"),
        ("{{.ID | }}", "missing value"),
        ("{{(.ID}}", "unclosed left paren"),
        ("{{.ID)}}", "unexpected right paren"),
        ("{{\"x}}", "unterminated"),
        ("{{.ID .Names}}", ".ID is no function"),
        ("{{$nope}}", "undefined variable $nope"),
        ("{{define \"x\"}}", "not supported"),
        ("{{range .Count}}{{end}}", "can't iterate over 3"),
        ("{{index .Args 9}}", "out of range"),
        ("{{printf \"%d\" .ID}}", "%d does not fit 4f1c"),
        ("{{printf \"%s\"}}", "no argument for %s"),
        ("{{/* x", "unclosed comment"),
        ("{{.ID ; }}", "unexpected ';'"),
    ] {
        let text = render(template);
        assert!(text.starts_with("template: ") && text.contains(part), "{template}: {text}");
    }
}

#[test]
fn deep_nesting_is_refused_before_the_stack_ends() {
    let parentheses = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(Template::parse(&parentheses).is_err());
    let blocks = "{{if 1}}".repeat(100_000);
    assert!(Template::parse(&blocks).is_err());
}

#[test]
fn headers_pass_through_functions() {
    let headers = json!({"ID": "CONTAINER ID", "Names": "NAMES"});
    let template =
        Template::parse("{{lower .ID}}\t{{.Names}}\t{{.Label \"a.some-key\"}}").expect("a template");
    assert_eq!(template.render_headers(headers).expect("headers"), "CONTAINER ID\tNAMES\tsome key");
}
