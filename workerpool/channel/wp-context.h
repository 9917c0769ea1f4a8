/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* GLib ends the program when it cannot make the descriptor by which a main context is woken. These fail beforehand;
 * only another thread that takes the last descriptor just then is not foreseen. */
gboolean      wp_context_can_be_made (GError **error);
GMainContext *wp_context_new         (GError **error);

G_END_DECLS
