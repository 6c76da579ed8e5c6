//! From a byte offset in a JSON text to the path of the field there. Runs only when an error is to be reported, so
//! that the ordinary parse pays nothing for it.

/// Paths deeper than this are cut; the parser refuses such texts anyway.
const DEPTH_MAX: usize = 128;

/// From a value to one inside it.
enum Step {
    /// To a field; none at the object itself.
    Object { key: Option<String> },
    /// To an item.
    Array { index: usize },
}

/// The path of the value that contains `offset`, as `mounts[1].options[0]`; `the document` at the top.
pub(super) fn json_path_at(text: &[u8], offset: usize) -> String {
    render(&steps_at(text, offset))
}

fn steps_at(text: &[u8], offset: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut position = 0;
    let mut after_colon = false;
    while position < offset.min(text.len()) {
        match text[position] {
            b'"' => {
                let end = string_end(text, position);
                if let (Some(Step::Object { key }), false) = (steps.last_mut(), after_colon) {
                    let bytes = text.get(position + 1..end).unwrap_or_default();
                    *key = Some(String::from_utf8_lossy(bytes).chars().take(80).collect());
                }
                position = end;
            }
            b':' => after_colon = true,
            b',' => {
                after_colon = false;
                match steps.last_mut() {
                    Some(Step::Array { index }) => *index += 1,
                    Some(Step::Object { key }) => *key = None,
                    None => {}
                }
            }
            // The error's offset is that of the value's last byte: a closing bracket there still belongs to it.
            b'}' | b']' => {
                steps.pop();
            }
            open @ (b'{' | b'[') if steps.len() < DEPTH_MAX => {
                after_colon = false;
                steps.push(if open == b'{' { Step::Object { key: None } } else { Step::Array { index: 0 } });
            }
            _ => {}
        }
        position += 1;
    }
    steps
}

/// The offset of the quote that ends the string which starts at `start`, or the end of the text.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while position < text.len() && text[position] != b'"' {
        position += if text[position] == b'\\' { 2 } else { 1 };
    }
    position.min(text.len())
}

fn render(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Object { key: Some(key) } => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Step::Object { key: None } => {}
            Step::Array { index } => {
                path.push_str(&format!("[{index}]"));
            }
        }
    }
    if path.is_empty() { "the document".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_commas_in_strings_do_not_count() {
        let text = br#"{"a":["x,]","\"}",{"b":7}]}"#;
        let offset = text.iter().position(|byte| *byte == b'7').expect("there");
        assert_eq!(json_path_at(text, offset), "a[2].b");
    }

    #[test]
    fn any_offset_of_any_text_gives_a_path() {
        for text in [&b"{\"a"[..], b"\"\\", b"]]]}", b"{\"a\":[{]}", b"\xff\xfe"] {
            for offset in 0..text.len() + 3 {
                assert!(!json_path_at(text, offset).is_empty());
            }
        }
    }
}
