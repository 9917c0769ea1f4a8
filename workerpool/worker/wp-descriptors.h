/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* For a copy of a process: gives up every descriptor that it inherited but the standard streams and 'keep'. */
void wp_descriptors_disown (int keep);

G_END_DECLS
