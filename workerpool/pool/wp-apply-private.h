/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-apply.h"
#include "pool/wp-engine.h"

G_BEGIN_DECLS

/* Submits the task. pool: kept alive by it. Takes the items. */
WpApply *wp_apply_new (GObject       *pool,
                       WpEngine      *engine,
                       const char    *function,
                       WpItems       *items,
                       WpTaskOptions *options,
                       GError       **error);

G_END_DECLS
