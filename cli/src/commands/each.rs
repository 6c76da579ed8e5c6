//! What verbs over several names have in common: each is asked, and no error keeps the others from being asked.

use crate::error::Error;
use crate::output;

/// The exit code of a command that did what it was to do.
pub(super) const DONE: u8 = 0;

/// Requests for several names that are under way at once; docker's number.
const AT_ONCE: usize = 50;

/// Asks the same for each name, and prints what comes back in the order of the names. An error does not keep the others
/// from being asked.
pub(super) async fn each<F>(names: Vec<String>, ask: impl Fn(String) -> F) -> Result<u8, Error>
where
    F: Future<Output = Result<String, Error>> + Send + 'static,
{
    let mut failed = false;
    for names in names.chunks(AT_ONCE) {
        let asked: Vec<_> = names.iter().map(|name| tokio::spawn(ask(name.clone()))).collect();
        for answer in asked {
            match answer.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
                Ok(text) => output::print(&text)?,
                Err(error) => {
                    output::complain(&error);
                    failed = true;
                }
            }
        }
    }
    if failed { Err(Error::Reported) } else { Ok(DONE) }
}
