# SPDX-License-Identifier: LGPL-2.1-or-later

"""The introspected library as it is, without the override, which is made of this package."""

import gi

gi.require_version('WorkerPool', '1.0')

from gi.module import get_introspection_module  # noqa: E402
from gi.repository import GLib  # noqa: E402

Wp = get_introspection_module('WorkerPool')
# Of which nothing is used that PyGObject has more of; to load that takes a sixth of a worker's start.
Gio = get_introspection_module('Gio')

_BYTES = GLib.VariantType.new('ay')


def to_variant(data, variant_type=_BYTES):
    """A value of a type without alignment, as its serialised form says: bytes if nothing else is named."""
    return GLib.Variant.new_from_bytes(variant_type, GLib.Bytes.new(data), True)


def to_bytes(value):
    """The serialised form of a value: of an array of bytes, these."""
    return value.get_data_as_bytes().get_data()
