/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Whether a value may go into a payload: the receiver takes one that may not for a broken protocol, so both sides
 * check what users give them. NULL, or what is wrong with the value, as the end of a sentence that begins with it:
 * "is not in normal form". */
const char *wp_value_get_flaw (GVariant *value);

G_END_DECLS
