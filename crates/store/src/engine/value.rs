//! The values of parameters and columns, whatever the engine calls their types.
//!
//! Invariant: a value borrows from its row or its parameter; nothing is copied before the caller asks for a type.

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    /// An integer or a boolean (0, 1).
    Int(i64),
    Real(f64),
    Text(&'a str),
    /// Octets, or a text of SQLite that is not UTF-8.
    Blob(&'a [u8]),
}

/// What can be a parameter.
pub(crate) trait ToValue {
    /// Returns it as a value.
    fn to_value(&self) -> Value<'_>;
}

/// What can be read from a column.
pub(crate) trait FromValue: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// Says what was found instead.
    fn from_value(value: Value<'_>) -> Result<Self, String>;
}

/// A list of parameters, for one statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::engine::ToValue::to_value(&$value)),*] };
}
pub(crate) use values;

fn unexpected<T>(expected: &str, value: Value<'_>) -> Result<T, String> {
    let found = match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(number) => format!("the number {number}"),
        Value::Real(number) => format!("the number {number}"),
        Value::Text(text) => format!("the text {text:?}"),
        Value::Blob(octets) => format!("{} octets", octets.len()),
    };
    Err(format!("{expected} was expected, and {found} is there"))
}

impl ToValue for i64 {
    fn to_value(&self) -> Value<'_> {
        Value::Int(*self)
    }
}

impl ToValue for i32 {
    fn to_value(&self) -> Value<'_> {
        Value::Int((*self).into())
    }
}

impl ToValue for u32 {
    fn to_value(&self) -> Value<'_> {
        Value::Int((*self).into())
    }
}

impl ToValue for bool {
    fn to_value(&self) -> Value<'_> {
        Value::Int((*self).into())
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl<const N: usize> ToValue for [u8; N] {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl FromValue for i64 {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        if let Value::Int(number) = value { Ok(number) } else { unexpected("a number", value) }
    }
}

impl FromValue for i32 {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        i64::from_value(value)?.try_into().map_err(|_| "the number is too large".to_owned())
    }
}

impl FromValue for u32 {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        i64::from_value(value)?.try_into().map_err(|_| "the number is negative or too large".to_owned())
    }
}

impl FromValue for bool {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        Ok(i64::from_value(value)? != 0)
    }
}

impl FromValue for String {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        if let Value::Text(text) = value { Ok(text.to_owned()) } else { unexpected("a text", value) }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        if let Value::Blob(octets) = value { Ok(octets.to_vec()) } else { unexpected("octets", value) }
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        match value {
            Value::Blob(octets) => octets.try_into().map_err(|_| format!("{} octets instead of {N}", octets.len())),
            _ => unexpected("octets", value),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        if value == Value::Null { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
