//! Columns for people.

use std::fmt::Write;

use clap::builder::styling::Style;

/// How much a row matters.
#[derive(Clone, Copy)]
pub(crate) enum Look {
    Head,
    Plain,
    /// What is past.
    Faint,
}

impl Look {
    fn style(self) -> Style {
        match self {
            Self::Head => Style::new().bold(),
            Self::Plain => Style::new(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

/// Rows under a head. Cells hold nothing that moves a terminal: see `domain::signs`.
pub(crate) struct Table<const N: usize> {
    rows: Vec<(Look, [String; N])>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(head: [&str; N]) -> Self {
        Self {
            rows: vec![(Look::Head, head.map(str::to_owned))],
        }
    }

    pub(crate) fn row(&mut self, look: Look, row: [String; N]) {
        self.rows.push((look, row));
    }

    /// A line for each row; in `color`, they look as they matter.
    pub(crate) fn text(&self, color: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|(_, row)| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let mut text = String::new();
        for (look, row) in &self.rows {
            let cells = row.iter().zip(widths);
            let cells: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            let line = cells.join("  ");
            let style = if color { look.style() } else { Style::new() };
            // Writing to a String cannot fail.
            writeln!(text, "{style}{}{style:#}", line.trim_end()).ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["A", "LONG", "C"]);
        table.row(
            Look::Faint,
            ["wide".to_owned(), "ü".to_owned(), String::new()],
        );
        assert_eq!(table.text(false), "A     LONG  C\nwide  ü\n");
        let head = table.text(true);
        assert_eq!(head.lines().next(), Some("\u{1b}[1mA     LONG  C\u{1b}[0m"));
    }
}
