/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Strings plainly, bytestrings as their bytes, anything else in the text format of GVariant. */
void wp_cli_format_text       (GString *text, GVariant *value);

/* One object on one line: {"index": …, "value": …} or {"index": …, "error": {"domain", "code",
 * "message"}}. */
void wp_cli_format_json       (GString *text, guint64 index, GVariant *value);
void wp_cli_format_json_error (GString *text, guint64 index, const GError *error);

G_END_DECLS
