//! Lines of tab-separated cells as a table, aligned as docker's.

/// Docker's tabwriter: no column is narrower than this, its gap included.
const MIN_WIDTH: usize = 10;
/// Spaces between a column's widest cell and the next column.
const GAP: usize = 3;

/// Aligns `lines`; the last cell of a line is not padded.
pub(crate) fn align(lines: &[String]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines.iter().flat_map(|line| line.split('\n')) {
        let cells: Vec<&str> = line.split('\t').collect();
        for (column, cell) in cells[..cells.len() - 1].iter().enumerate() {
            let width = (cell.chars().count() + GAP).max(MIN_WIDTH);
            match widths.get_mut(column) {
                Some(known) => *known = width.max(*known),
                None => widths.push(width),
            }
        }
    }
    let mut out = String::new();
    for line in lines.iter().flat_map(|line| line.split('\n')) {
        let mut cells = line.split('\t').enumerate().peekable();
        while let Some((column, cell)) = cells.next() {
            out.push_str(cell);
            if cells.peek().is_some() {
                let padding = widths[column] - cell.chars().count();
                out.extend(std::iter::repeat_n(' ', padding));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_at_least_ten_wide_and_three_apart() {
        let lines = ["CONTAINER ID\tIMAGE\tNAMES", "4f1c\tlocalhost:5000/a\tweb"].map(str::to_owned);
        assert_eq!(
            align(&lines),
            "CONTAINER ID   IMAGE              NAMES\n4f1c           localhost:5000/a   web\n"
        );
        assert_eq!(align(&["A\tB\tC".to_owned()]), "A         B         C\n");
    }
}
