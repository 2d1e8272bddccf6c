//! Cuts lists into pages.
//!
//! Invariant: the cost of a page in memory is that of its items, and one more.

use crate::api::{Page, PageQuery};
use crate::error::ApiError;

/// Default items of a page.
const PAGE: u32 = 100;

/// Maximum items of a page.
pub(crate) const PAGE_MAX: u32 = 1000;

/// Checks the limit of a page.
pub(crate) fn page_limit(limit: Option<u32>) -> Result<u32, ApiError> {
    let limit = limit.unwrap_or(PAGE);
    match (1..=PAGE_MAX).contains(&limit) {
        true => Ok(limit),
        false => Err(ApiError::bad(format!("the limit is {limit}; it must be 1 to {PAGE_MAX}")).hint("use the cursor for more")),
    }
}

/// Returns the page of the first `limit` of these items; `cursor` is that of an item. One more item than the limit shows that there is a next page.
pub(crate) fn cut<T>(limit: u32, items: impl IntoIterator<Item = T>, cursor: impl Fn(&T) -> String) -> Page<T> {
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items: Vec<T> = items.into_iter().take(size.saturating_add(1)).collect();
    let is_more = items.len() > size;
    items.truncate(size);
    let next_cursor = items.last().filter(|_| is_more).map(cursor);
    Page { items, next_cursor }
}

/// Returns a page of a short list. The name of an item is its cursor; if that item is gone, the next page begins with the first greater name.
pub(crate) fn page<T>(query: &PageQuery, mut items: Vec<T>, name: impl Fn(&T) -> String) -> Result<Page<T>, ApiError> {
    let limit = page_limit(query.limit)?;
    items.sort_by_cached_key(&name);
    let from = query.cursor.as_ref().map_or(0, |cursor| items.partition_point(|item| name(item) <= *cursor));
    Ok(cut(limit, items.into_iter().skip(from), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(cursor: Option<&str>, items: &[&str]) -> (Vec<String>, Option<String>) {
        let query = PageQuery { limit: Some(2), cursor: cursor.map(Into::into) };
        let page = page(&query, items.iter().map(ToString::to_string).collect(), String::clone).unwrap();
        (page.items, page.next_cursor)
    }

    #[test]
    fn pages_neither_repeat_nor_skip() {
        assert_eq!(names(None, &["c", "a", "b", "d"]), (vec!["a".into(), "b".into()], Some("b".into())));
        assert_eq!(names(Some("b"), &["c", "a", "d"]), (vec!["c".into(), "d".into()], None), "b is gone");
        assert_eq!(names(Some("d"), &["c", "a", "d"]), (vec![], None));
        for limit in [0, PAGE_MAX + 1] {
            assert!(page_limit(Some(limit)).is_err(), "{limit}");
        }
    }
}
