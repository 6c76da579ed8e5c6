//! What the command line prints: `--format`, tables, and docker-shaped JSON. Pure: text and values in, text out.

pub(crate) mod container;
pub(crate) mod image;
pub(crate) mod network;
pub(crate) mod reference;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod template;
pub(crate) mod units;
pub(crate) mod volume;

use serde_json::{Map, Value};

use template::{Subject, Template, TemplateError};

/// What `--format` asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Format {
    /// Columns below a head.
    Table(Template),
    /// One line a row.
    Rows(Template),
}

/// A kind of row: what its fields are called at the head of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    /// `(field, title)` in the order of `json`'s output.
    pub(crate) titles: &'static [(&'static str, &'static str)],
    /// The template of the default table, without `table`.
    pub(crate) default: &'static str,
}

impl Format {
    /// Reads the value of `--format`; `default` is the table's template when it is empty or just `table`.
    ///
    /// # Errors
    /// The template is none.
    pub(crate) fn parse(text: &str, default: &str) -> Result<Self, TemplateError> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        match text.trim() {
            "" | "table" => Ok(Self::Table(Template::parse(default)?)),
            "json" => Ok(Self::Rows(Template::parse("{{json .}}")?)),
            other => match other.strip_prefix("table") {
                Some(columns) if columns.starts_with(char::is_whitespace) => {
                    Ok(Self::Table(Template::parse(columns.trim_start_matches([' ', '\t']))?))
                }
                _ => Ok(Self::Rows(Template::parse(&text)?)),
            },
        }
    }

    /// Writes all rows, each on its own line, below a head when it is a table.
    ///
    /// # Errors
    /// The template names a field that is not there.
    pub(crate) fn render(&self, columns: Columns, rows: &[Subject]) -> Result<String, TemplateError> {
        match self {
            Self::Rows(template) => {
                let mut out = String::new();
                for row in rows {
                    out.push_str(&template.render_row(row)?);
                    out.push('\n');
                }
                Ok(out)
            }
            Self::Table(template) => {
                let mut lines = vec![template.render_headers(columns.headers())?];
                for row in rows {
                    lines.push(template.render_row(row)?);
                }
                Ok(table::align(&lines))
            }
        }
    }
}

impl Columns {
    fn headers(self) -> Value {
        let fields: Map<String, Value> =
            self.titles.iter().map(|(field, title)| ((*field).to_owned(), Value::from(*title))).collect();
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: Columns =
        Columns { titles: &[("ID", "THING ID"), ("Names", "NAMES")], default: "{{.ID}}\t{{.Names}}" };

    fn render(format: &str) -> String {
        let row = Subject::from(json!({"ID": "4f1c", "Names": "web"}));
        Format::parse(format, COLUMNS.default)
            .and_then(|format| format.render(COLUMNS, &[row]))
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn format_is_a_table_rows_or_json() {
        for (format, expected) in [
            ("", "THING ID   NAMES\n4f1c       web\n"),
            ("table", "THING ID   NAMES\n4f1c       web\n"),
            ("table {{.Names}}\\t{{.ID}}", "NAMES     THING ID\nweb       4f1c\n"),
            ("{{.ID}}\\t{{.Names}}", "4f1c\tweb\n"),
            ("json", "{\"ID\":\"4f1c\",\"Names\":\"web\"}\n"),
            ("{{json .}}", "{\"ID\":\"4f1c\",\"Names\":\"web\"}\n"),
            ("tables", "tables\n"),
        ] {
            assert_eq!(render(format), expected, "{format}");
        }
    }

    #[test]
    fn a_column_that_is_not_there_is_refused_even_without_rows() {
        let format = Format::parse("table {{.Nope}}", COLUMNS.default).expect("a template");
        assert!(format.render(COLUMNS, &[]).is_err());
    }
}
