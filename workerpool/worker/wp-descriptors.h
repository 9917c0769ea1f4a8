/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* For a copy of a process: gives up every descriptor that it inherited but the standard streams and 'keep'. */
void     wp_descriptors_disown        (int keep);
/* It is a standard stream. What is closed on exec is none: the program had closed that, and has opened something else
 * since. */
gboolean wp_descriptors_is_standard   (int fd);
/* Standard streams that are closed lead to /dev/null: what is opened later may not get their numbers, and with them
 * what is printed. */
void     wp_descriptors_fill_standard (void);

G_END_DECLS
