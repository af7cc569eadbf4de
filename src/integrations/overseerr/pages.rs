//! Lists that come page by page. All who ask for one within two seconds share the walk through its
//! pages.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::super::outside::CallError;
use super::super::upstream::{Answer, Digest, Failure, Shape, Upstream};
use crate::app::AppState;
use crate::cache::Brief;

/// For all pages: a request has 60 s in all.
const LIMIT: Duration = Duration::from_secs(45);
/// Twenty thousand people, ten thousand wishes. Whoever always has another page is no Overseerr.
const MOST_PAGES: usize = 200;
/// Of all pages; a wish has 3 KB.
const LARGEST: usize = 64 * 1024 * 1024;

static LISTS: Brief<(Digest, List), Arc<Series>, Failure> = Brief::new(
    |series| Some(series.length),
    Failure::Call(CallError::Broken),
);

/// What can be walked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum List {
    Users,
    Requests,
}

/// What the pages hold, in their order.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// Objects as they came.
    pub(super) entries: Vec<Box<RawValue>>,
    /// Of all of them, in bytes.
    pub(super) length: usize,
    /// Why there are no more, if there should be.
    pub(super) broken: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    page_info: Option<PageInfo>,
    results: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct PageInfo {
    pages: Option<usize>,
}

impl List {
    /// Path, and entries of a page (contract 04, section 9).
    const fn place(self) -> (&'static str, usize) {
        match self {
            Self::Users => ("/api/v1/user", 100),
            Self::Requests => ("/api/v1/request", 50),
        }
    }
}

/// The whole list, or its beginning.
///
/// # Errors
/// There is not even a first page.
pub(super) async fn all(
    app: &AppState,
    upstream: &Upstream,
    list: List,
) -> Result<Arc<Series>, Failure> {
    let (app, upstream) = (app.clone(), upstream.clone());
    let question = (upstream.digest(), list);
    let (path, size) = list.place();
    let ask = move |skip: usize| {
        let (app, upstream) = (app.clone(), upstream.clone());
        async move {
            let query = [("take", &*size.to_string()), ("skip", &*skip.to_string())];
            let answer = upstream.ask(&app, path, &query).await?;
            Page::read(upstream.successful(&answer)?)
        }
    };
    let walked = async move { walk(size, ask).await.map(Arc::new) };
    LISTS.get(question, walked).await
}

/// Forgets the lists of a service: something has been changed.
pub(super) fn forget(upstream: &Upstream) {
    let service = upstream.digest();
    LISTS.forget(|(known, _)| *known == service);
}

/// Goes through pages of `size` entries, each of which `ask` brings.
async fn walk<F>(size: usize, ask: impl Fn(usize) -> F) -> Result<Series, Failure>
where
    F: Future<Output = Result<Page, Failure>>,
{
    let deadline = Instant::now() + LIMIT;
    let mut series = Series::default();
    for number in 0..MOST_PAGES {
        let page = timeout_at(deadline, ask(number * size)).await;
        let page = match page.unwrap_or(Err(CallError::Timeout.into())) {
            Ok(page) => page,
            Err(failure) if number == 0 => return Err(failure),
            Err(failure) => {
                series.broken = Some(failure);
                return Ok(series);
            }
        };
        let is_last = page.is_last(number, size);
        // Anything but objects would leave the pages blank.
        let objects = page
            .results
            .into_iter()
            .filter(|o| o.get().starts_with('{'));
        for object in objects {
            series.length += object.get().len();
            series.entries.push(object);
        }
        if is_last {
            return Ok(series);
        }
        if series.length > LARGEST {
            break;
        }
    }
    series.broken = Some(CallError::TooLarge.into());
    Ok(series)
}

impl Page {
    fn read(answer: &Answer) -> Result<Self, Failure> {
        let object = answer.json(Shape::Object)?;
        serde_json::from_str(object.get()).map_err(|_other| Failure::Shape)
    }

    /// Whether there is none after this one. Where nobody says how many there are, a short one ends
    /// the list.
    fn is_last(&self, number: usize, size: usize) -> bool {
        let pages = self.page_info.as_ref().and_then(|info| info.pages);
        let known = pages.map(|pages| number + 1 >= pages);
        self.results.is_empty() || known.unwrap_or(self.results.len() < size)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::sleep;

    use super::*;

    fn page(entries: usize, pages: Option<usize>) -> Page {
        let object = RawValue::from_string("{}".to_owned()).unwrap();
        Page {
            page_info: Some(PageInfo { pages }),
            results: vec![object; entries],
        }
    }

    /// How many entries there are in the end, and how many pages were asked for.
    async fn walked(pages: &[(usize, Option<usize>)]) -> (usize, usize) {
        let asked = Cell::new(0);
        let series = walk(10, |skip| {
            assert_eq!(skip, asked.get() * 10);
            asked.set(asked.get() + 1);
            let (entries, known) = pages[skip / 10];
            async move { Ok(page(entries, known)) }
        });
        let series = series.await.unwrap();
        assert!(series.broken.is_none());
        (series.entries.len(), asked.get())
    }

    #[tokio::test]
    async fn a_list_ends_where_it_says_or_with_a_page_that_is_not_full() {
        let full = (10, None);
        assert_eq!(walked(&[full, full, (3, None)]).await, (23, 3));
        assert_eq!(walked(&[full, (0, None)]).await, (10, 2));
        assert_eq!(walked(&[(10, Some(1))]).await, (10, 1));
        let short = [(4, Some(2)), (10, Some(2))];
        assert_eq!(walked(&short).await, (14, 2));
        assert_eq!(walked(&[(0, Some(9))]).await, (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn neither_pages_without_end_nor_slow_ones_hold_anybody_for_long() {
        let endless = walk(10, async |_| Ok(page(10, None))).await.unwrap();
        assert_eq!(endless.entries.len(), MOST_PAGES * 10);
        assert_eq!(endless.broken, Some(CallError::TooLarge.into()));

        let started = Instant::now();
        let slow = walk(10, async |_| {
            sleep(Duration::from_secs(20)).await;
            Ok(page(10, None))
        });
        let slow = slow.await.unwrap();
        assert_eq!(started.elapsed(), LIMIT);
        assert_eq!(slow.entries.len(), 20);
        assert_eq!(slow.broken, Some(CallError::Timeout.into()));
    }

    #[tokio::test]
    async fn the_first_page_decides_whether_there_is_a_list() {
        let failing = |from: usize| {
            walk(10, move |skip| async move {
                if skip < from {
                    Ok(page(10, None))
                } else {
                    Err(Failure::NotJson)
                }
            })
        };
        assert_eq!(failing(0).await.unwrap_err(), Failure::NotJson);
        let begun = failing(20).await.unwrap();
        assert_eq!(
            (begun.entries.len(), begun.broken),
            (20, Some(Failure::NotJson))
        );
    }

    #[test]
    fn a_page_has_a_list_of_results() {
        let read = |body: &'static str| {
            Page::read(&Answer {
                status: 200,
                is_json: true,
                body: body.into(),
            })
            .map(|page| page.results.len())
        };
        assert_eq!(read(r#"{"results":[{"id":1},{}]}"#), Ok(2));
        for shapeless in ["[]", "{}", r#"{"results":{}}"#, r#"{"results":null}"#] {
            assert_eq!(read(shapeless), Err(Failure::Shape), "{shapeless}");
        }
        assert_eq!(read("<html>"), Err(Failure::NotJson));
    }
}
