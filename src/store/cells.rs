//! [`Cells`]: reading rows that others may have written.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::compat::Stamp;

/// A row whose cells may hold anything: SQLite does not insist on types. A column that is not there,
/// as in old databases that can't be written, is as good as an empty one.
#[derive(Clone, Copy, Debug)]
pub struct Cells<'a>(pub &'a SqliteRow);

impl Cells<'_> {
    /// A text; a number is taken for one.
    pub fn text(self, column: &str) -> Option<String> {
        self.0.try_get_unchecked(column).ok().flatten()
    }

    /// As [`Self::text`], where an empty text is none.
    pub fn text_or_none(self, column: &str) -> Option<String> {
        self.text(column).filter(|text| !text.is_empty())
    }

    /// A finite number. 3.3.0 accepted infinite ones, which no JSON can hold.
    pub fn number(self, column: &str) -> Option<f64> {
        let number: Option<f64> = self.0.try_get(column).ok().flatten();
        number.filter(|number| number.is_finite())
    }

    /// A whole number.
    pub fn integer(self, column: &str) -> Option<i64> {
        self.0.try_get(column).ok().flatten()
    }

    /// A boolean: anything but 0 is true.
    pub fn flag(self, column: &str) -> Option<bool> {
        self.integer(column).map(|number| number != 0)
    }

    /// A time that can be shown.
    pub fn stamp(self, column: &str) -> Option<Stamp> {
        self.text(column).as_deref().and_then(Stamp::from_sql)
    }
}
