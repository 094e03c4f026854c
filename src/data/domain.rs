//! The values that a dtype can hold.

use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type};

type F16 = <Float16Type as ArrowPrimitiveType>::Native;

/// The values of a dtype, as 64-bit floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Domain {
    grid: Grid,
    low: f64,
    high: f64,
}

/// Spacing of the values.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Grid {
    F16,
    F32,
    F64,
    /// Multiples of 1 / n: n = 1 for integers and Booleans, 10^scale for decimals.
    Parts(f64),
}

/// Up to here a number of parts survives the way through a value and back.
const EXACT_PARTS: f64 = (1u64 << 51) as f64;

impl Domain {
    /// The values of an Arrow dtype; those of Float64 if it is not numeric.
    pub(crate) fn of(dtype: &DataType) -> Self {
        let (grid, low, high) = match dtype {
            DataType::Float16 => (Grid::F16, F16::MIN.to_f64(), F16::MAX.to_f64()),
            DataType::Float32 => (Grid::F32, f64::from(f32::MIN), f64::from(f32::MAX)),
            DataType::Boolean => (Grid::Parts(1.0), 0.0, 1.0),
            DataType::Int8 => (Grid::Parts(1.0), i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => (Grid::Parts(1.0), i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => (Grid::Parts(1.0), i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => (Grid::Parts(1.0), i64::MIN as f64, i64::MAX as f64),
            DataType::UInt8 => (Grid::Parts(1.0), 0.0, u8::MAX.into()),
            DataType::UInt16 => (Grid::Parts(1.0), 0.0, u16::MAX.into()),
            DataType::UInt32 => (Grid::Parts(1.0), 0.0, u32::MAX.into()),
            DataType::UInt64 => (Grid::Parts(1.0), 0.0, u64::MAX as f64),
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => {
                let parts = 10f64.powi((*scale).into());
                let most = (10f64.powi((*precision).into()) - 1.0) / parts;
                (Grid::Parts(parts), -most, most)
            }
            _ => (Grid::F64, f64::MIN, f64::MAX),
        };
        Self { grid, low, high }
    }

    /// The values between `low` and `high`.
    pub(crate) fn within(self, low: f64, high: f64) -> Self {
        Self { low, high, ..self }
    }

    /// Smallest and largest value.
    pub(crate) fn limits(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// The value nearest to `value`; halves round away from zero.
    pub fn nearest(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        match self.grid {
            Grid::F16 => F16::from_f64(value).to_f64(),
            Grid::F32 => f64::from(value as f32),
            Grid::F64 => value,
            Grid::Parts(parts) if parts == 1.0 || (value * parts).abs() < EXACT_PARTS => {
                (value * parts).round() / parts
            }
            // Neighbours of `value` in 64 bits are about a part away from it.
            Grid::Parts(_) => value,
        }
    }

    /// The next value on one side of `value`, or on the other side of the last one.
    pub(crate) fn next_to(&self, value: f64, up: bool) -> f64 {
        let (step, relative) = match self.grid {
            Grid::F16 => (F16::MIN_POSITIVE.to_f64(), F16::EPSILON.to_f64()),
            Grid::F32 => (f32::MIN_POSITIVE.into(), f32::EPSILON.into()),
            Grid::F64 => (f64::MIN_POSITIVE, f64::EPSILON),
            Grid::Parts(parts) => (1.0 / parts, f64::EPSILON),
        };
        let step = if up { 1.0 } else { -1.0 } * step.max(value.abs() * relative);
        let next = self.nearest(value + step);
        if next == value { self.nearest(value - step) } else { next }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dtypes() -> Vec<DataType> {
        use DataType::*;
        vec![
            Boolean,
            Int8,
            Int16,
            Int32,
            Int64,
            UInt8,
            UInt16,
            UInt32,
            UInt64,
            Float16,
            Float32,
            Float64,
            Decimal32(9, 3),
            Decimal64(18, 0),
            Decimal128(38, 6),
            Decimal128(5, 2),
            Decimal256(70, 2),
        ]
    }

    #[test]
    fn values_are_rounded_and_stay_in_range() {
        let nearest = |dtype, value| Domain::of(&dtype).nearest(value);
        assert_eq!(nearest(DataType::Int8, 3.5), 4.0);
        assert_eq!(nearest(DataType::Int8, -300.0), -128.0);
        assert_eq!(nearest(DataType::UInt64, -1.0), 0.0);
        assert_eq!(nearest(DataType::Boolean, 0.5), 1.0);
        assert_eq!(nearest(DataType::Boolean, 0.49), 0.0);
        assert_eq!(nearest(DataType::Decimal128(5, 2), 1.006), 1.01);
        assert_eq!(nearest(DataType::Decimal128(5, 2), 1e9), 999.99);
        assert_eq!(nearest(DataType::Float32, 0.1), f64::from(0.1f32));
        assert_eq!(nearest(DataType::Float32, 1e300), f64::from(f32::MAX));
        assert_eq!(nearest(DataType::Float16, 1e9), 65504.0);
    }

    #[test]
    fn large_decimals_stay_as_they_are() {
        let domain = Domain::of(&DataType::Decimal128(38, 6));
        let value = domain.nearest(40769164986097.836);
        assert_eq!(domain.nearest(value), value);
    }

    proptest! {
        #[test]
        fn a_value_and_its_neighbours_differ(value in prop::num::f64::NORMAL, up: bool) {
            for domain in dtypes().iter().map(Domain::of) {
                let value = domain.nearest(value);
                prop_assert_eq!(domain.nearest(value), value);
                prop_assert!(value.is_finite());
                let next = domain.next_to(value, up);
                prop_assert!(next != value && domain.nearest(next) == next, "{:?}", domain);
            }
        }
    }
}
