/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* GIO has a thread of its own, which it makes with the first GTask, and ends the program where none can be made. This
 * makes it beforehand, or fails. */
gboolean wp_glib_thread_ensure (GError **error);

G_END_DECLS
