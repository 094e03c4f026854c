"""Mypy plugin for the namespace ``.genias``: ``plugins = ["polars_genias.mypy"]``.

The import of the package registers the namespace at run time, which type checkers cannot follow.
The plugin declares it on the classes of Polars. For pyright see `polars_genias.stubs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mypy.plugin import Plugin
from mypy.plugins.common import add_attribute_to_class
from mypy.types import AnyType, Type, TypeOfAny

from polars_genias.stubs import NAME, NAMESPACES, PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy.plugin import AttributeContext, ClassDefContext


class GeniasPlugin(Plugin):
    """Declares the attribute and its type."""

    def get_customize_class_mro_hook(
        self, fullname: str
    ) -> Callable[[ClassDefContext], None] | None:
        """Hook for the classes of Polars with the namespace."""
        return _declare if _namespace(fullname) else None

    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        """Hook for the namespace on these classes."""
        owner, _, attribute = fullname.rpartition(".")
        namespace = _namespace(owner) if attribute == NAME else None
        if namespace is None:
            return None
        return lambda context: _type(context, f"{PACKAGE}.{namespace}")


def _namespace(fullname: str) -> str | None:
    module, _, name = fullname.rpartition(".")
    return NAMESPACES.get((module, name))


def _declare(context: ClassDefContext) -> None:
    add_attribute_to_class(context.api, context.cls, NAME, AnyType(TypeOfAny.explicit))


def _type(context: AttributeContext, namespace: str) -> Type:
    """The class of the namespace; the declared type if no module imports the package."""
    try:
        return context.api.named_generic_type(namespace, [])
    except (AssertionError, KeyError):
        return context.default_attr_type


def plugin(version: str) -> type[Plugin]:  # noqa: ARG001 (mypy calls it so)
    """Entry point for mypy."""
    return GeniasPlugin
