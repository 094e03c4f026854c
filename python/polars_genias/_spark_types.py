"""Types of columns in Spark, in Polars and in the Arrow tables that pass between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
from pyspark.sql import types as spark_types

if TYPE_CHECKING:
    import pyarrow as pa

    Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)

_DIGITS = 38
"""Largest precision of a decimal."""
_TO_POLARS: dict[str, pl.DataType] = {
    "boolean": pl.Boolean(),
    "tinyint": pl.Int8(),
    "smallint": pl.Int16(),
    "int": pl.Int32(),
    "bigint": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "string": pl.String(),
    "binary": pl.Binary(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us", "UTC"),
    "timestamp_ntz": pl.Datetime("us"),
    "void": pl.Null(),
}

_TO_SPARK: dict[Any, tuple[spark_types.DataType, str]] = {
    pl.Boolean: (spark_types.BooleanType(), "bool"),
    pl.Int8: (spark_types.ByteType(), "int8"),
    pl.Int16: (spark_types.ShortType(), "int16"),
    pl.Int32: (spark_types.IntegerType(), "int32"),
    pl.Int64: (spark_types.LongType(), "int64"),
    pl.UInt8: (spark_types.ShortType(), "int16"),
    pl.UInt16: (spark_types.IntegerType(), "int32"),
    pl.UInt32: (spark_types.LongType(), "int64"),
    pl.UInt64: (spark_types.LongType(), "int64"),
    pl.Float32: (spark_types.FloatType(), "float"),
    pl.Float64: (spark_types.DoubleType(), "double"),
    pl.String: (spark_types.StringType(), "string"),
    pl.Binary: (spark_types.BinaryType(), "binary"),
    pl.Date: (spark_types.DateType(), "date32"),
}
"""Spark type of a Polars type, and the Arrow type for the transfer."""


def from_spark(dtype: spark_types.DataType) -> pl.DataType:
    """The Polars type of a Spark column; ``Object`` for one that no role can have."""
    if isinstance(dtype, spark_types.DecimalType):
        return pl.Decimal(dtype.precision, dtype.scale)
    return _TO_POLARS.get(dtype.simpleString(), pl.Object())


def spark_field(name: str, dtype: Any) -> spark_types.StructField:
    """A column of a verb in Spark."""
    return spark_types.StructField(name, to_spark(dtype))


def to_spark(dtype: Any) -> spark_types.DataType:
    """The Spark type of a column of a verb."""
    if isinstance(dtype, (pl.Array, pl.List)):
        return spark_types.ArrayType(to_spark(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return spark_types.StructType(
            [spark_field(inner.name, inner.dtype) for inner in dtype.fields]
        )
    if isinstance(dtype, pl.Decimal):
        return spark_types.DecimalType(dtype.precision or _DIGITS, dtype.scale)
    if isinstance(dtype, pl.Datetime):
        return spark_types.TimestampType() if dtype.time_zone else spark_types.TimestampNTZType()
    return _TO_SPARK[dtype.base_type()][0]


def arrow_type(dtype: Any, large: bool) -> pa.DataType:
    """The Arrow type for the transfer of a column of a verb to Spark."""
    import pyarrow as pa

    if isinstance(dtype, (pl.Array, pl.List)):
        return pa.list_(arrow_type(dtype.inner, large))
    if isinstance(dtype, pl.Struct):
        return pa.struct([(inner.name, arrow_type(inner.dtype, large)) for inner in dtype.fields])
    if isinstance(dtype, pl.Decimal):
        return pa.decimal128(dtype.precision or _DIGITS, dtype.scale)
    if isinstance(dtype, pl.Datetime):
        return pa.timestamp("us", dtype.time_zone)
    name = _TO_SPARK[dtype.base_type()][1]
    return pa.type_for_alias(f"large_{name}" if large and name in ("string", "binary") else name)


def in_utc(table: Rows) -> Rows:
    """The table with times in UTC.

    Spark hands them over in its session's time zone, and expects them in UTC.
    """
    import pyarrow as pa

    types = [_type_in_utc(dtype) for dtype in table.schema.types]
    if types == table.schema.types:
        return table
    columns = [column.cast(dtype) for column, dtype in zip(table.columns, types, strict=True)]
    return type(table).from_arrays(
        columns, schema=pa.schema(zip(table.schema.names, types, strict=True))
    )


def _type_in_utc(dtype: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    def inner(field: pa.Field) -> pa.Field:
        return field.with_type(_type_in_utc(field.type))

    if pa.types.is_timestamp(dtype) and dtype.tz is not None:
        return pa.timestamp(dtype.unit, "UTC")
    if pa.types.is_struct(dtype):
        return pa.struct([inner(field) for field in dtype])
    if pa.types.is_list(dtype):
        return pa.list_(inner(dtype.value_field))
    if pa.types.is_map(dtype):
        return pa.map_(inner(dtype.key_field), inner(dtype.item_field))
    return dtype
