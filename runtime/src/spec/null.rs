//! Reading `null` as an absent field.

use serde::{Deserialize, Deserializer};

/// `null` and an absent field are one: Go's encoder writes unset slices and maps as `null`.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
