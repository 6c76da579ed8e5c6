//! Lists of CPUs or NUMA nodes as the kernel and the specification write them (`0-3,7`), as bit masks.
//! Never asks the machine which of them exist: the kernel answers that when the mask is used.

use std::num::ParseIntError;

/// The kernel's own limit for CPUs (NR_CPUS) is 8192 and for nodes 1024; a larger number is a mistake.
const NUMBER_MAX: usize = 8191;

const WORD_BITS: usize = libc::c_ulong::BITS as usize;

/// Why a list cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NumberListError {
    /// An element that is neither a number nor a range.
    #[error("{element:?} is neither a number nor a range such as 0-3")]
    NotANumber {
        /// The element.
        element: String,
        /// What the parser said.
        source: ParseIntError,
    },
    /// The end lies before the start.
    #[error("the range {element:?} ends before it starts")]
    Backwards {
        /// The element.
        element: String,
    },
    /// Beyond what a kernel can have.
    #[error("{element:?} is beyond {NUMBER_MAX}, the highest number supported")]
    TooLarge {
        /// The element.
        element: String,
    },
    /// Commas only.
    #[error("no number in the list {list:?}")]
    Empty {
        /// The list.
        list: String,
    },
}

/// Parses a list into a mask, lowest word first; empty for the empty text. As runc does, blanks around elements and
/// empty elements are ignored.
pub(crate) fn parse(list: &str) -> Result<Vec<libc::c_ulong>, NumberListError> {
    let mut mask = Vec::new();
    for element in list.split(',').map(str::trim).filter(|element| !element.is_empty()) {
        let (first, last) = element.split_once('-').unwrap_or((element, element));
        let (first, last) = (number(first, element)?, number(last, element)?);
        if last < first {
            return Err(NumberListError::Backwards { element: element.to_owned() });
        }
        if mask.len() <= last / WORD_BITS {
            mask.resize(last / WORD_BITS + 1, 0);
        }
        for bit in first..=last {
            mask[bit / WORD_BITS] |= 1 << (bit % WORD_BITS);
        }
    }
    if mask.is_empty() && !list.is_empty() {
        return Err(NumberListError::Empty { list: list.to_owned() });
    }
    Ok(mask)
}

fn number(digits: &str, element: &str) -> Result<usize, NumberListError> {
    let number: usize = digits
        .parse()
        .map_err(|source| NumberListError::NotANumber { element: element.to_owned(), source })?;
    if number > NUMBER_MAX {
        return Err(NumberListError::TooLarge { element: element.to_owned() });
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_numbers_become_bits() {
        assert_eq!(parse("0-3,7"), Ok(vec![0b1000_1111]));
        assert_eq!(parse(" 1 ,, 64"), Ok(vec![0b10, 1]));
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn the_highest_number_is_taken_and_the_next_refused() {
        assert_eq!(parse("8191").map(|mask| mask.len()), Ok(8192 / WORD_BITS));
        assert_eq!(parse("0-8192"), Err(NumberListError::TooLarge { element: "0-8192".to_owned() }));
    }

    #[test]
    fn lists_that_say_nothing_are_refused() {
        assert_eq!(parse(","), Err(NumberListError::Empty { list: ",".to_owned() }));
        assert_eq!(parse("3-1"), Err(NumberListError::Backwards { element: "3-1".to_owned() }));
        for list in ["a", "-1", "1-", "0x3", "1-2-3", "+"] {
            assert!(matches!(parse(list), Err(NumberListError::NotANumber { .. })), "{list}");
        }
    }
}
