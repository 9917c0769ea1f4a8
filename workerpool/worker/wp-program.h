/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What a person calls this program: its prgname, or the file it runs from. A program that was started through
 * /proc/self/exe is called "exe" by everything that looks at its argv. */
const char *wp_program_get_name (void);

G_END_DECLS
