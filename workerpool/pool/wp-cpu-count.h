/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/wp-macros.h"

G_BEGIN_DECLS

WP_PUBLIC
guint wp_cpu_count (void);

G_END_DECLS
