/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-delivery.h"
#include "pool/wp-engine.h"

G_BEGIN_DECLS

/* The pool's signals: what the engine observes, handed over to the main context in which the pool was made. What
 * nobody has connected to is neither copied nor kept. */
typedef struct _WpPoolSignals WpPoolSignals;

/* Makes the signals of the pool's class. */
void           wp_pool_signals_install (GObjectClass *pool_class);

/* pool: not referenced; it frees this after it has detached the engine. */
WpPoolSignals *wp_pool_signals_new     (GObject *pool, WpDelivery *delivery);
void           wp_pool_signals_free    (WpPoolSignals *self);

/* Its data is the WpPoolSignals. */
extern const WpEngineObserver wp_pool_signals_observer;

G_END_DECLS
