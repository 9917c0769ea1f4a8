/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "channel/wp-channel.h"

G_BEGIN_DECLS

/* The value that all workers of a pool see: the one that the caller gave, until it was written to a shared buffer, and
 * then what that buffer holds, so that it is in memory once. Its value can be asked for in any thread; all else is for
 * the one that launches. */
typedef struct _WpSharedObjects WpSharedObjects;

/* A floating reference is consumed. */
WpSharedObjects *wp_shared_objects_new       (GVariant *value);
WpSharedObjects *wp_shared_objects_ref       (WpSharedObjects *self);
void             wp_shared_objects_unref     (WpSharedObjects *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (WpSharedObjects, wp_shared_objects_unref)

/* Why it cannot be shared, as wp_value_get_flaw () says it; NULL: it can. */
const char      *wp_shared_objects_get_flaw  (WpSharedObjects *self);
/* (transfer full) */
GVariant        *wp_shared_objects_dup_value (WpSharedObjects *self);

/* Writes a large value to a shared buffer, if that was not done before. It takes milliseconds, and lets go of the
 * caller's value: not with a lock held. A refusal of the system costs memory in each worker and no more. */
void             wp_shared_objects_share     (WpSharedObjects *self);
/* As wp_channel_send (). */
gboolean         wp_shared_objects_send      (WpSharedObjects *self, WpChannel *channel, GError **error);
/* No worker will start any more. */
void             wp_shared_objects_close     (WpSharedObjects *self);

G_END_DECLS
