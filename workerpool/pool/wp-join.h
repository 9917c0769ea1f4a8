/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "pool/wp-delivery.h"
#include "pool/wp-engine.h"

G_BEGIN_DECLS

/* Drains the engine; the task ends with TRUE when nothing of it is left, or with G_IO_ERROR_CANCELLED, by way of
 * the delivery, which must lead to the task's context. */
void wp_join_begin (WpEngine *engine, GTask *task, WpDelivery *delivery);

G_END_DECLS
