/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-engine.h"

G_BEGIN_DECLS

/* The engines of this process that have a thread, for the two ends of a process at which nobody calls each pool: a
 * worker that ends its tasks' pools before itself, and exit () in a program that has workers which are not daemonic,
 * which it joins. Not references: an engine's thread holds one as long as the engine is here. */

/* is_awaited: exit () joins it. */
void wp_live_engines_add    (WpEngine *engine, gboolean is_awaited);
void wp_live_engines_remove (WpEngine *engine);

G_END_DECLS
